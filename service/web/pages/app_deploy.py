"""Deploying to an app by a click: from where, what it deploys by itself, and a branch or commit now."""

from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission, for_new_code
from service.domain.errors import Refused
from service.domain.model import Repository
from service.store import deploy_locks, pipelines, repositories, views
from service.web import rights
from service.web.api import bodies
from service.web.api.builds import deploy_commit, deployable
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages import auto_deploys
from service.web.pages.app_head import ONE, Head, app_page, asked_in, found, head_of, path_of, to
from service.web.pages.auto_deploys import Switched
from service.web.pages.signed_in import form_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an app deploys from, and what keeps everybody from it now."""

    repository: Repository | None
    locks: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was refused, of which form, and what was entered there."""

    form: str
    refused: Refused
    version: str = ""
    switched: Switched | None = None


def _source(conn: Connection, request: web.Request, head: Head) -> Source:
    pipeline, now = pipelines.of_app(conn, head.app.id), request.app[CONTEXT].db.now()
    repository_id = (pipeline and pipeline.repository_id) or head.app.repository_id
    return Source(
        repository=repositories.get(conn, repository_id) if repository_id else None,
        locks=[each.text for each in deploy_locks.of_app(conn, head.app.id) if each.is_in_force(now)],
    )


async def show(request: web.Request, trouble: Trouble | None = None) -> web.Response:
    """The page; with `trouble`, what was refused is said where it was entered."""

    def read(conn: Connection) -> tuple[Head, Source, str]:
        head = head_of(conn, request)
        return head, _source(conn, request, head), views.held(conn, head.app.id) if head.app.auto_deploy else ""

    head, source, held = await request.app[CONTEXT].db.read(read)
    lacks = sorted(each.value for each in for_new_code(head.place.stage) - head.may)
    return app_page(
        "deploy.html",
        request,
        head,
        tab="deploy",
        status=200 if trouble is None else STATUS_OF_ID.get(trouble.refused.code, 422),
        source=source,
        lacks=lacks,
        may=head.does(Permission.DEPLOY) and not lacks,
        failed=trouble.form if trouble else "",
        error=trouble.refused.message if trouble else "",
        entered=trouble.version if trouble else "",
        # A review app follows its pull request, and nothing else.
        switched=None if head.app.is_review else (trouble and trouble.switched) or auto_deploys.of_app(head.app),
        branch=auto_deploys.branch_of(head.app),
        held=held,
        saved=request.query.get("saved", "") if trouble is None else "",
        github_url=request.app[CONTEXT].settings.github_url,
    )


async def page(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/deploy."""
    return await show(request)


async def deploy(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/deploy: a branch or commit of the connected repository, the default one unless named."""
    context, asked = request.app[CONTEXT], asked_in(request)
    entered = str((await form_of(request)).get("version", "")).strip()
    target = await context.db.read(lambda conn: deployable(conn, asked))
    try:
        await deploy_commit(context, request[VISITOR], target, _named(entered))
    except Refused as refused:
        return await show(request, Trouble(form="now", refused=refused, version=entered))
    return to(path_of(target.app))


async def switch(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/deploy/auto: what it deploys by itself."""
    app, form = await found(request), await form_of(request)
    wanted = None  # shown as it is now where what was entered is not of now
    try:
        wanted = auto_deploys.entered(form, app)
        await auto_deploys.switch(request, app, wanted)
    except Refused as refused:
        return await show(request, Trouble(form="auto", refused=refused, switched=wanted))
    return to(f"{path_of(app)}/deploy?saved=auto#auto")


def _named(version: str) -> bodies.SourceBlob:
    try:
        return bodies.checked(bodies.SourceBlob, {"version": version or None})
    except Refused:
        raise Refused("That is neither a branch nor a commit: it is too long.") from None


_DEPLOYS = rights.page(rights.app(Permission.DEPLOY))
ROUTES = [
    rights.get(f"{ONE}/deploy", page, _DEPLOYS),
    rights.post(f"{ONE}/deploy", deploy, _DEPLOYS),
    rights.post(f"{ONE}/deploy/auto", switch, _DEPLOYS),
]
