"""The set-up's second half: where the App is installed, which repository feeds which pipeline, and what arrives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, Permission
from service.domain.errors import Refused
from service.domain.model import App, Pipeline, Repository, Stage
from service.domain.names import check_app_name, check_pipeline_name
from service.domain.review_rules import WouldGo
from service.github.app import Installation
from service.github.app_auth import Stranger
from service.store import apps, pipelines, repositories, setups, users
from service.store.setups import Setup, SetupState
from service.store.sight import to_app, to_pipeline, to_pipelines
from service.web import rights
from service.web.api.on_github import check_on_github
from service.web.api.repositories import look_up
from service.web.keys import CONTEXT, WebContext
from service.web.pages import problems
from service.web.pages.arriving import arrived, follow
from service.web.pages.rendering import page
from service.web.pages.setup import PATH, actor_of, as_page, person_of, session_of, show_open

_SWITCHES: Final = {
    "automatic_review_apps": "Every pull request gets a review app by itself",
    "destroy_stale": "Review apps without a deploy for five days are taken away",
    "wait_for_ci": "Review apps wait until CI has passed",
    "auto_deploy": "The default branch is deployed to staging by itself",
    "staging_waits_for_ci": "Staging waits until CI has passed; switch this off if there is no CI",
}
_ON: Final = ("automatic_review_apps", "auto_deploy", "staging_waits_for_ci")
_NEW: Final = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person chose on the page."""

    repository: str
    pipeline: str
    name: str
    switches: frozenset[str]


@as_page
async def following(request: web.Request) -> web.StreamResponse:
    """GET /github/setup/next: whatever comes next in this browser."""
    context, setup = request.app[CONTEXT], await session_of(request)
    if setup is None:
        return problems.show(problems.FOREIGN)
    if setup.state is SetupState.OPEN:
        return await show_open(request, setup)
    return await _show_choice(request, context, setup)


async def _show_choice(
    request: web.Request, context: WebContext, setup: Setup, *, chosen: Choice | None = None, error: str = ""
) -> web.Response:
    """The installations' repositories to choose from; where there are none, the way to install the App."""
    api, stored = context.identity.api, context.identity.stored
    if api is None or stored is None:
        return problems.show(problems.GIVEN if context.identity.is_given else problems.FOREIGN)
    # GitHub gave it, and it becomes a link; an address elsewhere is not one that a person should follow.
    install_url = f"{stored.html_url}/installations/new"
    if not stored.html_url.startswith(f"{context.settings.github_url}/"):
        raise Refused(f"GitHub says that its own App is at {stored.html_url[:200]}, which is not on GitHub")
    try:
        installations = await api.installations()
    except Stranger:
        return problems.show(problems.APP_GONE)
    active = [each for each in installations if each.suspended_at is None]
    if not active:
        asked = request.query.get("asked") == "1"
        suspended = [each.account.login for each in installations]
        return page(
            "install.html", step=2, app=stored, install_url=install_url, asked=asked, suspended=suspended
        )  # fmt: skip
    found = sorted([each for one in active for each in await api.repositories(one)], key=lambda it: it.full_name)
    return page(
        "connect.html",
        status=422 if error else 200,
        step=3,
        app=stored,
        install_url=install_url,
        accounts=_accounts(active),
        repositories=found,
        pipelines=await context.db.read(lambda conn: _pipelines(conn, setup)),
        switches=_SWITCHES,
        chosen=chosen or Choice(repository="", pipeline=_NEW, name=_suggested(found), switches=frozenset(_ON)),
        new=_NEW,
        error=error,
    )


def _accounts(active: list[Installation]) -> str:
    return ", ".join(each.account.login for each in active)


def _suggested(found: list[Repository]) -> str:
    """A pipeline's name for the only repository there is; of several any could be meant."""
    name = found[0].full_name.partition("/")[2].lower().replace("_", "-").replace(".", "-") if len(found) == 1 else ""
    try:
        return check_pipeline_name(name)
    except Refused:
        return ""


