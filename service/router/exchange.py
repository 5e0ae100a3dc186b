"""One request and its answer: find the app, reach it, pass the request on and the answer back."""

import asyncio
import math
import socket
import struct
from typing import TYPE_CHECKING

import structlog
from aiohttp.http_parser import RawRequestMessage, RawResponseMessage
from aiohttp.http_writer import HttpVersion11
from aiohttp.streams import StreamReader

from service.domain.errors import Transient
from service.router import pages
from service.router.core import Core, Served
from service.router.dial import Absent, Unreachable
from service.router.heads import (
    BadRequest,
    Target,
    length_of,
    request_head,
    request_id_of,
    response_head,
    target_of,
)
from service.router.table import Route
from service.router.upstream import Answer, BadAnswer, Lost, TimedOut, Upstream

if TYPE_CHECKING:
    from service.router.inbound import Inbound

log = structlog.get_logger()

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SlowClient(Exception):
    """The client did not send the rest of its request."""


class NotServed(Exception):
    """The router answers with a page of its own."""

    def __init__(self, page: pages.Page) -> None:
        super().__init__(page.code)
        self.page = page


class Exchange:
    """One request, from its head to the last byte of its answer."""

    __slots__ = (
        "_body",
        "_body_sent",
        "_bytes",
        "_client",
        "_code",
        "_connected",
        "_core",
        "_head_sent",
        "_loop",
        "_message",
        "_pump",
        "_request_id",
        "_route",
        "_started",
        "_status",
        "_upstream",
        "_waits_for_client",
    )

    def __init__(self, client: "Inbound", message: RawRequestMessage, body: StreamReader, *, core: Core) -> None:
        self._client = client
        self._message = message
        self._body = body
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._connected = self._started
        self._request_id = request_id_of(message)
        self._route: Route | None = None
        self._upstream: Upstream | None = None
        self._pump: asyncio.Task[None] | None = None
        self._body_sent = False
        self._head_sent = False
        self._waits_for_client = False
        self._status = 0
        self._code = ""
        self._bytes = 0

    async def run(self) -> bool:
        """Answer the request; whether the client's connection can carry another one."""
        self._client.deadline = math.inf
        try:
            return await self._forward()
        except NotServed as refusal:
            return await self._answer_with(refusal.page)
        finally:
            if self._pump is not None:
                self._pump.cancel()
            self._let_go()
            self._record()

    async def _forward(self) -> bool:
        try:
            target = target_of(self._message)
            answer = await self._ask(target)
        except BadRequest as error:
            raise NotServed(pages.bad_request(str(error))) from None
        except SlowClient:
            raise NotServed(pages.too_slow()) from None
        except Lost:
            raise NotServed(self._unreachable()) from None
        except BadAnswer:
            raise NotServed(pages.bad_answer(self._name)) from None
        except TimedOut:
            raise NotServed(pages.timed_out(self._name, self._core.limits.first_byte_seconds)) from None
        return await self._pass_back(target, *answer)

    # -- reaching the app

    @property
    def _name(self) -> str:
        return self._route.app_name if self._route is not None else "the app"

    def _unreachable(self) -> pages.Page:
        return pages.web_away() if self._route is self._core.web else pages.unreachable(self._name)

    async def _ask(self, target: Target) -> Answer:
        """Send the request and wait for the head of the answer.

        It is sent again only where that is safe: to an endpoint that has gone, or over a kept connection that the app
        closed in the same moment; and only if the method may be repeated and no body was read from the client.
        """
        message = self._message
        repeatable = message.method in IDEMPOTENT and target.length in {None, "0"} and not target.chunked
        client = self._client
        head = request_head(
            message,
            target,
            peer=client.client,
            trusted=client.client in self._core.limits.trusted_proxies,
            request_id=self._request_id,
        )
        youth = math.inf if repeatable else self._core.limits.young_seconds
        while True:
            upstream = self._upstream = await self._reach(target.host, youth=youth)
            self._connected = self._loop.time()
            self._send(upstream, head, target)
            try:
                return await upstream.answer()
            except Lost:
                self._let_go()
                if not repeatable or not (upstream.served or await self._has_gone(upstream.address, target.host)):
                    raise
                youth = 0.0

    async def _reach(self, host: str, *, youth: float) -> Upstream:
        """A connection to an endpoint of the app; raises `NotServed` when there is none for a while."""
        if not self._serves(host):
            # It may have gone live since the table was read: whoever was told so must not be told otherwise here.
            await self._look_again()
        failed: set[str] = set()
        absent = True
        give_up = self._loop.time() + self._core.limits.reroute_seconds
        while True:
            addresses = [address for address in self._endpoints(host) if address not in failed]
            if not addresses:
                if self._loop.time() > give_up:
                    raise NotServed(pages.starting(self._name) if absent else self._unreachable())
                await asyncio.sleep(0.05)
                failed.clear()
                absent = True
                continue
            address = self._core.pool.choose(addresses)
            try:
                return await self._core.pool.take(address, youth=youth)
            except Unreachable as error:
                log.debug("endpoint not reachable", app=self._name, error=str(error))
                failed.add(address)
                absent = absent and isinstance(error, Absent)
                await self._look_again()

    def _serves(self, host: str) -> bool:
        route = self._core.find(host)
        return route is not None and route.state == "live"

    def _endpoints(self, host: str) -> tuple[str, ...]:
        self._route = route = self._core.find(host)
        if route is None:
            raise NotServed(pages.no_such_app(host))
        if route.state != "live" or not route.endpoints:
            raise NotServed(pages.not_serving(route))
        return route.endpoints

    async def _look_again(self) -> None:
        try:
            await self._core.table.refresh()
        except (Transient, OSError) as error:
            log.warning("route table not readable", error=str(error))

    async def _has_gone(self, address: str, host: str) -> bool:
        await self._look_again()
        return address not in self._endpoints(host)

    def _let_go(self) -> None:
        if self._upstream is not None:
            self._core.pool.give_back(self._upstream, fit=self._body_sent)
            self._upstream = None

    # -- the request's body

    def _send(self, upstream: Upstream, head: bytes, target: Target) -> None:
        """Write the head, and the body: at once when all of it is here, else beside the waiting for the answer."""
        message, body = self._message, self._body
        expects = message.version == HttpVersion11 and message.headers.get("Expect", "").lower() == "100-continue"
        on_continue = self._say_continue if expects else None
        if not body.is_eof():
            upstream.ask(head, bodiless=message.method == "HEAD", on_continue=on_continue)
            self._touch()
            self._pump = self._loop.create_task(self._pump_body(upstream, chunked=target.chunked))
            return
        data = body.read_nowait(-1)
        if target.chunked:
            data = _chunk(data) + b"0\r\n\r\n"
        upstream.ask(head + data if data else head, bodiless=message.method == "HEAD", on_continue=on_continue)
        self._body_is_sent()

    async def _pump_body(self, upstream: Upstream, *, chunked: bool) -> None:
        try:
            while not self._body.at_eof():
                self._waits_for_client = True
                data = await self._body.readany()
                self._waits_for_client = False
                self._touch()
                if data:
                    upstream.write(_chunk(data) if chunked else data)
                if not await upstream.drained():
                    return
        except BadRequest as error:
            upstream.fail(error)
            return
        if chunked:
            upstream.write(b"0\r\n\r\n")
        self._body_is_sent()

    def _body_is_sent(self) -> None:
        self._body_sent = True
        if not self._head_sent:
            self._client.deadline = self._loop.time() + self._core.limits.first_byte_seconds

    def _say_continue(self) -> None:
        if not self._head_sent:
            self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _touch(self) -> None:
        self._client.deadline = self._loop.time() + self._core.limits.idle_seconds

    # -- the answer

    async def _pass_back(self, target: Target, head: RawResponseMessage, body: StreamReader) -> bool:
        if head.code == 101:
            return await self._upgrade(target, head)
        modern, length = self._message.version == HttpVersion11, length_of(head)
        bodiless = self._message.method == "HEAD" or head.code in {204, 304}
        chunked = modern and not bodiless and length is None
        keep = self._may_keep(target) and (modern or length is not None or bodiless)
        framing = b"Transfer-Encoding: chunked" if chunked else b""
        if length is not None and head.code != 204:
            framing = b"Content-Length: " + length.encode()
        connection = b"Connection: close" if not keep else b"" if modern else b"Connection: keep-alive"
        self._write_head(head, framing=framing, connection=connection)
        try:
            await self._relay(body, chunked=chunked)
        except (Lost, BadAnswer, TimedOut, BadRequest) as error:
            self._break_off(error, visible=chunked or length is not None)
            return False
        return keep and self._body_sent

    def _may_keep(self, target: Target) -> bool:
        """Whether another request may follow on the client's connection.

        Not after a chunked request: aiohttp's parser (3.14) reads its last trailer as a header of the next request.
        Not after a refused upgrade: the client may have begun to speak the other protocol.
        """
        return not (self._message.should_close or target.chunked or self._message.upgrade or self._core.draining)

    def _write_head(self, head: RawResponseMessage, *, framing: bytes, connection: bytes) -> None:
        self._head_sent = True
        self._status = head.code
        self._touch()
        self._client.write(
            response_head(
                head,
                request_id=self._request_id,
                framing=framing,
                connection=connection,
                noindex=self._route is not None and self._route.review,
            )
        )

    async def _relay(self, body: StreamReader, *, chunked: bool) -> None:
        client = self._client
        while not body.at_eof():
            data = await body.readany()
            if data:
                self._bytes += len(data)
                client.write(_chunk(data) if chunked else data)
                await client.drained()
                self._touch()
        if chunked:
            client.write(b"0\r\n\r\n")
        await client.drained()

    def _break_off(self, error: Exception, *, visible: bool) -> None:
        """End a half-sent answer so that the client sees it is not whole.

        A missing last chunk or missing bytes are visible. Without either only a reset tells.
        """
        self._code = "broken-answer"
        log.info("answer broken off", app=self._name, error=str(error))
        transport = self._client.transport
        if transport is None:
            return
        if visible:
            transport.close()
            return
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    async def _upgrade(self, target: Target, head: RawResponseMessage) -> bool:
        """Join both connections; returns only by cancellation, when either side has gone."""
        upstream = self._upstream
        if not target.upgrade or upstream is None:
            raise NotServed(pages.bad_answer(self._name))
        self._write_head(head, framing=b"Upgrade: websocket", connection=b"Connection: Upgrade")
        tail = self._client.upgrade_tail()
        self._client.join(upstream, tail=tail, other_tail=upstream.tail)
        await self._loop.create_future()
        return False

    async def _answer_with(self, page: pages.Page) -> bool:
        message = self._message
        keep = (
            page.status != 400
            and self._body.is_eof()
            and not (message.should_close or message.chunked or message.upgrade or self._core.draining)
        )
        self._head_sent = True
        self._status, self._code = page.status, page.code
        data = pages.render(
            page,
            html="text/html" in message.headers.get("Accept", ""),
            request_id=self._request_id,
            keep_alive=keep,
            with_body=message.method != "HEAD",
        )
        self._bytes = len(data)
        self._touch()
        self._client.write(data)
        await self._client.drained()
        return keep

    # -- limits and the record

    def expire(self) -> None:
        """Too long without a byte."""
        if self._head_sent:
            self._code = "idle"
            self._client.abort()
        elif self._upstream is not None:
            self._upstream.fail(SlowClient() if self._waits_for_client else TimedOut())
        self._client.deadline = math.inf

    def _record(self) -> None:
        if self._core.on_request is None:
            return
        self._core.on_request(
            Served(
                app_id=self._route.app_id if self._route is not None else "",
                method=self._message.method,
                host=self._message.headers.get("Host", ""),
                path=self._message.path,
                status=self._status or 499,  # the client went away before there was an answer
                code=self._code,
                client=self._client.client,
                request_id=self._request_id,
                connect_ms=round((self._connected - self._started) * 1000),
                service_ms=round((self._loop.time() - self._connected) * 1000),
                bytes=self._bytes,
            )
        )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
