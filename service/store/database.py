"""The database under one API: `read` is one snapshot, `write` one transaction, on SQLite and on PostgreSQL alike.

Writers take turns on both engines (SQLite's `BEGIN IMMEDIATE`, PostgreSQL's advisory lock), so a function given to
`write` may read, decide and write in the plain way: nothing it has read can change before it commits. It must have no
effect but on its connection, because a transaction that the engine gives up is run again.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError

from service.domain.errors import Refused
from service.store import schema
from service.store.postgresql import PostgreSQL
from service.store.sqlite import SQLite

Result = TypeVar("Result")


class Conflict(Exception):
    """Somebody else changed the row since it was read: load it again and decide again."""


class Engine(Protocol):
    """What the two engines have in common."""

    async def read(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` on one snapshot."""

    async def write(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` in one transaction; rolled back when it raises."""

    async def close(self) -> None:
        """Let what runs finish, then disconnect."""


def new_id() -> str:
    """A fresh id."""
    return str(uuid.uuid4())


def utc_now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


class SteadyClock:
    """The machine's time, going on as before when that is set back: what is due in a second is due in a second.

    What waits until a time of before would otherwise wait longer by as much as the clock was set back.
    """

    def __init__(self, wall: Callable[[], datetime] = utc_now) -> None:
        self._wall = wall
        self._booted = datetime.min.replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        """Now; never earlier than before."""
        up = timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
        self._booted = max(self._booted, self._wall() - up)
        return self._booted + up


class Database:
    """An open database. A caller that is cancelled leaves its transaction to finish by itself."""

    def __init__(self, engine: Engine, *, url: str, dialect: str, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self.url = url
        self.dialect = dialect

    @classmethod
    async def open(cls, url: str, *, clock: Callable[[], datetime] | None = None) -> Self:
        """Connect to `sqlite:///PATH` or `postgresql://...`; refuses what is shut or newer than this code."""
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise Refused("TOWPATH_DATABASE_URL is not a URL such as postgresql://user:password@host/name") from None
        dialect = parsed.get_backend_name()
        engine: Engine
        match dialect:
            case "sqlite":
                engine = await asyncio.to_thread(SQLite, parsed)
            case "postgresql" | "postgres":
                dialect, engine = "postgresql", await PostgreSQL.connect(parsed)
            case _:
                raise Refused(f"TOWPATH_DATABASE_URL names {dialect}; Towpath works with sqlite and postgresql")
        database = cls(engine, url=url, dialect=dialect, clock=clock or SteadyClock())
        try:
            await database.read(schema.check)
        except BaseException:
            await database.close()
            raise
        return database

    async def read(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` on one snapshot of the database; writing there is an error."""
        return await self._engine.read(fn)

    async def write(self, fn: Callable[[Connection], Result]) -> Result:
        """Run `fn` in one transaction, committed when it returns and rolled back when it raises.

        That comes to its end even if whoever waits for it is cancelled before its turn has come.
        """
        return await self._engine.write(fn)

    async def migrate(self) -> None:
        """Bring the tables to what this code needs; others that start at the same moment wait their turn."""
        if self.dialect != "postgresql":
            await self._engine.write(schema.upgrade)
            return
        patient = await PostgreSQL.connect(make_url(self.url), patient=True)
        try:
            await patient.write(schema.upgrade)
        finally:
            await patient.close()

    def now(self) -> datetime:
        """The time by this database's clock."""
        return self._clock()

    async def close(self) -> None:
        """Let what runs finish, then disconnect."""
        await self._engine.close()
