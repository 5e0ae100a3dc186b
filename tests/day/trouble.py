"""What goes wrong on that day, at the same points of every day, and what of it is seen to have happened."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.exceptions import RedisError

from tests.waiting import until
from tests.walk.stage import Stage

OUTAGE_SECONDS = 20.0
DROPPED = 0.05
DOUBLED = 0.05
SHUFFLED = 6
"""So many deliveries that come at once change places."""
KILLS = 2
DELIVERIES_OF_A_PULL_REQUEST = 7.5
"""At least: 1,500 on a day of 200 pull requests."""


@dataclass(slots=True, kw_only=True)
class Struck:
    """What really happened: workers that were others afterwards, outages in which GitHub was asked, an emptied Redis."""

    kills: int = 0
    turned_away: int = 0
    flushes: int = 0


def begin(stage: Stage) -> None:
    """From now on webhooks are lost, doubled and shuffled."""
    webhooks = stage.github.chaos.webhooks
    webhooks.drop, webhooks.duplicate, webhooks.reorder = DROPPED, DOUBLED, SHUFFLED


async def strike(stage: Stage, *, progress: Callable[[], float], tell: Callable[[str], None]) -> Struck:
    """Do each of it when the day is so far; `progress` goes from 0 to 1."""
    struck = Struck()

    async def kill() -> None:
        tell("a worker is killed")
        await stage.kill("worker")
        struck.kills += 1

    async def outage() -> None:
        tell(f"GitHub is away for {OUTAGE_SECONDS:.0f} s")
        stage.github.chaos.outage = True
        await asyncio.sleep(OUTAGE_SECONDS)
        stage.github.chaos.outage = False
        struck.turned_away = stage.github.chaos.turned_away

    async def flush() -> None:
        tell("Redis loses everything")
        await until(lambda: _emptied(stage), seconds=60, what="Redis lost everything")
        struck.flushes += 1

    plan: list[tuple[float, Callable[[], Awaitable[None]]]] = [(0.2, kill), (0.4, outage), (0.6, flush), (0.8, kill)]
    for when, what in plan:
        while progress() < when:
            await asyncio.sleep(0.1)
        await what()
    return struck


async def _emptied(stage: Stage) -> bool:
    redis = stage.redis()
    try:
        await redis.set("day", "1")
        await redis.flushall()
        return await redis.get("day") is None
    except (RedisError, OSError):
        return False
    finally:
        await redis.aclose()


def seen(stage: Stage, struck: Struck) -> dict[str, int]:
    """The trouble that there was, counted where it was made."""
    log = stage.github.sender.log
    return {
        "pull requests opened": sum(len(each.pulls) for each in stage.github.repositories.values()),
        "deliveries": sum(not each.redelivery for each in log),
        "  dropped": sum(not each.copies for each in log),
        "  doubled": sum(each.copies > 1 for each in log),
        "workers killed": struck.kills,
        "calls turned away in the outage": struck.turned_away,
        "Redis emptied": struck.flushes,
    }


def missing(happened: dict[str, int], *, pulls: int) -> list[str]:
    """What there was too little of, so that an easy day proves nothing."""
    wanted = {
        "pull requests opened": pulls,
        "deliveries": math.ceil(DELIVERIES_OF_A_PULL_REQUEST * pulls),
        "  dropped": _fewest(happened["deliveries"], DROPPED),
        "  doubled": _fewest(happened["deliveries"], DOUBLED),
        "workers killed": KILLS,
        "calls turned away in the outage": 1,
        "Redis emptied": 1,
    }
    return [
        f"{what.strip()}: {happened[what]}, and not {least} or more"
        for what, least in wanted.items()
        if happened[what] < least
    ]


def _fewest(count: int, probability: float) -> int:
    """What a fair dice does not stay below: four standard deviations under what is to be expected."""
    return max(0, math.floor(count * probability - 4 * math.sqrt(count * probability * (1 - probability))))
