"""Which apps are in which stage of a pipeline: adding one that there is or a new one, moving one, taking one out.

Each is a page that names the app and what comes of it, for the same rights as the API's couplings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission, owner_of
from service.domain.errors import Refused
from service.domain.model import App, AppState, Coupling, Pipeline, Stage
from service.store import apps, pipelines, sight
from service.web import rights
from service.web.api.app_setups import NewApp
from service.web.api.couplings import check_move
from service.web.api.finding import Asked, find_app, find_coupling, find_pipeline, owner_to_be
from service.web.errors import STATUS_OF_ID, not_found
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.app_head import path_of, to
from service.web.pages.cards import COLUMNS
from service.web.pages.new import empty_app, own_teams
from service.web.pages.overview import asked_in
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, form_of

STAGES: Final = (Stage.DEVELOPMENT, Stage.STAGING, Stage.PRODUCTION)
"""Those that people put apps into; review apps come with their pull requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody has entered; `owner` is a team's id, or empty for themselves, `app` the name of one there is."""

    stage: Stage
    app: str = ""
    name: str = ""
    owner: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An app in its place."""

    app: App
    coupling: Coupling
    pipeline: Pipeline

    @property
    def overview(self) -> str:
        """Where the pipeline's overview is."""
        return f"{PATH}/pipelines/{self.pipeline.id}"


def _stage(text: str) -> Stage | None:
    return next((each for each in STAGES if each.value == text), None)


def _named(text: str) -> Stage:
    found = _stage(text)
    if found is None:
        raise Refused(f"Choose a stage: {', '.join(STAGES)}. Nothing was done.")
    return found


# Adding


def _free(conn: Connection, request: web.Request) -> list[str]:
    """The names of the apps that the person may put into a pipeline."""
    by, inside = request[VISITOR].person, {each.app_id for each in pipelines.all_couplings(conn)}
    return [
        app.name
        for app in sight.seen_apps(conn, by)
        if app.id not in inside
        and not app.is_review
        and app.state is not AppState.DESTROYING
        and Permission.MANAGE in sight.to_app(by, app)
    ]


async def _show(request: web.Request, wish: Wish | None = None, *, status: int = 200) -> web.Response:
    asked = asked_in(request)

    def read(conn: Connection) -> tuple[Pipeline, list[str], list[tuple[str, str]]]:
        return find_pipeline(conn, asked), _free(conn, request), own_teams(conn, asked.by)

    pipeline, free, teams = await request.app[CONTEXT].db.read(read)
    if wish is None:
        owner = owner_of(pipeline)
        of_team = owner.id if owner is not None and owner.id in {team_id for _, team_id in teams} else ""
        wish = Wish(stage=_stage(request.query.get("stage", "")) or Stage.STAGING, owner=of_team)
    return page(
        "dashboard/add_app.html",
        status=status,
        visitor=request[VISITOR],
        pipeline=pipeline,
        wish=wish,
        free=free,
        teams=teams,
        stages={each: COLUMNS[each] for each in STAGES},
    )


async def ask(request: web.Request) -> web.Response:
    """GET /dashboard/pipelines/PIPELINE/add?stage=STAGE."""
    return await _show(request)


