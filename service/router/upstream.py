"""Connections to apps: one request at a time on each, kept open between requests, closed when their endpoint goes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

from service.router.dial import dial
from service.router.limits import Limits
from service.router.splice import Spliceable


class Lost(Exception):
    """The app closed the connection before the answer was whole."""


class BadAnswer(Exception):
    """What the app sent is not an HTTP answer."""


class TimedOut(Exception):
    """The app did not answer in time."""


_END_OF_HEAD = b"\r\n\r\n"
Answer = tuple[RawResponseMessage, StreamReader]


class Upstream(Spliceable):
    """One connection to an endpoint."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, address: str, limits: Limits) -> None:
        super().__init__(loop, patience=limits.idle_seconds)
        self.address = address
        self.served = 0
        self.idle_since = 0.0
        self.tail = b""
        self.on_lost: Callable[[Upstream], None] | None = None
        self._limits = limits
        self._answer: Answer | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_continue: Callable[[], None] | None = None
        self._asked = False
        self._interim = 0
        self._last = b""  # of a head that is not whole, so much that its end is found
        self._clean = True  # nothing came that no request asked for

    def ask(self, head: bytes, *, bodiless: bool, on_continue: Callable[[], None] | None) -> None:
        """Send a request's head. `bodiless`: its answer has no body whatever its head says (HEAD)."""
        # A parser per answer: aiohttp's (3.14) hands the last trailer of a chunked body on as a header of the next one.
        limits = self._limits
        self._parser = HttpResponseParser(
            self,
            self._loop,
            limit=limits.buffer_bytes,
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            max_headers=limits.headers,
            response_with_body=not bodiless,
            read_until_eof=True,
            auto_decompress=False,
        )
        self._asked = True
        self._answer = None
        self._interim = 0
        self._last = b""
        self._on_continue = on_continue
        self.write(head)

    def write(self, data: bytes) -> None:
        """Send; a connection that has been lost says so to whoever waits for the answer."""
        if self.transport is not None:
            self.transport.write(data)

    async def drained(self) -> bool:
        """Wait until there is room to write; False when the connection is gone."""
        if self.transport is None:
            return False
        if self._paused:
            try:
                await self._drain_helper()
            except ConnectionError:
                return False
        return self.transport is not None

    async def answer(self) -> Answer:
        """Wait for the head of the answer; raises `Lost`, `BadAnswer` or what `fail` was given."""
        if self._answer is None and self._error is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._answer is not None:
            return self._answer
        raise self._error or Lost(self.address)

    def fail(self, error: Exception) -> None:
        """End the request with `error`, for the head's reader or the body's, and drop the connection."""
        if self._answer is None:
            self._error = self._error or error
        elif not self._answer[1].is_eof():
            self._answer[1].set_exception(error)
        self._wake()
        self.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def finish(self) -> bool:
        """End the request; whether the connection can take another one."""
        answer, self._answer = self._answer, None
        self._asked = False
        self._on_continue = None
        self.served += 1
        return (
            self._clean
            and self.transport is not None
            and answer is not None
            and answer[1].is_eof()
            and not answer[0].should_close
        )

    def data_received(self, data: bytes) -> None:
        """Read the answer; bytes that nobody asked for end the connection."""
        if self.peer is not None:
            self.pass_on(data)
            return
        if not self._asked or self._parser is None:
            if data:
                self._clean = False
                self.abort()
            return
        while data and self._answer is None and self._error is None:
            # The head by itself: what follows the head of an answer without a body is not for the parser, which would
            # take it for the next answer and, because that makes no sense, lose this one.
            found = (self._last + data).find(_END_OF_HEAD)
            end = len(data) if found < 0 else found + len(_END_OF_HEAD) - len(self._last)
            head, data = data[:end], data[end:]
            self._last = (self._last + head)[1 - len(_END_OF_HEAD) :] if found < 0 else b""
            self._feed(head)
        if self._answer is None:
            return
        message, payload = self._answer
        if message.code == 101:
            self.tail += data
        elif not payload.is_eof():
            # Without data, too: the parser has kept what came after it was told to pause, and is now to go on.
            self._feed(data)
        elif data:
            self._clean = False

    def _feed(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._clean = False
            self.fail(BadAnswer(error.message))
            return
        for message, payload in messages:
            self._take(message, payload)

    def _take(self, message: RawResponseMessage, payload: StreamReader) -> None:
        encoding = message.headers.get("Transfer-Encoding")
        if self._answer is not None:
            self._clean = False
        elif message.code == 101 or message.code >= 200:
            if encoding is not None and encoding.lower() != "chunked":
                self.fail(BadAnswer(f"Transfer-Encoding: {encoding}"))
                return
            self._answer = (message, payload)
            self._wake()
        else:
            self._interim += 1
            if self._interim > self._limits.interim_answers:
                self.fail(BadAnswer("it goes on saying that it is about to answer"))
            elif message.code == 100 and self._on_continue is not None:
                self._on_continue()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what was under way: a body without a length is complete now, any other is broken."""
        super().connection_lost(exc)
        if self._asked and self._parser is not None and self.peer is None:
            self._end_answer(exc)
        if self.on_lost is not None:
            self.on_lost(self)

    def _end_answer(self, exc: BaseException | None) -> None:
        payload = self._answer[1] if self._answer is not None else None
        try:
            if self._parser is not None and payload is not None and not payload.is_eof() and exc is None:
                self._parser.feed_eof()
        except HttpProcessingError:
            pass
        if payload is None:
            self._error = self._error or Lost(f"{self.address} closed the connection")
        elif not payload.is_eof() and payload.exception() is None:
            payload.set_exception(Lost(f"{self.address} closed the connection within the answer"))
        self._wake()


class Pool:
    """The open connections, by endpoint."""

    def __init__(self, *, limits: Limits) -> None:
        self._limits = limits
        self._idle: dict[str, list[Upstream]] = {}
        self._active: Counter[str] = Counter()
        self._known: Collection[str] = frozenset()
        self._turn = 0

    def choose(self, addresses: Sequence[str]) -> str:
        """The endpoint with the fewest requests under way, in turn among equals."""
        if len(addresses) == 1:
            return addresses[0]
        self._turn += 1
        start = self._turn % len(addresses)
        return min((*addresses[start:], *addresses[:start]), key=lambda address: self._active[address])

    async def take(self, address: str, *, youth: float) -> Upstream:
        """A connection to `address`: one that was in use less than `youth` seconds ago, or a new one.

        Raises `Unreachable`.
        """
        loop = asyncio.get_running_loop()
        idle = self._idle.get(address)
        upstream: Upstream | None = None
        if idle and loop.time() - idle[-1].idle_since < youth:
            upstream = idle.pop()
            upstream.on_lost = None
        self._active[address] += 1
        if upstream is None:
            try:
                upstream = await dial(
                    address,
                    partial(Upstream, loop, address=address, limits=self._limits),
                    seconds=self._limits.connect_seconds,
                )
            except BaseException:
                self._release(address)
                raise
        return upstream

    def _release(self, address: str) -> None:
        self._active[address] -= 1
        if self._active[address] <= 0:
            del self._active[address]

    def give_back(self, upstream: Upstream, *, fit: bool) -> None:
        """Keep the connection for another request if it is fit and its endpoint is still in the table."""
        self._release(upstream.address)
        if upstream.peer is not None:
            return
        fit = upstream.finish() and fit
        idle = self._idle.setdefault(upstream.address, [])
        if fit and upstream.address in self._known and len(idle) < self._limits.idle_upstreams:
            upstream.idle_since = asyncio.get_running_loop().time()
            upstream.on_lost = self._forget
            idle.append(upstream)
        else:
            upstream.abort()

    def _forget(self, upstream: Upstream) -> None:
        idle = self._idle.get(upstream.address, [])
        if upstream in idle:
            idle.remove(upstream)

    def retain(self, addresses: Collection[str]) -> None:
        """Close the idle connections to all other endpoints; those in use are closed when their request ends."""
        self._known = addresses
        for address in [known for known in self._idle if known not in addresses]:
            for upstream in self._idle.pop(address):
                upstream.on_lost = None
                upstream.abort()

    def close_idle(self, now: float) -> None:
        """Close what has not been used for a while; the oldest are in front."""
        for idle in self._idle.values():
            while idle and now - idle[0].idle_since > self._limits.upstream_keep_seconds:
                idle[0].on_lost = None
                idle.pop(0).abort()

    def idle(self, address: str) -> int:
        """How many idle connections there are to `address`."""
        return len(self._idle.get(address, ()))
