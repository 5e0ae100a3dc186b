"""One-click set-up: from a link of one hour to our own GitHub App, by pages that say what is asked for and why.

The link is the browser's authority, as long as whoever asked for it is an administrator: whoever has it may make the
App. It is good for one App. What GitHub brings back has to match a cookie of the browser that was sent there, and opens
nothing otherwise. Nothing is changed by looking at a page, so that a chat that looks at links does not use one up.

The secrets that GitHub hands over are in this process' memory until they are sealed, and on no page and in no log.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from typing import Final
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import hdrs, web
from sqlalchemy import Connection

from service.domain.access import Person
from service.domain.errors import Refused, Transient
from service.github import manifest as wanted
from service.github.app import CODE_GONE
from service.settings import Settings
from service.store import activity, github_app, setups, sight, users
from service.store.setups import Setup, SetupState
from service.web import rights
from service.web.keys import CONTEXT, WebContext
from service.web.pages import problems
from service.web.pages.rendering import page

PATH: Final = "/github/setup"
COOKIE: Final = "towpath_setup"
_HOURS: Final = 2
_LOOKS: Final = 5
_LOOK_SECONDS: Final = 0.2

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def as_page(handler: Handler) -> Handler:
    """Show what is refused or does not answer as a page; API errors are for programs."""

    @wraps(handler)
    async def shown(request: web.Request) -> web.StreamResponse:
        looks = request.method in {hdrs.METH_GET, hdrs.METH_HEAD}
        if not looks and not _from_our_page(request):
            return problems.show(problems.FOREIGN)
        try:
            return await handler(request)
        except Refused as refused:
            log.info("set-up refused", reason=refused.message)
            return problems.refused(refused.message)
        except Transient as trouble:
            log.warning("set-up waits", reason=trouble.message)
            # What was sent with a form is gone; the page that has the form is where to try again.
            has_page = looks or "link" in request.match_info
            return problems.away(trouble.message, request.path_qs if has_page else f"{PATH}/next")

    return shown


def _from_our_page(request: web.Request) -> bool:
    """Whether a form was sent from a page of ours: `Lax` keeps other sites away, but not apps of the same site."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get(hdrs.ORIGIN)
    ours = {request.host, urlsplit(request.app[CONTEXT].settings.url).netloc}
    return origin is None or origin.partition("://")[2] in ours


async def session_of(request: web.Request) -> Setup | None:
    """The set-up that is under way in this browser, expired ones left out."""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie:
        return None
    db = request.app[CONTEXT].db
    found = await db.read(lambda conn: _of_administrator(conn, setups.by_session(conn, cookie)))
    return found if found is not None and found.expires_at > db.now() else None


def _of_administrator(conn: Connection, setup: Setup | None) -> Setup | None:
    """The set-up, as long as whoever asked for its link administers the installation; else it opens nothing."""
    user = users.get(conn, setup.user_id) if setup is not None else None
    return setup if user is not None and user.is_admin else None


async def actor_of(context: WebContext, setup: Setup) -> str:
    """Who asked for the link, as the activity log names them."""
    user = await context.db.read(lambda conn: users.get(conn, setup.user_id))
    return f"user:{user.email}" if user else "towpath"


def person_of(conn: Connection, setup: Setup) -> Person:
    """Who asked for the link, with what they may do now; nobody who sees anything once they are gone."""
    user = users.get(conn, setup.user_id)
    return sight.person(conn, user) if user else Person(id=setup.user_id)


async def _link(request: web.Request) -> Setup | web.Response:
    """The set-up of the link in the path, or the page that says why it opens nothing."""
    context, link = request.app[CONTEXT], request.match_info["link"]
    setup = await context.db.read(lambda conn: _of_administrator(conn, setups.by_link(conn, link)))
    if setup is None:
        return problems.show(problems.UNKNOWN)
    own = await session_of(request)
    if own is not None and own.id == setup.id and setup.state is not SetupState.OPEN:
        raise web.HTTPSeeOther(f"{PATH}/next")
    if setup.state is not SetupState.OPEN:
        return problems.show(problems.USED)
    if setup.expires_at <= context.db.now():
        return problems.show(problems.EXPIRED)
    if context.identity.is_given:
        return problems.show(problems.GIVEN)
    return setup


