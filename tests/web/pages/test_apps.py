"""The pages of one app: what was done to it and the way back, what runs, and its settings."""

import html
import re
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from service.domain.decisions import Restart
from service.store import requests
from service.store.tables import apps as app_rows
from service.store.tables import requests as rows
from tests.store.making import NOW
from tests.web.api.people import Rows, restore, saved
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Begun, Clock
from tests.web.pages.test_home import deployed
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

NASTY = '<script>alert("1")</script> עברית 🚀 ' + "x" * 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(begun: Begun) -> Rows:
    """All rows that there are with an app in a pipeline that runs its second release."""
    await begun.server.db.write(lambda conn: restore(conn, begun.rows))
    await begun.server.pipeline(staging="shop")
    await deployed(begun.server, "shop")
    await begun.server.call("PATCH", "/apps/shop/config-vars", {"TOKEN": "s3cret", "MODE": "fast"}, expect=200)
    await begun.server.work()
    return await begun.server.db.read(saved)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(server: Server, made: Rows, browser: Browser) -> Server:
    await server.db.write(lambda conn: restore(conn, made))
    await sign_in(server, browser)
    return server


async def of_shop(server: Server, browser: Browser, part: str = "") -> Page:
    return await browser.get(f"{server.url}/dashboard/apps/shop{part}")


