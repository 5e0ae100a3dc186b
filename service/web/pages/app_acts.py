"""What is done to an app from its card: a page that names the app and says what comes of it, and the button.

The form says what was shown, on or off: that is done, whatever somebody else has switched meanwhile. Afterwards the
browser is where it came from, at the app's card.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import AppState
from service.store import views
from service.web import rights
from service.web.api.finding import find_app
from service.web.api.formation import restart_of, running_now
from service.web.api.repositories import Deploying, check_auto_deploy, deploying
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.app_head import ONE, Head, app_page, asked_in, head_of, to
from service.web.pages.auto_deploys import check_follows
from service.web.pages.signed_in import PATH, form_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What is asked for: `do` is what the form sends, `tab` the page of the app that it belongs to."""

    path: str
    tab: str
    title: str
    texts: tuple[str, ...]
    do: str = ""
    ends_it: bool = False


Ask = Callable[[Connection, web.Request, Head], Act]


def card_of(head: Head) -> str:
    """Where the app's card is, or where its pages begin if it is in no pipeline."""
    place = head.place
    return f"{PATH}/pipelines/{place.pipeline_id}#app-{head.app.id}" if place.pipeline_id else head.path


async def _show(request: web.Request, ask: Ask, refused: Refused | None = None) -> web.Response:
    def read(conn: Connection) -> tuple[Head, Act]:
        head = head_of(conn, request)
        return head, ask(conn, request, head)

    head, act = await request.app[CONTEXT].db.read(read)
    return app_page(
        "act.html",
        request,
        head,
        tab=act.tab,
        status=200 if refused is None else STATUS_OF_ID.get(refused.code, 422),
        act=act,
        error=refused.message if refused else "",
        back=card_of(head),
    )


async def do(request: web.Request, ask: Ask, act: Awaitable[object]) -> web.Response:
    """Do it and lead back to the card, or say on the page why it is not done."""
    try:
        await act
    except Refused as refused:
        if refused.code in {"forbidden", "not_found"}:
            raise
        return await _show(request, ask, refused)
    return to(card_of(await request.app[CONTEXT].db.read(lambda conn: head_of(conn, request))))


def _restart(_conn: Connection, _request: web.Request, head: Head) -> Act:
    if head.app.state is AppState.SUSPENDED:
        text = "Its dynos start again, with the release and the config vars that it had."
        return Act(path="restart", tab="resources", title=f"Resume {head.app.name}", texts=(text,))
    text = "All of its dynos start anew. That leaves no gap: new ones serve before the former ones stop."
    return Act(path="restart", tab="resources", title=f"Restart {head.app.name}", texts=(text,))


def _maintenance(_conn: Connection, _request: web.Request, head: Head) -> Act:
    name, on = head.app.name, not head.app.maintenance
    text = (
        f"Whoever opens {name} sees the maintenance page until it is switched off. Its dynos go on running."
        if on
        else f"{name} answers whoever opens it again."
    )
    title = f"Switch maintenance of {name} {'on' if on else 'off'}"
    return Act(path="maintenance", tab="settings", title=title, texts=(text,), do="on" if on else "off")


def _hold(conn: Connection, request: web.Request, head: Head) -> Act:
    app, found = head.app, deploying(conn, asked_in(request))
    branch, held = app.auto_deploy_branch or found.repository.default_branch, views.held(conn, app.id)
    if app.auto_deploy and not held:
        text = f"No push to {branch} is deployed to {app.name} until somebody resumes it. What is under way goes on."
        return Act(path="hold", tab="deploy", title=f"Hold automatic deploys of {app.name}", texts=(text,), do="hold")
    waits = ", once CI has passed for it" if app.wait_for_ci else ""
    texts = (
        f"{app.name} is {held}: it was rolled back, promoted to, or given one commit since." if held else "",
        f"What {branch} is at now is deployed{waits}, and so is each push from then on.",
    )
    title = f"{'Resume' if app.auto_deploy_branch else 'Begin'} automatic deploys of {app.name}"
    return Act(path="hold", tab="deploy", title=title, texts=texts, do="resume")


def asking(ask: Ask) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The page that asks so."""

    async def shown(request: web.Request) -> web.Response:
        return await _show(request, ask)

    return shown


async def restart(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/restart: all of its dynos."""
    context, asked = request.app[CONTEXT], asked_in(request)
    running = await context.db.read(lambda conn: running_now(conn, asked))
    return await do(request, _restart, restart_of(context, running, None, actor=request[VISITOR].actor))


async def maintain(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/maintenance: on or off."""
    asked, on = asked_in(request), (await form_of(request)).get("do") == "on"
    app = await request.app[CONTEXT].db.read(lambda conn: find_app(conn, asked))
    enactor, actor = request.app[CONTEXT].enactor, request[VISITOR].actor
    return await do(request, _maintenance, enactor.change_app(app_id=app.id, maintenance=on, actor=actor))


async def hold(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/hold: stop its automatic deploys, or go on with them."""
    return await do(request, _hold, _switch(request, resumes=(await form_of(request)).get("do") == "resume"))


async def _switch(request: web.Request, *, resumes: bool) -> None:
    context, asked = request.app[CONTEXT], asked_in(request)

    def read(conn: Connection) -> tuple[Deploying, bool]:
        found = deploying(conn, asked)
        return found, found.app.auto_deploy and not views.held(conn, found.app.id)

    found, deploys = await context.db.read(read)
    check_follows(found.app)
    if deploys if resumes else not found.app.auto_deploy:
        return  # it is so already
    await check_auto_deploy(context, request[VISITOR], found, branch=None, stops=not resumes)
    await context.enactor.set_auto_deploy(
        app_id=found.app.id, enabled=resumes, branch=None, wait_for_ci=None, actor=request[VISITOR].actor
    )


_OPERATED = rights.page(rights.app(Permission.OPERATE))
_DEPLOYED = rights.page(rights.app(Permission.DEPLOY))
ROUTES = [
    rights.get(f"{ONE}/restart", asking(_restart), _OPERATED),
    rights.post(f"{ONE}/restart", restart, _OPERATED),
    rights.get(f"{ONE}/maintenance", asking(_maintenance), _OPERATED),
    rights.post(f"{ONE}/maintenance", maintain, _OPERATED),
    rights.get(f"{ONE}/hold", asking(_hold), _DEPLOYED),
    rights.post(f"{ONE}/hold", hold, _DEPLOYED),
]
