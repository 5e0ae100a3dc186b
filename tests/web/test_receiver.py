"""The webhook door: what GitHub signed is stored before it is answered, and nobody else gets in or brings it down."""

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import logging
import re
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from service.github.events import parse
from service.github.hints import Hint, Ignored
from service.store import deliveries
from service.store.database import Database
from service.store.deliveries import Inbox
from service.web.receiver import CLIENT_MAX_SIZE, MAX_BODY, PATH, Receiver
from tests.github.examples import ODD_VALUES, all_examples, example, mutations
from tests.store.fixtures import (
    database,
    postgresql_database,
    postgresql_server,
    postgresql_template,
    postgresql_url,
    sqlite_database,
    sqlite_template,
)
from tests.waiting import until

__all__ = [
    "database",
    "postgresql_database",
    "postgresql_server",
    "postgresql_template",
    "postgresql_url",
    "sqlite_database",
    "sqlite_template",
]

SECRET = "the secret"
BODY = json.dumps({"action": "opened", "repository": {"id": 7}, "installation": {"id": 12}}).encode()
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Door:
    """A real server with the receiver in it, and what came of what was sent there."""

    url: str
    port: int
    session: aiohttp.ClientSession
    database: Database
    inbox: Inbox
    secrets: list[str]
    rung: list[str] = field(default_factory=list)
    ring: Callable[[Sequence[str]], Any] | None = None

    async def on_ring(self, guids: Sequence[str]) -> None:
        self.rung += guids
        if self.ring is not None:
            await self.ring(guids)

    async def post(self, body: bytes = BODY, *, headers: dict[str, str | None] | None = None, **options: Any):
        sent = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "pull_request",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": signature(body),
            **(headers or {}),
        }
        present = {name: value for name, value in sent.items() if value is not None}
        async with self.session.post(self.url, data=options.pop("data", body), headers=present, **options) as answer:
            return answer.status, await answer.json(), answer.headers

    async def stored(self) -> list[deliveries.Receipt]:
        return await self.database.read(lambda conn: deliveries.listing(conn, 10_000))


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@asynccontextmanager
async def _opened(database: Database) -> AsyncIterator[Door]:
    async def ring(guids: Sequence[str]) -> None:
        await made.on_ring(guids)

    inbox = await Inbox.open(database.url)
    receiver = Receiver(
        inbox=inbox, secrets=lambda: made.secrets, ring=ring, now=lambda: NOW, read_seconds=0.5, ring_seconds=0.2
    )
    app = web.Application(client_max_size=CLIENT_MAX_SIZE)
    receiver.add_to(app)
    # As the web process serves it; aiohttp's own test server cancels handlers whose client has left.
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port=0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        made = Door(
            url=f"http://127.0.0.1:{port}{PATH}",
            port=port,
            session=session,
            database=database,
            inbox=inbox,
            secrets=[SECRET],
        )
        yield made
    await runner.cleanup()
    await inbox.close()


@pytest.fixture
async def door(sqlite_database: Database) -> AsyncIterator[Door]:
    async with _opened(sqlite_database) as opened:
        yield opened


@pytest.fixture
async def each_door(database: Database) -> AsyncIterator[Door]:
    """The door before each of the engines."""
    async with _opened(database) as opened:
        yield opened


# What is taken --------------------------------------------------------------------------------------


async def test_a_signed_delivery_is_stored_as_sent_before_it_is_answered_and_a_worker_is_rung(each_door):
    status, answer, _ = await each_door.post(headers={"X-GitHub-Delivery": "0a-b1-c2-d3"})
    assert (status, answer) == (202, {"delivery": "0a-b1-c2-d3", "state": "new"})
    kept = await each_door.database.read(lambda conn: deliveries.get(conn, "0a-b1-c2-d3"))
    assert (kept.event, kept.action, kept.repository_id, kept.installation_id) == ("pull_request", "opened", 7, 12)
    assert (kept.body, kept.state, kept.received_at) == (BODY, "received", NOW)
    await until(lambda: each_door.rung == ["0a-b1-c2-d3"])


async def test_a_redelivery_of_what_was_not_processed_rings_again_and_of_what_was_does_not(each_door):
    headers = {"X-GitHub-Delivery": "the-same-guid"}
    assert (await each_door.post(headers=headers))[0] == 202
    assert (await each_door.post(headers=headers))[:2] == (202, {"delivery": "the-same-guid", "state": "known"})
    await until(lambda: len(each_door.rung) == 2)
    await each_door.database.write(
        lambda conn: deliveries.finish(conn, guid="the-same-guid", state="processed", verdict="", now=NOW)
    )
    assert (await each_door.post(headers=headers))[:2] == (200, {"delivery": "the-same-guid", "state": "processed"})
    assert len(await each_door.stored()) == 1
    assert len(each_door.rung) == 2


