"""An app's output on its way from the worker that has it to the web process that a person reads it in.

The web side listens on a channel of its own and rings for the job `logs`; the worker publishes lines there and stops as
soon as nobody listens any more.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.domain.errors import Transient
from service.queue import Queue, Ring, redis_pool
from service.store.database import new_id

END: Final = "\0end"
ALIVE: Final = "\0alive"
FIRST_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 30.0


def channel(session: str) -> str:
    """Name the channel of one reader."""
    return f"towpath:logs:{session}"


class LiveLogs:
    """The reading side."""

    def __init__(self, *, redis_url: str, queue: Queue) -> None:
        self._redis: Redis = redis_pool(redis_url, attempts=1)
        self._queue = queue

    async def read(self, app_id: str, lines: int, follow: bool, process: str) -> AsyncGenerator[str, None]:
        """Yield the output of the app or of some of its processes; raises `Transient` when no worker answers."""
        session = new_id()
        async with self._redis.pubsub() as pubsub:
            try:
                await pubsub.subscribe(channel(session))
                await self._queue.ring([Ring("logs", (session, app_id, str(lines), "1" if follow else "", process))])
                wait = FIRST_SECONDS
                while True:
                    message = await _next(pubsub, wait)
                    wait = SILENT_SECONDS
                    if message == END:
                        return
                    if message != ALIVE:
                        yield message
            except (RedisError, OSError, TimeoutError):
                raise Transient("no worker answers; is one running? (towpath doctor)") from None

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


async def _next(pubsub: object, seconds: float) -> str:
    async with asyncio.timeout(seconds):
        while True:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)  # type: ignore[attr-defined]
            if message is not None:
                data: bytes = message["data"]
                return data.decode(errors="replace")


async def publish(redis: Redis, session: str, lines: AsyncIterator[str], *, every: float = 5.0) -> None:
    """Send lines for as long as somebody listens; a sign of life goes out when there are none."""
    name = channel(session)
    source = lines.__aiter__()
    pending: asyncio.Future[str] = asyncio.ensure_future(_step(source))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=every)
            if not done:
                if not await redis.publish(name, ALIVE):
                    return
                continue
            line = pending.result()
            if not await redis.publish(name, line) or line == END:
                return
            pending = asyncio.ensure_future(_step(source))
    finally:
        pending.cancel()
        with suppress(asyncio.CancelledError):
            await pending
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _step(source: AsyncIterator[str]) -> str:
    try:
        return await source.__anext__()
    except StopAsyncIteration:
        return END
