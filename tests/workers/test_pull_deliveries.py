"""Deliveries that GitHub could not send are taken from its log of them: all, each once, whatever happens meanwhile."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.github.app_auth import AppTokens
from service.github.client import OUR_APP
from service.github.client import GitHub as Client
from service.store import deliveries, leases, pull_sources, reviews
from service.store.deliveries import Inbox
from service.store.leases import LeaseTerms
from service.store.pull_sources import PullState
from service.store.tables import deliveries as delivery_rows
from service.store.tables import leases as lease_rows
from tests.waiting import until
from tests.workers.conftest import Yard
from tests.workers.pulling import NOWHERE, Pulled, watermark_of
from workers.jobs import loops
from workers.jobs.pull import LOOP, Puller

LOG = "/app/hook/deliveries"


@pytest.fixture
async def pulled(yard: Yard) -> AsyncIterator[Pulled]:
    yard.edge.sim.webhook_url = NOWHERE
    inbox = await Inbox.open(yard.db.url)
    yield Pulled(yard=yard, puller=Puller(context=yard.context, inbox=inbox), inbox=inbox)
    await inbox.close()


async def test_what_github_could_not_send_is_taken_from_its_log_once_and_as_it_was(pulled: Pulled) -> None:
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    await pulled.sim.open_pull("acme/shop", "topic")
    await pulled.round()
    assert sorted(await pulled.told()) == ["check_suite.requested", "pull_request.opened", "push"]
    assert "received" not in {each.state for each in await pulled.taken()}
    sent = {one.guid: one for one in pulled.sim.deliveries}
    for receipt in await pulled.taken():
        kept = await pulled.yard.see(lambda conn, guid=receipt.guid: deliveries.get(conn, guid))
        assert kept is not None
        assert json.loads(kept.body) == sent[receipt.guid].payload
        assert (kept.installation_id, kept.repository_id) == (
            sent[receipt.guid].installation_id,
            sent[receipt.guid].repository_id,
        )
    assert await pulled.yard.see(lambda conn: reviews.of_repository(conn, pulled.yard.repository.id))
    asked = pulled.asked(LOG + "/")
    await pulled.round()
    pulled.puller._etags.clear()
    await pulled.round()
    await pulled.successor().round()
    assert pulled.asked(LOG + "/") == asked
    assert (await pulled.source("app")).state is PullState.OK


async def test_where_github_can_send_only_what_did_not_arrive_is_fetched_and_nothing_polled(pulled: Pulled) -> None:
    pulled = replace(pulled, puller=Puller(context=pulled.yard.context, inbox=pulled.inbox, polls=False))
    (arrived, lost) = pulled.logged(2, repository_id=pulled.yard.repository.id)
    body = json.dumps(arrived.payload).encode()
    await pulled.inbox.put(
        guid=arrived.guid,
        event=arrived.event,
        action="",
        repository_id=arrived.repository_id,
        installation_id=arrived.installation_id,
        body=body,
        received_at=pulled.yard.db.now(),
    )
    await pulled.round()
    assert {each.guid for each in await pulled.taken()} == {arrived.guid, lost.guid}
    assert (pulled.asked(LOG + "/"), pulled.asked("/pulls"), pulled.asked("/git/ref")) == (1, 0, 0)
    pulled.sim.sender.log.clear()
    await pulled.round()
    assert "polled" not in (await pulled.source("app")).reason


@pytest.mark.parametrize(
    ("status", "code"),
    [("Invalid HTTP Response: 500", 500), ("timed out", 0), ("failed to connect to host", 0), ("OK", 202)],
    ids=["refused", "timed out", "not reached", "answered by what forgot it"],
)
async def test_whatever_kept_a_delivery_from_us_it_is_taken_at_the_start(
    pulled: Pulled, status: str, code: int
) -> None:
    """GitHub's filter for failures knows only those with an answer: the whole list is read."""
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id, status=status, status_code=code)
    away = replace(pulled, puller=Puller(context=pulled.yard.context, inbox=pulled.inbox, polls=False))
    await away.round()
    assert [each.guid for each in await pulled.taken()] == [entry.guid]
    assert await pulled.yard.see(lambda conn: watermark_of(conn, "app")) == entry.delivered_at.replace(microsecond=0)


async def test_a_log_without_news_costs_nothing_of_the_hourly_limit(pulled: Pulled) -> None:
    pulled.logged(3, repository_id=pulled.yard.repository.id)
    await pulled.round()
    left = pulled.yard.context.github.quota(OUR_APP)
    await pulled.round()
    again = pulled.yard.context.github.quota(OUR_APP)
    assert left is not None
    assert again is not None
    assert (again.remaining, pulled.asked(LOG)) == (left.remaining, 5)


