"""Releases: live once and for good, whatever comes afterwards; what fails leaves what serves as it is."""

import pytest

from service.domain.decisions import ReleaseSlug, Restart
from service.domain.errors import Refused, Transient
from service.domain.model import App, AppState, QueuedRequest, Release, ReleaseState, RequestState, ReviewState, Slug
from service.enactor import Enactor
from service.store import apps, logs, releases, requests, reviews, routes
from service.store.tables import apps as app_rows
from tests.workers.conftest import Yard
from workers.jobs import loops
from workers.jobs.work import work
from workers.platforms.base import Unhealthy


def verbs(yard: Yard) -> Enactor:
    return Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)


async def configured(yard: Yard, app: App, **variables: str) -> QueuedRequest:
    return await verbs(yard).change_config(app_id=app.id, changes=variables, actor="user:ada")


async def serving(yard: Yard) -> tuple[App, Slug]:
    """An app whose release runs in the engine."""
    app, slug = await yard.app(), await yard.slug()
    await yard.released(app, slug)
    await configured(yard, app, A="1")
    await work(yard.context, app.id)
    return await current(yard, app), slug


async def current(yard: Yard, app: App) -> App:
    found = await yard.see(lambda conn: apps.get(conn, app.id))
    assert found is not None
    return found


async def release_of(yard: Yard, request: QueuedRequest) -> Release:
    found = await yard.see(lambda conn: releases.of_request(conn, request.id))
    assert found is not None
    return found


async def test_what_a_person_suspends_stops_although_it_is_pinned_and_a_restart_brings_it_back(yard: Yard) -> None:
    review = await yard.review("pr:7", state=ReviewState.LIVE, with_app=True)
    app, slug = await yard.see(lambda conn: apps.get(conn, review.app_id or "")), await yard.slug()
    assert app is not None
    await yard.released(app, slug)
    await verbs(yard).pin_review_app(review_id=review.id, pinned=True, actor="user:ada")
    await verbs(yard).suspend_review_app(review_id=review.id, actor="user:ada")
    await work(yard.context, app.id)
    rests = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert rests is not None
    assert ((await current(yard, app)).state, rests.state) == (AppState.SUSPENDED, ReviewState.SUSPENDED)
    assert rests.reason == "a person asked for it"
    await verbs(yard).restart(app_id=app.id, actor="user:ada")
    await work(yard.context, app.id)
    back = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert back is not None
    assert ((await current(yard, app)).state, back.state) == (AppState.ACTIVE, ReviewState.LIVE)


async def test_a_release_that_went_live_has_succeeded_whatever_goes_wrong_afterwards(yard: Yard) -> None:
    app, _ = await serving(yard)
    asked = await configured(yard, app, A="2")
    apply = yard.platform.apply

    async def lost_afterwards(spec, *, fence, log, go_live):
        await apply(spec, fence=fence, log=log, go_live=go_live)
        raise RuntimeError("a bug while the former processes are drained")

    yard.platform.apply = lost_afterwards  # type: ignore[method-assign]
    await work(yard.context, app.id)
    made = await release_of(yard, asked)
    assert made.state is ReleaseState.SUCCEEDED
    assert (await current(yard, app)).current_release_id == made.id
    ended = await yard.request(asked.id)
    assert ended.state is RequestState.SUCCEEDED
    assert ended.reason == f"released v{made.version}; afterwards: internal error"


async def test_a_restart_that_fails_leaves_what_serves_as_it_is_and_is_not_asked_for_again(yard: Yard) -> None:
    app, _ = await serving(yard)
    yard.platform.script["apply"] = [Unhealthy("no database")]
    failed = await yard.do(lambda tx: tx.request(app.id, Restart(), reason="restart", by_person=True))
    await work(yard.context, app.id)
    assert (await yard.request(failed.id)).state is RequestState.FAILED
    for _ in range(3):
        await loops.observe(yard.context)
    assert await yard.see(lambda conn: requests.open_of(conn, app.id)) == []
    assert await yard.see(lambda conn: apps.engine_state(conn, app.id)) == "up"


async def test_a_restart_is_done_once_although_its_worker_died_after_it(yard: Yard) -> None:
    app, _ = await serving(yard)
    before = yard.platform.running[app.id].release_id
    await yard.do(lambda tx: tx.request(app.id, Restart(), reason="restart", by_person=True))
    apply = yard.platform.apply

    async def dies(spec, *, fence, log, go_live):
        await apply(spec, fence=fence, log=log, go_live=go_live)
        raise Transient("killed after the switch")

    yard.platform.apply = dies  # type: ignore[method-assign]
    await work(yard.context, app.id)
    once = yard.platform.running[app.id].release_id
    assert once != before
    yard.platform.apply = apply  # type: ignore[method-assign]
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(retry_at=None)))
    await work(yard.context, app.id)
    assert yard.platform.running[app.id].release_id == once
    assert await yard.see(lambda conn: requests.open_of(conn, app.id)) == []


async def test_what_was_asked_of_an_app_that_is_gone_by_now_brings_nothing_back(yard: Yard) -> None:
    app, slug = await serving(yard)
    wanted = ReleaseSlug(slug_id=slug.id, commit=None, repository_id=None, description="Promote")
    await yard.destroy(app.id)
    late = await yard.do(lambda tx: tx.request(app.id, wanted, reason="promoted", by_person=True))
    await work(yard.context, app.id)
    assert (await current(yard, app)).state is AppState.GONE
    assert (await yard.request(late.id)).state is RequestState.FAILED
    assert yard.platform.running == {}
    assert await yard.see(lambda conn: routes.of_app(conn, app.id)) is None


async def test_nothing_is_promoted_to_or_from_an_app_that_is_being_destroyed(yard: Yard) -> None:
    app, _ = await serving(yard)
    other = await yard.app("shop-other")
    await yard.destroy(app.id)
    for source, target in ((app, other), (other, app)):
        with pytest.raises(Refused, match="Cannot find app"):
            await verbs(yard).promote(
                pipeline_id=yard.pipeline.id,
                source_app_id=source.id,
                release_id=None,
                target_app_ids=[target.id],
                actor="user:ada",
            )


async def test_the_log_of_a_release_hides_what_it_runs_with_although_that_was_changed_since(yard: Yard) -> None:
    app, slug = await yard.app(), await yard.slug()
    await configured(yard, app, PASSWORD="the former secret")
    await work(yard.context, app.id)
    wanted = ReleaseSlug(slug_id=slug.id, commit=None, repository_id=None, description="Promote")
    asked = await yard.do(lambda tx: tx.request(app.id, wanted, reason="promoted", by_person=True))
    yard.platform.script["apply"] = [Transient("later")]
    await work(yard.context, app.id)
    apply = yard.platform.apply

    async def telling(spec, *, fence, log, go_live):
        await log.write(f"connecting with {spec.config['PASSWORD']}\n")
        await apply(spec, fence=fence, log=log, go_live=go_live)

    yard.platform.apply = telling  # type: ignore[method-assign]
    await configured(yard, app, PASSWORD="the newest secret")
    await work(yard.context, app.id)
    made = await release_of(yard, asked)
    text = await yard.see(lambda conn: logs.tail(conn, made.log_id))
    assert "connecting with" in text
    assert "former secret" not in text
