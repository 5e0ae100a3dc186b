"""Which config vars builds see, by pipeline, or by app where it is in none. Towpath's own."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.model import Pipeline
from service.store import build_configs, pipelines
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import app_in_path, find_app, find_pipeline, pipeline_in_path
from service.web.keys import CALLER, CONTEXT


def _shape(names: tuple[str, ...], pipeline: Pipeline | None) -> shapes.Json:
    return {"names": list(names), "pipeline": {"id": pipeline.id, "name": pipeline.name} if pipeline else None}


async def of_app(request: web.Request) -> web.Response:
    """GET /apps/APP/build-config; `pipeline` says whose names they are, null when they are the app's own."""
    identity = app_in_path(request)

    def read(conn: Connection) -> shapes.Json:
        app = find_app(conn, identity)
        return _shape(build_configs.of_app(conn, app.id), pipelines.of_app(conn, app.id))

    return answers.answer(request, await request.app[CONTEXT].db.read(read))


async def change_of_app(request: web.Request) -> web.Response:
    """PUT /apps/APP/build-config: these names instead of all former ones."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    names = (await bodies.parse(request, bodies.BuildConfig)).names
    app = await context.db.read(lambda conn: find_app(conn, identity))
    changed = await context.enactor.set_app_build_config(app_id=app.id, names=names, actor=request[CALLER].actor)
    return answers.answer(request, _shape(changed, None))


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/build-config."""
    identity = pipeline_in_path(request)

    def read(conn: Connection) -> shapes.Json:
        pipeline = find_pipeline(conn, identity)
        return _shape(build_configs.of_pipeline(conn, pipeline.id), pipeline)

    return answers.answer(request, await request.app[CONTEXT].db.read(read))


async def change_of_pipeline(request: web.Request) -> web.Response:
    """PUT /pipelines/PIPELINE/build-config: these names instead of all former ones."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    names = (await bodies.parse(request, bodies.BuildConfig)).names
    pipeline = await context.db.read(lambda conn: find_pipeline(conn, identity))
    changed = await context.enactor.set_pipeline_build_config(
        pipeline_id=pipeline.id, names=names, actor=request[CALLER].actor
    )
    return answers.answer(request, _shape(changed, pipeline))


ROUTES = [
    rights.get("/apps/{app}/build-config", of_app, rights.app()),
    rights.put("/apps/{app}/build-config", change_of_app, rights.app(Permission.DEPLOY)),
    rights.get("/pipelines/{pipeline}/build-config", of_pipeline, rights.pipeline()),
    rights.put("/pipelines/{pipeline}/build-config", change_of_pipeline, rights.pipeline(Permission.MANAGE)),
]
