"""What attacks run in: the real installation, with a neighbor whose secrets are wanted and who must go on answering."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.github_contract.fixtures import octokit
from tests.platforms.conftest import Engine, Routes, level
from tests.walk.conftest import runtimes
from workers.platforms.process.stopping import stop_all

__all__ = ["crowd", "level", "octokit", "runtimes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """An engine on which a neighbor serves."""

    engine: Engine
    neighbor: Routes
    groups: frozenset[str]
    processes: frozenset[str]

    def left(self) -> list[str]:
        """Groups and processes that are not the neighbor's."""
        running = {path.name for path in self.engine.processes()}
        return sorted({*self.engine.groups(), *running} - self.groups - self.processes)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(level: str) -> AsyncIterator[Crowd]:
    """A running engine; after all attacks of the module its neighbor answers and nothing of them is left."""
    data = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="tp-", dir="/tmp"))
    data.chmod(0o755)
    engine = Engine(data=data)
    await engine.start()
    try:
        neighbor = await engine.up(engine.spec(app="neighbor", greeting="still here"))
        processes = frozenset(path.name for path in engine.processes())
        crowd = Crowd(engine=engine, neighbor=neighbor, groups=frozenset(engine.groups()), processes=processes)
        yield crowd
        assert await neighbor.get() == "still here"
        assert crowd.left() == []
    finally:
        await engine.end()
        await stop_all(data)
    assert engine.processes() == []
    assert engine.groups() == []
    shutil.rmtree(data, ignore_errors=True)
