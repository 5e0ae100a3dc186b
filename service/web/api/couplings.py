"""Couplings: which app is in which stage of which pipeline."""

from collections.abc import Mapping

from aiohttp import web
from sqlalchemy import Connection

from service.domain.model import Coupling
from service.store import pipelines
from service.web.api import answers, bodies, shapes
from service.web.api.account import check_oneself
from service.web.api.finding import app_in_path, find_app, find_coupling, find_pipeline
from service.web.api.loading import app_names, pipeline_names
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT

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
            find_app(conn, bodies.identity(body.app)),
            find_pipeline(conn, bodies.identity(body.pipeline)),
        )
    )
    made = await context.enactor.couple(
        app_id=app.id, pipeline_id=pipeline.id, stage=body.stage, actor=request[CALLER].actor
    )
    return await _answer(request, made, status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /pipeline-couplings and /users/~/pipeline-couplings."""
    check_oneself(request)
    listed, names = await request.app[CONTEXT].db.read(lambda conn: (pipelines.all_couplings(conn), _names(conn)))
    return _list(request, listed, names)


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/pipeline-couplings."""
    identity = request.match_info["pipeline"]
    listed, names = await request.app[CONTEXT].db.read(
        lambda conn: (pipelines.couplings(conn, find_pipeline(conn, identity).id), _names(conn))
    )
    return _list(request, listed, names)


async def of_app(request: web.Request) -> web.Response:
    """GET /apps/APP/pipeline-couplings: the one it is in."""
    identity = app_in_path(request)
    coupling = await request.app[CONTEXT].db.read(lambda conn: pipelines.coupling_of(conn, find_app(conn, identity).id))
    if coupling is None:
        raise not_found("pipeline coupling")
    return await _answer(request, coupling)


async def _found(request: web.Request) -> Coupling:
    coupling_id = request.match_info["coupling"]
    return await request.app[CONTEXT].db.read(lambda conn: find_coupling(conn, coupling_id))


async def info(request: web.Request) -> web.Response:
    """GET /pipeline-couplings/COUPLING."""
    return await _answer(request, await _found(request))


async def move(request: web.Request) -> web.Response:
    """PATCH /pipeline-couplings/COUPLING: to another stage."""
    body = await bodies.parse(request, bodies.Move)
    coupling = await _found(request)
    moved = await request.app[CONTEXT].enactor.move(
        coupling_id=coupling.id, stage=body.stage, actor=request[CALLER].actor
    )
    return await _answer(request, moved)


async def remove(request: web.Request) -> web.Response:
    """DELETE /pipeline-couplings/COUPLING: the app lives on."""
    coupling = await _found(request)
    await request.app[CONTEXT].enactor.uncouple(coupling_id=coupling.id, actor=request[CALLER].actor)
    return await _answer(request, coupling)


ROUTES = [
    web.post("/pipeline-couplings", create),
    web.get("/pipeline-couplings", listing),
    web.get("/users/{user}/pipeline-couplings", listing),
    web.get("/pipelines/{pipeline}/pipeline-couplings", of_pipeline),
    web.get("/apps/{app}/pipeline-couplings", of_app),
    web.get("/pipeline-couplings/{coupling}", info),
    web.patch("/pipeline-couplings/{coupling}", move),
    web.delete("/pipeline-couplings/{coupling}", remove),
]
