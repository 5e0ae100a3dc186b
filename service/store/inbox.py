"""The fast way in for webhooks: stored before they are answered, many in one commit, each once.

It speaks to the driver directly. While one group is being committed the next one gathers, so that a burst shares its
waits for the disk and a lone webhook waits for nobody. What can be done before is: every call of the thread that
commits gives the interpreter away, and is given it back only when the loop has nothing better to do.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, Self

import asyncpg
import structlog
import zstandard
from sqlalchemy import make_url

from service.domain.errors import Transient
from service.store.postgresql import driver_url
from service.store.sqlite import connect_file
from service.store.tables import EPOCH
from service.store.turns import Turns

State = Literal["new", "known", "processed"]

GROUP: Final = 256
GROUP_BYTES: Final = 32 * 1024 * 1024
LARGE: Final = 256 * 1024
"""Below this it takes longer to wake a thread than to do the work on a body."""
# GitHub waits ten seconds for an answer: better to be asked again than to answer too late.
_PATIENCE: Final = 5.0
# The database is locked, full or away: whoever comes next would wait as long for the same.
_AWAY: Final = (
    sqlite3.OperationalError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    OSError,
    TimeoutError,
)

_LEVEL: Final = 1
"""Takes half the time of zstd's default, for a few percent more bytes."""

log = structlog.get_logger()

_COLUMNS: Final = (
    "guid",
    "event",
    "action",
    "repository_id",
    "installation_id",
    "body",
    "received_at",
    "delivered_at",
)


_AGAIN: Final = "UPDATE deliveries SET state = 'received', attempts = 0, processed_at = NULL, retry_at = NULL"
"""What comes again after it failed is tried as often as what is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A delivery on its way into the table, its body compressed."""

    guid: str
    event: str
    action: str
    repository_id: int | None
    installation_id: int | None
    body: bytes
    received_at: datetime
    delivered_at: datetime | None

    def values(self) -> tuple[str | int | bytes | None, ...]:
        """The row's values in the order of `_COLUMNS`."""
        return (
            self.guid,
            self.event,
            self.action,
            self.repository_id,
            self.installation_id,
            self.body,
            _number(self.received_at),
            _number(self.delivered_at) if self.delivered_at is not None else None,
        )


