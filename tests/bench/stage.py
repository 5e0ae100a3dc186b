"""The installation that is measured: `towpath up` with the settings that it has by itself, and a simulated GitHub."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp

from service.demo.github_sim import GitHubSim, running
from tests.bench.processes import free_port
from tests.github_contract.fixtures import GitHub, known_as
from tests.walk.stage import Stage


@asynccontextmanager
async def installation(place: Path) -> AsyncIterator[Stage]:
    """Run it, and end all of it at the end."""
    (place / "data").mkdir(parents=True)
    async with running(GitHubSim(place / "github")) as sim, aiohttp.ClientSession() as http:
        port = free_port()
        sim.webhook_url = f"http://127.0.0.1:{port}/github/webhooks"
        known = known_as(sim, place)
        stage = Stage(data=place / "data", port=port, github=cast("GitHub", sim), http=http, env=known)
        try:
            await stage.start()
            yield stage
        finally:
            await stage.stop()
            left = stage.remains()
            stage.clear()
            if left:
                print(f"left behind by `towpath up`: {left}", file=sys.stderr)
