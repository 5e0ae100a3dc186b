"""Waiting with an end."""

import asyncio


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
