"""The embedded database: SQLite in WAL mode, one writer thread per process and a few readers.

Transactions are begun by us (`isolation_level=None`): the driver's own deferred ones fail with "database is locked" as
soon as two processes read first and write afterwards; `BEGIN IMMEDIATE` makes them queue instead. Those that wait for
the writer thread at the same moment share one, and with it the wait for the disk, which costs more than all they do.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.exc import DatabaseError, OperationalError

from service.domain.errors import Refused, Transient
from service.store.turns import Turns

Result = TypeVar("Result")

log = structlog.get_logger()

READERS = 4
GROUP = 32
GROUP_SECONDS = 0.005
"""How long one transaction goes on taking in others; no other process can write meanwhile, nor take webhooks in."""
BUSY_SECONDS = 15.0
SYNCHRONOUS = "FULL"
"""When a commit has reached the disk: before it returns."""
# Another program holds it, or the disk is full or failing: may pass, and nothing was changed.
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PASSING = _LOCKED | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def connect_file(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file the way all our connections are: every commit reaches the disk, foreign keys hold."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
        connection.execute("PRAGMA foreign_keys=ON")
        # Writers wait in `Turns`: SQLite's own way of waiting looks ten times a second.
        connection.execute("PRAGMA query_only=ON" if read_only else "PRAGMA busy_timeout=0")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    # The busy timeout does not cover the switch to WAL, which several starting processes may try at once.
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class _Write(NamedTuple):
    """What is to be done in a transaction, and who waits for it."""

    fn: Callable[[Connection], Any]
    done: "Future[Any]"


class SQLite:
    """One database file. Made in a thread, because opening waits for the disk."""

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise Refused("TOWPATH_DATABASE_URL must name a file: sqlite:////var/lib/towpath/towpath.db")
        path = Path(url.database)
        try:
            # SQLite gives the files beside it (-wal, -shm) the same mode.
            path.touch(mode=0o600)
            self._turns = turns = Turns(path)
        except OSError as error:
            raise Refused(f"The database {path} cannot be opened: {error.strerror}") from error
        self._writer = _engine(path, size=1, begin=lambda conn: _begin_writing(conn, turns))
        self._reader = _engine(path, size=READERS, begin=lambda conn: conn.exec_driver_sql("BEGIN"), read_only=True)
        try:
            with self._writer.connect():
                pass
        except DatabaseError as error:
            self._writer.dispose()
            turns.close()
            raise Refused(_why_closed(path, error)) from error
        self._waiting: deque[_Write] = deque()
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._call = self._writing.submit(self._write_waiting)
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")

    async def read(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` on one snapshot, in a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, _transact, self._reader, fn)

    async def write(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` in the writer thread, in a transaction that is committed when this returns.

        Whatever else waits meanwhile may be in the same one: each sees what those before it did, and undoes only its
        own when it raises.
        """
        done: Future[Result] = Future()
        self._waiting.append(_Write(fn, done))
        if self._call.running() or self._call.done():  # one that has not begun will find this too
            self._call = self._writing.submit(self._write_waiting)
        waited = asyncio.wrap_future(done)
        waited.add_done_callback(_seen)
        return await asyncio.shield(waited)  # else what still waits for its turn would be cancelled with its caller

    def _write_waiting(self) -> None:
        """Do all that waits. Where more comes all the time this does not end."""
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
            group = [each for each in group if each.done.set_running_or_notify_cancel()]
            while len(group) > 1:
                done = _together(self._writer, group)
                del group[:done]
                if not done:
                    break
            for each in group:
                try:
                    each.done.set_result(_transact(self._writer, each.fn))
                except BaseException as error:  # noqa: BLE001  (whoever waits is told)
                    each.done.set_exception(error)

    async def close(self) -> None:
        """Let what runs finish, then close the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        self._reader.dispose()
        self._writer.dispose()
        self._turns.close()


def _seen(waited: asyncio.Future[Any]) -> None:
    if not waited.cancelled():
        waited.exception()  # an abandoned caller's error is nobody's news


def _together(engine: SyncEngine, group: Sequence[_Write]) -> int:
    """Do the first of them in one transaction, as many as there is time for; 0 when it failed: each by itself then."""
    results: list[tuple[Any, BaseException | None]] = []
    try:
        with engine.begin() as conn:
            until = time.monotonic() + GROUP_SECONDS
            for each in group:
                results.append(_within(conn, each.fn))
                if time.monotonic() > until:
                    break
    except DatabaseError as failure:
        if _code(failure) not in _LOCKED:
            return 0
        results = [(None, _passing(failure))] * len(group)  # each would wait as long for the same
    except Exception:  # one has ended what all of them share: by itself it harms nobody else
        log.exception("a transaction of several broke")
        return 0
    for each, (result, error) in zip(group, results, strict=False):
        if error is not None:
            each.done.set_exception(error)
        else:
            each.done.set_result(result)
    return len(results)


def _within(conn: Connection, fn: Callable[[Connection], Any]) -> tuple[Any, BaseException | None]:
    """Run one of several; what it raises of its own undoes only what it did."""
    conn.exec_driver_sql("SAVEPOINT one")
    try:
        result = fn(conn)
    except DatabaseError:
        raise
    except BaseException as error:  # noqa: BLE001  (whoever waits is told)
        conn.exec_driver_sql("ROLLBACK TO one")
        return None, error
    conn.exec_driver_sql("RELEASE one")
    return result, None


def _transact(engine: SyncEngine, fn: Callable[[Connection], Result]) -> Result:
    try:
        with engine.begin() as conn:
            return fn(conn)
    except OperationalError as error:
        if _code(error) in _PASSING:
            raise _passing(error) from error
        raise


def _passing(error: DatabaseError) -> Transient:
    return Transient(f"The database cannot be used now: {error.orig}")


def _engine(path: Path, *, size: int, begin: Callable[[Connection], object], read_only: bool = False) -> SyncEngine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: connect_file(path, read_only=read_only),
        pool_size=size,
        max_overflow=0,
    )

    @event.listens_for(engine, "begin")
    def do_begin(conn: Connection) -> None:
        begin(conn)

    return engine


def _begin_writing(conn: Connection, turns: Turns) -> None:
    with suppress(sqlite3.OperationalError):
        turns.begin(_raw(conn), patience=BUSY_SECONDS)
        return
    conn.exec_driver_sql("BEGIN IMMEDIATE")  # fails again, in SQLAlchemy's words


def _raw(conn: Connection) -> sqlite3.Connection:
    raw = conn.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _code(error: DatabaseError) -> int:
    """SQLite's primary error code; the extended one has it in its lowest byte."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


def _why_closed(path: Path, error: DatabaseError) -> str:
    if _code(error) in _LOCKED:
        return f"The database {path} is locked by another installation or program: stop it, or use another TOWPATH_DATA"
    return f"The database {path} cannot be opened: {error.orig}"
