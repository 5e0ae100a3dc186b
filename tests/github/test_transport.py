"""A server in GitHub's place that answers in every way it should not."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.domain.errors import Refused, Transient
from service.domain.facts import FactKey, FactKind
from service.domain.model import Repository, RepositoryId
from service.github.app_auth import FixedToken
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.transport import Transport, new_session
from tests.waiting import until

SHOP = Repository(id=RepositoryId(7), full_name="acme/shop", default_branch="main")


NOW = 1_000_000.0
DATE = "Mon, 12 Jan 1970 13:46:40 GMT"
"""The same in a header."""
HOUR_LATER = "Mon, 12 Jan 1970 14:46:40 GMT"
"""The time of a GitHub of which our clock is an hour behind."""


class Hostile:
    """Answers as it is told, and notes who asked for what with which token."""

    def __init__(self) -> None:
        self.answer = web.Response()
        self.seen: list[tuple[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((f"{request.method} {request.path_qs}", request.headers.get("Authorization", "")))
        await self.gate.wait()
        told = self.answer
        if told.status == 299:
            await asyncio.Event().wait()
        return web.Response(status=told.status, body=told.body, headers={"Date": DATE, **told.headers})


@pytest.fixture
async def hostile() -> AsyncIterator[tuple[Hostile, Transport]]:
    server = Hostile()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as running, new_session() as session:
        yield (
            server,
            Transport(
                session=session,
                api_url=str(running.make_url("/api/v3")),
                wall_clock=lambda: NOW,
                timeout=aiohttp.ClientTimeout(total=2),
            ),
        )


def says(body, *, status=200, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.Response(
        status=status,
        body=raw,
        headers={"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()},
    )


NO_ANSWERS = {
    "an empty body": says(b""),
    "half of it": says(b'{"id": 7'),
    "a text": says(b'"hello"'),
    "HTML that calls itself JSON": says(b"<html>"),
    "HTML": says(b"<html>", Content_Type="text/html"),
    "an unknown charset": says({}, Content_Type="application/json; charset=bogus"),
    "a hundred thousand lists": says(b"[" * 100_000),
    "more than is read": says(b'"' + b"a" * (17 * 1024 * 1024) + b'"'),
    "a gzip bomb": says(gzip.compress(b"0" * 50_000_000), Content_Encoding="gzip"),
    "gzip that is none": says(b"hello", Content_Encoding="gzip"),
    "a status that nobody knows": says({}, status=599),
    "no answer at all": says({}, status=299),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_what_is_no_answer_is_transient(hostile, answer):
    server, transport = hostile
    server.answer = answer
    with pytest.raises(Transient):
        await transport.send("GET", "/repositories/7", token="secret")


async def test_nobody_there_is_transient(hostile, unused_tcp_port):
    async with new_session() as session:
        with pytest.raises(Transient, match="could not be reached"):
            await Transport(session=session, api_url=f"http://127.0.0.1:{unused_tcp_port}").send("GET", "/x")


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        (429, {}, {}, 60),
        (429, {"Retry_After": "5"}, {}, 5),
        (403, {"Retry_After": "30"}, {}, 30),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1000100"}, {}, 101),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "5"}, {}, 60),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1000000"}, {}, 60),
        (403, {"X_RateLimit_Remaining": "0"}, {}, 60),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1003700", "Date": HOUR_LATER}, {}, 101),
        (429, {"Retry_After": "0"}, {}, 1),
        (403, {}, {"message": "You have exceeded a secondary rate limit"}, 60),
        (403, {}, {"message": "You have triggered an abuse detection mechanism. Please wait a few minutes."}, 60),
        (429, {"Retry_After": "Fri, 01 May 2026 10:00:00 GMT"}, {}, 60),
        (429, {"Retry_After": "1e12"}, {}, 3600),
        (429, {"Retry_After": "inf"}, {}, 60),
        (429, {"Retry_After": "nan"}, {}, 60),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "9000000"}, {}, 3600),
        (503, {"Retry_After": "1e12"}, {}, 3600),
    ],
)
async def test_a_limit_says_when_to_ask_again(hostile, status, headers, body, wait):
    server, transport = hostile
    server.answer = says(body, status=status, **headers)
    with pytest.raises(Transient) as caught:
        await transport.send("GET", "/x")
    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (422, b"{}", "HTTP 422"),
        (422, b"", "HTTP 422"),
        (422, b'{"message": "No", "errors": "all"}', "No"),
        (422, b'{"message": "No", "errors": [{"message": "too long"}, {"code": "custom"}, "x", 7]}', "No: too long, custom, x, 7"),
        (403, b'{"message": "Resource not accessible by integration"}', "Resource not accessible by integration"),
        (404, b"<html>", "HTTP 404"),
        (404, b"[" * 100_000, "HTTP 404"),
        (404, b'{"message": "No\\u0000 \\ud800such\\nthing"}', "No   such thing"),
    ],
)  # fmt: skip
async def test_a_refusal_is_an_answer_in_whatever_form(hostile, status, body, message):
    server, transport = hostile
    server.answer = says(body, status=status)
    reply = await transport.send("POST", "/x", body={})
    assert (reply.status, reply.message) == (status, message)


@pytest.mark.parametrize("who", ["token", "jwt"])
async def test_an_error_that_quotes_what_was_sent_is_told_without_it(hostile, who):
    server, transport = hostile
    server.answer = says({"message": f"Bad credentials: Authorization: {who} a.secret.of-ours"}, status=422)
    reply = await transport.send("POST", "/x", body={}, **{who: "a.secret.of-ours"})
    assert reply.message == f"Bad credentials: Authorization: {who} [redacted]"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_another_host_is_not_followed(hostile, status):
    server, transport = hostile
    server.answer = says({}, status=status, Location="http://evil.invalid/api/v3/x")
    with pytest.raises(Refused, match="not an address of GitHub"):
        await transport.send("GET", "/x", token="secret")
    assert len(server.seen) == 1


async def test_a_redirect_in_a_circle_ends(hostile):
    server, transport = hostile
    server.answer = says({}, status=307, Location="/api/v3/x")
    with pytest.raises(Transient, match="redirected"):
        await transport.send("POST", "/x", body={"a": 1}, token="secret")
    assert server.seen == [("POST /api/v3/x", "token secret")] * 3


async def test_odd_numbers_in_the_limit_s_headers_are_left_out(hostile):
    server, transport = hostile
    server.answer = says({}, X_RateLimit_Limit="many", X_RateLimit_Remaining="1", X_RateLimit_Reset="1e400")
    assert (await transport.send("GET", "/x")).quota is None


# Lists ----------------------------------------------------------------------------------------------


def looks(transport: Transport) -> Looks:
    from datetime import UTC, datetime

    github = GitHub(transport=transport, credentials=FixedToken("secret"))
    return Looks(github=github, now=lambda: datetime(2026, 5, 1, tzinfo=UTC))


OPEN = FactKey(FactKind.OPEN_PULL_REQUESTS, SHOP.id, "")
CI = FactKey(FactKind.CI, SHOP.id, "a" * 40)


async def test_a_next_page_on_another_host_is_not_asked_for(hostile):
    server, transport = hostile
    server.answer = says({"total_count": 0, "statuses": []}, Link='<http://evil.invalid/x>; rel="next"')
    with pytest.raises(Transient, match="names another"):
        await looks(transport).look(CI, SHOP)
    items = [{"id": number, "context": "c", "state": "success"} for number in range(1, 101)]
    server.answer = says({"total_count": 200, "statuses": items}, Link='<http://evil.invalid/x>; rel="next"')
    assert "not an address of GitHub" in (await looks(transport).look(CI, SHOP)).error
    assert {line.split("?")[0] for line, _ in server.seen} == {f"GET /api/v3/repositories/7/commits/{'a' * 40}/status"}


async def test_a_list_without_end_is_given_up(hostile):
    server, transport = hostile
    items = [{"id": number, "context": "c", "state": "success"} for number in range(1, 101)]
    server.answer = says({"total_count": 10**6, "statuses": items}, Link='</api/v3/x>; rel="next"')
    assert "too many" in (await looks(transport).look(CI, SHOP)).error
    assert len(server.seen) == 50


async def test_fewer_items_than_announced_are_no_answer(hostile):
    server, transport = hostile
    server.answer = says({"total_count": 3, "statuses": []})
    with pytest.raises(Transient, match="0 of 3"):
        await looks(transport).look(CI, SHOP)


async def test_a_list_that_moved_between_its_pages_is_no_answer(hostile):
    server, transport = hostile
    item = {"id": 1, "context": "c", "state": "success"}
    server.answer = says({"total_count": 2, "statuses": [item, item]})
    with pytest.raises(Transient, match="changed while"):
        await looks(transport).look(CI, SHOP)


@pytest.mark.parametrize("body", [{}, [{}], [7], {"message": "hello"}, [{"number": 1}]])
async def test_a_list_in_another_form_is_no_answer(hostile, body):
    server, transport = hostile
    server.answer = says(body)
    with pytest.raises(Transient, match="incomplete"):
        await looks(transport).look(OPEN, SHOP)


async def test_an_answer_about_another_branch_is_not_taken(hostile):
    server, transport = hostile
    server.answer = says({"ref": "refs/heads/maintenance", "object": {"sha": "a" * 40, "type": "commit"}})
    answer = await looks(transport).look(FactKey(FactKind.HEAD, SHOP.id, "main"), SHOP)
    assert answer.value is None
    assert "instead of branch main" in answer.error


async def test_a_branch_is_not_gone_because_everything_is_404(hostile):
    server, transport = hostile
    server.answer = says({"message": "Not Found"}, status=404)
    answer = await looks(transport).look(FactKey(FactKind.HEAD, SHOP.id, "main"), SHOP)
    assert answer.value is None
    assert answer.error


async def test_who_is_cut_off_while_github_writes_goes_only_when_it_is_written(hostile):
    server, transport = hostile
    server.answer, server.gate = says({"id": 7}), asyncio.Event()
    sending = asyncio.ensure_future(transport.send("POST", "/repos/acme/shop/statuses/abc", body={}))
    await until(lambda: server.seen, what="it is sent")
    sending.cancel()
    done, _ = await asyncio.wait({sending}, timeout=0.1)
    assert done == set()
    server.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_who_is_cut_off_while_github_is_read_goes_at_once(hostile):
    server, transport = hostile
    server.answer, server.gate = says({"id": 7}), asyncio.Event()
    reading = asyncio.ensure_future(transport.send("GET", "/repos/acme/shop"))
    await until(lambda: server.seen, what="it is asked")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    server.gate.set()
