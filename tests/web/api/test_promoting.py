"""Promotions on the wire: all or nothing, taken back, refused where builds hold config; and what one would bring."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.facts import CommitsApart, FactKey, ListedCommit, commits_between
from service.domain.model import Sha
from service.store import facts, views
from service.store.leases import LeaseTerms
from service.web.api import downstream
from tests.waiting import until
from tests.web.api.test_deploying import deployed
from tests.web.serving import HEADS, SHOP, Server

MAIN, FIX = HEADS["main"], HEADS["fix/cart"]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker is here that anybody could wait for."""
    monkeypatch.setattr(downstream, "PATIENCE", 0.2)


async def promoted(server: Server, pipeline: Any, *to: str, source: str = "staging", **how: Any) -> Any:
    body = {"pipeline": pipeline["id"], "source": {"app": source}, **how}
    if to:
        body["targets"] = [{"app": each} for each in to]
    made, _ = await server.call("POST", "/pipeline-promotions", body, expect=201)
    await server.work()
    return made


async def undone(server: Server, promotion: Any, *names: str, expect: int = 201) -> Any:
    body = {"targets": [{"app": each} for each in names]} if names else {}
    said, _ = await server.call("POST", f"/pipeline-promotions/{promotion['id']}/actions/undo", body, expect=expect)
    return said


async def two_releases(server: Server) -> Any:
    """A pipeline whose production apps run one promoted commit, and were then given another."""
    pipeline = await server.pipeline(staging="staging", production="live", development="early")
    await server.app("live-eu")
    coupling = {"app": "live-eu", "pipeline": pipeline["id"], "stage": "production"}
    await server.call("POST", "/pipeline-couplings", coupling, expect=201)
    await deployed(server, "staging", "main")
    await promoted(server, pipeline)
    await deployed(server, "staging", "bbbbbbb")
    return pipeline, await promoted(server, pipeline)


async def runs(server: Server, app: str) -> tuple[int, str]:
    release = await server.get(f"/apps/{app}/releases/current")
    return release["version"], release["commit"]


async def test_undoing_a_promotion_rolls_each_target_back_and_holds_it_there(server: Server) -> None:
    _, promotion = await two_releases(server)
    said = await undone(server, promotion)
    assert said["pipeline_promotion"] == {"id": promotion["id"]}
    assert [(it["app"]["name"], it["to"]["version"], it["release"]["version"]) for it in said["targets"]] == [
        ("live", 1, 3),
        ("live-eu", 1, 3),
    ]
    assert {(it["refused"], it["error_message"], it["request"]["kind"]) for it in said["targets"]} == {
        (False, None, "Rollback")
    }
    await server.work()
    assert [await runs(server, app) for app in ("live", "live-eu")] == [(3, MAIN), (3, MAIN)]
    newest = (await server.get("/apps/live/releases"))[-1]
    assert newest["description"] == "Rollback to v1"
    live = await server.get("/apps/live")
    assert await server.db.read(lambda conn: views.held(conn, live["id"])) == "held at v3"
    (noted,) = [it for it in await server.get("/activity") if it["action"] == "promotion undone"]
    assert noted["data"] == {"promotion": promotion["id"], "targets": ["live", "live-eu"]}


async def test_a_target_that_was_given_something_since_stays_and_says_what(server: Server) -> None:
    _, promotion = await two_releases(server)
    await server.call("PATCH", "/apps/live-eu/config-vars", {"A": "1"}, expect=200)
    said = await undone(server, promotion)
    stayed = next(it for it in said["targets"] if it["app"]["name"] == "live-eu")
    assert (stayed["refused"], stayed["request"], stayed["release"], stayed["to"]) == (True, None, None, None)
    assert stayed["error_message"] == "v3 came after it (Set A config vars)"
    await server.work()
    assert [(await runs(server, app))[1] for app in ("live", "live-eu")] == [MAIN, FIX]

    again = await undone(server, promotion, expect=409)
    assert again["message"] == (
        "live stays as it is: v3 came after it (Rollback to v1)\n"
        "live-eu stays as it is: v3 came after it (Set A config vars)"
    )


