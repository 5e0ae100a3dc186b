"""What of the host hostile programs are after: a server on its loopback, and its address."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from tests.attacks import hostile


@contextlib.asynccontextmanager
async def listening(host: str) -> AsyncIterator[int]:
    """A server of the host that no app may reach, on both kinds of addresses; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.0 200 OK\r\n\r\n{hostile.TOKEN}".encode())
            await writer.drain()
        writer.close()

    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, 0))
        async with await asyncio.start_server(answer, sock=sock):
            yield int(sock.getsockname()[1])


def own_address() -> str:
    """An address of this machine that others can reach; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])
