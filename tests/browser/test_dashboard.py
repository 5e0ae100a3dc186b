"""The dashboard by clicking: in by the link that the command line prints, a promotion, and out again."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from service.domain.facts import CiSignals, CommitsApart, CommitStatus, FactKey, FactKind, ListedCommit, commits_between
from service.store import facts
from service.store.database import Database
from service.store.secrets import Vault
from tests.browser.looking import axe, for_everybody, look
from tests.domain.things import pull_request
from tests.waiting import until
from tests.walk.stage import Stage, staged
from tests.web.pages.test_overview import learn
from tests.web.pages.visiting import link, somebody
from tests.web.serving import HEADS, SHOP, Server, serving

NASTY = "<script>document.title = 'caught'</script> " + "a title that is long " * 13


async def test_by_clicking_from_the_printed_link_to_a_promotion_and_out(
    tab: Page, runtimes: Path, octokit: Path
) -> None:
    async with staged(runtimes) as stage:
        pipeline = await stage.pipeline("shop")
        await stage.cli("deploy", "master", "-a", pipeline.staging)
        await tab.goto((await stage.cli("dashboard")).strip())
        await tab.get_by_role("button", name="Sign in").click()
        await expect(tab.get_by_role("heading", name="Apps and pipelines")).to_be_visible()
        await tab.get_by_text("Apps", exact=True).click()
        await expect(tab.get_by_role("link", name=pipeline.staging)).to_be_visible()
        await tab.get_by_role("link", name=pipeline.name, exact=True).click()
        await expect(tab.get_by_text("Live", exact=True)).to_be_visible()

        staging, production, reviews = (
            tab.get_by_role("region", name=re.compile(f"^{name}")) for name in ("Staging", "Production", "Review apps")
        )
        await expect(staging.get_by_text("live", exact=True)).to_be_visible()
        await expect(production).to_contain_text("nothing deployed")
        await staging.get_by_role("link", name=f"Promote {pipeline.staging}").click()
        await expect(tab.get_by_role("heading", name=f"Promote {pipeline.staging}")).to_be_visible()
        await tab.get_by_role("button", name="Promote").click()
        # From here on nothing is clicked and nothing loaded: the page changes by itself.
        await expect(tab.get_by_text("was promoted by admin@localhost")).to_be_visible()
        await expect(production.get_by_text("live", exact=True)).to_be_visible()
        await expect(tab.get_by_label("Last promotion")).to_contain_text(f"{pipeline.production} succeeded")
        await expect(staging).to_contain_text(f"same code as {pipeline.production}")

        await stage.github.push(pipeline.repo, "topic", {"note.txt": "hi"})
        pull = await stage.github.open_pull(pipeline.repo, "topic", title=NASTY)
        await expect(reviews).to_contain_text("<script>document.title = 'caught'</script>")
        await expect(reviews.get_by_text("live", exact=True)).to_be_visible()
        await expect(reviews.get_by_role("heading", name=f"#{pull.number}")).to_be_visible()
        assert await tab.title() == f"{pipeline.name} · Towpath"

        await stage.kill("web")
        await until(lambda: answers(stage), what="the web process answers")
        await stage.api("PATCH", f"/apps/{pipeline.production}", {"maintenance": True})
        await expect(production.get_by_text("maintenance", exact=True)).to_be_visible()
        await expect(tab.get_by_text("Live", exact=True)).to_be_visible()

        await tab.get_by_role("button", name="Sign out").click()
        await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        await tab.goto(f"http://localhost:{stage.port}/dashboard/pipelines/{pipeline.id}")
        await expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


async def answers(stage: Stage) -> bool:
    async with stage.http.get(f"http://127.0.0.1:{stage.port}/readyz") as answer:
        return answer.status == 200


async def test_pages_are_for_everybody_and_fit_a_phone(
    chrome: Browser, tab: Page, sqlite_database: Database, tmp_path: Path
) -> None:
    source, vault = axe(), Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path) as server:

        async def shown(path: str, name: str) -> None:
            await tab.goto(server.url + path)
            await for_everybody(tab, source, name)
            await look(tab, name)

        await shown("/dashboard/sign-in", "dashboard-sign-in")
        await shown("/dashboard/sign-in/nonsense", "dashboard-link-over")
        await tab.goto(await link(server))
        await for_everybody(tab, source, "link")
        await look(tab, "dashboard-link")
        await tab.get_by_role("button", name="Sign in").click()
        await shown("/dashboard", "dashboard-empty")
        pipeline = await furnished(server)
        await tab.goto(f"{server.url}/dashboard")
        await tab.locator(".entries summary").first.click()
        await for_everybody(tab, source, "home")
        await look(tab, "dashboard-home")
        await shown(f"/dashboard/pipelines/{pipeline}", "dashboard-overview")
        await shown(f"/dashboard/pipelines/{pipeline}/promote?app=shop-staging", "dashboard-promote")
        past = f"/dashboard/pipelines/{pipeline}/promote?app=shop-staging&past=locks"
        await tab.goto(server.url + past)
        await look(tab, "dashboard-promote-past-locks")
        await shown(f"/dashboard/pipelines/{pipeline}/add?stage=production", "dashboard-add-app")
        await tab.goto(f"{server.url}/dashboard/apps/shop-staging/hold")
        await look(tab, "dashboard-hold")
        await shown("/dashboard/pipelines/nowhere", "dashboard-not-here")
        await keyboard(tab, f"{server.url}/dashboard/pipelines/{pipeline}")
        await menu(tab, source, f"{server.url}/dashboard/pipelines/{pipeline}")
        another = await chrome.new_page()
        await together(server, tab, another, pipeline)


async def keyboard(tab: Page, url: str) -> None:
    """All of it is reached without a mouse, the content first if one wants."""
    await tab.goto(url)
    await tab.keyboard.press("Tab")
    await expect(tab.get_by_role("link", name="Skip to content")).to_be_focused()
    promote = tab.get_by_role("link", name="Promote shop-staging")
    for _ in range(60):
        await tab.keyboard.press("Tab")
        if await promote.evaluate("it => it === document.activeElement"):
            break
    await expect(promote).to_be_focused()
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("heading", name="Promote shop-staging")).to_be_visible()


async def menu(tab: Page, source: str, url: str) -> None:
    """A card's menu without a mouse: it is open while one is in it, also when the page changes, and leads on."""
    await tab.goto(url)
    await expect(tab.get_by_text("Live", exact=True)).to_be_visible()
    manage, restart = tab.locator("summary", has_text="Manage shop-staging"), tab.get_by_role("link", name="Restart")
    await manage.focus()
    await tab.keyboard.press("Enter")
    await expect(restart).to_be_visible()
    await for_everybody(tab, source, "menu")
    await look(tab, "dashboard-menu")
    await tab.keyboard.press("Escape")
    await expect(restart).to_be_hidden()
    await expect(manage).to_be_focused()
    await tab.keyboard.press("Enter")
    await tab.get_by_role("link", name="Move to another stage").focus()
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_role("heading", name="Move shop-staging to another stage")).to_be_visible()
    await look(tab, "dashboard-move")
    await tab.goto(url)
    await tab.locator("summary", has_text=re.compile("-pr-9$")).press("Enter")
    await expect(tab.get_by_role("link", name="Rebuild")).to_be_visible()
    await for_everybody(tab, source, "menu of a review app")
    await look(tab, "dashboard-menu-review")
    await tab.get_by_role("link", name="Destroy", exact=True).press("Enter")
    await expect(tab.get_by_role("button", name=re.compile("^Destroy .*-pr-9$"))).to_be_visible()
    await for_everybody(tab, source, "destroy a review app")
    await look(tab, "dashboard-destroy-review")


