"""The client's side of an attached one-off: messages over the socket of its shim."""

import asyncio
import contextlib
from pathlib import Path
from typing import Self

from service.domain.errors import Refused
from workers.platforms.process.attached import HEAD, LONGEST


class SocketLine:
    """A `Line`: each message is a letter, the length of what follows in four bytes, and that."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> Self:
        """Be the one client there is. Raises `Refused` when another was sooner or it has ended."""
        try:
            return cls(*await asyncio.open_unix_connection(path))
        except OSError:
            raise Refused("Somebody is attached to it already, or it has ended.", code="conflict") from None

    async def send(self, message: bytes) -> None:
        """See `Line`."""
        self._writer.write(HEAD.pack(message[:1], len(message) - 1) + message[1:])
        await self._writer.drain()

    async def receive(self) -> bytes | None:
        """See `Line`."""
        try:
            kind, size = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            return bytes(kind + await self._reader.readexactly(size)) if size <= LONGEST else None
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def close(self) -> None:
        """See `Line`."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