async def test_what_came_as_a_webhook_is_not_fetched_again(pulled: Pulled) -> None:
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id)
    await _received(pulled, entry.guid)
    await pulled.round()
    assert pulled.asked(LOG + "/") == 0
    assert len(await pulled.taken()) == 1


async def test_what_was_pulled_and_comes_as_a_webhook_too_is_known(pulled: Pulled) -> None:
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id)
    await pulled.round()
    assert await _received(pulled, entry.guid) == "processed"
    assert len(await pulled.taken()) == 1


async def test_a_day_of_deliveries_is_taken_and_a_pass_that_is_cut_off_goes_on(pulled: Pulled) -> None:
    now, repository_id = pulled.sim.now(), pulled.yard.repository.id
    first = pulled.logged(1, repository_id=repository_id, delivered_at=now - timedelta(hours=21))
    await pulled.round()
    reached = await pulled.yard.see(lambda conn: watermark_of(conn, "app"))
    behind = pulled.logged(110, repository_id=repository_id, delivered_at=now - timedelta(hours=20))
    behind += pulled.logged(20, repository_id=repository_id)
    pulled.sim.chaos.answer("error", pattern=rf"{LOG}/{behind[20].id}", times=None, status=503, retry_after=7)
    successor = pulled.successor()
    await successor.round()
    assert 50 < len(await pulled.taken()) < 130
    assert await pulled.yard.see(lambda conn: watermark_of(conn, "app")) == reached
    waits = await pulled.source("app")
    assert (waits.state, waits.reason) == (PullState.WAITING, "GitHub answered 503")
    assert waits.retry_at is not None
    pulled.sim.chaos.calm()
    successor.later(20)
    taken_before = pulled.asked(LOG + "/")
    await successor.round()
    assert {each.guid for each in await pulled.taken()} == {one.guid for one in first + behind}
    assert pulled.asked(LOG + "/") - taken_before <= 30
    reached = await pulled.yard.see(lambda conn: watermark_of(conn, "app"))
    assert reached is not None
    assert reached > pulled.sim.now() - timedelta(minutes=5)


async def test_a_worker_that_dies_between_the_list_and_the_inbox_loses_nothing(pulled: Pulled) -> None:
    entries = pulled.logged(5, repository_id=pulled.yard.repository.id)
    pulled.sim.chaos.answer("delay", pattern=rf"{LOG}/{entries[2].id}", seconds=30)
    dying = asyncio.ensure_future(pulled.puller.once(pulled.yard.context))

    async def some() -> bool:
        return len(await pulled.taken()) >= 2

    await until(some)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    pulled.sim.chaos.calm()
    await pulled.successor().round()
    assert {each.guid for each in await pulled.taken()} == {one.guid for one in entries}


async def test_a_delivery_that_github_lists_late_is_taken_all_the_same(pulled: Pulled) -> None:
    pulled.logged(40, repository_id=pulled.yard.repository.id)
    await pulled.round()
    pulled.later(240)
    early = pulled.sim.now() - timedelta(minutes=4)
    late = pulled.logged(2, repository_id=pulled.yard.repository.id, delivered_at=early)
    pulled.logged(110, repository_id=pulled.yard.repository.id)
    await pulled.round()
    assert {one.guid for one in late} <= {each.guid for each in await pulled.taken()}
    assert len(await pulled.taken()) == 152


async def test_a_delivery_from_the_future_hides_none_that_follow(pulled: Pulled) -> None:
    ahead = pulled.sim.now() + timedelta(days=400)
    pulled.logged(1, repository_id=pulled.yard.repository.id, delivered_at=ahead)
    await pulled.round()
    pulled.later(60)
    pulled.logged(110, repository_id=pulled.yard.repository.id)
    await pulled.round()
    assert len(await pulled.taken()) == 111


async def test_an_old_entry_among_new_ones_does_not_end_the_pass(pulled: Pulled) -> None:
    now, repository_id = pulled.sim.now(), pulled.yard.repository.id
    pulled.logged(1, repository_id=repository_id, delivered_at=now - timedelta(hours=1))
    await pulled.round()
    pulled.logged(60, repository_id=repository_id)
    pulled.logged(3, repository_id=repository_id, delivered_at=now - timedelta(days=2))
    pulled.logged(50, repository_id=repository_id)
    await pulled.round()
    assert len(await pulled.taken()) == 114


