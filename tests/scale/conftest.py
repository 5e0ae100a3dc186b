"""A small and a large installation, each with a worker's context and a web server, and what they execute."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.github.app_auth import FixedToken
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.transport import Transport, new_session
from service.github.writes import Writes
from service.settings import Settings
from service.store import apps
from service.store.database import Database
from service.store.leases import LeaseTerms
from service.store.secrets import Vault
from tests.scale.filling import fill
from tests.store.fixtures import (
    empty_postgresql_url,
    postgresql_server,
    postgresql_template,
    postgresql_url,
    sqlite_template,
)
from tests.store.making import NOW
from tests.web.serving import Server, serving
from tests.workers.conftest import Bell
from tests.workers.memory_platform import MemoryPlatform
from workers.builds.builder import Workshop
from workers.builds.cache import CacheStore
from workers.builds.slug import SlugStore
from workers.builds.source import Source
from workers.context import Context
from workers.platforms.base import Instance, InstanceState

__all__ = ["empty_postgresql_url", "postgresql_server", "postgresql_template", "postgresql_url", "sqlite_template"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One installation."""

    path: Path
    db: Database
    context: Context
    server: Server


class Healthy(MemoryPlatform):
    """An engine that runs what it should."""

    db: Database

    async def observe(self) -> Sequence[Instance]:
        served = await self.db.read(apps.served)
        return [
            Instance(app_id=it.app.id, release_id=it.engine_id, process="web.1", state=InstanceState.UP, since=NOW)
            for it in served
        ]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> dict[str, Path]:
    """Databases with 10 apps and with 1,000."""
    home = tmp_path_factory.mktemp("filled")

    paths = {}
    for name, size in (("small", 10), ("large", 1000)):
        paths[name] = home / f"{name}.db"
        shutil.copy(sqlite_template, paths[name])
        asyncio.run(make(f"sqlite:///{paths[name]}", size=size, deliveries=size * (100 if size > 10 else 10)))
    shutil.copy(paths["small"], _untouched(paths["small"]))
    return paths


def _untouched(path: Path) -> Path:
    return path.with_suffix(".untouched")


async def make(url: str, *, size: int, deliveries: int) -> None:
    database = await Database.open(url)
    await database.migrate()
    await database.write(lambda conn: fill(conn, apps_wanted=size, releases_each=10, deliveries_wanted=deliveries))
    await database.close()


@pytest.fixture
async def places(filled: dict[str, Path], tmp_path: Path) -> AsyncIterator[tuple[Place, Place]]:
    """The small and the large one. A test that writes leaves its traces to the next: each asks for what it needs."""
    async with AsyncExitStack() as stack:
        small, large = [await open_place(path, tmp_path / name, stack) for name, path in filled.items()]
        yield small, large


@pytest.fixture
async def postgresql_places(
    postgresql_url: str, empty_postgresql_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Place, Place]]:
    """A small and a larger one on PostgreSQL."""
    async with AsyncExitStack() as stack:
        places = []
        for url, size in ((postgresql_url, 10), (empty_postgresql_url, 100)):
            await make(url, size=size, deliveries=10 * size)
            places.append(await open_place(tmp_path, tmp_path / str(size), stack, url=url))
        yield places[0], places[1]


@pytest.fixture
async def place(filled: dict[str, Path], tmp_path: Path) -> AsyncIterator[Place]:
    """A small one of its own."""
    shutil.copy(_untouched(filled["small"]), tmp_path / "own.db")
    async with AsyncExitStack() as stack:
        yield await open_place(tmp_path / "own.db", tmp_path / "own", stack)


async def open_place(path: Path, home: Path, stack: AsyncExitStack, *, url: str = "") -> Place:
    home.mkdir()
    db = await Database.open(url or f"sqlite:///{path}", clock=lambda: NOW)
    stack.push_async_callback(db.close)
    session = await stack.enter_async_context(new_session())
    # Nobody listens there: what asks GitHub here is a mistake.
    transport = Transport(session=session, api_url="http://127.0.0.1:9")
    github = GitHub(transport=transport, credentials=FixedToken("token"))
    platform = Healthy()
    platform.db = db
    vault = Vault.open(home / "secret.keys", create=True)
    source, slugs, caches = Source(data=home), SlugStore(data=home), CacheStore(data=home)
    context = Context(
        db=db,
        vault=vault,
        queue=Bell(),
        settings=Settings(data=home),
        terms=LeaseTerms(holder="one", seconds=1.0),
        github=github,
        looks=Looks(github=github, now=db.now),
        writes=Writes(github=github),
        platforms={"process": platform},
        workshop=Workshop(data=home, source=source, slugs=slugs, caches=caches, sandbox=platform),
        stack="test",
    )
    server = await stack.enter_async_context(serving(db, vault, home))
    return Place(path=path, db=db, context=context, server=server)
