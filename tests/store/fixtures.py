"""A fresh, migrated database per test, once on SQLite and once on PostgreSQL.

PostgreSQL is Debian's, started once per session as a user of its own, or the server of `TOWPATH_TEST_DATABASE_URL`.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from service.store.database import Database

__all__ = [
    "database",
    "empty_database_url",
    "empty_postgresql_url",
    "postgresql_database",
    "postgresql_server",
    "postgresql_template",
    "postgresql_url",
    "restart_postgresql",
    "sqlite_database",
    "sqlite_template",
]


def _absent(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def _as_owner() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


def _run(*command: object) -> None:
    subprocess.run([*_as_owner(), *map(str, command)], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _bin_dir() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        _absent("PostgreSQL is not installed (apt install postgresql) and TOWPATH_TEST_DATABASE_URL is not set")
    return found[-1].parent


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """A PostgreSQL server for this session."""
    given = os.environ.get("TOWPATH_TEST_DATABASE_URL")
    if given:
        yield make_url(given)
        return
    bin_dir = _bin_dir()
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        _absent("PostgreSQL cannot be started as root without setpriv (apt install util-linux)")
    home = Path(tempfile.mkdtemp(prefix="tp-pg-", dir="/tmp"))
    home.chmod(0o755)  # its socket is for every user, as on a Debian server
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    data = home / "data"
    try:
        _run(bin_dir / "initdb", "-D", data, "-A", "trust", "--no-sync", "-U", "towpath", "-E", "UTF8", "--locale=C")
        # A unix socket only: no port can be taken. Durability is not what these tests are about.
        options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off -c max_connections=60"
        _run(bin_dir / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start")
        yield URL.create("postgresql", username="towpath", database="postgres", query={"host": str(home)})
    finally:
        if (data / "postmaster.pid").exists():
            _run(bin_dir / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(home)


def restart_postgresql(url: str, *, how: str) -> None:
    """End the server (`fast`: as its operator does; `immediate`: as a crash does) and start it again."""
    if os.environ.get("TOWPATH_TEST_DATABASE_URL"):
        pytest.skip("the server of TOWPATH_TEST_DATABASE_URL is not ours to restart")
    home = Path(str(make_url(url).query["host"]))
    _run(_bin_dir() / "pg_ctl", "-D", home / "data", "-w", "-l", home / "log", "-m", how, "restart")


async def _administer(server: URL, *statements: str) -> None:
    connection = await asyncpg.connect(server.render_as_string(hide_password=False))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: URL) -> Iterator[str]:
    """A migrated database to copy: much quicker than migrating for each test."""
    name = f"towpath_template_{uuid.uuid4().hex[:8]}"

    async def prepare() -> None:
        await _administer(postgresql_server, f"CREATE DATABASE {name}")
        database = await Database.open(_url(postgresql_server, name))
        await database.migrate()
        await database.close()

    asyncio.run(prepare())
    yield name
    asyncio.run(_administer(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)"))


def _url(server: URL, name: str) -> str:
    return server.set(database=name).render_as_string(hide_password=False)


async def _copied(server: URL, template: str | None) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await _administer(server, f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
    yield _url(server, name)
    await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def postgresql_url(postgresql_server: URL, postgresql_template: str) -> AsyncIterator[str]:
    """A fresh, migrated database on PostgreSQL."""
    async for url in _copied(postgresql_server, postgresql_template):
        yield url


@pytest.fixture
async def empty_postgresql_url(postgresql_server: URL) -> AsyncIterator[str]:
    """A database on PostgreSQL without any table."""
    async for url in _copied(postgresql_server, None):
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'towpath.db'}"
    url: str = request.getfixturevalue("empty_postgresql_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A fresh, migrated database, on each engine."""
    opened: Database = request.getfixturevalue(f"{request.param}_database")
    return opened


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"

    async def prepare() -> None:
        database = await Database.open(f"sqlite:///{path}")
        await database.migrate()
        await database.close()

    asyncio.run(prepare())
    return path


@pytest.fixture
async def sqlite_database(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh, migrated database on SQLite."""
    shutil.copy(sqlite_template, tmp_path / "towpath.db")
    opened = await Database.open(f"sqlite:///{tmp_path / 'towpath.db'}")
    yield opened
    await opened.close()


@pytest.fixture
async def postgresql_database(postgresql_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database on PostgreSQL."""
    opened = await Database.open(postgresql_url)
    yield opened
    await opened.close()
