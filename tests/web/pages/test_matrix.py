"""Every page of the dashboard by everybody, on what is theirs and on what is not: the sibling of the API's matrix."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from service.domain.facts import FactKey, FactKind
from service.store import github_app, sessions
from service.store.database import Database
from service.store.github_app import GitHubApp
from service.store.secrets import Vault
from tests.domain.things import pull_request
from tests.github_contract.fixtures import app_key
from tests.store.fixtures import sqlite_template  # noqa: F401
from tests.web.api.people import GRANTED, ROLES, Rows, World, populate, restore, saved
from tests.web.pages.test_overview import learn
from tests.web.pages.visiting import link
from tests.web.serving import SHOP, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYBODY = frozenset({"operator", "rival", *ROLES, *GRANTED})
SEES = frozenset({"admin", "member", "viewer", *GRANTED})
STAFF = frozenset({"admin", "member"})
OPERATOR = frozenset({"operator"})
OPEN = frozenset({"nobody"})
DELIVERY = "10000000-0000-4000-8000-000000000000"


class Row(NamedTuple):
    """Who may, who is told that it is there, what the form sends, and of which app it is, if not of one in staging."""

    may: frozenset[str]
    sees: frozenset[str] = EVERYBODY
    form: dict[str, str] = {}  # noqa: RUF012
    answers: frozenset[int] = frozenset({200, 410})
    app: str = "app"


ONE = "/dashboard/pipelines/{pipeline}"
PLACE = "/dashboard/couplings/{coupling}"
PROMOTION = {"app": "{app}", "release": "{release}", "target": "{production}"}
APP = "/dashboard/apps/{app}"
TEAM = "/dashboard/teams/{team}"
TEAMED = frozenset(ROLES)
TEAM_SEES = frozenset({"admin", "member", "viewer"})
RELEASES = frozenset({"admin", "member", "deploy", "operate"})
DEPLOYS = frozenset({"admin", "member", "deploy"})
OPERATES = frozenset({"admin", "member", "operate"})
MANAGES = frozenset({"admin", "manage"})
TABLE: dict[str, Row] = {
    "GET /dashboard": Row(EVERYBODY),
    f"GET {ONE}": Row(SEES, SEES),
    f"GET {ONE}/columns": Row(SEES, SEES),
    f"GET {ONE}/events": Row(SEES, SEES),
    f"GET {ONE}/promote": Row(SEES, SEES),
    f"POST {ONE}/promotions": Row(frozenset({"admin", "promote"}), SEES, PROMOTION),
    f"GET {ONE}/add": Row(STAFF, SEES),
    f"POST {ONE}/add": Row(STAFF, SEES, {"do": "new", "name": "made-here", "stage": "staging"}),
    f"GET {ONE}/arrivals": Row(SEES, SEES),
    f"GET {ONE}/arrivals/events": Row(SEES, SEES),
    f"GET {PLACE}/move": Row(STAFF | {"manage"}, SEES),
    f"POST {PLACE}/move": Row(STAFF | {"manage"}, SEES, {"stage": "development"}),
    f"GET {PLACE}/remove": Row(STAFF | {"manage"}, SEES),
    f"POST {PLACE}/remove": Row(STAFF | {"manage"}, SEES),
    f"GET {ONE}/settings": Row(SEES, SEES),
    f"POST {ONE}/settings/{{group}}": Row(STAFF, SEES, {"seen": "{}", "destroy_stale": "on"}),
    f"POST {ONE}/name": Row(STAFF, SEES, {"name": "crew-pipe"}),
    f"POST {ONE}/repository": Row(STAFF, SEES, {"repository": "acme/shop"}),
    f"POST {ONE}/repository/disconnect": Row(STAFF, SEES),
    f"POST {ONE}/auto-deploy": Row(STAFF | {"deploy"}, SEES, {"app": "{app}", "auto": "on"}),
    f"POST {ONE}/delete": Row(frozenset({"admin"}), SEES, {"confirm": "{team}-pipe"}),
    f"GET {ONE}/access": Row(SEES, SEES),
    f"POST {ONE}/transfer": Row(frozenset({"admin"}), SEES, {"to": "user:{heir}"}),
    "GET /dashboard/new/app": Row(EVERYBODY),
    "POST /dashboard/new/app": Row(EVERYBODY, form={"name": "made-here"}),
    "GET /dashboard/new/pipeline": Row(EVERYBODY),
    "POST /dashboard/new/pipeline": Row(EVERYBODY, form={"name": "made-here"}),
    "GET /dashboard/new/team": Row(EVERYBODY),
    "POST /dashboard/new/team": Row(EVERYBODY, form={"name": "made-here"}),
    "GET /dashboard/deliveries": Row(OPERATOR),
    "GET /dashboard/deliveries/{guid}": Row(OPERATOR),
    "POST /dashboard/deliveries/{guid}/replay": Row(OPERATOR),
    "POST /dashboard/delivery-replays": Row(OPERATOR),
    "GET /dashboard/why": Row(EVERYBODY),
    "GET /dashboard/activity": Row(EVERYBODY),
    "GET /dashboard/activity.csv": Row(EVERYBODY),
    "GET /dashboard/activity.jsonl": Row(EVERYBODY),
    "GET /dashboard/about": Row(EVERYBODY),
    f"GET {APP}": Row(SEES, SEES),
    f"GET {APP}/builds/{{build}}": Row(SEES, SEES),
    f"GET {APP}/builds/{{build}}/log": Row(SEES, SEES),
    f"GET {APP}/releases/{{release}}": Row(SEES, SEES),
    f"GET {APP}/releases/{{release}}/log": Row(SEES, SEES),
    f"GET {APP}/releases/{{release}}/rollback": Row(RELEASES, SEES),
    f"POST {APP}/releases/{{release}}/rollback": Row(RELEASES, SEES),
    f"GET {APP}/logs": Row(RELEASES, SEES),
    f"GET {APP}/logs/lines": Row(RELEASES, SEES),
    f"GET {APP}/resources": Row(SEES, SEES),
    f"POST {APP}/resources/scale": Row(OPERATES, SEES, {"type": "web", "quantity": "2"}),
    f"POST {APP}/resources/restart": Row(OPERATES, SEES),
    f"GET {APP}/deploy": Row(DEPLOYS, SEES),
    f"POST {APP}/deploy": Row(DEPLOYS, SEES, {"version": "main"}),
    f"POST {APP}/deploy/auto": Row(DEPLOYS, SEES, {"auto": "on"}),
    f"GET {APP}/restart": Row(OPERATES, SEES),
    f"POST {APP}/restart": Row(OPERATES, SEES),
    f"GET {APP}/maintenance": Row(OPERATES, SEES),
    f"POST {APP}/maintenance": Row(OPERATES, SEES, {"do": "off"}),
    f"GET {APP}/hold": Row(DEPLOYS, SEES),
    f"POST {APP}/hold": Row(DEPLOYS, SEES, {"do": "resume"}),
    f"GET {APP}/pin": Row(STAFF, TEAM_SEES, app="review_app"),
    f"POST {APP}/pin": Row(STAFF, TEAM_SEES, {"do": "on"}, app="review_app"),
    f"GET {APP}/suspend": Row(STAFF, TEAM_SEES, app="review_app"),
    f"POST {APP}/suspend": Row(STAFF, TEAM_SEES, app="review_app"),
    f"GET {APP}/rebuild": Row(STAFF, TEAM_SEES, app="review_app"),
    f"POST {APP}/rebuild": Row(STAFF, TEAM_SEES, app="review_app"),
    f"GET {APP}/destroy": Row(STAFF, TEAM_SEES, app="review_app"),
    f"POST {APP}/destroy": Row(STAFF, TEAM_SEES, app="review_app"),
    f"GET {APP}/access": Row(SEES, SEES),
    f"POST {APP}/access": Row(MANAGES, SEES, {"email": "rival@example.com", "may": "view"}),
    f"POST {APP}/access/change": Row(MANAGES, SEES, {"user": "deploy@example.com", "seen": "deploy", "may": "view"}),
    f"POST {APP}/access/remove": Row(MANAGES | {"deploy"}, SEES, {"user": "deploy@example.com"}),
    f"GET {APP}/settings": Row(SEES, SEES),
    f"GET {APP}/settings/values": Row(RELEASES, SEES),
    f"POST {APP}/settings/config": Row(RELEASES, SEES, {"name": "A", "value": "1"}),
    f"POST {APP}/settings/maintenance": Row(OPERATES, SEES, {"do": "off"}),
    f"POST {APP}/settings/name": Row(MANAGES, SEES, {"name": "another"}),
    f"POST {APP}/settings/delete": Row(MANAGES, SEES, {"confirm": "{app}"}),
    "POST /dashboard/sign-out": Row(EVERYBODY),
    "GET /dashboard/account": Row(EVERYBODY),
    "GET /dashboard/account/tokens": Row(EVERYBODY),
    "POST /dashboard/account/tokens": Row(EVERYBODY, form={"description": "ci", "scope": "read", "lasts": "30"}),
    "POST /dashboard/account/tokens/revoke": Row(frozenset({"member"}), frozenset({"member"}), {"token": "{token}"}),
    "POST /dashboard/account/github": Row(EVERYBODY),
    "POST /dashboard/account/github/unlink": Row(EVERYBODY),
    f"GET {TEAM}": Row(TEAMED, TEAMED),
    f"POST {TEAM}/members": Row(frozenset({"admin"}), TEAMED, {"email": "mate@example.com", "role": "viewer"}),
    f"POST {TEAM}/members/remove": Row(frozenset({"admin", "guest"}), TEAMED, {"member": "{member}"}),
    f"POST {TEAM}/invitations": Row(frozenset({"admin"}), TEAMED, {"email": "new@example.com", "role": "member"}),
    f"POST {TEAM}/invitations/revoke": Row(frozenset({"admin"}), TEAMED, {"invitation": "{invitation}"}),
    "GET /dashboard/invitations/{link}": Row(OPEN),
    "POST /dashboard/invitations/{link}": Row(OPEN),
    "POST /dashboard/invitations/{link}/github": Row(OPEN),
    "POST /dashboard/github/sign-in": Row(OPEN, answers=frozenset({303})),
    "GET /dashboard/github/callback": Row(OPEN, answers=frozenset({403})),
    "GET /dashboard/sign-in": Row(OPEN),
    "GET /dashboard/sign-in/{link}": Row(OPEN),
    "POST /dashboard/sign-in/{link}": Row(OPEN),
}
QUERIES = {f"GET {ONE}/promote": "?app={app}"}


@dataclass(kw_only=True)
class Visitors:
    """Everybody, signed in."""

    world: World
    rows: Rows
    cookies: dict[str, str]

    async def ask(self, who: str, route: str, names: dict[str, str]) -> tuple[int, str]:
        """What somebody is answered; whatever that has done is undone."""
        method, _, path = route.partition(" ")
        if (app := TABLE[route].app) != "app":
            names = names | {"app": names[app]}
        secret = self.cookies.get(who, "")
        form = {key: filled(value, names) for key, value in TABLE[route].form.items()} | {"csrf": sessions.csrf(secret)}
        url = self.world.server.url + filled(path + QUERIES.get(route, ""), names)
        jar, line = aiohttp.CookieJar(unsafe=True), self.world.server.session.connector
        async with aiohttp.ClientSession(cookie_jar=jar, connector=line, connector_owner=False) as client:
            client.cookie_jar.update_cookies({"towpath_session": secret} if secret else {}, URL(url))
            data = form if method == "POST" else None
            # Each route has its own misses; everybody tries it.
            headers = {"X-Forwarded-For": f"198.51.100.{list(TABLE).index(route)}"}
            async with client.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
                is_stream = answer.content_type == "text/event-stream"
                text = (await answer.content.readline()).decode() if is_stream else await answer.text()
        if method != "GET" and answer.status < 400:
            await self.world.server.db.write(lambda conn: restore(conn, self.rows))
        return answer.status, text


def filled(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: names[name[1]], text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitors(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Visitors]:  # noqa: F811
    home = tmp_path_factory.mktemp("pages")
    path = home / "towpath.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = await Database.open(f"sqlite:///{path}")
    async with serving(database, Vault.open(home / "secret.keys", create=True), home) as server:
        world, cookies = await populate(server), {}
        for who in EVERYBODY:
            url = await link(server, world.tokens[who])
            async with server.session.post(url, allow_redirects=False) as answer:
                cookies[who] = answer.cookies["towpath_session"].value
        server.session.cookie_jar.clear()
        await server.inbox.put(
            guid=DELIVERY, event="push", action="", repository_id=42, installation_id=None, body=b"{}",
            received_at=database.now(),
        )  # fmt: skip
        app = GitHubApp(
            id=7, slug="towpath", name="Towpath", html_url="https://github.com/apps/towpath", private_key=app_key(),
            webhook_secret="secret", client_id="Iv23li7", client_secret="secret",
        )  # fmt: skip
        await database.write(lambda conn: github_app.save(conn, server.vault, app, database.now()))
        await server.identity.refresh()
        await learn(server, FactKey(FactKind.PULL_REQUEST, SHOP.id, "7"), pull_request(number=7))
        for side, who in ((world.ours, "admin"), (world.theirs, "rival")):
            side["review_app"] = await reviewed(world, who, side["team"])
        await server.work()  # they have something that can be stopped
        for side, who in ((world.ours, "member"), (world.theirs, "rival")):
            side["token"] = (await world.must(who, "GET", "/oauth/authorizations/~", status=200))["id"]
            side |= {"link": "x", "group": "idle", "guid": DELIVERY, "heir": side.get("user member", side["user"])}
        yield Visitors(world=world, rows=await database.read(saved), cookies=cookies)
    await database.close()


async def reviewed(world: World, who: str, team: str) -> str:
    """The name of a review app, in a pipeline of its own: it would be in the way of the end of another."""
    body = {"name": f"{team}-reviews", "owner": {"id": team, "type": "team"}}
    pipeline = (await world.must(who, "POST", "/pipelines", body))["id"]
    await world.must(who, "POST", f"/pipelines/{pipeline}/repository", {"repository": "acme/shop"})
    await world.must(who, "POST", f"/pipelines/{pipeline}/review-app-config", {})
    made = await world.must(who, "POST", "/review-apps", {"pipeline": pipeline, "pr_number": 7})
    return str(made["app"]["name"])


async def test_every_page_is_in_the_table(visitors: Visitors) -> None:
    shown = {
        f"{route.method} {route.resource.canonical}"
        for route in visitors.world.server.routes
        if route.method != "HEAD" and route.resource is not None and route.resource.canonical.startswith("/dashboard")
    }
    assert shown == set(TABLE)


@pytest.mark.parametrize("route", TABLE)
async def test_who_may_see_and_do_what(visitors: Visitors, route: str) -> None:
    row, names = TABLE[route], visitors.world.ours
    for who in sorted(EVERYBODY):
        status, text = await visitors.ask(who, route, names)
        if row.may == OPEN:
            assert status in row.answers, f"{who} may: {status} {text}"
        elif who in row.may:
            assert status in {200, 303}, f"{who} may: {status} {text}"
        else:
            expected = 403 if who in row.sees else 404
            assert status == expected, f"{who} may not: {status} {text}"


@pytest.mark.parametrize("route", [route for route, row in TABLE.items() if row.sees is not EVERYBODY])
async def test_what_is_others_is_not_there(visitors: Visitors, route: str) -> None:
    for who in sorted(EVERYBODY - {"rival"}):
        status, text = await visitors.ask(who, route, visitors.world.theirs)
        assert (status, "rivals" in text) == (404, False), who


@pytest.mark.parametrize("route", [f"GET {ONE}/promote", f"POST {ONE}/promotions"])
async def test_an_app_of_others_is_not_found_in_a_pipeline_of_ours(visitors: Visitors, route: str) -> None:
    theirs = visitors.world.theirs
    for name in ("app", "production"):
        status, _ = await visitors.ask("admin", route, {**visitors.world.ours, name: theirs[name]})
        assert status in ({404} if name == "app" or "POST" in route else {200})


@pytest.mark.parametrize("route", [route for route in TABLE if "{build}" in route or "{release}" in route])
async def test_a_build_or_release_of_others_is_not_found_in_an_app_of_ours(visitors: Visitors, route: str) -> None:
    ours, theirs = visitors.world.ours, visitors.world.theirs
    names = ours | {name: theirs[name] for name in ("build", "release")}
    assert (await visitors.ask("admin", route, names))[0] == 404


@pytest.mark.parametrize("route", [route for route, row in TABLE.items() if row.may != OPEN])
async def test_nobody_sees_anything_who_is_not_signed_in(visitors: Visitors, route: str) -> None:
    status, text = await visitors.ask("nobody", route, visitors.world.ours)
    text = re.sub(r'name="next" value="[^"]*"', "", text)  # where they wanted to go, in their own words
    assert (status, "crew" in text) == (401, False)


@pytest.mark.parametrize("who", sorted(EVERYBODY))
async def test_the_first_page_shows_what_one_sees_and_nothing_of_others(visitors: Visitors, who: str) -> None:
    _, text = await visitors.ask(who, "GET /dashboard", {})
    assert ("crew-pipe" in text, "crew-spare" in text) == (who in SEES, who in SEES)
    assert ("rivals" in text) == (who == "rival")
