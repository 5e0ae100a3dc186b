"""A person at one end, a one-off dyno at the other: messages both ways between a web process and the worker.

Each end listens on a channel of Redis, which keeps nothing of what passes: people type passwords. Whoever is faster
waits, for every message is acknowledged when it was dealt with and only so many may be on their way. Both ends say that
they live. A message is a letter and bytes (`workers/platforms/base.py` says which); the worker may also say `l` and why
there is nothing more to come.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from service.queue import Queue, Ring, redis_pool
from service.store.database import new_id

LONGEST: Final = 64 * 1024
"""In bytes, of one message."""
FIRST_SECONDS: Final = 10.0
"""So long may a worker take to hear of it."""
LAST: Final = (b"x", b"l")
"""What a message begins with after which there is none."""
_WINDOW: Final = 16
_ALIVE, _TAKEN, _SAID = b"a", b"t", b"s"
_NUMBER: Final = struct.Struct(">Q")


class Gone(Exception):
    """Nobody is at the other end (any more)."""


class Channel:
    """One end of it. The other is gone after `seconds` of silence, after `first` if it has never been there."""

    def __init__(self, redis: Redis, ears: PubSub, *, mouth: str, seconds: float, first: float) -> None:
        self.over = False
        self._redis = redis
        self._ears = ears
        self._mouth = mouth
        self._seconds = seconds
        self._first = first
        self.here = asyncio.Event()
        self._room = asyncio.Semaphore(_WINDOW)
        self._said = self._heard = 0
        self._incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._owes = False

    async def hold(self, *parts: Coroutine[Any, Any, object]) -> list[object]:
        """Run these until one of them ends or the other end is gone; returns what each returned or raised."""
        tasks = [asyncio.create_task(each) for each in (*parts, self._listen(), self._stay_alive())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        return ends

    async def _listen(self) -> None:
        """Hear what the other end says, until it has been silent for too long; after its last word it may be."""
        try:
            while True:
                async with asyncio.timeout(self._seconds if self.here.is_set() else self._first):
                    self._hear(await self._next())
        except (RedisError, OSError, TimeoutError):
            if not self.over:
                raise Gone from None
        await asyncio.Event().wait()

    async def _next(self) -> bytes:
        while True:  # what Redis says about itself counts as nothing
            found = await self._ears.get_message(ignore_subscribe_messages=True, timeout=self._first)
            if found is not None:
                return bytes(found["data"])

    def _hear(self, data: bytes) -> None:
        self.here.set()
        kind, content = data[:1], data[1:]
        if kind == _TAKEN:
            self._room.release()
        elif kind == _SAID:
            self._heard += 1
            if content[: _NUMBER.size] != _NUMBER.pack(self._heard):
                raise Gone  # something was lost on the way, as when Redis was away for a moment
            self._incoming.put_nowait(content[_NUMBER.size :])

    async def _stay_alive(self) -> None:
        while True:
            if not (self.over or await self._publish(_ALIVE)) and self.here.is_set():
                raise Gone
            await asyncio.sleep(self._seconds / 4)

    async def _publish(self, data: bytes) -> int:
        """Say it; returns how many have heard it."""
        try:
            return int(await self._redis.publish(self._mouth, data))
        except (RedisError, OSError):
            raise Gone from None

    async def send(self, message: bytes) -> None:
        """Say something, once there is room for it on the way; within `hold`. Raises `Gone`."""
        await self.here.wait()
        await self._room.acquire()
        await self.tell(message)

    async def tell(self, message: bytes) -> None:
        """Say something whatever is on its way; raises `Gone`."""
        self._said += 1
        if not await self._publish(_SAID + _NUMBER.pack(self._said) + message):
            raise Gone

    async def drain(self) -> None:
        """Return when the other end has dealt with all that was sent; nothing can be sent after it."""
        for _ in range(_WINDOW):
            await self._room.acquire()

    async def receive(self) -> bytes:
        """What the other end says next, whenever that is; what it said before has been dealt with. Within `hold`."""
        if self._owes:
            await self._publish(_TAKEN)
        message = await self._incoming.get()
        self.over = message[:1] in LAST
        self._owes = not self.over
        if self.over:
            await self._publish(_TAKEN)
        return message


class Attachments:
    """The web side. A worker that is silent for `seconds` is no more, as one that renews no lease for so long."""

    def __init__(self, *, redis_url: str, queue: Queue, seconds: float) -> None:
        self._redis_url = redis_url
        self._queue = queue
        self._seconds = seconds

    @asynccontextmanager
    async def open(self, one_off_id: str) -> AsyncIterator[Channel]:
        """Have a worker attach to the one-off, and be its other end; raises `Gone` without Redis."""
        session = new_id()
        first = max(FIRST_SECONDS, self._seconds)
        ends = ("web", "worker")
        async with _channel(self._redis_url, session, ends, seconds=self._seconds, first=first) as channel:
            await self._queue.ring([Ring("attach", (session, one_off_id))])
            yield channel


@asynccontextmanager
async def answer(redis_url: str, session: str, *, seconds: float) -> AsyncIterator[Channel]:
    """Be the worker's end of what a web process has opened, which listens already; raises `Gone` without Redis."""
    async with _channel(redis_url, session, ("worker", "web"), seconds=seconds, first=seconds) as channel:
        channel.here.set()
        yield channel


@asynccontextmanager
async def _channel(
    redis_url: str, session: str, ends: tuple[str, str], *, seconds: float, first: float
) -> AsyncIterator[Channel]:
    redis = redis_pool(redis_url, attempts=1)
    mouth, ear = (f"towpath:attach:{session}:{end}" for end in ends)
    try:
        async with redis.pubsub() as ears:
            try:
                await ears.subscribe(ear)
            except (RedisError, OSError):
                raise Gone from None
            yield Channel(redis, ears, mouth=mouth, seconds=seconds, first=first)
    finally:
        await redis.aclose()
