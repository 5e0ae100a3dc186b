"""One lane at a time in one worker: work that must keep its order, under a lease of its own name."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from service.store import leases
from service.store.leases import LeaseTerms
from workers.context import Context


async def alone(context: Context, name: str, work: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    """Do the work unless another worker does; returns what it returned, False if it was not done to its end.

    The lease is renewed for as long as the work takes, and the work is cut off when the lease is lost.
    """
    terms = LeaseTerms(holder=f"{context.terms.holder}/{id(asyncio.current_task())}", seconds=context.terms.seconds)

    async def take() -> bool:
        return await context.db.write(lambda conn: leases.take(conn, name, terms=terms))

    if not await take():
        return False
    working = asyncio.ensure_future(work())
    keeping = asyncio.ensure_future(_keep(take, every=terms.seconds / 4))
    try:
        await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
        return working.done() and await working
    finally:
        for task in (working, keeping):
            task.cancel()
        await asyncio.gather(working, keeping, return_exceptions=True)
        await asyncio.shield(context.db.write(lambda conn: leases.give_back(conn, name, holder=terms.holder)))


async def _keep(take: Callable[[], Awaitable[bool]], *, every: float) -> None:
    """Renew the lease until it is lost: one step may take several requests of a slow server."""
    while True:
        if not await take():
            return
        await asyncio.sleep(every)
