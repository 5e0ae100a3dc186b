"""Apps: make, list, look at, change, destroy."""

from aiohttp import web

from service.domain.model import App
from service.store import apps
from service.web.api import answers, bodies, shapes
from service.web.api.account import check_oneself
from service.web.api.finding import app_in_path, find_app
from service.web.api.loading import show_app, show_apps
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT


async def _found(request: web.Request) -> App:
    identity = app_in_path(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_app(conn, identity))


async def _shown(request: web.Request, app: App) -> shapes.Json:
    context = request.app[CONTEXT]
    return shapes.app(await context.db.read(lambda conn: show_app(conn, app)), context.settings)


def _list(request: web.Request, shown: list[shapes.AppShown]) -> web.Response:
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
    """POST /apps."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, bodies.CreateApp)
    app = await context.enactor.create_app(
        name=body.name,
        space=None if body.space is None else bodies.identity(body.space),
        user_id=caller.user_id,
        actor=caller.actor,
    )
    return answers.answer(request, await _shown(request, app), status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /apps and /users/~/apps."""
    check_oneself(request)
    return _list(request, await request.app[CONTEXT].db.read(lambda conn: show_apps(conn, apps.listing(conn))))


async def some(request: web.Request) -> web.Response:
    """POST /filters/apps: those of the ids that exist."""
    wanted = set((await bodies.parse(request, bodies.FilterApps)).wanted.id)
    shown = await request.app[CONTEXT].db.read(
        lambda conn: show_apps(conn, [app for app in apps.listing(conn) if app.id in wanted])
    )
    return _list(request, shown)


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP."""
    return answers.answer(request, await _shown(request, await _found(request)))


async def change(request: web.Request) -> web.Response:
    """PATCH /apps/APP: name and maintenance mode."""
    body = await bodies.parse(request, bodies.ChangeApp)
    app = await _found(request)
    await request.app[CONTEXT].enactor.change_app(
        app_id=app.id, name=body.name, maintenance=body.maintenance, actor=request[CALLER].actor
    )
    changed = await request.app[CONTEXT].db.read(lambda conn: find_app(conn, app.id))
    return answers.answer(request, await _shown(request, changed))


async def destroy(request: web.Request) -> web.Response:
    """DELETE /apps/APP: ordered here, done by a worker; the app is `destroying` until all of it is gone."""
    app = await _found(request)
    shown = await _shown(request, app)
    await request.app[CONTEXT].enactor.destroy_app(app_id=app.id, actor=request[CALLER].actor)
    return answers.answer(request, shown | {"state": "destroying"})


async def collaborators(request: web.Request) -> web.Response:
    """GET /apps/APP/collaborators: its owner."""
    shown = await _shown(request, await _found(request))
    shape = {
        "app": {"id": shown["id"], "name": shown["name"]},
        "created_at": shown["created_at"],
        "id": shapes.constant_id(f"owner:{shown['id']}"),
        "permissions": [],
        "role": "owner",
        "updated_at": shown["created_at"],
        "user": {**shown["owner"], "federated": False},
    }
    return answers.answer(request, [shape])


async def no_team(_request: web.Request) -> web.Response:
    """GET /teams/TEAM/...: there are no teams."""
    raise not_found("team")


ROUTES = [
    web.post("/apps", create),
    web.get("/apps", listing),
    web.get("/users/{user}/apps", listing),
    web.post("/filters/apps", some),
    web.get("/apps/{app}", info),
    web.patch("/apps/{app}", change),
    web.delete("/apps/{app}", destroy),
    web.get("/apps/{app}/collaborators", collaborators),
    web.get("/teams/{team}", no_team),
]
