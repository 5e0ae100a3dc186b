"""Signing in with GitHub, and linking one's account there: the way to GitHub and back.

What comes back counts in the browser that was sent, once, within ten minutes: of GitHub's `state` and of the browser's
cookie only digests are kept, and the proof that GitHub asks for with its code is made of both. Nobody is let in for
being on GitHub: that takes an account here which was linked to the one there, by somebody who was signed in to both.
"""

import base64
import re
import secrets
from hashlib import sha256
from typing import Final

import structlog
from aiohttp import web
from sqlalchemy import Connection

from service.domain.errors import Refused, Transient
from service.enacting.github_sign_in import TAKEN
from service.github.manifest import SIGN_IN_BACK
from service.github.sign_in import CODE_OVER, MISREGISTERED, Account
from service.store import sessions, users
from service.store.github_identities import Journey
from service.store.users import User
from service.web import rights
from service.web.keys import CONTEXT, VISITOR
from service.web.pages import signed_in
from service.web.pages.github_problems import (
    AWAY,
    DENIED,
    FOREIGN,
    NOT_LINKED,
    OVER,
    REFUSED,
    SIGNED_OUT,
    WRONG_APP,
    GitHubProblem,
)
from service.web.pages.github_problems import TAKEN as TAKEN_PAGE
from service.web.pages.github_problems import show as show_problem
from service.web.pages.sign_in import check_misses, welcome_in, welcome_new
from service.web.pages.signed_in import MISSES, PATH, form_of

ACCOUNT: Final = f"{PATH}/account"
_COOKIE: Final = "towpath_github"
_LASTS: Final = 600
_ALLOWED: Final = re.compile(r"/dashboard(?:/[A-Za-z0-9._~-]+)*(?:\?[A-Za-z0-9._~=&%+:*/@-]*)?")
_LONGEST: Final = 500

log = structlog.get_logger()


def allowed(path: str) -> str:
    """Where to go on after signing in: a page of the dashboard, and for whatever else is asked its first one."""
    fits = len(path) <= _LONGEST and _ALLOWED.fullmatch(path) and ".." not in path
    return path if fits else PATH


async def begin(request: web.Request) -> web.Response:
    """POST /dashboard/github/sign-in: off to GitHub."""
    wanted = str((await form_of(request)).get("next", ""))
    return await depart(request, Journey(next_path=allowed(wanted), session_id=None, invitation_id=None))


async def link(request: web.Request) -> web.Response:
    """POST /dashboard/account/github: off to GitHub, to come back with the account that is to be linked."""
    session = request[VISITOR].session.id
    return await depart(request, Journey(next_path=f"{ACCOUNT}?saved=linked", session_id=session, invitation_id=None))


async def depart(request: web.Request, journey: Journey) -> web.Response:
    """Send the browser to GitHub, for what it is to come back with."""
    context = request.app[CONTEXT]
    check_misses(request)
    # Each is a row for ten minutes: somebody who sends forms in a loop fills no disk.
    misses, browser = request.app[MISSES], secrets.token_urlsafe(32)
    if not context.identity.signs_in:
        raise Refused("Nobody signs in with GitHub here: no GitHub App was set up for it.", code="not_found")
    if misses.spend(b"to github " + signed_in.address_of(request)) is None:
        text = f"Too many have gone to GitHub from where you are: again in {misses.wait()} s."
        raise Refused(text, code="rate_limit")
    state = await context.enactor.depart_to_github(browser=browser, journey=journey)
    url = context.identity.sign_in_url(redirect_uri=_back(request), state=state, verifier=_proof(browser, state))
    response = web.Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
    signed_in.give_cookie(request, response, _COOKIE, browser, seconds=_LASTS)
    return response


def _back(request: web.Request) -> str:
    """Where GitHub leads back to: at the public address, whatever the request says of its own."""
    return f"{request.app[CONTEXT].settings.url}{SIGN_IN_BACK}"


