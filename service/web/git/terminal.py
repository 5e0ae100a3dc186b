"""What the developer reads while a push is taken: lines that git shows as `remote:`, and then what became of it."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar

from aiohttp import hdrs, web

from service.web.git import pkt

Result = TypeVar("Result")
_ALIVE_SECONDS: Final = 5.0
"""After how long a silent answer shows that it goes on: the router gives up what is silent for 55 s."""
CONTENT_TYPE: Final = "application/x-git-receive-pack-result"
HEADERS: Final = {hdrs.CACHE_CONTROL: "no-cache, max-age=0, must-revalidate"}


class Terminal:
    """The answer to a push.

    It is never quiet: git asks for that whenever its output is no terminal, as in CI, where people want to read it.
    """

    def __init__(self, request: web.Request, capabilities: frozenset[str]) -> None:
        self._request = request
        self._banded = "side-band-64k" in capabilities
        self._response = web.StreamResponse(headers=HEADERS)
        self._response.content_type = CONTENT_TYPE
        self._written = 0.0

    async def open(self) -> None:
        """Begin the answer, unless it has begun: once all of the push has come, for git reads no answer before."""
        if not self._response.prepared:
            await self._response.prepare(self._request)

    async def say(self, text: str) -> None:
        """Show text, in whole lines."""
        await self.open()
        if self._banded and text:
            await self._write(b"".join(pkt.bands(pkt.TEXT, text.encode(errors="replace"))))

    async def complain(self, text: str) -> None:
        """Show what is wrong."""
        await self.say("".join(f" !     {each}\n" for each in text.splitlines()))

    async def alive(self) -> None:
        """Show that it goes on, if nothing was said for a while."""
        if self._banded and asyncio.get_running_loop().time() - self._written > _ALIVE_SECONDS:
            await self._write(pkt.line(bytes([pkt.DATA])))

    async def meanwhile(self, doing: Awaitable[Result]) -> Result:
        """Wait for what takes its time."""
        task = asyncio.ensure_future(doing)
        try:
            await self.open()
            while not (await asyncio.wait({task}, timeout=_ALIVE_SECONDS))[0]:
                await self.alive()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def end(self, unpacked: str, verdicts: Mapping[str, str]) -> web.StreamResponse:
        """Say what became of it: of the objects, and of each ref; an empty verdict is a good one."""
        await self.open()
        said = pkt.report(unpacked, verdicts)
        if self._banded:
            said = b"".join(pkt.bands(pkt.DATA, said)) + pkt.FLUSH
        await self._write(said)
        await self._response.write_eof()
        return self._response

    async def _write(self, data: bytes) -> None:
        self._written = asyncio.get_running_loop().time()
        await self._response.write(data)
