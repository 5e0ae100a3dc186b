"""Bring GitHub to what the outbox says: newest wins per object, terminal states first, one lane per installation."""

import asyncio
from datetime import timedelta
from functools import partial

import structlog

from service.domain.errors import Refused, Transient
from service.github.writes import Unseen
from service.queue import REPORT
from service.store import reports, repositories
from service.store.reports import Report
from workers.context import Context
from workers.jobs.lanes import alone

log = structlog.get_logger()

PATIENCE = 3
"""So many objects in a row that cannot be shown now, and the lane rests until the next ring."""
UNSEEN_TRIES = 9
"""After so many, four minutes in all, a commit that GitHub does not know is one that it does not know any more."""


async def report(context: Context) -> None:
    """Write every pending report that is due; lanes of different installations run side by side."""
    lanes = await context.db.read(lambda conn: reports.lanes(conn, now=context.db.now()))
    await asyncio.gather(*(_lane(context, lane) for lane in lanes))


async def _lane(context: Context, lane: int) -> None:
    """Work one installation's reports one after the other, unless another worker does."""
    emptied = await alone(context, f"report:{lane}", partial(_empty, context, lane))
    # Whoever was rung for something that came after our last look found the lane taken.
    if emptied and lane in await context.db.read(lambda conn: reports.lanes(conn, now=context.db.now())):
        await context.queue.ring([REPORT])


async def _empty(context: Context, lane: int) -> bool:
    """One object after the other, each in its newest form: what becomes more urgent meanwhile comes next.

    True when nothing is left that may be told now.
    """
    failures = 0
    while failures < PATIENCE:
        entry = await context.db.write(lambda conn: reports.begin(conn, lane=lane, now=context.db.now()))
        if entry is None:
            return True
        failures = 0 if await _write(context, entry) else failures + 1
    return False


async def _write(context: Context, entry: Report) -> bool:
    """Show one object as wanted; False when it could not be tried to the end."""
    repository = await context.db.read(lambda conn: repositories.get(conn, entry.repository_id))
    if repository is None:
        await _give_up(context, entry, "the repository is not known")
        return True
    try:
        github_id = await context.writes.write(entry, repository)
    except asyncio.CancelledError:
        broken = context.db.write(lambda conn: reports.broken_off(conn, key=entry.key, attempt=entry.attempt))
        await asyncio.shield(broken)
        raise
    except Refused as refused:
        await _give_up(context, entry, refused.message)
        return True
    except Unseen as error:
        await _wait_for_commit(context, entry, error)
        return True  # the commit's trouble: what is told of others need not wait
    except Transient as error:
        await _try_again(context, entry, error)
        return False
    await context.db.write(
        lambda conn: reports.shown(
            conn,
            key=entry.key,
            digest=entry.wanted_digest,
            github_id=github_id,
            now=context.db.now(),
            attempt=entry.attempt,
        )
    )
    return True


async def _give_up(context: Context, entry: Report, error: str) -> None:
    """GitHub's last word, until the repository changes (`reports.revive`) or something else is to be shown."""
    await context.db.write(
        lambda conn: reports.failed(
            conn,
            key=entry.key,
            digest=entry.wanted_digest,
            attempt=entry.attempt,
            error=error,
            retry_at=None,
            final=True,
            now=context.db.now(),
        )
    )
    log.warning("report refused", report=entry.key, error=error)


async def _wait_for_commit(context: Context, entry: Report, error: Unseen) -> None:
    """Soon again, for some minutes: GitHub tells of a commit before all of its servers know it.

    Only the same answer twice ends that: what went wrong before, GitHub being away for an hour, say, does not count.
    """
    if entry.attempts + 1 >= UNSEEN_TRIES and entry.error == error.message:
        await _give_up(context, entry, error.message)
    else:
        await _try_again(context, entry, error)


async def _try_again(context: Context, entry: Report, error: Transient) -> None:
    """For ever: GitHub is to reach a final state however long it is away."""
    now = context.db.now()
    retry_at = now + timedelta(seconds=max(error.retry_after or 0.0, min(2.0 ** min(entry.attempts, 8), 300.0)))
    await context.db.write(
        lambda conn: reports.failed(
            conn,
            key=entry.key,
            digest=entry.wanted_digest,
            attempt=entry.attempt,
            error=error.message,
            retry_at=retry_at,
            final=False,
            now=now,
        )
    )
    if error.retry_after:
        await context.db.write(lambda conn: reports.pause(conn, lane=entry.installation_id, until=retry_at))
    log.warning("report not shown yet", report=entry.key, error=error.message, retry_at=retry_at.isoformat())