def text_of(markup: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", markup))).strip()


def acts(page: Page) -> list[str]:
    """The lines of the page's list, as text."""
    listed = re.search(r'<ul class="acted".*?</ul>', page.text, re.DOTALL)
    return [text_of(each) for each in re.findall(r"<li>.*?</li>", listed[0], re.DOTALL)] if listed else []


def button(page: Page, action: str) -> int:
    """The number of the form that goes there."""
    actions = re.findall(r'<form method="post" action="([^"]*)"', page.text)
    return actions.index(action)


async def viewer(server: Server, browser: Browser, *permissions: str) -> None:
    """Sign somebody in who was let in to the app for so much."""
    token = await somebody(server, "ada")
    body = {"user": "ada@example.com", "permissions": list(permissions)}
    await server.call("POST", "/apps/shop/collaborators", body, expect=201)
    await sign_in(server, browser, token)


# Activity


async def test_it_says_newest_first_what_was_done_by_whom_and_why(shop: Server, browser: Browser, clock: Clock) -> None:
    await shop.call("POST", "/apps/shop/builds", {"source_blob": {"version": "fix/cart"}}, expect=201)
    await shop.work(fail="build")
    fine = rows.update().where(rows.c.state == "succeeded").values(outcome="released it")
    await shop.db.write(lambda conn: conn.execute(fine))
    clock.pass_by(hours=2)
    await shop.call("PATCH", "/apps/shop/formation", {"updates": [{"type": "web", "quantity": 3}]}, expect=200)
    page = await of_shop(shop, browser)
    assert page.title == "shop"
    scale, failed, config, first = acts(page)
    assert scale == "Scale web to 3 in the queue just now · admin@localhost"
    assert failed.startswith("Deploy of fix/cart failed no Procfile 2 h ago · admin@localhost · bbbbbbb Build log")
    assert config.startswith("v2 Set MODE, TOKEN config vars done runs now")
    assert first.startswith("v1 Deploy aaaaaaaa done deploy of main 2 h ago · admin@localhost · aaaaaaa")
    assert ("Roll back to v1" in first, "Roll back" in config, "Roll back" in failed) == (True, False, False)
    assert 'title="2026-11-24 09:30:00 UTC"' in page.text
    assert "s3cret" not in page.text
    assert "released it" not in page.text  # that it is done says so already
    assert re.search(r'<a href="/dashboard/pipelines/[^"]+">shop</a> <span class="quiet">staging</span>', page.text)


async def test_older_ones_are_on_the_next_page_each_once(shop: Server, browser: Browser) -> None:
    app_id = (await shop.get("/apps/shop"))["id"]

    def often(conn: Connection) -> None:
        for _ in range(33):
            requests.add(
                conn, app_id=app_id, work=Restart(), actor="user:ada", reason="restart", by_person=True, now=NOW
            )

    await shop.db.write(often)
    page = await of_shop(shop, browser)
    older = await browser.get(shop.url + re.findall(r'href="([^"]+)">Older', page.text)[0])
    assert (len(acts(page)), len(acts(older))) == (30, 5)
    assert acts(older)[-1].startswith("v1 Deploy")
    assert "Older" not in older.text
    assert "Nothing older" in (await of_shop(shop, browser, "?before=0")).text
    assert len(acts(await of_shop(shop, browser, "?before=-1x"))) == 30


async def test_what_people_write_is_text(shop: Server, browser: Browser) -> None:
    slug = (await shop.get("/apps/shop/releases/1"))["slug"]["id"]
    await shop.call("POST", "/apps/shop/releases", {"slug": slug, "description": NASTY[:100]}, expect=201)
    page = await of_shop(shop, browser)
    assert NASTY[:100] in acts(page)[0]
    assert "<script>alert" not in page.text


async def test_an_app_to_which_nothing_was_done_says_how_to_begin(shop: Server, browser: Browser) -> None:
    await shop.app("fresh")
    page = await browser.get(f"{shop.url}/dashboard/apps/fresh")
    assert "towpath deploy main -a fresh" in page.text
    assert "nothing deployed" in page.text
    assert "Nothing runs" in (await browser.get(f"{shop.url}/dashboard/apps/fresh/resources")).text


async def test_of_what_one_may_not_do_there_is_no_button(shop: Server, browser: Browser) -> None:
    await viewer(shop, browser, "view")
    for part in ("", "/resources", "/settings"):
        page = await of_shop(shop, browser, part)
        assert page.status == 200
        assert re.findall(r"<button[^>]*>(.*?)</button>", page.text) == ["Sign out"], part
        assert "Roll back" not in page.text
        assert ">Logs<" not in page.text
    refused = await of_shop(shop, browser, "/logs")
    assert (refused.status, refused.title) == (403, "Not allowed")
    assert "it takes deploy or operate" in refused.text


# Rolling back


async def test_a_rollback_names_what_it_changes_and_is_done(shop: Server, browser: Browser) -> None:
    await deployed(shop, "shop", "fix/cart")
    confirm = await of_shop(shop, browser, "/releases/v1/rollback")
    said = text_of(confirm.text)
    assert "Roll shop back to v1" in said
    assert "v1 ( aaaaaaa ), Deploy aaaaaaaa, of just now , is released again" in said
    assert "in place of v3 ( bbbbbbb )" in said
    assert "are taken away: MODE , TOKEN" in said
    assert "s3cret" not in confirm.text
    after = await browser.press(confirm, number=button(confirm, "/dashboard/apps/shop/releases/v1/rollback"))
    assert after.url == f"{shop.url}/dashboard/apps/shop"
    assert acts(after)[0].startswith("v4 Rollback to v1 in the queue")
    await shop.work()
    assert acts(await of_shop(shop, browser))[0].startswith("v4 Rollback to v1 done runs now")
    assert await shop.get("/apps/shop/config-vars") == {}


async def test_a_rollback_keeps_the_config_vars_of_today_if_one_wants(shop: Server, browser: Browser) -> None:
    confirm = await of_shop(shop, browser, "/releases/v1/rollback")
    number = button(confirm, "/dashboard/apps/shop/releases/v1/rollback")
    await browser.press(confirm, number=number, keep_config="on")
    await shop.work()
    assert await shop.get("/apps/shop/config-vars") == {"MODE": "fast", "TOKEN": "s3cret"}


async def test_to_a_release_that_did_not_succeed_there_is_no_way_back(shop: Server, browser: Browser) -> None:
    await shop.call("POST", "/apps/shop/builds", {"source_blob": {"version": "main"}}, expect=201)
    await shop.work(fail="release")
    page = await of_shop(shop, browser)
    assert acts(page)[0].startswith("v3 Deploy aaaaaaaa failed")
    assert "releases/v3/rollback" not in page.text
    refused = await of_shop(shop, browser, "/releases/v3/rollback")
    assert (refused.status, "There is no way back to v3 of shop" in refused.text) == (422, True)


# Resources


async def test_resources_show_what_runs_and_scale_it(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/resources")
    said = text_of(page.text)
    assert "web python server.py" in said
    assert "worker python worker.py" in said
    assert re.search(r"web\.1 (up|starting) Restart web\.1", said)
    number = button(page, "/dashboard/apps/shop/resources/scale")
    after = await browser.press(page, number=number, type="worker", quantity="2")
    assert "scale: in the queue" in after.text
    await shop.work()
    assert "worker.2" in text_of((await of_shop(shop, browser, "/resources")).text)


async def test_what_is_no_number_of_dynos_is_refused_where_it_was_entered(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/resources")
    number = button(page, "/dashboard/apps/shop/resources/scale")
    for entered in ("", "many", "-1", "101", "1e2", "²"):
        refused = await browser.press(page, number=number, type="worker", quantity=entered)
        assert refused.status == 422, entered
        assert re.search(r'<p class="wrong" id="wrong-worker" role="alert">.*(0 to 100|0 and 100)', refused.text), (
            entered
        )
        assert f'value="{entered}" aria-invalid="true"' in refused.text


async def test_a_process_type_that_is_not_there_is_refused(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/resources")
    number = button(page, "/dashboard/apps/shop/resources/scale")
    refused = await browser.press(page, number=number, type="clock", quantity="1")
    assert (refused.status, "process type (clock)" in refused.text) == (404, True)


async def test_all_dynos_are_restarted_or_one(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/resources")
    number = button(page, "/dashboard/apps/shop/resources/restart")
    await shop.call("PATCH", "/apps/shop/formation", {"updates": [{"type": "web", "quantity": 2}]}, expect=200)
    await shop.work()
    await browser.press(page, number=number, dyno="web.2")
    await browser.press(page, number=number, drop=("dyno",))
    assert [each.partition(" in the queue")[0] for each in acts(await of_shop(shop, browser))[:2]] == [
        "Restart",
        "Restart of web.2",
    ]
    gone = await browser.press(page, number=number, dyno="web.9")
    assert gone.status == 404


# Settings


async def test_values_are_on_the_page_only_when_asked_for(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/settings")
    assert "<code>TOKEN</code>" in page.text
    assert "s3cret" not in page.text
    one = await of_shop(shop, browser, "/settings/values?of=TOKEN")
    assert ("s3cret" in one.text, "fast" in one.text) == (True, False)
    both = await of_shop(shop, browser, "/settings/values?of=*")
    assert ("s3cret" in both.text, "fast" in both.text) == (True, True)
    assert both.headers["Cache-Control"] == "no-store"
    await viewer(shop, browser, "view")
    assert "TOKEN" not in (await of_shop(shop, browser, "/settings")).text
    refused = await of_shop(shop, browser, "/settings/values?of=TOKEN")
    assert (refused.status, "s3cret" in refused.text) == (403, False)


async def press(server: Server, browser: Browser, part: str, **form: str) -> Page:
    page = await of_shop(server, browser, "/settings")
    number = button(page, f"/dashboard/apps/shop/settings/{part}")
    return await browser.press(page, number=number, **form)


async def test_config_vars_are_set_and_unset(shop: Server, browser: Browser) -> None:
    after = await press(shop, browser, "config", name="TEXT", value="\r\n a <b>\r\n", do="set")
    assert after.url.partition("#")[0] == f"{shop.url}/dashboard/apps/shop/settings"
    assert re.search(r'<code>TEXT</code> <span class="said waiting">not running yet', after.text)
    await press(shop, browser, "config", name="MODE", do="unset")
    await shop.work()
    assert await shop.get("/apps/shop/config-vars") == {"TEXT": "\n a <b>\n", "TOKEN": "s3cret"}
    shown = await of_shop(shop, browser, "/settings/values?of=TEXT")
    assert ">\n\n a &lt;b&gt;\n</textarea>" in shown.text
    assert acts(await of_shop(shop, browser))[1].startswith("v3 Set TEXT config vars")
    before = len(acts(await of_shop(shop, browser)))
    await press(shop, browser, "config", name="TOKEN", value="s3cret", do="set")
    assert len(acts(await of_shop(shop, browser))) == before


async def test_a_name_that_cannot_be_is_refused_and_nothing_entered_is_lost(shop: Server, browser: Browser) -> None:
    for name in ("", "9LIVES", "A B", "A=B", "ñ", "A" * 257):
        refused = await press(shop, browser, "config", name=name, value="long to type", do="set")
        assert (refused.status, "cannot be set: use letters, digits and _" in refused.text) == (422, True), name
        assert ">\nlong to type</textarea>" in refused.text
    long = await press(shop, browser, "config", name="LONG", value="x" * 65537, do="set")
    assert (long.status, "LONG cannot be set: its value is longer than 64 kB." in long.text) == (422, True)
    assert await shop.get("/apps/shop/config-vars") == {"MODE": "fast", "TOKEN": "s3cret"}


async def test_maintenance_is_switched_on_and_off(shop: Server, browser: Browser) -> None:
    on = await press(shop, browser, "maintenance", do="on")
    assert '<span class="said waiting">maintenance</span>' in on.text
    assert (await shop.get("/apps/shop"))["maintenance"] is True
    off = await press(shop, browser, "maintenance", do="off")
    assert "Switch maintenance of shop on" in off.text


async def test_a_renamed_app_is_at_its_new_name(shop: Server, browser: Browser) -> None:
    await shop.app("taken")
    for name in ("taken", "Not A Name"):
        refused = await press(shop, browser, "name", name=name)
        assert refused.status in {409, 422}
        assert f'value="{name}"' in refused.text
        assert 'id="name-wrong" role="alert"' in refused.text
    renamed = await press(shop, browser, "name", name="store")
    assert (renamed.title, renamed.url.partition("#")[0]) == ("store", f"{shop.url}/dashboard/apps/store/settings")


async def test_an_app_is_deleted_by_whoever_types_its_name(shop: Server, browser: Browser) -> None:
    wrong = await press(shop, browser, "delete", confirm="shopp")
    assert (wrong.status, "type shop. Nothing was deleted." in html.unescape(wrong.text)) == (422, True)
    assert (await shop.get("/apps/shop"))["name"] == "shop"
    home = await press(shop, browser, "delete", confirm="shop")
    assert home.url == f"{shop.url}/dashboard"
    going = await of_shop(shop, browser, "/settings")
    assert "destroying" in going.text
    assert re.findall(r"<button[^>]*>(.*?)</button>", going.text) == ["Sign out"]


async def test_who_did_it_is_on_record(shop: Server, browser: Browser) -> None:
    await viewer(shop, browser, "view", "operate")
    await press(shop, browser, "maintenance", do="on")
    entries: list[Any] = await shop.get("/activity")
    switched = next(each for each in entries if each["action"] == "maintenance switched")
    assert switched["actor"] == "user:ada@example.com"


# Deploying


async def deploy(server: Server, browser: Browser, version: str) -> Page:
    page = await of_shop(server, browser, "/deploy")
    return await browser.press(page, number=button(page, "/dashboard/apps/shop/deploy"), version=version)


async def test_a_branch_is_deployed_by_a_click(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/deploy")
    assert "acme/shop" in page.text
    assert 'name="version" value="main"' in page.text
    after = await deploy(shop, browser, "fix/cart")
    assert after.url == f"{shop.url}/dashboard/apps/shop"
    assert acts(after)[0].startswith("Deploy of fix/cart in the queue")
    assert acts(after)[0].endswith("Build log of Deploy of fix/cart")
    await shop.work()
    assert acts(await of_shop(shop, browser))[0].startswith("v3 Deploy bbbbbbbb done runs now")


async def test_what_is_no_branch_is_refused_where_it_was_entered(shop: Server, browser: Browser) -> None:
    for version in ("nowhere", "x" * 256):
        refused = await deploy(shop, browser, version)
        assert refused.status == 422
        assert re.search(r'<p class="wrong" id="wrong" role="alert">', refused.text)
        assert f'value="{version}"' in refused.text


async def test_a_locked_app_offers_no_deploy_and_says_why(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/deploy")
    await shop.call("POST", "/apps/shop/deploy-locks", {"reason": "audit <b>"}, expect=201)
    locked = await of_shop(shop, browser, "/deploy")
    assert "The app is locked by admin@localhost: audit &lt;b&gt;" in locked.text
    assert "Deploy to shop" not in locked.text
    late = await browser.press(page, number=button(page, "/dashboard/apps/shop/deploy"), version="main")
    assert (late.status, 'role="alert"' in late.text) == (409, True)


async def test_to_production_it_takes_promote_too(shop: Server, browser: Browser) -> None:
    coupling = await shop.get("/apps/shop/pipeline-couplings")
    await shop.call("PATCH", f"/pipeline-couplings/{coupling['id']}", {"stage": "production"}, expect=200)
    page = await of_shop(shop, browser, "/deploy")
    await viewer(shop, browser, "deploy")
    denied = await of_shop(shop, browser, "/deploy")
    assert "is in production, and to bring new code there takes promote" in denied.text
    assert "Deploy to shop" not in denied.text
    path = "/dashboard/apps/shop/deploy"
    csrf = re.findall(r'name="csrf" value="(\w+)"', denied.text)[0]
    refused = await browser.press(page, number=button(page, path), version="main", csrf=csrf)
    assert (refused.status, refused.title) == (403, "Not allowed")


async def test_an_app_without_a_repository_says_how_to_get_one(shop: Server, browser: Browser) -> None:
    await shop.app("alone")
    page = await browser.get(f"{shop.url}/dashboard/apps/alone/deploy")
    assert "towpath pipelines:add PIPELINE -a alone --stage staging" in page.text
    assert "Deploy to alone" not in page.text


async def switched(server: Server, browser: Browser, drop: tuple[str, ...] = (), **form: str) -> Page:
    return await browser.send(await of_shop(server, browser, "/deploy"), "/deploy/auto", drop=drop, **form)


async def test_automatic_deploys_are_switched_where_one_deploys(shop: Server, browser: Browser) -> None:
    page = await of_shop(shop, browser, "/deploy")
    assert "Nothing is deployed unless somebody says so." in page.text
    page = await switched(shop, browser, auto="on", wait="on")
    assert (page.status, "Saved." in page.text) == (200, True)
    assert "Each push to <code>main</code> is deployed once CI has passed." in page.text
    now = await shop.get("/apps/shop/github")
    assert (now["auto_deploy"], now["wait_for_ci"], now["follows_default_branch"]) == (True, True, True)
    page = await switched(shop, browser, ("wait",), branch="fix/cart")
    now = await shop.get("/apps/shop/github")
    assert (now["branch"], now["wait_for_ci"], now["follows_default_branch"]) == ("fix/cart", False, False)
    refused = await switched(shop, browser, branch="nowhere")
    assert (refused.status, "Couldn&#39;t find the branch nowhere" in refused.text) == (404, True)
    assert 'name="branch" value="nowhere"' in refused.text
    await switched(shop, browser, ("auto",))
    now = await shop.get("/apps/shop/github")
    assert (now["auto_deploy"], now["branch"]) == (False, "fix/cart")
    count = len(await shop.get("/activity?app=shop"))
    await switched(shop, browser)  # nothing is changed, so nothing is done
    assert len(await shop.get("/activity?app=shop")) == count


async def test_a_hold_is_said_where_one_deploys(shop: Server, browser: Browser, clock: Clock) -> None:
    await shop.call("PATCH", "/apps/shop/github", {"auto_deploy": True}, expect=200)
    clock.pass_by(minutes=1)
    await deployed(shop, "shop", "b" * 40)
    page = await of_shop(shop, browser, "/deploy")
    assert "held at v3 Nothing is deployed by itself until somebody resumes automatic deploys" in text_of(page.text)
    clock.pass_by(minutes=1)
    await browser.send(page, "/deploy/auto", wait="on")
    await shop.call("PATCH", "/apps/shop/github", {"branch": "fix/cart"}, expect=200)
    now = await shop.get("/apps/shop/github")
    assert (now["auto_deploy"], now["wait_for_ci"], now["branch"]) == (True, True, "fix/cart")
    assert "held at v3" in text_of((await of_shop(shop, browser, "/deploy")).text)
    clock.pass_by(minutes=1)
    await shop.call("PATCH", "/apps/shop/github", {"auto_deploy": True}, expect=200)
    assert "held at" not in text_of((await of_shop(shop, browser, "/deploy")).text)


async def test_who_saves_what_an_old_page_shows_puts_no_hold_of_others_off(shop: Server, browser: Browser) -> None:
    await shop.call("PATCH", "/apps/shop/github", {"auto_deploy": True}, expect=200)
    page = await of_shop(shop, browser, "/deploy")
    await shop.call("PATCH", "/apps/shop/github", {"auto_deploy": False}, expect=200)
    await browser.send(page, "/deploy/auto", wait="on")
    now = await shop.get("/apps/shop/github")
    assert (now["auto_deploy"], now["wait_for_ci"]) == (False, True)


async def test_a_review_app_follows_its_pull_request_and_no_branch(shop: Server, browser: Browser) -> None:
    def write(conn: Connection) -> None:
        conn.execute(app_rows.update().where(app_rows.c.name == "shop").values(is_review=True))

    before = await of_shop(shop, browser, "/deploy")
    await shop.db.write(write)
    assert "Automatic deploys" not in (await of_shop(shop, browser, "/deploy")).text
    refused = await browser.send(before, "/deploy/auto", auto="on")
    assert refused.status == 422
    assert not (await shop.get("/apps/shop/github"))["auto_deploy"]