def _proof(browser: str, state: str) -> str:
    """What only this browser's return can bring along; nothing has to be kept of it."""
    digest = sha256(f"proof of {browser} for {state}".encode(errors="replace")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def callback(request: web.Request) -> web.Response:
    """GET /dashboard/github/callback: back from GitHub, with a code or with what it says instead."""
    check_misses(request)
    browser, state = signed_in.cookie_of(request, _COOKIE), request.query.get("state", "")
    enactor = request.app[CONTEXT].enactor
    try:
        journey = await enactor.arrive_from_github(browser=browser, state=state) if browser and state else None
        if journey is None:
            # Any page can lead a browser here: that is no miss of its person, and does not end the way they are on.
            return show_problem(FOREIGN)
        response = await _arrive(request, journey, browser, state)
    except Transient as trouble:
        log.warning("sign-in with github waits", reason=trouble.message)
        response = show_problem(AWAY)
    signed_in.take_cookie(request, response, _COOKIE)
    return response


async def _arrive(request: web.Request, journey: Journey, browser: str, state: str) -> web.Response:
    links = journey.session_id is not None
    if error := request.query.get("error", ""):
        return show_problem(_SAID.get(error, REFUSED), links=links, said=error)
    try:
        account = await request.app[CONTEXT].identity.signed_in_as(
            request.query.get("code", ""), redirect_uri=_back(request), verifier=_proof(browser, state)
        )
    except Refused as refused:
        log.warning("sign-in with github refused", reason=refused.message)
        return show_problem(_OF_REFUSAL.get(refused.code, REFUSED), links=links, said=refused.message)
    except Transient as trouble:
        log.warning("sign-in with github waits", reason=trouble.message)
        return show_problem(AWAY, links=links)
    if journey.invitation_id is not None:
        return await _joined(request, journey.invitation_id, account)
    return await (_linked(request, journey, account) if links else _let_in(request, journey, account))


async def _joined(request: web.Request, invitation_id: str, account: Account) -> web.Response:
    """Make the account of whoever was invited."""
    try:
        joined = await request.app[CONTEXT].enactor.accept_invitation(
            invitation_id=invitation_id, github=account, former=signed_in.session_of(request)
        )
    except Refused as refused:
        if refused.code != TAKEN:
            raise
        return show_problem(TAKEN_PAGE, said=account.login)
    return welcome_new(request, joined) if joined is not None else _missed(request, FOREIGN)


async def _let_in(request: web.Request, journey: Journey, account: Account) -> web.Response:
    session = await request.app[CONTEXT].enactor.sign_in_with_github(
        github_id=account.id, login=account.login, former=signed_in.session_of(request)
    )
    if session is None:
        return _missed(request, NOT_LINKED, said=account.login)
    return welcome_in(request, session, to=journey.next_path)


async def _linked(request: web.Request, journey: Journey, account: Account) -> web.Response:
    """Link it to whoever is signed in, if that is by the session in which they asked for it."""
    user = await _user_of(request, journey)
    if user is None:
        return show_problem(SIGNED_OUT, links=True)
    try:
        await request.app[CONTEXT].enactor.link_github(
            user_id=user.id,
            github_id=account.id,
            login=account.login,
            session_id=journey.session_id or "",
            actor=f"user:{user.email}",
        )
    except Refused as refused:
        if refused.code != TAKEN:
            raise
        return show_problem(TAKEN_PAGE, links=True, said=account.login)
    return web.Response(status=303, headers={"Location": journey.next_path, "Cache-Control": "no-store"})


async def _user_of(request: web.Request, journey: Journey) -> User | None:
    db, secret = request.app[CONTEXT].db, signed_in.session_of(request)

    def read(conn: Connection) -> User | None:
        session = sessions.by_secret(conn, secret, db.now()) if secret else None
        return users.get(conn, session.user_id) if session and session.id == journey.session_id else None

    return await db.read(read)


async def unlink(request: web.Request) -> web.Response:
    """POST /dashboard/account/github/unlink."""
    visitor = request[VISITOR]
    await request.app[CONTEXT].enactor.unlink_github(
        user_id=visitor.user.id, session_id=visitor.session.id, actor=visitor.actor
    )
    return web.Response(status=303, headers={"Location": f"{ACCOUNT}?saved=unlinked"})


def _missed(request: web.Request, problem: GitHubProblem, *, said: str = "") -> web.Response:
    request.app[MISSES].spend(signed_in.address_of(request))
    return show_problem(problem, said=said)


_SAID: Final = {"access_denied": DENIED, "redirect_uri_mismatch": WRONG_APP, "application_suspended": WRONG_APP}
"""What GitHub says instead of giving a code."""
_OF_REFUSAL: Final = {CODE_OVER: OVER, MISREGISTERED: WRONG_APP}

_OPEN = rights.page(rights.OPEN)
_CALLER = rights.page(rights.CALLER)
ROUTES = [
    rights.post(f"{PATH}/github/sign-in", begin, _OPEN),
    rights.get(SIGN_IN_BACK, callback, _OPEN),
    rights.post(f"{ACCOUNT}/github", link, _CALLER),
    rights.post(f"{ACCOUNT}/github/unlink", unlink, _CALLER),
]
