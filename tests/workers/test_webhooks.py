"""Outbound webhooks, from the change through the API to what the receiver has: signed, in order, at least once."""

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from service.domain.decisions import Deploy, Restart
from service.domain.model import AppState, BuildState, ReleaseState, ReviewState, Sha, Stage, TargetState, Trust
from service.domain.webhooks import reach
from service.enact import Transaction
from service.store import apps, builds, outbound, promotions, releases, requests, reviews, tables
from service.store.database import new_id
from tests.scale.counting import counted
from tests.waiting import until
from tests.web.api.test_attributes import wrong_in
from tests.workers.conftest import Yard
from tests.workers.hearing import SECRET, Wire, is_genuine, receiving, wired
from workers import webhooks as sending
from workers.jobs import deliver as delivering
from workers.jobs import loops
from workers.jobs.deliver import deliver
from workers.webhooks import Letter, send


@pytest.fixture
async def wire(yard: Yard, tmp_path: Path) -> AsyncIterator[Wire]:
    async with wired(yard, tmp_path / "web") as ready:
        yield ready


async def test_a_change_is_told_in_herokus_form_and_signed(wire: Wire) -> None:
    webhook = await wire.webhook(authorization="Bearer of-the-receiver")
    await wire.switch()
    await wire.tell()
    ((headers, body),) = wire.receiver.heard
    assert is_genuine(headers, body)
    assert headers["Authorization"] == "Bearer of-the-receiver"
    assert headers["Content-Type"] == "application/json"
    (delivery,) = await wire.deliveries()
    (event,) = await wire.server.get("/apps/example/webhook-events")
    assert headers["Heroku-Webhook-Id"] == delivery["id"]
    assert delivery["status"] == "succeeded"
    assert (delivery["num_attempts"], delivery["last_attempt"]["code"], delivery["next_attempt_at"]) == (1, 204, None)
    (told,) = wire.receiver.told
    assert told.pop("webhook_metadata") == {
        "attempt": {"id": delivery["last_attempt"]["id"]},
        "delivery": {"id": delivery["id"]},
        "event": {"id": event["id"], "include": "api:app"},
        "webhook": {"id": webhook["id"]},
    }
    assert told == event["payload"]
    app = await wire.server.get("/apps/example")
    assert {key: app[key] for key in told["data"]} == told["data"]
    assert (told["resource"], told["action"], told["previous_data"]) == ("app", "update", {"maintenance": False})
    assert told["actor"]["email"] == "admin@localhost"
    assert told["version"] == "application/vnd.heroku+json; version=3"
    assert told["id"] == event["id"]


async def test_config_vars_are_told_of_by_their_names_alone(wire: Wire) -> None:
    await wire.webhook("/apps/example", "api:release", "api:app", "api:build", "api:formation", "api:dyno")
    await wire.server.call("PATCH", "/apps/example/config-vars", {"TOKEN": "horse-battery"}, expect=200)
    await wire.tell()
    (told,) = wire.receiver.told
    assert (told["resource"], told["action"], told["data"]["status"]) == ("release", "create", "pending")
    assert "TOKEN" in told["data"]["description"]
    kept = await wire.yard.see(lambda conn: conn.execute(select(tables.webhook_events)).all())
    assert "horse-battery" not in f"{wire.receiver.heard}{kept}"


