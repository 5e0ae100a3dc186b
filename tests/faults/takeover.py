"""When the work of a worker that died goes on, by the clock that leases are measured in."""

import time

from tests.faults.steps import AFTER
from tests.waiting import until
from tests.walk.stage import Stage

LATEST = 10.0
"""Seconds from a lease's end, or from the successor's start if that is later, until the successor has the work.

`make bench` holds it to one second on a machine that has nothing else to do; what the machine itself stood still comes
on top.
"""


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def held_by(stage: Stage, worker: int) -> dict[str, float]:
    """The apps that a worker is at, each with the end of its lease."""
    return {app: until_ for app, pid, until_ in await _leases(stage) if pid == worker}


async def _leases(stage: Stage) -> list[tuple[str, int, float]]:
    rows = await stage.rows("SELECT id, lease_holder, lease_expires FROM apps WHERE lease_holder IS NOT NULL")
    return [(app, int(holder.split(":")[1]), expires / 1e6) for app, holder, expires in rows]


async def goes_on(stage: Stage, dead: int, held: dict[str, float]) -> None:
    """Wait until a successor has all that a dead worker was at; it was not late."""
    place, successor = stage.data / "run/services/worker.ready", stage.pid("worker")
    ready, late, looked, stood_still = 0.0, dict[str, float](), _now(), 0.0

    async def taken() -> bool:
        nonlocal ready, looked, stood_still
        now = _now()
        stood_still, looked = max(stood_still, now - looked), now
        ready = ready or (now if place.read_text() == str(successor) else 0.0)
        at_it = {app for app, pid, _ in await _leases(stage) if pid == dead}
        for app in held.keys() - at_it - late.keys():
            late[app] = now - max(held[app], ready or now)
        return late.keys() == held.keys()

    await until(taken, seconds=AFTER, what=f"{list(held)} are taken over")
    assert max(late.values(), default=0.0) < LATEST + stood_still, (late, stood_still)
