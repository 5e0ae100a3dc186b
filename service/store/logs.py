"""Streams of output (builds, release phases, scripts), stored in chunks that readers can follow.

A stream is written by whoever holds the app's lease; a successor goes on where its predecessor stopped.
"""

import asyncio
import string
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import structlog
from sqlalchemy import Connection, func, select

from service.domain.errors import Transient
from service.domain.model import Position
from service.store.database import Database, new_id
from service.store.redaction import REDACTED, Redactor
from service.store.tables import log_chunks, log_positions, log_streams
from service.waiting import set_within

MOST: Final = 8 * 1024 * 1024
"""How many characters of a stream are kept."""
_FLUSH_SECONDS: Final = 0.2
_FLUSH_SIZE: Final = 64 * 1024
_LONGEST_LINE: Final = 64 * 1024
_LONGEST_TOKEN: Final = 4096
_OF_TOKENS: Final = string.ascii_letters + string.digits + "_.-"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a stream; numbers grow without gaps."""

    seq: int
    at: datetime
    text: str


def open_log(conn: Connection, now: datetime) -> str:
    """Make an empty stream and return its id."""
    log_id = new_id()
    conn.execute(log_streams.insert().values(log_id=log_id, created_at=now))
    return log_id


def read(conn: Connection, log_id: str, after_seq: int = 0) -> tuple[list[Chunk], bool]:
    """The chunks after that number, and whether there will be no more."""
    query = select(log_chunks.c.seq, log_chunks.c.at, log_chunks.c.text)
    found = conn.execute(
        query.where(log_chunks.c.log_id == log_id, log_chunks.c.seq > after_seq).order_by(log_chunks.c.seq)
    )
    chunks = [Chunk(**row) for row in found.mappings()]
    closed = conn.execute(select(log_streams.c.closed).where(log_streams.c.log_id == log_id)).scalar()
    return chunks, closed is None or closed


def tail(conn: Connection, log_id: str, size: int = 4000) -> str:
    """The last characters of a stream."""
    query = select(log_chunks.c.text).where(log_chunks.c.log_id == log_id).order_by(log_chunks.c.seq.desc())
    parts: list[str] = []
    for text in conn.execute(query.limit(64)).scalars():
        parts.insert(0, text)
        if sum(map(len, parts)) >= size:
            break
    return "".join(parts)[-size:]


class LogSink:
    """Writes a stream in whole lines, a few times a second, without the secrets it knows or recognizes.

    Leaving the context closes the stream, unless the work is to be taken up again (cancelled, or `Transient`): then a
    line without an end is left to whoever goes on, for it may break off within a secret. Once `ours` is false, another
    has the stream: what is written then goes nowhere.
    """

    def __init__(
        self,
        db: Database,
        log_id: str,
        *,
        secrets: Iterable[str] = (),
        most: int = MOST,
        ours: Callable[[Connection], bool] = lambda _: True,
    ) -> None:
        self._db = db
        self._ours = ours
        self._log_id = log_id
        self._secrets = tuple(secrets)
        self._redactor = Redactor(self._secrets)
        self._most = most
        self._line = ""
        self._token_goes_on = False
        self._ready = ""
        self._turn = asyncio.Lock()
        self._size: int | None = None
        # In characters as they were given: how many, and how many of these are in `_ready` or stored.
        self._given = 0
        self._cut = 0
        self._waiting: deque[tuple[int, str, Position]] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin writing."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, for good or until somebody goes on."""
        await self._end(closed=not isinstance(error, asyncio.CancelledError | Transient))

    def hide(self, secrets: Iterable[str]) -> None:
        """Know these secrets, too, in what is written from now on; to be called between two lines."""
        self._secrets = (*self._secrets, *secrets)
        self._redactor = Redactor(self._secrets)

    async def write(self, text: str) -> None:
        """Append text; it becomes visible a moment later, once its line is complete."""
        self._take(text)
        await self._go_on()

    async def position(self, source: str) -> Position | None:
        """How far the output of the command of that name is in the stream; None of one that has not said a word."""
        return await self._db.read(lambda conn: _position(conn, self._log_id, source))

    async def write_from(self, text: str, *, source: str, position: Position) -> None:
        """Append output of the command of that name; how far it reaches is stored with it, in one transaction."""
        self._take(text)
        self._waiting.append((self._given, source, position))
        await self._go_on()

    async def settle(self) -> None:
        """Store what was given, also a line that has no end yet."""
        self._take_rest()
        await self._flush()

    def _take(self, text: str) -> None:
        whole = self._given + max(text.rfind("\n"), text.rfind("\r")) + 1
        self._given += len(text)
        if self._token_goes_on:
            text = text.lstrip(_OF_TOKENS)
            self._token_goes_on = not text
        self._line += text.replace("\0", "").encode(errors="replace").decode()
        cut = max(self._line.rfind("\n"), self._line.rfind("\r")) + 1
        if cut:
            self._ready += self._redactor.redact(self._line[:cut])
            self._line = self._line[cut:]
            if not self._redactor.within_key:  # else a successor would begin within it, and not know
                self._cut = whole
        held_back = max(_LONGEST_TOKEN, self._redactor.longest)
        if len(self._line) > max(_LONGEST_LINE, 2 * held_back):
            # The end is held back: it may be the beginning of a secret.
            redacted = self._redactor.redact(self._line)
            self._ready += redacted[:-held_back]
            self._line = redacted[-held_back:]
            # What was recognized by its beginning may not have arrived whole.
            self._token_goes_on = redacted.endswith(REDACTED)

    def _take_rest(self) -> None:
        self._ready += self._redactor.redact(self._line)
        self._line = ""
        self._cut = self._given

    async def _go_on(self) -> None:
        if len(self._ready) > _FLUSH_SIZE:
            await self._flush()
        elif self._ready and (self._flusher is None or self._flusher.done()):
            self._flusher = asyncio.create_task(self._flush_soon())

    async def close(self) -> None:
        """Write what is left and close the stream."""
        await self._end(closed=True)

    async def _end(self, *, closed: bool) -> None:
        if self._flusher is not None:
            self._ending.set()
            await self._flusher
        if closed:
            self._take_rest()
        await self._flush()
        if closed:
            await self._db.write(self._close)

    def _close(self, conn: Connection) -> None:
        if self._ours(conn):
            conn.execute(log_streams.update().where(log_streams.c.log_id == self._log_id).values(closed=True))

    async def _flush_soon(self) -> None:
        wait = _FLUSH_SECONDS
        while self._ready and not self._ending.is_set():
            await set_within(self._ending, wait)
            try:
                await self._flush()
            except Transient as error:
                wait = min(2 * wait, 5.0)
                log.warning("log not written yet", log_id=self._log_id, error=error.message)

    async def _flush(self) -> None:
        async with self._turn:
            text, self._ready = self._ready, ""
            now, size, cut = self._db.now(), self._size, self._cut
            reached = {source: position for given, source, position in self._waiting if given <= cut}

            def append(conn: Connection) -> int | None:
                if not self._ours(conn):
                    return size
                _keep(conn, self._log_id, reached)
                return _append(conn, self._log_id, text, size=size, most=self._most, now=now)

            if not text:
                return
            try:
                # What was begun is written even if the writer of the text is cancelled.
                self._size = await asyncio.shield(self._db.write(append))
            except Transient:
                self._ready = text + self._ready
                raise
            while self._waiting and self._waiting[0][0] <= cut:
                self._waiting.popleft()