async def test_builds_releases_formations_and_dynos_are_told_with_what_was_before(wire: Wire) -> None:
    yard = wire.yard
    app = await yard.app("shop-staging", Stage.STAGING)
    other = await yard.app("shop-other", Stage.STAGING)
    await wire.webhook(f"/apps/{app.id}", "api:build", "api:release", "api:formation", "api:dyno")

    def build(tx: Transaction) -> None:
        made = builds.create(
            tx.conn, app_id=app.id, request_id=asked.id, repository_id=42, sha="a" * 40, log_id=new_id(), now=tx.now
        )
        assert made.state is BuildState.PENDING
        apps.update(tx.conn, app=other, now=tx.now, formation={"web": 3})  # which nobody listens to

    asked = await wire.server.enactor.change_config(app_id=app.id, changes={"A": "1"}, actor="user:ada@acme.example")
    await yard.do(build)
    slug = await yard.slug()

    def end(tx: Transaction) -> None:
        made = builds.of_request(tx.conn, asked.id)
        release = releases.of_request(tx.conn, asked.id)
        assert made is not None
        assert release is not None
        builds.finish(tx.conn, build_id=made.id, state=BuildState.SUCCEEDED, slug_id=slug.id, error="", now=tx.now)
        releases.finish(tx.conn, release_id=release.id, state=ReleaseState.FAILED, error="exit 1", now=tx.now)
        mine = apps.get(tx.conn, app.id)
        assert mine is not None
        apps.update(tx.conn, app=mine, now=tx.now, formation={"web": 2}, engine_state="crashed")

    await yard.context.commit(end)
    await wire.tell()
    seen = [(it["resource"], it["action"], it["data"].get("status"), it["previous_data"]) for it in wire.receiver.told]
    assert seen == [
        ("release", "create", "pending", {}),
        ("build", "create", "pending", {}),
        ("build", "update", "succeeded", {"slug": None, "status": "pending"}),
        ("release", "update", "failed", {"error": None, "status": "pending"}),
        ("formation", "update", None, {"quantity": 0}),
        ("dyno", "update", None, {"state": None}),
    ]
    by_resource = {it["resource"]: it for it in wire.receiver.told}
    assert by_resource["dyno"]["data"]["state"] == "crashed"
    assert (by_resource["formation"]["data"]["type"], by_resource["formation"]["data"]["quantity"]) == ("web", 2)
    # The worker ended it; it is told as done by whoever asked for it.
    assert by_resource["release"]["actor"]["email"] == "ada@acme.example"
    assert [it["sequence"] for it in wire.receiver.told] == sorted(it["sequence"] for it in wire.receiver.told)
    assert by_resource["build"]["data"]["id"] == asked.id


async def test_what_is_told_has_every_attribute_with_the_value_that_the_api_shows(wire: Wire) -> None:
    yard = wire.yard
    app, slug = await yard.app("shop-staging", Stage.STAGING), await yard.slug(web="./serve", release="./migrate")
    owner = {"owner_id": (await wire.server.get("/account"))["id"], "owner_type": "user"}
    await yard.do(lambda tx: apps.update(tx.conn, app=app, now=tx.now, **owner))
    former = await yard.released(app, slug)
    where = f"/apps/{app.id}"
    await wire.webhook(where, *(f"api:{each}" for each in ("app", "build", "release", "formation", "dyno")))
    work = Deploy(repository_id=yard.repository.id, sha=Sha("a" * 40), trust=Trust.OWN, branch="main")
    asked = await yard.do(lambda tx: tx.request(app.id, work, reason="main is at aaaaaaa", by_person=True))
    of_commit = {"app_id": app.id, "request_id": asked.id, "repository_id": yard.repository.id}

    def happen(tx: Transaction) -> None:
        mine, conn, of = apps.get(tx.conn, app.id), tx.conn, {"log_id": new_id(), "now": tx.now}
        made = builds.create(conn, **of_commit, sha="a" * 40, **of)
        builds.finish(conn, build_id=made.id, state=BuildState.SUCCEEDED, slug_id=slug.id, error="", now=tx.now)
        release = releases.create(
            conn, **of_commit, slug_id=slug.id, commit="a" * 40, description="Deploy aaaaaaaa", actor=tx.actor, **of
        )
        releases.finish(conn, release_id=release.id, state=ReleaseState.SUCCEEDED, error="", now=tx.now)
        assert mine is not None
        change = {"maintenance": True, "formation": {"web": 2}, "engine_state": "crashed", "promotable": False}
        apps.update(conn, app=mine, now=tx.now, current_release_id=release.id, **change)

    await yard.do(happen)
    await wire.tell()
    told = {it["resource"]: it for it in wire.receiver.told}
    shown = {
        "app": await wire.server.get(where),
        "build": await wire.server.get(f"{where}/builds/{asked.id}"),
        "release": await wire.server.get(f"{where}/releases/current"),
        "formation": await wire.server.get(f"{where}/formation/web"),
        "dyno": (await wire.server.get(f"{where}/dynos"))[0],
    }
    assert [wrong for resource in told for wrong in wrong_in(resource, told[resource]["data"])] == []
    differing = {resource: differences(answer, told[resource]["data"]) for resource, answer in shown.items()}
    assert differing == {"app": [], "build": ["reused"], "release": [], "formation": [], "dyno": []}
    assert told["release"]["data"]["output_stream_url"].startswith(f"{wire.server.url}/releases/")
    assert told["build"]["data"]["generation"] == "cedar"
    assert told["dyno"]["previous_data"]["release"] == {"id": former.id, "version": 1}
    assert told["app"]["previous_data"] == {"maintenance": False, "promotable": True}


