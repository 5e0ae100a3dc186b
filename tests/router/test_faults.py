"""When no app answers, or not in time, or not to the end: what the client sees."""

import asyncio

import pytest
from aiohttp import web

from service.router.limits import Limits
from service.router.table import Route
from tests.router.conftest import Got, live
from tests.waiting import until

QUICK = Limits(first_byte_seconds=0.3, idle_seconds=0.6, head_seconds=0.4, keep_alive_seconds=0.4, linger_seconds=0.3)


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def never(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("starting", "starting", "shop is starting"),
        ("crashed", "crashed", "towpath logs -a shop`, then deploy a fix or `towpath ps:restart -a shop`"),
        ("stopped", "stopped", "towpath ps:scale web=1 -a shop"),
        ("suspended", "suspended", "towpath ps:restart -a shop"),
        ("maintenance", "maintenance", "towpath maintenance:off -a shop"),
        ("live", "no-web", "has no web process"),
    ],
)
async def test_the_page_names_the_app_and_what_to_do(town, state, code, words):
    await town.start(Route(app_id="1", app_name="shop", state=state))
    answer = await town.get()
    assert (answer.status, answer.header("towpath-router")) == (503, code)
    assert words in answer.text
    assert "<" not in answer.text
    assert (answer.header("retry-after") is not None) == (state == "starting")
    assert answer.header("x-robots-tag") == "noindex"
    assert town.served[0].code == code


async def test_browsers_get_a_page_and_others_a_line(town):
    await town.start(Route(app_id="1", app_name="shop", state="crashed"))
    page = await town.get(headers="Accept: text/html,*/*;q=0.8\r\n")
    assert page.header("content-type") == "text/html; charset=utf-8"
    assert "<h1>shop has crashed</h1>" in page.text
    assert "<code>towpath logs -a shop</code>" in page.text
    assert (await town.get()).header("content-type") == "text/plain; charset=utf-8"


async def test_an_unknown_host_is_told_that_there_is_no_such_app(town):
    await town.start()
    answer = await town.get(host="typo.apps.test", headers="Accept: text/html\r\n")
    assert answer.status == 404
    assert "typo.apps.test" in answer.text
    assert town.served[0].app_id == ""


async def test_a_page_keeps_the_connection_for_the_next_request(town):
    await town.start(live(await town.app(hello)))
    reader, writer = await town.connect()
    writer.write(
        b"GET / HTTP/1.1\r\nHost: typo.apps.test\r\n\r\nGET / HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: close\r\n\r\n"
    )
    both = await asyncio.wait_for(reader.read(), 5)
    assert b"HTTP/1.1 404 " in both
    assert both.endswith(b"hello")


async def test_a_page_arrives_although_the_client_is_still_sending(town):
    await town.start(limits=QUICK)
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: typo.apps.test\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1_000_000)
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 404 ")


async def test_an_app_that_does_not_answer_in_time_is_a_504_and_let_go(town):
    gone = asyncio.Event()

    async def app(reader, writer):
        await reader.read()
        gone.set()

    await town.start(live(await town.raw(app)), limits=QUICK)
    answer = await town.get()
    assert (answer.status, answer.header("towpath-router")) == (504, "timed-out")
    assert "0.3 seconds" in answer.text
    await asyncio.wait_for(gone.wait(), 5)


async def test_an_app_that_answers_slowly_but_steadily_is_not_cut_off(town):
    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(10):
            await asyncio.sleep(0.15)
            await answer.write(b".")
        return answer

    await town.start(live(await town.app(drip)), limits=QUICK)
    answer = await town.get()
    assert answer.body.count(b".") == 10
    assert answer.body.endswith(b"0\r\n\r\n")


async def test_an_upload_slower_than_the_first_byte_limit_is_not_cut_off(town):
    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    await town.start(live(await town.app(read)), limits=QUICK)
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
    for _ in range(5):
        await asyncio.sleep(0.15)
        writer.write(b"x")
    assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\n5")


