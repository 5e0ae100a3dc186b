"""Couplings: which app is in which stage of which pipeline."""

from collections.abc import Mapping

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, Permission, Person, check_production, owner_of
from service.domain.model import Coupling, Stage
from service.store import apps, pipelines
from service.store.sight import seen_apps, seen_couplings, to_app
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.account import check_oneself
from service.web.api.finding import (
    app_in_path,
    find_app,
    find_coupling,
    find_pipeline,
    find_team,
    in_body,
    in_path,
    pipeline_in_path,
)
from service.web.api.loading import app_names, pipeline_names
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, WebContext

Names = tuple[Mapping[str, str], Mapping[str, str]]


def _shape(coupling: Coupling, names: Names) -> shapes.Json:
    of_apps, of_pipelines = names
    return shapes.coupling(
        coupling, app_name=of_apps[coupling.app_id], pipeline_name=of_pipelines[coupling.pipeline_id]
    )


def _names(conn: Connection) -> Names:
    return app_names(conn), pipeline_names(conn)


async def _answer(request: web.Request, coupling: Coupling, *, status: int = 200) -> web.Response:
    names = await request.app[CONTEXT].db.read(_names)
    return answers.answer(request, _shape(coupling, names), status=status)


def _list(request: web.Request, listed: list[Coupling], names: Names) -> web.Response:
    return answers.answer_list(
        request, listed, lambda it: _shape(it, names), id=lambda it: it.id, created_at=lambda it: it.created_at
    )


async def create(request: web.Request) -> web.Response:
    """POST /pipeline-couplings; an app that is in a pipeline already is refused, naming it."""
    context = request.app[CONTEXT]
    body = await bodies.parse(request, bodies.Couple)
    app, pipeline = await context.db.read(
        lambda conn: (
            find_app(conn, in_body(request, body.app), Permission.MANAGE),
            find_pipeline(conn, in_body(request, body.pipeline), Permission.MANAGE),
        )
    )
    made = await context.enactor.couple(
        app_id=app.id, pipeline_id=pipeline.id, stage=body.stage, actor=request[CALLER].actor
    )
    return await _answer(request, made, status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /pipeline-couplings and /users/~/pipeline-couplings."""
    check_oneself(request)
    by = request[CALLER].person
    listed, names = await request.app[CONTEXT].db.read(lambda conn: (seen_couplings(conn, by), _names(conn)))
    return _list(request, listed, names)


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/pipeline-couplings."""
    identity = pipeline_in_path(request)
    listed, names = await request.app[CONTEXT].db.read(
        lambda conn: (pipelines.couplings(conn, find_pipeline(conn, identity).id), _names(conn))
    )
    return _list(request, listed, names)


async def of_team(request: web.Request) -> web.Response:
    """GET /teams/TEAM/pipeline-couplings: those of the team's apps, of the ones that one sees."""
    asked = in_path(request, "team")

    def read(conn: Connection) -> list[Coupling]:
        owner = Owner(type="team", id=find_team(conn, asked).id)
        owned = {app.id for app in seen_apps(conn, asked.by) if owner_of(app) == owner}
        return [it for it in seen_couplings(conn, asked.by) if it.app_id in owned]

    listed, names = await request.app[CONTEXT].db.read(lambda conn: (read(conn), _names(conn)))
    return _list(request, listed, names)


async def of_app(request: web.Request) -> web.Response:
    """GET /apps/APP/pipeline-couplings: the one it is in."""
    identity = app_in_path(request)
    coupling = await request.app[CONTEXT].db.read(lambda conn: pipelines.coupling_of(conn, find_app(conn, identity).id))
    if coupling is None:
        raise not_found("pipeline coupling")
    return await _answer(request, coupling)


async def _found(request: web.Request) -> Coupling:
    asked = in_path(request, "coupling")
    return await request.app[CONTEXT].db.read(lambda conn: find_coupling(conn, asked))


async def info(request: web.Request) -> web.Response:
    """GET /pipeline-couplings/COUPLING."""
    return await _answer(request, await _found(request))


async def check_move(context: WebContext, by: Person, coupling: Coupling, *, to: Stage | None = None) -> None:
    """Refuse to take an app to or from production to whoever may not do that to the app itself."""
    if Stage.PRODUCTION in {coupling.stage, to} and coupling.stage is not to:

        def check(conn: Connection) -> None:
            app = apps.get(conn, coupling.app_id)
            if app is not None:
                check_production(to_app(by, app), app.name)

        await context.db.read(check)


async def move(request: web.Request) -> web.Response:
    """PATCH /pipeline-couplings/COUPLING: to another stage."""
    body = await bodies.parse(request, bodies.Move)
    coupling = await _found(request)
    await check_move(request.app[CONTEXT], request[CALLER].person, coupling, to=body.stage)
    moved = await request.app[CONTEXT].enactor.move(
        coupling_id=coupling.id, stage=body.stage, actor=request[CALLER].actor
    )
    return await _answer(request, moved)


async def remove(request: web.Request) -> web.Response:
    """DELETE /pipeline-couplings/COUPLING: the app lives on."""
    coupling = await _found(request)
    await check_move(request.app[CONTEXT], request[CALLER].person, coupling)
    await request.app[CONTEXT].enactor.uncouple(coupling_id=coupling.id, actor=request[CALLER].actor)
    return await _answer(request, coupling)


ROUTES = [
    rights.post("/pipeline-couplings", create, rights.BODY),
    rights.get("/pipeline-couplings", listing, rights.CALLER),
    rights.get("/users/{user}/pipeline-couplings", listing, rights.CALLER),
    rights.get("/pipelines/{pipeline}/pipeline-couplings", of_pipeline, rights.pipeline()),
    rights.get("/apps/{app}/pipeline-couplings", of_app, rights.app()),
    rights.get("/teams/{team}/pipeline-couplings", of_team, rights.team()),
    rights.get("/pipeline-couplings/{coupling}", info, rights.pipeline()),
    rights.patch("/pipeline-couplings/{coupling}", move, rights.pipeline(Permission.MANAGE)),
    rights.delete("/pipeline-couplings/{coupling}", remove, rights.pipeline(Permission.MANAGE)),
]
