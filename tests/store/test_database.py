"""Both engines keep the same promises."""

import asyncio
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, make_url, select, text, update

from service.domain.errors import Refused, Transient
from service.store.database import Database, SteadyClock, utc_now
from service.store.postgresql import PostgreSQL
from service.store.sqlite import SQLite
from service.store.tables import counters, meta
from tests.waiting import until


def _add(conn: Connection) -> int:
    value: int = conn.execute(select(counters.c.value).where(counters.c.name == "n")).scalar_one()
    conn.execute(update(counters).where(counters.c.name == "n").values(value=value + 1))
    return value + 1


def _value(conn: Connection) -> int | None:
    return conn.execute(select(counters.c.value).where(counters.c.name == "n")).scalar()


@pytest.fixture
async def counting(database: Database) -> Database:
    await database.write(lambda conn: conn.execute(insert(counters).values(name="n", value=0)))
    return database


async def test_what_a_write_did_is_there_for_the_next_read(counting: Database) -> None:
    assert await counting.write(_add) == 1
    assert await counting.read(_value) == 1


async def test_a_write_that_raises_leaves_nothing_behind(counting: Database) -> None:
    def fails(conn: Connection) -> None:
        _add(conn)
        raise Refused("no")

    with pytest.raises(Refused):
        await counting.write(fails)
    assert await counting.read(_value) == 0


async def test_read_then_write_of_many_callers_loses_no_update(counting: Database) -> None:
    await asyncio.gather(*(counting.write(_add) for _ in range(40)))
    assert await counting.read(_value) == 40


async def test_a_read_cannot_write(counting: Database) -> None:
    with pytest.raises(Exception, match=r"read-?only"):
        await counting.read(_add)
    assert await counting.write(_add) == 1


async def test_a_cancelled_caller_leaves_the_connection_usable_and_its_transaction_whole(counting: Database) -> None:
    for _ in range(5):
        task = asyncio.create_task(counting.write(_add))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reading = asyncio.create_task(counting.read(_value))
        await asyncio.sleep(0)
        reading.cancel()
    before = await counting.read(_value)
    assert await counting.write(_add) in range(1, 7)
    assert before is not None


async def test_what_a_cancelled_caller_wanted_written_is_written_though_its_turn_had_not_come(
    counting: Database,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(conn: Connection) -> int:
        begun.set()
        assert go_on.wait(10)
        return _add(conn)

    holding = asyncio.create_task(counting.write(_add if counting.dialect == "postgresql" else hold))
    if counting.dialect != "postgresql":
        assert await asyncio.to_thread(begun.wait, 10)
    waiting = asyncio.create_task(counting.write(_add))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    await holding

    async def both() -> bool:
        return await counting.read(_value) == 2

    await until(both, what="both have added")


async def test_close_waits_for_what_a_cancelled_caller_left(counting: Database) -> None:
    task = asyncio.create_task(counting.write(_add))
    await asyncio.sleep(0)
    task.cancel()
    await counting.close()
    again = await Database.open(counting.url)
    assert await again.read(_value) in {0, 1}
    await again.close()


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Database]:
    """The same database as another process has it."""
    opened = await Database.open(database.url)
    yield opened
    await opened.close()


async def test_a_read_does_not_see_what_is_committed_while_it_runs(counting: Database, other: Database) -> None:
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT max(i) FROM n"

    def twice(conn: Connection) -> tuple[int | None, int | None]:
        before = _value(conn)
        loop.call_soon_threadsafe(begun.set)
        for _ in range(30):
            conn.execute(text(slow))
        return before, _value(conn)

    reading = asyncio.create_task(counting.read(twice))
    await begun.wait()
    await other.write(_add)
    assert not reading.done()
    assert await reading == (0, 0)
    assert await counting.read(_value) == 1


async def test_a_connection_that_the_server_ends_is_replaced(postgresql_database: Database) -> None:
    def end(conn: Connection) -> None:
        conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    for run in (postgresql_database.write, postgresql_database.read):
        with pytest.raises(Transient):
            await run(end)
        assert await run(_value) is None


async def test_connections_that_died_while_idle_are_noticed(postgresql_database: Database) -> None:
    other = await Database.open(postgresql_database.url)
    await postgresql_database.read(_value)
    others = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await other.read(lambda conn: conn.execute(others))
    assert await postgresql_database.read(_value) is None
    await other.close()


async def test_a_transaction_that_stood_still_for_too_long_is_a_passing_error(postgresql_database: Database) -> None:
    def stand_still(conn: Connection) -> None:
        conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
        time.sleep(0.3)  # the process is stopped: nothing of it runs
        conn.execute(text("SELECT 1"))

    with pytest.raises(Transient):
        await postgresql_database.write(stand_still)
    assert await postgresql_database.write(_value) is None


FREEZE = """
import asyncio, os, signal, sys
from sqlalchemy import text
from service.store.database import Database, SteadyClock, utc_now

def freeze(conn):
    conn.execute(text("SELECT 1"))
    print("writing", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)

async def main():
    database = await Database.open(sys.argv[1])
    await database.write(freeze)

asyncio.run(main())
"""


