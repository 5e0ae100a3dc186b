"""A pipeline's review app settings: enabling, changing and disabling the feature."""

from dataclasses import asdict
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import Pipeline
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import Asked, find_pipeline, pipeline_in_path
from service.web.api.on_github import check_on_github
from service.web.api.repositories import look_up
from service.web.api.told import told
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT

# Heroku's names where they differ from ours.
_OURS: dict[str, str] = {"destroy_stale_apps": "destroy_stale"}
_THEIRS: dict[str, str] = {ours: theirs for theirs, ours in _OURS.items()}


def _shape(pipeline: Pipeline) -> shapes.Json:
    toggles = {_THEIRS.get(name, name): value for name, value in asdict(pipeline.toggles).items()}
    del toggles["review_apps"]
    return toggles | {
        "base_name": pipeline.toggles.base_name or None,
        "deploy_target": None,
        "pipeline_id": pipeline.id,
        "repo": {"id": pipeline.repository_id},
    }


def _enabled(conn: Connection, identity: Asked) -> Pipeline:
    pipeline = find_pipeline(conn, identity)
    if not pipeline.toggles.review_apps:
        raise not_found("review app config: review apps are not enabled")
    return pipeline


def _changes(body: bodies.ReviewAppConfig) -> dict[str, Any]:
    sent = body.model_dump(exclude_none=True, exclude={"repo", "pipeline", "deploy_target"})
    changes = {
        _OURS.get(name, name): tuple(value) if isinstance(value, list) else value for name, value in sent.items()
    }
    # `null` clears the base name; absent leaves it.
    if "base_name" in body.model_fields_set:
        changes["base_name"] = body.base_name or ""
    return changes


async def info(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/review-app-config."""
    identity = pipeline_in_path(request)
    return answers.answer(request, _shape(await request.app[CONTEXT].db.read(lambda conn: _enabled(conn, identity))))


async def enable(request: web.Request) -> web.Response:
    """POST /pipelines/PIPELINE/review-app-config; connects the repository when the pipeline has none yet."""
    context, identity, actor = request.app[CONTEXT], pipeline_in_path(request), request[CALLER].actor
    body = await bodies.parse(request, bodies.ReviewAppConfig)
    pipeline = await context.db.read(lambda conn: find_pipeline(conn, identity))
    if body.repo is not None:
        repository = await look_up(context, body.repo)
        if pipeline.repository_id is None:
            by = await check_on_github(context, request[CALLER].user, repository)
            await context.enactor.connect_repository(pipeline_id=pipeline.id, repository=repository, by=by, actor=actor)
        elif pipeline.repository_id != repository.id:
            raise Refused(f"repo: pipeline {pipeline.name} is connected to another repository")
    changed = await context.enactor.set_toggles(
        pipeline_id=pipeline.id, changes=_changes(body) | {"review_apps": True}, told=told(request), actor=actor
    )
    return answers.answer(request, _shape(changed), status=201)


async def change(request: web.Request) -> web.Response:
    """PATCH /pipelines/PIPELINE/review-app-config."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    body = await bodies.parse(request, bodies.ReviewAppConfig)
    pipeline = await context.db.read(lambda conn: _enabled(conn, identity))
    if changes := _changes(body):
        pipeline = await context.enactor.set_toggles(
            pipeline_id=pipeline.id, changes=changes, told=told(request), actor=request[CALLER].actor
        )
    return answers.answer(request, _shape(pipeline))


async def disable(request: web.Request) -> web.Response:
    """DELETE /pipelines/PIPELINE/review-app-config: the review apps there are are destroyed."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    pipeline = await context.db.read(lambda conn: _enabled(conn, identity))
    changed = await context.enactor.set_toggles(
        pipeline_id=pipeline.id, changes={"review_apps": False}, told=told(request), actor=request[CALLER].actor
    )
    return answers.answer(request, _shape(changed))


ROUTES = [
    rights.post("/pipelines/{pipeline}/review-app-config", enable, rights.pipeline(Permission.MANAGE)),
    rights.get("/pipelines/{pipeline}/review-app-config", info, rights.pipeline()),
    rights.patch("/pipelines/{pipeline}/review-app-config", change, rights.pipeline(Permission.MANAGE)),
    rights.delete("/pipelines/{pipeline}/review-app-config", disable, rights.pipeline(Permission.MANAGE)),
]
