"""A pipeline's settings by clicking: its source, its switches, what its apps deploy by themselves, its name, its end.

Each form is one act of the API. What is refused is said beside what was entered, which stays, and nothing of it is
saved.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission, Permissions, right_lost
from service.domain.errors import Refused
from service.domain.model import App, Pipeline, Repository, Stage
from service.domain.review_rules import WouldGo
from service.store import leaving, pipelines, repositories, sight
from service.web import rights
from service.web.api import told
from service.web.api.finding import Asked, find_app, find_pipeline
from service.web.api.repositories import connect_found, look_up, problem_of
from service.web.errors import STATUS_OF_ID, not_found
from service.web.keys import CONTEXT, VISITOR
from service.web.pages import auto_deploys, setting_fields
from service.web.pages.cards import COLUMNS
from service.web.pages.overview import asked_in
from service.web.pages.rendering import page
from service.web.pages.setting_fields import Entered
from service.web.pages.signed_in import PATH, Form, form_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An app of the pipeline; `may_switch` is whether the person may say what it deploys by itself."""

    app: App
    stage: Stage
    may_switch: bool

    @property
    def branch(self) -> str:
        """The branch that somebody named; empty where it is the default one."""
        return auto_deploys.branch_of(self.app)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page shows of a pipeline; `problem` is why nothing comes from its repository.

    `review_apps` are the names of those that would go with it.
    """

    pipeline: Pipeline
    repository: Repository | None
    problem: str
    review_apps: Sequence[str]
    may: Permissions
    rows: list[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was refused, of which form, and what was entered there: `form` is a group's key, an app's id or an act.

    `going` are the review apps that it would have taken away, for which the pipeline's name is to be typed.
    """

    form: str
    refused: Refused
    entered: Entered | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    going: Sequence[str] = ()


def _load(conn: Connection, asked: Asked) -> Shown:
    pipeline = find_pipeline(conn, asked)
    repository = repositories.get(conn, pipeline.repository_id) if pipeline.repository_id is not None else None
    order = list(COLUMNS)
    rows = [
        Row(app=app, stage=stage, may_switch=Permission.DEPLOY in may)
        for app, stage in pipelines.members(conn, pipeline.id)
        if stage in COLUMNS and not app.is_review and Permission.VIEW in (may := sight.to_app(asked.by, app))
    ]
    return Shown(
        pipeline=pipeline,
        repository=repository,
        problem="" if repository is None else problem_of(conn, repository) or right_lost(pipeline, repository),
        review_apps=leaving.with_the_repository(conn, pipeline),
        may=sight.to_pipeline(conn, asked.by, pipeline),
        rows=sorted(rows, key=lambda row: order.index(row.stage)),
    )


async def show(request: web.Request, trouble: Trouble | None = None) -> web.Response:
    """The page; with `trouble`, what was refused is said where it was entered."""
    context, asked = request.app[CONTEXT], asked_in(request)
    it = await context.db.read(lambda conn: _load(conn, asked))
    return page(
        "dashboard/settings.html",
        status=200 if trouble is None else STATUS_OF_ID.get(trouble.refused.code, 422),
        visitor=request[VISITOR],
        it=it,
        pipeline=it.pipeline,
        may_manage=Permission.MANAGE in it.may,
        sheets=[_sheet(group, it.pipeline, trouble) for group in setting_fields.GROUPS],
        titles=COLUMNS,
        github_url=context.settings.github_url,
        failed=trouble.form if trouble is not None else "",
        error=trouble.refused.message if trouble is not None else "",
        texts=trouble.texts if trouble is not None else {},
        going=trouble.going if trouble is not None else (),
        saved=request.query.get("saved", "") if trouble is None else "",
    )


def _sheet(group: setting_fields.Group, pipeline: Pipeline, trouble: Trouble | None) -> setting_fields.Sheet:
    values = setting_fields.values_of(pipeline)
    if trouble is None or trouble.form != group.key:
        return setting_fields.sheet(group, values)
    return setting_fields.sheet(group, values, entered=trouble.entered, refusal=trouble.refused.message)


async def settings(request: web.Request) -> web.Response:
    """GET /dashboard/pipelines/PIPELINE/settings."""
    return await show(request)


async def _pipeline(request: web.Request) -> Pipeline:
    asked = asked_in(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, asked))


def _done(pipeline: Pipeline, form: str) -> web.Response:
    return web.Response(
        status=303, headers={"Location": f"{PATH}/pipelines/{pipeline.id}/settings?saved={form}#{form}"}
    )


async def _act(
    request: web.Request, act: Awaitable[object], pipeline: Pipeline, form: str, **texts: str
) -> web.Response:
    """Do it and lead back to the form, or say at the form why it is not done."""
    try:
        await act
    except Refused as refused:
        return await show(request, Trouble(form=form, refused=refused, texts=texts))
    return _done(pipeline, form)


