"""Deliveries that somebody had processed once more: everything is as it was before."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from service.domain.errors import Transient
from service.domain.facts import FactKind
from service.domain.model import ReviewState
from service.enacting.deliveries import DeliveryVerbs
from service.store import deliveries, facts, requests, reviews
from service.store.deliveries import Receipt
from service.store.tables import deliveries as rows
from tests.workers.conftest import Yard
from tests.workers.test_moved import Ears, arrived, following, known
from tests.workers.test_presses import press_of
from workers.jobs import loops
from workers.jobs.react import react
from workers.jobs.work import work


async def receipts(yard: Yard) -> list[Receipt]:
    return await yard.see(lambda conn: deliveries.listing(conn, 1000))


async def replayed(yard: Yard, *guids: str) -> int:
    """Have them, or all there are, processed again, with all that follows; returns how many were."""
    verbs = DeliveryVerbs(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    wanted = guids or [each.guid for each in await receipts(yard)]
    yard.bell.rung.clear()
    done = await verbs.replay_deliveries(guids=wanted, actor="user:ada@acme.example")
    for rung in yard.bell.heard("react"):
        await react(yard.context, *rung)
    await yard.calm()
    return done.count


def push_of(yard: Yard, **said: str) -> dict[str, Any]:
    """A push, whose payload says this of the repository."""
    about = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master", **said}
    return {"ref": "refs/heads/x", "repository": about}


async def asked_for(yard: Yard) -> list[tuple[str, str, str | None]]:
    """Everything that was ever asked of an app."""
    found = await yard.see(lambda conn: requests.of_apps(conn, [each.app_id for each in _apps(conn, yard)], limit=99))
    return sorted((each.app_id, each.kind, each.sha) for each in found)


def _apps(conn: Any, yard: Yard) -> list[Any]:
    return [each for each in reviews.of_repository(conn, yard.repository.id) if each.app_id]


async def test_a_day_of_deliveries_processed_again_changes_nothing(yard: Yard) -> None:
    ears, sim = Ears(yard), yard.edge.sim
    staging = await following(yard, "shop-staging", default=True)
    await sim.push("acme/shop", "topic", {"a": "1"})
    await sim.open_pull("acme/shop", "topic")
    await sim.push("acme/shop", "topic", {"a": "2"})
    await sim.push("acme/shop", "gone", {"a": "3"})
    closed = await sim.open_pull("acme/shop", "gone")
    await ears.hear(told=True)
    sim.close_pull("acme/shop", closed.number)
    sim.rename_repo("acme/shop", "store")
    sim.suspend(yard.repository.installation_id)
    sim.suspend(yard.repository.installation_id, False)
    await ears.hear(told=True)
    before = await asked_for(yard), await yard.see(lambda conn: requests.open_of(conn, staging.id)), await known(yard)
    assert before[0]
    assert before[1]
    count = await replayed(yard)
    assert count == len(await receipts(yard)) > 8
    assert {each.state for each in await receipts(yard)} <= {"processed", "ignored"}
    after = await asked_for(yard), await yard.see(lambda conn: requests.open_of(conn, staging.id)), await known(yard)
    assert after == before
    found = await yard.see(lambda conn: reviews.of_repository(conn, yard.repository.id))
    states = {each.ref: each.state for each in found}
    assert states == {"pr:1": ReviewState.CREATING, "pr:2": ReviewState.DESTROYING}


async def test_what_is_sent_again_when_all_of_it_is_forgotten_brings_nothing_back(yard: Yard) -> None:
    ears, sim = Ears(yard), yard.edge.sim
    await sim.push("acme/shop", "topic", {"a": "1"})
    pull = await sim.open_pull("acme/shop", "topic")
    opened = [each for each in ears.events if each[0] == "pull_request"]
    await ears.hear(told=True)
    (made,) = await yard.see(lambda conn: reviews.of_repository(conn, yard.repository.id))
    sim.close_pull("acme/shop", pull.number)
    await ears.hear(told=True)
    await work(yard.context, made.app_id or "")
    await yard.calm()
    yard.clock.ahead += timedelta(days=60)
    await loops.keep_house(yard.context)
    assert await receipts(yard) == []
    of = {"kind": FactKind.PULL_REQUEST, "repository_id": yard.repository.id}
    assert await yard.see(lambda conn: facts.known(conn, **of)) == []
    assert opened
    for event, payload in opened:
        await arrived(yard, event, payload)
        await yard.calm()
    assert await yard.see(lambda conn: reviews.of_repository(conn, yard.repository.id)) == []
    live = await yard.see(lambda conn: reviews.of_pipeline(conn, yard.pipeline.id))
    assert [each.state for each in live if each.state is not ReviewState.DESTROYED] in ([], [ReviewState.SKIPPED])


async def test_a_press_that_was_heard_does_nothing_when_it_is_replayed(yard: Yard) -> None:
    review = await yard.review()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    assert "destroy the review app" in await arrived(yard, "check_run", press_of(yard, "destroy", review.sha))
    before = await asked_for(yard)
    await replayed(yard)
    (receipt,) = await receipts(yard)
    assert "was delivered before" in receipt.verdict
    assert await asked_for(yard) == before


async def test_what_failed_for_good_is_tried_as_often_as_what_is_new(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    await arrived(yard, "push", push_of(yard))
    (first,) = await receipts(yard)
    failed = {"state": "failed", "attempts": 5, "verdict": "a bug", "processed_at": yard.clock()}
    await yard.db.write(lambda conn: conn.execute(rows.update().values(failed)))
    with monkeypatch.context() as broken:
        broken.setattr("workers.jobs.react.parse", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await replayed(yard, first.guid)
    (still,) = await receipts(yard)
    assert (still.state, still.attempts) == ("received", 1)
    await react(yard.context, first.guid)
    (done,) = await receipts(yard)
    assert done.state == "processed"


async def test_a_delivery_that_is_being_processed_is_processed_once(yard: Yard) -> None:
    await arrived(yard, "push", push_of(yard))
    (first,) = await receipts(yard)
    await asyncio.gather(*(replayed(yard, first.guid) for _ in range(3)), react(yard.context, first.guid))
    (done,) = await receipts(yard)
    assert done.state == "processed"


async def test_a_replay_while_github_is_away_waits_for_it(yard: Yard) -> None:
    sim = yard.edge.sim
    sim.rename_repo("acme/shop", "store")
    await arrived(yard, "push", push_of(yard, default_branch="other"))
    (first,) = await receipts(yard)
    sim.chaos.outage = True
    with pytest.raises(Transient):
        await replayed(yard, first.guid)
    (waiting,) = await receipts(yard)
    assert (waiting.state, "is tried again" in waiting.verdict) == ("received", True)
    sim.chaos.calm()
    yard.clock.ahead += timedelta(minutes=10)
    (due,) = await yard.see(lambda conn: deliveries.open_guids(conn, limit=9, now=yard.clock()))
    await react(yard.context, due)
    assert {each.state for each in await receipts(yard)} == {"processed"}
