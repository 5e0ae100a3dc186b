"""What goes wrong on that day, at the same points of every day."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.walk.stage import Stage

OUTAGE_SECONDS = 20.0
DROPPED = 0.05
DOUBLED = 0.05
SHUFFLED = 6
"""So many deliveries that come at once change places."""


def begin(stage: Stage) -> None:
    """From now on webhooks are lost, doubled and shuffled."""
    webhooks = stage.github.chaos.webhooks
    webhooks.drop, webhooks.duplicate, webhooks.reorder = DROPPED, DOUBLED, SHUFFLED


async def strike(stage: Stage, *, progress: Callable[[], float], tell: Callable[[str], None]) -> None:
    """Do each of it when the day is so far; `progress` goes from 0 to 1."""

    async def kill() -> None:
        tell("a worker is killed")
        await stage.kill("worker")

    async def outage() -> None:
        tell(f"GitHub is away for {OUTAGE_SECONDS:.0f} s")
        stage.github.chaos.outage = True
        await asyncio.sleep(OUTAGE_SECONDS)
        stage.github.chaos.outage = False

    async def flush() -> None:
        tell("Redis loses everything")
        redis = stage.redis()
        with suppress(OSError):
            await redis.flushall()
        await redis.aclose()

    plan: list[tuple[float, Callable[[], Awaitable[None]]]] = [(0.2, kill), (0.4, outage), (0.6, flush), (0.8, kill)]
    for when, what in plan:
        while progress() < when:
            await asyncio.sleep(0.1)
        await what()
