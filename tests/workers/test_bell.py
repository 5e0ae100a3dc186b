"""The worker's ear: what is rung for is begun at once, and what a killed worker heard does not block the queue."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from arq.worker import func

from service.cli.parts import redis_program
from service.queue import (
    DOORS,
    LIVE_QUEUE,
    SHORT_QUEUE,
    TELL_QUEUE,
    WORK_QUEUE,
    Queue,
    Ring,
    deserialize,
    redis_pool,
    serialize,
)
from tests.waiting import until
from workers import main
from workers.main import BellWorker


@dataclass
class Server:
    """A Redis."""

    url: str
    process: asyncio.subprocess.Process


@pytest.fixture
async def server(short_tmp: Path) -> AsyncIterator[Server]:
    socket = short_tmp / "r.sock"
    server = await asyncio.create_subprocess_exec(
        *(str(redis_program()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(short_tmp)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(socket.exists)
        yield Server(url=f"unix://{socket}", process=server)
    finally:
        server.terminate()
        await server.wait()


@pytest.fixture
def redis_url(server: Server) -> str:
    return server.url


async def test_what_a_killed_worker_heard_is_used_up(redis_url: str) -> None:
    heard: list[str] = []

    async def react(_: dict[str, object], guid: str) -> None:
        heard.append(guid)
        if guid == "slow":
            await asyncio.Event().wait()

    queue = Queue(redis_url)
    worker = BellWorker(
        door=DOORS[SHORT_QUEUE],
        functions=[func(react, name="react", keep_result=0, max_tries=1)],
        queue_name=SHORT_QUEUE,
        redis_pool=redis_pool(redis_url, attempts=3),
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    serving = asyncio.ensure_future(worker.main())
    try:
        await queue.ring([Ring("react", ("slow",)), Ring("react", ("quick",))])
        await until(lambda: set(heard) == {"slow", "quick"})
        assert await queue.waiting(SHORT_QUEUE) == 0
    finally:
        running = list(worker.tasks.values())
        for task in (serving, *running):
            task.cancel()
        await asyncio.gather(serving, *running, return_exceptions=True)
        await worker.pool.aclose()
        await queue.close()


@pytest.mark.parametrize("passes", range(5))
async def test_a_worker_that_is_told_to_stop_does_so_though_its_bell_rings_at_that_moment(
    passes: int, redis_url: str
) -> None:
    worker = BellWorker(
        door=DOORS[SHORT_QUEUE],
        functions=[func(_nothing, name="react")],
        queue_name=SHORT_QUEUE,
        redis_pool=redis_pool(redis_url, attempts=3),
        poll_delay=30,
        handle_signals=False,
    )
    serving = asyncio.ensure_future(worker.main())
    await until(lambda: worker._bell._waiters)
    worker._bell.set()
    for _ in range(passes):
        await asyncio.sleep(0)
    serving.cancel()
    ended, _ = await asyncio.wait({serving}, timeout=2)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await worker.pool.aclose()
    assert ended


async def test_a_worker_whose_redis_is_away_ends_with_its_jobs_handed_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "HAND_BACK_SECONDS", 0.5)
    handed_back = asyncio.Event()
    began = asyncio.Event()

    async def react(_: dict[str, object]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            handed_back.set()

    worker = BellWorker(
        door=DOORS[SHORT_QUEUE],
        functions=[func(react, name="react", keep_result=0, max_tries=1)],
        queue_name=SHORT_QUEUE,
        redis_pool=redis_pool(server.url, attempts=600),
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    serving = asyncio.ensure_future(worker.main())
    queue = Queue(server.url)
    await queue.ring([Ring("react")])
    await began.wait()
    await queue.close()
    server.process.send_signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(5):
            await main._end([serving], [worker])
    finally:
        server.process.send_signal(signal.SIGCONT)
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
        await worker.pool.aclose()  # what was left has opened it again
    assert handed_back.is_set()


async def _nothing(_: dict[str, object]) -> None:
    pass


async def test_rings_of_a_moment_go_out_together_and_each_is_kept_once(redis_url: str) -> None:
    queue = Queue(redis_url)
    try:
        await queue.ring([Ring("react", (f"g{number}",)) for number in (*range(40), *range(5))])
        assert await queue.waiting(SHORT_QUEUE) == 40
        assert await queue.waiting(WORK_QUEUE) == 0
        calls = await queue._redis.info("commandstats")
        assert calls["cmdstat_evalsha"]["calls"] == 2  # the first time Redis has yet to be told what it means
        assert await queue._redis.llen(DOORS[SHORT_QUEUE]) == 3
    finally:
        await queue.close()


def test_people_who_follow_logs_keep_nobody_waiting_nor_do_receivers_that_take_their_time() -> None:
    rings = [Ring("logs"), Ring("work"), Ring("react"), Ring("look"), Ring("reconcile"), Ring("report")]
    assert [ring.queue for ring in rings] == [LIVE_QUEUE, WORK_QUEUE, *[SHORT_QUEUE] * 4]
    assert [Ring("one_off").queue, Ring("attach").queue, Ring("deliver").queue] == [LIVE_QUEUE, LIVE_QUEUE, TELL_QUEUE]
