"""What a whole installation takes from a webhook, a push or a promotion to its effect."""

import asyncio
import hashlib
import hmac
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import cast

import aiohttp

from service.demo.github_sim import GitHubSim, running
from service.demo.story import SAMPLES
from tests.bench.rows import Row, against, at_most, percentile
from tests.github_contract.fixtures import GitHub
from tests.waiting import until
from tests.walk.acting import deployed, promoted
from tests.walk.samples import page, quick
from tests.walk.stage import Pipeline, Stage

ROUNDS = 5
DELIVERIES = 200
INGESTED = 3000
CONNECTIONS = 32
TICKS = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def installation(place: Path) -> AsyncIterator[Stage]:
    """Run `towpath up` with the settings that it has by itself, beside a simulated GitHub."""
    (place / "data").mkdir(parents=True)
    async with running(GitHubSim(place / "github")) as sim, aiohttp.ClientSession() as http:
        port = free_port()
        sim.webhook_url = f"http://127.0.0.1:{port}/github/webhooks"
        key = place / "key.pem"
        key.touch(mode=0o600)
        key.write_text(sim.private_key_pem)
        env = {
            "TOWPATH_GITHUB_URL": sim.url,
            "TOWPATH_GITHUB_API_URL": sim.api_url,
            "TOWPATH_GITHUB_APP_ID": str(sim.app_id),
            "TOWPATH_GITHUB_PRIVATE_KEY_FILE": str(key),
            "TOWPATH_GITHUB_WEBHOOK_SECRET": sim.webhook_secret,
        }
        stage = Stage(data=place / "data", port=port, github=cast("GitHub", sim), http=http, env=env)
        try:
            await stage.start()
            yield stage
        finally:
            await stage.stop()


async def walks(place: Path) -> list[Row]:
    """Rows about the whole."""
    rows = []
    async with installation(place) as stage:
        rows += await _starts(stage)
        boot = await _boot(stage, place)
        rows += await _webhook_to_job(stage)
        rows += await _push_and_promote(stage, boot)
        rows += await _dependencies(stage)
        rows += await _ingest(stage)
    return rows


async def _starts(stage: Stage) -> list[Row]:
    """The second start: the first one copies interpreters."""
    taken = []
    for _ in range(3):
        await stage.stop()
        taken.append(await _seconds(stage.start))
    return [Row(row="towpath up, later starts", value=median(taken), unit="s")]