@pytest.mark.parametrize(
    "begin",
    [b"GET / HTTP/1.1\r\nHost: shop", b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["a head", "a body"],
)
async def test_a_client_that_does_not_finish_its_request_is_told_so(town, begin):
    await town.start(live(await town.app(hello, handler_cancellation=True)), limits=QUICK)
    if b"POST" in begin:
        town.routes.set(live(await town.app(read_all)))
        await until(lambda: town.router._core.table.current.version == town.routes.table.version)
    assert (await town.send(begin)).startswith(b"HTTP/1.1 408 ")


async def read_all(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def test_an_idle_connection_is_closed_without_a_word(town):
    await town.start(live(await town.app(hello)), limits=QUICK)
    assert await town.send(b"") == b""
    answer = await town.send(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 100\r\n", b"only this"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"50\r\nhello"),
    ],
    ids=["fewer bytes than its length", "no last chunk", "half a chunk"],
)
async def test_an_answer_that_breaks_off_is_not_made_whole(town, head, body):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)

    await town.start(live(await town.raw(app)))
    answer = await town.get()
    assert answer.status == 200
    length = answer.header("content-length")
    assert len(answer.body) < int(length) if length else not answer.body.endswith(b"0\r\n\r\n")
    assert town.served[0].code == "broken-answer"


async def test_a_broken_answer_without_framing_ends_in_a_reset(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    await town.start(live(await town.raw(app)))
    with pytest.raises(ConnectionResetError):
        await town.send(b"GET / HTTP/1.0\r\nHost: shop.apps.test\r\n\r\n")


async def test_an_answer_without_length_is_whole_when_the_app_closes(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    await town.start(live(await town.raw(app)))
    answer = await town.get()
    assert answer.body == b"9\r\nall of it\r\n0\r\n\r\n"


async def test_an_endpoint_that_refuses_is_a_502_that_names_the_app(town):
    door = await town.app(hello)
    door.refusal = b"-web.1 is stuck"
    await town.start(live(door), limits=Limits(reroute_seconds=0.1))
    answer = await town.get()
    assert (answer.status, answer.header("towpath-router")) == (502, "unreachable")
    assert "shop could not be reached" in answer.text


@pytest.mark.parametrize("listens", [True, False], ids=["does not listen yet", "is not there yet"])
async def test_an_app_is_starting_while_its_process(town, listens):
    door = await town.app(hello)
    door.refusal = b"?nothing listens" if listens else b""
    if not listens:
        await door.stop()
    await town.start(live(door), limits=Limits(reroute_seconds=0.1))
    answer = await town.get()
    assert (answer.status, answer.header("towpath-router")) == (503, "starting")
    assert answer.header("retry-after")


async def test_an_app_that_closes_without_an_answer_is_asked_once_for_a_post(town):
    asked = 0

    async def app(reader, writer):
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1

    await town.start(live(await town.raw(app)))
    answer = Got.parse(
        await town.send(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    )
    assert answer.status == 502
    assert asked == 1


async def test_a_kept_connection_that_the_app_closes_costs_no_request(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.readuntil(b"\r\n\r\n")  # the second request is read and dropped

    door = await town.raw(app)
    await town.start(live(door))
    assert [(await town.get()).text for _ in range(6)] == ["ok"] * 6
    assert door.handed == 6


async def test_when_the_client_leaves_the_app_is_let_go(town):
    gone = asyncio.Event()
    begun = asyncio.Event()

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()
        gone.set()

    await town.start(live(await town.raw(app)))
    _reader, writer = await town.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    await asyncio.wait_for(begun.wait(), 5)
    writer.close()
    await asyncio.wait_for(gone.wait(), 5)
    await until(lambda: town.served)
    assert town.served[0].status == 499


async def test_when_the_client_leaves_within_its_body_the_app_is_let_go(town):
    gone = asyncio.Event()

    async def app(reader, writer):
        await reader.read()
        gone.set()

    await town.start(live(await town.raw(app)))
    _reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 100\r\n\r\nabc")
    await until(lambda: any(c.exchange is not None for c in town.router.connections))
    writer.close()
    await asyncio.wait_for(gone.wait(), 5)
