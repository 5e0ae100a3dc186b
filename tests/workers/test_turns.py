"""Whose turn it is: the most urgent app first, again after every request, and nobody is forgotten at the door."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select

from service.domain.decisions import Restart
from service.domain.errors import Transient
from service.domain.model import QueuedRequest, RequestState, Stage
from service.store.tables import requests as request_rows
from tests.waiting import until
from tests.workers.conftest import Yard
from workers.jobs.work import MAX_ATTEMPTS, work


async def restart(yard: Yard, app_id: str) -> QueuedRequest:
    return await yard.do(lambda tx: tx.request(app_id, Restart(), reason="restart", by_person=True))


async def begun(yard: Yard) -> list[str]:
    """The apps in the order in which requests were begun."""
    rows = request_rows.c
    query = select(rows.app_id).where(rows.started_at.is_not(None), rows.reason == "restart").order_by(rows.started_at)
    return list(await yard.see(lambda conn: conn.execute(query).scalars()))


async def test_production_does_not_wait_for_the_whole_queue_of_a_review_app(yard: Yard) -> None:
    slug = await yard.slug()
    review, production = await yard.app("shop-pr-1", Stage.REVIEW), await yard.app()
    for app in (review, production):
        await yard.released(app, slug)
    for _ in range(2):
        await restart(yard, review.id)
    yard.platform.hold["apply"] = asyncio.Event()
    context = replace(yard.context, work_cap=1)
    running = asyncio.ensure_future(work(context, review.id))
    await until(lambda: "apply" in yard.platform.calls)
    await restart(yard, production.id)
    await work(context, production.id)  # every place is taken
    yard.platform.hold["apply"].set()
    await running
    assert await begun(yard) == [review.id, production.id, review.id]


async def test_of_a_burst_no_more_is_at_work_than_may_be_and_production_goes_first(yard: Yard) -> None:
    """Six workers hear of it at once: none takes what another has."""
    slug = await yard.slug()
    made = [await yard.app(f"shop-pr-{number}", Stage.REVIEW) for number in range(6)]
    made += [await yard.app(f"shop-{number}") for number in range(4)]
    for app in made:
        await yard.released(app, slug)
        await restart(yard, app.id)
    yard.platform.hold["apply"] = asyncio.Event()
    terms = [replace(yard.context.terms, holder=f"worker {number}", seconds=60.0) for number in range(6)]
    working = [asyncio.ensure_future(work(replace(yard.context, terms=each), "")) for each in terms]
    await until(lambda: len([each for each in working if each.done()]) == 2, what="two find every place taken")
    await until(lambda: yard.platform.calls.count("apply") == yard.context.work_cap == 4, what="four are at work")
    assert sorted(await begun(yard)) == sorted(app.id for app in made[6:])
    yard.platform.hold["apply"].set()
    await asyncio.gather(*working)
    assert sorted(await begun(yard)) == sorted(app.id for app in made)
    assert yard.platform.calls.count("apply") == len(made)


async def test_the_attempts_of_one_request_are_not_counted_against_the_next(yard: Yard) -> None:
    app = await yard.app()
    await yard.released(app, await yard.slug())
    first = await restart(yard, app.id)
    second = await restart(yard, app.id)
    yard.platform.script["apply"] = [*[Transient("away")] * (MAX_ATTEMPTS - 1), None, Transient("away again")]
    for _ in range(MAX_ATTEMPTS):
        await work(yard.context, app.id)
        yard.clock.ahead += timedelta(minutes=2)
    assert (await yard.request(first.id)).state is RequestState.SUCCEEDED
    assert (await yard.request(second.id)).state is RequestState.RUNNING
    await work(yard.context, app.id)
    assert (await yard.request(second.id)).state is RequestState.SUCCEEDED