@as_page
async def start(request: web.Request) -> web.StreamResponse:
    """GET /github/setup/start/LINK: what the App may do and why, before anything is done."""
    setup = await _link(request)
    if isinstance(setup, web.Response):
        return setup
    return await _show_start(request, setup, action=request.path)


def _unreachable(settings: Settings) -> str:
    """Why no App can be made here: GitHub cannot send, and nothing fetches what it would."""
    return "" if settings.why_pull else wanted.cannot_reach(url=settings.url, github_url=settings.github_url)


async def _show_start(request: web.Request, setup: Setup, *, action: str) -> web.Response:
    context = request.app[CONTEXT]
    settings = context.settings
    await context.identity.refresh()
    return page(
        "start.html",
        step=1,
        action=action,
        organization=setup.organization,
        pressed=setup.pressed,
        stored=context.identity.stored,
        unreachable=_unreachable(settings),
        fetched=settings.why_pull,
        pull_seconds=f"{settings.pull_seconds:g}",
        insecure=urlsplit(settings.url).scheme != "https",
        hook_url=f"{settings.url}/github/webhooks",
        github_url=settings.github_url,
        permissions=wanted.PERMISSIONS,
        events=wanted.EVENTS,
    )


@as_page
async def press(request: web.Request) -> web.StreamResponse:
    """POST /github/setup/start/LINK: the button; from here on the set-up belongs to this browser."""
    setup = await _link(request)
    if isinstance(setup, web.Response):
        return setup
    return await _pressed(request, setup)


@as_page
async def again(request: web.Request) -> web.StreamResponse:
    """POST /github/setup/again: the button once more, in the browser that has pressed it before."""
    setup = await session_of(request)
    if setup is None or setup.state is not SetupState.OPEN:
        return problems.show(problems.FOREIGN)
    return await _pressed(request, setup)


async def _pressed(request: web.Request, setup: Setup) -> web.Response:
    context, form = request.app[CONTEXT], await request.post()
    settings, session = context.settings, secrets.token_urlsafe(32)
    actor, now = await actor_of(context, setup), context.db.now()
    if form.get("do") == "use":
        if not await context.db.write(lambda conn: _adopt(conn, setup, session=session, actor=actor, now=now)):
            return problems.show(problems.USED)
        return _bound(context, web.Response(status=303, headers={"Location": f"{PATH}/next"}), session)
    if _unreachable(settings):
        return await _show_start(request, setup, action=request.path)
    state = await context.db.write(lambda conn: _press(conn, setup, session=session, actor=actor, now=now))
    if state is None:
        return problems.show(problems.USED)
    name = wanted.app_name(url=settings.url, organization=setup.organization)
    github = urlsplit(settings.github_url)
    hook_url = wanted.hook_url(url=settings.url, github_url=settings.github_url)
    form_url = wanted.form_url(github_url=settings.github_url, organization=setup.organization)
    shown = page(
        "go.html",
        step=1,
        forms_to=f"{github.scheme}://{github.netloc}",
        form_url=f"{form_url}?state={quote(state)}",
        manifest=json.dumps(wanted.manifest(url=settings.url, name=name, hook_url=hook_url)),
        organization=setup.organization,
    )
    return _bound(context, shown, session)


def _press(conn: Connection, setup: Setup, *, session: str, actor: str, now: datetime) -> str | None:
    state = setups.press(conn, setup, session=session, now=now)
    if state is not None:
        _record(conn, setup, "github setup pressed", actor=actor, now=now)
    return state


def _adopt(conn: Connection, setup: Setup, *, session: str, actor: str, now: datetime) -> bool:
    adopted = setups.adopt(conn, setup, session=session, now=now)
    if adopted:
        _record(conn, setup, "github setup goes on with the app that there is", actor=actor, now=now)
    return adopted


