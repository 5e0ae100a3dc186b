"""Releases: list, look at, roll back to, and the config a release ran with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection, select

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import App, Release, ReleaseState
from service.shown import RELEASE_OUTPUT, output_url
from service.store import people, releases
from service.store.people import People
from service.store.sight import to_app
from service.store.tables import releases as rows
from service.web import rights
from service.web.api import answers, bodies, parts, shapes
from service.web.api.finding import app_in_path, find_app, find_pipeline, find_release, pipeline_in_path
from service.web.api.loading import latest_deployments, latest_releases, slugs_with_release_phase
from service.web.api.progress import request_shape
from service.web.keys import CALLER, CONTEXT, WebContext

_KEYS = {"version": rows.c.version, "id": rows.c.id}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseShown:
    """A release with its app, and whether it has a release phase whose output can be read; `people` made it."""

    release: Release
    app: App
    has_output: bool
    people: People


def shape(shown: ReleaseShown, context: WebContext) -> shapes.Json:
    """Show a release."""
    it, settings = shown.release, context.settings
    key = context.vault.sign(it.id, RELEASE_OUTPUT)
    output = output_url(settings, f"/releases/{it.id}", key=key) if shown.has_output else None
    return {
        "addon_plan_names": [],
        "app": {"id": shown.app.id, "name": shown.app.name},
        "artifacts": [] if it.slug_id is None else [{"type": "slug", "id": it.slug_id}],
        "created_at": shapes.moment(it.created_at),
        "current": it.id == shown.app.current_release_id,
        "description": it.description,
        "eligible_for_rollback": it.state is ReleaseState.SUCCEEDED and it.slug_id is not None,
        "id": it.id,
        "output_stream_url": output,
        "slug": None if it.slug_id is None else {"id": it.slug_id},
        "status": it.state.value,
        "updated_at": shapes.moment(it.updated_at),
        "user": shapes.user_of(it.actor, settings, shown.people),
        "version": it.version,
        "commit": it.commit,
        "error": it.error or None,
    }


def show(conn: Connection, app: App, listed: Sequence[Release]) -> list[ReleaseShown]:
    """Add to an app's releases what is shown beside them."""
    return _show(conn, [(app, it) for it in listed])


def _show(conn: Connection, listed: Sequence[tuple[App, Release]]) -> list[ReleaseShown]:
    with_output = slugs_with_release_phase(conn, {it.slug_id for _, it in listed if it.slug_id is not None})
    known = people.known(conn, {it.actor for _, it in listed})
    return [ReleaseShown(release=it, app=app, has_output=it.slug_id in with_output, people=known) for app, it in listed]


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/releases."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    wanted = answers.wanted_range(request, *_KEYS)

    def read(conn: Connection) -> list[ReleaseShown]:
        app = find_app(conn, identity)
        found = parts.read(conn, select(rows).where(rows.c.app_id == app.id), wanted, _KEYS)
        return show(conn, app, [releases.as_release(row._mapping) for row in found])  # noqa: SLF001  (a row's mapping is no secret)

    return answers.answer_list(
        request,
        await context.db.read(read),
        lambda it: shape(it, context),
        version=lambda it: it.release.version,
        id=lambda it: it.release.id,
    )


async def latest(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/latest-releases: the newest release of each of its apps that one sees."""
    return await _list_of_pipeline(request, latest_releases)


async def deployments(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/latest-deployments: of each app that one sees, the newest release with other code."""
    return await _list_of_pipeline(request, latest_deployments)


async def _list_of_pipeline(
    request: web.Request, find: Callable[[Connection, str], list[tuple[App, Release]]]
) -> web.Response:
    context, identity = request.app[CONTEXT], pipeline_in_path(request)

    def read(conn: Connection) -> list[ReleaseShown]:
        of_pipeline = find(conn, find_pipeline(conn, identity).id)
        return _show(conn, [(app, it) for app, it in of_pipeline if Permission.VIEW in to_app(identity.by, app)])

    return answers.answer_list(
        request, await context.db.read(read), lambda it: shape(it, context), id=lambda it: it.release.id
    )


async def _found(request: web.Request) -> ReleaseShown:
    identity, wanted = app_in_path(request), request.match_info["release"]

    def read(conn: Connection) -> ReleaseShown:
        app = find_app(conn, identity)
        return show(conn, app, [find_release(conn, app, wanted)])[0]

    return await request.app[CONTEXT].db.read(read)


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/releases/RELEASE: by id, number or `current`."""
    return answers.answer(request, shape(await _found(request), request.app[CONTEXT]))


async def config(request: web.Request) -> web.Response:
    """GET /apps/APP/releases/RELEASE/config-vars: the whole config it ran with."""
    context, shown = request.app[CONTEXT], await _found(request)
    variables = await context.db.read(lambda conn: releases.config(conn, context.vault, shown.release.id))
    return answers.answer(request, variables)


async def roll_back(request: web.Request) -> web.Response:
    """POST /apps/APP/releases: a new release with a former one's code and config, or with a slug (a retry).

    The answer is the new release, which has its number at once, with the request to wait for.
    """
    context, identity = request.app[CONTEXT], app_in_path(request)
    body = await bodies.parse(request, bodies.Rollback)
    if (body.release is None) == (body.slug is None):
        raise Refused("Name either the release to roll back to or the slug to release.")

    def read(conn: Connection) -> tuple[App, Release | None]:
        app = find_app(conn, identity)
        return app, None if body.release is None else find_release(conn, app, str(body.release))

    (app, former), actor = await context.db.read(read), request[CALLER].actor
    if former is not None:
        queued = await context.enactor.rollback(
            app_id=app.id, release_id=former.id, keep_config=body.keep_config, actor=actor
        )
    else:
        queued = await context.enactor.release_slug(
            app_id=app.id,
            slug_id=str(body.slug),
            description=body.description or "",
            override_lock=body.override_lock,
            actor=actor,
        )

    def made(conn: Connection) -> ReleaseShown:
        release = releases.of_request(conn, queued.id)
        assert release is not None
        return show(conn, find_app(conn, identity), [release])[0]

    described = shape(await context.db.read(made), context) | {"request": request_shape(queued)}
    return answers.answer(request, described, status=201)


ROUTES = [
    rights.get("/apps/{app}/releases", listing, rights.app()),
    rights.post("/apps/{app}/releases", roll_back, rights.app(Permission.DEPLOY, Permission.OPERATE)),
    rights.get("/apps/{app}/releases/{release}", info, rights.app()),
    rights.get("/apps/{app}/releases/{release}/config-vars", config, rights.SECRETS_OF_APP),
    rights.get("/pipelines/{pipeline}/latest-releases", latest, rights.pipeline()),
    rights.get("/pipelines/{pipeline}/latest-deployments", deployments, rights.pipeline()),
]