async def _seconds(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


async def _boot(stage: Stage, place: Path) -> float:
    """What the app takes by itself, outside of any sandbox, until it answers."""
    python = stage.data / "work/runtimes/python/bin/python3"
    (place / "server.py").write_text(page("boot")["server.py"])
    taken = []
    for _ in range(ROUNDS):
        port = free_port()
        began = time.perf_counter()
        process = subprocess.Popen(
            [python, "-I", "server.py"], cwd=place, env={"PORT": str(port)}, stdout=subprocess.DEVNULL
        )
        try:
            await until(lambda port=port: _answers(stage, port), what="the app alone")  # type: ignore[misc]
            taken.append(time.perf_counter() - began)
        finally:
            process.kill()
            process.wait()
    return median(taken)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answers(stage: Stage, port: int) -> bool:
    try:
        async with stage.http.get(f"http://127.0.0.1:{port}/") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _deliver(stage: Stage, body: bytes) -> float:
    signature = hmac.new(stage.github.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    began = time.perf_counter()
    url = f"http://127.0.0.1:{stage.port}/github/webhooks"
    async with stage.http.post(url, data=body, headers=headers) as answer:
        assert answer.status < 300, answer.status
    return time.perf_counter() - began


async def _webhook_to_job(stage: Stage) -> list[Row]:
    """From the row's commit to the end of its job: more than to its start, which nothing writes down."""
    for _ in range(DELIVERIES):
        await _deliver(stage, b'{"zen": "Keep it logically awesome.", "hook_id": 1}')
    query = "SELECT processed_at - received_at FROM deliveries WHERE event = 'ping' AND processed_at IS NOT NULL"

    async def done() -> bool:
        return len(await stage.rows(query)) >= DELIVERIES

    await until(done, seconds=30, what="all deliveries are processed")
    taken = [microseconds / 1000 for (microseconds,) in await stage.rows(query)]
    row = "webhook accepted -> its job is over"
    return [
        at_most(f"{row}, p50", percentile(taken, 50), "ms", 10),
        at_most(f"{row}, p99", percentile(taken, 99), "ms", 50),
    ]


async def _push_and_promote(stage: Stage, boot: float) -> list[Row]:
    pipeline = await stage.pipeline("bench", automatic=False, auto_deploy=True)
    await deployed(stage, pipeline.staging)
    await promoted(stage, pipeline.id, pipeline.staging)
    pushes, promotions = [], []
    for number in range(ROUNDS):
        text = f"round-{number}"

        async def push(text: str = text) -> None:
            await stage.github.push(pipeline.repo, "master", page(text))
            await stage.says(pipeline.staging, text)

        pushes.append(await _seconds(push) - boot)
        await _quiet(stage, pipeline)

        async def promote(text: str = text) -> None:
            body = {"pipeline": {"id": pipeline.id}, "source": {"app": {"name": pipeline.staging}}}
            await stage.api("POST", "/pipeline-promotions", body)
            await stage.says(pipeline.production, text)

        promotions.append(await _seconds(promote))
        await _quiet(stage, pipeline)
    return [
        at_most("push -> serving, without the app's boot", median(pushes), "s", 1.0),
        against("promote -> answers", median(promotions), "s", peer="the app's boot", theirs=boot, most=1.2),
    ]


async def _quiet(stage: Stage, pipeline: Pipeline) -> None:
    """Wait until the apps' queues are empty."""
    query = "SELECT id FROM requests WHERE state IN ('queued', 'running')"

    async def look() -> bool:
        return await stage.rows(query) == []

    await until(look, seconds=20, what=f"{pipeline.name} is at rest")


async def _dependencies(stage: Stage) -> list[Row]:
    """What a build with an unchanged lock file takes longer than one without dependencies."""
    files = {name.name: name.read_text() for name in (SAMPLES / "python").iterdir() if name.name != "app.json"}
    taken = {}
    for name, first in (("locked", files), ("plain", quick("first"))):
        pipeline = await stage.pipeline(name, files=first, automatic=False)
        await deployed(stage, pipeline.staging)
        builds = []
        for number in range(ROUNDS):
            await stage.github.push(pipeline.repo, "master", {"note.txt": f"{number}\n"})
            done = await deployed(stage, pipeline.staging)
            query = "SELECT updated_at - created_at FROM builds WHERE request_id = ?"
            builds.append((await stage.rows(query, done["id"]))[0][0] / 1e6)
        taken[name] = median(builds)
    return [
        at_most("unchanged lock file: dependency step", taken["locked"] - taken["plain"], "s", 0.5),
        Row(row="build of a Procfile app", value=taken["plain"], unit="s"),
    ]


async def _ingest(stage: Stage) -> list[Row]:
    body = json.dumps({"zen": "Design for failure.", "hook_id": 1, "filling": os.urandom(12_000).hex()}).encode()
    before = {name: _cpu(stage.pid(name)) for name in ("web", "router")}
    waiting, taken = iter(range(INGESTED)), []

    async def client() -> None:
        for _ in waiting:
            taken.append(await _deliver(stage, body))  # noqa: PERF401  (several of these take turns)

    whole = await _seconds(lambda: asyncio.gather(*(client() for _ in range(CONNECTIONS))))
    rows = [
        Row(
            row=f"durable ingest of 24 KB, CPU of {name}",
            value=(_cpu(stage.pid(name)) - cpu) / INGESTED * 1e6,
            unit="us",
        )
        for name, cpu in before.items()
    ]
    return [
        *rows,
        Row(row=f"durable ingest, {CONNECTIONS} connections", value=INGESTED / whole, unit="req/s"),
        Row(row=f"durable ingest, {CONNECTIONS} connections, p99", value=percentile(taken, 99) * 1000, unit="ms"),
    ]


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
