"""Sends one request again and again over kept connections, each with a delivery id of its own: `python -m tests.bench.load`.

A process of its own, so that whoever is measured shares no interpreter with it, and the same for every side. It speaks
HTTP by hand, which costs a tenth of what a client library would take away from the two cores that all of them share.
"""

import asyncio
import json
import socket
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop

from tests.bench.rows import percentile

_END = b"\r\n\r\n"
GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to send where, how often and over how many connections; the head has `{guid}` where the id goes."""

    port: int
    head: str
    body: str
    requests: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How it went: in seconds, and how often which status came."""

    seconds: float
    p50: float
    p99: float
    statuses: dict[str, int]


class _Client(asyncio.Protocol):
    """One connection: the next request goes out when the answer to the last one is whole."""

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._seen = b""
        self._began = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, rest = self._seen.partition(_END)
        if not end or len(rest) < _length(head):
            return
        self._seen = b""
        self._load.answered(head[9:12].decode(), time.perf_counter() - self._began)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)

    def _send(self) -> None:
        assert self._transport is not None
        request = self._load.next()
        if request is None:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)


class _Load:
    def __init__(self, order: Order) -> None:
        self._before, self._after = (part.encode() for part in order.head.split("{guid}"))
        self._body = order.body.encode()
        self._left = order.requests
        self._wanted = order.requests
        self._taken: list[float] = []
        self._statuses: dict[str, int] = {}
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next(self) -> bytes | None:
        if self._left == 0:
            return None
        self._left -= 1
        return b"".join((self._before, str(uuid.uuid4()).encode(), self._after, self._body))

    def answered(self, status: str, seconds: float) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._taken.append(seconds)
        if len(self._taken) == self._wanted:
            self.over.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if not self.over.done() and self._left:
            self.over.set_exception(ConnectionError(f"the server closed a connection: {error}"))

    def result(self, seconds: float) -> Taken:
        p50, p99 = percentile(self._taken, 50), percentile(self._taken, 99)
        return Taken(seconds=seconds, p50=p50, p99=p99, statuses=self._statuses)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    raise ValueError(f"an answer without a length: {head!r}")


async def _run(order: Order) -> Taken:
    loop, load = asyncio.get_running_loop(), _Load(order)
    began = time.perf_counter()
    for _ in range(order.connections):
        await loop.create_connection(lambda: _Client(load), "127.0.0.1", order.port)
    await asyncio.wait_for(load.over, GIVE_UP_SECONDS)
    return load.result(time.perf_counter() - began)


async def sent(order: Order, place: Path) -> Taken:
    """Run the load in a process of its own, which reads its order from a file in `place`."""
    written = place / "order.json"
    written.write_text(json.dumps(asdict(order)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load", str(written)), stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError("the load could not be sent")
    return Taken(**json.loads(out))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_run(Order(**json.loads(Path(sys.argv[1]).read_text())))))))