def _number(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


class Shelf(Protocol):
    """Where groups are stored; one at a time."""

    async def store(self, group: Sequence[Arrival]) -> list[State]:
        """Commit all of them and say of each what it was."""

    async def close(self) -> None:
        """Let go of the connection."""


class Inbox:
    """Takes deliveries; open one per process that receives."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._waiting: list[_Waiting] = []
        self._alone = 0
        self._came = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._work())

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the database of that URL, which `Database.migrate` has prepared."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return cls(await SQLiteShelf.open(Path(parsed.database or "")))
        return cls(await PostgreSQLShelf.open(driver_url(parsed)))

    async def put(
        self,
        *,
        guid: str,
        event: str,
        action: str,
        repository_id: int | None,
        installation_id: int | None,
        body: bytes,
        received_at: datetime,
        delivered_at: datetime | None = None,
    ) -> State:
        """Store a delivery and return when it is on disk; raises `Transient` when it is not.

        `delivered_at` is when GitHub sent it, of one that was fetched later.
        """
        arrival = Arrival(
            guid=guid,
            event=event,
            action=action,
            repository_id=repository_id,
            installation_id=installation_id,
            body=await self._compressed(body),
            received_at=received_at,
            delivered_at=delivered_at,
        )
        if self._closing or self._task.done():
            raise Transient("The inbox is closed")
        stored: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(arrival, stored))
        self._came.set()
        return await stored

    async def _compressed(self, body: bytes) -> bytes:
        if len(body) > LARGE:  # a compressor is for one thread
            return await asyncio.to_thread(zstandard.compress, body, _LEVEL)
        return self._compressor.compress(body)

    async def close(self) -> None:
        """Store what has come, then disconnect."""
        self._closing = True
        self._came.set()
        await self._task
        await self._shelf.close()

    async def _work(self) -> None:
        while self._waiting or not self._closing:
            await self._came.wait()
            while self._waiting:
                await self._store(self._next_group())
            if not self._closing:
                self._came.clear()

    def _next_group(self) -> list["_Waiting"]:
        size = count = 0
        for each in self._waiting[: 1 if self._alone else GROUP]:
            if count and size + len(each.arrival.body) > GROUP_BYTES:
                break
            size += len(each.arrival.body)
            count += 1
        self._alone = max(0, self._alone - 1)
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _store(self, group: list["_Waiting"]) -> None:
        try:
            states = await self._shelf.store([each.arrival for each in group])
        except _AWAY as error:
            self._alone, self._waiting, all_of_them = 0, [], [*group, *self._waiting]
            _fail(all_of_them, Transient(f"The delivery could not be stored: {error!r}"))
        except Exception as error:  # nothing that one delivery holds may close the door to the others
            log.exception("not stored", deliveries=len(group))
            self._refuse(group, error)
        except BaseException as error:
            _fail(group, error)
            raise
        else:
            for each, state in zip(group, states, strict=True):
                if not each.stored.done():
                    each.stored.set_result(state)

    def _refuse(self, group: list["_Waiting"], error: Exception) -> None:
        """One of them is not taken: each by itself, so that the others are."""
        if len(group) > 1:
            self._waiting[:0], self._alone = group, self._alone + len(group)
            return
        _fail(group, Transient(f"The delivery could not be stored: {error!r}"))


class _Waiting(NamedTuple):
    """A delivery and who waits for it to be stored."""

    arrival: Arrival
    stored: asyncio.Future[State]


def _fail(group: Sequence[_Waiting], error: BaseException) -> None:
    for each in group:
        if not each.stored.done():
            each.stored.set_exception(error)


class SQLiteShelf:
    """A connection of its own in a thread of its own."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, turns: Turns) -> None:
        self._connection = connection
        self._thread = thread
        self._turns = turns

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        connection = await asyncio.get_running_loop().run_in_executor(thread, connect_file, path)
        return cls(connection, thread, Turns(path))

    async def store(self, group: Sequence[Arrival]) -> list[State]:
        """Commit all of them and say of each what it was."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._store, group)

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()
        self._turns.close()

    def _store(self, group: Sequence[Arrival]) -> list[State]:
        rows = [arrival.values() for arrival in group]
        self._turns.begin(self._connection, patience=_PATIENCE)
        try:
            states = self._insert_all(rows)
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors, such as a full disk, have rolled back already
                self._connection.execute("ROLLBACK")
            raise
        return states

    def _insert_all(self, rows: Sequence[tuple[str | int | bytes | None, ...]]) -> list[State]:
        try:
            self._connection.execute(_sqlite_insert(len(rows)), list(chain.from_iterable(rows)))
        except sqlite3.IntegrityError:  # one is here already, most likely; that undoes the statement alone
            return [self._insert(values) for values in rows]
        return ["new"] * len(rows)

    def _insert(self, values: tuple[str | int | bytes | None, ...]) -> State:
        if self._connection.execute(f"{_sqlite_insert(1)} ON CONFLICT (guid) DO NOTHING", values).rowcount:
            return "new"
        guid = values[:1]
        self._connection.execute(f"{_AGAIN} WHERE guid = ? AND state = 'failed'", guid)
        (state,) = self._connection.execute("SELECT state FROM deliveries WHERE guid = ?", guid).fetchone()
        return _known(state)


@cache
def _sqlite_insert(count: int) -> str:
    values = f"({', '.join('?' * len(_COLUMNS))}, 'received')"
    return f"INSERT INTO deliveries ({', '.join(_COLUMNS)}, state) VALUES {', '.join([values] * count)}"  # noqa: S608


class PostgreSQLShelf:
    """One connection of a small pool, which replaces it when it breaks."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect."""
        return cls(await asyncpg.create_pool(url, min_size=1, max_size=1, command_timeout=_PATIENCE))

    async def store(self, group: Sequence[Arrival]) -> list[State]:
        """Commit all of them and say of each what it was."""
        columns = list(zip(*(arrival.values() for arrival in group), strict=True))
        guids = columns[0]
        async with self._pool.acquire(timeout=_PATIENCE) as connection, connection.transaction():
            made = {guid for (guid,) in await connection.fetch(_POSTGRESQL_INSERT, *columns)}
            again = [guid for guid in guids if guid not in made]
            if again:
                await connection.execute(_POSTGRESQL_RETRY, again)
            found = dict(await connection.fetch(_POSTGRESQL_STATES, guids))
        states: list[State] = []
        for guid in guids:
            # The same delivery twice in one group: the second finds the first.
            states.append("new" if guid in made else _known(found[guid]))
            made.discard(guid)
        return states

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()


_POSTGRESQL_INSERT: Final = (
    f"INSERT INTO deliveries ({', '.join(_COLUMNS)}, state) "  # noqa: S608
    "SELECT *, 'received' FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], "
    "$7::bigint[], $8::bigint[]) ON CONFLICT (guid) DO NOTHING RETURNING guid"
)
_POSTGRESQL_RETRY: Final = f"{_AGAIN} WHERE guid = ANY($1::text[]) AND state = 'failed'"
_POSTGRESQL_STATES: Final = "SELECT guid, state FROM deliveries WHERE guid = ANY($1::text[])"


def _known(state: str) -> State:
    return "known" if state == "received" else "processed"