async def together(server: Server, tab: Page, another: Page, pipeline: str) -> None:
    """Two people at one overview: what either does the other sees, and loses nothing that is open."""
    token = await somebody(server, "ada")
    for app in ("shop-staging", "shop"):
        body = {"user": "ada@example.com", "permissions": ["operate", "deploy"]}
        await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    await another.goto(await link(server, token))
    await another.get_by_role("button", name="Sign in").click()
    pages = tab, another
    for each in pages:
        await each.goto(f"{server.url}/dashboard/pipelines/{pipeline}")
        await expect(each.get_by_text("Live", exact=True)).to_be_visible()
    # It is open while the other one acts, and stays so.
    await another.locator("summary", has_text="Manage shop-staging").click()
    await tab.locator("summary", has_text=re.compile("Manage shop$")).click()
    await tab.get_by_role("link", name="Switch maintenance on").click()
    await tab.get_by_role("button", name="Switch maintenance of shop on").click()
    for each in pages:
        production = each.get_by_role("region", name=re.compile("^Production"))
        await expect(production.get_by_text("maintenance", exact=True)).to_be_visible()
    await another.get_by_role("link", name="Restart").click()
    await another.get_by_role("button", name="Restart shop-staging").click()
    for each in pages:
        await expect(each.get_by_role("region", name=re.compile("^Staging"))).to_contain_text("restart: in the queue")


