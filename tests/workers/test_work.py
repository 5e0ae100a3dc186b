"""An app's queue under its lease: killed, cancelled, taken over, and never stranded."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from service.domain.decisions import Deploy, Restart
from service.domain.errors import Refused, Transient
from service.domain.model import (
    AppState,
    BuildState,
    ReleaseState,
    RepositoryId,
    RequestState,
    ReviewState,
    Sha,
    Trust,
)
from service.enact import Transaction
from service.store import apps, builds, logs, releases, requests, reviews
from service.store.tables import apps as app_rows
from service.web.api import trail
from tests.waiting import until
from tests.workers.conftest import ADMINISTRATOR, Yard
from workers.jobs import settle
from workers.jobs.deploy import still_wanted
from workers.jobs.destroy import PREDESTROY_ATTEMPTS
from workers.jobs.work import _heartbeat, work
from workers.platforms.base import Fenced, Unhealthy


async def test_a_worker_that_lost_its_app_says_nothing_about_its_request(yard: Yard) -> None:
    app = await yard.app()
    asked = await yard.do(lambda tx: tx.request(app.id, Restart(), reason="restart", by_person=True))
    first = await yard.db.write(
        lambda conn: requests.take(conn, terms=yard.context.terms, now=yard.clock(), cap=4, app_id=app.id)
    )
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None)))
    other = yard.another()
    assert await yard.db.write(
        lambda conn: requests.take(conn, terms=other.terms, now=yard.clock(), cap=4, app_id=app.id)
    )
    assert first is not None
    with pytest.raises(Fenced):
        await settle.failed(yard.context, first, "too late")
    assert (await yard.request(asked.id)).state is RequestState.RUNNING


async def test_a_database_that_is_away_for_a_moment_does_not_end_the_work(yard: Yard) -> None:
    app = await yard.app()
    await yard.do(lambda tx: tx.request(app.id, Restart(), reason="restart", by_person=True))
    taken = await yard.db.write(
        lambda conn: requests.take(conn, terms=yard.context.terms, now=yard.clock(), cap=4, app_id=app.id)
    )
    assert taken is not None
    write, away = yard.db.write, [True]

    async def sometimes(fn):
        if away:
            away.pop()
            raise Transient("the database is away")
        return await write(fn)

    yard.db.write = sometimes  # type: ignore[method-assign]
    beat = asyncio.ensure_future(_heartbeat(yard.context, taken))
    await until(lambda: not away)
    done, _ = await asyncio.wait({beat}, timeout=0.5)
    beat.cancel()
    assert not done


async def test_a_database_that_hangs_ends_the_work_with_its_lease(yard: Yard) -> None:
    app = await yard.app()
    await yard.do(lambda tx: tx.request(app.id, Restart(), reason="restart", by_person=True))
    taken = await yard.take(app.id)

    async def hangs(_):
        await asyncio.Event().wait()

    yard.db.write = hangs  # type: ignore[method-assign]
    beat = asyncio.ensure_future(_heartbeat(yard.context, taken))
    await asyncio.wait_for(beat, 5 * yard.context.terms.seconds)


async def test_a_destroy_is_tried_until_it_is_done_whatever_goes_wrong(yard: Yard) -> None:
    review = await yard.review()
    assert review.app_id is not None
    asked = await yard.destroy(review.app_id)
    yard.platform.script["remove"] = [Unhealthy("no"), Refused("never"), Transient("later"), RuntimeError("bug")]
    for _ in range(4):
        await work(yard.context, review.app_id)
        assert (await yard.request(asked.id)).state is RequestState.RUNNING
        yard.clock.ahead += timedelta(minutes=10)
    await work(yard.context, review.app_id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED
    gone = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert gone is not None
    assert gone.state is AppState.GONE


async def test_a_destroy_that_cannot_be_done_yet_says_why_and_is_never_said_to_be_done(yard: Yard) -> None:
    review = await yard.review()
    app = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert app is not None
    release = await yard.released(app, await yard.slug())
    await yard.do(lambda tx: tx.show_release(release.id))
    await yard.destroy(app.id)
    yard.platform.script["remove"] = [Unhealthy("the engine is down")] * 3

    async def shown() -> tuple[str, str, str]:
        await yard.calm()
        comment = await yard.report(f"comment:{yard.repository.id}/1")
        deployment = await yard.report(f"github_deployment:{release.id}")
        return deployment.wanted["state"], (await yard.check(review.sha)).wanted["title"], comment.wanted["body"]

    for _ in range(PREDESTROY_ATTEMPTS):  # what it would like to say farewell with cannot be read
        await work(yard.context, app.id)
        yard.clock.ahead += timedelta(minutes=10)
    for _ in range(3):
        await work(yard.context, app.id)
        yard.clock.ahead += timedelta(minutes=10)
        deployment, check, comment = await shown()
        assert (deployment, check) == ("success", "shop-pr-1: destroying (closed)")
        assert "destroyed" not in comment
        _, told = await yard.see(lambda conn: trail.of(conn, "shop-pr-1", ADMINISTRATOR, yard.clock()))
        assert "destroy: is tried again: the engine is down" in [each.text for each in told]
    await work(yard.context, app.id)
    deployment, check, comment = await shown()
    assert (deployment, check) == ("inactive", "shop-pr-1: destroyed (closed)")
    assert "destroyed" in comment


async def test_what_a_destroy_cancels_ends_with_its_build_and_release(yard: Yard) -> None:
    review = await yard.review()
    app_id = review.app_id or ""

    def begin(tx):
        asked = tx.request(app_id, Restart(), reason="restart", by_person=True)
        log_id = logs.open_log(tx.conn, tx.now)
        builds.create(
            tx.conn, app_id=app_id, request_id=asked.id, repository_id=1, sha="a" * 40, log_id=log_id, now=tx.now
        )
        releases.create(
            tx.conn,
            app_id=app_id,
            request_id=asked.id,
            slug_id=None,
            commit=None,
            repository_id=None,
            description="",
            actor="",
            log_id=log_id,
            now=tx.now,
        )
        return asked

    asked = await yard.do(begin)
    await yard.destroy(app_id)
    build = await yard.see(lambda conn: builds.of_request(conn, asked.id))
    release = await yard.see(lambda conn: releases.of_request(conn, asked.id))
    assert build is not None
    assert release is not None
    assert (build.state, release.state) == (BuildState.CANCELLED, ReleaseState.FAILED)


async def test_a_destroy_that_comes_meanwhile_follows_at_once_on_what_it_cancelled(yard: Yard) -> None:
    review = await yard.review()
    app_id = review.app_id or ""
    first = await yard.destroy(app_id)
    yard.platform.hold["remove"] = asyncio.Event()
    running = asyncio.ensure_future(work(yard.context, app_id))
    await until(lambda: "remove" in yard.platform.calls)
    second = await yard.destroy(app_id)
    yard.platform.hold["remove"].set()
    await running
    assert (await yard.request(first.id)).state is RequestState.SUCCEEDED
    assert (await yard.request(second.id)).state is RequestState.SUCCEEDED


async def test_a_worker_told_to_stop_hands_its_app_back_at_once(yard: Yard) -> None:
    review = await yard.review()
    app_id = review.app_id or ""
    await yard.destroy(app_id)
    yard.platform.hold["remove"] = asyncio.Event()
    running = asyncio.ensure_future(work(yard.context, app_id))
    await until(lambda: "remove" in yard.platform.calls)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    row = await yard.see(lambda conn: conn.execute(select(app_rows).where(app_rows.c.id == app_id)).one())
    assert row.lease_holder is None
    yard.platform.hold.clear()
    await work(yard.another(), app_id)
    done = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert done is not None
    assert done.state is ReviewState.DESTROYED


async def test_a_deploy_whose_worker_died_after_it_went_live_is_not_superseded_any_more(yard: Yard) -> None:
    app = await yard.app()
    wanted = Deploy(repository_id=RepositoryId(1), sha=Sha("a" * 40), trust=Trust.OWN, branch="master")
    newer = Deploy(repository_id=RepositoryId(1), sha=Sha("b" * 40), trust=Trust.OWN, branch="master")

    def asked(tx: Transaction) -> None:
        tx.request(app.id, wanted, reason="pushed", by_person=False)

    await yard.do(asked)
    taken = await yard.db.write(
        lambda conn: requests.take(conn, terms=yard.context.terms, now=yard.clock(), cap=4, app_id=app.id)
    )
    assert taken is not None

    def went_live(tx: Transaction) -> None:
        made = releases.create(
            tx.conn,
            app_id=app.id,
            request_id=taken.request.id,
            slug_id=None,
            commit=wanted.sha,
            repository_id=None,
            description="",
            actor="",
            log_id=logs.open_log(tx.conn, tx.now),
            now=tx.now,
        )
        current = apps.get(tx.conn, app.id)
        assert current is not None
        apps.update(tx.conn, app=current, now=tx.now, current_release_id=made.id)
        tx.request(app.id, newer, reason="pushed", by_person=False)

    await yard.do(went_live)
    await still_wanted(yard.context, taken, wanted)
