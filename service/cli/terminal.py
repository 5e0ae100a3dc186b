"""This terminal, or whatever stands in its place, joined with a command that runs on the server.

With a terminal at both ends keys go over as they are pressed, Ctrl-C among them, and so does the window's size. Without
one bytes pass as they are, what the command writes to stderr comes out at ours, and the end of the input is told.
"""

import asyncio
import os
import shutil
import signal
import struct
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from service.cli import trouble
from service.cli.errors import ExitCode, Stop
from service.cli.profile import Profile, reached_at

_PIECE = 16 * 1024
_ALIVE_SECONDS = 15.0
_SILENT_SECONDS = 60.0
_CTRL_C = b"\x03"
_IMPATIENT, _WITHIN_SECONDS = 4, 1.0
_STREAMS = {b"o": 1, b"r": 2}


class Lost(Stop):
    """The connection has gone before the command told its end."""

    def __init__(self, why: str) -> None:
        super().__init__(why)


def is_one() -> bool:
    """Whether there is a terminal to give to a command: for what it reads and for what it writes."""
    return os.isatty(0) and os.isatty(1)


def variables() -> dict[str, str]:
    """What a command is told of our terminal by."""
    size = shutil.get_terminal_size()
    return {
        "TERM": os.environ.get("TERM") or "dumb",
        "COLUMNS": str(size.columns),
        "LINES": str(size.lines),
    }


def attach(profile: Profile, attach_url: str, *, raw: bool) -> int:
    """Be the command's terminal until it ends, and return its exit code; raises `Lost`, or `Stop` when we are ended."""
    with _raw() if raw else _as_it_is():
        return asyncio.run(_attach(profile, urlsplit(attach_url).path, raw=raw))


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _raw() -> Iterator[None]:
    """Keys as they are pressed, and afterwards the terminal as it was, whatever happens."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


async def _attach(profile: Profile, path: str, *, raw: bool) -> int:
    parts = urlsplit(profile.url)
    host = reached_at(parts.hostname or "")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{parts.port}" if parts.port else ""
    url = f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}{path}"
    try:
        headers = {"Host": profile.host}
        async with (
            aiohttp.ClientSession() as session,
            # TLS is for the name in the profile, wherever that leads.
            session.ws_connect(url, headers=headers, max_msg_size=0, server_hostname=parts.hostname) as at_server,
        ):
            return await _Session(at_server, raw=raw).hold()
    except aiohttp.WSServerHandshakeError as error:
        raise Lost(f"The server does not let us attach (HTTP {error.status}).") from None
    except aiohttp.ClientConnectorError as error:
        raise trouble.broken(profile, error.os_error) from None
    except OSError as error:
        raise trouble.broken(profile, error) from None
    except aiohttp.ClientError:
        raise trouble.broken(profile, ConnectionResetError()) from None


@dataclass(slots=True)
class _Session:
    """One connection, from its beginning to its end."""

    at_server: aiohttp.ClientWebSocketResponse
    raw: bool
    presses: deque[float] = field(default_factory=lambda: deque(maxlen=_IMPATIENT))

    async def hold(self) -> int:
        """Pass everything on until the command ends."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()

        def end(number: int) -> None:
            if not ended.done():
                ended.set_result(number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        if self.raw:
            loop.add_signal_handler(signal.SIGWINCH, lambda: self._soon(self._size()))
        listening = asyncio.create_task(self._listen())
        speaking = [asyncio.create_task(part) for part in (self._speak(end), self._beat())]
        try:
            await asyncio.wait({listening, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                with suppress(ConnectionError):
                    await self.at_server.send_bytes(b"h")
                raise Stop("Hung up.", code=ExitCode.INTERRUPTED)
            return listening.result()
        finally:
            for task in (listening, *speaking):
                task.cancel()
            await asyncio.gather(listening, *speaking, return_exceptions=True)

    def _soon(self, act: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(act)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _size(self) -> None:
        size = shutil.get_terminal_size()
        with suppress(OSError):
            size = os.get_terminal_size(1)
        await self.at_server.send_bytes(b"w" + struct.pack(">HH", size.lines, size.columns))

    async def _beat(self) -> None:
        """Say from time to time that we are there, also while nobody reads what we print."""
        with suppress(ConnectionError):
            while True:
                await asyncio.sleep(_ALIVE_SECONDS)
                await self.at_server.send_bytes(b"a")

    async def _listen(self) -> int:
        while True:
            try:
                message = await self.at_server.receive(timeout=_SILENT_SECONDS)
            except TimeoutError:
                raise Lost("The server is silent; the command is hung up when it notices that too.") from None
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise Lost("The connection broke off; the command has been hung up.")
            kind, content = message.data[:1], message.data[1:]
            if kind == b"x":
                return int(content)
            if kind == b"l":
                raise Lost(content.decode(errors="replace"))
            if kind in _STREAMS:
                await asyncio.to_thread(_write_all, _STREAMS[kind], content)

    async def _speak(self, end: Callable[[int], None]) -> None:
        """What is typed, or comes from a file or a pipe, as fast as it is taken."""
        with suppress(ConnectionError):
            if self.raw:
                await self._size()
            typed: asyncio.Queue[bytes] = asyncio.Queue()
            wanted = threading.Semaphore()
            loop = asyncio.get_running_loop()

            def tell(data: bytes) -> None:
                loop.call_soon_threadsafe(typed.put_nowait, data)

            # A thread of its own, which is not waited for at the end: nobody can say when a read of it returns.
            threading.Thread(target=_read_all, args=(wanted, tell), daemon=True).start()
            while data := await typed.get():
                wanted.release()
                if self.raw and self._is_enough(data):
                    end(signal.SIGINT)
                await self.at_server.send_bytes(b"i" + data)
            await self.at_server.send_bytes(b"e")

    def _is_enough(self, data: bytes) -> bool:
        """Whether Ctrl-C was pressed so often that the command seems not to hear it."""
        if data == _CTRL_C:
            self.presses.append(time.monotonic())
        return len(self.presses) == _IMPATIENT and self.presses[-1] - self.presses[0] < _WITHIN_SECONDS


def _write_all(stream: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(stream, left) :]


def _read_all(wanted: threading.Semaphore, tell: Callable[[bytes], object]) -> None:
    data = b"+"
    while data:
        wanted.acquire()
        try:
            data = os.read(0, _PIECE)
        except OSError:  # there is no standard input, or the terminal has gone
            data = b""
        with suppress(RuntimeError):  # the end has come meanwhile
            tell(data)
