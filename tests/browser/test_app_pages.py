"""The pages of one app in a real browser: for everybody, on a phone, and a log that goes on by itself."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from service.store.database import Database
from service.store.secrets import Vault
from tests.browser.looking import axe, for_everybody, look
from tests.web.pages.test_app_logs import Worker
from tests.web.pages.visiting import link
from tests.web.serving import Server, serving

PAGES = {
    "": "activity",
    "/releases/v1/rollback": "rollback",
    "/logs": "logs",
    "/resources": "resources",
    "/deploy": "deploy",
    "/settings/values?of=DATABASE_URL": "settings",
}

ALIKE_NOWHERE = {"activity", "resources", "settings"}
"""Pages with what no other page has; to look at each takes a second."""


async def test_pages_of_an_app_are_for_everybody_and_a_log_goes_on(
    tab: Page, sqlite_database: Database, tmp_path: Path
) -> None:
    source, vault = axe(), Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path) as server:
        await furnished(server)
        build = (await server.call("POST", "/apps/shop/builds", {"source_blob": {"version": "main"}}, expect=201))[0]
        worker = Worker(server, str(build["id"]))
        await worker.begin()
        await worker.say("-----> <b>Python</b> app\n" + "Collecting aiohttp\n" * 60)
        await tab.goto(await link(server))
        await tab.get_by_role("button", name="Sign in").click()
        await tab.get_by_role("link", name="shop-with-a-name-as-long-as-it").click()
        await expect(tab.get_by_role("heading", name="Nothing yet")).to_be_visible()
        await tab.goto(f"{server.url}/dashboard/apps/shop")
        for path, name in PAGES.items():
            await tab.goto(f"{server.url}/dashboard/apps/shop{path}")
            if name == "logs":
                await expect(tab.get_by_text("line 3 of")).to_be_visible()
            if name in ALIKE_NOWHERE:
                await for_everybody(tab, source, name)
            await look(tab, f"app-{name}")
        await tab.goto(f"{server.url}/dashboard/apps/shop")
        await tab.get_by_role("link", name="Build log of Deploy of main").first.click()
        await live(tab, worker, source)


async def live(tab: Page, worker: Worker, source: str) -> None:
    log = tab.get_by_role("region", name="Output")
    await expect(log).to_contain_text("-----> <b>Python</b> app")
    await expect(tab.get_by_text("Live", exact=True)).to_be_visible()
    await worker.say("\x1b[32mone more line\x1b[0m\n")
    await expect(log).to_contain_text("aiohttp\none more line")
    # Who is at the end stays there.
    assert await log.evaluate("it => it.scrollHeight - it.scrollTop - it.clientHeight < 2")
    await for_everybody(tab, source, "build log")
    await look(tab, "app-build-log")
    await worker.fail()
    await expect(tab.get_by_text("It is over")).to_be_visible()
    await expect(tab.locator("#outcome")).to_contain_text("failed")
    assert (await log.inner_text()).count("one more line") == 1


async def furnished(server: Server) -> None:
    """An app to which much was done."""
    await server.pipeline("shop", staging="shop")
    await server.app("shop-with-a-name-as-long-as-it")

    async def deployed(**how: Any) -> None:
        await server.call("POST", "/apps/shop/builds", {"source_blob": {"version": "fix/cart"}}, expect=201)
        await server.work(**how)

    await deployed(release_phase=True)
    values = {"DATABASE_URL": "postgres://shop:secret@db.example/shop", "A_RATHER_LONG_NAME_OF_A_CONFIG_VAR" * 2: "1"}
    await server.call("PATCH", "/apps/shop/config-vars", values, expect=200)
    await server.work()
    await deployed(fail="build")
    await server.call("PATCH", "/apps/shop/formation", {"updates": [{"type": "worker", "quantity": 2}]}, expect=200)
    await server.work()
    slug = (await server.get("/apps/shop/releases/1"))["slug"]["id"]
    again = {"slug": slug, "description": "<script>Once more</script> " + "with a reason that goes on " * 6}
    await server.call("POST", "/apps/shop/releases", again, expect=201)
    await server.work(fail="release")
