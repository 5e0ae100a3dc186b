"""The worker process: opens its parts, serves arq's four queues, runs the loops.

arq only wakes us. Its own retries, results and uniqueness are not used: a job that ends, however it ends, is over, and
what is left to do is in the database.
"""

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

import structlog
import uvloop
from arq.typing import WorkerCoroutine
from arq.worker import Function, Worker, func
from redis.exceptions import RedisError

from service import ending
from service import log as logging
from service.domain.errors import Refused, Transient
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.pace import Pace
from service.github.transport import Transport, new_session
from service.github.writes import Writes
from service.identity import Identity
from service.live import publish
from service.queue import (
    DOORS,
    LIVE_QUEUE,
    SHORT_QUEUE,
    TELL_QUEUE,
    WORK_QUEUE,
    Queue,
    deserialize,
    redis_pool,
    serialize,
)
from service.settings import Settings
from service.store.deliveries import Inbox
from service.store.leases import LeaseTerms
from service.store.opening import open_store
from service.waiting import set_within
from workers import home
from workers.builds import runtimes
from workers.builds.builder import Workshop
from workers.builds.cache import CacheStore
from workers.builds.download import Downloads
from workers.builds.slug import SlugStore
from workers.builds.source import Source
from workers.builds.stack import stack
from workers.context import Context
from workers.jobs import loops, pull
from workers.jobs.deliver import deliver
from workers.jobs.look import look
from workers.jobs.one_off import attach, one_off
from workers.jobs.overdue import overdue
from workers.jobs.pull import Puller
from workers.jobs.react import react
from workers.jobs.reconcile import reconcile
from workers.jobs.report import report
from workers.jobs.work import work
from workers.platforms.process.driver import ProcessPlatform

log = structlog.get_logger()

SHORT_JOBS = 50
WORK_JOBS = 4
LIVE_JOBS = 500
TELL_JOBS = 100
BELL_SECONDS = 5
OVERDUE_SECONDS = 60.0
CLOCK_SECONDS = 10.0
JOB_SECONDS = 24 * 3600
HAND_BACK_SECONDS = 2.5
"""How long jobs may take to hand back; arq's own part of one would go on asking for a Redis that is away."""
OUTAGE_ATTEMPTS = 600
"""Redis may be away for ten minutes (a second each) before the worker gives up and is started anew."""


class BellWorker(Worker):
    """arq's worker, woken by a bell instead of polling: 100 times faster to begin, and idle when there is nothing."""

    def __init__(self, *, door: str, **options: Any) -> None:
        super().__init__(on_job_start=self._hear, **options)
        self._door = door
        self._bell = asyncio.Event()

    async def main(self) -> None:
        """Serve until cancelled."""
        listener = asyncio.ensure_future(self._listen())
        try:
            while True:
                self._bell.clear()
                await self._poll_iteration()
                await set_within(self._bell, self.poll_delay_s)
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _hear(self, ctx: dict[Any, Any]) -> None:
        """Use the ring up. arq would keep that of a killed worker's job at the head of its queue for a day."""
        await self.pool.zrem(self.queue_name, ctx["job_id"])

    def _release_sem_dec_counter_on_complete(self) -> None:
        super()._release_sem_dec_counter_on_complete()
        self._bell.set()

    async def _listen(self) -> None:
        while True:
            try:
                if await cast("Awaitable[Any]", self.pool.blpop([self._door], timeout=BELL_SECONDS)):
                    self._bell.set()
            except (RedisError, OSError):
                await asyncio.sleep(0.5)


def _job(context: Context, name: str, body: Callable[..., Awaitable[None]]) -> Function:
    """Wrap a job: whatever goes wrong is logged and over; the row says what is still to be done."""

    async def run(_: dict[Any, Any], *args: str) -> None:
        with structlog.contextvars.bound_contextvars(job=name):
            try:
                await body(context, *args)
            except Transient as error:
                log.warning("job is tried again", error=error.message)
            except Refused as refused:
                log.warning("job refused", error=refused.message)
            except Exception:  # the one place where a job's bug ends
                log.exception("job failed", args=args)

    return func(cast("WorkerCoroutine", run), name=name, keep_result=0, timeout=JOB_SECONDS, max_tries=1)


async def _logs(context: Context, session: str, app_id: str, lines: str, follow: str, process: str = "") -> None:
    platform = context.platforms["process"]
    redis = redis_pool(context.settings.redis, attempts=1)
    try:
        wanted = platform.logs(app_id, follow=bool(follow), lines=int(lines), process=process)
        await publish(redis, session, wanted)
    finally:
        await redis.aclose()