def _pipelines(conn: Connection, setup: Setup) -> list[dict[str, str]]:
    names, listed = _repository_names(conn), pipelines.listing(conn)
    may = to_pipelines(conn, person_of(conn, setup), listed)
    return [
        {"id": each.id, "name": each.name, "repository": names.get(each.repository_id or 0, "")}
        for each in listed
        if Permission.MANAGE in may[each.id]
    ]


def _repository_names(conn: Connection) -> dict[int, str]:
    return {repository.id: repository.full_name for repository in repositories.listing(conn)}


@as_page
async def connect(request: web.Request) -> web.StreamResponse:
    """POST /github/setup/connect: make the pipeline if there is none yet, connect it, set its switches."""
    context, setup = request.app[CONTEXT], await session_of(request)
    if setup is None or setup.state is SetupState.OPEN:
        return problems.show(problems.FOREIGN)
    form = await request.post()
    choice = Choice(
        repository=str(form.get("repository", "")),
        pipeline=str(form.get("pipeline", _NEW)),
        name=str(form.get("name", "")).strip(),
        switches=frozenset(name for name in _SWITCHES if form.get(name) == "on"),
    )
    try:
        pipeline = await _connect(context, setup, choice)
    except Refused as refused:
        return await _show_choice(request, context, setup, chosen=choice, error=refused.message)
    await context.db.write(lambda conn: setups.move(conn, setup, SetupState.DONE, now=context.db.now()))
    raise web.HTTPSeeOther(f"{PATH}/watch?pipeline={pipeline.id}")


async def _connect(context: WebContext, setup: Setup, choice: Choice) -> Pipeline:
    if not choice.repository:
        raise Refused("Choose a repository.")
    repository, actor = await look_up(context, choice.repository), await actor_of(context, setup)
    user = await context.db.read(lambda conn: users.get(conn, setup.user_id))
    if user is None:
        raise Refused("Whoever asked for the link of this set-up has no account any more.")
    by = await check_on_github(context, user, repository)
    if choice.pipeline == _NEW:
        pipeline = await _make(context, setup, choice.name, actor)
    else:
        pipeline = await context.db.read(lambda conn: _free(conn, setup, choice.pipeline, repository))
    enactor = context.enactor
    await enactor.connect_repository(pipeline_id=pipeline.id, repository=repository, by=by, actor=actor)
    own = ("automatic_review_apps", "destroy_stale", "wait_for_ci")
    changes = {"review_apps": True} | {name: name in choice.switches for name in own}
    try:
        await enactor.set_toggles(pipeline_id=pipeline.id, changes=changes, told=(), actor=actor)
    except WouldGo as would:  # of a pipeline that was there before
        raise Refused(
            f"{would.message} If that is meant, say so in its settings, and leave it as it is here."
        ) from None
    for app in await context.db.read(lambda conn: _staging(conn, setup, pipeline)):
        await enactor.set_auto_deploy(
            app_id=app.id,
            enabled="auto_deploy" in choice.switches,
            branch=None,
            wait_for_ci="staging_waits_for_ci" in choice.switches,
            actor=actor,
        )
    return pipeline


def _staging(conn: Connection, setup: Setup, pipeline: Pipeline) -> list[App]:
    """The apps in staging that whoever asked for the link may deploy to."""
    by = person_of(conn, setup)
    members = pipelines.members(conn, pipeline.id)
    return [app for app, stage in members if stage is Stage.STAGING and Permission.DEPLOY in to_app(by, app)]


