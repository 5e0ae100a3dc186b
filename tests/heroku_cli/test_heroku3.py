"""`heroku3`, the Python client of Heroku's API, lists and changes the same things."""

import asyncio
from collections.abc import Callable
from typing import Any

import heroku3
import pytest

from tests.cli.conftest import server, sqlite_database, sqlite_template
from tests.web.serving import HEADS, Server

__all__ = ["server", "sqlite_database", "sqlite_template"]


Does = Callable[[Callable[[Any], Any]], Any]


@pytest.fixture
async def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> Does:
    """Do something with a client that knows our address; it waits for each answer, so it does that in a thread."""
    monkeypatch.setattr(heroku3.api, "HEROKU_URL", server.url)
    made = await asyncio.to_thread(heroku3.from_key, server.token)

    async def does(work: Callable[[Any], Any]) -> Any:
        return await asyncio.to_thread(work, made)

    return does


async def test_apps_are_made_found_listed_renamed_and_deleted(server: Server, client: Does) -> None:
    made = await client(lambda it: it.create_app(name="by-python").name)
    await server.app("by-hand")
    assert made == "by-python"
    assert await client(lambda it: sorted(app.name for app in it.apps())) == ["by-hand", "by-python"]
    assert await client(lambda it: it.app("by-hand").owner.email) == "admin@localhost"
    await client(lambda it: it.app("by-python").rename("by-snake"))
    await client(lambda it: it.app("by-hand").delete())
    assert {it["name"]: it["state"] for it in await server.get("/apps")} == {
        "by-snake": "active",
        "by-hand": "destroying",
    }


async def test_config_is_read_and_changed(server: Server, client: Does) -> None:
    await server.app("example")

    def change(it: Any) -> dict[str, str]:
        config = it.app("example").config()
        config["A"] = "1"
        config.update({"B": "2", "C": "3"})
        del config["C"]
        return dict(it.app("example").config().to_dict())

    assert await client(change) == {"A": "1", "B": "2"}
    assert await server.get("/apps/example/config-vars") == {"A": "1", "B": "2"}


async def test_code_is_built_released_scaled_looked_at_and_rolled_back(server: Server, client: Does) -> None:
    await server.pipeline(staging="example")
    for branch in ("main", "fix/cart"):
        await server.call("POST", "/apps/example/builds", {"source_blob": {"version": branch}}, expect=201)
        await server.work()
    builds = await client(lambda it: [build.source_blob.version for build in it.app("example").builds()])
    assert sorted(builds) == sorted([HEADS["main"], HEADS["fix/cart"]])
    assert await client(lambda it: [release.version for release in it.app("example").releases()]) == [1, 2]
    await client(lambda it: it.app("example").rollback("v1"))
    await server.work()
    releases = await server.get("/apps/example/releases")
    assert (releases[-1]["version"], releases[-1]["commit"]) == (3, HEADS["main"])
    formation = await client(lambda it: {each.type: each.quantity for each in it.app("example").process_formation()})
    assert formation == {"web": 1, "worker": 0}
    await client(lambda it: it.app("example").process_formation()["worker"].scale(2))
    await server.work()
    assert (await server.get("/apps/example/formation/worker"))["quantity"] == 2
    dynos = await client(lambda it: sorted(dyno.name for dyno in it.app("example").dynos()))
    assert dynos == ["web.1", "worker.1", "worker.2"]
    assert "line 0 of [web.2]" in await client(lambda it: it.app("example").get_log(lines=10))


async def test_who_one_is_and_with_whom_one_works(server: Server, client: Does) -> None:
    await server.app("example")
    await server.call("POST", "/users", {"email": "ada@example.com"}, expect=201)
    assert await client(lambda it: it.account().email) == "admin@localhost"
    await client(lambda it: it.app("example").add_collaborator(user_id_or_email="ada@example.com", silent=True))
    people = await client(lambda it: sorted(each.user.email for each in it.app("example").collaborators()))
    assert people == ["ada@example.com", "admin@localhost"]
    assert await client(lambda it: len(it.oauthauthorizations())) == 1


async def test_what_is_refused_is_told_in_our_words(server: Server, client: Does) -> None:
    await server.app("example")
    with pytest.raises(Exception, match="is already taken"):
        await client(lambda it: it.create_app(name="example"))