async def open_context(settings: Settings, stack_of: AsyncExitStack) -> Context:
    """Open everything a worker needs, closed again with `stack_of`."""
    db, vault = await open_store(settings)
    stack_of.push_async_callback(db.close)
    await home.stay(db, settings)
    queue = Queue(settings.redis)
    stack_of.push_async_callback(queue.close)
    session = await stack_of.enter_async_context(new_session())
    transport = Transport(session=session, api_url=settings.github_api_url)
    identity = Identity(settings=settings, transport=transport, db=db, vault=vault)
    await identity.refresh()
    following = asyncio.create_task(identity.follow())
    stack_of.callback(following.cancel)
    # An Enterprise Server has no such limits unless its owner sets them, and then says so when they are met.
    pace = Pace() if transport.is_public else None
    github = GitHub(transport=transport, credentials=identity, pace=pace)
    platform = ProcessPlatform(settings.runner_socket)
    source = Source(data=settings.work_dir, pushes_dir=settings.pushes_dir)
    slugs = SlugStore(data=settings.work_dir)
    await runtimes.ensure(settings.work_dir)
    return Context(
        db=db,
        vault=vault,
        queue=queue,
        settings=settings,
        terms=LeaseTerms(
            holder=f"{os.uname().nodename[:24]}:{os.getpid()}:{secrets.token_hex(4)}", seconds=settings.lease_seconds
        ),
        github=github,
        looks=Looks(github=github, now=db.now),
        writes=Writes(github=github),
        platforms={"process": platform},
        workshop=Workshop(
            data=settings.work_dir,
            source=source,
            slugs=slugs,
            caches=CacheStore(data=settings.work_dir),
            sandbox=platform,
        ),
        stack=stack(),
        downloads=Downloads(hosts=settings.source_hosts),
    )


def _worker(context: Context, queue: str, functions: list[Function], max_jobs: int) -> BellWorker:
    return BellWorker(
        door=DOORS[queue],
        functions=functions,
        queue_name=queue,
        redis_pool=redis_pool(context.settings.redis, attempts=OUTAGE_ATTEMPTS),
        max_jobs=max_jobs,
        poll_delay=0.5,
        job_timeout=JOB_SECONDS,
        keep_result=0,
        handle_signals=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
        health_check_interval=10,
    )


async def serve(settings: Settings) -> None:
    """Work until SIGTERM; then what runs is handed back at its next step."""
    async with AsyncExitStack() as stack_of:
        context = await open_context(settings, stack_of)
        short = [_job(context, body.__name__, body) for body in (react, reconcile, look, report)]
        live = [_job(context, name, body) for name, body in (("logs", _logs), ("one_off", one_off), ("attach", attach))]
        workers = [
            _worker(context, SHORT_QUEUE, short, SHORT_JOBS),
            _worker(context, WORK_QUEUE, [_job(context, "work", work)], WORK_JOBS),
            _worker(context, LIVE_QUEUE, live, LIVE_JOBS),
            _worker(context, TELL_QUEUE, [_job(context, "deliver", deliver)], TELL_JOBS),
        ]
        tasks = [asyncio.ensure_future(worker.main()) for worker in workers]
        for name, seconds, once in (
            ("clock", CLOCK_SECONDS, loops.clock),
            ("due", settings.due_seconds, loops.due),
            ("observe", settings.observe_seconds, loops.observe),
            ("audit", settings.audit_seconds / loops.AUDIT_ROUNDS, loops.audit),
            ("keep house", settings.audit_seconds, loops.keep_house),
            ("overdue", OVERDUE_SECONDS, overdue),
        ):
            tasks.append(asyncio.ensure_future(loops.every(context, name, seconds, once)))
        tasks.append(asyncio.ensure_future(await _pulling(context, stack_of)))
        stop = asyncio.Event()
        ending.when_told(stop.set)
        log.info("worker is ready", holder=context.terms.holder)
        settings.services_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.worker_ready.write_text(str(os.getpid()))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        asked = stop.is_set()
        stopping.cancel()
        await _end(tasks, workers)
    if not asked:
        raise SystemExit("a part of the worker ended by itself; see the log")


async def _pulling(context: Context, stack_of: AsyncExitStack) -> Coroutine[Any, Any, None]:
    """The loop that fetches what GitHub cannot send, or what it sent and did not arrive."""
    inbox = await Inbox.open(context.settings.sqlalchemy_url)
    stack_of.push_async_callback(inbox.close)
    puller = Puller(context=context, inbox=inbox, polls=bool(context.settings.why_pull))
    return loops.every(context, pull.LOOP, puller.every, puller.once)


async def _end(tasks: Sequence[asyncio.Future[None]], workers: list[BellWorker]) -> None:
    running = [job for worker in workers for job in worker.tasks.values()]
    for task in (*tasks, *running):
        task.cancel()
    ended, left = await asyncio.wait({*tasks, *running}, timeout=HAND_BACK_SECONDS)
    for each in ended:
        if not each.cancelled() and (error := each.exception()) is not None:
            log.error("worker part ended", error=repr(error))
    if left:  # what they hold is taken over when its lease is over
        log.warning("not handed back in time", parts=len(left))
    for worker in workers:
        await worker.pool.aclose()


def main(settings: Settings) -> None:
    """Run the process."""
    logging.configure(settings.log_format)
    # Threads that talk to the database give the interpreter away at every call, and wait so long to get it back.
    sys.setswitchinterval(0.0005)
    uvloop.run(serve(settings))