async def add(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/add: an app that there is, or a new one."""
    asked, form = asked_in(request), await form_of(request)
    app, name, owner = (str(form.get(each, "")).strip() for each in ("app", "name", "owner"))
    wish, at = Wish(stage=_named(str(form.get("stage", ""))), app=app, name=name, owner=owner), "app"
    pipeline = await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, asked))
    try:
        if form.get("do") == "new":
            at = "name"
            made = await _new(request, pipeline, wish)
        else:
            made = await _existing(request, pipeline, wish)
    except Refused as refused:
        wish = Wish(stage=wish.stage, app=app, name=name, owner=owner, errors={at: refused.message})
        return await _show(request, wish, status=STATUS_OF_ID.get(refused.code, 422))
    return to(f"{PATH}/pipelines/{pipeline.id}#app-{made.id}")


async def _new(request: web.Request, pipeline: Pipeline, wish: Wish) -> App:
    context, visitor = request.app[CONTEXT], request[VISITOR]
    team = Asked(by=visitor.person, name=wish.owner) if wish.owner else None
    owner = await context.db.read(lambda conn: owner_to_be(conn, visitor.person, team))
    new = NewApp(name=wish.name or None, owner=owner, stage=wish.stage)
    return await empty_app(context, visitor, pipeline, new)


async def _existing(request: web.Request, pipeline: Pipeline, wish: Wish) -> App:
    context, visitor = request.app[CONTEXT], request[VISITOR]
    if not wish.app:
        raise Refused("Choose an app. Nothing was done.")
    asked = Asked(by=visitor.person, name=wish.app)
    app = await context.db.read(lambda conn: find_app(conn, asked, Permission.MANAGE))
    await context.enactor.couple(app_id=app.id, pipeline_id=pipeline.id, stage=wish.stage, actor=visitor.actor)
    return app


# Moving and taking out


async def _placed(request: web.Request) -> Placed:
    by, coupling_id = request[VISITOR].person, request.match_info["coupling"]

    def read(conn: Connection) -> Placed:
        coupling = find_coupling(conn, Asked(by=by, name=coupling_id))
        app, pipeline = apps.get(conn, coupling.app_id), pipelines.get(conn, coupling.pipeline_id)
        # Whoever manages the pipeline is told nothing of an app in it that they do not see.
        if app is None or pipeline is None or Permission.VIEW not in sight.to_app(by, app):
            raise not_found("app")
        if app.is_review:
            raise Refused(f"{app.name} is a review app: it stays where its pull request is.")
        return Placed(app=app, coupling=coupling, pipeline=pipeline)

    return await request.app[CONTEXT].db.read(read)


async def _show_place(request: web.Request, act: str, refused: Refused | None = None) -> web.Response:
    it = await _placed(request)
    return page(
        "dashboard/place.html",
        status=200 if refused is None else STATUS_OF_ID.get(refused.code, 422),
        visitor=request[VISITOR],
        act=act,
        it=it,
        stages={each: COLUMNS[each] for each in STAGES if each is not it.coupling.stage},
        now_in=COLUMNS.get(it.coupling.stage, it.coupling.stage.value),
        error=refused.message if refused else "",
    )


async def ask_where(request: web.Request) -> web.Response:
    """GET /dashboard/couplings/COUPLING/move."""
    return await _show_place(request, "move")


async def ask_whether(request: web.Request) -> web.Response:
    """GET /dashboard/couplings/COUPLING/remove."""
    return await _show_place(request, "remove")


async def move(request: web.Request) -> web.Response:
    """POST /dashboard/couplings/COUPLING/move: to another stage."""
    context, visitor, it = request.app[CONTEXT], request[VISITOR], await _placed(request)
    try:
        stage = _named(str((await form_of(request)).get("stage", "")))
        await check_move(context, visitor.person, it.coupling, to=stage)
        await context.enactor.move(coupling_id=it.coupling.id, stage=stage, actor=visitor.actor)
    except Refused as refused:
        return await _show_place(request, "move", refused)
    return to(f"{it.overview}#app-{it.app.id}")


async def remove(request: web.Request) -> web.Response:
    """POST /dashboard/couplings/COUPLING/remove: the app lives on."""
    context, visitor, it = request.app[CONTEXT], request[VISITOR], await _placed(request)
    try:
        await check_move(context, visitor.person, it.coupling)
        await context.enactor.uncouple(coupling_id=it.coupling.id, actor=visitor.actor)
    except Refused as refused:
        return await _show_place(request, "remove", refused)
    still = await context.db.read(lambda conn: sight.to_pipeline(conn, visitor.person, it.pipeline))
    return to(it.overview if Permission.VIEW in still else path_of(it.app))


_ADD: Final = f"{PATH}/pipelines/{{pipeline}}/add"
_PLACE: Final = f"{PATH}/couplings/{{coupling}}"
_MANAGED: Final = rights.page(rights.pipeline(Permission.MANAGE))
ROUTES = [
    rights.get(_ADD, ask, _MANAGED),
    rights.post(_ADD, add, _MANAGED),
    rights.get(f"{_PLACE}/move", ask_where, _MANAGED),
    rights.post(f"{_PLACE}/move", move, _MANAGED),
    rights.get(f"{_PLACE}/remove", ask_whether, _MANAGED),
    rights.post(f"{_PLACE}/remove", remove, _MANAGED),
]
