"""A large installation: how many SQL statements lists and the `due` loop take, and how long, beside a small one."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.rows import Row, alone, exactly
from tests.scale.conftest import Place, make, open_place
from tests.scale.counting import counted
from workers.jobs import loops

ROUNDS = 5
SMALL, LARGE, DELIVERIES = 10, 1000, 20_000
PAGES = {
    "GET /apps": ("/apps", "name ..; max=1000"),
    "GET /pipelines": ("/pipelines", "name ..; max=1000"),
    "GET /pipeline-couplings": ("/pipeline-couplings", "id ..; max=1000"),
    "GET /apps/APP/releases": ("/apps/app-0005/releases", "version ..; max=1000"),
    "GET /deliveries": ("/deliveries", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Milliseconds, by the clock and of CPU; whoever asks is in the same process, and counts too."""

    clock: float
    cpu: float


async def lists(place: Path) -> list[Row]:
    """Rows about lists."""
    async with AsyncExitStack() as stack:
        places = []
        for name, size in (("small", SMALL), ("large", LARGE)):
            await make(f"sqlite:///{place / name}.db", size=size, deliveries=size * DELIVERIES // LARGE)
            places.append(await open_place(place / f"{name}.db", place / name, stack))
        small, large = places
        rows = []
        for name, (path, wanted) in PAGES.items():
            rows += await _compared(name, small, large, _listed(path, wanted), most=200)
        return rows + await _compared("one pass of `due`", small, large, _due, most=100)


def _listed(path: str, wanted: str) -> Callable[[Place], Awaitable[object]]:
    headers = {"Range": wanted} if wanted else {}

    async def asked(place: Place) -> None:
        server = place.server
        headers["Authorization"] = f"Bearer {server.token}"
        async with server.session.get(server.url + path, headers=headers) as response:
            if not response.ok or not await response.read():
                raise RuntimeError(f"GET {path}: {response.status} {await response.text()}")

    return asked


async def _due(place: Place) -> None:
    await loops.due(place.context)


async def _compared(
    name: str, small: Place, large: Place, act: Callable[[Place], Awaitable[object]], *, most: float
) -> list[Row]:
    (few, _), *seen = [await _once(place, act) for place in (small, *[large] * (ROUNDS + 1))]
    warm = [taken for _, taken in seen[1:]]  # the first one finds nothing in memory
    cpu, clock = [each.cpu for each in warm], [each.clock for each in warm]
    return [
        alone(f"{name}, {LARGE} apps, CPU", cpu, "ms", most=most, note=f"by the clock: {median(clock):.3g} ms"),
        exactly(f"  SQL statements ({few} at {SMALL} apps)", seen[-1][0], "", few),
    ]


async def _once(place: Place, act: Callable[[Place], Awaitable[object]]) -> tuple[int, Taken]:
    """How many statements, and how long it took."""
    with counted() as statements:
        clock, cpu = time.perf_counter(), time.process_time()
        await act(place)
        taken = Taken(clock=(time.perf_counter() - clock) * 1000, cpu=(time.process_time() - cpu) * 1000)
    return len(statements), taken
