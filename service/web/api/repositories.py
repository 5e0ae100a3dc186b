"""Repositories: what a pipeline builds from, and what of it an app deploys by itself.

The paths are those of Heroku's GitHub service, because its clients know them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission, right_lost
from service.domain.ci_gate import OUR_PREFIX
from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import App, Pipeline, Repository
from service.store import facts, pipelines, repositories, subjects
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import Asked, app_in_path, find_app, find_app_for_code, find_pipeline, pipeline_in_path
from service.web.api.github_bodies import ChangeGitHub, PullRequests
from service.web.api.on_github import check_on_github
from service.web.api.told import told
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, Caller, Visitor, WebContext

Connected = tuple[Pipeline, Repository]
_LONGEST: Final = 255
_DIGITS: Final = 18
"""No number with more of them is in the database, nor fits into it."""


def _connected(conn: Connection, identity: Asked) -> Connected:
    pipeline = find_pipeline(conn, identity)
    repository = repositories.get(conn, pipeline.repository_id) if pipeline.repository_id is not None else None
    if repository is None:
        raise not_found("repository: the pipeline is not connected to one")
    return pipeline, repository


def problem_of(conn: Connection, repository: Repository) -> str:
    """What GitHub answered at the last audit instead of showing the repository; empty when it showed it."""
    known = facts.load(conn, FactKey(FactKind.REPOSITORY, repository.id, ""))
    return known.error if known is not None else ""


def _shape(pipeline: Pipeline, repository: Repository, problem: str = "") -> shapes.Json:
    return {
        "id": shapes.constant_id(f"repository:{pipeline.id}"),
        "pipeline": {"id": pipeline.id, "name": pipeline.name},
        "check": f"{OUR_PREFIX}{pipeline.check_name}",
        "repository": {
            "id": repository.id,
            "name": repository.full_name,
            "type": "github",
            "default_branch": repository.default_branch,
            "accessible": repository.accessible,
            "archived": repository.archived,
            "problem": problem or None,
        },
        "full_name": repository.full_name,
        "organization": None,
        "ci": False,
        "review_apps": pipeline.toggles.review_apps,
        "automatic_review_apps": pipeline.toggles.automatic_review_apps,
    }


async def look_up(context: WebContext, reference: str | int) -> Repository:
    """Find a repository by "org/name" at GitHub, or by the id of one that is known here."""
    if isinstance(reference, str) and not reference.isdecimal():
        if reference.count("/") != 1 or not all(reference.split("/")) or len(reference) > _LONGEST:
            raise Refused(f"repository: {reference[:_LONGEST]!r} is not of the form ORG/REPO")
        return await context.lookup.repository(reference)
    known = None
    if len(str(reference)) <= _DIGITS:
        known = await context.db.read(lambda conn: repositories.get(conn, int(reference)))
    if known is None:
        raise Refused(f"repository: {str(reference)[:40]} is not known here; name it as ORG/REPO")
    return known


async def connect_found(
    context: WebContext,
    by: Caller | Visitor,
    pipeline: Pipeline,
    repository: Repository,
    *,
    told: Collection[str] | None = None,
) -> Connected:
    """Connect a pipeline by a person's own right on GitHub, which is looked up now.

    Of another repository's review apps only those go that the person was `told` of; with None all there are.
    """
    person = await check_on_github(context, by.user, repository)
    connected = await context.enactor.connect_repository(
        pipeline_id=pipeline.id, repository=repository, by=person, told=told, actor=by.actor
    )
    return connected, repository


async def connect(request: web.Request) -> web.Response:
    """POST /pipelines/PIPELINE/repository."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    body = await bodies.parse(request, bodies.ConnectRepository)
    pipeline = await context.db.read(lambda conn: find_pipeline(conn, identity))
    repository = await look_up(context, body.repository)
    connected = await connect_found(context, request[CALLER], pipeline, repository, told=told(request))
    return answers.answer(request, _shape(*connected), status=201)


