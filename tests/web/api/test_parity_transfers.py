"""Parity with Heroku, row 10: who may give a pipeline to whom, and what is said of apps that others own."""

from typing import Any

import pytest

from tests.web.api.people import World, user
from tests.web.serving import Server

TEAM = {"id": "crew", "type": "team"}


@pytest.fixture
async def world(server: Server) -> World:
    """A team with an admin and a member, and somebody outside of it."""
    made = World(server=server, tokens={"operator": server.token}, ours={}, theirs={})
    for name in ("admin", "member", "outsider"):
        await user(made, name)
    await made.must("admin", "POST", "/teams", {"name": "crew"})
    await made.must(
        "admin", "PUT", "/teams/crew/members", {"email": "member@example.com", "role": "member"}, status=200
    )
    # They know one another, so that what is refused is not refused for being out of sight.
    await made.must("admin", "POST", "/teams", {"name": "friends"})
    for name in ("member", "outsider"):
        body = {"email": f"{name}@example.com", "role": "member"}
        await made.must("admin", "PUT", "/teams/friends/members", body, status=200)
    return made


async def pipeline(world: World, who: str, *, team: bool = False) -> str:
    """A pipeline of somebody or of the team, with an app of the same owner in either stage."""
    owner = {"owner": TEAM} if team else {}
    made = await world.must(who, "POST", "/pipelines", {"name": "shop", **owner})
    for stage in ("staging", "production"):
        app = await world.must(who, "POST", "/apps", {"name": f"shop-{stage}", **({"team": "crew"} if team else {})})
        await world.must(who, "POST", "/pipeline-couplings", {"app": app["id"], "pipeline": made["id"], "stage": stage})
    return str(made["id"])


async def given(world: World, who: str, pipeline_id: str, owner: dict[str, str], *, status: int = 201) -> Any:
    body = {"pipeline": {"id": pipeline_id}, "new_owner": owner}
    return await world.must(who, "POST", "/pipeline-transfers", body, status=status)


async def owners(world: World, who: str, pipeline_id: str) -> list[tuple[str, str]]:
    """Whose the pipeline is, and whose the apps in it are."""
    shown = await world.must(who, "GET", f"/pipelines/{pipeline_id}", status=200)
    apps = await world.must(who, "GET", "/apps", status=200)
    return [(shown["owner"]["type"], shown["owner"]["id"]), *((app["name"], app["owner"]["email"]) for app in apps)]


async def account(world: World, name: str) -> str:
    return str((await world.must(name, "GET", "/account", status=200))["id"])


async def team(world: World) -> str:
    return str((await world.must("admin", "GET", "/teams/crew", status=200))["id"])


async def test_user_to_team_member_ok(world: World) -> None:
    own = await pipeline(world, "member")
    said = await given(world, "member", own, TEAM)
    assert said["previous_owner"] == {"id": await account(world, "member"), "type": "user"}
    assert said["new_owner"] == {"id": await team(world), "type": "team"}
    assert await owners(world, "admin", own) == [
        ("team", await team(world)),
        ("shop-production", "crew@herokumanager.com"),
        ("shop-staging", "crew@herokumanager.com"),
    ]


async def test_user_to_team_non_member_no(world: World) -> None:
    own = await pipeline(world, "outsider")
    said = await given(world, "outsider", own, TEAM, status=404)
    assert said["id"] == "not_found"
    await world.must(
        "admin", "PUT", "/teams/crew/members", {"email": "outsider@example.com", "role": "viewer"}, status=200
    )
    said = await given(world, "outsider", own, TEAM, status=422)
    assert "not a member of the team crew" in said["message"]
    assert (await owners(world, "outsider", own))[0] == ("user", await account(world, "outsider"))


async def test_team_to_member_ok(world: World) -> None:
    own = await pipeline(world, "admin", team=True)
    await given(world, "admin", own, {"id": await account(world, "member"), "type": "user"})
    assert await owners(world, "member", own) == [
        ("user", await account(world, "member")),
        ("shop-production", "member@example.com"),
        ("shop-staging", "member@example.com"),
    ]
    await world.must("admin", "GET", f"/pipelines/{own}", status=404)


async def test_whom_a_team_had_let_in_is_not_let_in_by_the_new_owner(world: World) -> None:
    own = await pipeline(world, "admin", team=True)
    await world.must("admin", "POST", "/apps/shop-staging/collaborators", {"user": "outsider@example.com"})
    await world.must("outsider", "GET", "/apps/shop-staging", status=200)
    await given(world, "admin", own, {"id": await account(world, "member"), "type": "user"})
    await world.must("outsider", "GET", "/apps/shop-staging", status=404)


async def test_team_to_member_takes_an_admin(world: World) -> None:
    own = await pipeline(world, "admin", team=True)
    said = await given(world, "member", own, {"id": await account(world, "member"), "type": "user"}, status=403)
    assert "an admin of the team crew" in said["message"]


async def test_team_to_outsider_no(world: World) -> None:
    own = await pipeline(world, "admin", team=True)
    said = await given(world, "admin", own, {"id": "outsider@example.com", "type": "user"}, status=422)
    assert "outsider@example.com is not a member of the team crew" in said["message"]
    assert (await owners(world, "admin", own))[0][0] == "team"


async def test_user_to_user_no(world: World) -> None:
    own = await pipeline(world, "member")
    said = await given(world, "member", own, {"id": "outsider@example.com", "type": "user"}, status=422)
    assert "cannot be transferred from one user to another" in said["message"]
    body = {"app": "shop-staging", "recipient": "outsider@example.com"}
    said = await world.must("member", "POST", "/account/app-transfers", body, status=422)
    assert "cannot be transferred from one user to another" in said["message"]


