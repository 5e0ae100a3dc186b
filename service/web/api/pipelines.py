"""Pipelines: make, list, look at, rename, delete, and the config vars of their stages."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Refused
from service.domain.model import FORKS, Pipeline, Stage
from service.store import activity, pipelines, subjects
from service.web.api import answers, bodies, shapes
from service.web.api.finding import find_pipeline
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT


async def found(request: web.Request) -> Pipeline:
    """Find the pipeline in the path."""
    identity = request.match_info["pipeline"]
    return await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, identity))


async def create(request: web.Request) -> web.Response:
    """POST /pipelines."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, bodies.CreatePipeline)
    if body.owner is not None and (body.owner.type, body.owner.id) != ("user", caller.user_id):
        raise Refused("owner: a pipeline is created for yourself; transfer it afterwards")
    made = await context.enactor.create_pipeline(name=body.name, user_id=caller.user_id, actor=caller.actor)
    return answers.answer(request, shapes.pipeline(made), status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /pipelines, and those of one name by `?eq[name]=NAME`."""
    name = request.query.get("eq[name]")
    listed = await request.app[CONTEXT].db.read(pipelines.listing)
    wanted = [each for each in listed if name is None or each.name == name]
    return answers.answer_list(
        request,
        wanted,
        shapes.pipeline,
        name=lambda it: it.name,
        id=lambda it: it.id,
        created_at=lambda it: it.created_at,
    )


async def info(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE."""
    return answers.answer(request, shapes.pipeline(await found(request)))


async def rename(request: web.Request) -> web.Response:
    """PATCH /pipelines/PIPELINE: its name. Names need not be unique."""
    db, actor = request.app[CONTEXT].db, request[CALLER].actor
    body = await bodies.parse(request, bodies.ChangePipeline)
    identity, now = request.match_info["pipeline"], db.now()

    def write(conn: Connection) -> Pipeline:
        pipeline = find_pipeline(conn, identity)
        renamed = pipelines.update(conn, pipeline=pipeline, now=now, name=body.name)
        activity.record(
            conn,
            now=now,
            actor=actor,
            action="pipeline renamed",
            pipeline_id=pipeline.id,
            data={"from": pipeline.name, "to": body.name},
        )
        return renamed

    return answers.answer(request, shapes.pipeline(await db.write(write)))


async def delete(request: web.Request) -> web.Response:
    """DELETE /pipelines/PIPELINE: its apps live on, except review apps, which must be gone first."""
    db, actor = request.app[CONTEXT].db, request[CALLER].actor
    identity, now = request.match_info["pipeline"], db.now()

    def write(conn: Connection) -> Pipeline:
        pipeline = find_pipeline(conn, identity)
        activity.record(
            conn,
            now=now,
            actor=actor,
            action="pipeline deleted",
            pipeline_id=pipeline.id,
            data={"name": pipeline.name},
        )
        # What waits for a lock of the pipeline waits for nothing any more.
        members = [Subject(SubjectKind.AUTO_DEPLOY, app.id) for app, _ in pipelines.members(conn, pipeline.id)]
        pipelines.delete(conn, pipeline.id)
        subjects.ring(conn, members, cause="pipeline deleted", now=now)
        return pipeline

    return answers.answer(request, shapes.pipeline(await db.write(write)))


def _stage(request: web.Request) -> Stage | str:
    if "stage" not in request.match_info:
        return FORKS
    try:
        return Stage(request.match_info["stage"])
    except ValueError:
        raise not_found("stage") from None


async def stage_config(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/stage/STAGE/config-vars and /forks/config-vars: what every new app of it gets."""
    context, stage, pipeline = request.app[CONTEXT], _stage(request), await found(request)
    variables = await context.db.read(
        lambda conn: pipelines.stage_config(conn, context.vault, pipeline.id, stage),
    )
    return answers.answer(request, variables)


async def change_stage_config(request: web.Request) -> web.Response:
    """PATCH /pipelines/PIPELINE/stage/STAGE/config-vars and /forks/config-vars: texts set, nulls unset."""
    context, actor, stage, pipeline = request.app[CONTEXT], request[CALLER].actor, _stage(request), await found(request)
    changes = (await bodies.parse(request, bodies.ConfigVars)).root
    now = context.db.now()

    def write(conn: Connection) -> dict[str, str]:
        before = pipelines.stage_config(conn, context.vault, pipeline.id, stage)
        merged = before | changes
        after = {name: value for name, value in merged.items() if value is not None}
        pipelines.set_stage_config(conn, context.vault, pipeline_id=pipeline.id, stage=stage, variables=after, now=now)
        activity.record(
            conn,
            now=now,
            actor=actor,
            action="stage config changed",
            pipeline_id=pipeline.id,
            data={"stage": str(stage), "names": sorted(changes)},
        )
        return after

    return answers.answer(request, await context.db.write(write))


ROUTES = [
    web.post("/pipelines", create),
    web.get("/pipelines", listing),
    web.get("/pipelines/{pipeline}", info),
    web.patch("/pipelines/{pipeline}", rename),
    web.delete("/pipelines/{pipeline}", delete),
    web.get("/pipelines/{pipeline}/stage/{stage}/config-vars", stage_config),
    web.patch("/pipelines/{pipeline}/stage/{stage}/config-vars", change_stage_config),
    web.get("/pipelines/{pipeline}/forks/config-vars", stage_config),
    web.patch("/pipelines/{pipeline}/forks/config-vars", change_stage_config),
]
