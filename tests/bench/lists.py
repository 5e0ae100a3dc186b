"""Lists of a large installation: how many SQL statements and how long, at 100 apps and at 1,000."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from service.domain.decisions import Restart
from service.domain.model import Release, ReleaseState, RequestState, Stage
from service.store import apps, logs, pipelines, releases, requests, users
from service.store.database import Database
from service.store.secrets import Vault
from tests.bench.rows import Row, at_most
from tests.web.serving import Server, serving

ROUNDS = 5
FEW, MANY, PIPELINES, RELEASES = 100, 1000, 200, 10


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
    await server.db.write(lambda conn: _fill(conn, 0, FEW, server.db.now()))
    few = {path: (await _one(server, path, by))[1] for path, by in paths.items()}
    await server.db.write(lambda conn: _fill(conn, FEW, MANY, server.db.now()))
    rows = []
    for path, by in paths.items():
        seen = [await _one(server, path, by) for _ in range(ROUNDS)]
        rows.append(at_most(f"{path}, {MANY} apps", median(seconds for seconds, _ in seen) * 1000, "ms", 200))
        rows.append(at_most(f"{path}, SQL statements ({few[path]} at {FEW} apps)", seen[-1][1], "", few[path]))
    return rows


def _fill(conn: Connection, first: int, end: int, now: datetime) -> None:
    """Apps, five to a pipeline, each with ten releases."""
    owner = users.ensure_embedded_user(conn, now=now)
    space = apps.ensure_space(conn, name="common", driver="process", now=now)
    every = MANY // PIPELINES
    for number in range(first, end, every):
        made = pipelines.create(conn, name=f"pipe-{number // every}", owner_id=owner, owner_type="user", now=now)
        for place in range(number, number + every):
            app = apps.create(conn, name=f"app-{place}", space_id=space.id, owner_id=owner, is_review=False, now=now)
            pipelines.couple(conn, app_id=app.id, pipeline_id=made.id, stage=Stage.STAGING, now=now)
            current = [_release(conn, app.id, now) for _ in range(RELEASES)][-1]
            apps.update(
                conn, app=apps.get(conn, app.id) or app, now=now, current_release_id=current.id, released_at=now
            )


def _release(conn: Connection, app_id: str, now: datetime) -> Release:
    request = requests.add(
        conn, app_id=app_id, work=Restart(), actor="bench", reason="bench", by_person=False, now=now
    )  # fmt: skip
    requests.finish(conn, request.id, state=RequestState.SUCCEEDED, outcome="", now=now)
    made = releases.create(
        conn, app_id=app_id, request_id=request.id, slug_id=None, commit="a" * 40, repository_id=None,
        description="Deploy", actor="bench", log_id=logs.open_log(conn, now), now=now,
    )  # fmt: skip
    return releases.finish(conn, release_id=made.id, state=ReleaseState.SUCCEEDED, error="", now=now)


async def _one(server: Server, path: str, by: str) -> tuple[float, int]:
    with counted() as statements:
        began = time.perf_counter()
        found, _ = await server.call("GET", path.removeprefix("GET "), Range=f"{by} ..; max=1000")
        taken = time.perf_counter() - began
    assert len(found) in {FEW, MANY, FEW * PIPELINES // MANY, PIPELINES}, f"{path} lists {len(found)}"
    return taken, len(statements)