async def test_code_that_did_not_come_up_since_is_not_in_the_way(server: Server) -> None:
    _, promotion = await two_releases(server)
    await server.call("POST", "/apps/live/builds", {"source_blob": {"version": "main"}}, expect=201)
    await server.work(fail="release")
    said = await undone(server, promotion, "live")
    assert [(it["app"]["name"], it["to"]["version"], it["release"]["version"]) for it in said["targets"]] == [
        ("live", 1, 4)
    ]


async def test_a_first_promotion_has_no_way_back_and_one_under_way_not_yet(server: Server) -> None:
    pipeline = await server.pipeline(staging="staging", production="live")
    await deployed(server, "staging", "main")
    first = await promoted(server, pipeline)
    assert (await undone(server, first, expect=409))["message"] == "live stays as it is: it ran nothing before"
    body = {"pipeline": pipeline["id"], "source": {"app": "staging"}}
    second, _ = await server.call("POST", "/pipeline-promotions", body, expect=201)
    assert (await undone(server, second, expect=409))["message"] == (
        "live stays as it is: the promotion is still under way there"
    )
    await server.work(fail="release")
    assert (await undone(server, second, expect=409))["message"] == (
        "live stays as it is: the promotion failed there, so there is nothing to undo"
    )
    assert (await undone(server, second, "staging", expect=409))["message"] == (
        "The promotion has none of these targets."
    )
    await server.call("POST", "/pipeline-promotions/nowhere/actions/undo", {}, expect=404)


async def test_promotions_are_listed_newest_first_with_how_they_went(server: Server) -> None:
    pipeline, newest = await two_releases(server)
    whole = await promoted(server, pipeline, "early", all_or_nothing=True)
    listed, _ = await server.call("GET", "/pipelines/shop/pipeline-promotions", Range="created_at ..; order=desc,max=2")
    assert [it["id"] for it in listed] == [whole["id"], newest["id"]]
    assert [(it["outcome"], it["all_or_nothing"]) for it in listed] == [("completed", True), ("completed", False)]


async def test_an_app_whose_builds_hold_its_config_is_neither_promoted_nor_promoted_to(server: Server) -> None:
    pipeline, _ = await two_releases(server)
    assert (await server.get("/apps/live"))["promotable"] is True
    changed, _ = await server.call("PATCH", "/apps/live", {"promotable": False}, expect=200)
    assert changed["promotable"] is False
    body = {"pipeline": pipeline["id"], "source": {"app": "staging"}}
    refused, _ = await server.call("POST", "/pipeline-promotions", body, expect=422)
    assert refused["message"].endswith("Deploy it from git instead: towpath deploy -a live")
    await promoted(server, pipeline, "live-eu")
    from_live = body | {"source": {"app": "live"}, "targets": [{"app": "early"}]}
    refused, _ = await server.call("POST", "/pipeline-promotions", from_live, expect=422)
    assert refused["message"].startswith("live is not promotable: its builds hold its own config vars")
    await server.call("PATCH", "/apps/live", {"promotable": True}, expect=200)
    await promoted(server, pipeline)


# What a promotion would bring


def commit(sha: str, subject: str) -> ListedCommit:
    return ListedCommit(sha=Sha(sha), author="Ada", at=datetime(2026, 11, 27, 9, 30, tzinfo=UTC), subject=subject)


APART = CommitsApart(
    ahead=1,
    behind=1,
    ahead_commits=(commit(FIX, "Fix the cart"),),
    behind_commits=(commit(MAIN, "Main"),),
    related=True,
)
KEY = commits_between(SHOP.id, MAIN, FIX)


async def learned(server: Server, value: CommitsApart | None = None, error: str = "", key: FactKey = KEY) -> None:
    def learn(conn: Any) -> None:
        asked = facts.next_asked(conn)
        facts.learn(conn, key, asked=asked, value=value, error=error, etag="", now=server.db.now())

    await server.db.write(learn)


async def apart(server: Server) -> Any:
    """A staging app with newer code than the production app."""
    pipeline = await server.pipeline(staging="staging", production="live")
    await deployed(server, "staging", "main")
    await promoted(server, pipeline)
    await deployed(server, "staging", "bbbbbbb")
    return pipeline


