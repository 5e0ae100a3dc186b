"""The migrations make the tables that the code knows, once, whoever starts first."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from service.domain.errors import Refused
from service.store import schema, sqlite
from service.store.database import Database
from service.store.sqlite import connect_file
from service.store.tables import metadata
from tests.conftest import DURABLE


def described(conn: Connection) -> dict[str, Any]:
    """Everything the engine knows of our tables, in an order of its own."""
    found = inspect(conn)
    return {
        table: {
            "columns": sorted(
                (str(column["name"]), str(column["type"]), str(column["nullable"]), str(column["default"]))
                for column in found.get_columns(table)
            ),
            "primary key": found.get_pk_constraint(table)["constrained_columns"],
            "foreign keys": sorted(map(str, found.get_foreign_keys(table))),
            "unique": sorted(map(str, found.get_unique_constraints(table))),
            "checks": sorted(map(str, found.get_check_constraints(table))),
            "indexes": sorted(map(str, found.get_indexes(table))),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


async def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    migrated = await database.read(described)
    await database.write(metadata.drop_all)
    await database.write(metadata.create_all)
    assert migrated == await database.read(described)
    assert migrated.keys() == metadata.tables.keys()


async def test_several_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    opened = await asyncio.gather(*(Database.open(empty_database_url) for _ in range(4)))
    await asyncio.gather(*(database.migrate() for database in opened))
    revisions = {await database.read(schema.revision) for database in opened}
    await asyncio.gather(*(database.close() for database in opened))
    assert len(revisions) == 1
    assert None not in revisions


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    await database.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(Refused, match="newer than this Towpath"):
        await Database.open(database.url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("mysql://host/name", "works with sqlite and postgresql", id="another engine"),
        pytest.param("not a url", "is not a URL", id="no URL"),
        pytest.param("sqlite://", "must name a file", id="SQLite in memory"),
        pytest.param("postgresql://bob:pw@127.0.0.1:1/x", "cannot be opened", id="nobody listens"),
        pytest.param("sqlite:////nonexistent/towpath.db", "cannot be opened", id="no such directory"),
    ],
)
async def test_what_cannot_be_opened_is_refused_without_showing_the_password(url: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as refused:
        await Database.open(url)
    assert ":pw@" not in refused.value.message


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(Refused, match="cannot be opened: file is not a database"):
        await Database.open(f"sqlite:///{tmp_path / 'x.db'}")


async def test_a_database_that_is_locked_for_good_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.sqlite.BUSY_SECONDS", 0.2)
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Refused, match="is locked by another installation"):
        await Database.open(f"sqlite:///{tmp_path / 'x.db'}")
    other.close()


@pytest.fixture
def durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits are as they are outside of tests."""
    monkeypatch.setattr(sqlite, "SYNCHRONOUS", DURABLE)


async def test_the_file_is_for_its_owner_only(sqlite_database: Database, tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'fresh.db'}")
    await database.migrate()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("fresh.db*")} == {0o600}
    await database.close()


async def test_what_is_committed_is_on_the_disk_and_readers_wait_for_nobody(
    durable: None, sqlite_database: Database
) -> None:
    def settings(conn: Connection) -> list[Any]:
        return [
            conn.execute(text(f"PRAGMA {name}")).scalar() for name in ("synchronous", "journal_mode", "foreign_keys")
        ]

    full = 2
    assert await sqlite_database.write(settings) == [full, "wal", 1]
    assert await sqlite_database.read(settings) == [full, "wal", 1]
    inbox = connect_file(Path(sqlite_database.url.removeprefix("sqlite:///")))
    assert inbox.execute("PRAGMA synchronous").fetchone() == (full,)
    inbox.close()
