"""Destroy an app: predestroy script once, everything in the engine gone and verified, then its rows final."""

import structlog

from service.domain.decisions import Destroy
from service.domain.errors import Refused
from service.domain.manifest import Manifest, parse_app_json, review_manifest
from service.domain.model import App, Release, RequestState, ReviewState, Trust
from service.domain.one_offs import OneOffState
from service.enact import Transaction
from service.enacting.ended import ring_plan
from service.store import apps, builds, one_offs, pipelines, releases, requests, reviews, routes, spaces
from service.store.requests import TakenWork
from workers.builds import builder
from workers.context import Context
from workers.jobs import command, fenced
from workers.jobs.rollout import fence_of, serving
from workers.platforms.base import Unhealthy

log = structlog.get_logger()

PREDESTROY_SECONDS = 300.0
PREDESTROY_ATTEMPTS = 4


async def destroy(context: Context, taken: TakenWork, wanted: Destroy) -> None:
    """Take the app away; may be begun again at any point."""
    app = await context.db.read(lambda conn: apps.get(conn, taken.request.app_id))
    if app is not None and app.state.value != "gone":
        await fenced.commit(context, taken, lambda tx: routes.delete(tx.conn, app.id))
        await context.queue.routes_changed()
        if app.is_review and taken.attempts < PREDESTROY_ATTEMPTS:
            await _say_goodbye(context, taken, app)
        driver = await context.db.read(lambda conn: spaces.driver_of(conn, app.space_id))
        fence = fence_of(taken)
        await context.platforms[driver].remove(app.id, fence=fence)
        await _end_build(context, app)
    await fenced.commit(context, taken, lambda tx: _gone(tx, taken, wanted))


async def _end_build(context: Context, app: App) -> None:
    """End the build that the destroy cut short: whoever waits for it may notice late, or may be dead."""
    for last in await context.db.read(lambda conn: builds.of_app(conn, app.id, limit=1)):
        await builder.discard(builder.work_name(last.id), workshop=context.workshop)


async def _say_goodbye(context: Context, taken: TakenWork, app: App) -> None:
    """Give `pr-predestroy` its chance; what may pass is tried again, a few times. The app goes in any case."""
    try:
        await _predestroy(context, taken, app)
    except (Refused, Unhealthy) as error:
        log.warning("predestroy not run", app=app.id, error=str(error))


async def _predestroy(context: Context, taken: TakenWork, app: App) -> None:
    """Run `pr-predestroy` of the code that serves, once; one that a dead machine cut off is not repeated."""
    found = await context.db.read(lambda conn: releases.get(conn, app.current_release_id or ""))
    if found is None or found.slug_id is None or found.commit is None or found.repository_id is None:
        return
    slug = await context.db.read(lambda conn: builds.slug(conn, found.slug_id or ""))
    assert slug is not None
    script = (await _manifest(context, app, found, slug.trust)).scripts.get("pr-predestroy", "")
    if not script:
        return
    rollout = await context.db.read(lambda conn: serving(conn, context.vault, app, found))
    async with fenced.log(context, taken, found.log_id, secrets=rollout.config.values()) as sink:
        code = await command.once(
            context,
            taken,
            rollout,
            step="predestroy",
            name=f"predestroy-{app.id}",
            command=script,
            sink=sink,
            seconds=PREDESTROY_SECONDS,
        )
    log.info("predestroy ended", app=app.id, exit_code=code)


async def _manifest(context: Context, app: App, found: Release, trust: Trust) -> Manifest:
    """Read what the code that serves says, in the mirror that it was built from."""
    assert found.commit is not None
    assert found.repository_id is not None
    review = await context.db.read(lambda conn: reviews.of_app(conn, app.id))
    pipeline = await context.db.read(lambda conn: pipelines.get(conn, review.pipeline_id)) if review else None
    root = pipeline.root_directory if pipeline else ""
    path = f"{root}/app.json" if root else "app.json"
    try:
        text = await context.source.read_file(found.repository_id, found.commit, path, trust=trust)
        return review_manifest(parse_app_json(text)) if text is not None else Manifest()
    except Refused as refused:
        # The app must go even when its repository cannot be read any more.
        log.warning("predestroy not read", app=found.app_id, error=refused.message)
        return Manifest()


def _gone(tx: Transaction, taken: TakenWork, wanted: Destroy) -> None:
    app = apps.get(tx.conn, taken.request.app_id)
    assert app is not None
    review = reviews.of_app(tx.conn, app.id)
    ring_plan(tx, app.id)
    if review is not None:
        tx.show_commit(app.id, review.sha)
    for made in releases.of_app(tx.conn, app.id, limit=20):
        tx.show_release(made.id)
    for one_off in one_offs.open_of(tx.conn, app.id):
        reason = "its app was destroyed"
        one_offs.finish(tx.conn, one_off, state=OneOffState.FAILED, exit_code=None, reason=reason, now=tx.now)
    if app.state.value != "gone":
        apps.forget(tx.conn, app=app, now=tx.now)
    if review is not None and review.state is not ReviewState.DESTROYED:
        reviews.update(tx.conn, review=review, now=tx.now, state=ReviewState.DESTROYED, reason=wanted.reason)
        tx.ring_waiting(review.pipeline_id)
    requests.finish(tx.conn, taken.request.id, state=RequestState.SUCCEEDED, outcome="destroyed", now=tx.now)
    tx.note("app destroyed", app_id=app.id, data={"reason": wanted.reason})
