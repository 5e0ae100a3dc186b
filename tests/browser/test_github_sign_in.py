"""Signing in with GitHub in a real browser, which heeds the page's policy on the way there and back."""

from pathlib import Path

from playwright.async_api import Page, expect

from service.github.manifest import SIGN_IN_BACK
from service.store import github_app
from service.store.database import Database
from service.store.secrets import Vault
from tests.browser.looking import axe, for_everybody, look
from tests.github_contract.fixtures import GitHub
from tests.web.pages.visiting import app_of, link
from tests.web.serving import serving


async def test_an_account_on_github_is_linked_and_lets_one_in(
    tab: Page, github: GitHub, sqlite_database: Database, tmp_path: Path
) -> None:
    source, vault = axe(), Vault.open(tmp_path / "secret.keys", create=True)
    await sqlite_database.write(lambda conn: github_app.save(conn, vault, app_of(github), sqlite_database.now()))
    async with serving(sqlite_database, vault, tmp_path, github=github) as server:
        github.app.callback_urls = [f"{server.url}{SIGN_IN_BACK}"]
        await tab.goto(await link(server))
        await tab.get_by_role("button", name="Sign in").click()
        await tab.get_by_role("link", name="admin@localhost").click()
        await tab.get_by_role("button", name="Link GitHub").click()
        await expect(tab.get_by_role("status")).to_contain_text("From now on you can sign in with GitHub.")
        await for_everybody(tab, source, "account")
        await look(tab, "account-linked")
        await tab.get_by_role("button", name="Sign out").click()
        await expect(tab.get_by_role("button", name="Sign in with GitHub")).to_be_visible()
        await look(tab, "sign-in-github")
        github.set_refusal(refuses=True)
        await tab.get_by_role("button", name="Sign in with GitHub").click()
        await expect(tab.get_by_role("heading", name="GitHub was not allowed to say who you are")).to_be_visible()
        await look(tab, "sign-in-refused")
        github.set_refusal(refuses=False)
        await tab.goto(f"{server.url}/dashboard/activity")
        await tab.get_by_role("button", name="Sign in with GitHub").click()
        await expect(tab.get_by_role("heading", name="Activity", level=1)).to_be_visible()
        await server.call("POST", "/teams", {"name": "crew"}, expect=201)
        await tab.goto(f"{server.url}/dashboard/teams/crew")
        await tab.get_by_label("Address of somebody without an account").fill("new@example.com")
        await tab.keyboard.press("Enter")
        await tab.goto(await tab.locator("pre").inner_text())
        await expect(tab.get_by_role("button", name="Join and sign in with GitHub")).to_be_visible()
        await look(tab, "invitation")
        await tab.get_by_role("button", name="Join without GitHub").click()
        await expect(tab.get_by_role("heading", name="You are in")).to_be_visible()
        await look(tab, "joined")
