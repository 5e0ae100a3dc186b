"""The database of larger installations: PostgreSQL through asyncpg, with writers taking turns as on SQLite.

Every writing transaction first takes one advisory lock and then runs at READ COMMITTED: each of its statements sees all
that was committed before, and nobody else commits until it does. Reads are REPEATABLE READ and wait for nobody.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self, TypeVar

import asyncpg
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.domain.errors import Refused, Transient

Result = TypeVar("Result")

WRITERS_TURN: Final = 0x746F77706174680A
"""The advisory lock's number, "towpath" in ASCII; also held while migrating."""

POOL = 8
ATTEMPTS = 5
DEADLINE = 30.0
"""How many seconds a caller waits for a transaction: a server that hangs says nothing, and everybody would with it."""
_COMMAND_SECONDS = 40.0  # for a server that cannot end the statement itself any more
# Serialization failure, deadlock: the statement was given up for another's sake. Foreign writers can cause them.
_GIVEN_UP = frozenset({"40001", "40P01"})
# Classes of SQLSTATE that pass: connection lost, out of resources, shut down by its operator.
_PASSING = ("08", "53", "57P")
# SQLAlchemy wraps what statements raise, but not what connecting raises.
_FAILURES = (DBAPIError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
# A writer whose machine froze must not keep everyone waiting: the server ends its transaction, soon enough for the
# others to renew their leases in time (20 s, begun every 5).
_SERVER_SETTINGS = {
    "application_name": "towpath",
    "idle_in_transaction_session_timeout": "10000",
    "statement_timeout": "25000",
    "tcp_keepalives_idle": "10",
    "timezone": "UTC",
}


class PostgreSQL:
    """One PostgreSQL database."""

    def __init__(self, engine: AsyncEngine, *, deadline: float | None) -> None:
        self._deadline = deadline
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writer = engine.execution_options(isolation_level="READ COMMITTED")
        self._engine = engine
        # One connection at a time waits for its turn, so that waiting writers leave the pool to readers.
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def connect(cls, url: URL, *, patient: bool = False) -> Self:
        """Connect and try one statement. A `patient` one lets statements take what they take, as migrations may."""
        hasty = {} if patient else {"command_timeout": _COMMAND_SECONDS}
        settings = _SERVER_SETTINGS | ({"statement_timeout": "0"} if patient else {})
        engine = create_async_engine(
            asyncpg_url(url),
            pool_size=POOL,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"server_settings": settings, "timeout": 15, **hasty},
        )
        try:
            async with engine.connect() as conn:
                await conn.execute(text("SELECT 1"))
        except _FAILURES as error:
            await engine.dispose()
            shown = url.render_as_string(hide_password=True)
            raise Refused(f"The database {shown} cannot be opened: {getattr(error, 'orig', error)}") from error
        return cls(engine, deadline=None if patient else DEADLINE)

    async def read(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` on one snapshot."""
        return await self._finish(self._read(fn))

    async def write(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` in one transaction when it is this process's turn and then this transaction's."""
        return await self._finish(self._write(fn))

    async def close(self) -> None:
        """Let what runs finish, then disconnect. What hangs is not waited for."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._deadline)
        await self._engine.dispose()

    async def _finish(self, transaction: Coroutine[Any, Any, Result]) -> Result:
        # Cancelling asyncpg in the middle of a statement costs the connection; the transaction runs on by itself.
        task = asyncio.create_task(transaction)
        self._running.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task}, timeout=self._deadline)
        if not task.done():
            raise Transient(f"The database did not answer within {self._deadline or 0:.0f} s")
        return task.result()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # an abandoned caller's error is nobody's news

    async def _read(self, fn: Callable[[Connection], Result]) -> Result:
        try:
            async with self._reader.begin() as conn:
                return await conn.run_sync(fn)
        except _FAILURES as error:
            raise _explained(error) from error

    async def _write(self, fn: Callable[[Connection], Result]) -> Result:
        attempt = 1
        while True:
            try:
                async with self._turn, self._writer.begin() as conn:
                    await conn.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": WRITERS_TURN})
                    return await conn.run_sync(fn)
            except _FAILURES as error:
                if _sqlstate(error) not in _GIVEN_UP or attempt == ATTEMPTS:
                    raise _explained(error) from error
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
            attempt += 1


def asyncpg_url(url: URL) -> URL:
    """The URL in asyncpg's words: it says `ssl` where libpq says `sslmode`."""
    url = url.set(drivername="postgresql+asyncpg")
    if "sslmode" in url.query:
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
    return url


def driver_url(url: URL) -> str:
    """The URL for asyncpg itself, which knows libpq's words."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _sqlstate(error: Exception) -> str:
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def _explained(error: Exception) -> Exception:
    state = _sqlstate(error)
    lost = not isinstance(error, DBAPIError | asyncpg.PostgresError) or state.startswith(_PASSING)
    if lost or state in _GIVEN_UP or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Transient(f"The database did not answer: {getattr(error, 'orig', error)}")
    return error