def differences(shown: Any, told: Any) -> list[str]:
    """What an answer shows that is not told, or told otherwise; more may be told."""
    if not isinstance(shown, dict) or not isinstance(told, dict):
        return [] if shown == told else ["itself"]
    return [name for name, value in shown.items() if name not in told or differences(value, told[name])]


async def test_a_pipeline_hears_of_its_promotions_review_apps_and_apps(wire: Wire) -> None:
    yard = wire.yard
    where = f"/pipelines/{yard.pipeline.id}"
    await wire.webhook(where, "api:promotion", "api:review-app", "api:release", "api:app")
    source, goal = await yard.app("shop-staging", Stage.STAGING), await yard.app()
    slug = await yard.slug()
    release = await yard.released(source, slug)
    review = await yard.review(state=ReviewState.CREATING)

    def promote(tx: Transaction) -> Any:
        asked = requests.add(tx.conn, app_id=goal.id, work=Restart(), actor="", reason="", by_person=True, now=tx.now)
        return promotions.create(
            tx.conn, pipeline_id=yard.pipeline.id, source_app_id=source.id, source_release_id=release.id,
            slug_id=slug.id, actor=tx.actor, targets=[(goal.id, asked.id, None)], now=tx.now,
        )  # fmt: skip

    promotion = await yard.do(promote)
    (target,) = await yard.see(lambda conn: promotions.targets(conn, promotion.id))
    await yard.context.commit(
        lambda tx: promotions.finish_target(
            tx.conn, target_id=target.id, state=TargetState.FAILED, error="exit 1", now=tx.now
        )
    )
    await yard.do(lambda tx: reviews.update(tx.conn, review=review, now=tx.now, state=ReviewState.LIVE, reason=""))
    await wire.tell()
    assert [each for each in wire.receiver.in_short if each[0] in {"promotion", "review-app"}] == [
        ("review-app", "create"),
        ("promotion", "create"),
        ("promotion", "update"),
        ("review-app", "update"),
    ]
    assert ("release", "create") in wire.receiver.in_short
    ended = next(each for each in wire.receiver.told if (each["resource"], each["action"]) == ("promotion", "update"))
    assert (ended["data"]["status"], ended["data"]["outcome"], ended["previous_data"]["status"]) == (
        "completed",
        "failed",
        "pending",
    )
    assert ended["data"]["targets"][0]["app"]["name"] == "shop-prod"
    live = wire.receiver.told[-1]
    assert (live["data"]["state"], live["previous_data"], live["data"]["pr_number"]) == (
        "live",
        {"state": "creating"},
        1,
    )
    assert live["data"]["web_url"].startswith("http://shop-pr-1.localhost:")


async def test_a_pipeline_does_not_hear_of_apps_of_others_in_it(wire: Wire) -> None:
    yard = wire.yard
    mine, others = await yard.app("shop-mine"), await yard.app("shop-others")
    owner = (await wire.server.get("/account"))["id"]
    await yard.do(lambda tx: apps.update(tx.conn, app=others, now=tx.now, owner_id=owner, owner_type="user"))
    await wire.webhook(f"/pipelines/{yard.pipeline.id}", "api:app")
    for app_id in (mine.id, others.id):
        await wire.server.enactor.change_app(app_id=app_id, maintenance=True, actor="user:ada@acme.example")
    await wire.tell()
    assert {each["data"]["name"] for each in wire.receiver.told} == {"shop-mine"}


async def test_what_fails_is_tried_again_under_the_same_id_and_nothing_overtakes_it(wire: Wire) -> None:
    await wire.webhook()
    await wire.switch()
    wire.receiver.status, wire.receiver.said = 503, "in \x1b[31mmaintenance"
    await wire.tell()
    await wire.switch(False)
    await wire.tell()
    assert len(wire.receiver.heard) == 1
    first, second = await wire.deliveries()
    assert (first["status"], first["last_attempt"]["code"], second["status"]) == ("retrying", 503, "pending")
    assert first["last_attempt"]["text"] == "in [31mmaintenance"
    wire.receiver.status = 200
    wire.yard.clock.ahead = timedelta(seconds=11)
    await wire.tell()
    told = wire.receiver.told
    assert [each["data"]["maintenance"] for each in told] == [True, True, False]
    ids = [each["webhook_metadata"]["delivery"]["id"] for each in told]
    assert ids == [first["id"], first["id"], second["id"]]
    assert len({each["webhook_metadata"]["attempt"]["id"] for each in told}) == 3
    assert [each["status"] for each in await wire.deliveries()] == ["succeeded", "succeeded"]
    assert await wire.due() == []


