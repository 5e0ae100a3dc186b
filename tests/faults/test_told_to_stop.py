"""Told to stop, every part of us ends soon by itself, whatever it is in the middle of; and `up` leaves nothing behind."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.steps import AFTER
from tests.waiting import until
from tests.walk.acting import deployed
from tests.walk.samples import PYTHON, page, quick, slow
from tests.walk.stage import Stage
from tests.web.git.pushing import NOTHING, asking, pack

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON = 10.0
PARTS = ("router", "web", "worker", "runner")
DEAF = f"web: trap '' TERM; exec {PYTHON} -I server.py\n"
"""Whoever is started with a signal ignored ignores it, too."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """An app that runs, deaf to SIGTERM, and where it does."""

    stage: Stage
    app: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(stage: Stage) -> Place:
    pipeline = await stage.pipeline("told", files={**quick("first"), "Procfile": DEAF})
    await deployed(stage, pipeline.staging)
    return Place(stage=stage, app=pipeline.staging)


async def _connected(stage: Stage, head: str, body: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    own = f"Host: 127.0.0.1:{stage.port}\r\nAuthorization: Bearer {stage.token}\r\n"
    writer.write(f"{head}\r\n{own}\r\n".encode() + body)
    await writer.drain()
    return reader, writer


@asynccontextmanager
async def a_build_that_prints(place: Place) -> AsyncIterator[None]:
    pipeline = await place.stage.pipeline("told", files=slow("built", seconds=4))
    build = await place.stage.api("POST", f"/apps/{pipeline.staging}/builds", {"source_blob": {"version": "master"}})
    sql = (
        "SELECT 1 FROM log_chunks c JOIN builds b ON b.log_id = c.log_id WHERE b.request_id = ? AND text LIKE '%tick%'"
    )
    await until(lambda: place.stage.rows(sql, build["id"]), seconds=AFTER, what="the build prints")
    yield
    await place.stage.says(pipeline.staging, "built", seconds=AFTER)


@asynccontextmanager
async def a_github_that_hangs(place: Place) -> AsyncIterator[None]:
    chaos = place.stage.github.chaos
    pipeline = await place.stage.pipeline("told", auto_deploy=True)
    await place.stage.says(pipeline.staging, "first")
    chaos.answer(
        "delay", pattern=rf"^GET .*/repositories/{pipeline.repo.id}/git/ref/heads/master$", times=1, seconds=12
    )
    await place.stage.github.push(pipeline.repo, "master", page("second"))
    await until(lambda: not any(rule.times for rule in chaos.rules), what="GitHub is asked")
    yield
    chaos.calm()
    await place.stage.says(pipeline.staging, "second", seconds=AFTER)


@asynccontextmanager
async def a_client_that_is_slow_to_send(place: Place) -> AsyncIterator[None]:
    head = "POST /github/webhooks HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999"
    _, writer = await _connected(place.stage, head, b'{"half": ')
    yield
    writer.close()


@asynccontextmanager
async def a_push_that_is_slow_to_come(place: Place) -> AsyncIterator[None]:
    head = f"POST /{place.app}.git/git-receive-pack HTTP/1.1\r\nContent-Length: 99999"
    head += "\r\nContent-Type: application/x-git-receive-pack-request"
    half = asking((NOTHING, "1" * 40, "refs/tags/half")) + pack(("blob", b"half"))[:20]
    _, writer = await _connected(place.stage, head, half)
    incoming = place.stage.data / "pushes"
    await until(lambda: list(incoming.glob("*.git/incoming-*")), what="the push is taken in")
    yield
    writer.close()


@asynccontextmanager
async def a_log_that_is_followed(place: Place) -> AsyncIterator[None]:
    session = await place.stage.api("POST", f"/apps/{place.app}/log-sessions", {"tail": True, "lines": 5})
    async with place.stage.http.get(session["logplex_url"]) as answer:
        assert await answer.content.readline()
        yield


@asynccontextmanager
async def somebody_at_a_terminal(place: Place) -> AsyncIterator[None]:
    body = {"command": "echo hello; exec cat", "attach": True}
    made = await place.stage.api("POST", f"/apps/{place.app}/dynos", body)
    async with place.stage.http.ws_connect(made["attach_url"].replace("//localhost", "//127.0.0.1")) as socket:
        said = b""
        while b"hello" not in said:
            said += (await socket.receive(timeout=AFTER)).data
        yield


@asynccontextmanager
async def a_receiver_that_never_answers(place: Place) -> AsyncIterator[None]:
    came, over = asyncio.Event(), asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    webhook = {"include": ["api:release"], "level": "sync", "url": url}
    made = await place.stage.api("POST", f"/apps/{place.app}/webhooks", webhook)
    await place.stage.api("PATCH", f"/apps/{place.app}/config-vars", {"SHOW_X": "1"})
    await until(came.is_set, seconds=AFTER, what="the receiver is told")
    yield
    over.set()
    server.close()
    await place.stage.api("DELETE", f"/apps/{place.app}/webhooks/{made['id']}")


State = Callable[[Place], AbstractAsyncContextManager[None]]
STATES: tuple[State, ...] = (
    a_receiver_that_never_answers, somebody_at_a_terminal, a_log_that_is_followed, a_github_that_hangs,
    a_build_that_prints, a_push_that_is_slow_to_come, a_client_that_is_slow_to_send,
)  # fmt: skip


def _ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


async def _end(pids: dict[str, int]) -> None:
    """Tell them to stop and wait for their ends; says which are still there."""
    for pid in pids.values():
        os.kill(pid, signal.SIGTERM)
    try:
        await until(lambda: all(map(_ended, pids.values())), seconds=SOON)
    except AssertionError:
        left = [part for part, pid in pids.items() if not _ended(pid)]
        raise AssertionError(f"{left} did not end within {SOON:g} s") from None


async def test_every_part_ends_by_itself_amid_all_that_it_may_be_in_the_middle_of(place: Place) -> None:
    stage = place.stage
    before = stage.output.read_text()
    async with AsyncExitStack() as stack:
        for state in STATES:
            await stack.enter_async_context(state(place))
        pids = {part: stage.pid(part) for part in PARTS}
        await _end(pids)
        await until(lambda: all(stage.pid(part) != pids[part] for part in PARTS), what="they are started again")
    said = stage.output.read_text().removeprefix(before)
    assert {part: f"{part} ended with 0" in said for part in PARTS} == dict.fromkeys(PARTS, True), said


async def test_a_git_that_waits_for_github_goes_with_the_worker_that_was_killed(place: Place) -> None:
    stage = place.stage
    pipeline = await stage.pipeline("told")
    stage.github.chaos.answer("delay", pattern=rf"/{pipeline.repo.full_name}\.git/", seconds=12)
    await stage.api("POST", f"/apps/{pipeline.staging}/builds", {"source_blob": {"version": "master"}})
    await until(lambda: _gits(stage), what="git waits")
    await stage.kill("worker")
    assert not _gits(stage)
    stage.github.chaos.calm()
    await stage.says(pipeline.staging, "first", seconds=AFTER)


def _gits(stage: Stage) -> list[int]:
    """Programs of git that the worker has running on its mirrors."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            program, _, words = os.fsdecode((entry / "cmdline").read_bytes()).partition("\0")
            if Path(program).name == "git" and f"{stage.data}/work/mirrors" in words:
                found.append(int(entry.name))
    return found


