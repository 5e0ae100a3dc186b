"""Users, tokens, teams and access on the wire."""

from base64 import urlsafe_b64decode
from datetime import timedelta
from typing import Any

import pytest

from service.store.tables import api_tokens, metadata
from tests.waiting import until
from tests.web.api.people import World, user
from tests.web.serving import Server


@pytest.fixture
async def world(server: Server) -> World:
    made = World(server=server, tokens={"operator": server.token}, ours={}, theirs={})
    for name in ("ada", "bob", "eve"):
        await user(made, name)
    return made


async def test_a_token_is_shown_once_and_can_be_rotated_and_revoked(world: World) -> None:
    body = {"description": "For CI", "expires_in": 3600, "scope": ["read"]}
    made = await world.must("ada", "POST", "/oauth/authorizations", body)
    secret = made["access_token"]["token"]
    prefix, _, random = secret.partition("-")
    assert (prefix, len(urlsafe_b64decode(f"{random}="))) == ("towpath", 32)
    assert made["access_token"]["expires_in"] == 3600
    assert (made["description"], made["scope"], made["user"]["email"]) == ("For CI", ["read"], "ada@example.com")
    assert made["client"] is not None

    where = f"/oauth/authorizations/{made['id']}"
    listed = await world.must("ada", "GET", "/oauth/authorizations", status=200)
    assert {each["description"]: each["current"] for each in listed} == {"First token": True, "For CI": False}
    assert secret not in str(listed) + str(await world.must("ada", "GET", where, status=200))
    assert listed[1]["last_used_at"] is None
    await world.must(secret, "GET", "/account", status=200)

    async def used() -> bool:
        return bool((await world.must("ada", "GET", where, status=200))["last_used_at"])

    await until(used)

    again = await world.must("ada", "POST", f"{where}/actions/regenerate-tokens", status=200)
    assert again["id"] == made["id"]
    await world.must(secret, "GET", "/account", status=401)
    secret = again["access_token"]["token"]
    await world.must(secret, "GET", "/account", status=200)
    await world.must("ada", "DELETE", where, status=200)
    await world.must(secret, "GET", "/account", status=401)
    await world.must("ada", "GET", where, status=404)


async def test_tokens_are_nowhere_but_in_the_answer_that_made_them(world: World, capfd: Any) -> None:
    made = await world.must("ada", "POST", "/oauth/authorizations", {"description": "For CI"})
    secret = made["access_token"]["token"]
    await world.must(secret, "GET", "/apps", status=200)

    def everything(conn: Any) -> str:
        return "".join(
            str(dict(row)) for table in metadata.sorted_tables for row in conn.execute(table.select()).mappings()
        )

    kept = await world.server.db.read(everything)
    for each in (secret, *world.tokens.values()):
        assert each not in kept
        assert each not in "".join(capfd.readouterr())


async def test_an_expired_token_is_refused(world: World) -> None:
    made = await world.must("ada", "POST", "/oauth/authorizations", {"expires_in": 60})
    secret = made["access_token"]["token"]
    await world.must(secret, "GET", "/account", status=200)
    past = world.server.db.now() - timedelta(seconds=1)
    change = api_tokens.update().where(api_tokens.c.id == made["id"]).values(expires_at=past)
    await world.server.db.write(lambda conn: conn.execute(change))
    said = await world.must(secret, "GET", "/account", status=401)
    assert said["id"] == "unauthorized"


async def test_logging_out_of_a_session_that_there_is_not_is_what_herokus_cli_expects(world: World) -> None:
    said = await world.must("ada", "DELETE", "/oauth/sessions/~", status=404)
    assert (said["id"], said["resource"]) == ("not_found", "session")


