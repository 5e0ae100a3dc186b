"""Formation and dynos: how many of each process type are wanted, and what runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection, select

from service.domain.access import Permission
from service.domain.model import App, QueuedRequest, Release
from service.domain.one_offs import OneOff
from service.store import one_offs, releases, routes
from service.store.tables import apps
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import Asked, app_in_path, find_app
from service.web.api.loading import process_types
from service.web.api.one_offs import shown as show_one_off
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, WebContext


def _found(conn: Connection, identity: Asked) -> tuple[App, Mapping[str, str]]:
    app = find_app(conn, identity)
    return app, process_types(conn, app)


async def _formation(request: web.Request) -> tuple[App, Mapping[str, str]]:
    identity = app_in_path(request)
    return await request.app[CONTEXT].db.read(lambda conn: _found(conn, identity))


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/formation."""
    app, types = await _formation(request)
    return answers.answer_list(
        request,
        sorted(types.items()),
        lambda item: shapes.formation(app, *item),
        type=lambda item: item[0],
        id=lambda item: shapes.constant_id(f"formation:{app.id}:{item[0]}"),
    )


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/formation/TYPE: by its name or id."""
    app, types = await _formation(request)
    wanted = request.match_info["type"]
    for each, command in types.items():
        shown = shapes.formation(app, each, command)
        if wanted in {each, shown["id"]}:
            return answers.answer(request, shown)
    raise not_found("process type")


def _quantity(app: App, process_type: str, asked: bodies.Quantity) -> int:
    """The quantity that is meant; one with a sign is added to that of now."""
    is_change = isinstance(asked, str) and asked[0] in "+-"
    return int(asked) + (shapes.quantity(app.formation, process_type) if is_change else 0)


async def _scale(request: web.Request, asked: Mapping[str, bodies.Quantity]) -> tuple[list[shapes.Json], str]:
    app, types = await _formation(request)
    quantities = {each: _quantity(app, each, quantity) for each, quantity in asked.items()}
    queued = await request.app[CONTEXT].enactor.scale(app_id=app.id, formation=quantities, actor=request[CALLER].actor)
    shown = [shapes.formation(app, each, types[each]) | {"quantity": quantities[each]} for each in sorted(quantities)]
    return shown, queued.id


async def change(request: web.Request) -> web.Response:
    """PATCH /apps/APP/formation: answers with what was asked for."""
    body = await bodies.parse(request, bodies.ChangeFormation)
    shown, queued = await _scale(request, {each.type: each.quantity for each in body.updates})
    return answers.answer(request, shown, headers={"Towpath-Request": queued})


async def change_one(request: web.Request) -> web.Response:
    """PATCH /apps/APP/formation/TYPE."""
    body = await bodies.parse(request, bodies.ChangeQuantity)
    shown, queued = await _scale(request, {request.match_info["type"]: body.quantity})
    return answers.answer(request, shown[0], headers={"Towpath-Request": queued})


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What is known here of what runs; the engine itself is seen only by the worker."""

    app: App
    types: Mapping[str, str]
    release: Release | None
    engine: str
    serving: int
    one_offs: list[OneOff]


def running_now(conn: Connection, identity: Asked) -> Running:
    """What runs of an app."""
    app, types = _found(conn, identity)
    route = routes.of_app(conn, app.id)
    return Running(
        app=app,
        types=types,
        release=releases.get(conn, app.current_release_id) if app.current_release_id else None,
        engine=conn.execute(select(apps.c.engine_state).where(apps.c.id == app.id)).scalar_one(),
        serving=len(route.endpoints) if route is not None else 0,
        one_offs=one_offs.open_of(conn, app.id),
    )


def _state(running: Running, process_type: str, number: int) -> str:
    """A dyno's state as last seen; a `web` beyond those that take traffic is still on its way."""
    if running.app.state.value in {"suspended", "destroying"}:
        return "down"
    if running.engine in {"crashed", "starting"}:
        return running.engine
    return "starting" if process_type == "web" and number > running.serving else "up"


