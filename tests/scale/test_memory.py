"""An hour's traffic, compressed: web, worker and router need as much memory after it as when they were warm."""

import asyncio
import hashlib
import hmac
import json
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tests.walk.conftest import runtimes
from tests.walk.stage import Pipeline, Stage, staged

__all__ = ["runtimes"]

PARTS = ("web", "worker", "router")
ROUNDS, WARM = 5, 6
DELIVERIES = 200
AT_ONCE = 16
MOST = 2_000_000
"""A fifth of what the rounds' deliveries hold; SQLite's page caches go on growing for a while."""


@pytest.fixture
async def stage(runtimes: Path) -> AsyncIterator[Stage]:
    async with staged(runtimes) as running:
        yield running


def resident(stage: Stage, part: str) -> int:
    """A process's memory in bytes."""
    return int(Path(f"/proc/{stage.pid(part)}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


async def test_web_worker_and_router_grow_no_more_once_they_are_warm(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    await stage.says(pipeline.staging, "first")
    sha = await stage.github.head(pipeline.repo.full_name)
    seen = []
    for number in range(WARM + ROUNDS):
        await traffic(stage, pipeline, sha, number)
        seen.append({part: resident(stage, part) for part in PARTS})
    (processed,) = await stage.rows("SELECT count(*) FROM deliveries WHERE state = 'processed'")
    assert processed[0] >= DELIVERIES * (WARM + ROUNDS)
    grown = {part: seen[-1][part] - seen[WARM - 1][part] for part in PARTS}
    assert all(value < MOST for value in grown.values()), (grown, seen)
