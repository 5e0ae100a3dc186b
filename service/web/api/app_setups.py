"""App setups: an app made, put into a pipeline, given config and deployed, by one call.

A setup goes by the id of the deploy that it ends with: what became of it is what became of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from service.domain.access import Act, Owner, Permission, Person, for_new_code, on_app, owner_of, token_may
from service.domain.errors import Refused
from service.domain.model import Pipeline, QueuedRequest, Repository, RequestState, Stage
from service.store import deploy_locks, repositories
from service.store.tables import apps, requests
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.builds import Commit, commit_of, shown_build
from service.web.api.finding import Asked, check_may, find_pipeline, find_request_app, in_body, in_path
from service.web.api.on_github import check_on_github
from service.web.api.setup_bodies import CreateAppSetup
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, Caller, Visitor, WebContext


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """An app that is to be made in a stage of a pipeline; without a name or a space it gets one."""

    name: str | None
    owner: Owner
    stage: Stage
    space: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


_STATUS = {RequestState.QUEUED: "pending", RequestState.RUNNING: "pending", RequestState.SUCCEEDED: "succeeded"}


def _source(conn: Connection, asked: Asked, now: datetime) -> tuple[Pipeline, Repository]:
    pipeline = find_pipeline(conn, asked, Permission.MANAGE)
    lock = deploy_locks.of_target(conn, app_id=None, pipeline_id=pipeline.id)
    if lock is not None and lock.is_in_force(now):
        raise Refused(lock.text)
    repository = repositories.get(conn, pipeline.repository_id) if pipeline.repository_id is not None else None
    if repository is None:
        raise Refused(
            f"pipeline_coupling: pipeline {pipeline.name} has no repository to build from; connect it first: "
            f"towpath pipelines:connect {pipeline.name} -r ORG/REPO"
        )
    return pipeline, repository


def _owner(caller: Caller, pipeline: Pipeline) -> Owner:
    """Whose the app is to be: the pipeline's team's, of which whoever may manage it is more than a guest."""
    owner = owner_of(pipeline)
    return owner if owner is not None and owner.type == "team" else Owner(type="user", id=caller.user_id)


async def create(request: web.Request) -> web.Response:
    """POST /app-setups: everything that can be refused is looked at before the app is made."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, CreateAppSetup)
    if body.pipeline_coupling is None:
        raise Refused("pipeline_coupling: is required: an app is built from the repository of its pipeline.")
    if body.overrides.buildpacks:
        raise Refused("overrides.buildpacks: name them in the repository, as `buildpacks` in app.json.")
    wanted, env = body.pipeline_coupling, body.overrides.env
    named, now = in_body(request, wanted.pipeline), context.db.now()
    pipeline, repository = await context.db.read(lambda conn: _source(conn, named, now))
    if env and not token_may(caller.token.scopes, Act.WRITE_PROTECTED):
        raise Refused("overrides.env: this token does not reach config vars.", code="forbidden")
    owner = _owner(caller, pipeline)
    check_set_up(caller.person, owner, wanted.stage)
    await check_on_github(context, caller.user, repository)
    commit = await commit_of(context, repository, body.source_blob)
    space = None if body.app.space is None else bodies.identity(body.app.space)
    new = NewApp(name=body.app.name, space=space, owner=owner, stage=wanted.stage, env=env)
    queued = await set_up(context, caller, new, pipeline=pipeline, repository=repository, commit=commit)
    return await _answer(request, context, queued.id, status=202)


def check_set_up(by: Person, owner: Owner, stage: Stage) -> None:
    """Refuse whoever could not bring code to the app that they want to make."""
    for needed in for_new_code(stage):
        check_may(on_app(by, owner, ""), needed)


async def set_up(
    context: WebContext,
    by: Caller | Visitor,
    new: NewApp,
    *,
    pipeline: Pipeline,
    repository: Repository,
    commit: Commit,
) -> QueuedRequest:
    """Make an app, put it into a pipeline and deploy a commit to it."""
    enactor = context.enactor
    app = await enactor.create_app(name=new.name, space=new.space, owner=new.owner, by=by.person, actor=by.actor)
    try:
        await enactor.couple(app_id=app.id, pipeline_id=pipeline.id, stage=new.stage, actor=by.actor)
        if new.env:
            await enactor.change_config(app_id=app.id, changes=new.env, actor=by.actor)
        return await enactor.deploy(
            app_id=app.id, repository_id=repository.id, sha=commit.sha, branch=commit.branch, actor=by.actor
        )
    except Refused:  # as by a lock that came meanwhile: nothing half done stays
        await enactor.destroy_app(app_id=app.id, actor=by.actor)
        raise


async def info(request: web.Request) -> web.Response:
    """GET /app-setups/SETUP."""
    asked = in_path(request, "setup")
    await request.app[CONTEXT].db.read(lambda conn: find_request_app(conn, asked))
    return await _answer(request, request.app[CONTEXT], asked.name)


async def _answer(request: web.Request, context: WebContext, setup_id: str, *, status: int = 200) -> web.Response:
    def read(conn: Connection) -> tuple[Any, shapes.Json]:
        query = select(apps.c.name, requests).join(requests, requests.c.app_id == apps.c.id)
        row = conn.execute(query.where(requests.c.id == setup_id)).first()
        build = shown_build(conn, setup_id, context)
        if row is None or build is None:
            raise not_found("app setup")
        return row, build

    row, build = await context.db.read(read)
    state = _STATUS.get(RequestState(row.state), "failed")
    shape = {
        "app": {"id": row.app_id, "name": row.name},
        "build": {each: build[each] for each in ("id", "status", "output_stream_url")},
        "created_at": shapes.moment(row.created_at),
        "failure_message": (build["error"] or row.outcome or None) if state == "failed" else None,
        "id": row.id,
        "manifest_errors": [],
        "postdeploy": None,
        "resolved_success_url": None,
        "status": state,
        "updated_at": shapes.moment(row.updated_at),
    }
    return answers.answer(request, shape, status=status)


ROUTES = [rights.post("/app-setups", create, rights.BODY), rights.get("/app-setups/{setup}", info, rights.app())]
