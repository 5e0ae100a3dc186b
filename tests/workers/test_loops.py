"""The loops: what they find, how much they ring, and who runs them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import zstandard
from sqlalchemy import event, select

from service.domain.decisions import Restart, SubjectKind
from service.domain.model import App, AppState, ReleaseId, ReleaseState, RequestState, ReviewState
from service.domain.review_rules import OVER_CAP
from service.queue import SHORT_QUEUE
from service.store import apps, leases, logs, orphans, releases, requests, reviews, routes
from service.store.database import Database
from service.store.sqlite import SQLite
from service.store.tables import apps as app_rows
from service.store.tables import deliveries
from tests.waiting import until
from tests.workers.conftest import Yard
from workers.jobs import loops
from workers.jobs.overdue import overdue
from workers.jobs.react import react
from workers.jobs.work import work
from workers.platforms.base import AppSpec, Fence, ProcessSpec


async def test_no_more_work_is_rung_for_than_may_be_begun(yard: Yard) -> None:
    for number in range(10):
        app = await yard.app(f"app-{number}")
        await yard.do(lambda tx, app=app: tx.request(app.id, Restart(), reason="restart", by_person=True))
    yard.bell.rung.clear()
    await loops.due(yard.context)
    assert len(yard.bell.heard("work")) == yard.context.work_cap
    for _ in range(yard.context.work_cap):
        await yard.db.write(lambda conn: requests.take(conn, terms=yard.context.terms, now=yard.clock(), cap=4))
    yard.bell.rung.clear()
    await loops.due(yard.context)
    assert yard.bell.heard("work") == []


async def test_nothing_is_rung_twice_into_a_queue_that_is_full(yard: Yard) -> None:
    review = await yard.review()
    await yard.do(lambda tx: tx.show_review(review))
    yard.bell.rung.clear()
    yard.bell.depths[SHORT_QUEUE] = loops.LIMIT
    await loops.due(yard.context)
    assert yard.bell.rung == []
    yard.bell.depths.clear()
    await loops.due(yard.context)
    assert len(yard.bell.heard("reconcile")) == 2


async def test_a_worker_that_ends_leaves_its_loops_to_the_next_at_once(yard: Yard) -> None:
    rounds: list[str] = []

    async def once(context) -> None:
        rounds.append(context.terms.holder)

    first = asyncio.ensure_future(loops.every(yard.context, "observe", 30.0, once))
    await until(lambda: rounds)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    other = yard.another()
    assert await yard.db.write(lambda conn: leases.take(conn, "loop:observe", terms=other.terms))


async def test_a_request_that_runs_for_too_long_fails_with_what_it_made(yard: Yard) -> None:
    app = await yard.app()
    asked = await yard.do(lambda tx: tx.request(app.id, Restart(), reason="restart", by_person=True))
    taken = await yard.db.write(
        lambda conn: requests.take(conn, terms=yard.context.terms, now=yard.clock(), cap=4, app_id=app.id)
    )
    await yard.do(
        lambda tx: releases.create(
            tx.conn,
            app_id=app.id,
            request_id=asked.id,
            slug_id=None,
            commit=None,
            repository_id=None,
            description="",
            actor="",
            log_id=logs.open_log(tx.conn, tx.now),
            now=tx.now,
        )
    )
    await overdue(yard.context)
    assert (await yard.request(asked.id)).state is RequestState.RUNNING
    yard.clock.ahead = timedelta(hours=5)
    await overdue(yard.context)
    assert (await yard.request(asked.id)).state is RequestState.FAILED
    release = await yard.see(lambda conn: releases.of_request(conn, asked.id))
    assert release is not None
    assert release.state is ReleaseState.FAILED
    assert taken is not None
    assert not await yard.db.write(lambda conn: requests.renew(conn, taken=taken, terms=yard.context.terms))


async def test_an_app_that_is_to_go_gets_its_destroy_back_when_that_was_lost(yard: Yard) -> None:
    review = await yard.review(state=ReviewState.DESTROYING)
    app_id = review.app_id or ""
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(state="destroying")))
    yard.clock.ahead = timedelta(hours=2)
    await overdue(yard.context)
    await overdue(yard.context)
    queued = await yard.see(lambda conn: requests.open_of(conn, app_id))
    assert [each.kind for each in queued] == ["Destroy"]
    await work(yard.context, app_id)
    app = await yard.see(lambda conn: apps.get(conn, app_id))
    assert app is not None
    assert app.state is AppState.GONE


async def test_a_review_app_that_waits_for_ever_or_is_made_by_nobody_comes_to_an_end(yard: Yard) -> None:
    waiting = await yard.review("pr:1", state=ReviewState.WAITING, with_app=False)
    creating = await yard.review("pr:2", state=ReviewState.CREATING)
    yard.clock.ahead = timedelta(hours=5)
    await overdue(yard.context)
    yard.clock.ahead = timedelta(days=91)
    await overdue(yard.context)
    found = [await yard.see(lambda conn, each=each: reviews.get(conn, each.id)) for each in (waiting, creating)]
    assert [each.state for each in found if each] == [ReviewState.SKIPPED, ReviewState.FAILED]


async def test_all_that_wait_for_a_place_are_rung_when_one_is_free(yard: Yard) -> None:
    leaving = await yard.review("pr:1")
    for number in (3, 2):
        at = yard.clock() + timedelta(minutes=-number)
        await yard.review(f"pr:{number}", state=ReviewState.WAITING, reason=f"{OVER_CAP} of 1", with_app=False, at=at)
    await yard.destroy(leaving.app_id or "")
    yard.bell.rung.clear()
    await work(yard.context, leaving.app_id or "")
    rung = yard.bell.heard("reconcile")
    assert (SubjectKind.REVIEW_APP.value, f"{yard.pipeline.id}/pr:3") in rung
    assert (SubjectKind.REVIEW_APP.value, f"{yard.pipeline.id}/pr:1") in rung
    assert (SubjectKind.REVIEW_APP.value, f"{yard.pipeline.id}/pr:2") in rung


def _delivery(yard: Yard, guid: str, body: bytes, *, event: str = "push") -> dict[str, object]:
    row = {"guid": guid, "event": event, "action": "", "body": body, "state": "received"}
    return {**row, "received_at": yard.clock()}


async def test_a_delivery_that_breaks_the_worker_is_given_up_and_shown(yard: Yard) -> None:
    broken = _delivery(yard, "g1", b"not zstd")
    await yard.db.write(lambda conn: conn.execute(deliveries.insert().values(broken)))
    for _ in range(8):
        await asyncio.gather(react(yard.context, "g1"), return_exceptions=True)
    row = await yard.see(lambda conn: conn.execute(select(deliveries.c.state, deliveries.c.verdict)).one())
    assert row.state == "failed"
    assert "zstd" in row.verdict.lower()


async def test_deliveries_that_were_rung_for_together_come_to_their_ends_whatever_becomes_of_the_others(
    yard: Yard,
) -> None:
    ping = zstandard.compress(b'{"zen": "Keep it logically awesome.", "hook_id": 1}')
    sent = [_delivery(yard, "broken", b"not zstd")]
    sent += [_delivery(yard, f"good-{number}", ping, event="ping") for number in range(12)]
    await yard.db.write(lambda conn: conn.execute(deliveries.insert(), sent))
    await loops.due(yard.context)
    rung = yard.bell.heard("react")
    assert len(rung) == 2
    assert sorted(guid for guids in rung for guid in guids) == sorted(str(each["guid"]) for each in sent)
    for guids in rung:
        with suppress(zstandard.ZstdError):
            await react(yard.context, *guids, "never-came")
    rows = await yard.see(lambda conn: conn.execute(select(deliveries.c.guid, deliveries.c.state)).all())
    assert {guid for guid, state in rows if state == "received"} == {"broken"}


async def test_deliveries_are_not_rung_for_again_while_rings_for_as_many_wait(yard: Yard) -> None:
    sent = [_delivery(yard, f"g{number}", b"") for number in range(30)]
    await yard.db.write(lambda conn: conn.execute(deliveries.insert(), sent))
    yard.bell.depths[SHORT_QUEUE] = 18
    await loops.due(yard.context)
    assert [len(guids) for guids in yard.bell.heard("react")] == [10, 10]
    yard.bell.rung.clear()
    yard.bell.depths[SHORT_QUEUE] = 20
    await loops.due(yard.context)
    assert yard.bell.heard("react") == []


async def test_what_was_seen_before_a_change_does_not_undo_it(yard: Yard) -> None:
    app = await yard.app()
    since = yard.clock()
    await yard.do(
        lambda tx: apps.update(tx.conn, app=app, now=tx.now, current_release_id="r1", formation={"web": 1})  # type: ignore[typeddict-item]
    )
    await yard.do(
        lambda tx: routes.put(
            tx.conn, app_id=app.id, name=app.name, review=False, state="live", endpoints=["new"], release_id="r1.0"
        )
    )
    await yard.do(lambda tx: loops._compare(tx, app_id=app.id, seen={}, since=since))
    route = await yard.see(lambda conn: routes.of_app(conn, app.id))
    assert route is not None
    assert route.endpoints == ("new",)


async def running(yard: Yard, name: str = "shop-prod") -> App:
    app = await yard.app(name)
    spec = AppSpec(
        app_id=app.id,
        app_name=app.name,
        release_id="r1.0",
        version=1,
        slug_dir=Path("/nowhere"),
        config={},
        processes=(ProcessSpec(type="web", command="serve", quantity=1),),
    )
    yard.platform.running[app.id] = spec
    return await yard.do(
        lambda tx: apps.update(tx.conn, app=app, now=tx.now, current_release_id=ReleaseId("r1"), formation={"web": 1})
    )


async def test_processes_that_are_gone_from_the_engine_are_started_again(yard: Yard) -> None:
    app = await running(yard)
    await loops.observe(yard.context)
    assert await yard.see(lambda conn: apps.engine_state(conn, app.id)) == "up"
    yard.platform.running.clear()
    await loops.observe(yard.context)
    assert await yard.see(lambda conn: requests.open_of(conn, app.id)) == []
    await loops.observe(yard.context)
    await loops.observe(yard.context)
    (queued,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    assert queued.kind == "Restart"


async def test_what_runs_of_an_app_that_is_gone_is_taken_away_and_strangers_are_left(yard: Yard) -> None:
    app = await running(yard)
    yard.platform.running["stranger"] = replace(yard.platform.running[app.id], app_id="stranger")
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(state="gone")))
    await loops.observe(yard.context)
    assert list(yard.platform.running) == ["stranger"]


async def test_what_runs_without_being_known_is_listed_and_goes_only_when_a_person_says_so(yard: Yard) -> None:
    app = await running(yard)
    for name in ("stranger", "other"):
        yard.platform.running[name] = replace(yard.platform.running[app.id], app_id=name)
        yard.platform.fences[name] = Fence(generation=7, token=70)
    for _ in range(2):
        await loops.observe(yard.context)
    found = await yard.see(orphans.listing)
    assert [(each.app_id, each.processes, each.leaving) for each in found] == [
        ("other", "web.1", False),
        ("stranger", "web.1", False),
    ]
    await yard.db.write(lambda conn: orphans.let_go(conn, "stranger"))
    await loops.observe(yard.context)
    assert sorted(yard.platform.running) == sorted([app.id, "other"])
    assert [each.app_id for each in await yard.see(orphans.listing)] == ["other"]
    del yard.platform.running["other"]
    await loops.observe(yard.context)
    assert await yard.see(orphans.listing) == []


async def test_a_web_process_that_is_gone_is_started_again_although_a_worker_process_is_up(yard: Yard) -> None:
    app = await running(yard)
    spec = yard.platform.running[app.id]
    worker = ProcessSpec(type="worker", command="work", quantity=1)
    yard.platform.running[app.id] = replace(spec, processes=(worker,))
    await yard.do(
        lambda tx: apps.update(tx.conn, app=app, now=tx.now, formation={"web": 1, "worker": 1}),
    )
    await loops.observe(yard.context)
    assert await yard.see(lambda conn: apps.engine_state(conn, app.id)) == "starting"
    await loops.observe(yard.context)
    (queued,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    assert queued.kind == "Restart"


async def test_a_look_at_the_engine_that_finds_all_well_writes_nothing_and_reads_as_little_for_many_apps(
    yard: Yard,
) -> None:
    counts = []
    for wanted in (1, 8):
        while len(yard.platform.running) < wanted:
            await running(yard, f"app-{len(yard.platform.running)}")
        await loops.observe(yard.context)
        with statements(yard.db) as seen:
            await loops.observe(yard.context)
        counts.append(len(seen))
        assert not any("IMMEDIATE" in each or each.startswith(("UPDATE", "INSERT")) for each in seen)
    assert counts[0] == counts[1]


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """Every statement that both connections of a database execute meanwhile."""
    engine = db._engine
    assert isinstance(engine, SQLite)
    seen: list[str] = []

    def note(conn, cursor, statement, parameters, context, executemany) -> None:
        seen.append(statement)

    for each in (engine._reader, engine._writer):
        event.listen(each, "before_cursor_execute", note)
    yield seen
    for each in (engine._reader, engine._writer):
        event.remove(each, "before_cursor_execute", note)
