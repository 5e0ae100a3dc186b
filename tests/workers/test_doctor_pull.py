"""What `towpath doctor` says about the way on which news of GitHub come here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.github_contract.fixtures import GitHub
from tests.workers.pulling import NOWHERE
from workers.doctor import findings

PULLED = {"github_pull": "on"}


async def said(github: GitHub, tmp_path: Path, *, app: bool = True, **options: Any) -> tuple[bool, str]:
    key = tmp_path / "key.pem"
    key.write_text(github.private_key_pem)
    settings = Settings(data=tmp_path, github_api_url=github.api_url)
    if app:
        settings = replace(settings, github_app_id=str(github.app_id), github_private_key_file=key)
    found = await findings(replace(settings, **options), ask=True)
    (check,) = [each for each in found if each["name"] == "deliveries"]
    return check["ok"], f"{check['why']} {check['advice']}"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_deliveries_that_arrive_are_awaited(github: GitHub, tmp_path: Path, host: str) -> None:
    github.webhook_url = f"http://{host}:5080/github/webhooks"
    assert await said(github, tmp_path) == (True, "GitHub sends them to http://localhost:5080/github/webhooks ")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param(
            "https://towpath.invalid/github/webhooks", "sends them to https://towpath.invalid", id="elsewhere"
        ),
        pytest.param("", "is not active", id="nowhere"),
    ],
)
async def test_an_app_that_was_made_while_towpath_was_elsewhere_is_a_finding(
    github: GitHub, tmp_path: Path, url: str, says: str
) -> None:
    github.webhook_url = url
    ok, text = await said(github, tmp_path)
    assert not ok
    assert says in text
    assert "settings on GitHub to http://localhost:5080/github/webhooks" in text


async def test_the_log_is_read_and_its_newest_entry_is_named(github: GitHub, tmp_path: Path) -> None:
    github.webhook_url = NOWHERE
    github.ping()
    await github.settled()
    ok, text = await said(github, tmp_path, **PULLED)
    assert ok
    assert "the newest is ping of" in text


async def test_an_empty_log_means_that_everything_is_polled(github: GitHub, tmp_path: Path) -> None:
    ok, text = await said(github, tmp_path, **PULLED)
    assert ok
    assert "GitHub lists none" in text
    assert "polled instead" in text


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_log_that_cannot_be_read_is_a_finding(github: GitHub, tmp_path: Path, status: int) -> None:
    github.chaos.answer("error", pattern="deliveries", status=status, times=None)
    ok, text = await said(github, tmp_path, **PULLED)
    assert not ok
    assert "asked for again by themselves" in text


async def test_with_a_token_it_is_polled(github: GitHub, tmp_path: Path) -> None:
    token = github.personal_token("ada")
    ok, text = await said(github, tmp_path, app=False, github_token=token, **PULLED)
    assert ok
    assert "pull requests and branches are polled every 10 s" in text


async def test_with_nothing_configured_it_says_how_seldom_it_looks(github: GitHub, tmp_path: Path) -> None:
    ok, text = await said(github, tmp_path, app=False, **PULLED)
    assert ok
    assert "every 300 s" in text


async def test_to_wait_for_a_github_that_cannot_reach_us_is_a_finding(github: GitHub, tmp_path: Path) -> None:
    options = {"github_pull": "off", "github_api_url": "http://127.0.0.1:1", "public_url": "http://towpath.lan"}
    assert (await said(github, tmp_path, app=False, **options))[0]
    options["github_api_url"] = "https://api.github.com"
    ok, text = await said(github, tmp_path, app=False, **options)
    assert not ok
    assert "TOWPATH_GITHUB_PULL is off" in text
