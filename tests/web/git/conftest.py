"""A server to push to, one per module, and an app and a clone of its own for each test."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import uvloop

from service.store.database import Database
from service.store.secrets import Vault
from tests.store.fixtures import sqlite_template
from tests.web.git.pushing import Clone, Said, address, basic, object_id, worked
from tests.web.serving import Server, serving

__all__ = ["sqlite_template"]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the web process has: it differs where programs end early."""
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    home = tmp_path_factory.mktemp("pushed")
    path = home / "towpath.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = await Database.open(f"sqlite:///{path}")
    async with serving(database, Vault.open(home / "secret.keys", create=True), home, push_limit_mb=1) as running:
        yield running
    await database.close()


@pytest.fixture
def pushes(server: Server) -> Path:
    """Where the repositories are."""
    return Path(server.db.url.removeprefix("sqlite:///")).parent / "pushes"


@pytest_asyncio.fixture(loop_scope="module")
async def app(server: Server, request: pytest.FixtureRequest) -> str:
    """An app of the test's own."""
    made = await server.app("pushed-" + object_id("blob", request.node.name.encode())[:12])
    return str(made["name"])


@pytest_asyncio.fixture(loop_scope="module")
async def clone(server: Server, app: str, tmp_path: Path) -> Clone:
    return await Clone.new(tmp_path / "clone", address(server, app))


async def pushed(server: Server, clone: Clone, *args: str, **how: Any) -> Said:
    """Push, while a worker works."""
    return await worked(server, await clone.start("push", *(args or ("towpath", "main"))), **how)


async def app_id(server: Server, app: str) -> str:
    return str((await server.get(f"/apps/{app}"))["id"])


async def asked_for(server: Server, app: str) -> list[Any]:
    """What is in the app's queue or has been."""
    return list(await server.get(f"/apps/{app}/requests"))


async def post(server: Server, app: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Send what no git would."""
    sent = {"Content-Type": "application/x-git-receive-pack-request", "Authorization": basic(server), **headers}
    url = f"{server.url}/{app}.git/git-receive-pack"
    # What is taken by mistake is followed for as long as nobody builds it.
    timeout = aiohttp.ClientTimeout(total=20)
    async with server.session.post(url, data=io.BytesIO(body), headers=sent, timeout=timeout) as response:
        return response.status, await response.read()