@pytest.mark.parametrize(
    "body",
    [
        b'{ "action" : "opened" ,\r\n\t"n": 1.50 }\n',
        b'{"title": "caf\\u00e9 \\/ \\ud83d\\ude80", "action": "opened"}',
        '{"title": "café 🚀", "action": "opened"}'.encode(),
        b'{"n": 1E400, "n": 12345678901234567890123, "action": "opened"}',
    ],
    ids=["spaces and a number as it is written", "escapes", "no escapes", "numbers that no reader keeps"],
)
async def test_what_counts_are_the_bytes_that_were_signed_however_json_is_written(door, body):
    status, answer, _ = await door.post(body)
    assert status == 202
    kept = await door.database.read(lambda conn: deliveries.get(conn, answer["delivery"]))
    assert (kept.body, kept.action) == (body, "opened")


async def test_both_secrets_count_while_one_replaces_the_other(door):
    door.secrets[:] = ["new", SECRET]
    for secret in door.secrets:
        assert (await door.post(headers={"X-Hub-Signature-256": signature(BODY, secret)}))[0] == 202
    door.secrets[:] = ["new"]
    assert (await door.post())[0] == 401


async def test_without_a_secret_nothing_is_taken_not_even_what_is_signed_with_none(door):
    for secrets in ([], [""]):
        door.secrets[:] = secrets
        assert (await door.post(headers={"X-Hub-Signature-256": signature(BODY, "")}))[0] == 401


async def test_many_at_once_are_all_stored(each_door):
    answers = await asyncio.gather(*(each_door.post() for _ in range(300)))
    assert {status for status, _, _ in answers} == {202}
    assert len(await each_door.stored()) == 300


async def test_a_body_of_just_under_25_megabytes_is_taken(each_door):
    body = b'{"x": "' + b"a" * (MAX_BODY - 9) + b'"}'
    assert len(body) == MAX_BODY
    assert (await each_door.post(body, data=io.BytesIO(body)))[0] == 202


# What is not ----------------------------------------------------------------------------------------

OTHER = b'{"action": "closed"}'
BAD_HEADERS = {
    "no signature at all": ({"X-Hub-Signature-256": None}, 401),
    "only the SHA-1 signature": ({"X-Hub-Signature-256": None, "X-Hub-Signature": "sha1=" + "a" * 40}, 401),
    "a SHA-1 signature under the other name": ({"X-Hub-Signature-256": "sha1=" + "a" * 40}, 401),
    "a signature of another body": ({"X-Hub-Signature-256": signature(OTHER)}, 401),
    "a signature with another secret": ({"X-Hub-Signature-256": signature(BODY, "guess")}, 401),
    "a signature in capitals": ({"X-Hub-Signature-256": signature(BODY).upper()}, 401),
    "a signature that is too short": ({"X-Hub-Signature-256": signature(BODY)[:-1]}, 401),
    "a signature that is too long": ({"X-Hub-Signature-256": signature(BODY) + "0"}, 401),
    "a signature that is not ASCII": ({"X-Hub-Signature-256": "sha256=" + "ü" * 64}, 401),
    "a ping without a signature": ({"X-GitHub-Event": "ping", "X-Hub-Signature-256": None}, 401),
    "a ping with the signature of another body": (
        {"X-GitHub-Event": "ping", "X-Hub-Signature-256": signature(OTHER)},
        401,
    ),
    "an empty signature": ({"X-Hub-Signature-256": ""}, 401),
    "no event": ({"X-GitHub-Event": None}, 400),
    "an event that is no word": ({"X-GitHub-Event": "push; rm -rf /"}, 400),
    "an endless event": ({"X-GitHub-Event": "a" * 65}, 400),
    "no delivery number": ({"X-GitHub-Delivery": None}, 400),
    "a delivery number that is none": ({"X-GitHub-Delivery": "../../etc/passwd"}, 400),
    "an endless delivery number": ({"X-GitHub-Delivery": "a" * 65}, 400),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 400),
    "an unknown charset": ({"Content-Type": "application/json; charset=bogus"}, 400),
    "another charset": ({"Content-Type": "application/json; charset=utf-16"}, 400),
    "a content type that only starts like JSON": ({"Content-Type": "application/jsonp"}, 400),
    "a compressed body": ({"Content-Encoding": "gzip"}, 400),
}


@pytest.mark.parametrize(("headers", "expected"), BAD_HEADERS.values(), ids=BAD_HEADERS)
async def test_bad_headers_are_refused_and_store_nothing(door, headers, expected):
    options = {"data": gzip.compress(BODY)} if "Content-Encoding" in headers else {}
    status, answer, _ = await door.post(headers=headers, **options)
    assert (status, set(answer)) == (expected, {"message"})
    assert await door.stored() == []
    assert door.rung == []


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
async def test_json_in_utf_8_may_be_called_so(door, content_type):
    assert (await door.post(headers={"Content-Type": content_type}))[0] == 202


