"""How fast we write to GitHub: it grants eighty writes a minute, and lengthens the wait of those who exceed that.

And how long we rest when it does not say for how long.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

BURST: Final = 20
"""So many writes go at once after a rest: what follows one push is told without waiting."""
SPACING: Final = 1.0
"""Seconds between writes from then on, as GitHub asks for."""
_SPREAD: Final = 0.25


def spread(seconds: float) -> float:
    """A pause that is up to a quarter longer: who was turned away together does not come back together."""
    return seconds * random.uniform(1.0, 1.0 + _SPREAD)  # noqa: S311 - nobody gains by guessing it


class Pace:
    """Takes turns for each installation: of any minute's turns there are at most `BURST` more than its seconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._paid_until: dict[int, float] = {}

    async def turn(self, installation_id: int) -> None:
        """Wait until the next write may go out."""
        now = self._clock()
        paid_until = max(now, self._paid_until.get(installation_id, now)) + SPACING
        self._paid_until[installation_id] = paid_until
        wait = paid_until - BURST * SPACING - now
        if wait > 0:
            await self._sleep(wait)
