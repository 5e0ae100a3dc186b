"""A pipeline's settings on its page: what is saved, what is refused and where that is said, and its end."""

import html
import re
from collections import Counter
from typing import Any

import pytest

from service.domain import toggles
from service.web.pages.setting_fields import GROUPS, LABELS
from tests.web.api.test_review_apps import live_review, looked_at
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def opened(server: Server, browser: Browser, pipeline: str) -> Page:
    return await browser.get(f"{server.url}/dashboard/pipelines/{pipeline}/settings")


async def values(server: Server, pipeline: str) -> dict[str, Any]:
    found = await server.get(f"/pipelines/{pipeline}/settings")
    return {each["name"]: each["value"] for each in found["settings"]}


def said(page: Page, part: str) -> str:
    """What a section of the page says, as text."""
    found = re.search(rf'<section class="panel" id="{part}".*?</section>', page.text, re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found[0])))


def wrong(page: Page) -> dict[str, str]:
    """What is said against which field."""
    found = re.findall(r'<p class="wrong" id="(\w+)-wrong">(.*?)</p>', page.text)
    return {name: html.unescape(text) for name, text in found}


async def test_every_setting_there_is_is_in_one_group_with_a_label() -> None:
    shown = Counter(name for group in GROUPS for name in group.names)
    assert shown == Counter((toggles.ROOT, *toggles.DESCRIPTIONS))
    assert set(LABELS) == set(shown)


