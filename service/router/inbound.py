"""A client's connection: reads one request after another and hands each to an `Exchange`.

Requests on a connection are answered in order. While one is being answered the bytes of the next wait unparsed.
"""

import asyncio
import math
import uuid

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from service.router import pages
from service.router.core import Core
from service.router.exchange import Exchange
from service.router.heads import BadRequest
from service.router.splice import Spliceable

log = structlog.get_logger()


class Inbound(Spliceable):
    """One connection from a client, from its first byte to its last."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, core: Core, connections: set["Inbound"]) -> None:
        super().__init__(loop, patience=core.limits.idle_seconds)
        self.client = ""
        self.deadline = math.inf
        self.exchange: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        self._core = core
        self._connections = connections
        self._message: tuple[RawRequestMessage, StreamReader] | None = None
        self._payload: StreamReader | None = None
        self._ahead = b""
        self._begun = False
        self._discarding = False
        self._served = 0
        self._fault: pages.Page | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve."""
        super().connection_made(transport)
        limits = self._core.limits
        self._parser = HttpRequestParser(
            self,
            self._loop,
            limit=limits.buffer_bytes,
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            max_headers=limits.headers,
            auto_decompress=False,
            max_msg_queue_size=1,
        )
        self.client = str((transport.get_extra_info("peername") or ("",))[0])
        self.deadline = self._loop.time() + limits.head_seconds
        self._connections.add(self)
        self.task = self._loop.create_task(self._serve())
        self.task.add_done_callback(self._report)

    def data_received(self, data: bytes) -> None:
        """Read what belongs to the request in hand; keep what follows it."""
        if self.peer is not None:
            self.pass_on(data)
        elif self._discarding:
            return
        elif self._payload is None or not self._payload.is_eof():
            self._feed(data)
        elif data:
            self._ahead += data
            if len(self._ahead) > self._core.limits.buffer_bytes:
                self._pause_reading_for_buffer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone: whatever was being done for it stops."""
        super().connection_lost(exc)
        self._connections.discard(self)
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(BadRequest("The client has gone."))
        if self.task is not None:
            self.task.cancel()

    # -- reading requests

    def _feed(self, data: bytes) -> None:
        if data and self._payload is None and not self._begun:
            self._begun = True
            self.deadline = self._loop.time() + self._core.limits.head_seconds
        if self._parser is None:
            return
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._refuse(error.message.partition("\n")[0].strip().rstrip(":") + ".")
            return
        if messages:
            self._message = messages[0]
            self._payload = messages[0][1]
            self._wake()

    def _refuse(self, why: str) -> None:
        """Broken HTTP: nothing more is read. A request whose body is broken is told through its body."""
        if self._payload is not None:
            self._payload.set_exception(BadRequest(why))
        else:
            self._fault = pages.bad_request(why)
        self._discarding = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _next(self) -> tuple[RawRequestMessage, StreamReader] | None:
        """The next request, or None after a broken one."""
        if self._served and self._parser is not None:
            self._payload, self._begun = None, False
            self.deadline = self._loop.time() + self._core.limits.keep_alive_seconds
            ahead, self._ahead = self._ahead, b""
            self._parser.message_consumed()
            self._feed(ahead)  # even when empty: the parser may hold the next request already
            if self._buffer_paused:
                self._resume_reading_for_buffer()
        if self._message is None and self._fault is None:
            self._waiter = self._loop.create_future()
            await self._waiter
            self._waiter = None
        message, self._message = self._message, None
        return message

    async def _serve(self) -> None:
        keep = True
        while keep:
            following = await self._next()
            if following is None:
                break
            self.exchange = Exchange(self, *following, core=self._core)
            keep = await self.exchange.run() and not self._core.draining
            self.exchange = None
            self._served += 1
        if self._fault is not None:
            self.write(pages.render(self._fault, html=False, request_id=str(uuid.uuid4()), keep_alive=False))
        self._leave()

    def _report(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("request broke the router's code", exc_info=error)
            self.abort()

    # -- what an exchange needs

    def write(self, data: bytes) -> None:
        """Send to the client."""
        if self.transport is not None:
            self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self._paused:
            await self._drain_helper()

    def upgrade_tail(self) -> bytes:
        """End HTTP on this connection; what the client sent after its upgrade request."""
        if self._parser is None:
            return b""
        self._parser.message_consumed()
        _, _, tail = self._parser.feed_data(b"")
        ahead, self._ahead = self._ahead, b""
        return tail + ahead

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    # -- the end

    def _leave(self) -> None:
        """Close. With unread input the kernel would send a reset that can overtake our answer: let it arrive first."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        unread = self._fault is not None or (self._payload is not None and not self._payload.is_eof())
        if not (unread or self._ahead) or not transport.can_write_eof():
            transport.close()
            return
        self._discarding = True
        self._reading_paused = False
        self.deadline = self._loop.time() + self._core.limits.linger_seconds
        transport.write_eof()
        self._resume_reading_for_buffer()

    def expire(self, now: float) -> None:
        """Called every moment: end what has taken too long."""
        if self.peer is not None:
            if now - self.touched > self._core.limits.idle_seconds:
                self.abort()
        elif now < self.deadline:
            return
        elif self.exchange is not None:
            self.exchange.expire()
        elif self._begun and not self._discarding:
            self._fault, self._discarding = pages.too_slow(), True
            self._wake()
        else:
            self.abort()

    def drain(self) -> None:
        """No more requests after the one in hand. A client that has just connected gets a moment for its first."""
        if self.exchange is None and self.transport is not None:
            if self._served:
                self.transport.close()
            else:
                self.deadline = min(self.deadline, self._loop.time() + 1.0)
