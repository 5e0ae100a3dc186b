"""Settings, access, records and what is made by clicking: for everybody, on a phone, and by the keyboard alone."""

from pathlib import Path

from playwright.async_api import Page, expect

from service.store import deliveries
from service.store.database import Database
from service.store.secrets import Vault
from tests.browser.looking import axe, for_everybody, look
from tests.browser.test_dashboard import NASTY, furnished
from tests.web.pages.visiting import link, somebody
from tests.web.serving import HEADS, Server, serving

PUSHED, BROKEN = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2))


async def test_settings_and_records_are_for_everybody_and_fit_a_phone(
    tab: Page, sqlite_database: Database, tmp_path: Path
) -> None:
    source, vault = axe(), Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path) as server:

        async def seen(name: str) -> None:
            await for_everybody(tab, source, name)
            await look(tab, name)

        async def shown(path: str, name: str) -> None:
            await tab.goto(server.url + path)
            await seen(name)

        async def alike(path: str, name: str) -> None:
            """A page that is made of the same parts as another one."""
            await tab.goto(server.url + path)
            await look(tab, name)

        await tab.goto(await link(server))
        await tab.get_by_role("button", name="Sign in").click()
        await alike("/dashboard/deliveries", "deliveries-empty")
        pipeline = await furnished(server)
        await arrived(server)
        one = f"/dashboard/pipelines/{pipeline}"
        await alike(f"{one}/settings", "settings")
        await mistaken(tab)
        await seen("settings-mistaken")
        await shown(f"{one}/access", "access")
        await shown("/dashboard/apps/shop/access", "app-access")
        await shown("/dashboard/account", "account")
        await with_tokens(tab)
        await seen("tokens")
        await tab.goto(f"{server.url}/dashboard/teams/crew")
        await tab.get_by_label("Address of somebody without an account").fill("new-colleague@example.com")
        await tab.keyboard.press("Enter")
        await expect(tab.get_by_role("status")).to_contain_text("it is shown here and never again")
        await seen("team")
        await alike("/dashboard/deliveries", "deliveries")
        await shown(f"/dashboard/deliveries/{PUSHED}", "delivery")
        await shown(f"/dashboard/why?q={HEADS['main']}", "why")
        await alike("/dashboard/why?q=nothing", "why-nothing")
        await alike("/dashboard/activity", "activity")
        await alike("/dashboard/about", "about")
        await alike("/dashboard/new/app", "new-app")
        await alike("/dashboard/new/team", "new-team")
        await tab.goto(f"{server.url}/dashboard")
        await created(tab)
        await seen("new-pipeline-mistaken")
        await tab.get_by_label("Repository on GitHub").fill("acme/shop")
        await tab.get_by_role("button", name="Create pipeline").click()
        await waits_for_what_arrives(tab, server)
        await seen("arrivals")
        await tab.get_by_role("link", name="To the pipeline's overview").click()
        await expect(tab.get_by_role("heading", name="store", level=1)).to_be_visible()
        await expect(tab.get_by_role("heading", name="store-staging")).to_be_visible()


async def with_tokens(tab: Page) -> None:
    """A token is made without a mouse, and one that may be revoked is asked for once more."""
    await tab.get_by_role("link", name="See yours, make or revoke one").click()
    await tab.get_by_label("What it is for").fill("the laptop with a rather long name on the desk by the window")
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("ArrowDown")
    await expect(tab.get_by_label("write-protected")).to_be_checked()
    await tab.get_by_role("button", name="Create token").press("Enter")
    await expect(tab.get_by_role("status")).to_contain_text("It is shown here and never again")
    await tab.locator("summary", has_text="Revoke").last.press("Enter")
    await expect(tab.get_by_role("button", name="Revoke the laptop")).to_be_visible()


async def mistaken(tab: Page) -> None:
    """Without a mouse: a group is saved, and a mistake in another one is said where it was made."""
    await tab.get_by_label("Clear away stale review apps").focus()
    await tab.keyboard.press("Space")
    await tab.keyboard.press("Tab")
    await tab.keyboard.type("12")
    await tab.keyboard.press("Enter")
    await expect(tab.locator("#idle")).to_contain_text("Saved.")
    await expect(tab.get_by_label("Days until a review app is stale")).to_have_value("12")
    await tab.get_by_label("What must succeed").select_option("required")
    await tab.get_by_label("Seconds until CI has timed out").fill("soon")
    await tab.keyboard.press("Enter")
    await expect(tab.locator("#ci")).to_contain_text("Nothing was saved.")
    await expect(tab.locator("#ci h2")).to_be_in_viewport()
    await expect(tab.get_by_label("Seconds until CI has timed out")).to_have_attribute("aria-invalid", "true")
    await expect(tab.get_by_label("What must succeed")).to_have_value("required")


async def created(tab: Page) -> None:
    """From the menu to a form that was filled in badly."""
    await tab.get_by_text("New", exact=True).click()
    await look(tab, "new-menu")
    await tab.get_by_role("link", name="Create pipeline").click()
    await tab.get_by_label("Name", exact=True).fill("store")
    await tab.get_by_label("Repository on GitHub").fill("acme/nothing")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_text("Couldn't access that repo: acme/nothing")).to_be_visible()


async def waits_for_what_arrives(tab: Page, server: Server) -> None:
    """The page that a new pipeline leads to, which nobody loads again."""
    await expect(tab.get_by_role("heading", name="Open a pull request now")).to_be_visible()
    await expect(tab.get_by_text("Nothing yet. It takes some seconds.")).to_be_visible()
    await expect(tab.get_by_text("Listening.")).to_be_visible()
    await server.inbox.put(
        guid="30000000-0000-4000-8000-000000000000", event="pull_request", action="opened", repository_id=42,
        installation_id=None, body=b"{}", received_at=server.db.now(),
    )  # fmt: skip
    await expect(tab.locator("#deliveries")).to_contain_text("pull_request.opened received acme/shop")


async def arrived(server: Server) -> None:
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    await somebody(server, "a-colleague-with-a-rather-long-address")
    grant = {"user": "a-colleague-with-a-rather-long-address@example.com", "permissions": ["view", "deploy"]}
    await server.call("POST", "/apps/shop/collaborators", grant, expect=201)
    app = (await server.get("/apps/shop-staging"))["id"]
    ended = {
        PUSHED: ("processed", f"rang auto_deploy {app}, review_app {app}/pr:7"),
        BROKEN: ("failed", f"KeyError: {NASTY}"),
    }
    for guid, (state, verdict) in ended.items():
        body = b'{"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}, "zen": "' + b"x" * 300 + b'"}'
        await server.inbox.put(
            guid=guid, event="push", action="", repository_id=42, installation_id=None, body=body,
            received_at=server.db.now(),
        )  # fmt: skip
        now = server.db.now()
        await server.db.write(
            lambda conn, guid=guid, state=state, verdict=verdict, now=now: deliveries.finish(
                conn, guid=guid, state=state, verdict=verdict, now=now
            )
        )
