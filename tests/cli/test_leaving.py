"""Changes of settings that take review apps away ask first, and say which; all others do not ask."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from sqlalchemy import Connection

from service.cli.client import Json
from service.domain.model import ReviewState
from service.store import apps, reviews
from service.store.tables import review_apps
from tests.cli.conftest import Inside
from tests.web.api.test_review_apps import live_review, looked_at
from tests.web.serving import SHOP, Server

OFF, NEVER = (
    ("pipelines:settings", "review_apps=off", "-p", "shop"),
    ("pipelines:settings", "forks=never", "-p", "shop"),
)
ENABLE, DISABLE = ("reviewapps:enable", "--forks", "never", "-p", "shop"), ("reviewapps:disable", "-p", "shop")


async def shop(server: Server, *numbers: int, of_forks: tuple[int, ...] = ()) -> None:
    """A pipeline with review apps of these pull requests."""
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    for number in numbers:
        await live_review(server, pipeline["id"], number)
        await looked_at(server, number, of_fork=number in of_forks)


async def test_those_of_forks_are_named_before_forks_run_no_more(inside: Inside, server: Server) -> None:
    await shop(server, 7, 11, of_forks=(11,))
    before = await server.get("/pipelines/shop/settings")
    for words in (NEVER, ENABLE):
        refused = await inside(*words, code=2)
        assert (
            refused.err
            == " ▸    This destroys 1 review app of shop: shop-pr-11. If that is meant, say --confirm shop\n"
        )
        assert refused.out == ""
        wrong = await inside(*words, "--confirm", "shpo", code=1)
        assert wrong.err == " ▸    Confirmation 'shpo' does not match 'shop'. Nothing was done.\n"
    assert await server.get("/pipelines/shop/settings") == before
    done = await inside(*NEVER, typed="shop\n")
    assert "This destroys 1 review app of shop: shop-pr-11. To go on, type shop: " in done.out + done.err
    assert "Changing forks of shop... done\n" in done.out
    assert (await server.get("/pipelines/shop/review-app-config"))["forks"] == "never"


async def test_all_are_named_before_review_apps_are_switched_off(inside: Inside, server: Server) -> None:
    await shop(server, 7, 11, of_forks=(11,))
    before = await server.get("/pipelines/shop/settings")
    for words in (OFF, DISABLE, ("pipelines:settings", "labels=demo", "review-apps=no", "-p", "shop")):
        refused = await inside(*words, code=2)
        assert refused.err == (
            " ▸    This destroys 2 review apps of shop: shop-pr-11, shop-pr-7. If that is meant, say --confirm shop\n"
        )
    assert await server.get("/pipelines/shop/settings") == before
    await inside(*OFF, "--confirm", "shop", "--json")
    await server.call("GET", "/pipelines/shop/review-app-config", expect=404)


async def test_nobody_is_asked_when_no_review_app_goes(inside: Inside, server: Server) -> None:
    await shop(server, 7)
    for words in (NEVER, ENABLE, ("pipelines:settings", "labels=demo", "-p", "shop")):
        assert "... done\n" in (await inside(*words)).out, words
    assert "does not match 'shop'" in (await inside(*NEVER, "--confirm", "shpo", code=1)).err

    def go(conn: Connection) -> None:
        review = reviews.of_pipeline(conn, pipeline_id)[0]
        reviews.update(conn, review=review, now=server.db.now(), state=ReviewState.DESTROYING)

    pipeline_id = (await server.get("/pipelines/shop"))["id"]
    await server.db.write(go)
    for words in (OFF, ("reviewapps:enable", "-p", "shop"), DISABLE):
        assert "... done\n" in (await inside(*words)).out, words


async def test_what_may_be_of_a_fork_counts_as_such(inside: Inside, server: Server) -> None:
    await shop(server)
    await live_review(server, (await server.get("/pipelines/shop"))["id"], 7)
    assert "This destroys 1 review app of shop: shop-pr-7." in (await inside(*NEVER, code=2)).err


IDLE = {
    "fewer days": ({"destroy_stale": True, "stale_days": 9}, "stale_days=3"),
    "stale ones that go from now on": ({"stale_days": 3}, "destroy_stale=on"),
    "destroying what was only suspended": (
        {"destroy_stale": True, "stale_days": 3, "idle_action": "suspend"},
        "idle_action=destroy",
    ),
}


@pytest.mark.parametrize("case", IDLE.values(), ids=IDLE)
async def test_idle_ones_are_named_before_a_setting_takes_them_away(
    inside: Inside, server: Server, case: tuple[Json, str]
) -> None:
    before, change = case
    await shop(server, 7, 11)
    await server.call("PATCH", "/pipelines/shop/settings", before, expect=200)
    since = server.db.now() - timedelta(days=5)
    of_seven = review_apps.update().where(review_apps.c.ref == "pr:7")
    await server.db.write(lambda conn: conn.execute(of_seven.values(created_at=since, deployed_at=since)))
    known = await server.get("/pipelines/shop/settings")
    words = ("pipelines:settings", change, "-p", "shop")
    assert (await inside(*words, code=2)).err == (
        " ▸    This destroys 1 review app of shop: shop-pr-7. If that is meant, say --confirm shop\n"
    )
    assert await server.get("/pipelines/shop/settings") == known
    await inside(*words, typed="shop\n")
    assert await server.get("/pipelines/shop/settings") != known
    # It goes by now: what is changed beside that takes nothing away.
    assert "... done\n" in (await inside("pipelines:settings", "labels=demo", "-p", "shop")).out


async def test_one_past_its_date_is_named_all_the_same_where_something_else_is_to_end_it(
    inside: Inside, server: Server
) -> None:
    """What CI, a build, the brake or access that was lost keeps from its end is there, and nobody has let it go."""
    await shop(server, 7, 11, of_forks=(11,))
    await server.call("PATCH", "/pipelines/shop/settings", {"destroy_stale": True, "stale_days": 3}, expect=200)
    since = server.db.now() - timedelta(days=5)
    await server.db.write(lambda conn: conn.execute(review_apps.update().values(created_at=since, deployed_at=since)))
    for words, named in (
        (OFF, "2 review apps of shop: shop-pr-11, shop-pr-7"),
        (DISABLE, "2 review apps of shop: shop-pr-11, shop-pr-7"),
        (NEVER, "1 review app of shop: shop-pr-11"),
        (ENABLE, "1 review app of shop: shop-pr-11"),
    ):
        assert f"This destroys {named}." in (await inside(*words, code=2)).err, words


async def test_what_may_be_of_a_fork_is_named_though_forks_run_no_more(inside: Inside, server: Server) -> None:
    await shop(server)
    await live_review(server, (await server.get("/pipelines/shop"))["id"], 7)
    await server.call("PATCH", "/pipelines/shop/settings", {"forks": "never", "stale_days": 3}, expect=200)
    since = server.db.now() - timedelta(days=5)
    await server.db.write(lambda conn: conn.execute(review_apps.update().values(created_at=since, deployed_at=since)))
    for words in (OFF, ("pipelines:settings", "destroy_stale=on", "-p", "shop")):
        assert "This destroys 1 review app of shop: shop-pr-7." in (await inside(*words, code=2)).err, words
    # Forks run no more by what was said before.
    assert "... done\n" in (await inside("pipelines:settings", "labels=demo", "-p", "shop")).out


async def test_one_that_came_up_since_the_question_is_asked_about_anew(inside: Inside, server: Server) -> None:
    await shop(server, 7)
    pipeline = await server.get("/pipelines/shop")
    seen = {"review_apps": False}
    refused, _ = await server.call("PATCH", "/pipelines/shop/settings?told=", seen, expect=409)
    assert (refused["id"], refused["review_apps"]) == ("review_apps_would_go", ["shop-pr-7"])
    await live_review(server, pipeline["id"], 11)
    for method, where, body in (
        ("PATCH", "settings", seen),
        ("PATCH", "repository", seen),
        ("DELETE", "review-app-config", None),
        ("POST", "repository", {"repository": "acme/other"}),
    ):
        refused, _ = await server.call(method, f"/pipelines/shop/{where}?told=shop-pr-7", body, expect=409)
        assert refused["review_apps"] == ["shop-pr-11", "shop-pr-7"], where
    assert (await server.get("/pipelines/shop/repository"))["full_name"] == "acme/shop"
    await server.call("GET", "/pipelines/shop/review-app-config", expect=200)
    await server.call("PATCH", "/pipelines/shop/settings?told=shop-pr-11,shop-pr-7,shop-pr-1", seen, expect=200)
    await server.call("GET", "/pipelines/shop/review-app-config", expect=404)


@asynccontextmanager
async def before(
    server: Server, *, older: bool = False, meanwhile: Callable[[], Awaitable[object]] | None = None
) -> AsyncIterator[str]:
    """The address of a proxy before the server; something happens `meanwhile`, just before the first change arrives.

    `older` is the same server from before it knew of `told`: of that it hears nothing and says nothing.
    """
    happens = [meanwhile] if meanwhile is not None else []

    async def forward(request: web.Request) -> web.Response:
        if request.method != "GET" and happens:
            await happens.pop()()
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}}
        url, sent = request.rel_url.raw_path if older else request.raw_path, await request.read()
        async with server.session.request(request.method, server.url + url, data=sent, headers=headers) as answer:
            taken = {} if older else {"Towpath-Takes": answer.headers.get("Towpath-Takes", "")}
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type="application/json", headers=taken)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_older_server_that_would_not_ask_takes_nothing_away_unasked(inside: Inside, server: Server) -> None:
    await shop(server, 7)
    known = await server.get("/pipelines/shop/settings")
    async with before(server, older=True) as url:
        for words in (OFF, ENABLE, DISABLE):
            for typed in ("", "shop\n"):
                refused = await inside(*words, typed=typed, code=1, TOWPATH_URL=url)
                assert refused.err == (
                    f" ▸    The server at {url} is older than this command line and would not ask before review apps "
                    "go. Update it, or say --confirm shop. Nothing was done.\n"
                )
        assert await server.get("/pipelines/shop/settings") == known
        await inside(*DISABLE, "--confirm", "shop", TOWPATH_URL=url)
    await server.call("GET", "/pipelines/shop/review-app-config", expect=404)


async def test_more_than_an_address_has_room_for_go_once_they_are_named(inside: Inside, server: Server) -> None:
    await shop(server)
    pipeline_id, now, names = (await server.get("/pipelines/shop"))["id"], server.db.now(), []

    def go_live(conn: Connection) -> None:
        space = apps.ensure_space(conn, name="common", driver="process", now=now)
        for number in range(1000, 1340):
            names.append(f"a-rather-long-name-pr-{number}")
            app = apps.create(
                conn, name=names[-1], space_id=space.id, owner_id=None, is_review=True, now=now, pipeline_id=None
            )
            reviews.create(
                conn, pipeline_id=pipeline_id, repository_id=SHOP.id, ref=f"pr:{number}", generation=1, app_id=app.id,
                state=ReviewState.LIVE, reason="", sha="b" * 40, branch="fix/cart", by_person=False, now=now,
            )  # fmt: skip

    await server.db.write(go_live)
    where = "/pipelines/shop/review-app-config"
    refused, _ = await server.call("DELETE", f"{where}?told=", expect=409)
    assert refused["review_apps"] == names
    await server.call("DELETE", f"{where}?told=sha256:{'0' * 64}", expect=409)
    assert "This destroys 340 review apps of shop: a-rather-long-name-pr-1000, " in (await inside(*DISABLE, code=2)).err
    await inside(*DISABLE, typed="shop\n")
    await server.call("GET", where, expect=404)
    # A client that does not work it out sends what it was answered.
    await server.call("POST", where, {}, expect=201)
    await server.call("DELETE", f"{where}?told={refused['told']}", expect=200)


ELSEWHERE = ("pipelines:connect", "shop", "-r", "acme/other")


async def test_all_are_named_before_a_pipeline_leaves_its_repository(inside: Inside, server: Server) -> None:
    await shop(server)
    ends = " ▸    This ends automatic deploys from acme/shop"
    assert (await inside(*ELSEWHERE, code=2)).err == f"{ends}. If that is meant, say --confirm shop\n"
    pipeline = await server.get("/pipelines/shop")
    await live_review(server, pipeline["id"], 7)
    refused = await inside(*ELSEWHERE, code=2)
    assert (
        refused.err == f"{ends}, and destroys 1 review app of shop: shop-pr-7. If that is meant, say --confirm shop\n"
    )
    wrong = await inside(*ELSEWHERE, "--confirm", "shpo", code=1)
    assert wrong.err == " ▸    Confirmation 'shpo' does not match 'shop'. Nothing was done.\n"
    assert (await server.get("/pipelines/shop/repository"))["full_name"] == "acme/shop"
    async with before(server, meanwhile=lambda: live_review(server, pipeline["id"], 11)) as url:
        done = await inside(*ELSEWHERE, typed="shop\nshop\n", TOWPATH_URL=url)
    assert "destroys 1 review app of shop: shop-pr-7. To go on" in done.out + done.err
    assert "destroys 2 review apps of shop: shop-pr-11, shop-pr-7. To go on" in done.out + done.err
    assert (await server.get("/pipelines/shop/repository"))["full_name"] == "acme/other"


async def test_a_pipeline_is_connected_unasked_where_it_leaves_nothing(inside: Inside, server: Server) -> None:
    await server.pipeline(connected=False)
    for _ in range(2):
        assert "... done\n" in (await inside("pipelines:connect", "shop", "-r", "acme/shop")).out
