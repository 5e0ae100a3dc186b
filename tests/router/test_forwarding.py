"""What passes through the router, and what it adds, removes and limits on the way."""

import asyncio
import contextlib
import hashlib
import json
import resource

import pytest
from aiohttp import web

from service.router.limits import Limits
from tests.router.conftest import Got, live
from tests.waiting import until


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    headers = [[name.lower(), value] for name, value in request.headers.items()]
    return web.json_response(
        {"method": request.method, "path": request.path_qs, "headers": headers, "body": body.decode("latin-1")}
    )


def seen(answer: Got) -> dict[str, str]:
    pairs = json.loads(answer.body)["headers"]
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


async def read_answer(reader: asyncio.StreamReader) -> Got:
    """One answer with a Content-Length on a connection that stays open."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    got = Got.parse(head)
    got.body = await asyncio.wait_for(reader.readexactly(int(got.header("content-length") or 0)), 10)
    return got


async def test_a_request_reaches_the_app_of_its_host_name(town):
    await town.start(live(await town.app(echo)))
    answer = await town.get("/a/b%20c?x=1&y=%2F")
    assert answer.status == 200
    assert json.loads(answer.body)["path"] == "/a/b%20c?x=1&y=%2F"


async def test_the_app_is_told_who_asked_and_how_as_heroku_does(town):
    await town.start(live(await town.app(echo)))
    answer = await town.get(host="shop.apps.test:5080")
    headers = seen(answer)
    assert headers["host"] == "shop.apps.test:5080"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "shop.apps.test:5080"
    assert headers["x-forwarded-port"] == "5080"
    assert headers["via"] == "1.1 towpath"
    assert headers["x-request-start"].isdigit()
    assert len(headers["x-request-start"]) == 13
    assert headers["x-request-id"] == answer.header("x-request-id")
    assert answer.header("via") == "1.1 towpath"


async def test_what_a_trusted_proxy_in_front_says_is_kept_and_appended_to(town):
    await town.start(live(await town.app(echo)))
    given = (
        "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nVia: 1.1 caddy\r\n"
        "X-Request-Id: 0123456789abcdef0123\r\n"
    )
    headers = seen(await town.get(headers=given))
    assert headers["x-forwarded-for"] == "9.9.9.9, 8.8.8.8, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-port"] == "443"
    assert headers["via"] == "1.1 caddy, 1.1 towpath"
    assert headers["x-request-id"] == "0123456789abcdef0123"


async def test_a_stranger_cannot_claim_https_or_another_host(town):
    await town.start(live(await town.app(echo)), limits=Limits(trusted_proxies=frozenset()))
    given = (
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: bank.test\r\nX-Forwarded-Port: 1\r\nX_Forwarded_Proto: https\r\n"
    )
    headers = seen(await town.get(headers=given))
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "shop.apps.test"
    assert headers["x-forwarded-port"] == "80"
    assert "x_forwarded_proto" not in headers


async def test_hop_by_hop_headers_end_at_the_router_both_ways(town):
    async def hop(request: web.Request) -> web.Response:
        answer = await echo(request)
        answer.headers.update({"Keep-Alive": "timeout=3", "Connection": "X-Private", "X-Private": "1", "X-Open": "2"})
        return answer

    await town.start(live(await town.app(hop)))
    raw = await town.send(
        b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: close, X-Secret, Host\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n"
        b"TE: trailers\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept: yes\r\n\r\n"
    )
    answer = Got.parse(raw)
    headers = seen(answer)
    gone = {"x-secret", "keep-alive", "te", "proxy-authorization", "proxy-connection", "upgrade", "connection"}
    assert not gone & headers.keys()
    assert headers["x-kept"] == "yes"
    assert headers["host"] == "shop.apps.test"
    assert answer.header("keep-alive") is None
    assert answer.header("x-private") is None
    assert answer.header("x-open") == "2"
    assert answer.header("connection") == "close"


async def test_review_apps_are_kept_out_of_search_engines(town):
    door = await town.app(echo)
    await town.start(live(door, name="shop-pr-7", review=True), live(door))
    review = await town.get(host="shop-pr-7.review.test")
    assert review.header("x-robots-tag") == "noindex"
    assert (await town.get()).header("x-robots-tag") is None


async def test_one_client_connection_and_one_app_connection_carry_many_requests(town):
    door = await town.app(echo)
    await town.start(live(door))
    reader, writer = await town.connect()
    for number in range(20):
        body = f"n={number}".encode()
        writer.write(
            b"POST /%d HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)
        )
        answer = await read_answer(reader)
        assert json.loads(answer.body)["body"] == body.decode()
        assert answer.header("connection") is None
    assert door.handed == 1
    assert [served.path for served in town.served] == [f"/{n}" for n in range(20)]
    assert {(s.app_id, s.status, s.method, s.code) for s in town.served} == {("id-shop", 200, "POST", "")}
    assert "at=info method=POST" in town.served[0].line()


async def test_pipelined_requests_are_answered_in_order(town):
    async def slow_first(request: web.Request) -> web.Response:
        if request.path == "/0":
            await asyncio.sleep(0.05)
        return web.Response(text=request.path)

    await town.start(live(await town.app(slow_first)))
    reader, writer = await town.connect()
    writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n" % n for n in range(5)))
    assert [(await read_answer(reader)).text for _ in range(5)] == [f"/{n}" for n in range(5)]


async def test_http_1_0_clients_get_http_1_0_framing(town):
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"one")
        await answer.write(b"two")
        return answer

    await town.start(live(await town.app(stream)))
    answer = Got.parse(await town.send(b"GET / HTTP/1.0\r\nHost: shop.apps.test\r\n\r\n"))
    assert answer.body == b"onetwo"
    assert answer.header("transfer-encoding") is None
    assert answer.header("connection") == "close"


async def test_head_has_the_length_and_no_body_and_keeps_the_connection(town):
    await town.start(live(await town.app(echo)))
    reader, writer = await town.connect()
    writer.write(b"HEAD / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    head = Got.parse(await reader.readuntil(b"\r\n\r\n"))
    assert int(head.header("content-length") or 0) > 0
    writer.write(b"GET /after HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    assert json.loads((await read_answer(reader)).body)["path"] == "/after"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_keep_the_connection(town, status):
    async def empty(request: web.Request) -> web.Response:
        return web.Response(status=status)

    await town.start(live(await town.app(empty)))
    reader, writer = await town.connect()
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
        answer = Got.parse(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5))
        assert answer.status == status
        assert answer.header("transfer-encoding") is None


async def test_server_sent_events_arrive_one_by_one(town):
    go_on = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: 1\n\n")
        await go_on.wait()
        await answer.write(b"data: 2\n\n")
        return answer

    await town.start(live(await town.app(events)))
    reader, writer = await town.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"data: 1\n\n\r\n"), 5) == b"9\r\ndata: 1\n\n\r\n"
    go_on.set()
    assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_a_chunked_upload_arrives_piece_by_piece_and_its_trailers_do_not_leak(town):
    await town.start(live(await town.app(echo)))
    raw = await town.send(
        b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Admin: 1\r\nX-Root: 1\r\n\r\n"
        b"GET /second HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n"
    )
    answer = Got.parse(raw)
    assert json.loads(answer.body)["body"] == "abcde"
    assert raw.count(b"HTTP/1.1 200") == 1
    assert answer.header("connection") == "close"


async def test_trailers_of_an_answer_do_not_become_headers_of_the_next(town):
    async def app(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Leak: 1\r\n\r\n")

    await town.start(live(await town.raw(app)))
    reader, writer = await town.connect()
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
        assert b"X-Leak" not in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)


async def test_100_continue_is_the_apps_word(town):
    await town.start(live(await town.app(echo)))
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hi")
    assert json.loads((await read_answer(reader)).body)["body"] == "hi"


async def test_early_hints_do_not_pass_for_the_answer(town):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()

    await town.start(live(await town.raw(app)))
    answer = await town.get()
    assert (answer.status, answer.text, answer.header("link")) == (200, "ok", None)


async def test_an_answer_streams_back_while_its_request_is_still_being_sent(town):
    async def app(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        async for piece in request.content.iter_any():
            await answer.write(piece.upper())
        return answer

    await town.start(live(await town.app(app)))
    reader, writer = await town.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    for piece in (b"a", b"b", b"c"):
        writer.write(b"1\r\n" + piece + b"\r\n")
        assert await asyncio.wait_for(reader.readexactly(6), 5) == b"1\r\n" + piece.upper() + b"\r\n"
    writer.write(b"0\r\n\r\n")
    assert await asyncio.wait_for(reader.readexactly(5), 5) == b"0\r\n\r\n"


async def test_an_app_may_refuse_a_body_before_it_is_sent(town):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await reader.read()

    await town.start(live(await town.raw(refuse)))
    raw = await town.send(
        b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n"
    )
    assert raw.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in raw


@pytest.mark.parametrize("size", [1_000_000, 50_000_000])
async def test_big_bodies_pass_both_ways_in_bounded_memory(town, size):
    block = bytes(range(256)) * 256

    async def app(request: web.Request) -> web.StreamResponse:
        digest = hashlib.sha256()
        async for piece in request.content.iter_any():
            digest.update(piece)
        answer = web.StreamResponse(headers={"X-Sha": digest.hexdigest(), "Content-Length": str(size)})
        await answer.prepare(request)
        for start in range(0, size, len(block)):
            await answer.write(block[: size - start])
        return answer

    await town.start(live(await town.app(app)))
    reader, writer = await town.connect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = hashlib.sha256()

    async def upload() -> None:
        writer.write(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: %d\r\n\r\n" % size)
        for start in range(0, size, len(block)):
            sent.update(block[: size - start])
            writer.write(block[: size - start])
            await writer.drain()

    await upload()
    head = Got.parse(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30))
    assert head.header("x-sha") == sent.hexdigest()
    received = hashlib.sha256()
    left = size
    while left:
        piece = await asyncio.wait_for(reader.read(min(left, 2**18)), 30)
        assert piece
        received.update(piece)
        left -= len(piece)
    assert received.hexdigest() == sent.hexdigest()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


async def test_what_follows_a_large_piece_of_an_answer_arrives_at_once(town):
    """Reading pauses behind the large piece, and the app says nothing more that would make it go on."""

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            with contextlib.suppress(asyncio.IncompleteReadError):
                size = int((await reader.readuntil(b"\r\n\r\n")).split()[1][1:])
            pieces = b"".join(b"%x\r\n%s\r\n" % (each, b"x" * each) for each in (size, 12))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")

    await town.start(live(await town.raw(app)))
    # Where one reading ends and the next begins is not for us to say: one of these has its end in the same as all else.
    for size in range(120_000, 280_000, 8_000):
        async with asyncio.timeout(5):
            answer = await town.get(f"/{size}")
        assert (answer.body.count(b"x"), answer.body[-5:]) == (size + 12, b"0\r\n\r\n")


async def test_a_client_that_does_not_read_holds_the_app_back(town):
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65_536)
            written += 65_536

    await town.start(live(await town.app(flood)))
    _reader, writer = await town.connect()
    writer.transport.pause_reading()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    last = -1

    async def stands_still() -> bool:
        nonlocal last
        was, last = last, written
        await asyncio.sleep(0.1)
        return written > 0 and was == written

    await until(stands_still)
    assert written < 40_000_000  # what the kernel's socket buffers hold, not what the router would
    writer.transport.abort()


async def test_requests_are_spread_over_all_endpoints(town):
    def named(name: str):
        async def app(request: web.Request) -> web.Response:
            return web.Response(text=name)

        return app

    await town.start(live(await town.app(named("a")), await town.app(named("b")), await town.app(named("c"))))
    answers = [(await town.get()).text for _ in range(9)]
    assert {name: answers.count(name) for name in "abc"} == {"a": 3, "b": 3, "c": 3}


async def test_a_busy_endpoint_gets_fewer_requests(town):
    release = asyncio.Event()

    async def stuck(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="stuck")

    async def free(request: web.Request) -> web.Response:
        return web.Response(text="free")

    await town.start(live(await town.app(stuck), await town.app(free)))
    waiting: list[asyncio.Task[Got]] = []
    while not any(not task.done() for task in waiting) or len(waiting) < 2:
        waiting.append(asyncio.create_task(town.get()))
        await asyncio.wait(waiting, timeout=0.2)
    assert [(await town.get()).text for _ in range(5)] == ["free"] * 5
    release.set()
    await asyncio.gather(*waiting)


async def test_a_plain_tcp_endpoint_works_like_a_hand_over_socket(town):
    door = await town.app(echo)
    route = live(door)
    await town.start(type(route)(app_id="a", app_name="shop", state="live", endpoints=(f"tcp:127.0.0.1:{door.port}",)))
    assert (await town.get()).status == 200
    assert door.handed == 0


async def test_towpaths_own_names_go_to_the_web_process(town):
    application = web.Application()

    async def own(request: web.Request) -> web.Response:
        return web.Response(text="dashboard")

    application.router.add_get("/{path:.*}", own)
    await town.start(public_url="https://towpath.example:8443", apps_domain="localhost")
    assert (await town.get(host="localhost")).status == 503
    (town.directory / "run/services").mkdir(parents=True)
    runner = web.AppRunner(application)
    await runner.setup()
    town.stack.push_async_callback(runner.cleanup)
    await web.UnixSite(runner, str(town.directory / "run/services/web.sock")).start()
    for host in ("localhost:5080", "127.0.0.1", "[::1]:5080", "towpath.example:8443", "TOWPATH.example"):
        assert (await town.get(host=host)).text == "dashboard", host