async def test_notify_is_tried_once_and_then_what_comes_after(wire: Wire) -> None:
    await wire.webhook(level="notify")
    wire.receiver.status = 500
    await wire.switch()
    await wire.switch(False)
    await wire.tell()
    assert [each["data"]["maintenance"] for each in wire.receiver.told] == [True, False]
    assert [each["status"] for each in await wire.deliveries()] == ["failed", "failed"]
    assert (await wire.server.get("/apps/example/webhooks"))[0]["state"] == "active"
    failed = await wire.server.get("/apps/example/webhook-deliveries?eq[status]=failed", Range="seq ..; max=1000")
    assert failed == await wire.deliveries()
    assert await wire.server.get("/apps/example/webhook-deliveries?eq[status]=succeeded") == []


async def test_after_72_hours_in_vain_a_webhook_stops_until_it_is_started_again(wire: Wire) -> None:
    webhook = await wire.webhook()
    where = f"/apps/example/webhooks/{webhook['id']}"
    wire.receiver.status = 500
    await wire.switch()
    for hours in (0, 71, 72):
        wire.yard.clock.ahead = timedelta(hours=hours, minutes=1)
        await wire.tell()
        await wire.switch(on=hours == 71)
    stopped = await wire.server.get(where)
    assert (stopped["state"], stopped["reason"]) == ("stopped", "nothing could be delivered for 72 hours: HTTP 500")
    deliveries = await wire.deliveries()
    assert {each["status"] for each in deliveries} == {"failed"}
    await wire.switch(on=True)  # nobody listens any more
    assert len(await wire.deliveries()) == len(deliveries)
    again = f"/apps/example/webhook-deliveries/{deliveries[0]['id']}/actions/retry"
    refused, _ = await wire.server.call("POST", again, expect=409)
    assert f"Start it first: towpath webhooks:update {webhook['id']}" in refused["message"]
    assert (await wire.server.call("PATCH", where, {}, expect=200))[0]["state"] == "active"
    wire.receiver.status = 200
    before = len(wire.receiver.heard)
    asked, _ = await wire.server.call("POST", again, expect=202)
    assert asked["status"] == "pending"
    await wire.tell()
    assert len(wire.receiver.heard) == before + 1
    assert (await wire.deliveries())[0]["status"] == "succeeded"
    await wire.server.call("POST", again, expect=202)  # a replay of what has arrived
    await wire.tell()
    assert wire.receiver.told[-1]["id"] == wire.receiver.told[-2]["id"] == deliveries[0]["event"]["id"]


async def test_two_workers_tell_one_webhook_one_after_the_other_and_a_dead_one_loses_nothing(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 120.0)  # the first attempt is under way, however long the disk stands still
    webhook = await wire.webhook()
    await wire.switch()
    wire.receiver.open.clear()
    dying = asyncio.create_task(deliver(wire.yard.another(), webhook["id"]))
    await until(lambda: len(wire.receiver.heard) == 1)
    await deliver(wire.yard.context, webhook["id"])
    assert len(wire.receiver.heard) == 1
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    wire.receiver.open.set()
    await wire.tell()
    first, second = (headers["Heroku-Webhook-Id"] for headers, _ in wire.receiver.heard)
    assert first == second
    (delivery,) = await wire.deliveries()
    assert (delivery["status"], delivery["num_attempts"]) == ("succeeded", 1)


