"""Roll a release out: let the engine bring it up, then switch traffic to it in one fenced transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from service.domain.model import App, AppState, Release, ReleaseState, ReviewApp, ReviewState, Slug
from service.enact import Transaction
from service.store import apps, builds, logs, pipelines, releases, requests, reviews, routes, spaces
from service.store.requests import TakenWork
from service.store.secrets import Vault
from workers.context import Context
from workers.jobs import fenced, together
from workers.platforms.base import AppSpec, Endpoint, Fence, ProcessSpec

LIVE: Final = "live"
"""The step of a request whose effect is there: a successor does not bring it about again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A release on its way to traffic, or out of it: then `suspended` says why.

    `incarnation` tells restarts of one release apart: the app's, or the next.
    """

    app: App
    release: Release
    slug: Slug
    config: Mapping[str, str] = field(repr=False)
    formation: Mapping[str, int]
    incarnation: int
    review: ReviewApp | None
    driver: str
    suspended: str | None = None

    @property
    def engine_id(self) -> str:
        """The release as the engine knows it."""
        return apps.engine_id(self.release.id, self.incarnation)


def serving(conn: Connection, vault: Vault, app: App, release: Release) -> Rollout:
    """Describe a release for a command that runs beside the app's processes: with its code and config."""
    slug = builds.slug(conn, release.slug_id or "")
    assert slug is not None
    return Rollout(
        app=app,
        release=release,
        slug=slug,
        config=releases.config(conn, vault, release.id),
        formation={},
        incarnation=requests.incarnation(conn, app.id),
        review=None,
        driver=spaces.driver_of(conn, app.space_id),
    )


def fence_of(taken: TakenWork) -> Fence:
    """Make the pair that the engine compares."""
    return Fence(generation=taken.generation, token=taken.token)


async def spec_of(context: Context, rollout: Rollout) -> AppSpec:
    """Make the engine's order; the slug is unpacked once per content."""
    slug_dir = await context.slugs.unpacked(rollout.slug.trust, rollout.slug.sha256)
    toggles = await context.db.read(lambda conn: pipelines.toggles_of(conn, rollout.app.id))
    given = {
        "SOURCE_VERSION": rollout.release.commit or "",
        "HEROKU_SLUG_COMMIT": rollout.release.commit or "",
        "HEROKU_RELEASE_VERSION": f"v{rollout.release.version}",
        "HEROKU_APP_NAME": rollout.app.name,
    }
    return AppSpec(
        app_id=rollout.app.id,
        app_name=rollout.app.name,
        release_id=rollout.engine_id,
        version=rollout.release.version,
        slug_dir=slug_dir,
        config={**given, **rollout.config},
        processes=tuple(
            ProcessSpec(type=kind, command=command, quantity=rollout.formation.get(kind, 0))
            for kind, command in rollout.slug.process_types.items()
            if kind != "release"
        ),
        health_path=toggles.health_path or None,
        boot_seconds=context.settings.boot_seconds,
    )


async def go(context: Context, taken: TakenWork, *, spec: AppSpec, rollout: Rollout, log: logs.LogSink) -> None:
    """Bring it up and switch; raises `Unhealthy` with the cause while the old release serves on."""
    platform = context.platforms[rollout.driver]

    async def go_live(endpoints: Sequence[Endpoint]) -> None:
        await fenced.commit(context, taken, lambda tx: _switch(tx, taken, rollout, endpoints))
        await context.queue.routes_changed()

    await platform.apply(spec, fence=fence_of(taken), log=log, go_live=go_live)


def _switch(tx: Transaction, taken: TakenWork, rollout: Rollout, endpoints: Sequence[Endpoint]) -> None:
    """The one moment at which all of it becomes true: what serves, where it is reached, and that it has succeeded."""
    app = apps.get(tx.conn, rollout.app.id)
    assert app is not None
    made = releases.get(tx.conn, rollout.release.id)
    if made is not None and made.state is ReleaseState.PENDING:
        together.check(tx.conn, taken)
    former, rests = app.current_release_id, rollout.suspended is not None
    reached = [endpoint.address for endpoint in endpoints if endpoint.process.partition(".")[0] == "web"]
    apps.update(
        tx.conn,
        app=app,
        now=tx.now,
        current_release_id=rollout.release.id,
        released_at=tx.now if former != rollout.release.id else app.released_at,
        engine_state="suspended" if rests else "up",
        formation=app.formation if rests else dict(rollout.formation),
    )
    if rests != (app.state is AppState.SUSPENDED):
        current = apps.get(tx.conn, app.id)
        assert current is not None
        state = AppState.SUSPENDED if rests else AppState.ACTIVE
        apps.set_state(tx.conn, app=current, state=state, now=tx.now)
    if app.is_review:
        _show_rest(tx, app, rollout.suspended)
    serving = "maintenance" if app.maintenance else "live" if reached else "stopped"
    routes.put(
        tx.conn,
        app_id=app.id,
        name=app.name,
        review=app.is_review,
        state="suspended" if rests else serving,
        endpoints=reached,
        release_id=rollout.engine_id,
    )
    requests.set_incarnation(tx.conn, app.id, rollout.incarnation)
    requests.set_step(tx.conn, taken.request.id, step=LIVE, now=tx.now)
    if made is not None and made.state is ReleaseState.PENDING:
        releases.finish(tx.conn, release_id=made.id, state=ReleaseState.SUCCEEDED, error="", now=tx.now)
    for shown in {former, rollout.release.id} - {None}:
        tx.show_release(str(shown))
    if not app.is_review:
        _show_replaced(tx, app, rollout.release)


def _show_replaced(tx: Transaction, app: App, made: Release) -> None:
    """Let the check of the commit that served until now say that another does: its button is of no use any more."""
    former = releases.get(tx.conn, app.current_release_id) if app.current_release_id else None
    if former is not None and former.commit not in (None, made.commit):
        tx.show_commit(app.id, str(former.commit))


def _show_rest(tx: Transaction, app: App, suspended: str | None) -> None:
    """Let the review app say that it is suspended and why, or no longer. One that is back is not idle from then on."""
    review = reviews.of_app(tx.conn, app.id)
    if review is None or review.state in (ReviewState.DESTROYING, ReviewState.DESTROYED):
        return
    if suspended is not None:
        reviews.update(tx.conn, review=review, now=tx.now, state=ReviewState.SUSPENDED, reason=suspended)
    elif review.state is ReviewState.SUSPENDED:
        reviews.update(tx.conn, review=review, now=tx.now, state=ReviewState.LIVE, reason="", deployed_at=tx.now)
    else:
        return
    tx.show_commit(app.id, review.sha)
