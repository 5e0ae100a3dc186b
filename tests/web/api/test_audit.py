"""Whatever is changed through the API is in the activity log, by whoever changed it.

The routes are those of the matrix: one that changes something and is not in a table here fails.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import pytest
from sqlalchemy import Connection, func, select

from service.store import orphans
from service.store.tables import activity, apps, pipelines, teams
from service.web.openapi.operations import OPERATIONS
from tests.store.fixtures import sqlite_template  # noqa: F401
from tests.web.api.people import Rows, World, restore
from tests.web.api.records import RECORDS, Entry
from tests.web.api.test_matrix import DECLINE, OURS_AS_OWNER, PROMOTE, TABLE, TO_MYSELF, filled, own, rows, world

__all__ = ["rows", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_A_NAME = re.compile(r"[a-z]+-[a-z]+-\d{5}")
_MADE_UP = ((re.compile(r"run\.\d+"), "run.N"), (re.compile(r"towpath-[\w-]{6}(?=\")"), "towpath-PREFIX"))


class First(NamedTuple):
    """What is done before, what the id that it answers is called in the path, and whether a worker does its part."""

    route: str
    body: Any
    name: str = ""
    worked: bool = False


class Write(NamedTuple):
    """What is sent, by whom, what comes first, and to which of the apps."""

    body: Any = None
    who: str = "admin"
    first: First | None = None
    app: str = "app"


HUSH = {"secret": "hush-signing", "authorization": "Bearer hush"}
HOOK = {"include": ["api:app"], "level": "sync", "url": "http://localhost:9/hush", **HUSH}
PIPELINE_HOOK = HOOK | {"include": ["api:promotion"]}
LOCKED = {"reason": "for the audit"}
GRANT = {"user": "rival@example.com"}
BUILD = {"source_blob": {"version": "main"}}
SPARE = {"app": "{spare}", "pipeline": "{pipeline}", "stage": "development"}
RUN = {"command": "true", "env": {"A": "hush-env"}}
MEMBER = {"email": "rival@example.com", "role": "viewer"}
KNOWN = {"email": "viewer@example.com", "role": "member"}

WRITES: Mapping[str, Write] = {
    "POST /account/app-transfers": Write({"app": "{spare}", "recipient": "member@example.com"}),
    "PATCH /account/app-transfers/{transfer}": Write(DECLINE, "member"),
    "DELETE /account/app-transfers/{transfer}": Write(),
    "POST /account/sign-in-links": Write(),
    "POST /app-setups": Write(
        {
            "source_blob": {"version": "main"},
            "app": {"name": "set-up"},
            "pipeline_coupling": {"pipeline": "{pipeline}", "stage": "staging"},
        }
    ),
    "POST /apps": Write({}),
    "PATCH /apps/{app}": Write({"maintenance": False}),
    "DELETE /apps/{app}": Write(),
    "PUT /apps/{app}/build-config": Write({"names": ["A"]}, app="spare"),
    "POST /apps/{app}/builds": Write(BUILD),
    "DELETE /apps/{app}/builds/{build}": Write(first=First("POST /apps/{app}/builds", BUILD, "build")),
    "POST /apps/{app}/collaborators": Write(GRANT),
    "PATCH /apps/{app}/collaborators/{collaborator}": Write({"permissions": ["view", "deploy"]}),
    "DELETE /apps/{app}/collaborators/{collaborator}": Write(),
    "PATCH /apps/{app}/config-vars": Write({"A": "hush-hush"}),
    "POST /apps/{app}/deploy-locks": Write(LOCKED),
    "POST /apps/{app}/dynos": Write(RUN),
    "DELETE /apps/{app}/dynos": Write(),
    "DELETE /apps/{app}/dynos/{dyno}": Write(),
    "POST /apps/{app}/dynos/{dyno}/actions/stop": Write(first=First("POST /apps/{app}/dynos", RUN, "dyno")),
    "PATCH /apps/{app}/formation": Write({"updates": [{"type": "web", "quantity": 2}]}),
    "PATCH /apps/{app}/formation/{type}": Write({"quantity": 2}),
    "DELETE /apps/{app}/formations/{type}": Write(),
    "POST /apps/{app}/formations/{type}/actions/stop": Write(),
    "PATCH /apps/{app}/github": Write({"auto_deploy": True, "branch": "main"}),
    "POST /apps/{app}/releases": Write({"release": 1}),
    "POST /apps/{app}/sources": Write(),
    "POST /apps/{app}/webhooks": Write(HOOK),
    "PATCH /apps/{app}/webhooks/{webhook}": Write({"level": "notify", **HUSH}),
    "DELETE /apps/{app}/webhooks/{webhook}": Write(),
    "POST /apps/{app}/webhook-deliveries/{delivery}/actions/retry": Write(),
    "DELETE /deploy-locks/{lock}": Write(),
    "POST /github/setups": Write({}, "operator"),
    "POST /oauth/authorizations": Write({}),
    "DELETE /oauth/authorizations/{authorization}": Write(),
    "POST /oauth/authorizations/{authorization}/actions/regenerate-tokens": Write(),
    "POST /pipeline-couplings": Write(SPARE),
    "PATCH /pipeline-couplings/{coupling}": Write({"stage": "development"}),
    "DELETE /pipeline-couplings/{coupling}": Write(),
    "POST /pipeline-promotions": Write(PROMOTE),
    "POST /pipeline-promotions/{promotion}/actions/undo": Write(
        {}, first=First("POST /pipeline-promotions", PROMOTE, "promotion", worked=True)
    ),
    "POST /pipeline-transfers": Write(TO_MYSELF),
    "POST /pipelines": Write({"name": "another", "owner": OURS_AS_OWNER}),
    "PATCH /pipelines/{pipeline}": Write({"name": "renamed"}),
    "DELETE /pipelines/{pipeline}": Write(),
    "PUT /pipelines/{pipeline}/build-config": Write({"names": ["A"]}),
    "POST /pipelines/{pipeline}/deploy-locks": Write(LOCKED),
    "PATCH /pipelines/{pipeline}/forks/config-vars": Write({"A": "hush-hush"}),
    "POST /pipelines/{pipeline}/repository": Write({"repository": "acme/other"}),
    "PATCH /pipelines/{pipeline}/repository": Write({"automatic_review_apps": True}),
    "DELETE /pipelines/{pipeline}/repository": Write(),
    "POST /pipelines/{pipeline}/review-app-config": Write(
        {}, first=First("DELETE /pipelines/{pipeline}/review-app-config", None)
    ),
    "PATCH /pipelines/{pipeline}/review-app-config": Write({"stale_days": 9}),
    "DELETE /pipelines/{pipeline}/review-app-config": Write(),
    "PATCH /pipelines/{pipeline}/settings": Write({"stale_days": 9}),
    "PATCH /pipelines/{pipeline}/stage/{stage}/config-vars": Write({"A": "hush-hush"}),
    "POST /pipelines/{pipeline}/webhooks": Write(PIPELINE_HOOK),
    "PATCH /pipelines/{pipeline}/webhooks/{pipeline_webhook}": Write({"level": "notify"}),
    "DELETE /pipelines/{pipeline}/webhooks/{pipeline_webhook}": Write(),
    "POST /pipelines/{pipeline}/webhook-deliveries/{pipeline_delivery}/actions/retry": Write(),
    "POST /review-apps": Write({"pipeline": "{pipeline}", "branch": "fix/cart"}),
    "PATCH /review-apps/{review}": Write({"pinned": True}),
    "DELETE /review-apps/{review}": Write(),
    "POST /review-apps/{review}/approvals": Write(
        {"sha": "b" * 40}, first=First("POST /review-apps", {"pipeline": "{pipeline}", "pr_number": 11}, "review")
    ),
    "POST /sources": Write(),
    "POST /spaces": Write({"name": "elsewhere", "driver": "process"}, "operator"),
    "POST /teams": Write({"name": "another"}),
    "POST /teams/apps": Write({"team": "{team}"}),
    "PATCH /teams/apps/{app}": Write({"owner": "admin@example.com"}),
    "POST /teams/apps/{app}/collaborators": Write(GRANT),
    "PATCH /teams/apps/{app}/collaborators/{collaborator}": Write({"permissions": ["view", "deploy"]}),
    "DELETE /teams/apps/{app}/collaborators/{collaborator}": Write(),
    "PATCH /teams/{team}": Write({"name": "renamed"}),
    "DELETE /teams/{team}": Write(first=First("POST /teams", {"name": "empty"}, "team")),
    "PUT /teams/{team}/invitations": Write({"email": "somebody@example.com", "role": "member"}),
    "DELETE /teams/{team}/invitations/{invitation}": Write(),
    "PUT /teams/{team}/members": Write(MEMBER),
    "POST /teams/{team}/members": Write(MEMBER),
    "PATCH /teams/{team}/members": Write(KNOWN),
    "DELETE /teams/{team}/members/{member}": Write(),
    "POST /users": Write({"email": "another@example.com"}, "operator"),
    "PATCH /users/{user}": Write({"name": "Another"}, "operator"),
    "DELETE /users/{user}": Write(None, "operator"),
}

QUIET = {
    "POST /filters/apps": "reads, with a body because a list of ids is long",
    "POST /apps/{app}/log-sessions": "reads: an address is signed and nothing is kept",
    "POST /github/webhook": "reads: says what to put into a repository's webhook",
    "POST /{app}.git/git-upload-pack": "reads",
    "POST /github/webhooks": "what GitHub tells is kept as a delivery with what was decided of it",
}
"""What changes nothing that anybody would ask about, and why."""

ELSEWHERE = {
    "POST /{app}.git/git-receive-pack": "a push is sent by Git",
    "PUT /sources/{source}": "sent with a key, below",
    "POST /delivery-replays": "of deliveries that failed",
    "DELETE /orphans/{orphan}": "of processes whose app is gone, below",
    "POST /github/setup/start/{link}": "GitHub takes part: with the pages of the set-up",
    "POST /github/setup/again": "GitHub takes part: with the pages of the set-up",
    "POST /github/setup/connect": "GitHub takes part: with the pages of the set-up",
}
"""What takes more than a request, and is looked at where there is that."""

REFUSED = {route for route, it in OPERATIONS.items() if it.status is None}


async def test_every_route_that_changes_something_is_in_one_of_the_tables() -> None:
    assert set(RECORDS) == set(WRITES)
    changing = {route for route in TABLE if not route.startswith("GET ")}
    tables = [set(WRITES), set(QUIET), set(ELSEWHERE), REFUSED & changing]
    assert set().union(*tables) == changing
    assert sum(map(len, tables)) == len(changing)


@dataclass(kw_only=True)
class Log:
    """What is in the log: how far it went when it was looked at first, and what apps and pipelines were called then."""

    last: int
    named: dict[str, str]

    @classmethod
    def of(cls, conn: Connection) -> Self:
        last = conn.execute(select(func.max(activity.c.id))).scalar_one()
        return cls(last=last, named=_named(conn))

    def since(self, conn: Connection) -> tuple[set[str], list[Entry]]:
        """Who did what since then: all that is told of it, in words that are the same in each run."""
        named = self.named | _named(conn)
        actors, entries = set(), []
        for row in conn.execute(select(activity).where(activity.c.id > self.last).order_by(activity.c.id)):
            actors.add(row.actor)
            data = _ID.sub(lambda found: named.get(found[0], "ID"), row.data)
            for pattern, word in _MADE_UP:
                data = pattern.sub(word, data)
            app, pipeline = named.get(row.app_id or "", ""), named.get(row.pipeline_id or "", "")
            about = (_A_NAME.sub("NAME", app), pipeline)
            entries.append(Entry(row.action, *about, row.ref, row.sha or "", json.loads(data)))
        return actors, entries


def _named(conn: Connection) -> dict[str, str]:
    tables = (apps, pipelines, teams)
    return {row.id: row.name for table in tables for row in conn.execute(select(table.c.id, table.c.name))}


def secrets_of(answer: Any) -> set[str]:
    """What an answer tells once and nobody else: tokens, and the keys of addresses."""
    found = set(re.findall(r'"token": "([^"]+)"|[?&]key=([^"&]+)|/sign-in/([^"]+)', json.dumps(answer)))
    return {each for several in found for each in several if each}


async def _send(world: World, who: str, route: str, body: Any, names: dict[str, str]) -> Any:
    method, _, path = route.partition(" ")
    status, said = await world.ask(who, method, filled(path, names), filled(body, names))
    assert status < 300, f"{route}: {status} {said}"
    return said


@pytest.mark.parametrize("route", WRITES)
async def test_what_is_changed_is_on_record_with_who_did_it(world: World, rows: Rows, route: str) -> None:
    body, who, first, app = WRITES[route]
    names = own(world, who, route)
    names["app"] = names[app]
    try:
        if first is not None:
            said = await _send(world, who, first.route, first.body, names)
            if first.name:
                names[first.name] = said["id"]
            if first.worked:
                await world.server.work()
        log = await world.server.db.read(Log.of)
        answer = await _send(world, who, route, body, names)
        actors, entries = await world.server.db.read(log.since)
        assert actors == {"user:admin@localhost" if who == "operator" else f"user:{who}@example.com"}
        assert entries == RECORDS[route]
        assert "hush" not in str(entries)
        assert not [each for each in secrets_of(answer) if each in str(entries)]
    finally:
        await world.server.db.write(lambda conn: restore(conn, rows))


async def test_a_source_is_on_record_as_sent_by_whom_its_key_was_given_to(world: World, rows: Rows) -> None:
    source = await world.must("member", "POST", "/sources")
    place = source["source_blob"]["put_url"].removeprefix(world.server.url)
    await world.server.call("PUT", place, b"\x1f\x8b packed", expect=200, Authorization="")
    *_, asked, sent = await world.must("member", "GET", "/activity", status=200)
    assert (sent["action"], asked["action"]) == ("source sent", "source asked for")
    assert sent["actor"] == asked["actor"] == "user:member@example.com"
    assert (sent["data"]["id"], sent["data"]["size"]) == (asked["data"]["id"], 9)
    assert "key=" not in f"{sent}{asked}"
    await world.server.db.write(lambda conn: restore(conn, rows))


async def test_an_orphan_is_let_go_by_somebody(world: World, rows: Rows) -> None:
    found = {"app-of-no-backup": "web"}
    now = world.server.db.now()
    await world.server.db.write(lambda conn: orphans.keep(conn, driver="process", found=found, now=now))
    await world.must("operator", "DELETE", "/orphans/app-of-no-backup", status=202)
    *_, noted = await world.must("operator", "GET", "/activity", status=200)
    assert (noted["action"], noted["actor"]) == ("orphan destroyed", "user:admin@localhost")
    await world.server.db.write(lambda conn: restore(conn, rows))
