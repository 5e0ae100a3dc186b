"""The `github` fixture: a simulated GitHub on a free port, held to GitHub's descriptions.

Use it from any test package: `from tests.github_contract.fixtures import github, octokit` in a conftest.
"""

import functools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp.typedefs import Middleware

from service.demo.github_sim import GitHubSim, Repository, running
from service.demo.simulator.tokens import Keys
from tests.github_contract.validation import (
    EXAMPLES,
    NPM,
    WEBHOOKS,
    Violations,
    rest_validation,
    webhook_validation,
)

__all__ = ["GitHub", "github", "held_to_contract", "known_as", "octokit"]


class GitHub(GitHubSim):
    """The simulated GitHub with the violations that were seen, and a client's side for tests."""

    violations: Violations

    def expected_violations(self) -> AbstractContextManager[list[str]]:
        """Within this block the test sends what GitHub's description forbids, on purpose."""
        return self.violations.expected()

    def app_jwt(self, *, life: float = 540.0, issuer: str | None = None) -> str:
        """A JWT as the App makes it."""
        moment = self.now().timestamp()
        claims = {"iat": int(moment) - 60, "exp": int(moment + life), "iss": issuer or str(self.app_id)}
        return jwt.encode(claims, self.private_key_pem, algorithm="RS256")

    def installation_token(self, repo: Repository, permissions: dict[str, str] | None = None) -> str:
        """A token for one repository, made without a request."""
        installation = self.installation_of(repo)
        assert installation is not None
        granted = permissions or dict(installation.permissions)
        token, _ = self.keys.issue(
            installation, repository_ids=frozenset({repo.id}), permissions=granted, now=self.now()
        )
        return token

    async def ask(self, method: str, path: str, *, token: str = "", **options: Any) -> "Reply":
        """One REST request; never follows redirects."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.api_url + path, headers=headers, allow_redirects=False, **options) as answer,
        ):
            text = await answer.text()
            body = await answer.json() if answer.content_type == "application/json" and text else text
            return Reply(answer.status, body, {name.lower(): value for name, value in answer.headers.items()})


class Reply:
    """A REST answer: status, body, headers by lower-case name."""

    def __init__(self, status: int, body: Any, headers: dict[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    def __repr__(self) -> str:
        return f"<{self.status} {str(self.body)[:500]}>"


@pytest.fixture(scope="session")
def octokit() -> Path:
    """Where Octokit's descriptions are: `npm install --prefix build/npm @octokit/openapi-webhooks@12.1.0 ...`."""
    if WEBHOOKS.exists() and EXAMPLES.exists():
        return NPM
    text = "GitHub's webhook description is not in build/npm (needs Node; `make test` installs it)"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@functools.cache
def app_key() -> str:
    """One App key for all tests: making an RSA key takes longer than most tests."""
    return Keys.create(0).private_key_pem


@asynccontextmanager
async def held_to_contract(data: Path, *, before: Sequence[Middleware] = ()) -> AsyncIterator[GitHub]:
    """A running simulated GitHub; fails the test at its end if anybody broke GitHub's contract while it ran.

    What the middlewares `before` do to an answer is not held against it.
    """
    data.mkdir()
    (data / "app.pem").write_text(app_key())
    sim = GitHub(data, keep_key=True)
    sim.violations = Violations()
    sim.sender.watchers.append(webhook_validation(sim.violations))

    def name_of(number: str) -> str:
        repo = sim.repositories.get(int(number)) if number.isdigit() else None
        return repo.full_name if repo else "nobody/nothing"

    async with running(sim, middlewares=[*before, rest_validation(sim.violations, name_of=name_of)]):
        yield sim
    if sim.violations.found:
        pytest.fail("GitHub's contract was broken:\n" + "\n".join(dict.fromkeys(sim.violations.found)))


def known_as(sim: GitHubSim, place: Path) -> dict[str, str]:
    """The settings by which an installation is the simulated GitHub's App; the key is kept in `place`."""
    key = place / "key.pem"
    key.touch(mode=0o600)
    key.write_text(sim.private_key_pem)
    return {
        "TOWPATH_GITHUB_URL": sim.url,
        "TOWPATH_GITHUB_API_URL": sim.api_url,
        "TOWPATH_GITHUB_APP_ID": str(sim.app_id),
        "TOWPATH_GITHUB_PRIVATE_KEY_FILE": str(key),
        "TOWPATH_GITHUB_WEBHOOK_SECRET": sim.webhook_secret,
    }


@pytest.fixture
async def github(tmp_path: Path, octokit: Path) -> AsyncIterator[GitHub]:
    """A running simulated GitHub for one test."""
    async with held_to_contract(tmp_path / "github") as sim:
        yield sim
