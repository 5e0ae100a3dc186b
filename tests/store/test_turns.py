"""Writers of one SQLite file: processes take turns, and writes of one process share a transaction without sharing a fate."""

import asyncio
import fcntl
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from service.domain.errors import Refused, Transient
from service.store import sqlite
from service.store.database import Database
from service.store.sqlite import connect_file
from service.store.tables import counters
from service.store.turns import Turns
from tests.waiting import until

HOG = """
import sys, time
from pathlib import Path
from service.store.sqlite import connect_file
from service.store.turns import Turns

path = Path(sys.argv[1])
connection, turns = connect_file(path), Turns(path)
print("writing", flush=True)
while True:
    turns.begin(connection, patience=10)
    time.sleep(0.05)
    connection.execute("COMMIT")
"""
PATIENCE = 10.0


@contextmanager
def hog(path: Path) -> Iterator[None]:
    """Another process that writes one transaction after the other, each of a twentieth of a second."""
    process = subprocess.Popen([sys.executable, "-c", HOG, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_process_that_always_writes_keeps_nobody_out_for_longer_than_one_transaction(sqlite_template: Path) -> None:
    connection, turns = connect_file(sqlite_template), Turns(sqlite_template)
    waited = []
    with hog(sqlite_template):
        for _ in range(10):
            _until_it_writes(connection)
            began = time.monotonic()
            turns.begin(connection, patience=PATIENCE)
            waited.append(time.monotonic() - began)
            connection.execute("COMMIT")
    turns.close()
    connection.close()
    assert sum(waited) < 3, waited  # left to SQLite alone, whoever sleeps between two looks waits for seconds each time


def _until_it_writes(connection: sqlite3.Connection) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return
        connection.execute("ROLLBACK")


def test_whoever_stands_in_front_and_does_not_move_is_not_waited_for(
    sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.turns._IN_FRONT_SECONDS", 0.2)
    connection, turns = connect_file(sqlite_template), Turns(sqlite_template)
    stopped = os.open(sqlite_template.parent, os.O_RDONLY)
    fcntl.flock(stopped, fcntl.LOCK_EX)
    waited = []
    for _ in range(5):
        began = time.monotonic()
        turns.begin(connection, patience=PATIENCE)
        waited.append(time.monotonic() - began)
        connection.execute("ROLLBACK")
    assert waited[0] >= 0.2
    assert sum(waited[1:]) < 0.6, "who did not move once is passed by for a while"
    os.close(stopped)
    turns.close()
    connection.close()


def test_a_process_that_is_stopped_in_front_costs_one_wait_and_not_one_for_every_write(sqlite_template: Path) -> None:
    connection, turns = connect_file(sqlite_template), Turns(sqlite_template)
    stopped = os.open(sqlite_template.parent, os.O_RDONLY)
    fcntl.flock(stopped, fcntl.LOCK_EX)
    began = time.monotonic()
    for _ in range(5):
        turns.begin(connection, patience=PATIENCE)
        connection.execute("ROLLBACK")
    assert time.monotonic() - began < 3
    os.close(stopped)
    turns.begin(connection, patience=PATIENCE)
    another = os.open(sqlite_template.parent, os.O_RDONLY)
    fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back with the beginning
    os.close(another)
    turns.close()
    connection.close()


@pytest.fixture
async def busy(sqlite_database: Database) -> AsyncIterator[tuple[Database, sqlite3.Connection]]:
    """A database that another program is writing to: what is asked for meanwhile waits together."""
    holder = sqlite3.connect(sqlite_database.url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield sqlite_database, holder
    holder.close()


def _put(name: str) -> Callable[[Connection], str]:
    def put(conn: Connection) -> str:
        conn.execute(insert(counters).values(name=name, value=1))
        return name

    return put


async def _names(database: Database) -> set[str]:
    return set(await database.read(lambda conn: conn.execute(select(counters.c.name)).scalars().all()))


async def _asked_behind_the_first(database: Database, writes) -> list[asyncio.Future]:
    """Ask for the first, and for the others when the writer has taken it."""
    first = asyncio.ensure_future(database.write(writes[0]))
    await asyncio.sleep(0)
    await until(lambda: not database._engine._waiting)
    others = [asyncio.ensure_future(database.write(write)) for write in writes[1:]]
    await until(lambda: len(database._engine._waiting) == len(others))
    return [first, *others]


async def _together(busy: tuple[Database, sqlite3.Connection], writes) -> list:
    """Ask for all of it while the first one waits, then let them."""
    database, holder = busy
    asked = await _asked_behind_the_first(database, writes)
    holder.execute("ROLLBACK")
    return await asyncio.gather(*asked, return_exceptions=True)


async def test_what_one_of_several_raises_undoes_its_own_and_nothing_else(busy) -> None:
    def refuses(conn: Connection) -> None:
        _put("refused")(conn)
        raise Refused("no")

    ends = await _together(busy, [_put("first"), _put("second"), refuses, _put("third")])
    assert [each for each in ends if not isinstance(each, Exception)] == ["first", "second", "third"]
    assert isinstance(ends[2], Refused)
    assert await _names(busy[0]) == {"first", "second", "third"}


async def test_one_of_several_that_ends_the_transaction_keeps_none_of_the_others_waiting_for_ever(busy) -> None:
    def ends(conn: Connection) -> None:
        _put("ended")(conn)
        conn.close()

    async with asyncio.timeout(PATIENCE):
        done = await _together(busy, [_put("first"), _put("second"), ends, _put("third")])
    assert [each for each in done if isinstance(each, str)] == ["first", "second", "third"]
    assert await _names(busy[0]) == {"first", "second", "third"}


async def test_a_statement_that_fails_in_one_of_several_fails_only_there(busy) -> None:
    ends = await _together(busy, [_put("first"), _put("same"), _put("same"), _put("third")])
    assert [type(each).__name__ for each in ends] == ["str", "str", "IntegrityError", "str"]
    assert await _names(busy[0]) == {"first", "same", "third"}


async def test_several_share_one_wait_for_the_disk_and_each_sees_what_came_before(busy, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "GROUP_SECONDS", 60.0)
    begun: list[int] = []
    begin = Turns.begin

    def count(turns: Turns, connection: sqlite3.Connection, *, patience: float) -> None:
        begin(turns, connection, patience=patience)
        begun.append(1)

    monkeypatch.setattr(Turns, "begin", count)

    def number(conn: Connection) -> int:
        _put(f"n{_count(conn)}")(conn)
        return _count(conn)

    assert await _together(busy, [number] * 10) == list(range(1, 11))
    assert len(begun) == 2  # the one that waited, and all others


def _count(conn: Connection) -> int:
    return int(conn.execute(text("SELECT count(*) FROM counters")).scalar_one())


async def test_none_of_several_waits_for_the_lock_after_another_has_waited_in_vain(busy, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.3)
    database, _ = busy
    asked = [asyncio.ensure_future(database.write(_put(f"n{each}"))) for each in range(20)]
    began = time.monotonic()
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in ends} == {Transient}
    assert time.monotonic() - began < 5


async def test_one_that_nobody_waits_for_any_more_is_written_all_the_same(busy) -> None:
    database, holder = busy
    first, second = await _asked_behind_the_first(database, [_put("first"), _put("second")])
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    holder.execute("ROLLBACK")
    assert await first == "first"
    assert await database.write(_put("third")) == "third"
    assert await _names(database) == {"first", "second", "third"}
