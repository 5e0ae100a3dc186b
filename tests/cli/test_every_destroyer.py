"""Commands that take something away: each wants the name again, from a person or from `--confirm`, and else does nothing."""

from typing import Any, NamedTuple

from service.store import orphans
from tests.cli.conftest import Inside
from tests.cli.test_every_command import COMMANDS
from tests.web.api.test_review_apps import live_review, looked_at
from tests.web.serving import Server


class Row(NamedTuple):
    """What is run, and the name that it wants again."""

    words: tuple[str, ...]
    name: str


# In an order in which each is possible.
TABLE = (
    Row(("reviewapps:destroy", "fix/cart", "-p", "shop"), "fix/cart"),
    Row(("reviewapps:disable", "-p", "closing"), "closing"),
    Row(("reviewapps:enable", "--forks", "never", "-p", "closed"), "closed"),
    Row(("pipelines:settings", "review_apps=off", "-p", "closed"), "closed"),
    Row(("pipelines:connect", "shop", "-r", "acme/other"), "shop"),
    Row(("pipelines:disconnect", "shop"), "shop"),
    Row(("pipelines:transfer", "crew", "-p", "shop"), "shop"),
    Row(("pipelines:destroy", "other"), "other"),
    Row(("apps:transfer", "bob@example.com", "-a", "crewed"), "crewed"),
    Row(("apps:destroy", "single"), "single"),
    Row(("orphans:destroy", "3f1c"), "3f1c"),
    Row(("teams:destroy", "nobodys"), "nobodys"),
    Row(("users:remove", "eve@example.com"), "eve@example.com"),
)


async def furnish(server: Server) -> None:
    """One of each thing that can be taken away."""

    async def post(path: str, body: Any, status: int = 201) -> Any:
        return (await server.call("POST", path, body, expect=status))[0]

    for name in ("bob", "eve"):
        await post("/users", {"email": f"{name}@example.com"})
    for name in ("crew", "nobodys"):
        await post("/teams", {"name": name})
    await post("/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    shop = await server.pipeline(staging="example")
    await server.pipeline("other", connected=False)
    await post(f"/pipelines/{shop['id']}/review-app-config", {})
    await post("/review-apps", {"pipeline": shop["id"], "branch": "fix/cart"})
    for number, name in ((7, "closing"), (11, "closed")):
        made = await server.pipeline(name)
        await post(f"/pipelines/{made['id']}/review-app-config", {})
        await live_review(server, made["id"], number)
        await looked_at(server, number, of_fork=True)
    await server.app("single")
    await post("/apps", {"name": "crewed", "team": "crew"})
    found = {"3f1c": "web.1"}
    await server.db.write(lambda conn: orphans.keep(conn, driver="process", found=found, now=server.db.now()))


async def everything(server: Server) -> dict[str, Any]:
    """All that there is, as the API shows it to an administrator."""
    lists = ("/apps", "/pipelines", "/teams", "/users", "/orphans", "/activity")
    inside = ("repository", "review-apps", "review-app-config", "pipeline-couplings")
    ids = [each["id"] for each in await server.get("/pipelines")]
    return {
        path: await server.get(path) for path in (*lists, *(f"/pipelines/{it}/{of}" for it in ids for of in inside))
    }


def test_every_command_that_asks_is_in_the_table() -> None:
    asking = {name for name, each in COMMANDS.items() if any("--confirm" in one.opts for one in each.params)}
    assert {row.words[0] for row in TABLE} == asking


async def test_nothing_is_taken_away_without_its_name(inside: Inside, server: Server) -> None:
    await furnish(server)
    before = await everything(server)
    for words, name in TABLE:
        unasked = await inside(*words, code=2)
        assert f"say --confirm {name}\n" in unasked.err, words
        piped = await inside(*words, stdin=f"{name}\n", code=2)
        assert f"say --confirm {name}\n" in piped.err, words
        for wrong in (
            await inside(*words, "--confirm", "wrong", code=1),
            await inside(*words, typed="wrong\n", code=1),
        ):
            assert f"Confirmation 'wrong' does not match {name!r}. Nothing was done.\n" in wrong.err, words
        assert f"To go on, type {name}: " in wrong.err, words
        silent = await inside(*words, typed="\n", code=1)
        assert "Nothing was done." in silent.err, words
    assert await everything(server) == before


async def test_what_is_named_again_is_taken_away(inside: Inside, server: Server) -> None:
    await furnish(server)
    for words, name in TABLE:
        before = await everything(server)
        done = await inside(*words, typed=f"{name}\n")
        assert "... done" in done.out, words
        assert await everything(server) != before, words
