"""For how many git works at a time: in all, and for one account, so that nobody keeps everybody else out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.domain.errors import Transient

HELD_SECONDS: Final = 900.0
"""How long who sends a push, or receives a fetch, may take: a slow line holds a place, too."""
_AT_ONCE: Final = 12
"""Each may take a few hundred megabytes of memory."""
_SHARE: Final = 4
_WAIT_SECONDS: Final = 10.0
"""Most places are free again soon: whoever does many things at once, as CI does, need not hear of it."""
_SOON: Final = 0.1


class Room:
    """Counts who has places."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @asynccontextmanager
    async def place(self, who: str) -> AsyncIterator[None]:
        """Have a place for an account; waits for it a while, then raises `Transient`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _WAIT_SECONDS
        while trouble := self._full(who):
            if loop.time() >= until:
                raise Transient(trouble, retry_after=_WAIT_SECONDS)
            await asyncio.sleep(_SOON)
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]

    def _full(self, who: str) -> str:
        """Why there is no place; empty when there is one."""
        if self._taken.total() >= _AT_ONCE:
            return "too many pushes and fetches are going on at this moment"
        if self._taken[who] >= _SHARE:
            return f"{_SHARE} pushes and fetches of your account are going on, which is the most at a time"
        return ""


def too_long(what: str) -> str:
    """Words for what took longer than it may."""
    return f"it took longer than {HELD_SECONDS / 60:.0f} minutes to {what}"
