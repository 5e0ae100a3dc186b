"""The menu of an app's card, and adding apps: what one may do is there, is asked for once more, done, and on record."""

import html
import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import AppState, RequestState, ReviewState
from service.store import apps, requests, reviews
from service.store.tables import requests as request_rows
from service.store.tables import review_apps as review_rows
from tests.domain.things import pull_request
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.test_home import deployed
from tests.web.pages.test_overview import column, learn, overview
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import HEADS, SHOP, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


def menu(page: Page, app: str) -> dict[str, str]:
    """What the menu of an app's card offers: where each leads, by its text."""
    found = re.search(rf'<summary[^>]*>Manage<span class="unseen"> {app}</span>.*?</details>', page.text, re.DOTALL)
    return (
        {text: html.unescape(href) for href, text in re.findall(r'href="([^"]+)">([^<]+)<', found[0])} if found else {}
    )


def text(page: Page) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))


def buttons(page: Page) -> list[str]:
    return [html.unescape(each) for each in re.findall(r"<button[^>]*>([^<]+)</button>", page.text)]


async def acted(server: Server, app: str) -> list[tuple[str, str]]:
    """Who did what to an app, the newest first."""
    entries: list[Any] = await server.get(f"/activity?app={app}", Range="id ..; order=desc")
    return [(each["action"], each["actor"]) for each in entries]


async def chosen(server: Server, browser: Browser, pipeline: str, app: str, what: str) -> Page:
    """The page that an entry of the menu leads to."""
    return await browser.get(server.url + menu(await overview(server, browser, pipeline), app)[what])


async def granted(
    server: Server, browser: Browser, *permissions: str, apps: tuple[str, ...] = ("shop-staging",)
) -> str:
    """Sign somebody in who was let in to apps for so much; returns their token."""
    token = await somebody(server, "ada")
    for app in apps:
        body = {"user": "ada@example.com", "permissions": list(permissions)}
        await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    return token


async def test_an_owner_is_offered_all_of_it(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline)
    assert list(menu(page, "shop-staging")) == [
        "Logs", "Restart", "Roll back", "Hold automatic deploys", "Switch maintenance on", "Move to another stage",
        "Remove from the pipeline",
    ]  # fmt: skip
    assert list(menu(page, "shop")) == ["Switch maintenance on", "Move to another stage", "Remove from the pipeline"]
    assert menu(page, "shop-staging")["Roll back"] == "/dashboard/apps/shop-staging"


OFFERED = {
    "to look": (("view",), []),
    "to deploy": (("deploy",), ["Logs", "Roll back", "Hold automatic deploys"]),
    "to operate": (("operate",), ["Logs", "Restart", "Roll back", "Switch maintenance on"]),
    "to manage": (("manage",), ["Move to another stage", "Remove from the pipeline"]),
}


@pytest.mark.parametrize(("permissions", "offered"), OFFERED.values(), ids=OFFERED)
async def test_whoever_may_only_so_much_is_offered_no_more(
    server: Server, browser: Browser, pipeline: str, permissions: tuple[str, ...], offered: list[str]
) -> None:
    await deployed(server, "shop-staging")
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    await granted(server, browser, *permissions)
    page = await overview(server, browser, pipeline)
    assert list(menu(page, "shop-staging")) == offered
    assert "+ Add app" not in page.text


# Review apps


async def begun(server: Server, pipeline: str) -> str:
    """The name of a review app that waits for its first build."""
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await learn(server, FactKey(FactKind.PULL_REQUEST, SHOP.id, "7"), pull_request(number=7))
    made, _ = await server.call("POST", "/review-apps", {"pipeline": pipeline, "pr_number": 7}, expect=201)
    return str(made["app"]["name"])


async def reviewed(server: Server, pipeline: str) -> str:
    """The name of a review app that is live."""
    app = await begun(server, pipeline)
    await server.work()
    return app


async def test_a_review_app_has_a_menu_of_what_can_be_done_to_it(
    server: Server, browser: Browser, pipeline: str
) -> None:
    app = await reviewed(server, pipeline)
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline)
    assert list(menu(page, app)) == ["Logs", "Pin", "Suspend", "Rebuild", "Destroy"]
    assert f'Open<span class="unseen"> {app}</span>' in page.text


