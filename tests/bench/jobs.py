"""From a webhook to the job that it starts, beside arq's own worker; and what everything costs while nothing happens."""

import asyncio
import hashlib
import hmac
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from arq.connections import ArqRedis, RedisSettings, create_pool

from service.queue import SHORT_QUEUE
from tests.bench.processes import cpu, memory, redis, running
from tests.bench.rows import Row, against, alone, at_most, percentile
from tests.waiting import until
from tests.walk.stage import Stage

ROUNDS = 5
DELIVERIES = 40
THEIRS = 12
"""Their jobs begin within a poll of half a second; these are rung for at any time within two."""
IDLE_SECONDS = 10.0
PARTS = ("router", "web", "worker", "runner", "redis")


async def jobs(stage: Stage, place: Path) -> list[Row]:
    """Rows about waking a worker."""
    ours: list[float] = []
    theirs: list[float] = []
    async with AsyncExitStack() as stack:
        _, socket = await stack.enter_async_context(redis(place / "redis"))
        argv = (sys.executable, "-m", "arq", "tests.bench.peers.stock.Stock")
        await stack.enter_async_context(running(argv, {"REDIS_SOCKET": str(socket)}, log=place / "arq.log"))
        pool = await create_pool(RedisSettings(unix_socket_path=str(socket)))
        stack.push_async_callback(pool.aclose)
        starts = await stack.enter_async_context(_starts(stage))
        await asyncio.gather(_rung(pool), _delivered(stage, starts))  # both are warm now
        for _ in range(ROUNDS):
            ours += [await _delivered(stage, starts) for _ in range(DELIVERIES)]
            theirs += await asyncio.gather(*(_rung(pool) for _ in range(THEIRS)))
    what, peer = "webhook sent -> its job starts", "arq's worker, from enqueue_job"
    return [
        at_most(f"{what}, p50", percentile(ours, 50) * 1000, "ms", 10),
        at_most(f"{what}, p99", percentile(ours, 99) * 1000, "ms", 50),
        against(
            f"{what}, beside arq's own worker",
            [each * 1000 for each in ours],
            "ms",
            peer=peer,
            theirs=[each * 1000 for each in theirs],
            most=0.05,
        ),
        *await idle(stage),
    ]


async def _rung(pool: ArqRedis) -> float:
    await asyncio.sleep(random.uniform(0, 2))
    began = time.time()
    job = await pool.enqueue_job("started")
    assert job is not None
    return float(await job.result(timeout=10)) - began


@asynccontextmanager
async def _starts(stage: Stage) -> AsyncIterator["asyncio.Queue[float]"]:
    """When jobs start, as Redis sees it: the worker takes the ring out of the queue with a job's first breath."""
    seen: asyncio.Queue[float] = asyncio.Queue()
    client = stage.redis()

    async def watch() -> None:
        async with client.monitor() as monitor:
            while True:
                told = await monitor.next_command()
                if told["command"].startswith(f"ZREM {SHORT_QUEUE} "):
                    seen.put_nowait(float(told["time"]))

    watching = asyncio.ensure_future(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await client.aclose()


async def _delivered(stage: Stage, starts: "asyncio.Queue[float]") -> float:
    """Seconds from sending a webhook that concerns nobody to the start of its job."""
    body = b'{"zen": "Keep it logically awesome.", "hook_id": 1}'
    guid = str(uuid.uuid4())
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": guid,
        "X-Hub-Signature-256": f"sha256={hmac.new(stage.github.webhook_secret.encode(), body, hashlib.sha256).hexdigest()}",
    }
    began = time.time()
    async with stage.http.post(f"http://127.0.0.1:{stage.port}/github/webhooks", data=body, headers=headers) as answer:
        assert answer.status == 202, answer.status
    while (started := await asyncio.wait_for(starts.get(), 10)) < began:
        continue  # somebody else's

    async def processed() -> bool:
        return bool(await stage.rows("SELECT 1 FROM deliveries WHERE guid = ? AND state <> 'received'", guid))

    await until(processed, what="the job is over")
    return started - began


async def idle(stage: Stage) -> list[Row]:
    """Rows about doing nothing."""
    pids = {name: stage.pid(name) for name in PARTS}
    before = {name: cpu(pid) for name, pid in pids.items()}
    await asyncio.sleep(IDLE_SECONDS)
    used = {name: (cpu(pid) - before[name]) / IDLE_SECONDS * 100 for name, pid in pids.items()}
    held = {name: memory(pid) for name, pid in pids.items()}
    return [
        at_most("idle worker, CPU", used["worker"], "%", 1),
        alone("idle `towpath up`, CPU", [sum(used.values())], "%", note=_parts(used, "%")),
        alone("idle `towpath up`, memory", [sum(held.values())], "MiB", note=_parts(held, "MiB")),
    ]


def _parts(each: dict[str, float], unit: str) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in each.items()) + f" {unit}"
