"""The other end of an outbound webhook, and an API and a worker on one database that it hears of."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from service.store import webhooks
from tests.web.serving import Server, serving
from tests.workers.conftest import Yard
from workers.jobs.deliver import deliver

SECRET = "a secret of sixteen"


@dataclass(kw_only=True)
class Receiver:
    """Keeps what it is sent; how it answers can be changed by the test."""

    url: str = ""
    status: int = 204
    said: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.read()))
        await self.open.wait()
        return web.Response(status=self.status, text=self.said or None, headers=self.headers)

    @property
    def told(self) -> list[Any]:
        return [json.loads(body) for _, body in self.heard]

    @property
    def in_short(self) -> list[tuple[str, str]]:
        return [(each["resource"], each["action"]) for each in self.told]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of the loopback."""
    receiver = Receiver()
    receiver.open.set()
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/hooks"
    yield receiver
    receiver.open.set()
    await runner.cleanup()


@dataclass(frozen=True, kw_only=True)
class Wire:
    """All of it."""

    yard: Yard
    server: Server
    receiver: Receiver

    async def webhook(self, where: str = "/apps/example", *include: str, level: str = "sync", **more: Any) -> Any:
        body = {"include": include or ["api:app"], "level": level, "url": self.receiver.url, "secret": SECRET, **more}
        made, _ = await self.server.call("POST", f"{where}/webhooks", body, expect=201)
        return made

    async def switch(self, on: bool = True) -> None:
        await self.server.call("PATCH", "/apps/example", {"maintenance": on}, expect=200)

    async def due(self) -> list[str]:
        return await self.yard.see(lambda conn: webhooks.due(conn, now=self.yard.clock(), limit=50))

    async def tell(self) -> None:
        """What a worker does that finds what is due."""
        for webhook_id in await self.due():
            await deliver(self.yard.context, webhook_id)

    async def deliveries(self, where: str = "/apps/example") -> list[Any]:
        return await self.server.get(f"{where}/webhook-deliveries", Range="seq ..; max=1000")


@asynccontextmanager
async def wired(yard: Yard, home: Path) -> AsyncIterator[Wire]:
    """An API, a worker and a receiver, with an app called example."""
    home.mkdir()
    async with receiving() as receiver, serving(yard.db, yard.context.vault, home) as server:
        await server.app("example")
        # Worker and API are of one installation.
        port = int(server.url.rpartition(":")[2])
        settings = replace(yard.context.settings, port=port, public_url=server.url)
        yard = replace(yard, context=replace(yard.context, settings=settings))
        yield Wire(yard=yard, server=server, receiver=receiver)


def is_genuine(headers: dict[str, str], body: bytes, secret: str = SECRET) -> bool:
    """Whether the signature is that of the body, worked out as Heroku's documentation has it."""
    digest = base64.b64encode(hmac.new(secret.encode(), body, "sha256").digest()).decode()
    return headers["Heroku-Webhook-Hmac-SHA256"] == digest