async def test_a_review_app_that_is_not_there_yet_can_be_kept_or_taken_away(
    server: Server, browser: Browser, pipeline: str
) -> None:
    app = await begun(server, pipeline)
    await sign_in(server, browser)
    page = await overview(server, browser, pipeline)
    assert list(menu(page, app)) == ["Pin", "Rebuild", "Destroy"]
    where = f"{server.url}/dashboard/apps/{app}"
    refused = await browser.send(await browser.get(f"{where}/suspend"), "/suspend")
    assert (refused.status, "there is nothing to suspend" in text(refused)) == (422, True)
    page = await browser.get(f"{where}/rebuild")
    await browser.send(page, "/rebuild")
    under_way = await browser.send(page, "/rebuild")
    assert (under_way.status, "Not rebuilt: deploy of" in text(under_way)) == (422, True), text(under_way)


OF_REVIEW = {
    "to look": (("view",), []),
    "to deploy": (("deploy",), ["Logs"]),
    "to operate": (("operate",), ["Logs", "Suspend"]),
    "to manage": (("manage",), []),
}


@pytest.mark.parametrize(("permissions", "offered"), OF_REVIEW.values(), ids=OF_REVIEW)
async def test_of_a_review_app_one_is_offered_what_one_may_do_and_the_rest_is_refused(
    server: Server, browser: Browser, pipeline: str, permissions: tuple[str, ...], offered: list[str]
) -> None:
    """Whoever was let in to it alone makes, keeps and takes away none: that is up to its pipeline, here as in the API."""
    app = await reviewed(server, pipeline)
    token = await granted(server, browser, *permissions, apps=(app,))
    review = (await server.get(f"/apps/{app}/review-app"))["id"]
    page = await overview(server, browser, pipeline)
    assert list(menu(page, app)) == offered
    csrf = dict(page.form("/sign-out")[1])["csrf"]
    for act in ("pin", "suspend", "rebuild", "destroy"):
        where, allowed = f"{server.url}/dashboard/apps/{app}/{act}", act.capitalize() in offered
        assert (await browser.get(where)).status == (200 if allowed else 403), act
        if not allowed:
            async with browser.session.post(where, data={"csrf": csrf, "do": "on"}) as answer:
                assert answer.status == 403, act
    for method, path, body in (
        ("PATCH", f"/review-apps/{review}", {"pinned": True}),
        ("DELETE", f"/review-apps/{review}", None),
        ("POST", "/review-apps", {"pipeline": pipeline, "pr_number": 7}),
    ):
        await server.call(method, path, body, expect=403, Authorization=f"Bearer {token}")


async def test_a_review_app_is_pinned_and_unpinned(server: Server, browser: Browser, pipeline: str) -> None:
    app = await reviewed(server, pipeline)
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, app, "Pin")
    assert f"Pin {app}" in buttons(page)
    done = await browser.send(page, "/pin")
    assert "pinned" in column(done, "Review apps")
    again = await browser.send(page, "/pin")  # somebody else did the same meanwhile
    assert "pinned" in column(again, "Review apps")
    undone = await browser.send(await chosen(server, browser, pipeline, app, "Unpin"), "/pin")
    assert "pinned" not in column(undone, "Review apps")
    told = [each for each, _ in await acted(server, app) if "pinned" in each]
    assert told == ["review app unpinned", "review app pinned"]


async def test_a_review_app_is_suspended_once_and_is_offered_to_be_resumed(
    server: Server, browser: Browser, pipeline: str
) -> None:
    app = await reviewed(server, pipeline)
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, app, "Suspend")
    for _ in range(2):
        done = await browser.send(page, "/suspend")
        assert column(done, "Review apps").count("suspend: in the queue") == 1
    await rest(server, app)
    page = await chosen(server, browser, pipeline, app, "Resume")
    assert (buttons(page)[-1], "dynos start again" in text(page)) == (f"Resume {app}", True)
    done = await browser.send(page, "/restart")
    assert "restart: in the queue" in column(done, "Review apps")


async def rest(server: Server, name: str) -> None:
    """What a worker records once the dynos have stopped."""

    def record(conn: Any) -> None:
        app = apps.find(conn, name)
        assert app is not None
        (asked,) = requests.open_of(conn, app.id)
        now = server.db.now()
        requests.finish(conn, asked.id, state=RequestState.SUCCEEDED, outcome="", now=now)
        apps.update(conn, app=app, now=now, state=AppState.SUSPENDED)
        review = reviews.of_app(conn, app.id)
        assert review is not None
        reviews.update(conn, review=review, now=now, state=ReviewState.SUSPENDED, reason=asked.reason)

    await server.db.write(record)


