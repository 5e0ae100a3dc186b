"""Ringing workers through arq: the only place that knows arq's words on this side.

A ring wakes; it carries ids at most and decides nothing. The database says what there is to do, so a ring that is
lost, doubled or late costs time and nothing else: `ring` never raises and never waits long.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import ConnectionPool, Redis, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.domain.decisions import Subject
from service.domain.facts import FactKey

log = structlog.get_logger()

# arq serves a queue in order: calls to GitHub must not wait behind builds, nor either behind people who follow logs,
# nor any of them behind receivers of webhooks that take their time.
SHORT_QUEUE = "towpath:short"
WORK_QUEUE = "towpath:work"
LIVE_QUEUE = "towpath:live"
TELL_QUEUE = "towpath:tell"
DOORS = {
    SHORT_QUEUE: "towpath:door:short",
    WORK_QUEUE: "towpath:door:work",
    LIVE_QUEUE: "towpath:door:live",
    TELL_QUEUE: "towpath:door:tell",
}
_OWN_QUEUE = {
    "work": WORK_QUEUE,
    "logs": LIVE_QUEUE,
    "deliver": TELL_QUEUE,
    "one_off": LIVE_QUEUE,
    "attach": LIVE_QUEUE,
}
ROUTES_CHANNEL = "towpath:routes"
DELIVERIES_OF_A_RING: Final = 10
"""Few enough that workers share a burst, enough that it is not the ringing that takes long."""
KEPT_MS: Final = 24 * 3600 * 1000
BELLS: Final = 32
JOBS_OF_A_BELL: Final = 16

# What arq's `enqueue_job` does in three round trips, for all the rings to one queue in one: its watch for a job of the
# same id is of no use where ids are random.
_ENQUEUE: Final = """
for i = 1, #ARGV - 4, 2 do
  redis.call("SET", KEYS[3] .. ARGV[4 + i], ARGV[5 + i], "PX", ARGV[1])
  redis.call("ZADD", KEYS[1], ARGV[2], ARGV[4 + i])
end
for _ = 1, ARGV[3] do redis.call("LPUSH", KEYS[2], "1") end
redis.call("LTRIM", KEYS[2], 0, ARGV[4] - 1)
"""

serialize = msgspec.msgpack.Encoder(enc_hook=str).encode
deserialize = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Ring:
    """A job's name and the ids it carries."""

    job: str
    args: tuple[str, ...] = ()

    @property
    def queue(self) -> str:
        """Which queue it goes to."""
        return _OWN_QUEUE.get(self.job, SHORT_QUEUE)


def react(guids: Sequence[str]) -> list[Ring]:
    """Ring for stored deliveries, several at a time."""
    starts = range(0, len(guids), DELIVERIES_OF_A_RING)
    return [Ring("react", tuple(guids[start : start + DELIVERIES_OF_A_RING])) for start in starts]


def reconcile(subject: Subject) -> Ring:
    """Ring for a subject."""
    return Ring("reconcile", (subject.kind.value, subject.key))


def look(key: FactKey) -> Ring:
    """Ring for a wanted fact."""
    return Ring("look", (key.kind.value, str(key.repository_id), key.key))


def work(app_id: str) -> Ring:
    """Ring for an app's queue."""
    return Ring("work", (app_id,))


def one_off(one_off_id: str) -> Ring:
    """Ring for a one-off dyno that is to be started or ended, or whose end is to be read."""
    return Ring("one_off", (one_off_id,))


REPORT = Ring("report")


def deliver(webhook_id: str) -> Ring:
    """Ring for what an outbound webhook is to be told."""
    return Ring("deliver", (webhook_id,))


def redis_pool(url: str, *, attempts: int) -> ArqRedis:
    """Make arq's pool for a Redis URL; `attempts` says how long an outage is sat out (cap 1 s each)."""
    options: dict[str, Any] = {
        "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), attempts),
        # "Connection refused" reaches redis-py 5.3 as a bare OSError; without it arq's worker dies with Redis.
        "retry_on_error": [RedisConnectionError, RedisTimeoutError, OSError],
        "socket_connect_timeout": 2.0,
    }
    if url.startswith("unix://"):
        pool: ConnectionPool = ConnectionPool(
            connection_class=UnixDomainSocketConnection, path=url.removeprefix("unix://"), **options
        )
    else:
        pool = ConnectionPool.from_url(url, **options)
    redis = ArqRedis(pool, job_serializer=serialize, job_deserializer=deserialize)
    redis.auto_close_connection_pool = True  # redis-py leaves a pool that it was given open
    return redis


class Queue:
    """Rings over one Redis; opened once per process."""

    def __init__(self, url: str) -> None:
        self._redis = redis_pool(url, attempts=1)
        self._enqueue = self._redis.register_script(_ENQUEUE)

    async def ring(self, rings: Iterable[Ring]) -> None:
        """Wake workers. A Redis that is away is logged, not raised: the worker's `due` loop finds the work."""
        by_queue: dict[str, list[Ring]] = {}
        for ring in dict.fromkeys(rings):
            by_queue.setdefault(ring.queue, []).append(ring)
        try:
            async with asyncio.timeout(3.0):
                for queue, wanted in by_queue.items():
                    await self._enqueue_all(queue, wanted)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("ring not delivered", error=str(error) or type(error).__name__)

    async def _enqueue_all(self, queue: str, rings: Sequence[Ring]) -> None:
        now = time.time_ns() // 1_000_000
        jobs: list[str | bytes] = []
        for ring in rings:
            jobs += [secrets.token_hex(16), serialize_job(ring.job, ring.args, {}, None, now, serializer=serialize)]
        bells = min(-(-len(rings) // JOBS_OF_A_BELL), BELLS)
        await self._enqueue([queue, DOORS[queue], job_key_prefix], [KEPT_MS, now, bells, BELLS, *jobs])

    async def waiting(self, queue: str) -> int:
        """How many rings nobody has heard yet."""
        try:
            async with asyncio.timeout(1.0):
                return int(await self._redis.zcard(queue))
        except (RedisError, OSError, TimeoutError):
            return 0

    async def routes_changed(self) -> None:
        """Tell routers to read the routes now instead of at their next look."""
        try:
            async with asyncio.timeout(1.0):
                await self._redis.publish(ROUTES_CHANNEL, "1")
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("routers not told", error=str(error) or type(error).__name__)

    async def alive(self) -> bool:
        """Whether Redis answers."""
        try:
            async with asyncio.timeout(1.0):
                await Redis.ping(self._redis)
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