BAD = [
    ("a user without an address", "/users", {"name": "x"}, "email"),
    ("a user of no address", "/users", {"email": "ada"}, "email"),
    ("a user there is", "/users", {"email": "ADA@example.com"}, "there is a user ada@example.com"),
    ("an unknown scope", "/oauth/authorizations", {"scope": ["everything"]}, "scope"),
    ("no scope at all", "/oauth/authorizations", {"scope": []}, "scope"),
    ("a token that has expired already", "/oauth/authorizations", {"expires_in": 0}, "expires_in"),
    ("a team of two letters", "/teams", {"name": "ab"}, "name"),
    ("a team whose name the paths need", "/teams", {"name": "apps"}, "already taken"),
    ("a team of another such name", "/teams", {"name": "permissions"}, "already taken"),
    ("an unknown role", "/teams/crew/members", {"email": "ada@example.com", "role": "owner"}, "role"),
    ("a member without an account", "/teams/crew/members", {"email": "no@example.com", "role": "member"}, "no user"),
    ("a member there is", "/teams/crew/members", {"email": "admin@localhost", "role": "viewer"}, "already, as admin"),
    ("an unknown permission", "/apps/own/collaborators", {"user": "ada@example.com", "permissions": ["all"]}, "permissions"),
    ("access for nobody", "/apps/own/collaborators", {"user": "no@example.com"}, "no user"),
    ("access for its owner", "/apps/own/collaborators", {"user": "admin@localhost"}, "own"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "named"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_input_is_422_naming_what_is_wrong(world: World, path: str, body: Any, named: str) -> None:
    await world.must("operator", "POST", "/teams", {"name": "crew"})
    await world.must("operator", "POST", "/apps", {"name": "own"})
    said = await world.must("operator", "POST", path, body, status=422)
    assert said["id"] == "invalid_params"
    assert named in said["message"]


async def test_the_installation_keeps_an_administrator(world: World) -> None:
    said = await world.must("operator", "PATCH", "/users/admin@localhost", {"admin": False}, status=422)
    assert "needs an administrator" in said["message"]
    await world.must("operator", "PATCH", "/users/ada@example.com", {"admin": True}, status=200)
    changed = await world.must("ada", "PATCH", "/users/admin@localhost", {"admin": False}, status=200)
    assert changed["admin"] is False
    await world.must("operator", "GET", "/users", status=403)


async def test_who_is_removed_is_out_at_once_and_what_they_owned_is_the_administrators(world: World) -> None:
    pipeline = await world.must("ada", "POST", "/pipelines", {"name": "adas-pipe"})
    await world.must("ada", "POST", "/apps", {"name": "adas-app"})
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    await world.must("ada", "POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    await world.must("ada", "POST", "/apps", {"name": "of-crew", "team": "crew"})
    await world.must("operator", "GET", "/apps/adas-app", status=404)
    hook = {"include": ["api:app"], "level": "sync", "url": "http://localhost:9/"}
    places = ("/apps/adas-app", f"/pipelines/{pipeline['id']}", "/apps/of-crew")
    for place in places:
        await world.must("ada", "POST", f"{place}/webhooks", hook)
    removed = await world.must("operator", "DELETE", "/users/ada@example.com", status=200)
    assert removed["left"] == ["adas-app", "adas-pipe"]
    await world.must("ada", "GET", "/account", status=401)
    members = await world.must("bob", "GET", "/teams/crew/members", status=200)
    assert [(each["email"], each["role"]) for each in members] == [
        ("admin@localhost", "admin"),
        ("bob@example.com", "member"),
    ]
    assert (await world.must("operator", "GET", f"/pipelines/{pipeline['id']}", status=200))["owner"] is None
    hooks = [(await world.must("operator", "GET", f"{place}/webhooks", status=200))[0] for place in places]
    assert [each["reason"] for each in hooks] == ["it has another owner", "it has another owner", None]
    await world.must("bob", "GET", "/apps/adas-app", status=404)
    given = await world.must("operator", "PATCH", "/teams/apps/adas-app", {"owner": "crew"}, status=200)
    assert given["team"]["name"] == "crew"
    said = await world.must("operator", "DELETE", "/users/admin@localhost", status=422)
    assert "Nobody removes their own account" in said["message"]
    await user(world, "ada")
    assert await world.must("ada", "GET", "/apps", status=200) == []


async def test_a_team_is_made_filled_and_left(world: World) -> None:
    made = await world.must("ada", "POST", "/teams", {"name": "crew"})
    assert (made["role"], made["type"]) == ("admin", "team")
    await world.must("ada", "POST", "/teams/crew/members", {"email": "Bob@Example.com", "role": "viewer"})
    members = await world.must("bob", "GET", "/teams/crew/members", status=200)
    assert [(each["email"], each["role"]) for each in members] == [
        ("ada@example.com", "admin"),
        ("bob@example.com", "viewer"),
    ]
    said = await world.must("ada", "DELETE", "/teams/crew/members/ada@example.com", status=422)
    assert "needs an admin" in said["message"]
    await world.must("ada", "PATCH", "/teams/crew/members", {"email": "bob@example.com", "role": "admin"}, status=200)
    await world.must("ada", "DELETE", "/teams/crew/members/ada@example.com", status=200)
    assert await world.must("ada", "GET", "/teams", status=200) == []
    await world.must("bob", "PATCH", "/teams/crew", {"name": "crew-two"}, status=200)
    await world.must("bob", "POST", "/teams/apps", {"name": "held", "team": "crew-two"})
    said = await world.must("bob", "DELETE", "/teams/crew-two", status=422)
    assert "still owns the app held" in said["message"]


async def test_whoever_is_invited_is_in_the_team_with_their_account(world: World) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    body = {"email": "new@example.com", "role": "member"}
    invited = await world.must("ada", "PUT", "/teams/crew/invitations", body)
    assert (invited["user"]["email"], invited["role"], invited["team"]["name"]) == ("new@example.com", "member", "crew")
    await user(world, "new")
    assert [each["name"] for each in await world.must("new", "GET", "/teams", status=200)] == ["crew"]
    assert await world.must("ada", "GET", "/teams/crew/invitations", status=200) == []
    body = {"email": "late@example.com", "role": "member"}
    await world.must("ada", "PUT", "/teams/crew/invitations", body)
    await world.must("ada", "DELETE", "/teams/crew/invitations/late@example.com", status=200)
    await user(world, "late")
    assert await world.must("late", "GET", "/teams", status=200) == []


async def test_access_is_given_changed_and_taken(world: World) -> None:
    await world.must("ada", "POST", "/apps", {"name": "example"})
    await world.must("bob", "GET", "/apps/example", status=404)
    made = await world.must("ada", "POST", "/apps/example/collaborators", {"user": {"email": "bob@example.com"}})
    assert [each["name"] for each in made["permissions"]] == ["view", "deploy", "operate"]
    await world.must("bob", "GET", "/apps/example/config-vars", status=200)
    body = {"permissions": ["view"]}
    await world.must("ada", "PATCH", f"/apps/example/collaborators/{made['id']}", body, status=200)
    await world.must("bob", "GET", "/apps/example/config-vars", status=403)
    listed = await world.must("ada", "GET", "/apps/example/collaborators", status=200)
    assert [(each["user"]["email"], each["role"]) for each in listed] == [
        ("ada@example.com", "owner"),
        ("bob@example.com", "collaborator"),
    ]
    await world.must("ada", "DELETE", "/apps/example/collaborators/bob@example.com", status=200)
    await world.must("bob", "GET", "/apps/example", status=404)


async def test_what_of_an_app_is_changed_takes_the_right_for_it(world: World) -> None:
    await world.must("ada", "POST", "/apps", {"name": "example"})
    for name, permission in (("bob", "operate"), ("eve", "manage")):
        body = {"user": f"{name}@example.com", "permissions": [permission]}
        await world.must("ada", "POST", "/apps/example/collaborators", body)
    await world.must("bob", "PATCH", "/apps/example", {"maintenance": True}, status=200)
    await world.must("bob", "PATCH", "/apps/example", {"name": "renamed"}, status=403)
    await world.must("bob", "PATCH", "/apps/example", {"name": "renamed", "maintenance": False}, status=403)
    await world.must("eve", "PATCH", "/apps/example", {"maintenance": False}, status=403)
    assert (await world.must("ada", "GET", "/apps/example", status=200))["maintenance"] is True
    await world.must("eve", "PATCH", "/apps/example", {"name": "renamed"}, status=200)


async def test_new_code_comes_to_production_only_by_whoever_may_promote(world: World) -> None:
    world.server.token = world.tokens["ada"]
    pipeline = await world.server.pipeline(staging="shop-staging", production="shop")
    for app in ("shop-staging", "shop"):
        await world.must("ada", "POST", f"/apps/{app}/collaborators", {"user": "bob@example.com"})
    await world.must("bob", "POST", "/apps/shop-staging/builds", {"source_blob": {"version": "main"}})
    await world.server.work()
    build, branch = {"source_blob": {"version": "main"}}, {"auto_deploy": True, "branch": "main"}
    promotion = {"pipeline": pipeline["id"], "source": {"app": "shop-staging"}}
    for method, path, body in (
        ("POST", "/apps/shop/builds", build),
        ("PATCH", "/apps/shop/github", branch),
        ("POST", "/pipeline-promotions", promotion),
    ):
        said = await world.must("bob", method, path, body, status=403)
        assert "promote" in said["message"]
    await world.must("bob", "PATCH", "/apps/shop-staging/github", branch, status=200)
    body = {"permissions": ["view", "promote"]}
    await world.must("ada", "PATCH", "/apps/shop/collaborators/bob@example.com", body, status=200)
    await world.must("bob", "POST", "/pipeline-promotions", promotion)
    await world.must("bob", "POST", "/apps/shop/builds", build, status=403)


async def test_the_right_to_promote_is_given_only_by_whoever_has_it(world: World) -> None:
    await world.must("ada", "POST", "/apps", {"name": "shop"})
    body = {"user": "bob@example.com", "permissions": ["view", "deploy", "manage"]}
    await world.must("ada", "POST", "/apps/shop/collaborators", body)
    own, all_ = "/apps/shop/collaborators/bob@example.com", {"permissions": ["deploy", "manage", "promote"]}
    said = await world.must("bob", "PATCH", own, all_, status=403)
    assert said["message"] == "You may not promote to shop: the right to is given only by whoever has it."
    body = {"user": "eve@example.com", "permissions": ["promote"]}
    await world.must("bob", "POST", "/apps/shop/collaborators", body, status=403)
    await world.must("bob", "POST", "/apps/shop/collaborators", body | {"permissions": ["deploy"]})
    # Who has it, keeps it, whoever changes the rest.
    of_eve = "/apps/shop/collaborators/eve@example.com"
    await world.must("ada", "PATCH", of_eve, {"permissions": ["promote"]}, status=200)
    await world.must("bob", "PATCH", of_eve, {"permissions": ["promote", "operate"]}, status=200)
    await world.must("ada", "PATCH", own, all_, status=200)
    await world.must("bob", "PATCH", of_eve, {"permissions": ["operate"]}, status=200)
    await world.must("bob", "PATCH", of_eve, {"permissions": ["promote"]}, status=200)


async def test_nobody_takes_an_app_out_of_production_to_deploy_to_it(world: World) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    await world.must("ada", "POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    owner = {"owner": {"id": "crew", "type": "team"}}
    pipeline = await world.must("ada", "POST", "/pipelines", {"name": "shop", **owner})
    await world.must("ada", "POST", "/apps", {"name": "shop", "team": "crew"})
    body = {"app": "shop", "pipeline": pipeline["id"], "stage": "production"}
    coupling = await world.must("ada", "POST", "/pipeline-couplings", body)
    where, out = f"/pipeline-couplings/{coupling['id']}", {"stage": "staging"}
    for method, path, sent in (("PATCH", where, out), ("DELETE", where, None), ("DELETE", "/pipelines/shop", None)):
        said = await world.must("bob", method, path, sent, status=403)
        assert "manage or promote" in said["message"]
    await world.must("ada", "PATCH", where, out, status=200)
    await world.must("bob", "PATCH", where, {"stage": "production"}, status=403)
    await world.must("bob", "PATCH", where, {"stage": "development"}, status=200)


async def test_who_leaves_a_team_has_nothing_of_its_apps_any_more(world: World) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    await world.must("ada", "POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    await world.must("bob", "POST", "/apps", {"name": "made-by-bob", "team": "crew"})
    await world.must("bob", "PATCH", "/apps/made-by-bob", {"name": "by-bob"}, status=200)
    await world.must("ada", "DELETE", "/teams/crew/members/bob@example.com", status=200)
    await world.must("bob", "GET", "/apps/by-bob", status=404)
    assert await world.must("bob", "GET", "/apps", status=200) == []


async def test_an_app_of_a_team_is_offered_and_accepted(world: World) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    await world.must("ada", "POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    await world.must("ada", "POST", "/apps", {"name": "example", "team": "crew"})
    body = {"app": "example", "recipient": "bob@example.com"}
    offer = await world.must("ada", "POST", "/account/app-transfers", body)
    assert (offer["state"], offer["app"]["name"], offer["recipient"]["email"]) == (
        "pending",
        "example",
        "bob@example.com",
    )
    where = f"/account/app-transfers/{offer['id']}"
    await world.must("ada", "PATCH", where, {"state": "accepted"}, status=403)
    await world.must("eve", "PATCH", where, {"state": "accepted"}, status=404)
    accepted = await world.must("bob", "PATCH", where, {"state": "accepted"}, status=200)
    assert accepted["state"] == "accepted"
    assert (await world.must("bob", "GET", "/apps/example", status=200))["owner"]["email"] == "bob@example.com"
    await world.must("ada", "GET", "/apps/example", status=404)
    await world.must("bob", "PATCH", where, {"state": "accepted"}, status=422)


@pytest.mark.parametrize("ended", ["declined", "withdrawn"])
async def test_an_app_stays_where_it_is_when_the_offer_is(world: World, ended: str) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    await world.must("ada", "POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    await world.must("ada", "POST", "/apps", {"name": "example", "team": "crew"})
    body = {"app": "example", "recipient": "bob@example.com"}
    offer = await world.must("ada", "POST", "/account/app-transfers", body)
    where = f"/account/app-transfers/{offer['id']}"
    if ended == "declined":
        said = await world.must("bob", "PATCH", where, {"state": "declined"}, status=200)
        assert said["state"] == (await world.must("ada", "GET", where, status=200))["state"] == "declined"
        await world.must("bob", "PATCH", where, {"state": "accepted"}, status=422)
    else:
        await world.must("ada", "DELETE", where, status=200)
        await world.must("bob", "PATCH", where, {"state": "accepted"}, status=404)
        assert await world.must("bob", "GET", "/account/app-transfers", status=200) == []
    assert (await world.must("ada", "GET", "/apps/example", status=200))["team"]["name"] == "crew"
    # Nothing stands in the way of another offer.
    again = await world.must("ada", "POST", "/account/app-transfers", body)
    await world.must("bob", "PATCH", f"/account/app-transfers/{again['id']}", {"state": "accepted"}, status=200)


async def test_an_offer_is_worth_nothing_when_its_maker_may_no_longer_make_it(world: World) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    for name, role in (("bob", "admin"), ("eve", "member")):
        await world.must("ada", "POST", "/teams/crew/members", {"email": f"{name}@example.com", "role": role})
    await world.must("ada", "POST", "/apps", {"name": "example", "team": "crew"})
    body = {"app": "example", "recipient": "eve@example.com"}
    offer = await world.must("bob", "POST", "/account/app-transfers", body)
    await world.must("ada", "PATCH", "/teams/crew/members", {"email": "bob@example.com", "role": "viewer"}, status=200)
    said = await world.must("eve", "PATCH", f"/account/app-transfers/{offer['id']}", {"state": "accepted"}, status=403)
    assert "an admin of the team crew" in said["message"]
    assert (await world.must("ada", "GET", "/apps/example", status=200))["team"]["name"] == "crew"


ON_GITHUB = [
    ("octavia", 201, ""),
    ("reader", 403, "reader has the permission read in acme/shop"),
    ("stranger", 403, "stranger has the permission none"),
    (None, 403, "It is not known who ada@example.com is on GitHub"),
]


@pytest.mark.parametrize(
    ("login", "status", "said"),
    ON_GITHUB,
    ids=["who may write there", "who may read", "who is unknown there", "who has said nothing"],
)
async def test_connecting_and_deploying_take_the_persons_own_right_on_github(
    world: World, login: str | None, status: int, said: str
) -> None:
    pipeline = await world.must("ada", "POST", "/pipelines", {"name": "shop"})
    app = await world.must("ada", "POST", "/apps", {"name": "shop"})
    body = {"app": app["id"], "pipeline": pipeline["id"], "stage": "staging"}
    await world.must("ada", "POST", "/pipeline-couplings", body)
    home = f"/pipelines/{pipeline['id']}"
    await world.must("ada", "POST", f"{home}/repository", {"repository": "acme/shop"})
    await world.must("ada", "POST", f"{home}/review-app-config", {})
    review = await world.must("ada", "POST", "/review-apps", {"pipeline": pipeline["id"], "pr_number": 11})
    await world.must("operator", "PATCH", "/users/ada@example.com", {"github": login}, status=200)
    build = {"source_blob": {"version": "main"}}
    for method, path, sent in (
        ("POST", f"{home}/repository", {"repository": "acme/shop"}),
        ("POST", "/apps/shop/builds", build),
        ("PATCH", "/apps/shop/github", {"auto_deploy": True}),
        ("POST", f"/review-apps/{review['id']}/approvals", {"sha": "b" * 40}),
    ):
        answered, told = await world.ask("ada", method, path, sent)
        assert answered == status or (status == 201 and answered == 200), (path, told)
        assert said in str(told)


async def test_a_login_that_was_given_to_somebody_else_counts_no_more(world: World) -> None:
    pipeline = await world.must("ada", "POST", "/pipelines", {"name": "shop"})
    where = f"/pipelines/{pipeline['id']}/repository"
    await world.must("ada", "POST", where, {"repository": "acme/shop"})
    await world.server.db.write(
        lambda conn: conn.exec_driver_sql("UPDATE users SET github_id = 5 WHERE github_login = 'octavia'")
    )
    said = await world.must("ada", "POST", where, {"repository": "acme/shop"}, status=403)
    assert "belongs to somebody else on GitHub by now" in said["message"]
    await world.must("operator", "PATCH", "/users/ada@example.com", {"github": "octavia"}, status=200)
    await world.must("ada", "POST", where, {"repository": "acme/shop"})


async def test_every_change_is_in_the_activity_log_with_who_did_it(world: World) -> None:
    await world.must("ada", "POST", "/teams", {"name": "crew"})
    await world.must("ada", "POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"})
    await world.must("ada", "POST", "/apps", {"name": "example"})
    await world.must("ada", "POST", "/apps/example/collaborators", {"user": "eve@example.com"})
    await world.must("ada", "PATCH", "/teams/apps/example", {"owner": "crew"}, status=200)
    made = await world.must("ada", "POST", "/oauth/authorizations", {"description": "x"})
    await world.must("ada", "DELETE", f"/oauth/authorizations/{made['id']}", status=200)
    entries = await world.must("ada", "GET", "/activity", status=200)
    done = [each["action"] for each in entries if each["actor"] == "user:ada@example.com"]
    assert {
        "team created", "team member set", "app created", "access given", "app transferred", "token created", "token revoked",
    } <= set(done)  # fmt: skip
    entries = await world.must("eve", "GET", "/activity", status=200)
    assert {each["app"] is not None for each in entries} == {True}
