"""What is made by clicking: an app, or a pipeline with its repository, its apps and its switches in one go.

Everything that can be refused is looked at before anything is made, and each refusal is said at its field. What is
refused later all the same, as by somebody who took the name in between, is taken back: nothing half done stays.
"""

from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, Person, TeamRole
from service.domain.errors import Refused, Transient
from service.domain.model import App, Pipeline, Repository, Stage, UserId
from service.domain.names import check_app_name, check_pipeline_name
from service.store import apps, pipelines, teams
from service.store.database import Conflict
from service.web import rights
from service.web.api.app_setups import NewApp, check_set_up, set_up
from service.web.api.bodies import SourceBlob
from service.web.api.builds import Commit, commit_of
from service.web.api.finding import Asked, owner_to_be
from service.web.api.on_github import check_on_github
from service.web.api.repositories import look_up
from service.web.keys import CONTEXT, VISITOR, Visitor, WebContext
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, Form, form_of

Found = TypeVar("Found")
_STALE_DAYS: Final = 5
SWITCHES: Final = {
    "apps": "Create {name}-staging and {name} for staging and production",
    "auto_deploy": "Deploy the default branch to staging automatically",
    "wait_for_ci": "Wait for CI to pass before that",
    "review_apps": "Enable review apps",
    "automatic_review_apps": "Create a review app for every pull request",
    "destroy_stale": f"Destroy review apps that are idle for {_STALE_DAYS} days",
}
"""As `towpath pipelines:setup` asks; all of them are on unless somebody says otherwise."""
_NEEDS: Final = {
    "auto_deploy": "apps",
    "wait_for_ci": "auto_deploy",
    "automatic_review_apps": "review_apps",
    "destroy_stale": "review_apps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody has entered; `owner` is a team's id, or empty for themselves."""

    name: str = ""
    owner: str = ""
    repository: str = ""
    on: frozenset[str] = frozenset(SWITCHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A repository that the person may connect, by whose right there, and the commit to begin with."""

    repository: Repository
    by: UserId | None
    commit: Commit


@dataclass(slots=True, kw_only=True)
class Checked:
    """What was found in order to make it, and what was said against which field."""

    errors: dict[str, str] = field(default_factory=dict)

    async def at(self, name: str, act: Awaitable[Found]) -> Found | None:
        """What is found; None, and the error is at the field, when it is refused."""
        try:
            return await act
        except Refused as refused:
            self.errors[name] = refused.message.removeprefix(f"{name}: ")
            return None


def own_teams(conn: Connection, by: Person) -> list[tuple[str, str]]:
    """The teams for which the person may make something, by name, with their ids."""
    named = teams.names(conn)
    mine = [id_ for id_, role in by.teams.items() if role in {TeamRole.ADMIN, TeamRole.MEMBER}]
    return sorted((named[id_], str(id_)) for id_ in mine if id_ in named)


async def _show(request: web.Request, what: str, wish: Wish, errors: Mapping[str, str] | None = None) -> web.Response:
    return page(
        f"dashboard/new_{what}.html",
        status=422 if errors else 200,
        visitor=request[VISITOR],
        wish=wish,
        teams=await request.app[CONTEXT].db.read(lambda conn: own_teams(conn, request[VISITOR].person)),
        switches=SWITCHES,
        needs=_NEEDS,
        errors=errors or {},
    )


async def ask_for_app(request: web.Request) -> web.Response:
    """GET /dashboard/new/app."""
    return await _show(request, "app", Wish())


async def ask_for_pipeline(request: web.Request) -> web.Response:
    """GET /dashboard/new/pipeline."""
    return await _show(request, "pipeline", Wish())


def _wish(form: Form) -> Wish:
    name, owner, repository = (str(form.get(each, "")).strip() for each in ("name", "owner", "repository"))
    on = {each for each in SWITCHES if form.get(each) == "on"}
    on -= {each for each in SWITCHES if _NEEDS.get(each, each) not in on}
    on -= {each for each in SWITCHES if _NEEDS.get(each, each) not in on}  # what needs what needs something
    return Wish(name=name, owner=owner, repository=repository, on=frozenset(on))


async def make_app(request: web.Request) -> web.Response:
    """POST /dashboard/new/app: with a made-up name if none is entered; ends where its first deploy is asked for."""
    context, visitor, wish = request.app[CONTEXT], request[VISITOR], _wish(await form_of(request))
    checked = Checked()
    owner = await checked.at("owner", _owner(context, visitor, wish))
    if owner is None:
        return await _show(request, "app", wish, checked.errors)
    act = context.enactor.create_app(
        name=wish.name or None, space=None, owner=owner, by=visitor.person, actor=visitor.actor
    )
    app = await checked.at("name", act)
    if app is None:
        return await _show(request, "app", wish, checked.errors)
    return web.Response(status=303, headers={"Location": f"{PATH}/apps/{app.name}/deploy"})


async def make_pipeline(request: web.Request) -> web.Response:
    """POST /dashboard/new/pipeline: all of it, and then where its first pull request is waited for, or its overview."""
    context, visitor, wish = request.app[CONTEXT], request[VISITOR], _wish(await form_of(request))
    checked = Checked()
    owner = await checked.at("owner", _owner(context, visitor, wish))
    await checked.at("name", context.db.read(lambda conn: _check_names(conn, wish)))
    source = await checked.at("repository", _source(context, visitor, wish)) if wish.repository else None
    if owner is None or checked.errors:
        return await _show(request, "pipeline", wish, checked.errors)
    try:
        pipeline = await _made(context, visitor, wish, owner, source)
    except Refused as refused:
        return await _show(request, "pipeline", wish, {"name": f"{refused.message} Nothing was made."})
    waits = "/arrivals" if source is not None and "review_apps" in wish.on else ""
    return web.Response(status=303, headers={"Location": f"{PATH}/pipelines/{pipeline.id}{waits}"})


async def _owner(context: WebContext, visitor: Visitor, wish: Wish) -> Owner:
    asked = Asked(by=visitor.person, name=wish.owner) if wish.owner else None
    owner = await context.db.read(lambda conn: owner_to_be(conn, visitor.person, asked))
    for stage in _stages(wish).values() if wish.repository else ():
        check_set_up(visitor.person, owner, stage)
    return owner


def _stages(wish: Wish) -> dict[str, Stage]:
    """The apps to be made, by name."""
    return {f"{wish.name}-staging": Stage.STAGING, wish.name: Stage.PRODUCTION} if "apps" in wish.on else {}


def _check_names(conn: Connection, wish: Wish) -> None:
    check_pipeline_name(wish.name)
    for name in _stages(wish):
        try:
            check_app_name(name)
        except Refused as refused:
            raise Refused(f"An app could not be named {name}: {refused.message}") from None
        if apps.find(conn, name) is not None:
            raise Refused(f"There is an app {name} already: choose another name, or create no apps now.")


async def _source(context: WebContext, visitor: Visitor, wish: Wish) -> Source:
    repository = await look_up(context, wish.repository)
    by = await check_on_github(context, visitor.user, repository)
    return Source(repository=repository, by=by, commit=await commit_of(context, repository, SourceBlob()))


async def _made(context: WebContext, visitor: Visitor, wish: Wish, owner: Owner, source: Source | None) -> Pipeline:
    pipeline = await context.enactor.create_pipeline(name=wish.name, owner=owner, actor=visitor.actor)
    try:
        if source is None:
            for name, stage in _stages(wish).items():
                await empty_app(context, visitor, pipeline, NewApp(name=name, owner=owner, stage=stage))
        else:
            await _fill(context, visitor, wish, pipeline, source, owner)
    except (Refused, Transient, Conflict):
        await _take_back(context, visitor, pipeline)
        raise
    return pipeline


async def empty_app(context: WebContext, visitor: Visitor, pipeline: Pipeline, new: NewApp) -> App:
    """Make an app and put it into a pipeline, or do neither."""
    enactor, actor = context.enactor, visitor.actor
    app = await enactor.create_app(name=new.name, space=None, owner=new.owner, by=visitor.person, actor=actor)
    try:
        await enactor.couple(app_id=app.id, pipeline_id=pipeline.id, stage=new.stage, actor=actor)
    except Refused:
        await enactor.destroy_app(app_id=app.id, actor=actor)
        raise
    return app


async def _fill(
    context: WebContext, visitor: Visitor, wish: Wish, pipeline: Pipeline, source: Source, owner: Owner
) -> None:
    enactor, actor = context.enactor, visitor.actor
    await enactor.connect_repository(pipeline_id=pipeline.id, repository=source.repository, by=source.by, actor=actor)
    for name, stage in _stages(wish).items():
        new = NewApp(name=name, owner=owner, stage=stage)
        queued = await set_up(
            context, visitor, new, pipeline=pipeline, repository=source.repository, commit=source.commit
        )
        if stage is Stage.STAGING and "auto_deploy" in wish.on:
            await enactor.set_auto_deploy(
                app_id=queued.app_id, enabled=True, branch=None, wait_for_ci="wait_for_ci" in wish.on, actor=actor
            )
    if "review_apps" in wish.on:
        own = ("review_apps", "automatic_review_apps", "destroy_stale")
        changes = {name: name in wish.on for name in own} | {"stale_days": _STALE_DAYS}
        await enactor.set_toggles(pipeline_id=pipeline.id, changes=changes, actor=actor)


async def _take_back(context: WebContext, visitor: Visitor, pipeline: Pipeline) -> None:
    """Have the pipeline and the apps that were made for it no more."""
    enactor, actor = context.enactor, visitor.actor
    for coupling in await context.db.read(lambda conn: pipelines.couplings(conn, pipeline.id)):
        with suppress(Refused):  # the one whose deploy was refused goes already
            await enactor.destroy_app(app_id=coupling.app_id, actor=actor)
        await enactor.uncouple(coupling_id=coupling.id, actor=actor)
    await enactor.delete_pipeline(pipeline_id=pipeline.id, by=visitor.person, actor=actor)


_ANYBODY: Final = rights.page(rights.CALLER)
ROUTES = [
    rights.get(f"{PATH}/new/app", ask_for_app, _ANYBODY),
    rights.post(f"{PATH}/new/app", make_app, _ANYBODY),
    rights.get(f"{PATH}/new/pipeline", ask_for_pipeline, _ANYBODY),
    rights.post(f"{PATH}/new/pipeline", make_pipeline, _ANYBODY),
]
