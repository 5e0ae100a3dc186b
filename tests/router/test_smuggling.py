"""Requests that two readers could understand differently: refused with 400, the connection closed, the app not asked."""

import asyncio

import pytest
from aiohttp import web

from tests.router.conftest import live

HOST = b"Host: shop.apps.test\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

CORPUS = {
    "content-length and chunked": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and content-length": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two equal content-lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "two different content-lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 9\r\n\r\na",
    "a list of content-lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na",
    "a signed content-length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na",
    "a negative content-length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\na",
    "a hexadecimal content-length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\na",
    "an overflowing content-length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\na",
    "a content-length with a space": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1 1\r\n\r\na",
    "a folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "a folded transfer-encoding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\n" + HOST + b"Oops\r\n\r\n",
    "a header that begins with a space": b"GET / HTTP/1.1\r\n Host: shop.apps.test\r\n\r\n",
    "a null byte in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    "a bare carriage return in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: shop.apps.test\n\n",
    "a bare line feed within headers": b"GET / HTTP/1.1\r\nHost: shop.apps.test\nX: 1\r\n\r\n",
    "gzip before chunked": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked before identity": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "an unknown transfer-encoding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a vertical tab": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "an empty transfer-encoding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a content-length in other digits": b"POST / HTTP/1.1\r\n" + HOST + "Content-Length: \u0665\r\n\r\na".encode(),
    "an empty content-length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length:\r\n\r\na",
    "a content-length with a zero behind it": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\x00\r\n\r\na",
    "a content-length whose name ends with a strange space": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Content-Length\xa0: 1\r\n\r\na",
    "a list that ends in chunked, twice": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked with a parameter": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "chunked in quotes": b"POST / HTTP/1.1\r\n" + HOST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked behind a zero": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: \x00chunked\r\n\r\n0\r\n\r\n",
    "a tab for the space in the request line": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a version in small letters": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "a target with a line feed": b"GET /a\nX: y HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that names a user": b"GET http://a@shop.apps.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that names another port": b"GET http://shop.apps.test:81/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "hosts in a list": b"GET / HTTP/1.1\r\nHost: shop.apps.test, other.apps.test\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + b"Host: other.apps.test\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "an empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: shop.apps.test/x\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: a@shop.apps.test\r\n\r\n",
    "a target that names another host": b"GET http://other.apps.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is no path": b"GET shop HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a control character": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"FETCH / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method with a control character": b"GE\x01T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT shop.apps.test:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that claims 2.0": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "an unknown version": b"GET / HTTP/1.9\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a line that is too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a header that is too long": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
}

BODIES = {
    "a chunk size that is no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "a chunk size with a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a chunk size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": b"-1\r\nabc\r\n0\r\n\r\n",
    "an overflowing chunk size": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than its size": b"3\r\nabcdef\r\n0\r\n\r\n",
    "a chunk size ended by a line feed": b"3\nabc\r\n0\r\n\r\n",
    "a chunk ended by a line feed": b"3\r\nabc\n0\r\n\r\n",
    "a line feed in a chunk extension": b'3;a="\n"\r\nabc\r\n0\r\n\r\n',
    "a space before the chunk size": b" 3\r\nabc\r\n0\r\n\r\n",
    "a space after the chunk size": b"3 \r\nabc\r\n0\r\n\r\n",
    "an empty chunk size": b"\r\nabc\r\n0\r\n\r\n",
    "a folded trailer": b"3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n",
}


@pytest.fixture
async def asked(town):
    paths: list[str] = []

    async def app(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(body=await request.read())

    await town.start(live(await town.app(app)))
    return paths


@pytest.mark.parametrize("raw", CORPUS.values(), ids=CORPUS.keys())
async def test_refused_with_400_and_closed(town, asked, raw):
    answer = await town.send(raw + NEXT)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer[:300]
    assert b"Connection: close\r\n" in answer
    assert answer.count(b"Via: 1.1 towpath") == 1
    assert asked == []


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "after the head"])
async def test_a_broken_chunked_body_is_never_completed(town, asked, body, at_once):
    reader, writer = await town.connect()
    head = b"POST /first HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    if at_once:
        writer.write(head + body + NEXT)
    else:
        writer.write(head + b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(body + NEXT)
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"), answer[:300]
    assert answer.count(b"Via: 1.1 towpath") == 1
    assert "/smuggled" not in asked


@pytest.mark.parametrize("step", [1, 7])
async def test_refused_just_the_same_when_it_comes_in_crumbs(town, asked, step):
    for raw in (CORPUS["content-length and chunked"], CORPUS["a folded header"], CORPUS["two hosts"]):
        reader, writer = await town.connect()
        for start in range(0, len(raw), step):
            writer.write(raw[start : start + step])
            await asyncio.sleep(0)
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 400 ")
    assert asked == []


async def test_a_request_before_a_broken_one_is_answered(town, asked):
    answer = await town.send(b"GET /good HTTP/1.1\r\n" + HOST + b"\r\n" + CORPUS["a folded header"])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"HTTP/1.1 400 Bad Request\r\n" in answer
    assert asked == ["/good"]


async def test_a_chunk_extension_of_any_length_and_many_trailers_go_no_further_and_pile_up_nowhere(town, asked):
    head = b"POST /long HTTP/1.1\r\n" + HOST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await town.send(head + b"3;" + b"a" * 3_000_000 + b"\r\nabc\r\n0\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    trailers = b"".join(b"X%d: 1\r\n" % number for number in range(50_000))
    assert (await town.send(head + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")).startswith(b"HTTP/1.1 400 ")
    assert len(asked) <= 2


async def test_a_length_with_zeros_before_it_reaches_the_app_as_everybody_reads_it(town):
    heads = []

    async def app(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await town.start(live(await town.raw(app)))
    await town.send(b"POST / HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 010\r\n\r\n0123456789")
    assert b"Content-Length: 10\r\n" in heads[0]


async def test_an_absolute_target_of_the_same_host_is_a_path_for_the_app(town, asked):
    answer = await town.send(b"GET http://shop.apps.test/a?b=1 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert asked == ["/a"]


async def test_underscored_twins_of_framing_headers_do_not_reach_the_app(town):
    names: set[str] = set()

    async def app(request: web.Request) -> web.Response:
        names.update(name.lower() for name in request.headers)
        return web.Response()

    await town.start(live(await town.app(app)))
    await town.get(headers="Content_Length: 9\r\nTransfer_Encoding: chunked\r\nX_Own: 1\r\n")
    assert "x_own" in names
    assert not {"content_length", "transfer_encoding"} & names


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhi",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=["two lengths", "no number", "another protocol", "an upgrade nobody asked for"],
)
async def test_an_answer_that_is_not_http_becomes_a_502(town, answer):
    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    await town.start(live(await town.raw(app)))
    got = await town.get()
    assert got.status == 502
    assert got.header("towpath-router") == "bad-answer"


async def test_what_an_app_sends_unasked_is_not_taken_for_the_next_answer(town):
    async def app(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            )

    await town.start(live(await town.raw(app)))
    assert [(await town.get()).text for _ in range(3)] == ["hi"] * 3
