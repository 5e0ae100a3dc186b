"""Every route of the application by everybody, on what is theirs and on what is not.

The routes are read from the application: one that is not in this table fails.
"""

import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aiohttp import web

from service.store.database import Database
from service.store.secrets import Vault
from service.web import rights
from tests.figures import keep
from tests.store.fixtures import sqlite_template  # noqa: F401
from tests.web.api.people import GRANTED, ROLES, Rows, World, populate, restore, saved
from tests.web.serving import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNUSABLE = b"{"
"""Whoever is let in is told so of it (400), and nothing is done."""

INSIDE = frozenset(ROLES)
EVERYBODY = frozenset({"operator", "rival", *ROLES, *GRANTED})
SEES = frozenset({"admin", "member", "viewer", *GRANTED})
DEPLOYS = frozenset({"admin", "member", "deploy"})
OPERATES = frozenset({"admin", "member", "operate"})
CONFIGURES = DEPLOYS | OPERATES
MANAGES = frozenset({"admin", "manage"})
CHANGES = OPERATES | MANAGES
STAFF = frozenset({"admin", "member"})
UNDOES = CONFIGURES | {"promote"}
ADMIN = frozenset({"admin"})
OPERATOR = frozenset({"operator"})
OPEN = frozenset({"nobody"})


class Row(NamedTuple):
    """Who may, who is told that it is there, and what is sent."""

    may: frozenset[str]
    sees: frozenset[str] = SEES
    body: Any = UNUSABLE


def app(may: frozenset[str]) -> Row:
    return Row(may)


def pipeline(may: frozenset[str], body: Any = UNUSABLE) -> Row:
    return Row(may, body=body)


def team(may: frozenset[str], body: Any = UNUSABLE) -> Row:
    return Row(may, INSIDE, body)


def anybody(may: frozenset[str] = EVERYBODY, body: Any = UNUSABLE) -> Row:
    return Row(may, EVERYBODY, body)


OURS_AS_OWNER = {"id": "{team}", "type": "team"}
TO_STAGE = {"app": "{app}", "pipeline": "{pipeline}", "stage": "staging"}
PROMOTE = {"pipeline": "{pipeline}", "source": {"app": "{app}"}, "targets": [{"app": "{production}"}]}
TO_MYSELF = {"pipeline": {"id": "{pipeline}"}, "new_owner": {"id": "~", "type": "user"}}
DECLINE = {"state": "declined"}
PARTIES = frozenset({"admin", "member"})

