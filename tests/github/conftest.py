"""Our side of GitHub's API, as a GitHub App, against the simulated GitHub."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from service.demo import github_sim
from service.demo.github_sim import GitHubSim
from service.domain.model import Repository, RepositoryId
from service.github.app_auth import AppTokens, FixedToken
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.transport import Transport, new_session
from service.github.writes import Writes


@dataclass
class Clock:
    """A monotonic clock that stands still until it is moved."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(kw_only=True)
class Edge:
    """Everything that speaks to GitHub, and the clock it goes by."""

    sim: GitHubSim
    transport: Transport
    tokens: AppTokens
    github: GitHub
    looks: Looks
    writes: Writes
    lines: list[str]
    clock: Clock

    def as_person(self, login: str) -> GitHub:
        token = self.sim.personal_token(login)
        return GitHub(transport=self.transport, credentials=FixedToken(token), clock=self.clock)

    def requests(self, pattern: str) -> int:
        return sum(pattern in line for line in self.lines)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session() as opened:
        yield opened


@pytest.fixture
async def edge(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Edge]:
    lines, clock = list[str](), Clock()

    @web.middleware
    async def note(request, handler):
        lines.append(f"{request.method} {request.path}")
        return await handler(request)

    async with github_sim.running(GitHubSim(tmp_path / "github"), middlewares=(note,)) as sim:
        transport = Transport(session=session, api_url=sim.api_url, wall_clock=lambda: sim.now().timestamp())
        tokens = AppTokens(
            transport=transport,
            app_id=str(sim.app_id),
            private_key=sim.private_key_pem,
            clock=clock,
        )
        github = GitHub(transport=transport, credentials=tokens, clock=clock)
        yield Edge(
            sim=sim,
            transport=transport,
            tokens=tokens,
            github=github,
            looks=Looks(github=github, now=lambda: datetime(2026, 5, 1, tzinfo=UTC)),
            writes=Writes(github=github),
            lines=lines,
            clock=clock,
        )


def repository_of(sim: GitHubSim, repo: github_sim.Repository) -> Repository:
    installation = sim.installation_of(repo)
    return Repository(
        id=RepositoryId(repo.id),
        full_name=repo.full_name,
        default_branch=repo.default_branch,
        installation_id=installation.id if installation else 0,
    )


@pytest.fixture
async def shop(edge: Edge) -> Repository:
    """A repository with one commit and our App on it."""
    return repository_of(edge.sim, await edge.sim.create_repo("acme/shop", files={"Procfile": "web: ./serve"}))