@asynccontextmanager
async def _held(database: Path) -> AsyncIterator[None]:
    """Somebody writes to it, and has stopped."""
    with closing(sqlite3.connect(database, timeout=5, isolation_level=None, check_same_thread=False)) as conn:
        conn.execute("BEGIN IMMEDIATE")
        yield
        conn.execute("ROLLBACK")


async def test_every_part_ends_though_redis_stands_still_and_the_database_takes_nothing(place: Place) -> None:
    stage = place.stage
    async with stage.frozen("redis"), _held(stage.data / "database/towpath.db"):
        pids = {part: stage.pid(part) for part in PARTS}
        await _end(pids)


async def test_up_ends_with_all_that_it_started_though_an_app_is_deaf_and_redis_stands_still(place: Place) -> None:
    """What it leaves is looked for when the installation of this module is over."""
    stage = place.stage
    await until(lambda: _is_well(stage), seconds=AFTER, what="all parts are back")
    os.kill(stage.pid("redis"), signal.SIGSTOP)
    process = stage.process
    assert process is not None
    process.terminate()
    async with asyncio.timeout(SOON):
        assert await process.wait() == 0


async def _is_well(stage: Stage) -> bool:
    with suppress(aiohttp.ClientError):
        async with stage.http.get(f"http://127.0.0.1:{stage.port}/readyz") as answer:
            return await answer.text() == "ready\n"
    return False