async def save(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/settings/GROUP: all of the group or, with one mistake, nothing."""
    key, form = request.match_info["group"], await form_of(request)
    group = next((each for each in setting_fields.GROUPS if each.key == key), None)
    if group is None:
        raise not_found("group of settings")
    pipeline, entered = await _pipeline(request), setting_fields.read(group, form)
    try:
        if entered.changes:
            await request.app[CONTEXT].enactor.set_toggles(
                pipeline_id=pipeline.id,
                changes=entered.changes,
                told=_told(form, pipeline),
                actor=request[VISITOR].actor,
            )
    except WouldGo as would:
        asked = _ask(pipeline, would)
        return await show(request, Trouble(form=key, refused=asked, entered=entered, going=would.going))
    except Refused as refused:
        return await show(request, Trouble(form=key, refused=refused, entered=entered))
    return _done(pipeline, key)


def _told(form: Form, pipeline: Pipeline) -> frozenset[str]:
    """The review apps that the page has said would go, once the pipeline's name is typed below; none before."""
    return told.names(str(form.get("told", ""))) if _typed(form) == pipeline.name else frozenset()


def _typed(form: Form) -> str:
    return str(form.get("confirm", "")).strip()


def _ask(pipeline: Pipeline, would: WouldGo) -> Refused:
    """What is to be done before review apps go, which are named."""
    return Refused(f"{would.message} If that is meant, type {pipeline.name} below.")


async def rename(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/name."""
    pipeline, name = await _pipeline(request), str((await form_of(request)).get("name", "")).strip()
    act = request.app[CONTEXT].enactor.rename_pipeline(pipeline_id=pipeline.id, name=name, actor=request[VISITOR].actor)
    return await _act(request, act, pipeline, "name", name=name)


async def connect(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/repository: ORG/REPO; to leave another one for it takes the name."""
    pipeline, form = await _pipeline(request), await form_of(request)
    name = str(form.get("repository", "")).strip()
    act = _connect(request, pipeline, name, form)
    return await _act(request, act, pipeline, "repository", repository=name)


async def _connect(request: web.Request, pipeline: Pipeline, name: str, form: Form) -> None:
    repository = await look_up(request.app[CONTEXT], name)
    if pipeline.repository_id not in {None, repository.id} and _typed(form) != pipeline.name:
        raise Refused(
            f"It is connected to another repository, which it would leave for {repository.full_name}: type "
            f"{pipeline.name} below to have that. Nothing was changed."
        )
    try:
        await connect_found(request.app[CONTEXT], request[VISITOR], pipeline, repository, told=_told(form, pipeline))
    except WouldGo as would:
        raise _ask(pipeline, would) from None


async def disconnect(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/repository/disconnect."""
    pipeline = await _pipeline(request)
    act = request.app[CONTEXT].enactor.disconnect_repository(pipeline_id=pipeline.id, actor=request[VISITOR].actor)
    return await _act(request, act, pipeline, "repository")


async def switch_auto_deploy(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/auto-deploy: what one of its apps deploys by itself."""
    pipeline, form = await _pipeline(request), await form_of(request)
    asked = Asked(by=request[VISITOR].person, name=str(form.get("app", "")))

    def read(conn: Connection) -> App:
        app = find_app(conn, asked, Permission.DEPLOY)
        if app.id not in {each.id for each, _ in pipelines.members(conn, pipeline.id)}:
            raise not_found("app")
        return app

    app = await request.app[CONTEXT].db.read(read)
    try:
        wanted = auto_deploys.entered(form, app)
    except Refused as refused:
        return await show(request, Trouble(form=app.id, refused=refused))
    texts = {"branch": wanted.branch, "auto": "on" if wanted.enabled else "", "wait": "on" if wanted.waits else ""}
    return await _act(request, auto_deploys.switch(request, app, wanted), pipeline, app.id, **texts)


async def delete(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/delete: to whoever has typed its name."""
    pipeline, typed = await _pipeline(request), _typed(await form_of(request))
    try:
        await _delete(request, pipeline, typed)
    except Refused as refused:
        return await show(request, Trouble(form="delete", refused=refused))
    return web.Response(status=303, headers={"Location": PATH})


async def _delete(request: web.Request, pipeline: Pipeline, typed: str) -> None:
    if typed != pipeline.name:
        raise Refused(f"That is not the pipeline's name: type {pipeline.name}. Nothing was deleted.")
    visitor = request[VISITOR]
    await request.app[CONTEXT].enactor.delete_pipeline(pipeline_id=pipeline.id, by=visitor.person, actor=visitor.actor)


_ONE: Final = f"{PATH}/pipelines/{{pipeline}}"
_SEEN: Final = rights.page(rights.pipeline())
_MANAGED: Final = rights.page(rights.pipeline(Permission.MANAGE))
ROUTES = [
    rights.get(f"{_ONE}/settings", settings, _SEEN),
    rights.post(f"{_ONE}/settings/{{group}}", save, _MANAGED),
    rights.post(f"{_ONE}/name", rename, _MANAGED),
    rights.post(f"{_ONE}/repository", connect, _MANAGED),
    rights.post(f"{_ONE}/repository/disconnect", disconnect, _MANAGED),
    rights.post(f"{_ONE}/auto-deploy", switch_auto_deploy, _SEEN),
    rights.post(f"{_ONE}/delete", delete, _MANAGED),
]
