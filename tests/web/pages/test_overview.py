"""A pipeline's overview, what it says of each app, and promoting from it."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from service.domain.errors import Refused
from service.domain.facts import CiSignals, CommitsApart, CommitStatus, FactKey, FactKind, ListedCommit, commits_between
from service.domain.model import RepositoryId, ReviewState, Stage
from service.store import apps, deploy_locks, facts, pipelines, reviews
from service.store.tables import facts as fact_rows
from tests.domain.things import pull_request
from tests.store.making import NOW
from tests.waiting import until
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.test_home import deployed
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import HEADS, SHOP, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

A, B = HEADS["main"], HEADS["fix/cart"]
NASTY = '<script>alert("1")</script> ' + "עברית 🚀 " + "x" * 270


async def learn(server: Server, key: FactKey, value: Any) -> None:
    def write(conn: Any) -> None:
        asked = facts.next_asked(conn)
        facts.learn(conn, key, asked=asked, value=value, error="", etag="", now=server.db.now())

    await server.db.write(write)


async def overview(server: Server, browser: Browser, pipeline: str, part: str = "") -> Page:
    return await browser.get(f"{server.url}/dashboard/pipelines/{pipeline}{part}")


def column(page: Page, title: str) -> str:
    """What a column says, as text."""
    found = re.search(rf"<h2[^>]*>{title}.*?</section>", page.text, re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found[0])))


def digest(page: Page) -> str:
    return re.findall(r'data-digest="(\w+)"', page.text)[0]


async def test_cards_say_what_runs_where(server: Server, browser: Browser, clock: Clock, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    clock.pass_by(hours=3)
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline)
    assert page.title == "shop"
    assert re.search(
        r'released <time datetime="2026-11-24T09:30:00\+00:00" title="2026-11-24 09:30:00 UTC">', page.text
    )
    titles = re.findall(r'<h2 id="stage-\w+">([\w ]+?)(?: <|<)', page.text)
    assert titles == ["Review apps", "Development", "Staging", "Production"]
    staging = column(page, "Staging")
    for said in ("shop-staging", "live", "aaaaaaa", "v1", "released 3 h ago", "Promote"):
        assert said in staging
    assert "nothing deployed" in column(page, "Production")
    assert "Promote" not in column(page, "Production")
    assert "None" in column(page, "Development")
    assert 'href="https://github.com/acme/shop/commit/aaaaaaa' in page.text


async def test_the_pipeline_goes_by_its_name_too(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    assert (await overview(server, browser, "shop")).title == "shop"


async def test_promoting_names_what_goes_where_and_then_how_it_fares(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    assert confirm.title == "Promote shop-staging"
    assert "<strong>shop-staging v1</strong>" in confirm.text
    assert "<strong>shop</strong>" in confirm.text
    assert "runs nothing yet" in confirm.text
    under_way = await browser.press(confirm, number=1)
    assert under_way.url == f"{server.url}/dashboard/pipelines/{pipeline}"
    assert "was promoted by admin@localhost" in under_way.text
    assert "Promote shop-staging v1 aaaaaaaa: in the queue" in column(under_way, "Production")
    await server.work()
    done = await overview(server, browser, pipeline)
    assert re.search(r'<li>shop <span class="said good">succeeded</span></li>', done.text)
    assert "live" in column(done, "Production")
    assert "same code as shop" in column(done, "Staging")


async def test_what_is_promoted_is_what_was_shown(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    await deployed(server, "shop-staging", "fix/cart")
    await browser.press(confirm, number=1)
    await server.work()
    assert "aaaaaaa" in column(await overview(server, browser, pipeline), "Production")


async def test_a_target_that_fails_says_why(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    await browser.press(await overview(server, browser, pipeline, "/promote?app=shop-staging"), number=1)
    await server.work(fail="release")
    page = await overview(server, browser, pipeline)
    assert '<span class="said bad">failed</span> <span class="why">release command exited with 1</span>' in page.text
    assert "release failed: release command exited with 1" in column(page, "Production")


async def test_the_last_promotion_is_told_of_for_a_quarter_of_an_hour(
    server: Server, browser: Browser, clock: Clock, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    await browser.press(await overview(server, browser, pipeline, "/promote?app=shop-staging"), number=1)
    clock.pass_by(minutes=20)
    assert "was promoted" in (await overview(server, browser, pipeline)).text
    await server.work()
    clock.pass_by(minutes=14)
    assert "was promoted" in (await overview(server, browser, pipeline)).text
    clock.pass_by(minutes=2)
    assert "was promoted" not in (await overview(server, browser, pipeline)).text


async def test_nothing_is_promoted_without_a_target(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    refused = await browser.press(confirm, number=1, drop=("target",))
    assert (refused.status, "Choose at least one app" in refused.text) == (422, True)
    assert await server.get(f"/pipelines/{pipeline}/pipeline-promotions") == []


WHY_NOT = {
    "an app that runs nothing": ("shop-staging", "it has no release yet"),
    "an app of the last stage": ("shop", "Cannot promote shop from 'production' stage"),
}


@pytest.mark.parametrize(("app", "said"), WHY_NOT.values(), ids=WHY_NOT)
async def test_what_cannot_be_promoted_says_why(
    server: Server, browser: Browser, pipeline: str, app: str, said: str
) -> None:
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline, f"/promote?app={app}")
    assert said in html.unescape(page.text)
    assert 'name="target"' not in page.text
    assert "Promote" not in column(await overview(server, browser, pipeline), "Staging")


async def test_a_lock_is_shown_on_its_app_and_keeps_it_from_being_chosen(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale until <Monday>"}, expect=201)
    await sign_in(server, browser)
    assert "locked by admin@localhost: sale until <Monday>" in column(
        await overview(server, browser, pipeline), "Production"
    )
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    assert re.search(r'name="target" value="[^"]+" disabled', confirm.text)
    assert "sale until &lt;Monday&gt;" in confirm.text
    assert "<button>Promote" not in confirm.text


async def second(server: Server, pipeline: str, name: str = "shop-eu") -> None:
    """Another app in production."""
    await server.app(name)
    body = {"app": name, "pipeline": pipeline, "stage": "production"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)


async def test_a_promotion_to_several_is_all_or_nothing_if_one_says_so(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    assert "All or nothing" not in (await overview(server, browser, pipeline, "/promote?app=shop-staging")).text
    await second(server, pipeline)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    assert dict(confirm.form("/promotions")[1]).get("all_or_nothing") is None
    targets = [value for name, value in confirm.form("/promotions")[1] if name == "target"]
    for extra in ({}, {"all_or_nothing": "on"}):
        await browser.press(confirm, number=1, **extra)
    made = await server.get(f"/pipelines/{pipeline}/pipeline-promotions")
    assert sorted(each["all_or_nothing"] for each in made) == [False, True]
    assert len(targets) == 2


async def test_a_lock_is_gone_past_by_a_page_that_shows_its_reason_and_that_is_on_record(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale until <Monday>"}, expect=201)
    await sign_in(server, browser)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    (path,) = re.findall(r'href="([^"]+past=locks)"', confirm.text)
    past = await browser.get(server.url + html.unescape(path))
    assert (
        "shop is locked by admin@localhost: sale until &lt;Monday&gt;. That you go past it is put on record."
        in past.text
    )
    assert "v1 past the lock</button>" in past.text
    done = await browser.press(past, number=1)
    assert "Promote shop-staging v1 aaaaaaaa: in the queue" in column(done, "Production")
    entries = await server.get("/activity?app=shop")
    (entry,) = [each for each in entries if each["action"] == "deploy lock overridden"]
    assert (entry["actor"], entry["data"]["lock"]) == (
        "user:admin@localhost",
        "locked by admin@localhost: sale until <Monday>",
    )


async def test_nobody_goes_past_a_lock_that_they_have_not_seen(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await second(server, pipeline)
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale"}, expect=201)
    await sign_in(server, browser)
    past = await overview(server, browser, pipeline, "/promote?app=shop-staging&past=locks")
    await server.call("POST", "/apps/shop-eu/deploy-locks", {"reason": "audit"}, expect=201)
    refused = await browser.press(past, number=1)
    assert (refused.status, "shop-eu is locked by admin@localhost: audit" in refused.text) == (409, True)
    assert "Nothing was done: look at it once more." in refused.text
    assert await server.get(f"/pipelines/{pipeline}/pipeline-promotions") == []
    done = await browser.press(refused, number=1)
    assert "Promote shop-staging v1 aaaaaaaa: in the queue" in column(done, "Production")


@pytest.mark.parametrize(
    "terms", [{"reason": "the database is broken"}, {"reason": "sale", "expires_at": "2026-12-01T00:00:00Z"}]
)
async def test_nobody_goes_past_a_lock_that_says_something_else_by_now(
    server: Server, browser: Browser, pipeline: str, terms: dict[str, str]
) -> None:
    """Whoever locked it may lock it again for another reason, and it is the same lock still."""
    await deployed(server, "shop-staging")
    former, _ = await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale"}, expect=201)
    await sign_in(server, browser)
    past = await overview(server, browser, pipeline, "/promote?app=shop-staging&past=locks")
    lock, _ = await server.call("POST", "/apps/shop/deploy-locks", terms, expect=201)
    assert lock["id"] == former["id"]
    refused = await browser.press(past, number=1)
    until = " until 2026-12-01 00:00 UTC" if "expires_at" in terms else ""
    said = f"shop is locked by admin@localhost{until}: {terms['reason']}. That you go past it is put on record."
    assert (refused.status, said in refused.text) == (409, True)
    assert await server.get(f"/pipelines/{pipeline}/pipeline-promotions") == []
    await browser.press(refused, number=1)
    assert len(await server.get(f"/pipelines/{pipeline}/pipeline-promotions")) == 1


async def test_a_lock_that_came_after_the_page_is_asked_about_and_not_refused_for_good(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale"}, expect=201)
    refused = await browser.press(confirm, number=1)
    assert (refused.status, ">locked by admin@localhost: sale<" in refused.text) == (409, True)
    assert 'name="past"' not in refused.text
    assert "past=locks" in refused.text


async def test_what_was_chosen_is_chosen_still_where_a_lock_came_after_the_page(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    for name in ("shop-eu", "shop-us"):
        await second(server, pipeline, name)
    ids = {each["name"]: each["id"] for each in await server.get("/apps")}
    named = {each: name for name, each in ids.items()}

    def ticked(page: Page) -> tuple[list[str], bool]:
        sent = page.form("/promotions")[1]
        return [named[value] for name, value in sent if name == "target"], ("all_or_nothing", "on") in sent

    await sign_in(server, browser)
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    assert ticked(confirm) == (["shop", "shop-eu", "shop-us"], False)
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale"}, expect=201)
    await deployed(server, "shop-staging", "fix/cart")
    action, sent = confirm.form("/promotions")
    chosen = [pair for pair in sent if pair != ("target", ids["shop-us"])] + [("all_or_nothing", "on")]
    async with browser.session.post(server.url + action, data=chosen) as answer:
        refused = Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)
    another = "shop-staging runs v2 by now, which is not the release that you chose"
    assert (refused.status, ticked(refused), another in refused.text) == (409, (["shop-eu"], True), True)
    (path,) = re.findall(r'href="([^"]+past=locks[^"]*)"', refused.text)
    past = await browser.get(server.url + html.unescape(path))
    assert (ticked(past), another in past.text) == ((["shop", "shop-eu"], True), True)
    assert another not in confirm.text


async def test_a_lock_that_comes_in_the_last_moment_is_not_gone_past(server: Server, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    (source,) = [it["id"] for it in await server.get("/apps") if it["name"] == "shop-staging"]
    lock, _ = await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale"}, expect=201)
    last, _ = await server.call("POST", f"/pipelines/{pipeline}/deploy-locks", {"reason": "audit"}, expect=201)

    listed = await server.db.read(deploy_locks.listing)
    of_app, of_pipeline = (next(each.as_read for each in listed if each.id == it["id"]) for it in (lock, last))

    async def promote(*read: str) -> None:
        await server.enactor.promote(
            pipeline_id=pipeline, source_app_id=source, release_id=None, target_app_ids=None, override_lock=True,
            read_locks=read, actor="user:admin@localhost",
        )  # fmt: skip

    with pytest.raises(Refused, match="shop is locked by admin@localhost: audit"):
        await promote(of_app)
    await promote(of_app, of_pipeline)


async def test_whoever_may_not_promote_to_an_app_is_not_led_past_its_lock(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await server.call("POST", "/apps/shop/deploy-locks", {"reason": "sale"}, expect=201)
    token = await somebody(server, "ada")
    for app in ("shop", "shop-staging"):
        body = {"user": "ada@example.com", "permissions": ["deploy"]}
        await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    for query in ("", "&past=locks"):
        page = await overview(server, browser, pipeline, f"/promote?app=shop-staging{query}")
        assert "past=locks" not in page.text
        assert 'name="past"' not in page.text
        assert "<button>Promote" not in page.text


async def test_a_lock_of_the_pipeline_is_shown_above_all(server: Server, browser: Browser, pipeline: str) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/deploy-locks", {"reason": "audit"}, expect=201)
    await sign_in(server, browser)
    assert "The pipeline is locked by admin@localhost: audit" in (await overview(server, browser, pipeline)).text


async def test_what_ci_says_of_a_commit_is_on_its_card(
    server: Server, browser: Browser, clock: Clock, pipeline: str
) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    assert "CI" not in column(await overview(server, browser, pipeline), "Staging")
    for state, said in (
        ("pending", "CI waiting for: build"),
        ("failure", "CI failed: build"),
        ("success", "CI passed"),
    ):
        signals = CiSignals(
            sha=A, statuses=(CommitStatus(context="build", state=state),), runs=(), suites=(), first_seen=NOW
        )
        await learn(server, FactKey(FactKind.CI, SHOP.id, A), signals)
        clock.pass_by(minutes=1)
        assert said in column(await overview(server, browser, pipeline), "Staging")


async def test_how_far_stages_are_apart_is_looked_up_and_said(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await deployed(server, "shop", "fix/cart")
    await sign_in(server, browser)
    assert "ahead" not in column(await overview(server, browser, pipeline), "Staging")
    wanted = await server.db.read(lambda conn: conn.execute(fact_rows.select()).mappings().all())
    assert [row["key"] for row in wanted if row["wanted_at"] and row["kind"] == "commits"] == [f"{B}...{A}"]
    newest = ListedCommit(sha=A, author="Octavia", at=NOW, subject=NASTY[:100])
    apart = CommitsApart(ahead=2, behind=0, ahead_commits=(newest,), behind_commits=(), related=True)
    await learn(server, commits_between(RepositoryId(42), B, A), apart)
    staging = column(await overview(server, browser, pipeline), "Staging")
    assert "2 commits ahead of shop" in staging
    assert f"{NASTY[:100]} aaaaaaa · Octavia · just now" in staging
    confirm = await overview(server, browser, pipeline, "/promote?app=shop-staging")
    assert "2 new commits for shop" in confirm.text
    assert "<script>alert" not in confirm.text


async def test_review_apps_show_their_pull_request_as_text(server: Server, browser: Browser, pipeline: str) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await server.call("POST", "/review-apps", {"pipeline": pipeline, "pr_number": 7}, expect=201)
    pull = pull_request(number=7, title=NASTY, author="octavia", head_sha=B, draft=True, labels=("needs review",))
    await learn(server, FactKey(FactKind.PULL_REQUEST, SHOP.id, "7"), pull)
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline)
    review = column(page, "Review apps")
    assert "#7 waiting" in review
    assert "draft needs review" in review
    assert "a person asked for it" in review
    assert NASTY in review
    assert "bbbbbbb · octavia" in review
    assert "<script>alert" not in page.text
    assert 'href="https://github.com/acme/shop/pull/7"' in page.text


async def test_of_hundreds_of_review_apps_those_deployed_last_are_shown_and_the_rest_by_a_link(
    server: Server, browser: Browser, pipeline: str
) -> None:
    title = "A title as long as those are that people give their pull requests on a good day"

    def write(conn: Any) -> None:
        for number in range(150):
            app = apps.create(
                conn, name=f"shop-pr-{number}", space_id=apps.spaces(conn)[0].id, owner_id=None, owner_type=None,
                is_review=True, now=NOW, pipeline_id=pipeline,
            )  # fmt: skip
            pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline, stage=Stage.REVIEW, now=NOW)
            review = reviews.create(
                conn, pipeline_id=pipeline, repository_id=SHOP.id, ref=f"pr:{number}", generation=1, app_id=app.id,
                state=ReviewState.LIVE, reason="", sha=B, branch="topic", by_person=False, now=NOW,
            )  # fmt: skip
            at = NOW + timedelta(minutes=number)
            reviews.update(conn, review=review, now=NOW, deployed_at=at)
            key = FactKey(FactKind.PULL_REQUEST, SHOP.id, str(number))
            pull = pull_request(number=number, title=title, author="a-name-of-some-length", labels=("needs review",))
            facts.learn(conn, key, asked=facts.next_asked(conn), value=pull, error="", etag="", now=NOW)

    await server.db.write(write)
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline)
    assert len(page.text.encode()) < 150_000
    assert {int(each) for each in re.findall(r">#(\d+)<", page.text)} == set(range(50, 150))
    assert "Review apps 150" in column(page, "Review apps")
    (rest,) = re.findall(r'<a id="all-reviews" href="([^"]+)">Show 50 more</a>', page.text)
    everything = await browser.get(server.url + rest)
    assert {int(each) for each in re.findall(r">#(\d+)<", everything.text)} == set(range(150))
    assert f'data-part="/dashboard/pipelines/{pipeline}/columns?reviews=all"' in everything.text
    part = await overview(server, browser, pipeline, "/columns?reviews=all")
    assert digest(part) == digest(everything) == digest(page)


async def test_of_apps_that_one_does_not_see_nothing_is_said(server: Server, browser: Browser, pipeline: str) -> None:
    await server.call("PATCH", "/apps/shop", {"name": "clandestine"}, expect=200)
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    await browser.press(await overview(server, browser, pipeline, "/promote?app=shop-staging"), number=1)
    await server.work()
    assert "same code as clandestine" in (await overview(server, browser, pipeline)).text
    token = await somebody(server, "ada")
    body = {"user": "ada@example.com", "permissions": ["deploy"]}
    await server.call("POST", "/apps/shop-staging/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    page = await overview(server, browser, pipeline)
    assert "shop-staging" in column(page, "Staging")
    assert "None" in column(page, "Production")
    assert "Promote" not in column(page, "Staging")
    for part in ("", "/columns", "/promote?app=shop-staging"):
        assert "clandestine" not in (await overview(server, browser, pipeline, part)).text, part


# Live


@asynccontextmanager
async def told(server: Server, browser: Browser, pipeline: str) -> AsyncIterator[list[str]]:
    """What an open page is told, as it is."""
    heard: list[str] = []

    async def listen() -> None:
        async with browser.session.get(f"{server.url}/dashboard/pipelines/{pipeline}/events") as stream:
            async for line in stream.content:
                heard.extend([line[6:].decode().strip()] if line.startswith(b"data: ") else [])
        heard.append("the end")

    listening = asyncio.create_task(listen())
    await until(lambda: heard)
    yield heard
    listening.cancel()


async def test_an_open_page_is_told_that_it_is_to_look_again(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    before = await overview(server, browser, pipeline)
    async with told(server, browser, pipeline) as heard:
        assert heard == [digest(before)]
        await server.call("PATCH", "/apps/shop", {"maintenance": True}, expect=200)
        await deployed(server, "shop-staging")
        page = await overview(server, browser, pipeline)
        await until(lambda: heard[-1] == digest(page), what="news")
        assert "v1" in column(await overview(server, browser, pipeline, "/columns"), "Staging")
    async with told(server, browser, pipeline) as heard:  # whoever comes back is told of what is there now
        assert heard == [digest(page)] != [digest(before)]


async def test_what_is_shown_to_nobody_is_no_news(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    before = await overview(server, browser, pipeline)
    await server.call("PATCH", "/apps/shop/config-vars", {"A": "1"}, expect=200)
    while_under_way = await overview(server, browser, pipeline)
    assert "config vars: in the queue" in column(while_under_way, "Production")
    await server.call("POST", "/apps", {"name": "elsewhere"}, expect=201)
    assert digest(await overview(server, browser, pipeline)) == digest(while_under_way) != digest(before)


async def test_a_page_that_one_may_not_see_any_more_is_told_nothing(
    server: Server, browser: Browser, pipeline: str
) -> None:
    token = await somebody(server, "ada")
    body = {"user": "ada@example.com", "permissions": ["view"]}
    await server.call("POST", "/apps/shop/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    async with told(server, browser, pipeline) as heard:
        await server.call("DELETE", "/apps/shop/collaborators/ada@example.com", expect=200)
        await server.call("POST", "/apps/shop/deploy-locks", {"reason": "audit"}, expect=201)
        await until(lambda: heard[-1] == "the end", what="the stream's end")
        assert len(heard) == 2
    assert (await overview(server, browser, pipeline)).status == 404
