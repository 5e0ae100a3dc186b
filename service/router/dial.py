"""Connects to an endpoint: the only place that knows what an address means.

unix:PATH       a hand-over socket: it answers a connection with `+` and one connected TCP descriptor, or with a text:
                behind `?` where nothing listens on the app's port, behind `-` where something is wrong.
                The port lies in a network namespace that only the other side can enter.
tcp:HOST:PORT   a plain address
web:PATH        HTTP on a unix socket: Towpath's own web process
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

P = TypeVar("P", bound=asyncio.Protocol)


class Unreachable(Exception):
    """No connection to this endpoint; nothing of a request has been sent."""


class Absent(Unreachable):
    """Its process is not there, or does not listen yet."""


async def dial(address: str, factory: Callable[[], P], *, seconds: float) -> P:
    """Return the connected protocol; raises `Unreachable`."""
    try:
        async with asyncio.timeout(seconds):
            return await _connect(address, factory)
    except TimeoutError:
        raise Unreachable(f"no connection to {address} within {seconds:g} s") from None
    except OSError as error:
        raise Unreachable(f"{address}: {error}") from error


async def _connect(address: str, factory: Callable[[], P]) -> P:
    loop = asyncio.get_running_loop()
    scheme, _, rest = address.partition(":")
    match scheme:
        case "unix":
            received = await _handed_over(rest)
            try:
                _, protocol = await loop.create_connection(factory, sock=received)
            except BaseException:
                received.close()
                raise
        case "tcp":
            host, _, port = rest.rpartition(":")
            _, protocol = await loop.create_connection(factory, host.strip("[]"), int(port))
        case "web":
            protocol = await _when_back(factory, rest)
        case _:
            raise Unreachable(f"{address} is not an address this router understands")
    return protocol


async def _when_back(factory: Callable[[], P], path: str) -> P:
    """Connect to our own web process, which is started anew within moments: a webhook must not be lost with it."""
    while True:
        try:
            _, protocol = await asyncio.get_running_loop().create_unix_connection(factory, path)
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(0.05)
        else:
            return protocol


async def _handed_over(path: str) -> socket.socket:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.setblocking(False)
        await _enter(door, path)
        await _readable(door)
        answer, descriptors, _, _ = socket.recv_fds(door, 512, 1, socket.MSG_CMSG_CLOEXEC)
        if answer[:1] == b"+" and descriptors:
            received = socket.socket(fileno=descriptors[0])
            received.setblocking(False)
            return received
        kind = Absent if answer[:1] == b"?" else Unreachable
        raise kind(answer[1:].decode(errors="replace") or "the endpoint handed over no connection")


async def _enter(door: socket.socket, path: str) -> None:
    """Connect. A full backlog shows as EAGAIN, which event loops take for "in progress": so not by the loop."""
    while True:
        try:
            door.connect(path)
        except BlockingIOError:
            await asyncio.sleep(0.005)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Absent(f"{path}: {error}") from error
        else:
            return


async def _readable(door: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(door.fileno(), wake)
    try:
        await ready
    finally:
        loop.remove_reader(door.fileno())