async def test_a_review_app_is_built_from_nothing_again(server: Server, browser: Browser, pipeline: str) -> None:
    app = await reviewed(server, pipeline)
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, app, "Rebuild")
    assert "is built from nothing" in text(page)
    done = await browser.send(page, "/rebuild")
    assert re.search(r"deploy \w{7}: in the queue", column(done, "Review apps")), column(done, "Review apps")

    (work,) = await server.db.read(
        lambda conn: conn.scalars(select(request_rows.c.work).where(request_rows.c.state == RequestState.QUEUED)).all()
    )
    assert json.loads(work)["rebuild"] is True
    assert (await acted(server, app))[0][1] == "user:admin@localhost"


@pytest.mark.parametrize("of", ["pull request", "branch"])
async def test_what_is_built_anew_is_what_github_has_now_whatever_was_heard_of_it(
    server: Server, browser: Browser, clock: Clock, pipeline: str, of: str
) -> None:
    app = await reviewed(server, pipeline)
    if of == "branch":
        change = review_rows.update().values(ref="branch:fix/cart")
        await server.db.write(lambda conn: conn.execute(change))
        old = Head(branch="fix/cart", sha=HEADS["main"])
        await learn(server, FactKey(FactKind.HEAD, SHOP.id, "fix/cart"), old)
    clock.pass_by(minutes=1)  # and no webhook has come
    await sign_in(server, browser)
    await browser.send(await chosen(server, browser, pipeline, app, "Rebuild"), "/rebuild")
    queued = [each for each in await server.get(f"/apps/{app}/requests") if each["state"] == "queued"]
    assert [(each["kind"], each["commit"]) for each in queued] == [("Deploy", HEADS["fix/cart"])]


async def test_what_is_gone_from_github_is_not_built_anew_and_it_is_said_why(
    server: Server, browser: Browser, pipeline: str
) -> None:
    app = await reviewed(server, pipeline)
    change = review_rows.update().values(ref="branch:gone")
    await server.db.write(lambda conn: conn.execute(change))
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/apps/{app}/rebuild")
    refused = await browser.send(page, "/rebuild")
    assert (refused.status, "Couldn't find the branch gone in acme/shop." in text(refused)) == (422, True), text(
        refused
    )


async def test_a_review_app_is_destroyed_by_its_name(server: Server, browser: Browser, pipeline: str) -> None:
    app = await reviewed(server, pipeline)
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, app, "Destroy")
    assert f"Destroy {app}" in buttons(page)
    done = await browser.send(page, "/destroy")
    assert (done.status, "destroy: in the queue" in column(done, "Review apps")) == (200, True)


@pytest.mark.parametrize("act", ["pin", "suspend", "rebuild", "destroy"])
async def test_what_is_done_to_review_apps_is_done_to_no_other_app(
    server: Server, browser: Browser, pipeline: str, act: str
) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/apps/shop-staging/{act}")
    assert (page.status, page.title) == (404, "Not here")


# Restarting, holding, maintenance


async def test_a_restart_names_the_app_and_is_in_its_queue(server: Server, browser: Browser, pipeline: str) -> None:
    await deployed(server, "shop-staging")
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, "shop-staging", "Restart")
    assert "Restart shop-staging" in buttons(page)
    done = await browser.send(page, "/restart")
    assert done.url == f"{server.url}/dashboard/pipelines/{pipeline}"
    assert "restart: in the queue" in column(done, "Staging")
    assert (await acted(server, "shop-staging"))[0] == ("requested", "user:admin@localhost")


async def test_what_cannot_be_restarted_says_why(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await browser.send(await browser.get(f"{server.url}/dashboard/apps/shop/restart"), "/restart")
    assert (page.status, "shop has no release yet: deploy something first." in text(page)) == (422, True)


async def test_maintenance_is_switched_as_was_shown_whoever_was_faster(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, "shop", "Switch maintenance on")
    assert "Whoever opens shop sees the maintenance page" in text(page)
    await server.call("PATCH", "/apps/shop", {"maintenance": True}, expect=200)
    await browser.send(page, "/maintenance")
    assert (await server.get("/apps/shop"))["maintenance"] is True
    off = await chosen(server, browser, pipeline, "shop", "Switch maintenance off")
    assert "Switch maintenance of shop off" in buttons(off)
    await browser.send(off, "/maintenance")
    assert (await server.get("/apps/shop"))["maintenance"] is False
    assert (await acted(server, "shop"))[0] == ("maintenance switched", "user:admin@localhost")


async def test_automatic_deploys_are_held_and_resumed(server: Server, browser: Browser, pipeline: str) -> None:
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True, "wait_for_ci": True}, expect=200)
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, "shop-staging", "Hold automatic deploys")
    assert "No push to main is deployed to shop-staging" in text(page)
    await browser.send(page, "/hold")
    assert not (await server.get("/apps/shop-staging/github"))["auto_deploy"]
    page = await chosen(server, browser, pipeline, "shop-staging", "Resume automatic deploys")
    assert "What main is at now is deployed, once CI has passed for it" in text(page)
    await browser.send(page, "/hold")
    now = await server.get("/apps/shop-staging/github")
    assert (now["auto_deploy"], now["wait_for_ci"], now["follows_default_branch"]) == (True, True, True)
    assert [each for each, _ in await acted(server, "shop-staging")].count("auto-deploy switched") == 3