async def test_each_setting_is_explained_with_its_default(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await opened(server, browser, pipeline)
    assert (page.status, page.title) == (200, "shop")
    idle = said(page, "idle")
    assert "After how many days without a deploy a review app is stale (1 to 30). Default: 5 · stale_days" in idle
    assert "Default: off · destroy_stale" in idle
    assert "Default: empty · labels" in said(page, "pull-requests")
    assert "Default: all statuses and checks · ci_counts" in said(page, "ci")
    assert "Connected to acme/shop , whose default branch is main" in said(page, "repository")


async def test_untouched_forms_change_nothing_whatever_is_set(server: Server, browser: Browser, pipeline: str) -> None:
    odd = {
        "review_apps": True, "labels": ["needs review", "<b>"], "paths": ["api/**", "!**/*.md"], "settle_seconds": 12.5,
        "idle_action": "suspend", "forks": "never", "root_directory": "app", "health_path": "/up", "comment": False,
        "required_contexts": ["build"], "stale_days": 9,
    }  # fmt: skip
    await server.call("PATCH", f"/pipelines/{pipeline}/settings", odd, expect=200)
    before = await values(server, pipeline)
    await sign_in(server, browser)
    for group in GROUPS:
        saved = await browser.send(await opened(server, browser, pipeline), f"/settings/{group.key}")
        assert (saved.status, "Saved." in said(saved, group.key)) == (200, True)
    assert await values(server, pipeline) == before
    entries = await server.get(f"/activity?pipeline={pipeline}")
    assert [each["action"] for each in entries].count("toggles changed") == 1


async def test_a_group_is_saved_at_once_and_the_others_stay(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await opened(server, browser, pipeline)
    entered = {"labels": "preview\r\n\r\n demo ", "base_branches": "main\nrelease/*", "forks": "never"}
    saved = await browser.send(page, "/settings/pull-requests", drop=("drafts",), **entered)
    assert saved.url == f"{server.url}/dashboard/pipelines/{pipeline}/settings?saved=pull-requests"
    now = await values(server, pipeline)
    wanted = {"drafts": False, "labels": ["preview", "demo"], "base_branches": ["main", "release/*"], "forks": "never"}
    assert {name: now[name] for name in wanted} == wanted
    (entry,) = [
        each for each in await server.get(f"/activity?pipeline={pipeline}") if each["action"] == "toggles changed"
    ]
    assert (entry["actor"], entry["data"]) == ("user:admin@localhost", wanted)


REFUSED = {
    "a number that is too large": (
        "idle", {"destroy_stale": "on", "stale_days": "31"}, {"stale_days": "expected a whole number from 1 to 30"},
    ),
    "a number that is a word": (
        "idle", {"stale_days": "many"}, {"stale_days": "expected a whole number from 1 to 30"},
    ),
    "a number beyond all measure": (
        "ci", {"gate_seconds": "9" * 5000}, {"gate_seconds": "expected seconds from 0 to 86400"},
    ),
    "two mistakes at once": (
        "review-apps", {"max_review_apps": "-1", "base_name": "No Good", "wait_for_ci": "on"},
        {"max_review_apps": "expected a whole number from 0 to 1000", "base_name": "must be at most 30 characters: lower-case letters, digits and hyphens, starting with a letter and ending with a letter or digit."},
    ),
    "what contradicts itself": (
        "ci", {"ci_counts": "required"}, {"ci_counts": "required needs required_contexts, which names them"},
    ),
    "a way out of the repository": (
        "code", {"root_directory": "../etc", "health_path": "/up"}, {"root_directory": "../etc leads out of the repository"},
    ),
    "a choice that there is not": ("ci", {"ci_counts": "some"}, {"ci_counts": "expected one of all, required, protected"}),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_said_at_its_field_and_nothing_is_saved(
    server: Server, browser: Browser, pipeline: str, case: tuple[str, dict[str, str], dict[str, str]]
) -> None:
    group, entered, errors = case
    await sign_in(server, browser)
    before = await values(server, pipeline)
    page = await browser.send(await opened(server, browser, pipeline), f"/settings/{group}", **entered)
    assert (page.status, wrong(page)) == (422, errors)
    assert "Nothing was saved. Look at what is marked below." in said(page, group)
    assert await values(server, pipeline) == before
    kept = dict(page.form(f"/settings/{group}")[1])
    assert {name: kept[name] for name in entered if name != "ci_counts"} == {
        name: text for name, text in entered.items() if name != "ci_counts"
    }


async def test_review_apps_without_a_repository_are_refused_for_the_whole_group(
    server: Server, browser: Browser
) -> None:
    made = await server.pipeline("empty", connected=False)
    await sign_in(server, browser)
    page = await browser.send(await opened(server, browser, made["id"]), "/settings/review-apps", review_apps="on")
    assert (page.status, wrong(page)) == (422, {})
    assert "Nothing was saved. Connect the pipeline to a repository first" in said(page, "review-apps")


async def with_review_apps(server: Server, pipeline: str) -> None:
    """One of our own branch, and one of a fork."""
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    for number in (7, 11):
        await live_review(server, pipeline, number)
        await looked_at(server, number, of_fork=number == 11)


LEAVING = {
    "forks that run no more": ("/settings/pull-requests", {"forks": "never"}, "1 review app: shop-pr-11."),
    "review apps that are switched off": ("/settings/review-apps", {}, "2 review apps: shop-pr-11, shop-pr-7."),
}


@pytest.mark.parametrize("case", LEAVING.values(), ids=LEAVING)
async def test_what_takes_review_apps_away_is_saved_once_the_pipelines_name_is_typed(
    server: Server, browser: Browser, pipeline: str, case: tuple[str, dict[str, str], str]
) -> None:
    where, entered, going = case
    await with_review_apps(server, pipeline)
    before = await values(server, pipeline), await server.get(f"/pipelines/{pipeline}/repository")
    await sign_in(server, browser)
    page, drop = await opened(server, browser, pipeline), ("review_apps",) if "review-apps" in where else ()
    for typed in ({}, {"confirm": "Shop"}):
        page = await browser.send(page, where, drop=drop, **entered, **typed)
        assert page.status == 422
        section = said(page, where.rpartition("/")[2])
        assert f"This destroys {going} If that is meant, type shop below." in section
        assert "Type shop to destroy" in section
        assert (await values(server, pipeline), await server.get(f"/pipelines/{pipeline}/repository")) == before
    kept = dict(page.form(where)[1])
    assert {name: kept[name] for name in entered} == entered
    assert "review_apps" not in kept
    page = await browser.send(page, where, confirm=" shop ")
    assert (page.status, "Saved." in said(page, where.rpartition("/")[2])) == (200, True)
    assert (await values(server, pipeline), await server.get(f"/pipelines/{pipeline}/repository")) != before


async def test_a_name_that_was_typed_takes_away_no_review_app_that_came_up_since(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await live_review(server, pipeline, 7)
    await sign_in(server, browser)
    page = await opened(server, browser, pipeline)
    asked = await browser.send(page, "/settings/review-apps", drop=("review_apps",))
    await live_review(server, pipeline, 11)
    before = await values(server, pipeline), await server.get(f"/pipelines/{pipeline}/repository")
    for where, typed, part in (
        ("/settings/review-apps", {}, "review-apps"),
        ("/repository", {"repository": "acme/other"}, "repository"),
    ):
        again = await browser.send(asked if typed == {} else page, where, confirm="shop", **typed)
        assert again.status == 422
        text = "This destroys 2 review apps: shop-pr-11, shop-pr-7. If that is meant, type shop below."
        assert text in said(again, part)
        assert (await values(server, pipeline), await server.get(f"/pipelines/{pipeline}/repository")) == before
    done = await browser.send(again, "/repository", repository="acme/other", confirm="shop")
    assert done.status == 200
    assert (await server.get(f"/pipelines/{pipeline}/repository"))["full_name"] == "acme/other"


async def test_fewer_days_ask_on_the_page_before_they_take_idle_review_apps_away(
    server: Server, browser: Browser, pipeline: str, clock: Clock
) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await server.call("PATCH", f"/pipelines/{pipeline}/settings", {"destroy_stale": True, "stale_days": 9}, expect=200)
    await live_review(server, pipeline, 7)
    clock.pass_by(days=4)
    await live_review(server, pipeline, 11)
    await sign_in(server, browser)
    page = await browser.send(await opened(server, browser, pipeline), "/settings/idle", stale_days="3")
    assert page.status == 422
    assert "This destroys 1 review app: shop-pr-7. If that is meant, type shop below." in said(page, "idle")
    assert (await values(server, pipeline))["stale_days"] == 9
    page = await browser.send(page, "/settings/idle", confirm="shop")
    assert (page.status, (await values(server, pipeline))["stale_days"]) == (200, 3)


async def test_nobody_types_anything_for_what_takes_no_review_app_away(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await live_review(server, pipeline, 7)
    await looked_at(server, 7, of_fork=False)
    await sign_in(server, browser)
    page = await browser.send(await opened(server, browser, pipeline), "/settings/pull-requests", forks="never")
    assert (page.status, "Saved." in said(page, "pull-requests")) == (200, True)
    page = await browser.send(page, "/settings/review-apps", wait_for_ci="on")
    assert (page.status, "Saved." in said(page, "review-apps")) == (200, True)
    page = await browser.send(page, "/settings/pull-requests", forks="approve", labels="demo")
    assert (page.status, "Saved." in said(page, "pull-requests")) == (200, True)
    # A mistake is told first: nobody destroys anything by it.
    page = await browser.send(page, "/settings/review-apps", drop=("review_apps",), max_review_apps="many")
    assert (page.status, wrong(page).keys()) == (422, {"max_review_apps"})
    assert "Type shop to destroy" not in page.text


async def test_what_somebody_else_changed_meanwhile_stays(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await opened(server, browser, pipeline)
    await server.call("PATCH", f"/pipelines/{pipeline}/settings", {"stale_days": 9}, expect=200)
    await browser.send(page, "/settings/idle", destroy_stale="on")
    now = await values(server, pipeline)
    assert (now["destroy_stale"], now["stale_days"]) == (True, 9)
    # Nor is it lost by a mistake in between.
    page = await browser.send(page, "/settings/idle", stale_days="31")
    await browser.send(page, "/settings/idle", stale_days="5", idle_action="suspend")
    now = await values(server, pipeline)
    assert (now["idle_action"], now["stale_days"], now["destroy_stale"]) == ("suspend", 9, True)


@pytest.mark.parametrize("seen", ["", "[", "[1]", "[" * 100_000])
async def test_a_form_that_is_not_whole_saves_nothing(
    server: Server, browser: Browser, pipeline: str, seen: str
) -> None:
    await sign_in(server, browser)
    before = await values(server, pipeline)
    page = await browser.send(await opened(server, browser, pipeline), "/settings/idle", seen=seen, stale_days="9")
    assert (page.status, page.title) == (400, "That did not work")
    assert await values(server, pipeline) == before


async def test_whoever_may_only_look_gets_no_button(server: Server, browser: Browser, pipeline: str) -> None:
    token = await somebody(server, "ada")
    body = {"user": "ada@example.com", "permissions": ["view"]}
    await server.call("POST", "/apps/shop-staging/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    page = await opened(server, browser, pipeline)
    assert "To change them takes manage" in re.sub(r"<[^>]+>", "", page.text)
    assert re.findall(r"<button[^>]*>([^<]+)", page.text) == ["Sign out"]
    assert page.text.count("<fieldset") == page.text.count('<fieldset class="bare" disabled>') == len(GROUPS)
    assert "shop-staging" in said(page, "apps")
    assert ">shop <" not in page.text  # of the other app nothing is told


@pytest.mark.parametrize("where", ["/auto-deploy", "/deploy/auto"])
async def test_an_old_page_undoes_nothing_of_what_others_said_of_automatic_deploys(
    server: Server, browser: Browser, pipeline: str, where: str
) -> None:
    await sign_in(server, browser)
    of_app = f"{server.url}/dashboard/apps/shop-staging/deploy"
    page = await (opened(server, browser, pipeline) if where == "/auto-deploy" else browser.get(of_app))

    async def says() -> tuple[bool, str, bool, bool]:
        it = await server.get("/apps/shop-staging/github")
        return it["auto_deploy"], it["branch"], it["follows_default_branch"], it["wait_for_ci"]

    others = {"auto_deploy": True, "branch": "fix/cart", "wait_for_ci": True}
    await server.call("PATCH", "/apps/shop-staging/github", others, expect=200)
    await browser.send(page, where)
    assert await says() == (True, "fix/cart", False, True)
    page = await (opened(server, browser, pipeline) if where == "/auto-deploy" else browser.get(of_app))
    await server.call("PATCH", "/apps/shop-staging/github", {"follow_default_branch": True}, expect=200)
    # What nobody has seen together is not switched on: the page shows anew what is now.
    page = await browser.send(page, where, drop=("wait",))
    assert page.status == 409
    assert await says() == (True, "main", True, True)
    assert (await browser.send(page, where, drop=("wait",))).status == 200
    assert await says() == (True, "main", True, False)
    # What is changed counts, whatever others have said.
    await browser.send(page, where, branch="")
    await server.call("PATCH", "/apps/shop-staging/github", others, expect=200)
    await browser.send(page, where, branch="main", drop=("auto", "wait"))
    assert await says() == (False, "main", False, False)


@pytest.mark.parametrize("where", ["/auto-deploy", "/deploy/auto"])
@pytest.mark.parametrize(
    ("meanwhile", "changed"),
    [
        ({"branch": "fix/cart"}, {"auto": "on"}),
        ({"auto_deploy": True}, {"branch": "fix/cart"}),
        ({"wait_for_ci": False}, {"auto": "on"}),
    ],
    ids=["on beside another branch", "another branch where it is on", "on where CI is not waited for"],
)
async def test_nothing_is_deployed_by_what_two_people_have_said_and_nobody_has_seen(
    server: Server, browser: Browser, pipeline: str, where: str, meanwhile: Any, changed: Any
) -> None:
    await sign_in(server, browser)
    begin = {"auto_deploy": False, "wait_for_ci": True, "follow_default_branch": True}
    await server.call("PATCH", "/apps/shop-staging/github", begin, expect=200)
    of_app = f"{server.url}/dashboard/apps/shop-staging/deploy"
    page = await (opened(server, browser, pipeline) if where == "/auto-deploy" else browser.get(of_app))
    await server.call("PATCH", "/apps/shop-staging/github", meanwhile, expect=200)
    before = await server.get("/apps/shop-staging/github")
    refused = await browser.send(page, where, **changed)
    assert refused.status == 409
    assert "somebody else has changed" in refused.text
    assert await server.get("/apps/shop-staging/github") == before
    # Seen as it is now, it is taken.
    assert (await browser.send(refused, where, **changed)).status == 200
    after = await server.get("/apps/shop-staging/github")
    assert after["auto_deploy"]
    assert after["branch"] == (changed | meanwhile).get("branch", "main")
    assert after["wait_for_ci"] == meanwhile.get("wait_for_ci", True)


async def test_its_name_is_changed_or_said_to_be_none(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await browser.send(await opened(server, browser, pipeline), "/name", name="No Good")
    assert (page.status, "Pipeline name must be 3 to 30 characters" in said(page, "name")) == (422, True)
    assert dict(page.form("/name")[1])["name"] == "No Good"
    page = await browser.send(page, "/name", name="store")
    assert (page.title, "Renamed." in said(page, "name")) == ("store", True)
    assert (await server.get(f"/pipelines/{pipeline}"))["name"] == "store"


async def test_it_is_connected_disconnected_and_connected_anew(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await opened(server, browser, pipeline)
    for name, error in (
        ("shop", "repository: 'shop' is not of the form ORG/REPO"),
        ("acme/nothing", "Couldn't access that repo: acme/nothing"),
        ("x/" + "y" * 300, "is not of the form ORG/REPO"),
    ):
        page = await browser.send(page, "/repository", repository=name)
        assert (page.status, error in said(page, "repository")) == (422, True)
        assert dict(page.form("/repository")[1])["repository"] == name
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    page = await browser.send(page, "/repository/disconnect")
    assert "Connected to no repository" in said(page, "repository")
    assert "Connect the pipeline to a repository to switch them." in said(page, "apps")
    page = await browser.send(page, "/repository", repository="acme/other")
    assert "Connected to acme/other" in said(page, "repository")
    assert "Saved." in said(page, "repository")


async def test_to_leave_a_repository_for_another_takes_the_pipelines_name(
    server: Server, browser: Browser, pipeline: str
) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await server.call("POST", "/review-apps", {"pipeline": pipeline, "pr_number": 7}, expect=201)
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True}, expect=200)
    await sign_in(server, browser)
    page = await opened(server, browser, pipeline)
    assert "Type shop to leave acme/shop for it" in said(page, "repository")
    assert "ends automatic deploys from it" in said(page, "repository")
    for typed in ("", "Shop"):
        page = await browser.send(page, "/repository", repository="acme/other", confirm=typed)
        assert (page.status, "type shop below to have that. Nothing was changed." in said(page, "repository")) == (
            422,
            True,
        )
        assert dict(page.form("/repository")[1])["repository"] == "acme/other"
    assert (await server.get(f"/pipelines/{pipeline}/repository"))["full_name"] == "acme/shop"
    # The same one once more takes nothing away, and so no name.
    assert "Saved." in said(await browser.send(page, "/repository", repository="acme/shop"), "repository")
    page = await browser.send(page, "/repository", repository="acme/other", confirm=" shop ")
    assert "Connected to acme/other" in said(page, "repository")
    assert not (await server.get("/apps/shop-staging/github"))["auto_deploy"]


async def test_connecting_takes_ones_own_right_on_github(server: Server, browser: Browser) -> None:
    token = await somebody(server, "reader", github="reader")
    own = {"Authorization": f"Bearer {token}"}
    made, _ = await server.call("POST", "/pipelines", {"name": "mine"}, expect=201, **own)
    await sign_in(server, browser, token)
    page = await browser.send(await opened(server, browser, made["id"]), "/repository", repository="acme/shop")
    assert (page.status, "reader has the permission read in acme/shop" in said(page, "repository")) == (403, True)


async def test_each_app_is_switched_in_its_row(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    app = (await server.get("/apps/shop-staging"))["id"]
    page = await opened(server, browser, pipeline)
    rows = re.findall(r'<form id="auto-([\w-]+)"', page.text)
    assert (len(rows), rows[0]) == (2, app)

    async def switched(page: Page, **fields: str) -> Page:
        action, sent = f"{server.url}/dashboard/pipelines/{pipeline}/auto-deploy", dict(page.form("/auto-deploy")[1])
        sent = {name: sent[name] for name in ("csrf", "app")} | fields
        async with browser.session.post(action, data=sent) as answer:
            return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)

    page = await switched(page, auto="on", wait="on", branch="")
    now = await server.get("/apps/shop-staging/github")
    assert (now["auto_deploy"], now["wait_for_ci"], now["follows_default_branch"]) == (True, True, True)
    assert "Saved." in said(page, "apps")
    refused = await switched(page, auto="on", branch="nowhere")
    assert (refused.status, "Couldn't find the branch nowhere" in said(refused, "apps")) == (404, True)
    assert dict(refused.form("/auto-deploy")[1])["branch"] == "nowhere"
    page = await switched(page, auto="on", branch="fix/cart")
    now = await server.get("/apps/shop-staging/github")
    assert (now["branch"], now["wait_for_ci"], now["follows_default_branch"]) == ("fix/cart", False, False)
    page = await switched(page, branch="fix/cart")
    assert not (await server.get("/apps/shop-staging/github"))["auto_deploy"]
    count = len(await server.get("/activity?app=shop-staging"))
    await switched(page, branch="fix/cart")  # nothing is changed, so nothing is done
    assert len(await server.get("/activity?app=shop-staging")) == count


async def test_to_stop_an_automatic_deploy_takes_no_right_on_github_as_to_begin_one_does(
    server: Server, browser: Browser, pipeline: str
) -> None:
    token = await somebody(server, "reader", github="reader")
    body = {"user": "reader@example.com", "permissions": ["view", "deploy"]}
    await server.call("POST", "/apps/shop-staging/collaborators", body, expect=201)
    await sign_in(server, browser, token)
    page = await browser.send(await opened(server, browser, pipeline), "/auto-deploy", auto="on")
    assert (page.status, "reader has the permission read in acme/shop" in said(page, "apps")) == (403, True)
    await server.call("PATCH", "/apps/shop-staging/github", {"auto_deploy": True, "wait_for_ci": True}, expect=200)
    page = await browser.send(await opened(server, browser, pipeline), "/auto-deploy", drop=("auto",))
    assert (page.status, "Saved." in said(page, "apps")) == (200, True)
    now = await server.get("/apps/shop-staging/github")
    assert (now["auto_deploy"], now["wait_for_ci"]) == (False, True)


async def test_an_app_of_another_pipeline_is_not_switched_here(server: Server, browser: Browser, pipeline: str) -> None:
    await server.app("alone")
    await sign_in(server, browser)
    page = await browser.send(await opened(server, browser, pipeline), "/auto-deploy", app="alone", auto="on")
    assert (page.status, page.title) == (404, "Not here")


async def test_it_is_deleted_by_typing_its_name(server: Server, browser: Browser, pipeline: str) -> None:
    await sign_in(server, browser)
    page = await browser.send(await opened(server, browser, pipeline), "/delete", confirm="Shop")
    assert (page.status, "That is not the pipeline's name: type shop." in said(page, "delete")) == (422, True)
    page = await browser.send(page, "/delete", confirm=" shop ")
    assert page.url == f"{server.url}/dashboard"
    assert "shop-staging" in page.text.partition("Apps in no pipeline")[2]
    assert await server.get("/pipelines") == []


async def test_nobody_who_may_not_touch_production_deletes_a_pipeline_with_it(server: Server, browser: Browser) -> None:
    token = await somebody(server, "member")
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    await server.call("PUT", "/teams/crew/members", {"email": "member@example.com", "role": "member"}, expect=200)
    owner = {"type": "team", "id": (await server.get("/teams/crew"))["id"]}
    made, _ = await server.call("POST", "/pipelines", {"name": "guarded", "owner": owner}, expect=201)
    await server.call("POST", "/apps", {"name": "guarded", "team": "crew"}, expect=201)
    body = {"app": "guarded", "pipeline": made["id"], "stage": "production"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)
    await sign_in(server, browser, token)
    page = await browser.send(await opened(server, browser, made["id"]), "/delete", confirm="guarded")
    assert (page.status, "only by whoever has manage or promote on it" in said(page, "delete")) == (403, True)
