"""Where the child's calls arrive: TLS on 127.0.0.1, and a proxy that leads there from the listed hosts alone.

What arrives goes on to our server with the token that the child sent: the front itself lets nobody in.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict

from service.cli.heroku.authority import Authority
from service.cli.heroku.hosts import DYNOS, LISTED, LOCAL, Call, Hosts
from service.cli.heroku.listening import Serve, listening
from service.cli.heroku.rendezvous import Rendezvous, address
from service.cli.profile import Profile

_OF_ONE_CONNECTION: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te"),
        *("trailer", "transfer-encoding", "upgrade", "expect", "host", "accept-encoding", "content-encoding"),
    }
)
_NAMES: Final = (*LISTED, "localhost")
_LARGEST: Final = 32 * 1024 * 1024
_MAX_FIELD_SIZE: Final = 65536
"""Older versions of the child send back every Request-Id they were ever given, in one header."""
_HEAD_SECONDS: Final = 10.0
_CHUNK: Final = 65536


@dataclass(slots=True, kw_only=True)
class Front:
    """A front that listens: what the child is to be told, and in the end what it wanted that is not to be had."""

    authority: Authority
    hosts: Hosts = field(default_factory=Hosts)
    url: str = ""
    proxy: str = ""
    terminals: str = ""
    refused: list[str] = field(default_factory=list)


@asynccontextmanager
async def fronting(profile: Profile, *, place: Path) -> AsyncIterator[Front]:
    """Listen for as long as the block lasts; `place` is a directory of ours that nobody else reads."""
    now = datetime.now(UTC)
    front = Front(authority=Authority.make(_NAMES, now=now))
    context = front.authority.context(_NAMES, place=place, now=now)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    # A connection for each call: one that has idled may be gone, and a change is never sent twice.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        terminals = Rendezvous(profile=profile, session=session, hosts=front.hosts)
        passing = _Passing(front=front, profile=profile, session=session, terminals=terminals)
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/{path:.*}", passing.pass_on)
        runner = web.AppRunner(
            app, access_log=None, max_field_size=_MAX_FIELD_SIZE, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, LOCAL[0], 0, ssl_context=context).start()
            port = runner.addresses[0][1]
            front.url = f"https://{LOCAL[0]}:{port}"
            leading = _leading(front, port, profile)
            async with listening(leading) as way, listening(terminals.meet, tls=context) as meeting:
                front.proxy = f"http://{LOCAL[0]}:{way}"
                front.terminals = terminals.url = f"rendezvous://{LOCAL[0]}:{meeting}"
                yield front
        finally:
            await runner.cleanup()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passing:
    """Passes a call on and its answer back."""

    front: Front
    profile: Profile
    session: aiohttp.ClientSession
    terminals: Rendezvous

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            host=request.host.rpartition(":")[0].lower() or request.host.lower(),
            method=request.method,
            path=self._led_here(request.rel_url.raw_path),
            authorization=request.headers.get(hdrs.AUTHORIZATION, ""),
        )
        if (said := self.front.hosts.answered(call)) is not None:
            return web.json_response(said.data, status=said.status)
        try:
            body = await self._body(request, call)
            async with self._asked(request, call, body) as answer:
                if answer.content_type.endswith("json") or request.method == hdrs.METH_HEAD:
                    return await self._answered(call, body, answer)
                return await self._poured(request, answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as trouble:
            message = f"Cannot reach Towpath at {self.profile.url} ({str(trouble) or type(trouble).__name__})."
            return web.json_response({"id": "bad_gateway", "message": message}, status=502)

    def _led_here(self, path: str) -> str:
        """The path at our server: git comes with the whole address, as `surroundings` has told it to."""
        return path.removeprefix(f"/https://{self.profile.host}")

    async def _body(self, request: web.Request, call: Call) -> bytes | aiohttp.StreamReader | None:
        if not request.body_exists:
            return None
        if request.content_type.endswith("json"):
            return self.front.hosts.asked(call, await request.read())
        return request.content

    def _asked(
        self, request: web.Request, call: Call, body: bytes | aiohttp.StreamReader | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = _passed(request.headers)
        headers[hdrs.HOST] = self.profile.host
        headers[hdrs.ACCEPT_ENCODING] = "identity"
        # The child by itself could not be given a terminal: our server tells it from the one that has a front.
        headers[hdrs.USER_AGENT] = f"towpath {headers.get(hdrs.USER_AGENT, '')}".rstrip()
        if isinstance(body, bytes) or hdrs.CONTENT_ENCODING in request.headers:
            headers.popall(hdrs.CONTENT_LENGTH, None)  # what is passed on is longer or shorter
        url, name = address(self.profile, self._led_here(request.raw_path))
        return self.session.request(
            call.method, url, data=body, headers=headers, allow_redirects=False, server_hostname=name
        )

    async def _answered(
        self, call: Call, asked: bytes | aiohttp.StreamReader | None, answer: aiohttp.ClientResponse
    ) -> web.Response:
        headers = _passed(answer.headers)
        headers.popall(hdrs.CONTENT_LENGTH, None)
        body = self.front.hosts.heard(call, answer.status, await answer.read(), front=self.front.url)
        if call.method == hdrs.METH_POST and DYNOS.fullmatch(call.path):
            body = self.terminals.expect(asked, body)
        return web.Response(status=answer.status, headers=headers, body=body)

    async def _poured(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = _passed(answer.headers)
        headers.popall(hdrs.CONTENT_LENGTH, None)
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except (aiohttp.ClientError, OSError):
            # Half an answer must not look like a whole one.
            if request.transport is not None:
                request.transport.abort()
        return response


def _passed(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers that are not about one connection only."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _OF_ONE_CONNECTION)


def _leading(front: Front, port: int, profile: Profile) -> Serve:
    """The proxy that the child is given."""
    ways = _Ways.of(profile, port)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        await _led(front, ways, head.split(b" ", 2), reader, writer)

    return serve


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ways:
    """Where the proxy leads."""

    port: int
    server: tuple[str, int] | None

    @classmethod
    def of(cls, profile: Profile, port: int) -> "_Ways":
        parts = urlsplit(profile.url)
        is_tls = parts.scheme == "https" and bool(parts.hostname)
        return cls(port=port, server=(parts.hostname or "", parts.port or 443) if is_tls else None)

    def to(self, host: str, port: str) -> tuple[str, int] | None:
        """The address behind a name, None where the proxy does not lead."""
        # The child asks for listed hosts at whatever port its own API has.
        if host in LISTED or (host in LOCAL and port == str(self.port)):
            return LOCAL[0], self.port
        # `git` speaks to our server itself.
        return (
            self.server if self.server is not None and (host, port) == (self.server[0], str(self.server[1])) else None
        )


async def _led(
    front: Front, ways: _Ways, line: list[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    method, target = line[0].decode("latin-1"), line[1].decode("latin-1") if len(line) > 1 else ""
    host, _, port = target.rpartition(":")
    way = ways.to(host.lower(), port) if method == "CONNECT" else None
    if way is None:
        if named := host if method == "CONNECT" else urlsplit(target).hostname:
            front.refused.append(named)
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        return
    there, back = await asyncio.open_connection(*way)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