async def test_what_a_promotion_would_bring_is_told_commit_by_commit(server: Server) -> None:
    await apart(server)
    await learned(server, APART)
    (it,) = await server.get("/apps/staging/pipeline-diffs")
    assert (it["app"]["name"], it["stage"], it["commit"], it["release"]["version"]) == ("live", "production", MAIN, 1)
    assert (it["source"]["app"]["name"], it["source"]["commit"]) == ("staging", FIX)
    assert (it["relation"], it["reason"], it["ahead_by"], it["behind_by"]) == ("diverged", None, 1, 1)
    assert it["commits"] == [{"sha": FIX, "author": "Ada", "date": "2026-11-27T09:30:00Z", "message": "Fix the cart"}]
    assert [each["message"] for each in it["behind_commits"]] == ["Main"]


async def test_commits_that_were_not_compared_yet_are_looked_up_and_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apart(server)
    (it,) = await server.get("/apps/staging/pipeline-diffs")
    assert (it["relation"], it["commits"], it["ahead_by"]) == ("pending", [], None)
    wanted = await server.db.read(
        lambda conn: facts.due_looks(conn, terms=LeaseTerms(holder="x", seconds=9), now=server.db.now(), limit=9)
    )
    assert KEY in wanted
    monkeypatch.setattr(downstream, "PATIENCE", 20.0)
    asking = asyncio.create_task(server.get("/apps/staging/pipeline-diffs"))
    await until(lambda: not asking.done(), what="it is asked for")
    await learned(server, APART)
    assert (await asking)[0]["relation"] == "diverged"


async def test_a_commit_that_is_unknown_says_so_and_is_asked_for_again_later(server: Server) -> None:
    await apart(server)
    await learned(server, error="aaaaaaa is unknown: the repository cannot be read")
    (it,) = await server.get("/apps/staging/pipeline-diffs")
    assert (it["relation"], it["reason"]) == ("unknown", "aaaaaaa is unknown: the repository cannot be read")


async def test_config_vars_differ_by_name_for_those_only_who_may_read_them_in_both(server: Server) -> None:
    await apart(server)
    await learned(server, APART)
    await server.call("PATCH", "/apps/staging/config-vars", {"A": "secret-1", "B": "secret-2"}, expect=200)
    await server.call("PATCH", "/apps/live/config-vars", {"B": "secret-3", "C": "secret-4"}, expect=200)
    found = await server.get("/apps/staging/pipeline-diffs")
    assert found[0]["config_vars"] == {"missing": ["A"], "extra": ["C"], "different": ["B"]}
    assert "secret" not in str(found)

    async def keys(**sent: str) -> Any:
        return (await server.get("/apps/staging/pipeline-diffs", **sent))[0]["config_vars"]

    token, _ = await server.call("POST", "/oauth/authorizations", {"scope": ["read"]}, expect=201)
    assert await keys(Authorization=f"Bearer {token['access_token']['token']}") is None
    made, _ = await server.call("POST", "/users", {"email": "bob@acme.example", "name": "Bob"}, expect=201)
    bob = {"Authorization": f"Bearer {made['access_token']['token']}"}
    for app, permission in (("staging", "deploy"), ("live", "view")):
        body = {"user": "bob@acme.example", "permissions": [permission]}
        await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    assert await keys(**bob) is None
    await server.call("PATCH", "/apps/live/collaborators/bob@acme.example", {"permissions": ["operate"]}, expect=200)
    assert await keys(**bob) is not None


async def test_an_app_downstream_that_one_does_not_see_is_not_told_of(server: Server) -> None:
    await apart(server)
    made, _ = await server.call("POST", "/users", {"email": "bob@acme.example", "name": "Bob"}, expect=201)
    body = {"user": "bob@acme.example", "permissions": ["view"]}
    await server.call("POST", "/apps/staging/collaborators", body, expect=201)
    seen = await server.get("/apps/staging/pipeline-diffs", Authorization=f"Bearer {made['access_token']['token']}")
    assert seen == []


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("live", "Nothing is downstream of live: it is in the 'production' stage."),
        ("single", "App single is in no pipeline: nothing is downstream of it."),
    ],
)
async def test_an_app_with_nothing_downstream_is_refused_with_the_reason(
    server: Server, app: str, message: str
) -> None:
    await server.pipeline(staging="staging", production="live")
    await server.app("single")
    refused, _ = await server.call("GET", f"/apps/{app}/pipeline-diffs", expect=422)
    assert refused["message"] == message