async def test_one_that_has_much_to_be_told_lets_others_have_their_turn(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a receiver that takes its time for each of a thousand, everybody else would hear nothing for hours."""
    monkeypatch.setattr(delivering, "TURN", 2)
    webhook = await wire.webhook()
    for number in range(3):
        await wire.switch(on=number % 2 == 0)
    wire.yard.bell.rung.clear()
    await deliver(wire.yard.context, webhook["id"])
    assert len(wire.receiver.heard) == 2
    assert wire.yard.bell.heard("deliver") == [(webhook["id"],)], "it goes to the end of the queue"
    wire.yard.bell.rung.clear()
    await deliver(wire.yard.context, webhook["id"])
    assert [each["data"]["maintenance"] for each in wire.receiver.told] == [True, False, True]
    assert wire.yard.bell.heard("deliver") == []


async def test_who_was_too_slow_to_note_an_attempt_changes_nothing(wire: Wire) -> None:
    webhook = await wire.webhook()
    await wire.switch()
    order = await wire.yard.see(lambda conn: outbound.next_of(conn, webhook["id"], now=wire.yard.clock()))
    assert order is not None
    await wire.tell()
    late = outbound.Attempt(id=new_id(), at=wire.yard.clock(), code=500, error=None, text="")
    await wire.yard.db.write(lambda conn: outbound.note(conn, order, late, now=wire.yard.clock()))
    (delivery,) = await wire.deliveries()
    assert (delivery["status"], delivery["num_attempts"], delivery["last_attempt"]["code"]) == ("succeeded", 1, 204)


async def test_an_app_that_is_destroyed_says_so_once_and_is_silent(wire: Wire) -> None:
    await wire.webhook()
    wire.receiver.status = 500
    await wire.switch()
    await wire.tell()
    await wire.server.call("DELETE", "/apps/example", expect=200)
    await wire.yard.context.commit(gone)
    wire.receiver.status = 200
    await wire.tell()
    told = wire.receiver.told
    assert [(each["action"], each["data"]["state"]) for each in told[1:]] == [("destroy", "gone")]
    states = await wire.yard.see(lambda conn: list(conn.execute(select(tables.webhook_deliveries.c.state)).scalars()))
    assert sorted(states) == ["failed", "failed", "succeeded"]
    wire.yard.clock.ahead = timedelta(days=7, minutes=1)
    await loops.keep_house(wire.yard.context)
    for table in (tables.webhooks, tables.webhook_events, tables.webhook_deliveries):
        assert await wire.yard.see(lambda conn, table=table: rows_of(conn, table)) == 0


async def test_a_pipeline_hears_that_an_app_of_its_owner_was_in_it_to_the_end(wire: Wire) -> None:
    yard = wire.yard
    mine, others = await yard.app("shop-mine"), await yard.app("shop-others")
    owner = (await wire.server.get("/account"))["id"]
    await yard.do(lambda tx: apps.update(tx.conn, app=others, now=tx.now, owner_id=owner, owner_type="user"))
    await wire.webhook(f"/pipelines/{yard.pipeline.id}", "api:app")
    for app in (mine, others):
        await yard.destroy(app.id)
        await yard.context.commit(gone)
    await wire.tell()
    told = [(each["action"], each["data"]["name"], each["data"]["state"]) for each in wire.receiver.told]
    assert told == [("update", "shop-mine", "destroying"), ("destroy", "shop-mine", "gone")]
    (webhook,) = await wire.server.get(f"/pipelines/{yard.pipeline.id}/webhooks")
    assert webhook["state"] == "active"


def gone(tx: Transaction) -> None:
    app = next(each for each in apps.listing(tx.conn) if each.state is AppState.DESTROYING)
    apps.forget(tx.conn, app=app, now=tx.now)


def rows_of(conn: Connection, table: Any) -> int:
    return conn.execute(select(func.count()).select_from(table)).scalar_one()


async def test_a_webhook_that_is_removed_takes_what_it_was_to_be_told_with_it(wire: Wire) -> None:
    webhook = await wire.webhook()
    await wire.switch()
    await wire.server.call("DELETE", f"/apps/example/webhooks/{webhook['id']}", expect=200)
    await wire.tell()
    assert wire.receiver.heard == []
    assert await wire.deliveries() == []
    await deliver(wire.yard.context, webhook["id"])  # a ring that came late


async def test_events_and_deliveries_are_kept_for_seven_days(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PART", 2)
    await wire.webhook()
    for on in (True, False, True):
        await wire.switch(on)
    await wire.tell()
    for days, kept in ((6, 3), (8, 0)):
        wire.yard.clock.ahead = timedelta(days=days)
        await loops.keep_house(wire.yard.context)
        assert len(await wire.deliveries()) == kept
        assert len(await wire.server.get("/apps/example/webhook-events")) == kept
    assert len(await wire.server.get("/apps/example/webhooks")) == 1
    await wire.switch(False)
    wire.yard.clock.ahead = timedelta(days=16)
    await loops.keep_house(wire.yard.context)
    await wire.tell()  # nobody was there to tell it before
    sequence = [each["sequence"] for each in wire.receiver.told]
    assert (len(sequence), sequence == sorted(set(sequence))) == (4, True)


async def test_where_nobody_listens_a_change_costs_one_look_and_anything_else_none(wire: Wire) -> None:
    with counted() as statements:
        await wire.switch()
    assert len([text for text, _ in statements if "webhook" in text]) == 1
    with counted() as statements:
        await wire.yard.do(lambda tx: tx.note("nothing that anybody hears of"))
    assert [text for text, _ in statements if "webhook" in text] == []


async def test_what_is_rolled_back_is_not_told(wire: Wire) -> None:
    await wire.webhook()
    app = await wire.yard.see(lambda conn: apps.find(conn, "example"))

    def broken(tx: Transaction) -> None:
        apps.update(tx.conn, app=app, now=tx.now, maintenance=True)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await wire.yard.do(broken)
    await wire.yard.do(lambda tx: tx.note("something else"))
    assert await wire.deliveries() == []


async def test_the_due_loop_rings_for_what_was_not_heard(wire: Wire) -> None:
    webhook = await wire.webhook()
    await wire.switch()  # nobody answers at this API's Redis: its ring is lost
    await loops.due(wire.yard.context)
    assert wire.yard.bell.heard("deliver") == [(webhook["id"],)]


# Where it may lead


def letter(url: str) -> Letter:
    return Letter(url=url, body=b"{}", delivery_id="d", secret=SECRET, authorization="Bearer of-the-receiver")


@pytest.mark.parametrize(
    ("allowed", "url", "word"),
    [
        pytest.param("", "https://hooks.example.com:{port}/", "address_not_allowed", id="a name that is inside"),
        pytest.param("", "https://127.0.0.1:{port}/", "address_not_allowed", id="an address that is inside"),
        pytest.param("hooks.example.com", "https://hooks.example.com:{port}/", "tls_failed", id="an allowed name"),
        pytest.param("127.0.0.0/8", "https://hooks.example.com:{port}/", "tls_failed", id="an allowed network"),
        pytest.param("", "https://nowhere.example.com/", "name_not_found", id="a name that nobody knows"),
        pytest.param("127.0.0.1", "https://127.0.0.1:1/", "connection_refused", id="nobody there"),
    ],
)
async def test_the_address_is_judged_when_it_is_connected_to(
    allowed: str, url: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        if host != "hooks.example.com":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        monkeypatch.setattr(socket, "getaddrinfo", moved)
        answered = await send(letter(url.format(port=port)), reach(allowed, local=False))
        assert (answered.code, answered.error) == (None, word), answered.text
        assert receiver.heard == []


async def test_redirects_are_not_followed(wire: Wire) -> None:
    await wire.webhook()
    wire.receiver.status, wire.receiver.headers = 307, {"Location": "/elsewhere"}
    await wire.switch()
    await wire.tell()
    assert len(wire.receiver.heard) == 1
    (delivery,) = await wire.deliveries()
    assert (delivery["status"], delivery["last_attempt"]["code"]) == ("retrying", 307)


async def test_of_an_answer_a_little_is_kept_and_no_secret() -> None:
    async with receiving() as receiver:
        receiver.status = 200
        receiver.said = f"you sent Bearer of-the-receiver, signed with {SECRET} " + "x" * 1_000_000
        answered = await send(letter(receiver.url), reach("", local=True))
        assert (answered.code, answered.error) == (200, None)
        assert SECRET not in answered.text
        assert "of-the-receiver" not in answered.text
        assert len(answered.text) <= 500


async def test_a_receiver_has_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sending.SECONDS == 10
    monkeypatch.setattr(sending, "SECONDS", 0.2)
    async with receiving() as receiver:
        receiver.open.clear()
        answered = await send(letter(receiver.url), reach("", local=True))
        assert (answered.code, answered.error) == (None, "timeout")


# The README's receiver

README = Path(__file__).parents[2] / "README.md"


async def test_the_receiver_of_the_readme_takes_what_is_signed_and_nothing_else(wire: Wire, tmp_path: Path) -> None:
    section = README.read_text().partition("### Tell other programs what happens")[2].partition("\n### ")[0]
    program = tmp_path / "receiver.py"
    program.write_text(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receiver = await asyncio.create_subprocess_exec(
        sys.executable, program, str(port), SECRET, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        await until(lambda: answers(port))
        url = f"http://127.0.0.1:{port}/"
        await wire.webhook(url=url, level="notify")
        await wire.webhook(url=url, level="notify", secret="of somebody else")
        await wire.switch()
        await wire.tell()
        codes = {each["last_attempt"]["code"] for each in await wire.deliveries()}
        assert codes == {204, 401}
        assert receiver.stdout is not None
        assert (await receiver.stdout.readline()).decode() == "app update {'maintenance': False}\n"
    finally:
        receiver.terminate()
        await receiver.wait()


def answers(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


# Every end that a thing may come to


async def test_builds_and_releases_are_told_to_either_end(wire: Wire) -> None:
    yard = wire.yard
    app, slug = await yard.app("shop-staging", Stage.STAGING), await yard.slug()
    await wire.webhook(f"/apps/{app.id}", "api:build", "api:release")
    for name, built, released in (
        ("GOOD", BuildState.SUCCEEDED, ReleaseState.SUCCEEDED),
        ("BAD", BuildState.FAILED, ReleaseState.FAILED),
    ):
        asked = await wire.server.enactor.change_config(
            app_id=app.id, changes={name: "1"}, actor="user:ada@acme.example"
        )

        def begin(tx: Transaction, asked: str = asked.id) -> None:
            builds.create(
                tx.conn, app_id=app.id, request_id=asked, repository_id=42, sha="a" * 40, log_id=new_id(), now=tx.now
            )

        def end(
            tx: Transaction, asked: str = asked.id, built: BuildState = built, released: ReleaseState = released
        ) -> None:
            build, release = builds.of_request(tx.conn, asked), releases.of_request(tx.conn, asked)
            assert build is not None
            assert release is not None
            error = "" if built is BuildState.SUCCEEDED else "no Procfile"
            slug_id = None if error else slug.id
            builds.finish(tx.conn, build_id=build.id, state=built, slug_id=slug_id, error=error, now=tx.now)
            releases.finish(tx.conn, release_id=release.id, state=released, error=error, now=tx.now)

        await yard.do(begin)
        await yard.context.commit(end)
    await wire.tell()
    ended = [each for each in wire.receiver.told if each["action"] == "update"]
    assert [(it["resource"], it["data"]["status"], it["data"]["error"]) for it in ended] == [
        ("build", "succeeded", None),
        ("release", "succeeded", None),
        ("build", "failed", "no Procfile"),
        ("release", "failed", "no Procfile"),
    ]
    assert {it["previous_data"]["status"] for it in ended} == {"pending"}


async def test_a_promotion_that_succeeds_is_told_as_such(wire: Wire) -> None:
    yard = wire.yard
    await wire.webhook(f"/pipelines/{yard.pipeline.id}", "api:promotion")
    source, goal = await yard.app("shop-staging", Stage.STAGING), await yard.app()
    slug = await yard.slug()
    release = await yard.released(source, slug)

    def promote(tx: Transaction) -> Any:
        asked = requests.add(tx.conn, app_id=goal.id, work=Restart(), actor="", reason="", by_person=True, now=tx.now)
        return promotions.create(
            tx.conn, pipeline_id=yard.pipeline.id, source_app_id=source.id, source_release_id=release.id,
            slug_id=slug.id, actor=tx.actor, targets=[(goal.id, asked.id, None)], now=tx.now,
        )  # fmt: skip

    promotion = await yard.do(promote)
    (target,) = await yard.see(lambda conn: promotions.targets(conn, promotion.id))
    await yard.context.commit(
        lambda tx: promotions.finish_target(
            tx.conn, target_id=target.id, state=TargetState.SUCCEEDED, error="", now=tx.now
        )
    )
    await wire.tell()
    ended = wire.receiver.told[-1]
    assert (ended["resource"], ended["action"]) == ("promotion", "update")
    assert (ended["data"]["status"], ended["data"]["outcome"]) == ("completed", "completed")
    assert (ended["previous_data"]["status"], ended["data"]["targets"][0]["status"]) == ("pending", "succeeded")


STATES = {
    "suspended and back": (ReviewState.LIVE, (ReviewState.SUSPENDED, ReviewState.LIVE)),
    "destroyed": (ReviewState.LIVE, (ReviewState.DESTROYING, ReviewState.DESTROYED)),
    "failed and then live": (ReviewState.CREATING, (ReviewState.FAILED, ReviewState.LIVE)),
    "made after it has waited": (ReviewState.WAITING, (ReviewState.CREATING, ReviewState.LIVE)),
    "skipped": (ReviewState.WAITING, (ReviewState.SKIPPED,)),
}


def test_every_state_that_a_review_app_can_come_to_is_heard_of_below() -> None:
    assert {state for first, rest in STATES.values() for state in (first, *rest)} == set(ReviewState)


@pytest.mark.parametrize("case", STATES.values(), ids=STATES)
async def test_every_state_of_a_review_app_is_told_with_the_one_before_and_why(
    wire: Wire, case: tuple[ReviewState, tuple[ReviewState, ...]]
) -> None:
    yard, (first, states) = wire.yard, case
    await wire.webhook(f"/pipelines/{yard.pipeline.id}", "api:review-app")
    review = await yard.review(state=first, reason=f"why {first}", with_app=first is not ReviewState.WAITING)
    for state in states:
        review = await yard.do(
            lambda tx, state=state, review=review: reviews.update(
                tx.conn, review=review, now=tx.now, state=state, reason=f"why {state}"
            )
        )
    await wire.tell()
    told = [
        (it["action"], it["previous_data"].get("state"), it["data"]["state"], it["data"]["reason"])
        for it in wire.receiver.told
    ]
    assert told == [
        ("create", None, first.value, f"why {first}"),
        *(
            ("update", before.value, after.value, f"why {after}")
            for before, after in zip((first, *states[:-1]), states, strict=True)
        ),
    ]
    assert {(it["data"]["id"], it["data"]["pr_number"], it["data"]["branch"]) for it in wire.receiver.told} == {
        (review.id, 1, "topic")
    }
    shown = await wire.server.get(f"/review-apps/{review.id}")
    assert set(differences(shown, wire.receiver.told[-1]["data"])) == {"creator", "trust", "wait_for_ci"}


@pytest.mark.parametrize(
    ("types", "formation", "name", "command"),
    [
        ({"web": "./serve", "clock": "./tick"}, {"web": 2, "clock": 1}, "web.1", "./serve"),
        ({"clock": "./tick", "mailer": "./mail", "release": "./migrate"}, {"mailer": 1}, "mailer.1", "./mail"),
    ],
    ids=["an app with a web process", "one without"],
)
async def test_what_runs_is_told_of_by_the_name_and_id_of_a_dyno_that_the_api_shows(
    wire: Wire, types: dict[str, str], formation: dict[str, int], name: str, command: str
) -> None:
    yard = wire.yard
    app, slug = await yard.app("shop-staging", Stage.STAGING), await yard.slug(**types)
    release = await yard.released(app, slug)
    await wire.webhook(f"/apps/{app.id}", "api:dyno")

    def runs(tx: Transaction, state: str) -> None:
        mine = apps.get(tx.conn, app.id)
        assert mine is not None
        apps.update(tx.conn, app=mine, now=tx.now, formation=formation, engine_state=state)

    for state in ("up", "crashed", "suspended"):
        await yard.do(lambda tx, state=state: runs(tx, state))
    await wire.tell()
    told = [it["data"] for it in wire.receiver.told]
    assert [(it["name"], it["type"], it["command"], it["state"]) for it in told] == [
        (name, name.partition(".")[0], command, state) for state in ("up", "crashed", "down")
    ]
    shown = await wire.server.get(f"/apps/{app.id}/dynos/{told[0]['id']}")
    assert (shown["name"], shown["release"]["id"]) == (name, release.id)


async def test_who_did_it_when_and_in_which_order_is_told(wire: Wire) -> None:
    await wire.webhook()
    before = wire.yard.clock().replace(microsecond=0)
    for on in (True, False):
        await wire.switch(on)
    after = wire.yard.clock()
    await wire.tell()
    await wire.server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    await wire.server.work()
    (release,) = await wire.server.get("/apps/example/releases")
    for told in wire.receiver.told:
        assert told["actor"] == release["user"]
        assert before <= datetime.fromisoformat(told["published_at"]) <= after
        assert told["published_at"] == told["created_at"]
    first, second = (told["sequence"] for told in wire.receiver.told)
    assert 0 < first < second
