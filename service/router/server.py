"""The router as a whole: listens, follows the route table, ends what takes too long, drains."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import structlog

from service import ending
from service.domain.errors import Transient
from service.router.core import Core, Served
from service.router.inbound import Inbound
from service.router.limits import Limits
from service.router.table import Hosts, LiveTable, Route, RouteTable
from service.router.upstream import Pool
from service.settings import Settings

log = structlog.get_logger()


class Router:
    """Passes requests on to apps by host name."""

    def __init__(
        self,
        *,
        settings: Settings,
        load: Callable[[], Awaitable[RouteTable]],
        version: Callable[[], Awaitable[int]],
        on_request: Callable[[Served], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.connections: set[Inbound] = set()
        self._table = LiveTable(load=load, version=version)
        self._core = Core(
            table=self._table,
            hosts=Hosts.of(apps_domain=settings.apps_domain, review_domain=settings.review_domain, url=settings.url),
            web=Route(app_id="", app_name="Towpath", state="live", endpoints=(f"web:{settings.web_socket}",)),
            pool=Pool(limits=self.limits),
            limits=self.limits,
            on_request=on_request,
        )
        self._table.on_change = self._core.switch
        self._core.switch(self._table.current)
        self._server: asyncio.Server | None = None
        self._loops: list[asyncio.Task[None]] = []

    @property
    def pool(self) -> Pool:
        """The connections to apps."""
        return self._core.pool

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            raise RuntimeError("the router has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str | None, port: int, *, listener: socket.socket | None = None) -> None:
        """Read the table, waiting for the database if need be, then listen; on `listener` if one is handed in."""
        await self._first_table()
        loop = asyncio.get_running_loop()

        def accept() -> Inbound:
            return Inbound(loop, core=self._core, connections=self.connections)

        if listener is not None:
            self._server = await loop.create_server(accept, sock=listener, backlog=1024)
        else:
            self._server = await loop.create_server(accept, host, port, backlog=1024)
        self._loops = [loop.create_task(self._table.watch()), loop.create_task(self._sweep())]
        log.info("router listens", port=self.port)

    async def _first_table(self) -> None:
        while True:
            try:
                await self._table.refresh()
            except (Transient, OSError) as error:
                log.warning("route table not readable", error=str(error))
                await asyncio.sleep(0.2)
            else:
                return

    async def _sweep(self) -> None:
        """One timer for all connections: a timer of its own would cost each request more than the check."""
        limits = self.limits
        shortest = min(limits.first_byte_seconds, limits.idle_seconds, limits.head_seconds, limits.keep_alive_seconds)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(0.5, shortest / 4))
            now = loop.time()
            for connection in tuple(self.connections):
                connection.expire(now)
            self._core.pool.close_idle(now)

    async def failed(self) -> None:
        """Return never; raises what a background loop raised, a bug after which the process should be replaced."""
        await asyncio.gather(*self._loops)

    async def drain(self, *, grace: float = 2.5) -> None:
        """Accept nothing new and let what is under way end within `grace` seconds. WebSockets are not waited for."""
        self._core.draining = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        give_up = loop.time() + grace
        while busy := [c.task for c in self.connections if c.task is not None and c.peer is None]:
            left = give_up - loop.time()
            if left <= 0:
                log.warning("requests cut off by the end of the grace time", requests=len(busy))
                break
            await asyncio.wait(busy, timeout=left)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """End everything now."""
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []
        serving = [connection.task for connection in self.connections if connection.task is not None]
        for connection in tuple(self.connections):
            connection.abort()
        if serving:
            await asyncio.wait(serving)
        self._core.pool.retain(frozenset())
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None


async def serve(
    *,
    settings: Settings,
    load: Callable[[], Awaitable[RouteTable]],
    version: Callable[[], Awaitable[int]],
    host: str | None,
    port: int,
    listener: socket.socket | None = None,
    on_request: Callable[[Served], None] | None = None,
    limits: Limits | None = None,
    grace: float = 2.5,
    at_most: float | None = None,
) -> None:
    """Run the router until SIGTERM or SIGINT, then drain; raises when a background loop has broken.

    With `at_most`, the process is ended when it is still there so many seconds after the signal.
    """
    router = Router(settings=settings, load=load, version=version, on_request=on_request, limits=limits)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    ending.when_told(stop.set, at_most=at_most)
    # One task from the start on: at the start the database may be away for long.
    stopping, running = loop.create_task(stop.wait()), loop.create_task(_run(router, host, port, listener))
    try:
        await asyncio.wait({stopping, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        await router.drain(grace=grace)
    finally:
        for signum in ending.SIGNALS:
            loop.remove_signal_handler(signum)
        for task in (stopping, running):
            task.cancel()
        await asyncio.gather(stopping, running, return_exceptions=True)
        await router.close()


async def _run(router: Router, host: str | None, port: int, listener: socket.socket | None) -> None:
    """Return never; raises what kept it from listening, or what broke a background loop."""
    await router.start(host, port, listener=listener)
    await router.failed()
