"""The embedded database: SQLite in WAL mode, one writer thread per process and a few readers.

Transactions are begun by us (`isolation_level=None`): the driver's own deferred ones fail with "database is locked" as
soon as two processes read first and write afterwards; `BEGIN IMMEDIATE` makes them queue instead.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy import Engine as SyncEngine
from sqlalchemy.exc import DatabaseError, OperationalError

from service.domain.errors import Refused, Transient

Result = TypeVar("Result")

READERS = 4
BUSY_SECONDS = 15.0
# Another program holds it, or the disk is full or failing: may pass, and nothing was changed.
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def connect_file(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file the way all our connections are: every commit reaches the disk, foreign keys hold."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
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


class SQLite:
    """One database file. Made in a thread, because opening waits for the disk."""

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise Refused("TOWPATH_DATABASE_URL must name a file: sqlite:////var/lib/towpath/towpath.db")
        path = Path(url.database)
        self._writer = _engine(path, begin="BEGIN IMMEDIATE", size=1)
        self._reader = _engine(path, begin="BEGIN", size=READERS, read_only=True)
        try:
            # SQLite gives the files beside it (-wal, -shm) the same mode.
            path.touch(mode=0o600)
            with self._writer.connect():
                pass
        except OSError as error:
            raise Refused(f"The database {path} cannot be opened: {error.strerror}") from error
        except DatabaseError as error:
            self._writer.dispose()
            raise Refused(_why_closed(path, error)) from error
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")

    async def read(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` on one snapshot, in a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, _transact, self._reader, fn)

    async def write(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` in one transaction, in the writer thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writing, _transact, self._writer, fn)

    async def close(self) -> None:
        """Let what runs finish, then close the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        self._reader.dispose()
        self._writer.dispose()


def _transact(engine: SyncEngine, fn: Callable[[Connection], Result]) -> Result:
    try:
        with engine.begin() as conn:
            return fn(conn)
    except OperationalError as error:
        if _code(error) in _PASSING:
            raise Transient(f"The database cannot be used now: {error.orig}") from error
        raise


def _engine(path: Path, *, begin: str, size: int, read_only: bool = False) -> SyncEngine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: connect_file(path, read_only=read_only),
        pool_size=size,
        max_overflow=0,
    )

    @event.listens_for(engine, "begin")
    def do_begin(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _code(error: DatabaseError) -> int:
    """SQLite's primary error code; the extended one has it in its lowest byte."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF


def _why_closed(path: Path, error: DatabaseError) -> str:
    if _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return f"The database {path} is locked by another installation or program: stop it, or use another TOWPATH_DATA"
    return f"The database {path} cannot be opened: {error.orig}"
