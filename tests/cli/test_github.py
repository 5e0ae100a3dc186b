"""The two ways to connect GitHub, as the terminal tells them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.github.manifest import TOKEN_PERMISSIONS
from service.store.database import Database
from service.store.secrets import Vault
from tests.cli.conftest import Cli
from tests.github_contract.fixtures import GitHub, github, octokit
from tests.waiting import until
from tests.web.serving import Server, serving

__all__ = ["github", "octokit"]

EVENTS = ["push", "pull_request", "status", "check_run", "check_suite", "issue_comment", "repository"]


@pytest.fixture
async def server(
    github: GitHub, sqlite_database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Server]:
    """A server that asks the simulated GitHub; `request.param` are its settings."""
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    token = github.fine_grained_token("acme", {each.name: each.level for each in TOKEN_PERMISSIONS})
    changes = {"github_token": token} | getattr(request, "param", {})
    async with serving(sqlite_database, vault, tmp_path, github=github, **changes) as running:
        yield running


def hook(server: Server, **changes: Any) -> dict[str, Any]:
    """The webhook as the command says it is to be."""
    config = {"url": f"{server.url}/github/webhooks", "content_type": "json", "secret": "secret"}
    return {"config": config | changes.pop("config", {}), "events": EVENTS, "active": True} | changes


async def add(github: GitHub, made: dict[str, Any]) -> None:
    await github.create_repo("acme/shop", installed=False)
    reply = await github.ask("POST", "/repos/acme/shop/hooks", token=github.personal_token("acme"), json=made)
    assert reply.status == 201
    await github.settled()


async def test_the_set_up_prints_one_address_and_nothing_else(towpath: Cli, server: Server) -> None:
    done = await towpath("github:setup", "--org", "acme")
    assert done.out.startswith(f"{server.url}/github/setup/start/")
    assert len(done.out.splitlines()) == 1
    assert "an owner of acme has to press" in done.err


@pytest.mark.parametrize(
    "server",
    [{"public_url": "https://localhost", "github_url": "https://github.com", "github_pull": "off"}],
    indirect=True,
)
async def test_the_set_up_is_refused_where_github_cannot_reach(towpath: Cli, server: Server) -> None:
    done = await towpath("github:setup", code=1)
    assert done.out == ""
    assert "this machine's own address" in done.err
    assert "TOWPATH_PUBLIC_URL" in done.err


async def test_an_organization_that_cannot_be_is_refused(towpath: Cli) -> None:
    assert "not the name of an organization" in (await towpath("github:setup", "--org", "a/b", code=1)).err


async def test_a_webhook_that_is_right_is_found_and_pinged(towpath: Cli, server: Server, github: GitHub) -> None:
    await add(github, hook(server))
    done = await towpath("github:webhook", "acme/shop")
    for told in (f"{server.url}/github/webhooks", "application/json", "secret", "Pull requests", "Commit statuses"):
        assert told in done.out
    assert "Merge groups" not in done.out
    assert [line for line in done.out.splitlines() if line.startswith(("ok", "!!"))] == [
        "ok  the webhook is there",
        "ok  a ping has arrived, rightly signed",
    ]


WRONG = [
    ("another secret", {"config": {"secret": "other"}}, "signed with another secret"),
    ("a form", {"config": {"content_type": "form"}}, "its content type is form"),
    ("too few events", {"events": ["push"]}, "does not send: Pull requests, Statuses"),
    ("switched off", {"active": False}, "not active"),
    ("to another place", {"config": {"url": "http://127.0.0.1:9/github/webhooks"}}, "no webhook that sends to"),
]


@pytest.mark.parametrize(("changes", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_a_webhook_that_is_wrong_is_told_with_the_way_out(
    towpath: Cli, server: Server, github: GitHub, changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.web.api.github._PING_SECONDS", 1.0)
    await add(github, hook(server, **changes))
    done = await towpath("github:webhook", "acme/shop", code=1)
    assert said in done.out


async def test_a_webhook_that_does_not_arrive_is_told_in_github_s_words(
    towpath: Cli, server: Server, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.web.api.github._PING_SECONDS", 1.0)
    await add(github, hook(server))
    github.chaos.webhooks.drop_next = 1
    done = await towpath("github:webhook", "acme/shop", code=1)
    assert "GitHub says: failed to connect to host" in done.out


async def test_a_token_that_may_not_look_at_webhooks_is_named(towpath: Cli, github: GitHub) -> None:
    await github.create_repo("other/shop", installed=False)
    done = await towpath("github:webhook", "other/shop", code=1)
    assert "may not read the webhooks of other/shop" in done.out
    assert "Webhooks: read" in done.out


@pytest.mark.parametrize("server", [{"github_token": ""}], indirect=True)
async def test_without_a_token_nothing_is_checked(towpath: Cli, server: Server) -> None:
    done = await towpath("github:webhook", "acme/shop")
    assert "Not checked: Towpath was started without TOWPATH_GITHUB_TOKEN" in done.out
    refused = await towpath("github:webhook", "../shop", code=1)
    assert "ORG/REPO" in refused.err


async def test_events_of_a_repository_s_own_hook_are_taken_in(server: Server, github: GitHub) -> None:
    await add(github, hook(server))
    await github.push("acme/shop", "master", {"a": "1"})
    await github.settled()
    listed = await until(lambda: server.get("/deliveries"))
    assert {it["event"] for it in listed} == {"ping", "push"}