async def test_deliveries_of_repositories_that_nobody_connected_are_not_fetched(pulled: Pulled) -> None:
    other = await pulled.sim.create_repo("acme/other", files={"a": "1"})
    pulled.logged(3, repository_id=other.id)
    await pulled.round()
    assert other.id not in {each.repository_id for each in await pulled.taken()}
    told = await pulled.told()
    assert "installation_repositories.added" in told
    assert pulled.asked(LOG + "/") == len(told)


async def test_a_payload_of_twenty_five_megabytes_is_taken_whole(pulled: Pulled) -> None:
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id)
    entry.payload["description"] = "é" * 4_200_000  # as JSON that is six bytes each
    await pulled.round()
    kept = await pulled.yard.see(lambda conn: deliveries.get(conn, entry.guid))
    assert kept is not None
    assert len(kept.body) > 25_000_000
    assert kept.state == "processed"


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("error", {"status": 401}, "GitHub does not accept the App's id and key: Server Error"),
        ("error", {"status": 403}, "GitHub does not show the deliveries: Server Error"),
        ("error", {"status": 404}, "GitHub does not show the deliveries: Server Error"),
        ("error", {"status": 502}, "GitHub answered 502"),
        ("html", {}, "GitHub's answer is not JSON"),
        ("reset", {}, "GitHub could not be reached: ServerDisconnectedError"),
        ("rate_limit", {"retry_after": 90}, "GitHub's rate limit: again in 90 s"),
        ("secondary_limit", {}, r"GitHub's rate limit: again in (6\d|7[0-5]) s"),
    ],
    ids=["401", "403", "404", "502", "a proxy's page", "a broken connection", "the hourly limit", "a secondary limit"],
)
async def test_whatever_github_answers_instead_of_its_log_is_shown_and_loses_nothing(
    pulled: Pulled, kind: str, options: dict[str, Any], reason: str
) -> None:
    entries = pulled.logged(3, repository_id=pulled.yard.repository.id)
    pulled.sim.chaos.answer(kind, pattern=LOG, times=None, **options)
    await pulled.round()
    source = await pulled.source("app")
    assert re.fullmatch(reason, source.reason)
    assert source.state in {PullState.WAITING, PullState.OFF}
    assert source.watermark is None
    asked = pulled.asked(LOG)
    await pulled.round()
    assert pulled.asked(LOG) == asked  # not before its time
    pulled.sim.chaos.calm()
    pulled.later(120)
    await pulled.round()
    assert {each.guid for each in await pulled.taken()} == {one.guid for one in entries}
    assert (await pulled.source("app")).reason == ""


async def test_an_app_that_takes_the_place_of_one_that_github_forgot_is_not_kept_waiting_for_that(
    pulled: Pulled,
) -> None:
    edge = pulled.yard.edge
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id)
    key = edge.sim.private_key_pem
    former = AppTokens(transport=edge.transport, app_id="99", private_key=key, clock=edge.clock)
    ours = pulled.puller.context.github
    pulled.puller.context = replace(
        pulled.yard.context, github=Client(transport=edge.transport, credentials=former, clock=edge.clock)
    )
    await pulled.round()
    assert (await pulled.source("app")).retry_at is not None
    pulled.puller.context = replace(pulled.yard.context, github=ours)
    await pulled.round()
    assert entry.guid in {each.guid for each in await pulled.taken()}
    assert (await pulled.source("app")).state is PullState.OK


async def test_an_entry_that_is_not_as_it_should_be_keeps_nobody_from_the_others(pulled: Pulled) -> None:
    entries = pulled.logged(3, repository_id=pulled.yard.repository.id)
    with pulled.sim.expected_violations():
        entries[1].guid = "../etc/passwd"
        await pulled.round()
        assert {each.guid for each in await pulled.taken()} == {entries[0].guid, entries[2].guid}
        for entry in entries:
            entry.event = "NO EVENT"
        await pulled.round()
    source = await pulled.source("app")
    assert (source.state, source.reason) == (PullState.WAITING, "GitHub's list of deliveries cannot be read")


async def test_one_delivery_that_cannot_be_read_holds_up_no_other_and_is_taken_later(pulled: Pulled) -> None:
    entries = pulled.logged(5, repository_id=pulled.yard.repository.id)
    pulled.sim.chaos.answer("error", pattern=rf"{LOG}/{entries[2].id}", times=1, status=500)
    await pulled.round()
    assert len(await pulled.taken()) == 4
    assert (await pulled.source("app")).reason == "1 of the deliveries could not be read yet"
    await pulled.round()
    assert len(await pulled.taken()) == 5
    assert (await pulled.source("app")).reason == ""