def dynos_of(running: Running) -> list[shapes.Json]:
    """The dynos of the formation, as they are shown."""
    release = running.release
    if release is None:
        return []
    return [
        {
            "app": {"id": running.app.id, "name": running.app.name},
            "attach_url": None,
            "command": command,
            "created_at": shapes.moment(release.created_at),
            "exit_code": None,
            "id": shapes.constant_id(f"dyno:{release.id}:{process_type}.{number}"),
            "name": f"{process_type}.{number}",
            "reason": None,
            "release": {"id": release.id, "version": release.version},
            "size": "standard",
            "state": _state(running, process_type, number),
            "type": process_type,
            "updated_at": shapes.moment(running.app.released_at or release.updated_at),
        }
        for process_type, command in sorted(running.types.items())
        if process_type != "release"
        for number in range(1, shapes.quantity(running.app.formation, process_type) + 1)
    ]


async def dyno(request: web.Request) -> web.Response:
    """GET /apps/APP/dynos/DYNO: by its name or id; of a one-off also when it has ended, and how."""
    identity, wanted = app_in_path(request), request.match_info["dyno"]

    def read(conn: Connection) -> shapes.Json | None:
        running = running_now(conn, identity)
        one_off = one_offs.find(conn, running.app.id, wanted)
        if one_off is not None:
            return show_one_off(running.app, one_off)
        return next((each for each in dynos_of(running) if wanted in {each["name"], each["id"]}), None)

    found = await request.app[CONTEXT].db.read(read)
    if found is None:
        raise not_found("dyno")
    return answers.answer(request, found)


async def dynos(request: web.Request) -> web.Response:
    """GET /apps/APP/dynos: of the formation, then the one-offs that run."""
    identity = app_in_path(request)
    running = await request.app[CONTEXT].db.read(lambda conn: running_now(conn, identity))
    listed = [*dynos_of(running), *(show_one_off(running.app, each) for each in running.one_offs)]
    return answers.answer_list(request, listed, lambda it: it, name=lambda it: it["name"], id=lambda it: it["id"])


async def restart(request: web.Request) -> web.Response:
    """DELETE /apps/APP/dynos, of one type, or of one: all are started anew without a gap; some while the others serve.

    To stop one is the same: it would be started again at once, as on Heroku. A one-off is stopped by either.
    """
    identity, context = app_in_path(request), request.app[CONTEXT]
    running = await context.db.read(lambda conn: running_now(conn, identity))
    wanted, process_type = request.match_info.get("dyno"), request.match_info.get("type")
    if process_type is not None and process_type not in running.types:
        raise not_found("process type")
    queued = await restart_of(context, running, wanted, actor=request[CALLER].actor, process_type=process_type or "")
    headers = {} if queued is None else {"Towpath-Request": queued.id}
    return answers.answer(request, {}, status=202, headers=headers)


async def restart_of(
    context: WebContext, running: Running, wanted: str | None, *, actor: str, process_type: str = ""
) -> QueuedRequest | None:
    """Start dynos anew: all of an app, those of a type, or the one `wanted`; a one-off is stopped, which gives None."""
    for each in running.one_offs:
        if wanted in {each.name, each.id}:
            await context.enactor.stop_one_off(app_id=running.app.id, one_off_id=each.id, actor=actor)
            return None
    named = [each["name"] for each in dynos_of(running) if wanted in {each["name"], each["id"]}]
    if wanted is not None and not named:
        raise not_found("dyno")
    alone = named[0] if named else process_type
    return await context.enactor.restart(app_id=running.app.id, process=alone, actor=actor)


ROUTES = [
    rights.get("/apps/{app}/formation", listing, rights.app()),
    rights.patch("/apps/{app}/formation", change, rights.app(Permission.OPERATE)),
    rights.get("/apps/{app}/formation/{type}", info, rights.app()),
    rights.patch("/apps/{app}/formation/{type}", change_one, rights.app(Permission.OPERATE)),
    rights.get("/apps/{app}/dynos", dynos, rights.app()),
    rights.delete("/apps/{app}/dynos", restart, rights.app(Permission.OPERATE)),
    rights.get("/apps/{app}/dynos/{dyno}", dyno, rights.app()),
    rights.delete("/apps/{app}/dynos/{dyno}", restart, rights.app(Permission.OPERATE)),
    rights.post("/apps/{app}/dynos/{dyno}/actions/stop", restart, rights.app(Permission.OPERATE)),
    rights.delete("/apps/{app}/formations/{type}", restart, rights.app(Permission.OPERATE)),
    rights.post("/apps/{app}/formations/{type}/actions/stop", restart, rights.app(Permission.OPERATE)),
]
