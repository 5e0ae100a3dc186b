"""Who Towpath is to GitHub: what doctor says of it, and what happens when the App is told of."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from service.settings import Settings
from service.store import github_app
from service.store.__main__ import prepare
from service.store.github_app import GitHubApp
from service.store.opening import open_store
from tests.github_contract.fixtures import GitHub
from workers.doctor import findings


@pytest.fixture
async def settings(github: GitHub, tmp_path: Path) -> Settings:
    """An installation that has been started once."""
    made = Settings(data=tmp_path / "data", github_url=github.url, github_api_url=github.api_url)
    made.data.mkdir()
    await prepare(made, token="")
    return made


async def store(settings: Settings, github: GitHub, *, key: str = "") -> None:
    app = GitHubApp(
        id=github.app_id, slug="tow", name="tow", html_url=f"{github.url}/apps/tow", webhook_secret="s",
        private_key=key or github.private_key_pem,
    )  # fmt: skip
    db, vault = await open_store(settings)
    await db.write(lambda conn: github_app.save(conn, vault, app, db.now()))
    await db.close()


async def said(settings: Settings) -> tuple[bool, str]:
    (found,) = [each for each in await findings(settings, ask=True) if each["name"] == "GitHub"]
    return found["ok"], found["why"]


async def test_doctor_says_which_app_is_used_and_whence(settings: Settings, github: GitHub, tmp_path: Path) -> None:
    assert "towpath github:setup" in (await said(settings))[1]
    await store(settings, github)
    assert await said(settings) == (True, f"it knows App {github.app_id}, set up by towpath github:setup, as Towpath")
    key = tmp_path / "key.pem"
    key.write_text(github.private_key_pem)
    given = replace(settings, github_app_id=str(github.app_id), github_private_key_file=key)
    assert "from TOWPATH_GITHUB_APP_ID" in (await said(given))[1]


async def test_an_app_that_is_set_up_goes_before_a_token(settings: Settings, github: GitHub) -> None:
    token = replace(settings, github_token=github.personal_token("ann"))
    assert await said(token) == (True, "the token of TOWPATH_GITHUB_TOKEN is that of ann")
    await store(settings, github)
    assert "set up by" in (await said(token))[1]


async def test_doctor_says_that_the_app_was_deleted_on_github(settings: Settings, github: GitHub) -> None:
    await store(settings, github)
    github.keys.renew(99)
    ok, why = await said(settings)
    assert not ok
    assert "GitHub does not accept the App's id and key" in why


async def test_prepare_names_the_app_for_up_to_say(settings: Settings, github: GitHub) -> None:
    assert (await prepare(settings, token=""))["github_app"] == ""
    await store(settings, github)
    assert (await prepare(settings, token=""))["github_app"] == f"tow ({github.app_id})"


async def test_the_key_of_the_app_is_not_in_the_database_as_it_is(settings: Settings, github: GitHub) -> None:
    await store(settings, github)
    conn = sqlite3.connect(settings.database_dir / "towpath.db")
    ((sealed,),) = conn.execute("SELECT sealed FROM github_app").fetchall()
    conn.close()
    assert b"PRIVATE KEY" not in sealed
    assert github.private_key_pem.splitlines()[1].encode() not in sealed
