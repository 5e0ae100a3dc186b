"""A webhook receiver for tests: keeps what comes, answers as told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Receiver:
    url: str = ""
    status: int = 202
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    got: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)

    @property
    def events(self) -> list[str]:
        return [event for event, _, _, _ in self.got]

    @property
    def guids(self) -> list[str]:
        return [guid for _, guid, _, _ in self.got]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.gate.set()

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        headers = dict(request.headers)
        receiver.got.append((headers["X-GitHub-Event"], headers["X-GitHub-Delivery"], body, headers))
        await receiver.gate.wait()
        return web.Response(status=receiver.status)

    app = web.Application(client_max_size=32 * 1024**2)
    app.router.add_post("/hook", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()