async def _make(context: WebContext, setup: Setup, name: str, actor: str) -> Pipeline:
    """A pipeline with an app for staging and one for production, all of their names checked before any is made."""
    check_pipeline_name(name)
    named = {check_app_name(f"{name}-staging"): Stage.STAGING, check_app_name(name): Stage.PRODUCTION}

    def taken(conn: Connection) -> list[str]:
        there = [f"a pipeline {name}"] if pipelines.find(conn, name) else []
        return there + [f"an app {each}" for each in named if apps.find(conn, each)]

    if there := await context.db.read(taken):
        raise Refused(f"There is {' and '.join(there)} already: choose another name, or that pipeline.")
    enactor, owner = context.enactor, Owner(type="user", id=setup.user_id)
    pipeline = await enactor.create_pipeline(name=name, owner=owner, actor=actor)
    for app_name, stage in named.items():
        app = await enactor.create_app(name=app_name, space=None, owner=owner, actor=actor)
        await enactor.couple(app_id=app.id, pipeline_id=pipeline.id, stage=stage, actor=actor)
    return pipeline


def _own(conn: Connection, setup: Setup, pipeline_id: str) -> Pipeline | None:
    """The pipeline, if whoever asked for the link may connect it."""
    pipeline = pipelines.get(conn, pipeline_id)
    if pipeline is None or Permission.MANAGE not in to_pipeline(conn, person_of(conn, setup), pipeline):
        return None
    return pipeline


def _free(conn: Connection, setup: Setup, pipeline_id: str, repository: Repository) -> Pipeline:
    pipeline = _own(conn, setup, pipeline_id)
    if pipeline is None:
        raise Refused("That pipeline is no longer there: choose another one.")
    if pipeline.repository_id not in (None, repository.id):
        other = repositories.get(conn, pipeline.repository_id or 0)
        raise Refused(
            f"Pipeline {pipeline.name} is connected to {other.full_name if other else 'another repository'}. "
            f"Disconnect it first, or choose another one."
        )
    return pipeline


@as_page
async def watch(request: web.Request) -> web.StreamResponse:
    """GET /github/setup/watch: open a pull request now; what arrives is listed as it does."""
    context, setup = request.app[CONTEXT], await session_of(request)
    if setup is None or setup.state is SetupState.OPEN:
        return problems.show(problems.FOREIGN)
    wanted = request.query.get("pipeline", "")

    def read(conn: Connection) -> tuple[Pipeline | None, Repository | None]:
        pipeline = _own(conn, setup, wanted)
        repository_id = pipeline.repository_id if pipeline is not None else None
        return pipeline, repositories.get(conn, repository_id) if repository_id else None

    pipeline, repository = await context.db.read(read)
    if pipeline is None or repository is None:
        raise web.HTTPSeeOther(f"{PATH}/next")
    return page(
        "watch.html",
        step=4,
        pipeline=pipeline,
        repository=repository,
        compare_url=f"{context.settings.github_url}/{repository.full_name}/compare",
        arrived=await context.db.read(_arrived(context, setup, pipeline)),
        events_url=f"{PATH}/events?pipeline={pipeline.id}",
    )


def _arrived(context: WebContext, setup: Setup, pipeline: Pipeline) -> Callable[[Connection], dict[str, Any]]:
    return lambda conn: arrived(conn, context, pipeline, since=setup.created_at)


async def events(request: web.Request) -> web.StreamResponse:
    """GET /github/setup/events: the same list as server-sent events, sent whenever it has changed."""
    context, setup = request.app[CONTEXT], await session_of(request)
    if setup is None or setup.state is SetupState.OPEN:
        return web.Response(status=403, text="no set-up is under way in this browser\n")
    pipeline = await context.db.read(lambda conn: _own(conn, setup, request.query.get("pipeline", "")))
    if pipeline is None:
        return web.Response(status=403, text="no set-up of this pipeline is under way in this browser\n")
    return await follow(
        request,
        _arrived(context, setup, pipeline),
        goes_on=lambda: context.db.now() < setup.expires_at,
        may=_always,
    )


async def _always() -> bool:
    return True


# A page proves itself by its session, or by a link that nobody guesses.
ROUTES = [
    rights.get(f"{PATH}/next", following, rights.OPEN),
    rights.post(f"{PATH}/connect", connect, rights.OPEN),
    rights.get(f"{PATH}/watch", watch, rights.OPEN),
    rights.get(f"{PATH}/events", events, rights.OPEN),
]
