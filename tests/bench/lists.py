"""Lists of a large installation: how many SQL statements and how long, at 100 apps and at 1,000."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from service.store.database import Database
from service.store.secrets import Vault
from tests.bench.rows import Row, at_most
from tests.web.serving import Server, serving

ROUNDS = 5
FEW, MANY, PIPELINES = 100, 1000, 200


@contextmanager
def counted() -> Iterator[list[str]]:
    """The SQL statements that are executed within."""
    seen: list[str] = []

    def see(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


async def lists(place: Path) -> list[Row]:
    """Rows about lists."""
    place.mkdir()
    database = await Database.open(f"sqlite:///{place / 'towpath.db'}")
    try:
        await database.migrate()
        async with serving(database, Vault.open(place / "secret.keys", create=True), place) as server:
            return await _measured(server)
    finally:
        await database.close()


async def _measured(server: Server) -> list[Row]:
    paths = {"GET /apps": "name", "GET /pipelines": "name", "GET /pipeline-couplings": "id"}
    await _fill(server, 0, FEW)
    few = {path: (await _one(server, path, by))[1] for path, by in paths.items()}
    await _fill(server, FEW, MANY)
    rows = []
    for path, by in paths.items():
        seen = [await _one(server, path, by) for _ in range(ROUNDS)]
        rows.append(at_most(f"{path}, {MANY} apps", median(seconds for seconds, _ in seen) * 1000, "ms", 200))
        rows.append(at_most(f"{path}, SQL statements ({few[path]} at {FEW} apps)", seen[-1][1], "", few[path]))
    return rows


async def _fill(server: Server, first: int, end: int) -> None:
    every = MANY // PIPELINES
    pipeline: Any = None
    for number in range(first, end):
        if number % every == 0:
            pipeline = await server.pipeline(f"pipe-{number // every}", connected=False)
        await server.app(f"app-{number}")
        coupling = {"app": f"app-{number}", "pipeline": pipeline["id"], "stage": "staging"}
        await server.call("POST", "/pipeline-couplings", coupling, expect=201)


async def _one(server: Server, path: str, by: str) -> tuple[float, int]:
    with counted() as statements:
        began = time.perf_counter()
        await server.call("GET", path.removeprefix("GET "), Range=f"{by} ..; max=1000")
        return time.perf_counter() - began, len(statements)
