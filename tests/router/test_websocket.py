"""WebSockets through the router: messages, sizes, close codes, refusals and disappearing sides."""

import asyncio

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, web

from service.router.limits import Limits
from tests.router.conftest import Got, live
from tests.waiting import until

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: shop.apps.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=2**26)
    await socket.prepare(request)
    async for message in socket:
        if message.data == "bye":
            await socket.close(code=4321, message=b"so long")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)
    return socket


@pytest.fixture
async def session():
    async with ClientSession() as session:
        yield session


def url(town) -> str:
    return f"http://127.0.0.1:{town.router.port}/ws"


SHOP = {"Host": "shop.apps.test"}


async def test_messages_of_every_size_pass_both_ways(town, session):
    await town.start(live(await town.app(echo)))
    async with session.ws_connect(url(town), headers=SHOP, max_msg_size=2**26) as socket:
        for size in (1, 125, 126, 65_535, 65_536, 8_000_000):
            await socket.send_bytes(b"x" * size)
            assert len(await socket.receive_bytes(timeout=10)) == size


@pytest.mark.parametrize("first", ["app", "client"])
async def test_close_codes_pass_whoever_closes(town, session, first):
    codes: list[int | None] = []

    async def app(request: web.Request) -> web.WebSocketResponse:
        socket = await echo(request)
        codes.append(socket.close_code)
        return socket

    await town.start(live(await town.app(app)))
    async with session.ws_connect(url(town), headers=SHOP) as socket:
        if first == "app":
            await socket.send_str("bye")
            message = await socket.receive(timeout=5)
            assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4321, "so long")
        else:
            await socket.close(code=4000)
    await until(lambda: codes)
    if first == "client":  # aiohttp's client answers any close with 1000
        assert codes == [4000]
    await until(lambda: not town.router.connections)
    assert town.served[0].status == 101


async def test_bytes_sent_with_the_handshake_are_not_lost(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        assert await reader.readexactly(5) == b"early"
        writer.write(b"+seen")
        await writer.drain()
        await reader.read()

    await town.start(live(await town.raw(app)))
    reader, writer = await town.connect()
    writer.write(HANDSHAKE + b"early")
    head = Got.parse(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5))
    assert (head.status, head.header("upgrade"), head.header("connection")) == (101, "websocket", "Upgrade")
    assert await asyncio.wait_for(reader.readexactly(10), 5) == b"hello+seen"


async def test_a_socket_stays_with_its_release_until_that_ends_and_the_next_one_gets_the_new(town, session):
    def named(name: str):
        async def app(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(f"{name} {message.data}")
            return socket

        return app

    before, after = await town.app(named("old")), await town.app(named("new"))
    await town.start(live(before))
    async with session.ws_connect(url(town), headers=SHOP) as first:
        await first.send_str("one")
        assert await first.receive_str(timeout=5) == "old one"
        town.routes.set(live(after))
        await until(lambda: town.router._core.table.current.version == town.routes.table.version)
        await first.send_str("two")
        assert await first.receive_str(timeout=5) == "old two"
        async with session.ws_connect(url(town), headers=SHOP) as second:
            await second.send_str("one")
            assert await second.receive_str(timeout=5) == "new one"


async def test_a_refused_handshake_is_an_ordinary_answer(town, session):
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403, text="no")

    await town.start(live(await town.app(refuse)))
    with pytest.raises(WSServerHandshakeError) as refusal:
        await session.ws_connect(url(town), headers=SHOP)
    assert refusal.value.status == 403


async def test_when_the_app_dies_the_client_is_told(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await reader.readexactly(1)
        writer.transport.abort()

    await town.start(live(await town.raw(app)))
    reader, writer = await town.connect()
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"x")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    await until(lambda: not town.router.connections)


async def test_a_socket_without_traffic_is_closed_after_the_idle_time(town, session):
    await town.start(live(await town.app(echo)), limits=Limits(idle_seconds=0.3))
    async with session.ws_connect(url(town), headers=SHOP) as socket:
        await socket.send_str("a")
        assert await socket.receive_str(timeout=5) == "a"
        assert (await socket.receive(timeout=5)).type in {WSMsgType.CLOSED, WSMsgType.CLOSE}


async def test_an_app_that_does_not_read_holds_the_client_back(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    await town.start(live(await town.raw(app)))
    reader, writer = await town.connect()
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    task = asyncio.create_task(flood())
    last = -1

    async def stands_still() -> bool:
        nonlocal last
        was, last = last, sent
        await asyncio.sleep(0.1)
        return sent > 0 and was == sent

    await until(stands_still)
    assert sent < 40_000_000
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writer.transport.abort()


@pytest.mark.parametrize("first", ["app", "client"])
async def test_close_frames_and_their_answers_arrive_byte_for_byte(town, first):
    from_app = b"\x88\x09" + (4321).to_bytes(2, "big") + b"so long"
    from_client = b"\x88\x82\0\0\0\0" + (4000).to_bytes(2, "big")
    seen = asyncio.get_running_loop().create_future()

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        if first == "app":
            writer.write(from_app)
        seen.set_result(await reader.readexactly(len(from_client)))
        if first == "client":
            writer.write(from_app)

    await town.start(live(await town.raw(app)))
    reader, writer = await town.connect()
    writer.write(HANDSHAKE)
    await reader.readuntil(b"\r\n\r\n")
    if first == "client":
        writer.write(from_client)
    assert await asyncio.wait_for(reader.readexactly(len(from_app)), 5) == from_app
    if first == "app":
        writer.write(from_client)
    assert await asyncio.wait_for(seen, 5) == from_client
    assert await asyncio.wait_for(reader.read(), 5) == b""
