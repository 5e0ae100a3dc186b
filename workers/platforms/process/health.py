"""Whether a freshly started process is up: asked through its hand-over socket, as the router will."""

import array
import asyncio
import contextlib
import os
import socket
from pathlib import Path

from workers.platforms.process.keeper import readable


async def connect(path: Path) -> socket.socket | None:
    """A TCP socket connected to the app, or None as long as it does not accept."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, str(path))
            await readable(sock.fileno())
            size = socket.CMSG_SPACE(array.array("i").itemsize)
            answer, extra, _, _ = sock.recvmsg(256, size)
        except OSError:
            return None
    if answer[:1] != b"+" or not extra:
        return None
    numbers = array.array("i", extra[0][2])
    made = socket.socket(fileno=numbers[0])
    made.setblocking(False)
    return made


async def accepts(path: Path, *, poll: float) -> None:
    """Return when the app accepts a connection."""
    while True:
        if connection := await connect(path):
            connection.close()
            return
        await asyncio.sleep(poll)


async def answers(path: Path, url_path: str, *, host: str, poll: float) -> None:
    """Return when the app answers a GET of `url_path` with 2xx or 3xx."""
    while True:
        if await _ask(path, url_path, host):
            return
        await asyncio.sleep(max(poll, 0.05))


async def _ask(path: Path, url_path: str, host: str) -> bool:
    connection = await connect(path)
    if connection is None:
        return False
    request = f"GET {url_path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: towpath-health\r\nConnection: close\r\n\r\n"
    loop = asyncio.get_running_loop()
    with connection, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(10.0):
            await loop.sock_sendall(connection, request.encode())
            status = b""
            while len(status) < len(b"HTTP/1.1 200") and (data := await loop.sock_recv(connection, 4096)):
                status += data
            return status[:5] == b"HTTP/" and status[9:10] in {b"2", b"3"}
    return False


def last_lines(text: str, count: int = 20) -> str:
    """The end of a process's output, for the text of an error."""
    return os.linesep.join(text.splitlines()[-count:])
