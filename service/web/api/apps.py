"""Apps: make, list, look at, change, destroy."""

from dataclasses import replace

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.model import App
from service.store.sight import seen_apps
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.account import check_oneself
from service.web.api.finding import app_in_path, find_app, in_body, owner_to_be
from service.web.api.loading import show_app, show_apps
from service.web.keys import CALLER, CONTEXT


async def _found(request: web.Request) -> App:
    asked = app_in_path(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_app(conn, asked))


async def show(request: web.Request, app: App) -> shapes.Json:
    """Show an app."""
    context = request.app[CONTEXT]
    return shapes.app(await context.db.read(lambda conn: show_app(conn, app)), context.settings)


def list_apps(request: web.Request, shown: list[shapes.AppShown]) -> web.Response:
    """Send a list of apps."""
    settings = request.app[CONTEXT].settings
    return answers.answer_list(
        request,
        shown,
        lambda it: shapes.app(it, settings),
        name=lambda it: it.app.name,
        id=lambda it: it.app.id,
        updated_at=lambda it: it.app.updated_at,
    )


async def create(request: web.Request) -> web.Response:
    """POST /apps and /teams/apps: one's own, or a team's when one is named."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, bodies.CreateApp)
    asked = None if body.team is None else in_body(request, body.team)
    owner = await context.db.read(lambda conn: owner_to_be(conn, caller.person, asked))
    app = await context.enactor.create_app(
        name=body.name,
        space=None if body.space is None else bodies.identity(body.space),
        owner=owner,
        by=caller.person,
        actor=caller.actor,
    )
    return answers.answer(request, await show(request, app), status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /apps and /users/~/apps."""
    check_oneself(request)
    by = request[CALLER].person
    return list_apps(request, await request.app[CONTEXT].db.read(lambda conn: show_apps(conn, seen_apps(conn, by))))


async def some(request: web.Request) -> web.Response:
    """POST /filters/apps: those of the ids that exist and that one sees."""
    wanted = set((await bodies.parse(request, bodies.FilterApps)).wanted.id)
    by = request[CALLER].person
    shown = await request.app[CONTEXT].db.read(
        lambda conn: show_apps(conn, [app for app in seen_apps(conn, by) if app.id in wanted])
    )
    return list_apps(request, shown)


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP."""
    return answers.answer(request, await show(request, await _found(request)))


async def change(request: web.Request) -> web.Response:
    """PATCH /apps/APP: name, which takes `manage`, maintenance mode and whether it is promotable (`operate`)."""
    body, asked = await bodies.parse(request, bodies.ChangeApp), app_in_path(request)
    needed = [Permission.MANAGE] if body.name is not None else []
    needed += [Permission.OPERATE] if body.maintenance is not None or body.promotable is not None else []

    def read(conn: Connection) -> App:
        for each in needed:
            find_app(conn, asked, each)
        return find_app(conn, asked)

    app = await request.app[CONTEXT].db.read(read)
    await request.app[CONTEXT].enactor.change_app(
        app_id=app.id,
        name=body.name,
        maintenance=body.maintenance,
        promotable=body.promotable,
        actor=request[CALLER].actor,
    )
    changed = await request.app[CONTEXT].db.read(lambda conn: find_app(conn, replace(asked, name=app.id)))
    return answers.answer(request, await show(request, changed))


async def destroy(request: web.Request) -> web.Response:
    """DELETE /apps/APP: ordered here, done by a worker; the app is `destroying` until all of it is gone."""
    app = await _found(request)
    shown = await show(request, app)
    await request.app[CONTEXT].enactor.destroy_app(app_id=app.id, actor=request[CALLER].actor)
    return answers.answer(request, shown | {"state": "destroying"})


ROUTES = [
    rights.post("/apps", create, rights.BODY),
    rights.post("/teams/apps", create, rights.BODY),
    rights.get("/apps", listing, rights.CALLER),
    rights.get("/users/{user}/apps", listing, rights.CALLER),
    rights.post("/filters/apps", some, rights.CALLER),
    rights.get("/apps/{app}", info, rights.app()),
    rights.patch("/apps/{app}", change, rights.app(Permission.OPERATE, Permission.MANAGE)),
    rights.delete("/apps/{app}", destroy, rights.app(Permission.MANAGE)),
]