def _record(conn: Connection, setup: Setup, action: str, *, actor: str, now: datetime) -> None:
    """Put down that whoever has the link went on: it is whoever asked for it that answers for that."""
    activity.record(conn, now=now, actor=actor, action=action, data={"organization": setup.organization})


def _bound(context: WebContext, response: web.Response, session: str) -> web.Response:
    """Give the browser its session; GitHub leads back by a link, so `Lax` and not `Strict`."""
    response.set_cookie(
        COOKIE,
        session,
        path=PATH,
        max_age=_HOURS * 3600,
        httponly=True,
        samesite="Lax",
        secure=urlsplit(context.settings.url).scheme == "https",
    )
    return response


@as_page
async def created(request: web.Request) -> web.StreamResponse:
    """GET /github/setup/created: GitHub leads back here with a code for the new App's secrets."""
    context, setup = request.app[CONTEXT], await session_of(request)
    if setup is None:
        return problems.show(problems.FOREIGN)
    if setup.state is not SetupState.OPEN:
        raise web.HTTPSeeOther(f"{PATH}/next")
    code, state = request.query.get("code", ""), request.query.get("state", "")
    if not code:
        return problems.show(problems.CANCELLED)
    if not await context.db.read(lambda conn: setups.is_ours(conn, setup, state)):
        return problems.show(problems.FOREIGN)
    try:
        app = await context.identity.convert(code)
    except Refused as refused:
        if await _kept_meanwhile(request):
            raise web.HTTPSeeOther(f"{PATH}/next") from None
        if refused.code != CODE_GONE:
            raise
        of_whom = {"github_url": context.settings.github_url, "organization": setup.organization}
        return problems.show(problems.CODE_GONE, apps_url=wanted.form_url(**of_whom).removesuffix("/new"))
    await _keep(context, setup, app)
    raise web.HTTPSeeOther(f"{PATH}/next")


async def _kept_meanwhile(request: web.Request) -> bool:
    """Whether the page was loaded twice, and the other request has got the keys and keeps them by now."""
    for _ in range(_LOOKS):
        own = await session_of(request)
        if own is None or own.state is not SetupState.OPEN:
            return own is not None
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _keep(context: WebContext, setup: Setup, app: github_app.GitHubApp) -> None:
    actor, now = await actor_of(context, setup), context.db.now()

    def keep(conn: Connection) -> None:
        github_app.save(conn, context.vault, app, now)
        setups.move(conn, setup, SetupState.MADE, now=now)
        data = {"id": app.id, "name": app.slug}
        activity.record(conn, now=now, actor=actor, action="github app created", data=data)

    await context.db.write(keep)
    await context.identity.refresh()
    log.info("github app set up", app=app.id, slug=app.slug)


@as_page
async def installed(request: web.Request) -> web.StreamResponse:
    """GET /github/setup/installed: GitHub leads here after the App was installed, changed, or asked for.

    Nothing in the address is believed: which installations there are is asked of GitHub.
    """
    if await session_of(request) is None:
        return problems.show(problems.INSTALLED)
    asked = "?asked=1" if request.query.get("setup_action") == "request" else ""
    raise web.HTTPSeeOther(f"{PATH}/next{asked}")


async def show_open(request: web.Request, setup: Setup) -> web.Response:
    """The first page once more, for a browser that has pressed its button."""
    return await _show_start(request, setup, action=f"{PATH}/again")


# A page proves itself by its session, or by a link that nobody guesses.
ROUTES = [
    rights.get(f"{PATH}/start/{{link}}", start, rights.OPEN),
    rights.post(f"{PATH}/start/{{link}}", press, rights.OPEN),
    rights.post(f"{PATH}/again", again, rights.OPEN),
    rights.get(f"{PATH}/created", created, rights.OPEN),
    rights.get(f"{PATH}/installed", installed, rights.OPEN),
]
