"""Write for a request only while it is ours, whatever the step.

The check and the rows are one transaction: a worker that slept for longer than its lease, or whose request was
cancelled meanwhile, changes nothing when it wakes up.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from service.enact import Transaction
from service.store import requests
from service.store.logs import LogSink
from service.store.requests import TakenWork
from workers.context import Context
from workers.platforms.base import Fenced

Result = TypeVar("Result")


async def commit(context: Context, taken: TakenWork, fn: Callable[[Transaction], Result]) -> Result:
    """Run `fn` as `Committer.commit` does; raises `Fenced` when another worker has the app or nobody wants this."""

    def run(tx: Transaction) -> Result:
        if not requests.is_current(tx.conn, taken):
            raise Fenced(f"another worker has the app of {taken.request.kind} {taken.request.id}")
        return fn(tx)

    return await context.commit(run, actor=taken.actor)


def log(context: Context, taken: TakenWork, log_id: str, *, secrets: Iterable[str] = ()) -> LogSink:
    """Write a stream of the request, likewise only while it is ours."""
    return LogSink(context.db, log_id, secrets=secrets, ours=lambda conn: requests.is_current(conn, taken))


async def step(context: Context, taken: TakenWork, name: str) -> None:
    """Record how far the request has come, for people to see."""
    await commit(context, taken, lambda tx: requests.set_step(tx.conn, taken.request.id, step=name, now=tx.now))