async def test_a_process_that_stands_still_while_it_writes_keeps_nobody_from_renewing_a_lease(
    postgresql_database: Database,
) -> None:
    frozen = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FREEZE, postgresql_database.url), stdout=asyncio.subprocess.PIPE
    )
    assert frozen.stdout is not None
    assert await frozen.stdout.readline() == b"writing\n"
    try:
        # A lease is 20 s by default and renewed every 5 s: so long may one attempt to renew it take.
        assert await asyncio.wait_for(postgresql_database.write(_value), 15) is None
    finally:
        frozen.kill()
        await frozen.wait()


async def test_writes_that_wait_cost_what_is_to_be_written_and_no_call_of_the_writer_each(
    sqlite_database: Database,
) -> None:
    held = threading.Event()
    held_up = asyncio.ensure_future(sqlite_database.write(lambda _: held.wait(10)))
    waiting = [asyncio.ensure_future(sqlite_database.write(_value)) for _ in range(500)]
    await asyncio.sleep(0)  # all of them have begun
    engine = sqlite_database._engine
    assert isinstance(engine, SQLite)
    calls = engine._writing._work_queue.qsize()
    held.set()
    await asyncio.gather(held_up, *waiting)
    assert calls <= 1


async def test_a_full_disk_is_a_passing_error_and_changes_nothing(sqlite_database: Database) -> None:
    def fill(conn: Connection) -> None:
        conn.execute(text("PRAGMA max_page_count = 1"))  # SQLite takes the current size instead
        conn.execute(insert(meta).values(name="big", value=b"x" * 1_000_000))

    with pytest.raises(Transient, match="full"):
        await sqlite_database.write(fill)
    assert await sqlite_database.read(lambda conn: conn.execute(select(meta)).all()) == []


async def test_a_database_that_another_program_holds_is_a_passing_error(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sqlite_database.url.removeprefix("sqlite:///")
    monkeypatch.setattr("service.store.sqlite.BUSY_SECONDS", 0.2)
    hasty = await Database.open(sqlite_database.url)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Transient, match="locked"):
        await hasty.write(_value)
    assert await hasty.read(_value) is None
    holder.execute("ROLLBACK")
    assert await hasty.write(_value) is None
    holder.close()
    await hasty.close()


async def test_time_goes_on_when_the_machines_clock_is_set_back_and_follows_it_ahead(sqlite_template: Path) -> None:
    machine = [utc_now()]
    database = await Database.open(f"sqlite:///{sqlite_template}", clock=SteadyClock(lambda: machine[0]))
    before = database.now()
    machine[0] -= timedelta(hours=1)
    assert before < database.now() < before + timedelta(minutes=1)
    machine[0] += timedelta(hours=2)
    assert before + timedelta(hours=1) <= database.now() < before + timedelta(hours=1, minutes=1)
    await database.close()


async def test_the_time_of_a_database_is_steady_unless_a_test_gives_it_another(sqlite_database: Database) -> None:
    assert isinstance(sqlite_database._clock, SteadyClock)


async def _stopped(database: Database, number: signal.Signals) -> None:
    """Send the server's processes for this database a signal, from outside."""
    query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    for pid in await database.read(lambda conn: list(conn.execute(query).scalars())):
        os.kill(pid, number)


@pytest.mark.skipif(os.getuid() != 0, reason="stopping PostgreSQL's processes takes root")
async def test_a_server_that_hangs_is_told_as_trouble_that_passes_and_all_goes_on_when_it_does(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = await Database.open(postgresql_url)
    monkeypatch.setattr("service.store.postgresql.DEADLINE", 0.5)
    hung = await Database.open(postgresql_url)
    await hung.read(lambda conn: conn.execute(text("SELECT 1")).scalar())
    await _stopped(watching, signal.SIGSTOP)
    try:
        for _ in range(2):
            with pytest.raises(Transient, match="did not answer within"):
                await hung.write(lambda conn: conn.execute(select(meta)).all())
    finally:
        await _stopped(watching, signal.SIGCONT)
    await until(lambda: _answers(hung), what="it answers again")
    await hung.close()
    await watching.close()


async def _answers(database: Database) -> bool:
    with suppress(Transient):
        await database.write(lambda conn: conn.execute(select(meta)).all())
        return True
    return False


async def test_a_transaction_of_somebody_else_that_never_ends_keeps_nobody_waiting_for_ever(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.postgresql.DEADLINE", 0.5)
    database, other = (
        await Database.open(postgresql_url),
        await PostgreSQL.connect(make_url(postgresql_url), patient=True),
    )
    endless = asyncio.create_task(other.write(lambda conn: conn.execute(text("SELECT pg_sleep(3)")).all()))
    await until(lambda: _held(database), what="the turn is taken")
    with pytest.raises(Transient):
        await database.write(lambda conn: conn.execute(select(meta)).all())
    await endless
    await until(lambda: _answers(database), what="it is our turn")
    await database.close()
    await other.close()


async def _held(database: Database) -> bool:
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    return bool(await database.read(lambda conn: conn.execute(query).scalar()))
