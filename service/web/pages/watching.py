"""What open pages follow: each thing is read once a second however many look at it, and not at all when nobody does.

A page is told no more than that there is something else to see, and looks again by itself. So nothing is lost with a
connection: whoever comes back is told of what is there now.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web
from sqlalchemy.exc import DBAPIError

from service.domain.errors import Transient
from service.waiting import set_within

_LOOK_SECONDS: Final = 1.0

log = structlog.get_logger()


class Watch:
    """One thing that somebody looks at; `digest` is empty until it was read for the first time."""

    def __init__(self) -> None:
        self.digest = ""
        self.readers = 0
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def put(self, digest: str) -> None:
        """Note how the thing looks now."""
        if digest != self.digest:
            self.digest = digest
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def other_than(self, digest: str, seconds: float) -> str:
        """The thing's digest, as soon as it is another one, or after so many seconds."""
        if self.digest == digest:
            await set_within(self._changed, seconds)
        return self.digest


class Watches:
    """All things that are looked at; `read` gives a thing's digest by its id."""

    def __init__(self, read: Callable[[str], Awaitable[str]]) -> None:
        self._read = read
        self._watches: dict[str, Watch] = {}

    @asynccontextmanager
    async def watching(self, what: str) -> AsyncIterator[Watch]:
        """Look at a thing for as long as this is open."""
        watch = self._watches.setdefault(what, Watch())
        watch.readers += 1
        if watch.task is None:
            watch.task = asyncio.create_task(self._follow(what, watch))
        try:
            yield watch
        finally:
            watch.readers -= 1
            if not watch.readers:
                del self._watches[what]
                watch.task.cancel()

    async def _follow(self, what: str, watch: Watch) -> None:
        while True:
            try:
                watch.put(await self._read(what))
            except (Transient, DBAPIError) as trouble:  # whoever looks is told when it is over
                log.warning("not looked at", reason=str(trouble))
            await asyncio.sleep(_LOOK_SECONDS)

    async def finish(self, _app: web.Application) -> None:
        """Look at nothing any more."""
        for watch in self._watches.values():
            if watch.task is not None:
                watch.task.cancel()


WATCHES: web.AppKey[Watches] = web.AppKey("watches", Watches)