async def furnished(server: Server) -> str:
    """A pipeline in which much is going on; returns its id."""
    made = await server.pipeline(development="shop-dev", staging="shop-staging", production="shop")
    pipeline, now = made["id"], server.db.now()
    await server.app("shop-eu-with-a-long-name-here")
    body = {"app": "shop-eu-with-a-long-name-here", "pipeline": pipeline, "stage": "production"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)
    await server.app("billing")
    await server.pipeline("empty", connected=False)
    for app, branch in (("shop", "fix/cart"), ("shop-staging", "main")):
        await server.call("POST", f"/apps/{app}/builds", {"source_blob": {"version": branch}}, expect=201)
        await server.work()
    await server.call("POST", "/apps/shop-dev/builds", {"source_blob": {"version": "main"}}, expect=201)
    await server.work(fail="build")
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await learn(server, FactKey(FactKind.PULL_REQUEST, SHOP.id, "9"), pull_request(number=9))
    for number in (7, 9):
        await server.call("POST", "/review-apps", {"pipeline": pipeline, "pr_number": number}, expect=201)
    await server.work()
    promotion = {"pipeline": pipeline, "source": {"app": "shop-staging"}, "targets": [{"app": body["app"]}]}
    await server.call("POST", "/pipeline-promotions", promotion, expect=201)
    await server.work(fail="release")
    await server.call("PATCH", "/apps/shop/config-vars", {"A": "1"}, expect=200)
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "the sale goes on until Monday"}, expect=201)

    main, cart = HEADS["main"], HEADS["fix/cart"]
    commits = tuple(
        ListedCommit(sha=main if not n else f"{n}" * 40, author="Octavia Grace", at=now - timedelta(hours=5 * n), subject=text)  # type: ignore[arg-type]
        for n, text in enumerate(("Let guests keep their cart", "Say what a basket costs", NASTY[:90]))
    )  # fmt: skip
    statuses = (CommitStatus(context="build", state="success"), CommitStatus(context="lint", state="failure"))
    pulls = {
        "7": pull_request(number=7, title=NASTY, author="octavia", labels=("needs review", "cart")),
        "9": pull_request(number=9, title="עגלת קניות 🛒", author="a-name-that-is-rather-long", draft=True),
    }

    def write(conn: Any) -> None:
        def known(key: FactKey, value: Any) -> None:
            asked = facts.next_asked(conn)
            facts.learn(conn, key, asked=asked, value=value, error="", etag="", now=now)

        apart = CommitsApart(ahead=3, behind=0, ahead_commits=commits, behind_commits=(), related=True)
        known(commits_between(SHOP.id, cart, main), apart)
        signals = CiSignals(sha=main, statuses=statuses[:1], runs=(), suites=(), first_seen=now - timedelta(hours=1))
        known(FactKey(FactKind.CI, SHOP.id, main), signals)
        signals = CiSignals(sha=cart, statuses=statuses, runs=(), suites=(), first_seen=now - timedelta(hours=1))
        known(FactKey(FactKind.CI, SHOP.id, cart), signals)
        for number, pull in pulls.items():
            known(FactKey(FactKind.PULL_REQUEST, SHOP.id, number), pull)

    await server.db.write(write)
    return str(pipeline)
