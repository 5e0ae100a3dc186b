"""The public port of an installation, and what it asks of others: bodies without end, addresses of strangers, replays."""

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.typedefs import Handler

from tests.github_contract.fixtures import held_to_contract
from tests.waiting import until
from tests.walk.acting import deployed, promoted
from tests.walk.samples import page, quick
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

_ADDRESS = re.compile(r"(https?|git|ssh)://[^/]*|git@[^:]*:")


@dataclass(slots=True, kw_only=True)
class Liar:
    """A middleware of the simulated GitHub that names the addresses of another host, and that host."""

    where: str
    came: list[bytes] = field(default_factory=list)
    lie: str = ""
    told: int = 0

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lie as told."""
        asked = {"a redirect of the API": "/api/", "a redirect of git": ".git/"}.get(self.lie)
        if asked is not None and asked in request.path:
            self.told += 1
            return web.Response(status=307, headers={"Location": f"{self.where}{request.path_qs}"})
        response = await handler(request)
        if self.lie == "the next page of a list" and request.path.endswith(("/pulls", "/status", "/check-runs")):
            self.told += 1
            response.headers["Link"] = f'<{self.where}{request.path}?page=2>; rel="next"'
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A running installation, its GitHub that may lie, and where that leads."""

    stage: Stage
    liar: Liar

    async def post(self, event: str, body: bytes, **headers: str) -> int:
        """Send what GitHub might, signed, under a number of its own; returns the status."""
        signature = hmac.new(self.stage.github.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
        own = {
            "Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={signature}",
        }  # fmt: skip
        url = self.stage.github.webhook_url
        async with self.stage.http.post(url, data=io.BytesIO(body), headers={**own, **headers}) as answer:
            return answer.status

    async def rest(self) -> None:
        """Wait until every delivery has a verdict, and what followed from it is done and shown."""
        left = [
            ("deliveries", "processed_at IS NULL"),
            ("requests", "state IN ('queued', 'running')"),
            ("reports", "pending"),
        ]
        asked = " + ".join(f"(SELECT count(*) FROM {table} WHERE {what})" for table, what in left)  # noqa: S608

        async def nothing_is_left() -> bool:
            return await self.stage.rows(f"SELECT {asked}") == [(0,)]

        await until(nothing_is_left, seconds=30, what="all that came is done")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(runtimes: Path, octokit: Path) -> AsyncIterator[Door]:
    """At the end nobody may ever have come to the other host."""
    async with _elsewhere() as liar, staged(runtimes, github=partial(held_to_contract, before=[liar.answer])) as stage:
        yield Door(stage=stage, liar=liar)
        assert liar.came == []


@asynccontextmanager
async def _elsewhere() -> AsyncIterator[Liar]:
    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        liar.came.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_server(come, "127.0.0.1", 0) as server:
        liar = Liar(where=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield liar


async def test_whoever_comes_to_the_other_host_is_seen(door: Door) -> None:
    """Else it would prove nothing that nobody came."""
    async with _elsewhere() as liar:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(liar.where.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
    assert liar.came


# Addresses ------------------------------------------------------------------------------------------


async def test_no_address_in_a_payload_is_asked(door: Door) -> None:
    """Every address in it is another host's, and all goes on: repositories go by number and by our own settings."""
    stage, github = door.stage, door.stage.github
    pipeline = await stage.pipeline("twisted", auto_deploy=True, wait_for_ci=True, review={"settle_seconds": 0.5})
    sent: list[tuple[str, dict[str, Any]]] = []
    github.sender.watchers.append(lambda event, payload: sent.append((event, payload)))
    github.chaos.webhooks.vanish = 1.0
    try:
        await github.push(pipeline.repo, "topic", page("reviewed"))
        pull = await github.open_pull(pipeline.repo, "topic")
        second = await github.push(pipeline.repo, "master", page("second"))
        await github.set_status(pipeline.repo, second, "success", target_url=door.liar.where)
        await github.create_check_run(pipeline.repo, second, conclusion="success")
    finally:
        github.sender.watchers.pop()
        github.chaos.calm()
    twisted = [(event, _twisted(payload, door.liar.where)) for event, payload in sent]
    assert json.dumps(twisted).count(door.liar.where) > 200
    assert github.url not in json.dumps(twisted)
    assert {await door.post(event, json.dumps(payload).encode()) for event, payload in twisted} == {202}
    await stage.says(pipeline.staging, f"second commit={second}")
    await stage.review_is(pipeline, pull.number, "live")
    assert door.liar.came == []


def _twisted(value: Any, where: str) -> Any:
    match value:
        case str():
            return _ADDRESS.sub(where, value)
        case dict():
            return {name: _twisted(each, where) for name, each in value.items()}
        case list():
            return [_twisted(each, where) for each in value]
        case _:
            return value


@pytest.mark.parametrize("lie", ["the next page of a list", "a redirect of the API", "a redirect of git"])
async def test_nobody_goes_to_another_host_for(lie: str, door: Door) -> None:
    """Once GitHub's answers are its own again, all goes on with what it tells next."""
    stage, liar = door.stage, door.liar
    pipeline = await stage.pipeline("lied", review={"wait_for_ci": True, "settle_seconds": 0.5})
    liar.lie, liar.told = lie, 0
    try:
        sha = await stage.github.push(pipeline.repo, "topic", page("reviewed"))
        for number in range(100):  # a page that is full, which may have another behind it
            await stage.github.set_status(pipeline.repo, sha, "success", context=f"ci-{number}")
        pull = await stage.github.open_pull(pipeline.repo, "topic")
        await until(lambda: liar.told >= 2, seconds=STEP_SECONDS, what="GitHub lies")
    finally:
        liar.lie = ""
    await stage.github.set_status(pipeline.repo, sha, "success", context="another")
    await until(lambda: _is_live(stage, pipeline, pull.number), seconds=60, what="the review app is live")
    assert liar.came == []


async def _is_live(stage: Stage, pipeline: Pipeline, number: int) -> bool:
    found = await stage.review(pipeline, number)
    return found is not None and found["state"] == "live"


# Bodies ---------------------------------------------------------------------------------------------

MB = 1024 * 1024
BODIES: dict[str, tuple[bytes, dict[str, str], int]] = {
    "27 megabytes": (b'{"x": "' + b"a" * 27 * MB + b'"}', {}, 413),
    "a gzip bomb": (gzip.compress(b"0" * 50 * MB), {"Content-Encoding": "gzip"}, 400),
    "a hundred thousand lists in one another": (b"[" * 100_000, {}, 400),
    "a million lists within an object": (b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", {}, 400),
    "a million keys": (json.dumps({f"k{number}": 0 for number in range(1_000_000)}).encode(), {}, 202),
}


async def test_bodies_that_are_too_much_cost_little_and_hold_up_nobody(door: Door) -> None:
    stage = door.stage
    before = _memory(stage.pid("web"))
    slow = [asyncio.create_task(_slowly(stage.port)) for _ in range(50)]
    statuses = dict(zip(BODIES, await asyncio.gather(*map(partial(_sent, door), BODIES.values())), strict=True))
    assert statuses == {name: status for name, (_, _, status) in BODIES.items()}
    assert not any(task.done() for task in slow)
    async with asyncio.timeout(5):
        assert await door.post("ping", b'{"zen": "Keep it logically awesome."}') == 202
    assert {(await task).split()[1] for task in slow} == {b"408"}
    assert _memory(stage.pid("web")) - before < 200
    await door.rest()


async def _sent(door: Door, body: tuple[bytes, dict[str, str], int]) -> int:
    return await door.post("push", body[0], **body[1])


async def _slowly(port: int) -> bytes:
    """A body that comes letter by letter and never to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /github/webhooks HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    head += f"X-GitHub-Event: push\r\nX-GitHub-Delivery: {uuid.uuid4()}\r\nX-Hub-Signature-256: sha256={'0' * 64}\r\n"
    writer.write(f"{head}Content-Length: 100000\r\n\r\n".encode())
    answer = asyncio.create_task(reader.readline())
    try:
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait({answer}, timeout=0.5)
        return answer.result()
    finally:
        writer.close()


def _memory(pid: int) -> float:
    """In megabytes."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


# Sudden death ---------------------------------------------------------------------------------------


async def test_whatever_was_answered_is_stored_though_web_is_killed_amid_a_flood(door: Door) -> None:
    """They are committed in groups: of a group that is not, nobody was told that it was taken."""
    stage, body = door.stage, json.dumps({"ref": "refs/heads/none", "pad": "x" * 5000}).encode()
    ends: dict[str, int] = {}

    async def send(*guids: str) -> None:
        for guid in guids:
            try:
                ends[guid] = await door.post("push", body, **{"X-GitHub-Delivery": guid})
            except aiohttp.ClientError:
                ends[guid] = 0

    guids = [str(uuid.uuid4()) for _ in range(400)]
    flood = asyncio.gather(*(send(*guids[first::16]) for first in range(16)))
    await until(lambda: len(ends) > 50, what="the flood has begun")
    await stage.kill("web")
    await flood
    taken = {guid for guid, status in ends.items() if status == 202}
    assert 50 < len(taken) < len(guids)
    stored = {guid for (guid,) in await stage.rows("SELECT guid FROM deliveries")}
    assert taken - stored == set()
    assert await stage.rows("PRAGMA integrity_check") == [("ok",)]

    async def taken_again() -> bool:
        lost = [guid for guid in guids if ends[guid] not in {200, 202}]
        await send(*lost)
        return not lost

    await until(taken_again, seconds=30, what="what was lost is taken when it is sent again")
    await door.rest()


# Replays --------------------------------------------------------------------------------------------


async def test_what_github_signed_and_somebody_sends_again_under_new_numbers_does_nothing_again(door: Door) -> None:
    """All of it, in both directions: while a pull request's app runs that somebody had built anew, and after its merge."""
    stage, github = door.stage, door.stage.github
    pipeline = await stage.pipeline("again", auto_deploy=True)
    repo = pipeline.repo
    github.add_collaborator(repo, "grace", "write")
    sent: list[tuple[str, bytes]] = []

    def keep(event: str, payload: dict[str, Any]) -> None:
        """To the byte as GitHub sends it: who replays it can sign no other."""
        sent.append((event, json.dumps(payload, separators=(",", ":")).encode()))

    github.sender.watchers.append(keep)
    try:
        sha = await github.push(repo, "topic", page("reviewed"))
        await github.set_status(repo, sha, "success")
        pull = await github.open_pull(repo, "topic")
        check = await stage.check_is(pipeline, sha, "success")
        github.comment(repo, pull.number, f"/approve {sha}", by="grace")
        review = await stage.review_is(pipeline, pull.number, "live")
        await github.press(repo, check["id"], "rebuild", by="grace")
        await stage.says(review["app"]["name"], "release=v2")
        await _replayed(door, pipeline, list(sent))
        merged = await github.merge_pull(repo, pull.number)
        await stage.says(pipeline.staging, f"reviewed commit={merged}")
        await until(lambda: _is_gone(stage, pipeline, pull.number), seconds=STEP_SECONDS, what="the app is gone")
        await _replayed(door, pipeline, list(sent))
    finally:
        github.sender.watchers.pop()
    assert {event for event, _ in sent} >= {
        "push",
        "pull_request",
        "check_run",
        "check_suite",
        "status",
        "issue_comment",
    }


async def _replayed(door: Door, pipeline: Pipeline, sent: list[tuple[str, bytes]]) -> None:
    await door.rest()
    before = await _done(door.stage, pipeline)
    for event, body in [*sent, *reversed(sent)]:
        assert await door.post(event, body) == 202
    await door.rest()
    await deployed(door.stage, (await door.stage.pipeline("after", automatic=False)).staging)
    await door.rest()
    assert await _done(door.stage, pipeline) == before


async def _is_gone(stage: Stage, pipeline: Pipeline, number: int) -> bool:
    found = await stage.review(pipeline, number)
    return found is None or found["state"] == "destroyed"


async def _done(stage: Stage, pipeline: Pipeline) -> tuple[list[Any], ...]:
    """Every request, release and review app there ever was of a pipeline, and what GitHub shows of it."""
    of = "SELECT app_id FROM couplings WHERE pipeline_id = ? UNION SELECT app_id FROM review_apps WHERE pipeline_id = ?"
    asked = (
        f"SELECT kind, state, sha FROM requests WHERE app_id IN ({of}) ORDER BY id",  # noqa: S608
        f"SELECT app_id, version, state FROM releases WHERE app_id IN ({of}) ORDER BY app_id, version",  # noqa: S608
        "SELECT ref, generation, state FROM review_apps WHERE pipeline_id IN (?, ?) ORDER BY id",
    )
    shown = stage.github.reported(pipeline.repo)
    return (
        *[await stage.rows(sql, pipeline.id, pipeline.id) for sql in asked],
        [(each["environment"], each["state"]) for each in shown["deployments"]],
        [(each["head_sha"], each["conclusion"]) for each in shown["check_runs"]],
    )


# Slugs ----------------------------------------------------------------------------------------------


async def test_a_slug_that_was_changed_after_it_was_built_is_not_promoted(door: Door) -> None:
    stage = door.stage
    pipeline = await stage.pipeline("changed", files=quick("built"), automatic=False)
    await deployed(stage, pipeline.staging)
    ((sha256,),) = await stage.rows("SELECT sha256 FROM slugs ORDER BY created_at DESC LIMIT 1")
    blob = stage.data / f"work/slugs/own/{sha256}.tar.zst"
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    (blob.parent / sha256).rename(stage.data.parent / "unpacked")
    done, targets = await promoted(stage, pipeline.id, pipeline.staging)
    assert "was changed after it was built and is not used" in targets[pipeline.production]["error_message"], done
    assert (await stage.page(pipeline.production)).startswith("HTTP ")
    assert "built" in await stage.page(pipeline.staging)
