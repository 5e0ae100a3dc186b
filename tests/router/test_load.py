"""Clients that are slow, idle or many: they hold up nobody, cost little and are let go in time."""

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from service.router.limits import Limits
from tests.router.conftest import Got, live
from tests.router.test_faults import hello, read_all
from tests.router.test_websocket import HANDSHAKE
from tests.store.fixtures import sqlite_database, sqlite_template
from tests.waiting import until

__all__ = ["sqlite_database", "sqlite_template"]

BIG = b"x" * 12_000_000
GET = b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n"
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
NOWHERE = b"GET / HTTP/1.1\r\nHost: typo.apps.test\r\n\r\n"
STRICT = Limits(idle_seconds=1.0, head_seconds=0.4, keep_alive_seconds=0.4, linger_seconds=0.3)


async def big(request: web.Request) -> web.Response:
    return web.Response(body=BIG)


async def empty(request: web.Request) -> web.Response:
    return web.Response(status=204, headers={f"X-{number}": "x" * 8000 for number in range(6)})


def resident() -> int:
    """This process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def settled(value, *, seconds: float = 0.3) -> None:
    """Wait until what `value` returns has stopped to change."""
    last = object()

    async def stands_still() -> bool:
        nonlocal last
        was, last = last, value()
        await asyncio.sleep(seconds)
        return was == last

    await until(stands_still, seconds=30)


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nX-Slow: ", b"GET /"],
    ids=["a header that goes on and on", "a request line that goes on and on"],
)
async def test_heads_that_come_in_drips_hold_up_nobody_and_are_dropped_by_the_deadline(town, begun):
    # Long enough for all of them to be open at once on a busy machine.
    await town.start(live(await town.app(hello)), limits=replace(STRICT, head_seconds=1.5, keep_alive_seconds=1.5))
    slow = [await town.connect() for _ in range(50)]

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(begun)
        reading = asyncio.create_task(reader.read())  # never cut off: what it has read by then would be lost
        while not reading.done():
            writer.write(b"a")
            await asyncio.wait({reading}, timeout=0.05)
        return reading.result()

    tasks = [asyncio.create_task(drip(*each)) for each in slow]
    await until(lambda: len(town.router.connections) >= len(slow))
    for _ in range(20):
        assert (await town.get()).text == "hello"
    answers = await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    for _, writer in slow:
        writer.close()
    await until(lambda: not town.router.connections)


async def test_bodies_that_stop_hold_up_nobody_and_are_dropped_by_the_deadline(town):
    door = await town.app(read_all, handler_cancellation=True)
    await town.start(live(door), limits=STRICT)
    slow = [await town.connect() for _ in range(100)]
    for _, writer in slow:
        writer.write(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 100\r\n\r\nabc")
    await until(lambda: door.handed == len(slow))
    for _ in range(20):
        assert (await town.get()).status == 200
    answers = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in slow)), 10)
    assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    await until(lambda: not town.router.pool._active)


@pytest.mark.parametrize("last", [LAST, GET + LAST, GET + NOWHERE, GET + b"GET broken\r\n\r\n"], ids=[
    "one answer", "two answers", "an answer and a page", "an answer and a refusal",
])  # fmt: skip
async def test_clients_that_do_not_read_hold_up_nobody_and_are_dropped_by_the_deadline(town, last):
    await town.start(live(await town.app(big, handler_cancellation=True)), limits=STRICT)
    slow = [await town.connect() for _ in range(8)]
    for reader, writer in slow:
        reader._transport.pause_reading()
        writer.write(last)
    await until(lambda: len(town.router.connections) == len(slow))
    town.routes.set(live(await town.app(hello)))
    await until(lambda: town.router._core.table.current.version == town.routes.table.version)
    for _ in range(20):
        assert (await town.get()).text == "hello"
    await until(lambda: not town.router.connections, seconds=10)
    assert not town.router.pool._active


@pytest.mark.parametrize("asked", [NOWHERE, GET], ids=["pages of the router", "answers without a body"])
async def test_answers_that_nobody_takes_pile_up_nowhere(town, asked):
    await town.start(live(await town.app(empty)))
    reader, writer = await town.connect()
    reader._transport.pause_reading()
    inbound = await connection(town)

    async def flood() -> None:
        while True:
            writer.write(asked * 200)
            await writer.drain()

    task = asyncio.create_task(flood())
    await until(lambda: inbound._paused, seconds=30)
    await settled(lambda: inbound._served)
    assert inbound.transport.get_write_buffer_size() < 200_000
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writer.transport.abort()


async def connection(town):
    await until(lambda: town.router.connections)
    (inbound,) = town.router.connections
    return inbound


async def asked(client: socket.socket) -> bytes:
    """What is answered on a connection that is kept."""
    loop, answer = asyncio.get_running_loop(), b""
    await loop.sock_sendall(client, GET)
    while not answer.endswith(b"hello"):
        answer += await asyncio.wait_for(loop.sock_recv(client, 4096), 10)
    return answer


async def test_a_thousand_idle_connections_cost_little_and_nobody_else_anything(town):
    await town.start(live(await town.app(hello)))
    loop = asyncio.get_running_loop()
    await town.get()
    before, idle = resident(), []
    for _ in range(1000):
        client = socket.socket()
        town.stack.callback(client.close)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", town.router.port))
        idle.append(client)
        assert b" 200 OK" in await asked(client)
    assert len(town.router.connections) == 1000
    assert (resident() - before) / len(idle) < 50_000
    began = loop.time()
    for _ in range(50):
        assert (await town.get()).text == "hello"
    assert loop.time() - began < 5
    for client in idle[::100]:
        assert b" 200 OK" in await asked(client)


async def test_a_websocket_whose_client_has_gone_lets_an_app_go_that_does_not_read(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    await town.start(live(await town.raw(app)), limits=Limits(idle_seconds=0.5))
    reader, writer = await town.connect()
    inbound = await connection(town)
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    upstream = inbound.peer
    writer.write(BIG)
    await until(lambda: upstream._paused)
    writer.transport.abort()
    await until(lambda: not town.router.connections)
    await until(lambda: upstream.transport is None, seconds=5)


async def test_an_answer_without_a_length_that_ends_in_a_reset_is_not_made_whole(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhalf of it")
        await writer.drain()
        await until(lambda: town.router.connections and next(iter(town.router.connections)).exchange._bytes)
        writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    await town.start(live(await town.raw(app)))
    answer = Got.parse(await town.send(LAST))
    assert answer.body == b"a\r\nhalf of it\r\n"
    assert town.served[0].code == "broken-answer"


async def test_the_router_takes_more_clients_than_a_shell_lets_it(sqlite_database, short_tmp):
    listener = socket.create_server(("127.0.0.1", 0), backlog=300)
    port = listener.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "TOWPATH_DATA": str(short_tmp),
        "TOWPATH_DATABASE_URL": sqlite_database.url,
        "TOWPATH_LISTEN_FD": str(listener.fileno()),
    }
    command = ("bash", "-c", f"ulimit -Sn 100; exec {sys.executable} -m service.router")
    router = await asyncio.create_subprocess_exec(
        *command, env=env, pass_fds=[listener.fileno()], stdout=asyncio.subprocess.DEVNULL
    )
    listener.close()
    clients = []
    try:
        for _ in range(150):
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            reader, writer = clients[-1]
            writer.write(NOWHERE)
            assert b" 404 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    finally:
        for _, writer in clients:
            writer.close()
        router.terminate()
        await router.wait()


async def test_draining_is_over_within_the_grace_time_whatever_clients_do(town):
    """One has not sent its head, one not its body, one does not read, one idles, one holds a WebSocket."""

    async def app(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"websocket" in head:
            writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        elif b"POST" not in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG))
            writer.write(BIG)
            await writer.drain()
        await asyncio.Event().wait()

    router = await town.start(live(await town.raw(app)))
    clients = [await town.connect() for _ in range(5)]
    clients[2][0]._transport.pause_reading()
    post = b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 9\r\n\r\nabc"
    for (_, writer), said in zip(clients, (b"GET / HT", post, GET, NOWHERE, HANDSHAKE), strict=True):
        writer.write(said)
    await clients[3][0].readuntil(b"\r\n\r\n")
    await clients[4][0].readuntil(b"\r\n\r\n")
    await until(lambda: any(each._paused for each in router.connections))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await router.drain(grace=1.5)
    await asyncio.wait_for(router.close(), 1)
    assert loop.time() - began < 2.5
    assert not router.connections
    for each, (reader, _) in enumerate(clients):
        if each == 2:
            reader._transport.resume_reading()
        try:
            answer = await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            continue
        assert len(answer) < len(BIG)