BAD_BODIES = {
    "nothing": b"",
    "a list": b"[]",
    "a word": b'"push"',
    "a number": b"7",
    "null": b"null",
    "not a number": b'{"x": NaN}',
    "NaN alone": b"NaN",
    "half an object": b'{"action": "opened"',
    "two objects": b"{}{}",
    "a hundred thousand lists": b"[" * 100_000,
    "a hundred thousand objects": b'{"a":' * 100_000,
    "a deep list within": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a form": b"payload=%7B%7D",
    "UTF-16": '{"action": "opened"}'.encode("utf-16"),
    "no UTF-8": b'{"action": "\xff"}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_signed_body_that_is_no_object_is_refused(door, body):
    assert (await door.post(body))[0] == 400
    assert await door.stored() == []


@pytest.mark.parametrize(
    "payload",
    [
        {"action": 7, "repository": [], "installation": "x"},
        {"action": "a" * 100, "repository": {"id": "7"}, "installation": {"id": 1.5}},
        {"action": "rm -rf", "repository": {"id": -1}, "installation": {"id": 2**63}},
        {"repository": {"id": 10**400}},
        {"repository": {"id": True}, "action": None},
        {"action": "\x00"},
    ],
    ids=str,
)
async def test_a_field_of_a_wrong_type_is_left_out_and_the_body_kept(door, payload):
    status, answer, _ = await door.post(json.dumps(payload).encode())
    assert status == 202
    (kept,) = await door.stored()
    assert (kept.guid, kept.action, kept.repository_id, kept.installation_id) == (answer["delivery"], "", None, None)


async def test_a_body_over_25_megabytes_is_refused_before_it_is_read(door):
    status, answer, _ = await door.post(headers={"Content-Length": str(MAX_BODY + 1)}, data=_never(b"x"))
    assert (status, answer["message"]) == (413, f"the body is larger than {MAX_BODY} bytes")


async def test_a_body_of_unknown_length_is_refused_when_it_has_become_too_long(door):
    async def chunks():
        for _ in range(26):
            yield b"x" * 1024 * 1024
        await asyncio.Event().wait()

    assert (await door.post(data=chunks()))[0] == 413


async def test_a_body_that_never_comes_to_its_end_is_given_up(door):
    assert (await door.post(data=_never(b"{")))[0] == 408
    assert (await door.post())[0] == 202


async def test_a_caller_that_leaves_in_the_middle_of_a_body_leaves_nothing_behind(door, monkeypatch, caplog):
    monkeypatch.setattr("service.web.receiver.MAX_BUFFERED", 2_000_000)
    head = b"POST /github/webhooks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-GitHub-Event: push\r\n"
    head += b"X-GitHub-Delivery: 12345678\r\nX-Hub-Signature-256: %s\r\n" % signature(BODY).encode()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(head + b"Content-Length: 1500000\r\n\r\n" + b"x" * 1_400_000)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await until(lambda: len(logs) == 3)
    assert {entry["reason"] for entry in logs} == {"the body broke off"}
    assert caplog.records == []
    body = b'{"x": "' + b"a" * 1_500_000 + b'"}'
    assert (await door.post(body, data=io.BytesIO(body)))[0] == 202
    assert len(await door.stored()) == 1


async def test_bodies_that_wait_for_the_database_count_against_the_room_for_all(door, monkeypatch):
    monkeypatch.setattr("service.web.receiver.MAX_BUFFERED", 1_500_000)
    body = b'{"x": "' + b"a" * 1_000_000 + b'"}'
    holder = sqlite3.connect(door.database.url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    both = [asyncio.create_task(door.post(body)) for _ in range(2)]
    (refused,), (waiting,) = await asyncio.wait(both, timeout=4, return_when=asyncio.FIRST_COMPLETED)
    assert refused.result()[:2] == (503, {"message": "too many large bodies at once"})
    holder.execute("ROLLBACK")
    holder.close()
    assert (await waiting)[0] == 202
    assert (await door.post(body))[0] == 202


async def test_what_cannot_be_stored_is_never_said_to_be(door):
    holder = sqlite3.connect(door.database.url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    status, _, headers = await door.post(headers={"X-GitHub-Delivery": "held-back"})
    assert (status, headers["Retry-After"]) == (503, "5")
    holder.execute("ROLLBACK")
    holder.close()
    assert door.rung == []
    assert (await door.post(headers={"X-GitHub-Delivery": "held-back"}))[1]["state"] == "new"


async def _never(start: bytes):
    yield start
    await asyncio.Event().wait()


async def _raw(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text)
        await writer.drain()
        async with asyncio.timeout(5):
            return await reader.readuntil(b"\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        (b"X-Hub-Signature-256: sha256=\xff\xfe\r\n", 401),
        (b"X-Hub-Signature-256: %s\r\nX-Hub-Signature-256: %s\r\n" % ((signature(BODY).encode(),) * 2), 401),
        (b"X-GitHub-Event: \xff\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n", 400),
        (b"Content-Length: -5\r\n", 400),
        (b"Content-Length: 99999999999999999999999\r\n", 400),
    ],
    ids=["bytes", "two signatures", "event in bytes", "chunked nonsense", "negative", "astronomic"],
)
async def test_what_no_client_would_send_is_refused_too(door, extra, status):
    names = extra.lower()
    lines = [b"POST /github/webhooks HTTP/1.1", b"Host: x", b"Content-Type: application/json"]
    lines += [] if b"x-github-event" in names else [b"X-GitHub-Event: push"]
    lines += [b"X-GitHub-Delivery: 12345678-1234"]
    lines += [] if b"signature" in names else [b"X-Hub-Signature-256: " + signature(BODY).encode()]
    lines += [] if b"content-length" in names or b"transfer" in names else [b"Content-Length: %d" % len(BODY)]
    answer = await _raw(door.port, b"\r\n".join(lines) + b"\r\n" + extra + b"\r\n" + BODY)
    assert int(answer.split()[1]) == status
    assert await door.stored() == []


async def test_a_gzip_bomb_is_refused_without_being_unpacked(door):
    bomb = gzip.compress(b"0" * 50_000_000)
    headers = {"Content-Encoding": "gzip", "X-Hub-Signature-256": signature(bomb)}
    assert (await door.post(headers=headers, data=bomb))[0] == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post_is_served(door, method):
    async with door.session.request(method, door.url) as answer:
        assert answer.status == 405


# What goes wrong on our side ------------------------------------------------------------------------


async def test_a_database_that_cannot_be_written_is_said_with_when_to_come_back(door):
    await door.inbox.close()
    status, _, headers = await door.post()
    assert (status, headers["Retry-After"]) == (503, "5")
    assert door.rung == []


async def test_a_ring_that_fails_changes_nothing_of_the_answer(door):
    async def fail(_guids):
        raise ConnectionError("Redis is down")

    door.ring = fail
    assert (await door.post())[0] == 202
    await until(lambda: door.rung)
    assert len(await door.stored()) == 1


async def test_a_ring_that_hangs_delays_no_answer_and_is_given_up(door):
    ended = []

    async def hang(guids):
        try:
            await asyncio.Event().wait()
        finally:
            ended.extend(guids)

    door.ring = hang
    async with asyncio.timeout(5):
        answers = [await door.post() for _ in range(20)]
    assert {status for status, _, _ in answers} == {202}
    await until(lambda: len(ended) == 20)


async def test_neither_bodies_nor_secrets_are_logged(door, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs:
        await door.post(b'{"token": "canary-body"}')
        await door.post(b'{"token": "canary-body"}', headers={"X-Hub-Signature-256": signature(b"other")})
        await door.post(b'["canary-body"]')
    everything = repr(logs) + caplog.text + "".join(capsys.readouterr())
    assert [entry["status"] for entry in logs if entry["event"] == "webhook refused"] == [401, 400]
    assert not re.search(rf"canary-body|{SECRET}|sha256=[0-9a-f]", everything)


# GitHub's own examples ------------------------------------------------------------------------------


async def test_every_example_of_github_is_stored_and_read_back_to_a_verdict(door):
    async def send(one):
        body = json.dumps(one.payload).encode()
        status, answer, _ = await door.post(body, headers={"X-GitHub-Event": one.event})
        assert status == 202, one.name
        kept = await door.database.read(lambda conn: deliveries.get(conn, answer["delivery"]))
        assert kept.body == body, one.name
        repository = one.payload.get("repository") or {}
        assert kept.repository_id == repository.get("id"), one.name
        assert kept.action == one.payload.get("action", ""), one.name
        return parse(event=kept.event, payload=kept.body)

    verdicts = [await send(one) for one in all_examples()]
    assert len(verdicts) == 329
    assert all(isinstance(verdict, Hint | Ignored) for verdict in verdicts)


async def test_every_mutation_of_a_pull_request_near_its_top_is_taken_and_read_to_a_verdict(door):
    bodies = [
        json.dumps(payload).encode() for payload, _ in mutations(example("pull_request", "opened"), ODD_VALUES, depth=1)
    ]
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(door.post(body) for body in bodies))
    for status, answer, _ in answers:
        assert status == 202
        kept = await door.database.read(lambda conn, guid=answer["delivery"]: deliveries.get(conn, guid))
        assert isinstance(parse(event=kept.event, payload=kept.body), Hint | Ignored)
