"""A router on loopback, real aiohttp apps behind it, and the hand-over sockets that lead to them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from service.router.core import Served
from service.router.limits import Limits
from service.router.server import Router
from service.router.table import Route, RouteTable
from service.settings import Settings


def pytest_asyncio_loop_factories(config, item):
    """Production runs on uvloop; where that is missing the plain loop has to do the same."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@dataclass
class Routes:
    """The database's part: what is wanted, by version."""

    table: RouteTable = field(default_factory=lambda: RouteTable(version=0))
    asked: int = 0

    def set(self, *routes: Route) -> None:
        self.table = RouteTable(version=self.table.version + 1, routes={r.app_name: r for r in routes})

    async def load(self) -> RouteTable:
        return self.table

    async def version(self) -> int:
        self.asked += 1
        return self.table.version


@dataclass
class HandOver:
    """A hand-over socket as the runner keeps one per instance."""

    path: Path
    host: str
    port: int
    handed: int = 0
    refusal: bytes = b""
    task: asyncio.Task[None] | None = None
    listener: socket.socket | None = None

    @property
    def address(self) -> str:
        return f"unix:{self.path}"

    async def start(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            door, _ = await loop.sock_accept(self.listener)
            with door:
                await self._answer(door)

    async def _answer(self, door: socket.socket) -> None:
        if self.refusal:
            door.send(self.refusal)
            return
        with socket.socket() as app:
            app.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(app, (self.host, self.port))
            except OSError as error:
                door.send(b"-" + str(error).encode())
                return
            socket.send_fds(door, [b"+"], [app.fileno()])
            self.handed += 1

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        if self.listener is not None:
            self.listener.close()
        self.path.unlink(missing_ok=True)


@dataclass
class Town:
    """Everything one test needs: apps are added, routes set, the router started."""

    directory: Path
    routes: Routes
    stack: AsyncExitStack
    served: list[Served] = field(default_factory=list)
    router: Router | None = None
    doors: int = 0

    async def app(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], **options) -> HandOver:
        """Serve `handler` on every path and return the door to it."""
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1, **options)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return await self.door(site._server.sockets[0].getsockname()[1])

    async def raw(self, serve) -> HandOver:
        """An app that writes its own bytes: `serve(reader, writer)`."""
        tasks = set()

        async def run(reader, writer):
            tasks.add(asyncio.current_task())
            try:
                await serve(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(run, "127.0.0.1", 0)

        async def end():
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.stack.push_async_callback(end)
        return await self.door(server.sockets[0].getsockname()[1])

    async def door(self, port: int) -> HandOver:
        self.doors += 1
        door = HandOver(path=self.directory / f"{self.doors}.sock", host="127.0.0.1", port=port)
        await door.start()
        self.stack.push_async_callback(door.stop)
        return door

    async def start(self, *routes: Route, limits: Limits | None = None, **settings) -> Router:
        self.routes.set(*routes)
        options = {"data": self.directory, "review_domain": "review.test", "apps_domain": "apps.test"}
        self.router = Router(
            settings=Settings(**(options | settings)),
            load=self.routes.load,
            version=self.routes.version,
            on_request=self.served.append,
            limits=limits,
        )
        await self.router.start("127.0.0.1", 0)
        self.stack.push_async_callback(self.router.close)
        return self.router

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self.router is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.router.port, limit=2**20)
        self.stack.callback(writer.close)
        return reader, writer

    async def send(self, raw: bytes) -> bytes:
        """Send `raw` on a new connection and read until the router closes it."""
        reader, writer = await self.connect()
        writer.write(raw)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()

    async def get(self, path: str = "/", *, host: str = "shop.apps.test", headers: str = "") -> "Got":
        raw = await self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode())
        return Got.parse(raw)


@dataclass
class Got:
    """An answer taken apart."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def parse(cls, raw: bytes) -> "Got":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return cls(status=int(first.split()[1]) if first else 0, headers=pairs, body=body)

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()


@pytest.fixture
async def town(short_tmp: Path) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        yield Town(directory=short_tmp, routes=Routes(), stack=stack)


def live(*doors: HandOver, name: str = "shop", review: bool = False) -> Route:
    """A live route to `doors`."""
    return Route(
        app_id=f"id-{name}",
        app_name=name,
        state="live",
        review=review,
        endpoints=tuple(door.address for door in doors),
    )
