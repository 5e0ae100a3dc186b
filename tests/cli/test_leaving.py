"""Changes of settings that take review apps away ask first, and say which; all others do not ask."""

from sqlalchemy import Connection

from service.domain.model import ReviewState
from service.store import reviews
from tests.cli.conftest import Inside
from tests.web.api.test_review_apps import live_review, looked_at
from tests.web.serving import Server

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
    pipeline = await server.pipeline()
    await live_review(server, pipeline["id"], 7)
    assert "This destroys 1 review app of shop: shop-pr-7." in (await inside(*NEVER, code=2)).err