TABLE: dict[str, Row] = {
    "GET /account": anybody(),
    "GET /account/app-transfers": anybody(),
    "POST /account/app-transfers": Row(ADMIN, SEES, {"app": "{app}", "recipient": "~"}),
    "GET /account/app-transfers/{transfer}": Row(PARTIES, PARTIES),
    "PATCH /account/app-transfers/{transfer}": Row(frozenset({"member"}), PARTIES, DECLINE),
    "DELETE /account/app-transfers/{transfer}": Row(ADMIN, PARTIES),
    "GET /account/features": anybody(),
    "GET /account/features/{feature}": anybody(),
    "GET /account/rate-limits": anybody(),
    "POST /account/sign-in-links": anybody(),
    "GET /activity": anybody(),
    "GET /addon-attachments": anybody(),
    "GET /addons": anybody(),
    "POST /app-setups": Row(STAFF, SEES, {"pipeline_coupling": {"pipeline": "{pipeline}", "stage": "staging"}}),
    "GET /app-setups/{setup}": app(SEES),
    "GET /apps": anybody(),
    "POST /apps": Row(STAFF, INSIDE, {"team": "{team}"}),
    "GET /apps/{app}": app(SEES),
    "PATCH /apps/{app}": app(CHANGES),
    "DELETE /apps/{app}": app(MANAGES),
    "POST /apps/{app}/acm": app(MANAGES),
    "PATCH /apps/{app}/acm": app(MANAGES),
    "DELETE /apps/{app}/acm": app(MANAGES),
    "GET /apps/{app}/addon-attachments": app(SEES),
    "GET /apps/{app}/addons": app(SEES),
    "DELETE /apps/{app}/build-cache": app(DEPLOYS),
    "GET /apps/{app}/buildpack-installations": app(SEES),
    "PUT /apps/{app}/buildpack-installations": app(DEPLOYS),
    "DELETE /apps/{app}/builds/{build}": app(DEPLOYS),
    "GET /apps/{app}/build-config": app(SEES),
    "PUT /apps/{app}/build-config": app(DEPLOYS),
    "GET /apps/{app}/builds": app(SEES),
    "POST /apps/{app}/builds": app(DEPLOYS),
    "GET /apps/{app}/builds/{build}": app(SEES),
    "GET /apps/{app}/collaborators": app(SEES),
    "POST /apps/{app}/collaborators": app(MANAGES),
    "GET /apps/{app}/collaborators/{collaborator}": app(SEES),
    "PATCH /apps/{app}/collaborators/{collaborator}": app(MANAGES),
    "DELETE /apps/{app}/collaborators/{collaborator}": app(MANAGES | {"view"}),
    "GET /apps/{app}/config-vars": app(CONFIGURES),
    "PATCH /apps/{app}/config-vars": app(CONFIGURES),
    "GET /apps/{app}/deploy-locks": app(SEES),
    "POST /apps/{app}/deploy-locks": app(CONFIGURES | MANAGES),
    "GET /apps/{app}/domains": app(SEES),
    "POST /apps/{app}/domains": app(MANAGES),
    "GET /apps/{app}/domains/{domain}": app(SEES),
    "DELETE /apps/{app}/domains/{domain}": app(MANAGES),
    "GET /apps/{app}/features": app(SEES),
    "GET /apps/{app}/features/{feature}": app(SEES),
    "PATCH /apps/{app}/features/{feature}": app(MANAGES),
    "GET /apps/{app}/log-drains": app(SEES),
    "GET /apps/{app}/sni-endpoints": app(SEES),
    "POST /apps/{app}/slugs": app(DEPLOYS),
    "POST /apps/{app}/sources": app(DEPLOYS),
    "GET /apps/{app}/dynos": app(SEES),
    "POST /apps/{app}/dynos": app(OPERATES),
    "GET /apps/{app}/dynos/{dyno}": app(SEES),
    "POST /apps/{app}/dynos/{dyno}/actions/stop": app(OPERATES),
    "DELETE /apps/{app}/formations/{type}": app(OPERATES),
    "POST /apps/{app}/formations/{type}/actions/stop": app(OPERATES),
    "DELETE /apps/{app}/dynos": app(OPERATES),
    "DELETE /apps/{app}/dynos/{dyno}": app(OPERATES),
    "GET /apps/{app}/formation": app(SEES),
    "PATCH /apps/{app}/formation": app(OPERATES),
    "GET /apps/{app}/formation/{type}": app(SEES),
    "PATCH /apps/{app}/formation/{type}": app(OPERATES),
    "GET /apps/{app}/github": app(SEES),
    "PATCH /apps/{app}/github": app(DEPLOYS),
    "POST /apps/{app}/log-sessions": app(CONFIGURES),
    "GET /apps/{app}/pipeline-couplings": app(SEES),
    "GET /apps/{app}/pipeline-diffs": app(SEES),
    "GET /apps/{app}/releases": app(SEES),
    "POST /apps/{app}/releases": app(CONFIGURES),
    "GET /apps/{app}/releases/{release}": app(SEES),
    "GET /apps/{app}/releases/{release}/config-vars": app(CONFIGURES),
    "GET /apps/{app}/requests": app(SEES),
    "GET /apps/{app}/review-app": app(SEES),
    "GET /apps/{app}/slugs/{slug}": app(SEES),
    "GET /apps/{app}/webhooks": app(MANAGES),
    "POST /apps/{app}/webhooks": app(MANAGES),
    "GET /apps/{app}/webhooks/{webhook}": app(MANAGES),
    "PATCH /apps/{app}/webhooks/{webhook}": app(MANAGES),
    "DELETE /apps/{app}/webhooks/{webhook}": app(MANAGES),
    "GET /apps/{app}/webhook-events": app(MANAGES),
    "GET /apps/{app}/webhook-events/{event}": app(MANAGES),
    "GET /apps/{app}/webhook-deliveries": app(MANAGES),
    "GET /apps/{app}/webhook-deliveries/{delivery}": app(MANAGES),
    "POST /apps/{app}/webhook-deliveries/{delivery}/actions/retry": app(MANAGES),
    "GET /builds/{build}/output": app(SEES),
    "GET /deliveries": anybody(OPERATOR),
    "GET /deliveries/{guid}": anybody(OPERATOR),
    "POST /delivery-replays": anybody(OPERATOR),
    "GET /delivery-sources": anybody(OPERATOR),
    "GET /deploy-locks": anybody(),
    "DELETE /deploy-locks/{lock}": app(CONFIGURES | MANAGES),
    "GET /enterprise-accounts/{account}/teams": anybody(),
    "POST /enterprise-accounts/{account}/teams": anybody(),
    "POST /filters/apps": anybody(),
    "GET /github/repos/{owner}/{name}/tarball/{ref}": anybody(),
    "POST /github/setups": anybody(OPERATOR),
    "POST /github/webhook": anybody(OPERATOR),
    "GET /dyno-attachments/{key}": Row(OPEN),
    "GET /log-sessions/{key}": Row(OPEN),
    "GET /metrics": anybody(OPERATOR),
    "GET /orphans": anybody(OPERATOR),
    "DELETE /orphans/{orphan}": anybody(OPERATOR),
    "GET /oauth/authorizations": anybody(),
    "POST /oauth/authorizations": anybody(),
    "GET /oauth/authorizations/{authorization}": anybody(),
    "DELETE /oauth/authorizations/{authorization}": anybody(),
    "POST /oauth/authorizations/{authorization}/actions/regenerate-tokens": anybody(),
    "DELETE /oauth/sessions/{session}": anybody(),
    "GET /pipeline-couplings": anybody(),
    "POST /pipeline-couplings": Row(ADMIN, SEES, TO_STAGE),
    "GET /pipeline-couplings/{coupling}": pipeline(SEES),
    "PATCH /pipeline-couplings/{coupling}": pipeline(STAFF | {"manage"}),
    "DELETE /pipeline-couplings/{coupling}": pipeline(STAFF | {"manage"}),
    "POST /pipeline-promotions": Row(frozenset({"admin", "promote"}), SEES, PROMOTE),
    "GET /pipeline-promotions/{promotion}": pipeline(SEES),
    "POST /pipeline-promotions/{promotion}/actions/undo": pipeline(UNDOES, body={}),
    "GET /pipeline-promotions/{promotion}/promotion-targets": pipeline(SEES),
    "POST /pipeline-transfers": Row(ADMIN, SEES, TO_MYSELF),
    "GET /pipelines": anybody(),
    "POST /pipelines": Row(STAFF, INSIDE, {"name": "another", "owner": OURS_AS_OWNER}),
    "GET /pipelines/{pipeline}": pipeline(SEES),
    "PATCH /pipelines/{pipeline}": pipeline(STAFF),
    "DELETE /pipelines/{pipeline}": pipeline(ADMIN),
    "GET /pipelines/{pipeline}/build-config": pipeline(SEES),
    "PUT /pipelines/{pipeline}/build-config": pipeline(STAFF),
    "GET /pipelines/{pipeline}/deploy-locks": pipeline(SEES),
    "POST /pipelines/{pipeline}/deploy-locks": pipeline(STAFF),
    "GET /pipelines/{pipeline}/forks/config-vars": pipeline(STAFF),
    "PATCH /pipelines/{pipeline}/forks/config-vars": pipeline(STAFF),
    "GET /pipelines/{pipeline}/latest-builds": pipeline(SEES),
    "GET /pipelines/{pipeline}/latest-deployments": pipeline(SEES),
    "GET /pipelines/{pipeline}/latest-releases": pipeline(SEES),
    "GET /pipelines/{pipeline}/pipeline-couplings": pipeline(SEES),
    "GET /pipelines/{pipeline}/pipeline-promotions": pipeline(SEES),
    "GET /pipelines/{pipeline}/pipeline-stack": pipeline(SEES),
    "GET /pipelines/{pipeline}/repo": pipeline(SEES),
    "GET /pipelines/{pipeline}/repo/branches/{branch}": pipeline(SEES),
    "GET /pipelines/{pipeline}/repository": pipeline(SEES),
    "POST /pipelines/{pipeline}/repository": pipeline(STAFF),
    "PATCH /pipelines/{pipeline}/repository": pipeline(STAFF),
    "DELETE /pipelines/{pipeline}/repository": pipeline(STAFF),
    "GET /pipelines/{pipeline}/review-app-config": pipeline(SEES),
    "POST /pipelines/{pipeline}/review-app-config": pipeline(STAFF),
    "PATCH /pipelines/{pipeline}/review-app-config": pipeline(STAFF),
    "DELETE /pipelines/{pipeline}/review-app-config": pipeline(STAFF),
    "GET /pipelines/{pipeline}/review-apps": pipeline(SEES),
    "GET /pipelines/{pipeline}/settings": pipeline(SEES),
    "PATCH /pipelines/{pipeline}/settings": pipeline(STAFF),
    "GET /pipelines/{pipeline}/stage/{stage}/config-vars": pipeline(STAFF),
    "PATCH /pipelines/{pipeline}/stage/{stage}/config-vars": pipeline(STAFF),
    "GET /pipelines/{pipeline}/test-runs": pipeline(SEES),
    "GET /pipelines/{pipeline}/test-runs/{number}": pipeline(SEES),
    "GET /pipelines/{pipeline}/webhooks": pipeline(STAFF),
    "POST /pipelines/{pipeline}/webhooks": pipeline(STAFF),
    "GET /pipelines/{pipeline}/webhooks/{pipeline_webhook}": pipeline(STAFF),
    "PATCH /pipelines/{pipeline}/webhooks/{pipeline_webhook}": pipeline(STAFF),
    "DELETE /pipelines/{pipeline}/webhooks/{pipeline_webhook}": pipeline(STAFF),
    "GET /pipelines/{pipeline}/webhook-events": pipeline(STAFF),
    "GET /pipelines/{pipeline}/webhook-events/{pipeline_event}": pipeline(STAFF),
    "GET /pipelines/{pipeline}/webhook-deliveries": pipeline(STAFF),
    "GET /pipelines/{pipeline}/webhook-deliveries/{pipeline_delivery}": pipeline(STAFF),
    "POST /pipelines/{pipeline}/webhook-deliveries/{pipeline_delivery}/actions/retry": pipeline(STAFF),
    "GET /regions": anybody(),
    "GET /regions/{region}": anybody(),
    "GET /releases/{release}/output": app(SEES),
    "GET /repos/{owner}/{name}": anybody(),
    "GET /repos/{owner}/{name}/compare/{commits}": anybody(),
    "GET /requests/{request}": app(SEES),
    "POST /review-apps": Row(STAFF, SEES, {"pipeline": "{pipeline}", "branch": "fix/cart"}),
    "GET /review-apps/{review}": pipeline(SEES),
    "PATCH /review-apps/{review}": pipeline(STAFF),
    "DELETE /review-apps/{review}": pipeline(STAFF),
    "GET /review-apps/{review}/approvals": pipeline(SEES),
    "POST /review-apps/{review}/approvals": pipeline(STAFF),
    "POST /sources": anybody(),
    "GET /spaces": anybody(),
    "GET /stacks": anybody(),
    "GET /stacks/{stack}": anybody(),
    "POST /spaces": anybody(OPERATOR),
    "GET /teams": anybody(),
    "POST /teams": anybody(),
    "POST /teams/apps": Row(STAFF, INSIDE, {"team": "{team}"}),
    "GET /teams/permissions": anybody(),
    "GET /teams/apps/{app}": app(SEES),
    "PATCH /teams/apps/{app}": app(MANAGES),
    "GET /teams/apps/{app}/collaborators": app(SEES),
    "POST /teams/apps/{app}/collaborators": app(MANAGES),
    "GET /teams/apps/{app}/collaborators/{collaborator}": app(SEES),
    "PATCH /teams/apps/{app}/collaborators/{collaborator}": app(MANAGES),
    "DELETE /teams/apps/{app}/collaborators/{collaborator}": app(MANAGES | {"view"}),
    "GET /teams/{team}": team(INSIDE),
    "PATCH /teams/{team}": team(ADMIN),
    "DELETE /teams/{team}": team(ADMIN),
    "GET /teams/{team}/apps": team(INSIDE),
    "GET /teams/{team}/features": team(INSIDE),
    "GET /teams/{team}/invitations": team(STAFF),
    "PUT /teams/{team}/invitations": team(ADMIN),
    "DELETE /teams/{team}/invitations/{invitation}": team(ADMIN),
    "GET /teams/{team}/pipeline-couplings": team(INSIDE),
    "GET /teams/{team}/members": team(INSIDE),
    "PUT /teams/{team}/members": team(ADMIN),
    "POST /teams/{team}/members": team(ADMIN),
    "PATCH /teams/{team}/members": team(ADMIN),
    "DELETE /teams/{team}/members/{member}": team(frozenset({"admin", "guest"})),
    "GET /teams/{team}/members/{member}/apps": team(INSIDE),
    "POST /test-runs": Row(SEES, SEES, {"pipeline": "{pipeline}"}),
    "GET /test-runs/{run}": anybody(),
    "PATCH /test-runs/{run}": anybody(),
    "GET /test-runs/{run}/test-cases": anybody(),
    "GET /test-runs/{run}/test-nodes": anybody(),
    "GET /users": anybody(OPERATOR),
    "POST /users": anybody(OPERATOR),
    "GET /users/{user}": Row(INSIDE | OPERATOR, INSIDE | OPERATOR),
    "PATCH /users/{user}": anybody(OPERATOR),
    "DELETE /users/{user}": anybody(OPERATOR),
    "GET /users/{user}/apps": anybody(),
    "GET /users/{user}/pipeline-couplings": anybody(),
    "GET /why": anybody(),
    "GET /{app}.git/info/refs": app(SEES),
    "POST /{app}.git/git-upload-pack": app(SEES),
    "POST /{app}.git/git-receive-pack": app(DEPLOYS),
    # For people's browsers, GitHub and load balancers: no token is asked for.
    "GET /": Row(OPEN),
    "GET /sources/{source}": Row(OPEN),
    "PUT /sources/{source}": Row(OPEN),
    "GET /healthz": Row(OPEN),
    "GET /readyz": Row(OPEN),
    "GET /openapi.json": Row(OPEN),
    "POST /github/webhooks": Row(OPEN),
    "GET /github/setup/start/{link}": Row(OPEN),
    "POST /github/setup/start/{link}": Row(OPEN),
    "POST /github/setup/again": Row(OPEN),
    "GET /github/setup/created": Row(OPEN),
    "GET /github/setup/installed": Row(OPEN),
    "GET /github/setup/next": Row(OPEN),
    "POST /github/setup/connect": Row(OPEN),
    "GET /github/setup/watch": Row(OPEN),
    "GET /github/setup/events": Row(OPEN),
}
SIGNED = {"GET /builds/{build}/output", "GET /releases/{release}/output"}
"""An address of theirs carries a key; without one a token that sees the app will do."""
WORDS = {
    "account": "x", "branch": "main", "dyno": "web.1", "feature": "dashboard-repositories-api", "guid": "x", "key": "x", "link": "x", "orphan": "x",
    "owner": "acme", "name": "shop", "commits": f"{'a' * 40}...{'b' * 40}", "ref": "main",
    "number": "1", "region": "common", "source": "x", "run": "x", "session": "~", "stack": "host-debian", "stage": "staging", "type": "web",
}  # fmt: skip
"""What is nobody's, by its name in a path."""
ABSENT = {
    "GET /enterprise-accounts/{account}/teams", "POST /enterprise-accounts/{account}/teams",
    "GET /deliveries/{guid}", "DELETE /orphans/{orphan}", "GET /apps/{app}/review-app", "DELETE /oauth/sessions/{session}",
    "GET /apps/{app}/features/{feature}", "PATCH /apps/{app}/features/{feature}",
    "GET /pipelines/{pipeline}/test-runs/{number}", "GET /test-runs/{run}", "PATCH /test-runs/{run}",
    "GET /test-runs/{run}/test-cases", "GET /test-runs/{run}/test-nodes",
}  # fmt: skip
"""What of it is not there for anybody."""
OF_CALLER = {"GET /users/{user}/apps", "GET /users/{user}/pipeline-couplings"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:  # noqa: F811
    home = tmp_path_factory.mktemp("matrix")
    path = home / "towpath.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = await Database.open(f"sqlite:///{path}")
    async with serving(database, Vault.open(home / "secret.keys", create=True), home) as server:
        yield await populate(server)
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rows(world: World) -> Rows:
    return await world.server.db.read(saved)


def served(routes: Iterable[web.AbstractRoute]) -> set[str]:
    """Every route that is answered, by method and path, without our few files, and without pages (`pages/`)."""
    found = {
        f"{route.method} {route.resource.canonical}"
        for route in routes
        if route.method != "HEAD" and route.resource is not None
    }
    return {each for each in found if not each.partition(" ")[2].startswith(("/static/", "/dashboard"))}


async def test_every_route_is_in_the_table(world: World) -> None:
    assert served(world.server.routes) == set(TABLE)


async def test_a_route_that_does_not_say_what_it_takes_is_not_served() -> None:
    async def told(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    rights.add(application, [rights.get("/said", told, rights.OPEN)])
    rights.check(application)
    application.router.add_get("/unsaid", told)
    with pytest.raises(RuntimeError, match="GET /unsaid"):
        rights.check(application)


def filled(template: Any, names: dict[str, str]) -> Any:
    """A path or a body with what is meant in its braces."""
    match template:
        case str():
            return re.sub(r"\{(\w+)\}", lambda name: names[name[1]], template)
        case list():
            return [filled(each, names) for each in template]
        case dict():
            return {key: filled(value, names) for key, value in template.items()}
        case _:
            return template


async def asked(world: World, rows: Rows, who: str, route: str, names: dict[str, str]) -> tuple[int, Any]:
    """What somebody is answered; whatever that has done is undone."""
    method, _, path = route.partition(" ")
    body = None if method == "GET" else filled(TABLE[route].body, names)
    status, said = await world.ask(who, method, filled(path, names), body)
    if method != "GET" and status < 300:
        await world.server.db.write(lambda conn: restore(conn, rows))
    return status, said


def own(world: World, who: str, route: str) -> dict[str, str]:
    """What things are called that are ours, and some that are everybody's own."""
    user = "~" if route in OF_CALLER else world.ours["user"]
    return {**WORDS, **world.ours, "authorization": "~", "user": user}


@pytest.mark.parametrize("route", TABLE)
async def test_who_may_do_what_to_what_is_theirs(world: World, rows: Rows, route: str) -> None:
    row = TABLE[route]
    for who in sorted(EVERYBODY):
        status, said = await asked(world, rows, who, route, own(world, who, route))
        if row.may == OPEN:
            assert status not in {401, *range(500, 600)}, f"{who} may: {status} {said}"
        elif who in row.may:
            assert status not in {401, 403, *range(500, 600)}, f"{who} may: {status} {said}"
            assert status != 404 or route in ABSENT, f"{who} sees it: {said}"
        else:
            expected = 403 if who in row.sees else 404
            assert status == expected, f"{who} may not: {status} {said}"
            assert said["id"] == ("forbidden" if expected == 403 else "not_found"), f"{who}: {said}"


FOREIGN = [route for route, row in TABLE.items() if row.sees is not EVERYBODY and row.may != OPEN]


OF_OTHERS = [*FOREIGN, *(route for route in TABLE if "{authorization}" in route)]


async def test_the_matrix_knows_each_route_by_everybody() -> None:
    own, foreign = len(TABLE) * len(EVERYBODY), len(OF_OTHERS) * (len(EVERYBODY) - 1)
    keep("matrix", {"routes": len(TABLE), "people": len(EVERYBODY), "on_own": own, "on_others": foreign})
    assert {"operator", "rival", *ROLES, *GRANTED} == EVERYBODY
    assert {who for row in TABLE.values() for who in row.may | row.sees} <= EVERYBODY | OPEN


@pytest.mark.parametrize("route", OF_OTHERS)
async def test_what_is_others_is_not_there(world: World, rows: Rows, route: str) -> None:
    names = {**WORDS, **world.theirs}
    seen_by = {"rival"} | (OPERATOR if route == "GET /users/{user}" else set())
    for who in sorted(EVERYBODY - seen_by):
        status, said = await asked(world, rows, who, route, names)
        assert (status, said["id"]) == (404, "not_found"), f"{who}: {status} {said}"


INSIDE_OF = [route for route in TABLE if len(set(re.findall(r"\{(\w+)\}", route)) - set(WORDS)) > 1]


@pytest.mark.parametrize("route", INSIDE_OF)
async def test_what_is_others_is_not_found_inside_of_what_is_ours(world: World, rows: Rows, route: str) -> None:
    first, second = [each for each in re.findall(r"\{(\w+)\}", route) if each not in WORDS]
    names = {**WORDS, **world.theirs, first: world.ours[first]}
    status, said = await asked(world, rows, "admin", route, names)
    # A body that cannot be used is looked at before what it would change.
    assert status == 404 or (route.startswith("PATCH") and status == 400), f"{second}: {status} {said}"


BODIES = {
    "an app of others into a pipeline of ours": ("/pipeline-couplings", {**TO_STAGE, "app": "{their app}"}),
    "an app of ours into a pipeline of others": ("/pipeline-couplings", {**TO_STAGE, "pipeline": "{their pipeline}"}),
    "promoting from an app of others": ("/pipeline-promotions", {**PROMOTE, "source": {"app": "{their app}"}}),
    "promoting to an app of others": ("/pipeline-promotions", {**PROMOTE, "targets": [{"app": "{their production}"}]}),
    "promoting in a pipeline of others": ("/pipeline-promotions", {**PROMOTE, "pipeline": "{their pipeline}"}),
    "giving a pipeline to a team of others": (
        "/pipeline-transfers",
        {"pipeline": {"id": "{pipeline}"}, "new_owner": {"id": "{their team}", "type": "team"}},
    ),
    "giving a pipeline to a stranger": (
        "/pipeline-transfers",
        {"pipeline": {"id": "{pipeline}"}, "new_owner": {"id": "{their user}", "type": "user"}},
    ),
    "offering an app to a stranger": ("/account/app-transfers", {"app": "{app}", "recipient": "{their user}"}),
}


@pytest.mark.parametrize(("path", "body"), BODIES.values(), ids=BODIES)
async def test_what_a_body_names_of_others_is_not_there_either(world: World, path: str, body: Any) -> None:
    text = str(body)
    for name in re.findall(r"\{their (\w+)\}", text):
        body = _with(body, f"{{their {name}}}", world.theirs[name])
    status, said = await world.ask("admin", "POST", path, filled(body, world.ours))
    assert (status, said["id"]) == (404, "not_found")


def _with(body: Any, old: str, new: str) -> Any:
    match body:
        case str():
            return body.replace(old, new)
        case list():
            return [_with(each, old, new) for each in body]
        case dict():
            return {key: _with(value, old, new) for key, value in body.items()}
        case _:
            return body


@pytest.mark.parametrize("route", [route for route, row in TABLE.items() if row.may != OPEN])
async def test_nobody_does_anything_without_a_token(world: World, rows: Rows, route: str) -> None:
    status, _ = await asked(world, rows, "nobody", route, own(world, "nobody", route))
    assert status == (404 if route in SIGNED else 401)


LISTS = (
    "/deploy-locks",
    "/apps",
    "/users/~/apps",
    "/pipelines",
    "/pipeline-couplings",
    "/users/~/pipeline-couplings",
    "/activity",
    "/teams",
)


@pytest.mark.parametrize("path", LISTS)
async def test_lists_show_what_one_sees_and_nothing_of_others(world: World, path: str) -> None:
    for who in sorted(EVERYBODY):
        status, said = await world.ask(who, "GET", path)
        assert status in {200, 206}
        shown = str(said)
        if path == "/activity" and who == "operator":
            # Sees who made which team, and of apps and pipelines only what it did itself.
            about = [it for it in said if (it["app"] or it["pipeline"]) and it["actor"] != "user:admin@localhost"]
            assert about == []
            assert "rivals" in shown
            continue
        assert who == "rival" or not any(each in shown for each in ("rivals", world.theirs["pipeline"])), who
        if path != "/activity":
            seen = who in (INSIDE if path == "/teams" else SEES)
            assert ("crew" in shown) == seen, who


async def test_apps_of_others_are_not_found_by_their_ids(world: World) -> None:
    ids = {}
    for who, names in (("admin", world.ours), ("rival", world.theirs)):
        ids[names["app"]] = (await world.must(who, "GET", f"/apps/{names['app']}", status=200))["id"]
    for who in sorted(EVERYBODY):
        found = await world.must(who, "POST", "/filters/apps", {"in": {"id": list(ids.values())}}, status=200)
        seen = {"rivals-staging"} if who == "rival" else {"crew-staging"} if who in SEES else set()
        assert {each["name"] for each in found} == seen, who


async def test_offers_are_seen_by_those_they_are_between_and_tokens_by_whose_they_are(world: World) -> None:
    for who in sorted(EVERYBODY):
        offers = await world.must(who, "GET", "/account/app-transfers", status=200)
        seen = [world.theirs["transfer"]] if who == "rival" else [world.ours["transfer"]] if who in PARTIES else []
        assert [each["id"] for each in offers] == seen, who
        held = await world.must(who, "GET", "/oauth/authorizations", status=200)
        email = "admin@localhost" if who == "operator" else f"{who}@example.com"
        assert {each["user"]["email"] for each in held} == {email}, who
        assert ("theirs" in {each["description"] for each in held}) == (who == "rival"), who


async def test_the_trail_of_a_commit_tells_nothing_of_others(world: World) -> None:
    _, mine = await world.ask("admin", "GET", f"/why?q={'a' * 40}")
    assert {entry["about"] for entry in mine["trail"]} >= {"crew-staging"}
    _, none = await world.ask("rival", "GET", f"/why?q={'a' * 40}")
    assert none["trail"] == []
    _, theirs = await world.ask("rival", "GET", f"/why?q={'c' * 40}")
    assert {entry["about"] for entry in theirs["trail"]} >= {"rivals-staging"}
    status, _ = await world.ask("admin", "GET", "/why?q=rivals-staging")
    assert status == 422


@pytest.mark.parametrize("scope", ["read", "write", "read-protected", "write-protected", "identity"])
async def test_a_token_is_good_for_its_scope_and_for_nothing_else(world: World, rows: Rows, scope: str) -> None:
    made = await world.must("admin", "POST", "/oauth/authorizations", {"scope": [scope]})
    token = made["access_token"]["token"]

    async def status(method: str, path: str) -> int:
        body = None if method == "GET" else UNUSABLE
        return (await world.ask(token, method, filled(path, world.ours), body))[0]

    reads, writes = scope != "identity", scope.startswith("write")
    assert await status("GET", "/account") == 200
    assert await status("GET", "/apps/{app}") == (200 if reads else 403)
    assert await status("PATCH", "/apps/{app}") == (400 if writes else 403)
    protected = scope.endswith("protected")
    for path in ("/apps/{app}/config-vars", "/pipelines/{pipeline}/stage/staging/config-vars"):
        assert await status("GET", path) == (200 if protected else 403)
        assert await status("PATCH", path) == (400 if protected and writes else 403)
    assert await status("GET", "/apps/{app}/releases/1/config-vars") == (200 if protected else 403)
    for path in (
        "/account/sign-in-links",
        "/oauth/authorizations",
        "/teams",
        "/apps/{app}/collaborators",
        "/teams/{team}/members",
        "/users",
    ):
        assert await status("POST", path) == 403