async def test_what_one_commit_holds_is_resumed_and_says_what_held_it(
    server: Server, browser: Browser, clock: Clock, pipeline: str
) -> None:
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    await deployed(server, "shop-staging", HEADS["fix/cart"])  # a commit, of no branch
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/apps/shop-staging/hold")
    assert "shop-staging is held at v1" in text(page)
    assert "Resume automatic deploys of shop-staging" in buttons(page)
    clock.pass_by(minutes=1)
    await browser.send(page, "/hold")
    again = await browser.get(f"{server.url}/dashboard/apps/shop-staging/hold")
    assert "Hold automatic deploys of shop-staging" in buttons(again)


async def test_to_resume_takes_the_right_on_github_that_to_hold_does_not(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    token = await somebody(server, "reader", github="reader")
    body = {"user": "reader@example.com", "permissions": ["deploy"]}
    await server.call("POST", "/apps/shop-staging/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    await browser.send(await browser.get(f"{server.url}/dashboard/apps/shop-staging/hold"), "/hold")
    assert not (await server.get("/apps/shop-staging/github"))["auto_deploy"]
    refused = await browser.send(await browser.get(f"{server.url}/dashboard/apps/shop-staging/hold"), "/hold")
    assert (refused.status, refused.title) == (403, "Not allowed")
    assert "reader has the permission read in acme/shop" in text(refused)


# Moving and taking out


async def test_an_app_is_moved_to_another_stage(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, "shop-staging", "Move to another stage")
    assert page.title == "Move shop-staging to another stage"
    assert re.findall(r'name="stage" value="(\w+)"', page.text) == ["development", "production"]
    unsaid = await browser.send(page, "/move")
    assert (unsaid.status, "Choose a stage: development, staging, production." in text(unsaid)) == (422, True)
    done = await browser.send(page, "/move", stage="development")
    assert "shop-staging" in column(done, "Development")
    assert (await acted(server, "shop-staging"))[0] == ("app moved", "user:admin@localhost")


async def test_an_app_that_is_removed_lives_on_in_no_pipeline(server: Server, browser: Browser, pipeline: str) -> None:
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    await sign_in(server, browser)
    page = await chosen(server, browser, pipeline, "shop-staging", "Remove from the pipeline")
    assert "Remove shop-staging from shop" in buttons(page)
    assert "It goes on deploying main by itself." in text(page)
    done = await browser.send(page, "/remove")
    assert "None" in column(done, "Staging")
    assert (await acted(server, "shop-staging"))[0] == ("app removed", "user:admin@localhost")
    twice = await browser.send(page, "/remove")
    assert (twice.status, twice.title) == (404, "Not here")
    # Nothing but the pipeline is gone: it can be stopped now, too.
    await browser.send(await browser.get(f"{server.url}/dashboard/apps/shop-staging/hold"), "/hold")
    assert not (await server.get("/apps/shop-staging/github"))["auto_deploy"]


async def test_to_and_from_production_it_takes_manage_or_promote_on_the_app(server: Server, browser: Browser) -> None:
    token = await somebody(server, "member")
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    await server.call("PUT", "/teams/crew/members", {"email": "member@example.com", "role": "member"}, expect=200)
    owner = {"type": "team", "id": (await server.get("/teams/crew"))["id"]}
    made, _ = await server.call("POST", "/pipelines", {"name": "guarded", "owner": owner}, expect=201)
    for app, stage in (("guarded", "production"), ("guarded-staging", "staging")):
        await server.call("POST", "/apps", {"name": app, "team": "crew"}, expect=201)
        body = {"app": app, "pipeline": made["id"], "stage": stage}
        await server.call("POST", "/pipeline-couplings", body, expect=201)
    await sign_in(server, browser, token)
    page = await overview(server, browser, made["id"])
    assert "Remove from the pipeline" not in menu(page, "guarded")
    move = await browser.get(server.url + menu(page, "guarded-staging")["Move to another stage"])
    refused = await browser.send(move, "/move", stage="production")
    assert (refused.status, "only by whoever has manage or promote on it" in text(refused)) == (403, True)
    assert "guarded-staging" in column(await overview(server, browser, made["id"]), "Staging")


async def test_whoever_sees_the_pipeline_no_more_is_led_to_the_app(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await granted(server, browser, "manage")
    page = await chosen(server, browser, pipeline, "shop-staging", "Remove from the pipeline")
    done = await browser.send(page, "/remove")
    assert (done.status, done.url) == (200, f"{server.url}/dashboard/apps/shop-staging")


# Adding


async def adding(server: Server, browser: Browser, pipeline: str, stage: str = "staging") -> Page:
    page = await overview(server, browser, pipeline)
    (path,) = re.findall(rf'<a id="add-{stage}" href="([^"]+)"', page.text)
    return await browser.get(server.url + path)


async def test_an_app_that_stands_alone_is_added_to_the_stage_that_was_clicked(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await server.app("shop-dev")
    await sign_in(server, browser)
    page = await adding(server, browser, pipeline, "development")
    assert page.title == "Add an app to shop"
    assert re.findall(r'<option value="([\w-]+)">', page.text)[0] == "shop-dev"
    assert 'value="shop-staging"' not in page.text  # that is in a pipeline
    done = await browser.send(page, "/add")
    assert "shop-dev" in column(done, "Development")
    assert (await acted(server, "shop-dev"))[0] == ("app added", "user:admin@localhost")
    taken = await browser.send(page, "/add", app="shop-dev", stage="production")
    assert (taken.status, "App shop-dev is already in pipeline shop (development)" in text(taken)) == (422, True)


async def test_a_new_app_is_made_in_the_stage_with_its_name_or_a_made_up_one(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await sign_in(server, browser)
    page = await adding(server, browser, pipeline, "production")
    assert "There is no app outside of a pipeline that you manage." in text(page)
    done = await browser.send(page, "/add", do="new", name="shop-eu", stage="production")
    assert "shop-eu" in column(done, "Production")
    await browser.send(page, "/add", do="new", name="", stage="development")
    assert len(await server.get(f"/pipelines/{pipeline}/pipeline-couplings")) == 4
    assert ("app created", "user:admin@localhost") in await acted(server, "shop-eu")


WRONG = {
    "a name that is taken": ({"do": "new", "name": "shop", "stage": "staging"}, 422, "already taken"),
    "a name that none can have": ({"do": "new", "name": "No", "stage": "staging"}, 422, "Name must be 3 to 30"),
    "a team that one is not in": (
        {"do": "new", "name": "more", "owner": "strangers", "stage": "staging"}, 404, "Couldn't find that team.",
    ),
    "no app": ({"do": "existing", "app": "", "stage": "staging"}, 422, "Choose an app."),
    "an app that there is not": ({"do": "existing", "app": "nothing", "stage": "staging"}, 404, "Couldn't find that app."),
    "a stage for review apps": ({"do": "new", "name": "more", "stage": "review"}, 422, "Choose a stage: development,"),
}  # fmt: skip


@pytest.mark.parametrize(("form", "status", "said"), WRONG.values(), ids=WRONG)
async def test_what_cannot_be_added_says_why_and_nothing_is_made(
    server: Server, browser: Browser, pipeline: str, form: dict[str, str], status: int, said: str
) -> None:
    await sign_in(server, browser)
    before = await server.get("/apps"), await server.get("/pipeline-couplings")
    page = await browser.send(await adding(server, browser, pipeline), "/add", **form)
    assert (page.status, said in text(page)) == (status, True), text(page)
    assert (await server.get("/apps"), await server.get("/pipeline-couplings")) == before


async def test_an_app_of_others_is_neither_offered_nor_added(server: Server, browser: Browser, pipeline: str) -> None:
    token = await somebody(server, "ada")
    await server.call("POST", "/apps", {"name": "adas"}, expect=201, Authorization=f"Bearer {token}")
    await sign_in(server, browser)
    page = await adding(server, browser, pipeline)
    assert "adas" not in page.text
    refused = await browser.send(page, "/add", do="existing", app="adas", stage="staging")
    assert (refused.status, "Couldn't find that app." in text(refused)) == (404, True)
