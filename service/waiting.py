"""Waiting with an end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event; False if it is not set within so many seconds.

    For this and in general, `asyncio.timeout` takes the place of `asyncio.wait_for`. Up to Python 3.11 that one loses a
    cancellation that comes at the moment when what it waits for is done, and a loop around it goes on for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work; who is cancelled meanwhile is so only when it has come to its end, which must be near."""
    begun = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(begun)
    except asyncio.CancelledError:
        await asyncio.wait({begun})
        if not begun.cancelled():
            begun.exception()  # nobody's news any more
        raise