def _position(conn: Connection, log_id: str, source: str) -> Position | None:
    own = (log_positions.c.log_id == log_id, log_positions.c.source == source)
    found = conn.execute(select(log_positions.c.run, log_positions.c.offset).where(*own)).mappings().first()
    return None if found is None else Position(**found)


def _keep(conn: Connection, log_id: str, reached: Mapping[str, Position]) -> None:
    for source, position in reached.items():
        values = {"run": position.run, "offset": position.offset}
        own = (log_positions.c.log_id == log_id, log_positions.c.source == source)
        if not conn.execute(log_positions.update().where(*own).values(values)).rowcount:
            conn.execute(log_positions.insert().values(log_id=log_id, source=source, **values))


def _append(conn: Connection, log_id: str, text: str, *, size: int | None, most: int, now: datetime) -> int:
    """Add a chunk and return the stream's size, which is None when the caller has not written to it yet."""
    own = log_chunks.c.log_id == log_id
    if size is None:
        size = conn.execute(select(func.coalesce(func.sum(func.length(log_chunks.c.text)), 0)).where(own)).scalar_one()
        conn.execute(log_streams.update().where(log_streams.c.log_id == log_id).values(closed=False))
    if size >= most:
        return size
    if size + len(text) > most:
        text = text[: most - size] + f"\n[the log ends here: it is longer than {most // 1024} kB]\n"
    last = conn.execute(select(func.max(log_chunks.c.seq)).where(own)).scalar() or 0
    conn.execute(log_chunks.insert().values(log_id=log_id, seq=last + 1, at=now, text=text))
    return size + len(text)
