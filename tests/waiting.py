"""Waiting for a condition with a deadline: the tests' only way to let time pass."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any


async def until(condition: Callable[[], Any | Awaitable[Any]], *, seconds: float = 10.0, what: str = "") -> Any:
    """Return the first truthy value of `condition` (sync or async); fail after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    pause = asyncio.Event()
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not seen within {seconds} s: {what or condition}")
        try:
            await asyncio.wait_for(pause.wait(), 0.02)
        except TimeoutError:
            continue
