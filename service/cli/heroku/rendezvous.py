"""Where `heroku run` comes for its terminal: over TLS it says a key, is told `rendezvous`, and then is the terminal.

Our server speaks another way of that: messages of a letter and bytes over a WebSocket, as `service/cli/terminal.py`
does. The child tells the size of its terminal once, when it asks, and the end of its input with a Ctrl-D; an exit code
it reads, where it wants one, from what the command prints.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from service.cli.heroku.hosts import Hosts
from service.cli.profile import Profile, reached_at

_KEY_SECONDS: Final = 10.0
_ALIVE_SECONDS: Final = 15.0
_SILENT_SECONDS: Final = 60.0
_PIECE: Final = 16 * 1024
_HELLO: Final = b"rendezvous\r\n"
_CTRL_D: Final = b"\x04"
_BROKEN: Final = "The connection to the command broke off; it has been hung up."


def address(profile: Profile, path: str) -> tuple[URL, str | None]:
    """Where a path of our server is reached, and the name that its TLS is for: that in the profile."""
    server = URL(profile.url)
    name = server.raw_host or ""
    url = URL(str(server.with_host(reached_at(name))).rstrip("/") + path, encoded=True)
    return url, name if server.scheme == "https" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terminal:
    """What the child has said of its own: `size` is lines and columns; without `is_one` bytes pass as they are."""

    path: str
    is_one: bool
    size: tuple[int, int] | None

    @classmethod
    def of(cls, path: str, asked: Mapping[str, Any]) -> "_Terminal":
        env, size = asked.get("env"), None
        match env if isinstance(env, dict) else {}:
            case {"LINES": int(lines), "COLUMNS": int(columns)} if 0 < lines < 65536 and 0 < columns < 65536:
                size = (lines, columns)
        return cls(path=path, is_one=asked.get("force_no_tty") is not True, size=size)


@dataclass(slots=True, kw_only=True)
class Rendezvous:
    """The meeting place of one front; `url` is where it listens."""

    profile: Profile
    session: aiohttp.ClientSession
    hosts: Hosts
    url: str = ""
    _expected: dict[str, _Terminal] = field(default_factory=dict)

    def expect(self, asked: object, answer: bytes) -> bytes:
        """What our server answered to whoever asked for a dyno, with an address here in place of its own."""
        try:
            words, data = json.loads(asked) if isinstance(asked, bytes) else None, json.loads(answer)
        except ValueError:
            return answer
        match words, data:
            case dict(), {"attach_url": str(url)}:
                path = urlsplit(url).path
                key = path.rpartition("/")[2]
                self._expected[key] = _Terminal.of(path, words)
                return json.dumps({**data, "attach_url": f"{self.url}/{key}"}).encode()
            case _:
                return answer

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join who comes with a key, once for each, with the command that waits for it at our server."""
        async with asyncio.timeout(_KEY_SECONDS):
            key = (await reader.readuntil(b"\r\n")).decode("latin-1").strip()
        terminal = self._expected.pop(key, None)
        if terminal is None:
            return
        url, name = address(self.profile, terminal.path)
        headers = {"Host": self.profile.host}
        try:
            async with self.session.ws_connect(url, headers=headers, max_msg_size=0, server_hostname=name) as at_server:
                # The child throws its first piece away, whatever is in it: this is one of its own.
                writer.write(_HELLO)
                await writer.drain()
                lost = await _Joined(at_server, reader, writer, terminal).hold()
        except aiohttp.WSServerHandshakeError as error:
            lost = f"The server does not let us attach (HTTP {error.status})."
        except aiohttp.ClientError as error:
            lost = f"Cannot reach Towpath at {self.profile.url} ({str(error) or type(error).__name__})."
        if lost:
            self.hosts.note(lost)
            _break(writer)


def _break(writer: asyncio.StreamWriter) -> None:
    """End it as trouble does: after an end in good order the child would think that the command is done."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass(frozen=True, slots=True)
class _Joined:
    """The child at one end, our server at the other."""

    at_server: aiohttp.ClientWebSocketResponse
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    terminal: _Terminal

    async def hold(self) -> str:
        """Pass all on until either side goes; returns why when it is not the command that ended, nor the child."""
        hearing = asyncio.create_task(self._hear())
        speaking, beating = asyncio.create_task(self._speak()), asyncio.create_task(self._beat())
        try:
            await asyncio.wait({hearing, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                with suppress(ConnectionError):
                    await self.at_server.send_bytes(b"h")
                return ""
            return hearing.result()
        finally:
            for task in (hearing, speaking, beating):
                task.cancel()
            await asyncio.gather(hearing, speaking, beating, return_exceptions=True)

    async def _hear(self) -> str:
        while True:
            try:
                message = await self.at_server.receive(timeout=_SILENT_SECONDS)
            except TimeoutError:
                return _BROKEN
            if message.type is not aiohttp.WSMsgType.BINARY:
                return _BROKEN
            kind, content = message.data[:1], message.data[1:]
            if kind == b"x":
                return ""
            if kind == b"l":
                return str(content.decode(errors="replace"))
            if kind in {b"o", b"r"}:
                self.writer.write(content)
                await self.writer.drain()

    async def _speak(self) -> None:
        if self.terminal.is_one and self.terminal.size is not None:
            await self.at_server.send_bytes(b"w" + struct.pack(">HH", *self.terminal.size))
        while data := await self.reader.read(_PIECE):
            # A terminal makes an end of a Ctrl-D by itself; without one it has to be told.
            is_end = not self.terminal.is_one and data.endswith(_CTRL_D)
            if typed := data.removesuffix(_CTRL_D) if is_end else data:
                await self.at_server.send_bytes(b"i" + typed)
            if is_end:
                await self.at_server.send_bytes(b"e")

    async def _beat(self) -> None:
        with suppress(ConnectionError):
            while True:
                await asyncio.sleep(_ALIVE_SECONDS)
                await self.at_server.send_bytes(b"a")
