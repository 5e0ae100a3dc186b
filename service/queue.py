"""Ringing workers through arq: the only place that knows arq's words on this side.

A ring wakes; it carries at most an id and decides nothing. The database says what there is to do, so a ring that is
lost, doubled or late costs time and nothing else: `ring` never raises and never waits long.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool, Redis, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.domain.decisions import Subject
from service.domain.facts import FactKey

log = structlog.get_logger()

# arq serves a queue in order: calls to GitHub must not wait behind builds, nor either behind people who follow logs.
SHORT_QUEUE = "towpath:short"
WORK_QUEUE = "towpath:work"
LIVE_QUEUE = "towpath:live"
DOORS = {SHORT_QUEUE: "towpath:door:short", WORK_QUEUE: "towpath:door:work", LIVE_QUEUE: "towpath:door:live"}
_OWN_QUEUE = {"work": WORK_QUEUE, "logs": LIVE_QUEUE}
ROUTES_CHANNEL = "towpath:routes"

serialize = msgspec.msgpack.Encoder(enc_hook=str).encode
deserialize = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True, slots=True)
class Ring:
    """A job's name and the id it carries."""

    job: str
    args: tuple[str, ...] = ()

    @property
    def queue(self) -> str:
        """Which queue it goes to."""
        return _OWN_QUEUE.get(self.job, SHORT_QUEUE)


def react(guid: str) -> Ring:
    """Ring for a stored delivery."""
    return Ring("react", (guid,))


def reconcile(subject: Subject) -> Ring:
    """Ring for a subject."""
    return Ring("reconcile", (subject.kind.value, subject.key))


def look(key: FactKey) -> Ring:
    """Ring for a wanted fact."""
    return Ring("look", (key.kind.value, str(key.repository_id), key.key))


def work(app_id: str) -> Ring:
    """Ring for an app's queue."""
    return Ring("work", (app_id,))


REPORT = Ring("report")


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

    async def ring(self, rings: Iterable[Ring]) -> None:
        """Wake workers. A Redis that is away is logged, not raised: the worker's `due` loop finds the work."""
        wanted = list(dict.fromkeys(rings))
        if not wanted:
            return
        try:
            async with asyncio.timeout(3.0):
                await asyncio.gather(*(self._enqueue(ring) for ring in wanted))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("ring not delivered", rings=len(wanted), error=str(error) or type(error).__name__)

    async def _enqueue(self, ring: Ring) -> None:
        await self._redis.enqueue_job(ring.job, *ring.args, _queue_name=ring.queue)
        door = DOORS[ring.queue]
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(door, "1")
            pipe.ltrim(door, 0, 31)
            await pipe.execute()

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