async def test_team_to_team_takes_an_admin_of_both(world: World) -> None:
    own = await pipeline(world, "admin", team=True)
    await world.must(
        "admin", "PATCH", "/teams/friends/members", {"email": "member@example.com", "role": "admin"}, status=200
    )
    said = await given(world, "member", own, {"id": "friends", "type": "team"}, status=403)
    assert "an admin of the team crew" in said["message"]
    await given(world, "admin", own, {"id": "friends", "type": "team"})
    assert (await owners(world, "admin", own))[1][1] == "friends@herokumanager.com"


async def test_apps_of_others_stay_theirs_and_are_told_apart(world: World) -> None:
    own = await pipeline(world, "member")
    app = await world.must("admin", "POST", "/apps", {"name": "shop-edge"})
    body = {"user": "member@example.com", "permissions": ["view", "manage"]}
    await world.must("admin", "POST", f"/apps/{app['id']}/collaborators", body)
    body = {"app": app["id"], "pipeline": own, "stage": "staging"}
    await world.must("member", "POST", "/pipeline-couplings", body)
    await given(world, "member", own, TEAM)
    assert dict((await owners(world, "member", own))[1:]) == {
        "shop-edge": "admin@example.com",
        "shop-production": "crew@herokumanager.com",
        "shop-staging": "crew@herokumanager.com",
    }


async def test_a_pipeline_that_nobody_owns_is_taken_by_whoever_owns_an_app_in_it(world: World) -> None:
    own = await pipeline(world, "member")
    await world.server.db.write(
        lambda conn: conn.exec_driver_sql("UPDATE pipelines SET owner_id = NULL, owner_type = NULL")
    )
    shown = await world.must("member", "GET", f"/pipelines/{own}", status=200)
    assert shown["owner"] is None
    await given(world, "outsider", own, {"id": "~", "type": "user"}, status=404)
    said = await given(world, "operator", own, {"id": "~", "type": "user"}, status=422)
    assert "You own no app in Pipeline shop" in said["message"]
    said = await given(world, "member", own, {"id": "~", "type": "user"})
    assert (said["previous_owner"], said["new_owner"]["id"]) == (None, await account(world, "member"))


async def test_a_transfer_is_in_the_activity_log(world: World) -> None:
    own = await pipeline(world, "member")
    await given(world, "member", own, TEAM)
    entries = await world.must("admin", "GET", f"/activity?pipeline={own}", status=200)
    (entry,) = [each for each in entries if each["action"] == "pipeline transferred"]
    assert (entry["actor"], entry["data"]) == ("user:member@example.com", {"from": "member@example.com", "to": "crew"})


async def test_whoever_made_an_app_in_a_team_has_nothing_of_it_in_another(world: World) -> None:
    own = await pipeline(world, "member", team=True)
    await world.must("admin", "POST", "/teams", {"name": "others"})
    await given(world, "admin", own, {"id": "others", "type": "team"})
    await world.must("member", "GET", "/apps/shop-staging", status=404)
    await world.must("admin", "GET", "/apps/shop-staging", status=200)


async def test_the_webhooks_of_what_is_given_away_stop_until_the_new_owner_starts_them(world: World) -> None:
    own = await pipeline(world, "member")
    body = {"include": ["api:app"], "level": "sync", "url": "http://localhost:9/"}
    places = ("/apps/shop-staging", "/apps/shop-production", f"/pipelines/{own}")
    for place in places:
        await world.must("member", "POST", f"{place}/webhooks", body)
    await world.must("member", "PATCH", "/apps/shop-staging", {"maintenance": True}, status=200)
    await given(world, "member", own, TEAM)
    await world.must("admin", "PATCH", "/apps/shop-staging", {"maintenance": False}, status=200)
    for place in places:
        (webhook,) = await world.must("admin", "GET", f"{place}/webhooks", status=200)
        assert (webhook["state"], webhook["reason"]) == ("stopped", "it has another owner")
        told = await world.must("admin", "GET", f"{place}/webhook-deliveries", status=200)
        # Nor is sent what was still on its way to whoever listened.
        assert [each["status"] for each in told] == ["failed"] * (place != "/apps/shop-production")
    (webhook,) = await world.must("admin", "GET", "/apps/shop-staging/webhooks", status=200)
    where = f"/apps/shop-staging/webhooks/{webhook['id']}"
    started = await world.must("admin", "PATCH", where, {}, status=200)
    assert (started["state"], started["reason"]) == ("active", None)


async def test_the_webhooks_of_an_app_that_was_offered_stop_when_it_is_accepted(world: World) -> None:
    await pipeline(world, "admin", team=True)
    body = {"include": ["api:app"], "level": "sync", "url": "http://localhost:9/"}
    await world.must("admin", "POST", "/apps/shop-staging/webhooks", body)
    offer = {"app": "shop-staging", "recipient": "member@example.com"}
    made = await world.must("admin", "POST", "/account/app-transfers", offer)
    (webhook,) = await world.must("admin", "GET", "/apps/shop-staging/webhooks", status=200)
    assert webhook["state"] == "active"
    where = f"/account/app-transfers/{made['id']}"
    await world.must("member", "PATCH", where, {"state": "accepted"}, status=200)
    (webhook,) = await world.must("member", "GET", "/apps/shop-staging/webhooks", status=200)
    assert webhook["reason"] == "it has another owner"