async def test_a_delivery_that_github_no_longer_has_is_left_to_the_audit(pulled: Pulled) -> None:
    entries = pulled.logged(3, repository_id=pulled.yard.repository.id)
    pulled.sim.chaos.answer("error", pattern=rf"{LOG}/{entries[1].id}", times=None, status=404)
    await pulled.round()
    assert len(await pulled.taken()) == 2
    assert (await pulled.source("app")).state is PullState.OK


async def test_what_github_keeps_no_longer_is_found_by_asking_the_repository(pulled: Pulled) -> None:
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    await pulled.sim.open_pull("acme/shop", "topic")
    await pulled.sim.settled()
    for entry in pulled.sim.deliveries:
        entry.delivered_at -= timedelta(days=4)
    await pulled.round()
    assert await pulled.told() == ["pull_request.polled"]
    assert await pulled.yard.see(lambda conn: reviews.of_repository(conn, pulled.yard.repository.id))


async def test_a_failed_delivery_is_tried_again_when_somebody_asks_github_to_send_it_again(pulled: Pulled) -> None:
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id)
    await pulled.round()
    failed = {"state": "failed", "processed_at": pulled.yard.clock()}
    await pulled.yard.db.write(lambda conn: conn.execute(delivery_rows.update().values(**failed)))
    await pulled.round()
    assert [each.state for each in await pulled.taken()] == ["failed"]
    pulled.later(5)
    pulled.sim.sender.redeliver(entry.id)
    await pulled.round()
    assert [(each.guid, each.state) for each in await pulled.taken()] == [(entry.guid, "processed")]
    pulled.later(5)
    failed["processed_at"] = pulled.yard.clock()
    await pulled.yard.db.write(lambda conn: conn.execute(delivery_rows.update().values(**failed)))
    await pulled.successor().round()
    assert [each.state for each in await pulled.taken()] == ["failed"]  # that repetition was tried already


async def test_a_delivery_that_was_repeated_before_it_was_taken_is_as_old_as_its_first_attempt(pulled: Pulled) -> None:
    (entry,) = pulled.logged(1, repository_id=pulled.yard.repository.id)
    pulled.later(60)
    pulled.sim.sender.redeliver(entry.id)
    await pulled.round()
    kept = await pulled.yard.see(lambda conn: deliveries.get(conn, entry.guid))
    assert kept is not None
    assert kept.told_at == entry.delivered_at.replace(microsecond=0)


async def test_a_worker_that_has_lost_its_lease_stops_amid_a_pass(pulled: Pulled) -> None:
    entries = pulled.logged(20, repository_id=pulled.yard.repository.id)
    pulled.sim.chaos.answer("delay", pattern=rf"{LOG}/{entries[3].id}", seconds=3)
    mine, theirs = LeaseTerms(holder="one", seconds=20.0), LeaseTerms(holder="another", seconds=20.0)
    await pulled.yard.db.write(lambda conn: leases.take(conn, f"loop:{LOOP}", terms=mine))
    ticks = iter(range(1000))
    context = replace(pulled.yard.context, terms=mine)
    puller = Puller(context=context, inbox=pulled.inbox, clock=lambda: float(next(ticks)))

    async def taken_over() -> None:
        await until(lambda: pulled.asked(LOG + "/") >= 4)
        await pulled.yard.db.write(lambda conn: conn.execute(lease_rows.delete()))
        await pulled.yard.db.write(lambda conn: leases.take(conn, f"loop:{LOOP}", terms=theirs))

    await asyncio.gather(taken_over(), puller.once(context))
    assert 4 <= len(await pulled.taken()) < 15
    assert await pulled.yard.see(pull_sources.listing) == []


async def test_of_two_workers_one_pulls(pulled: Pulled) -> None:
    pulled.logged(3, repository_id=pulled.yard.repository.id)
    other = pulled.successor()
    running = [
        asyncio.ensure_future(loops.every(each.puller.context, LOOP, 30.0, each.puller.once))
        for each in (pulled, other)
    ]

    async def all_there() -> bool:
        return len(await pulled.taken()) == 3

    await until(all_there)
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    assert pulled.asked(LOG + "/") == 3


async def _received(pulled: Pulled, guid: str) -> str:
    return await pulled.inbox.put(
        guid=guid,
        event="status",
        action="",
        repository_id=pulled.yard.repository.id,
        installation_id=1,
        body=b"{}",
        received_at=pulled.yard.clock(),
    )
