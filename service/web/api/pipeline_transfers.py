"""Giving a pipeline with its apps to another owner, or taking one that nobody owns."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, owner_of
from service.domain.model import Pipeline
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.api.finding import Asked, find_pipeline, find_team, find_user, in_body
from service.web.keys import CALLER, CONTEXT


def _shape(owner: Owner | None) -> shapes.Json | None:
    return None if owner is None else {"id": owner.id, "type": owner.type}


async def create(request: web.Request) -> web.Response:
    """POST /pipeline-transfers."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, account_bodies.TransferPipeline)
    asked = in_body(request, body.pipeline)
    wanted = Asked(by=caller.person, name=body.new_owner.id)

    def read(conn: Connection) -> tuple[Pipeline, Owner]:
        pipeline = find_pipeline(conn, asked)
        if body.new_owner.type == "team":
            return pipeline, Owner(type="team", id=find_team(conn, wanted).id)
        return pipeline, Owner(type="user", id=find_user(conn, wanted).id)

    pipeline, to = await context.db.read(read)
    await context.enactor.transfer_pipeline(pipeline_id=pipeline.id, to=to, by=caller.person, actor=caller.actor)
    shape = {"pipeline": {"id": pipeline.id}, "previous_owner": _shape(owner_of(pipeline)), "new_owner": _shape(to)}
    return answers.answer(request, shape, status=201)


ROUTES = [rights.post("/pipeline-transfers", create, rights.account(rights.BODY))]
