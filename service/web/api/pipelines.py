"""Pipelines: make, list, look at, rename, delete, and the config vars of their stages."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import FORKS, Pipeline, Stage
from service.store import activity, pipelines
from service.store.sight import seen_pipelines
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import find_pipeline, in_body, owner_to_be, pipeline_in_path
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT


async def found(request: web.Request) -> Pipeline:
    """Find the pipeline in the path."""
    identity = pipeline_in_path(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, identity))


async def create(request: web.Request) -> web.Response:
    """POST /pipelines."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, bodies.CreatePipeline)
    team = None
    if body.owner is not None and body.owner.type == "team":
        team = in_body(request, body.owner.id)
    elif body.owner is not None and body.owner.id != caller.user_id:
        raise Refused("owner: a pipeline is created for yourself or for a team of yours; transfer it afterwards")
    owner = await context.db.read(lambda conn: owner_to_be(conn, caller.person, team))
    made = await context.enactor.create_pipeline(name=body.name, owner=owner, actor=caller.actor)
    return answers.answer(request, shapes.pipeline(made), status=201)


async def listing(request: web.Request) -> web.Response:
    """GET /pipelines, and those of one name by `?eq[name]=NAME`."""
    name = request.query.get("eq[name]")
    by = request[CALLER].person
    listed = await request.app[CONTEXT].db.read(lambda conn: seen_pipelines(conn, by))
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
    body, pipeline = await bodies.parse(request, bodies.ChangePipeline), await found(request)
    renamed = await request.app[CONTEXT].enactor.rename_pipeline(
        pipeline_id=pipeline.id, name=body.name, actor=request[CALLER].actor
    )
    return answers.answer(request, shapes.pipeline(renamed))


async def delete(request: web.Request) -> web.Response:
    """DELETE /pipelines/PIPELINE: its apps live on, except review apps, which must be gone first."""
    caller, pipeline = request[CALLER], await found(request)
    await request.app[CONTEXT].enactor.delete_pipeline(pipeline_id=pipeline.id, by=caller.person, actor=caller.actor)
    return answers.answer(request, shapes.pipeline(pipeline))


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
    rights.post("/pipelines", create, rights.BODY),
    rights.get("/pipelines", listing, rights.CALLER),
    rights.get("/pipelines/{pipeline}", info, rights.pipeline()),
    rights.patch("/pipelines/{pipeline}", rename, rights.pipeline(Permission.MANAGE)),
    rights.delete("/pipelines/{pipeline}", delete, rights.pipeline(Permission.MANAGE)),
    rights.get("/pipelines/{pipeline}/stage/{stage}/config-vars", stage_config, rights.SECRETS_OF_PIPELINE),
    rights.patch("/pipelines/{pipeline}/stage/{stage}/config-vars", change_stage_config, rights.SECRETS_OF_PIPELINE),
    rights.get("/pipelines/{pipeline}/forks/config-vars", stage_config, rights.SECRETS_OF_PIPELINE),
    rights.patch("/pipelines/{pipeline}/forks/config-vars", change_stage_config, rights.SECRETS_OF_PIPELINE),
]
