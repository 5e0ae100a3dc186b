"""An hour's traffic, compressed: every process of ours needs as much memory after it as when it was warm."""

import asyncio
import hashlib
import hmac
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.demo import remains
from tests.waiting import until
from tests.walk.conftest import runtimes
from tests.walk.stage import Pipeline, Stage, staged

__all__ = ["runtimes"]

PARTS = ("web", "worker", "router", "runner", "redis")
ROUNDS, WARM = 5, 6
DELIVERIES = 200
AT_ONCE = 16
MOST = 2_000_000
"""A fifth of what the rounds' deliveries hold; SQLite's page caches go on growing for a while."""


@pytest.fixture
async def stage(runtimes: Path) -> AsyncIterator[Stage]:
    async with staged(runtimes) as running:
        yield running


def all_of(stage: Stage) -> dict[str, int]:
    """The memory of each process in bytes: the services, `up`, and what holds the app and lets it out."""
    assert stage.process is not None
    names = {stage.process.pid: "up", **{stage.pid(part): part for part in PARTS}}
    found = {}
    for pid in remains.processes(stage.data):
        ours = names.get(pid) or (f"{pid} beside the app" if _is_beside_an_app(pid) else "")
        if ours:
            found[ours] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return found


def _is_beside_an_app(pid: int) -> bool:
    """Whether it is in the group of a shim; without root there is none."""
    with suppress(OSError):
        return ".shim" in Path(f"/proc/{pid}/cgroup").read_text()
    return False


async def deliver(stage: Stage, event: str, payload: dict[str, Any]) -> None:
    body = json.dumps(payload).encode()
    secret = stage.env["TOWPATH_GITHUB_WEBHOOK_SECRET"].encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}",
    }
    url = f"http://127.0.0.1:{stage.port}/github/webhooks"
    async with stage.http.post(url, data=body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()


async def traffic(stage: Stage, pipeline: Pipeline, sha: str, number: int) -> None:
    """Pushes that concern nobody, statuses that reconcile the staging app, visitors, and people who look at lists."""
    repository = {"id": pipeline.repo.id, "full_name": pipeline.repo.full_name, "default_branch": "master"}
    padding = "x" * 10_000
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(place: int) -> None:
        async with turn:
            if place % 10:
                pushed = {"ref": f"refs/heads/topic-{number}-{place}", "after": sha, "padding": padding}
                await deliver(stage, "push", {**pushed, "repository": repository})
            else:
                said = {"sha": sha, "context": "test", "state": "success", "branches": [], "padding": padding}
                await deliver(stage, "status", {**said, "repository": repository})
            assert "first" in await stage.page(pipeline.staging)
            if place % 5 == 0:
                await stage.api("GET", "/deliveries")
                await stage.api("GET", f"/apps/{pipeline.staging}/releases")

    await asyncio.gather(*(one(place) for place in range(DELIVERIES)))
    await until(lambda: handled(stage), seconds=60)


async def handled(stage: Stage) -> bool:
    waiting = await stage.rows("SELECT 1 FROM deliveries WHERE state = 'received' LIMIT 1")
    return not waiting


async def test_no_process_of_ours_grows_once_it_is_warm(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    await stage.says(pipeline.staging, "first")
    sha = await stage.github.head(pipeline.repo.full_name)
    seen = []
    for number in range(WARM + ROUNDS):
        await traffic(stage, pipeline, sha, number)
        seen.append(all_of(stage))
    (processed,) = await stage.rows("SELECT count(*) FROM deliveries WHERE state = 'processed'")
    assert processed[0] >= DELIVERIES * (WARM + ROUNDS)
    assert seen[-1].keys() == seen[WARM - 1].keys(), "a process was replaced"
    grown = {each: seen[-1][each] - seen[WARM - 1][each] for each in seen[-1]}
    assert all(value < MOST for value in grown.values()), (grown, seen)
