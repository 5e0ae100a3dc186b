"""A pipeline's settings, all of them by name: what they are, what they mean, and changing them."""

from typing import Any

from aiohttp import web

from service.domain import toggles
from service.domain.access import Permission
from service.domain.model import Pipeline
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import find_pipeline, pipeline_in_path
from service.web.api.told import TAKEN, told
from service.web.keys import CALLER, CONTEXT


def _shape(pipeline: Pipeline) -> shapes.Json:
    values: dict[str, Any] = {toggles.ROOT: pipeline.root_directory} | toggles.to_json(pipeline.toggles)
    meaning = {toggles.ROOT: toggles.ROOT_DESCRIPTION} | dict(toggles.DESCRIPTIONS)
    return {
        "pipeline": {"id": pipeline.id, "name": pipeline.name},
        "settings": [{"name": name, "value": value, "description": meaning[name]} for name, value in values.items()],
        "updated_at": shapes.moment(pipeline.updated_at),
    }


async def info(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/settings."""
    identity = pipeline_in_path(request)
    found = await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, identity))
    return answers.answer(request, _shape(found), headers=TAKEN)


async def change(request: web.Request) -> web.Response:
    """PATCH /pipelines/PIPELINE/settings: `{NAME: VALUE}`; the others stay. All of it or, with one mistake, nothing."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    body = await bodies.parse(request, bodies.PipelineSettings)
    pipeline = await context.db.read(lambda conn: find_pipeline(conn, identity))
    if body.root:
        pipeline = await context.enactor.set_toggles(
            pipeline_id=pipeline.id, changes=body.root, told=told(request), actor=request[CALLER].actor
        )
    return answers.answer(request, _shape(pipeline))


ROUTES = [
    rights.get("/pipelines/{pipeline}/settings", info, rights.pipeline()),
    rights.patch("/pipelines/{pipeline}/settings", change, rights.pipeline(Permission.MANAGE)),
]
