"""The dashboard's pages on SQLite, served as in production but for the router: once, and from its beginning for each test."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from service.store.database import Database
from service.store.secrets import Vault
from tests.store.fixtures import sqlite_database, sqlite_template  # noqa: F401
from tests.store.making import NOW
from tests.web.api.people import Rows, restore, saved
from tests.web.browsing import Browser
from tests.web.serving import Server, serving


class Clock:
    """The time as far as it has been let pass."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass(kw_only=True)
class Begun:
    """A server, and what it began with."""

    server: Server
    clock: Clock
    rows: Rows


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def begun(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Begun]:  # noqa: F811
    home, clock = tmp_path_factory.mktemp("pages"), Clock()
    path = home / "towpath.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = await Database.open(f"sqlite:///{path}", clock=clock)
    async with serving(database, Vault.open(home / "secret.keys", create=True), home) as server:
        yield Begun(server=server, clock=clock, rows=await database.read(saved))
    await database.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server(begun: Begun) -> Server:
    begun.clock.now = NOW
    await begun.server.db.write(lambda conn: restore(conn, begun.rows))
    return begun.server


@pytest.fixture
def clock(begun: Begun) -> Clock:
    return begun.clock


@pytest_asyncio.fixture(loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    made = Browser()
    yield made
    await made.session.close()


@pytest_asyncio.fixture(loop_scope="module")
async def another() -> AsyncIterator[Browser]:
    made = Browser()
    yield made
    await made.session.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def with_pipeline(begun: Begun) -> tuple[str, Rows]:
    """A pipeline, and all rows that there are then."""
    await begun.server.db.write(lambda conn: restore(conn, begun.rows))
    pipeline = await begun.server.pipeline(staging="shop-staging", production="shop")
    return str(pipeline["id"]), await begun.server.db.read(saved)


@pytest_asyncio.fixture(loop_scope="module")
async def pipeline(server: Server, with_pipeline: tuple[str, Rows]) -> str:
    made, rows = with_pipeline
    await server.db.write(lambda conn: restore(conn, rows))
    return made