async def info(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/repository and .../repo."""
    identity = pipeline_in_path(request)

    def read(conn: Connection) -> shapes.Json:
        pipeline, repository = _connected(conn, identity)
        return _shape(pipeline, repository, problem_of(conn, repository) or right_lost(pipeline, repository))

    return answers.answer(request, await request.app[CONTEXT].db.read(read))


async def change(request: web.Request) -> web.Response:
    """PATCH /pipelines/PIPELINE/repository: the review app switches, also found in review-app-config."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    body = await bodies.parse(request, bodies.ChangeRepository)
    if body.ci:
        raise Refused("ci: test runs are not available yet; GitHub Actions reports to Towpath all the same")
    pipeline, repository = await context.db.read(lambda conn: _connected(conn, identity))
    changes = body.model_dump(include={"review_apps", "automatic_review_apps"}, exclude_none=True)
    if changes:
        pipeline = await context.enactor.set_toggles(
            pipeline_id=pipeline.id, changes=changes, told=told(request), actor=request[CALLER].actor
        )
    return answers.answer(request, _shape(pipeline, repository))


async def disconnect(request: web.Request) -> web.Response:
    """DELETE /pipelines/PIPELINE/repository; refused while review apps live: nothing would tell of their end."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)
    pipeline, repository = await context.db.read(lambda conn: _connected(conn, identity))
    await context.enactor.disconnect_repository(pipeline_id=pipeline.id, actor=request[CALLER].actor)
    return answers.answer(request, _shape(pipeline, repository))


async def branch(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/repo/branches/BRANCH: where it points now."""
    context, identity, name = request.app[CONTEXT], pipeline_in_path(request), request.match_info["branch"]
    _, repository = await context.db.read(lambda conn: _connected(conn, identity))
    sha = await context.lookup.branch(repository, name)
    return answers.answer(request, {"name": name, "commit": {"sha": sha}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploying:
    """What an app deploys by itself, and the reason that was last decided for; `pipeline` is the one it is in."""

    app: App
    pipeline: Pipeline | None
    repository: Repository
    reason: str


def deploying(conn: Connection, identity: Asked) -> Deploying:
    """Find an app by id or name, with the repository that it deploys from; refused where there is none."""
    app = find_app(conn, identity)
    pipeline = pipelines.of_app(conn, app.id)
    repository_id = pipeline.repository_id if pipeline is not None and pipeline.repository_id else app.repository_id
    repository = repositories.get(conn, repository_id) if repository_id is not None else None
    if repository is None:
        raise not_found("repository: the app's pipeline is not connected to one")
    verdict = next(iter(subjects.verdicts(conn, [Subject(SubjectKind.AUTO_DEPLOY, app.id)])), None)
    return Deploying(app=app, pipeline=pipeline, repository=repository, reason=verdict.reason if verdict else "")


def _app_shape(it: Deploying) -> shapes.Json:
    toggles = it.pipeline.toggles if it.pipeline is not None else None
    return {
        "id": shapes.constant_id(f"github:{it.app.id}"),
        "app_id": it.app.id,
        "repo": it.repository.full_name,
        "repo_id": it.repository.id,
        "auto_deploy": it.app.auto_deploy,
        "wait_for_ci": it.app.wait_for_ci,
        "branch": it.app.auto_deploy_branch or it.repository.default_branch,
        "follows_default_branch": it.app.follows_default or not it.app.auto_deploy_branch,
        "reason": (it.app.auto_deploy and it.reason) or None,
        "pull_requests": {
            "enabled": bool(toggles and toggles.review_apps),
            "auto_deploy": bool(toggles and toggles.automatic_review_apps),
            "auto_destroy": bool(toggles and toggles.destroy_stale),
        },
    }


async def of_app(request: web.Request) -> web.Response:
    """GET /apps/APP/github."""
    identity = app_in_path(request)
    found = await request.app[CONTEXT].db.read(lambda conn: deploying(conn, identity))
    return answers.answer(request, _app_shape(found))


async def change_of_app(request: web.Request) -> web.Response:
    """PATCH /apps/APP/github: which branch it deploys by itself, named or the default one, and whether after CI."""
    context, identity, caller = request.app[CONTEXT], app_in_path(request), request[CALLER]
    body = await bodies.parse(request, ChangeGitHub)
    found = await context.db.read(lambda conn: deploying(conn, identity))
    if body.branch is not None and body.follow_default_branch:
        raise Refused("branch: name a branch, or follow the default branch, not both")
    stops = body.model_fields_set - {"pull_requests"} == {"auto_deploy"} and not body.auto_deploy
    await check_auto_deploy(context, caller, found, branch=body.branch, stops=stops)
    if body.pull_requests is not None:
        await _switch_review_apps(request, found, body.pull_requests)
    await context.enactor.set_auto_deploy(
        app_id=found.app.id,
        enabled=found.app.auto_deploy if body.auto_deploy is None else body.auto_deploy,
        branch=body.branch,
        follow_default=bool(body.follow_default_branch),
        wait_for_ci=body.wait_for_ci,
        actor=caller.actor,
        resumes=body.auto_deploy is not None,
    )
    return answers.answer(request, _app_shape(await context.db.read(lambda conn: deploying(conn, identity))))


async def check_auto_deploy(
    context: WebContext, by: Caller | Visitor, found: Deploying, *, branch: str | None, stops: bool
) -> None:
    """Refuse whoever may not bring new code to the app, here and on GitHub: a branch does so from now on.

    Only to stop that (`stops`) takes no more than any deploy. A branch that is named must be there.
    """
    if not stops:
        asked = Asked(by=by.person, name=found.app.id)
        await context.db.read(lambda conn: find_app_for_code(conn, asked))
        await check_on_github(context, by.user, found.repository)
    if branch is not None:
        await context.lookup.branch(found.repository, branch)


async def _switch_review_apps(request: web.Request, found: Deploying, wanted: PullRequests) -> None:
    """Take over what a client says of review apps in the same breath; they are the pipeline's, and so is the right."""
    context, caller, pipeline = request.app[CONTEXT], request[CALLER], found.pipeline
    if pipeline is None:
        raise Refused("pull_requests: review apps are a pipeline's, and the app is in none")
    asked = Asked(by=caller.person, name=pipeline.id)
    await context.db.read(lambda conn: find_pipeline(conn, asked, Permission.MANAGE))
    switches = {
        "review_apps": wanted.enabled,
        "automatic_review_apps": wanted.auto_deploy,
        "destroy_stale": wanted.auto_destroy,
    }
    changes = {name: value for name, value in switches.items() if value is not None}
    if changes:
        await context.enactor.set_toggles(
            pipeline_id=pipeline.id, changes=changes, told=told(request), actor=caller.actor
        )


ROUTES = [
    rights.post("/pipelines/{pipeline}/repository", connect, rights.pipeline(Permission.MANAGE)),
    rights.get("/pipelines/{pipeline}/repository", info, rights.pipeline()),
    rights.get("/pipelines/{pipeline}/repo", info, rights.pipeline()),
    rights.patch("/pipelines/{pipeline}/repository", change, rights.pipeline(Permission.MANAGE)),
    rights.delete("/pipelines/{pipeline}/repository", disconnect, rights.pipeline(Permission.MANAGE)),
    rights.get("/pipelines/{pipeline}/repo/branches/{branch:.+}", branch, rights.pipeline()),
    rights.get("/apps/{app}/github", of_app, rights.app()),
    rights.patch("/apps/{app}/github", change_of_app, rights.app(Permission.DEPLOY)),
]
