"""Run a script of an app under a name, once: who comes later attaches to it, or reads how it ended."""

from service.store import commands
from service.store.logs import LogSink
from service.store.requests import TakenWork
from workers.context import Context
from workers.jobs import fenced
from workers.jobs.rollout import Rollout, fence_of, spec_of
from workers.platforms.base import Lost


async def once(
    context: Context,
    taken: TakenWork,
    rollout: Rollout,
    *,
    step: str,
    name: str,
    command: str,
    sink: LogSink,
    seconds: float,
) -> int | None:
    """Return the exit code; None when its machine died with it, so that nobody will ever know. It is not run again."""
    app_id = rollout.app.id
    known = await fenced.commit(
        context, taken, lambda tx: commands.begin(tx.conn, name=name, app_id=app_id, step=step, now=tx.now)
    )
    if known.over:
        return known.exit_code
    spec = await spec_of(context, rollout)
    try:
        code: int | None = await context.platforms[rollout.driver].run(
            name, spec, command, fence=fence_of(taken), log=sink, seconds=seconds
        )
    except Lost:
        code = None
    await fenced.commit(context, taken, lambda tx: commands.end(tx.conn, name=name, exit_code=code, now=tx.now))
    return code
