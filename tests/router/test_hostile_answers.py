"""Answers of an app that mean to be read differently by the router and by whoever comes after it."""

import asyncio

import pytest

from service.router.limits import Limits
from tests.router.conftest import live
from tests.router.test_smuggling import HOST

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"3\r\nabc\r\n0\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

REFUSED = {
    "a length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKED,
    "another transfer encoding": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "chunks in another transfer encoding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "a transfer encoding after chunked": OK + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "an unknown transfer encoding": OK + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "a length with a sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a length beyond all numbers": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "an empty length": OK + b"Content-Length:\r\n\r\nhello",
    "a bare carriage return in a header": OK + b"X: a\rSet-Cookie: evil\r\nContent-Length: 5\r\n\r\nhello",
    "a zero in a header": OK + b"X: a\x00b\r\nContent-Length: 5\r\n\r\nhello",
    "a space in a header's name": OK + b"X Y: 1\r\nContent-Length: 5\r\n\r\nhello",
    "a header without a name": OK + b": x\r\nContent-Length: 5\r\n\r\nhello",
    "a header without a colon": OK + b"x\r\nContent-Length: 5\r\n\r\nhello",
    "a bare carriage return in the reason": b"HTTP/1.1 200 O\rX: y\r\nContent-Length: 5\r\n\r\nhello",
    "a code of two digits": b"HTTP/1.1 99 OK\r\nContent-Length: 5\r\n\r\nhello",
    "a code of four digits": b"HTTP/1.1 1000 OK\r\nContent-Length: 5\r\n\r\nhello",
    "an unknown version": b"HTTP/9.9 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "something before the answer": b"x\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "thousands of headers": OK + b"".join(b"X%d: 1\r\n" % n for n in range(5000)) + b"\r\n",
    "a header without end": OK + b"X: " + b"a" * 300_000 + b"\r\n\r\n",
    "the word that it is about to answer, without end": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100_000,
}
LENIENT = {
    "a folded header": (OK + b"X: a\r\n b: c\r\nContent-Length: 5\r\n\r\nhello", b"X: a b: c\r\n"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nX: a\nContent-Length: 5\n\nhello", b"X: a\r\n"),
    "a length with zeros before it": (OK + b"Content-Length: 005\r\n\r\nhello", b"Content-Length: 5\r\n"),
    "control characters in the reason": (
        b"HTTP/1.1 200 O\x01K\x7f\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 \r\n",
    ),
    "a length that its Connection header names": (
        OK + b"Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Length: 5\r\n",
    ),
    "a few words that it is about to answer": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 20 + OK + b"Content-Length: 5\r\n\r\nhello",
        b"Content-Length: 5\r\n",
    ),
}
WITHOUT_A_BODY = {
    "a HEAD": (b"HEAD", b"200 OK"),
    "a request by 204": (b"GET", b"204 No Content"),
    "a request by 304": (b"GET", b"304 Not Modified"),
    "a HEAD by 304": (b"HEAD", b"304 Not Modified"),
}
BODIES = {
    "with a length": b"Content-Length: 40\r\n\r\n" + EVIL,
    "in chunks": b"Transfer-Encoding: chunked\r\n\r\n28\r\n" + EVIL + b"\r\n0\r\n\r\n",
    "without either": b"\r\n" + EVIL,
}


async def serves(town, *answers: bytes, step: int = 0) -> None:
    """An app that gives these answers, one on each of its connections, the last one for ever; `step` bytes at a time."""
    left = list(answers)

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        answer = left.pop(0) if len(left) > 1 else left[0]
        for start in range(0, len(answer), step or len(answer)):
            writer.write(answer[start : start + (step or len(answer))])
            await writer.drain()
            await asyncio.sleep(0)
        if b"Connection: close" not in answer:
            await reader.read()

    limits = Limits(first_byte_seconds=2.0, idle_seconds=2.0, keep_alive_seconds=0.5)
    await town.start(live(await town.raw(app)), limits=limits)


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
async def test_a_502_is_what_becomes_of(town, answer):
    await serves(town, answer)
    got = await town.get()
    assert (got.status, got.header("towpath-router")) == (502, "bad-answer")
    assert "evil" not in got.text


@pytest.mark.parametrize(("answer", "written"), LENIENT.values(), ids=LENIENT)
async def test_only_one_reading_is_left_of(town, answer, written):
    await serves(town, answer)
    got = await town.send(b"GET / HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert got.endswith(b"\r\n\r\nhello")
    assert written in got
    assert got.count(b"Content-Length") == 1


async def test_a_space_before_a_colon_hides_no_length_from_who_drops_the_space(town):
    await serves(town, OK + b"Content-Length : 5\r\nConnection: close\r\n\r\nhello", b"")
    got = await town.send(b"GET / HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"Transfer-Encoding: chunked\r\n" in got
    assert b"content-length" not in got.lower()


@pytest.mark.parametrize("step", [0, 1, 16], ids=["in one piece", "byte by byte", "in pieces"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("method", "status"), WITHOUT_A_BODY.values(), ids=WITHOUT_A_BODY)
async def test_a_body_where_none_can_be_is_not_taken_for_the_next_answer_to(town, method, status, body, step):
    await serves(
        town, b"HTTP/1.1 " + status + b"\r\nETag: x\r\n" + body, OK + b"Content-Length: 2\r\n\r\nhi", step=step
    )
    reader, writer = await town.connect()
    writer.write(method + b" / HTTP/1.1\r\n" + HOST + b"\r\n")
    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert first.startswith(b"HTTP/1.1 " + status)
    assert b"ETag: x" in first
    writer.write(b"GET /next HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    following = await asyncio.wait_for(reader.read(), 10)
    assert following.startswith(b"HTTP/1.1 200 OK")
    assert following.endswith(b"\r\n\r\nhi")
    assert b"evil" not in following


async def test_an_upgrade_to_http_2_is_not_passed_on_and_opens_no_tunnel(town):
    heads = []

    async def app(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + EVIL)
        await reader.read()

    await town.start(live(await town.raw(app)))
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    got = await town.send(b"GET / HTTP/1.1\r\n" + HOST + upgrade + b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b"evil" not in got
    assert b"upgrade" not in heads[0].lower()
    assert b"http2-settings" not in heads[0].lower()


async def test_an_expectation_that_nobody_knows_opens_no_second_answer(town):
    await serves(town, b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi")
    got = await town.send(b"GET / HTTP/1.1\r\nConnection: close\r\nExpect: a-miracle\r\n" + HOST + b"\r\n")
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.endswith(b"\r\n\r\nhi")
