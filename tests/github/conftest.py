"""Our side of GitHub's API, as a GitHub App, against the simulated GitHub."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import pytest

from service.demo.github_sim import GitHubSim
from service.demo.github_sim import Repository as GitHubRepository
from service.domain.model import Repository, RepositoryId
from service.github.app_auth import AppTokens, FixedToken
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.manifest import TOKEN_PERMISSIONS
from service.github.transport import Transport, new_session
from service.github.writes import Writes
from tests.github_contract.fixtures import GitHub as GitHubServer
from tests.github_contract.fixtures import github, octokit

__all__ = ["edge", "github", "octokit", "shop"]


@dataclass
class Clock:
    """A monotonic clock that stands still until it is moved."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(kw_only=True)
class Edge:
    """Everything that speaks to GitHub, and the clock it goes by."""

    sim: GitHubServer
    transport: Transport
    tokens: AppTokens
    github: GitHub
    looks: Looks
    writes: Writes
    lines: list[str]
    clock: Clock

    def as_person(self, login: str) -> GitHub:
        return self.with_token(self.sim.personal_token(login))

    def as_printed(self, login: str) -> GitHub:
        """With a fine-grained token that has the rights which `towpath github:webhook` asks for."""
        return self.with_token(
            self.sim.fine_grained_token(login, {each.name: each.level for each in TOKEN_PERMISSIONS})
        )

    def with_token(self, token: str) -> GitHub:
        return GitHub(transport=self.transport, credentials=FixedToken(token), clock=self.clock)

    def requests(self, pattern: str) -> int:
        return sum(pattern in line for line in self.lines)


@pytest.fixture
async def edge(github: GitHubServer) -> AsyncIterator[Edge]:
    lines, clock = list[str](), Clock()

    async def note(_session, _context, params: aiohttp.TraceRequestStartParams) -> None:
        lines.append(f"{params.method} {params.url.path}")

    watcher = aiohttp.TraceConfig()
    watcher.on_request_start.append(note)
    async with new_session(watcher) as session:
        transport = Transport(session=session, api_url=github.api_url, wall_clock=lambda: github.now().timestamp())
        tokens = AppTokens(
            transport=transport, app_id=str(github.app_id), private_key=github.private_key_pem, clock=clock
        )
        client = GitHub(transport=transport, credentials=tokens, clock=clock)
        yield Edge(
            sim=github,
            transport=transport,
            tokens=tokens,
            github=client,
            looks=Looks(github=client, now=lambda: datetime(2026, 5, 1, tzinfo=UTC)),
            writes=Writes(github=client),
            lines=lines,
            clock=clock,
        )


def repository_of(sim: GitHubSim, repo: GitHubRepository) -> Repository:
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
