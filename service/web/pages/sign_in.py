"""How a browser comes to be signed in: by a link that `towpath dashboard` prints.

Nothing is done by looking at a link, so that a chat that looks at links uses none up: the page says as whom one is
about to be signed in, and its button does it. The link is what that form proves itself by. Whatever other ways there
will be end in `welcome_in`, too.
"""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.errors import Refused
from service.enacting.invitations import Joined
from service.store import sessions, users
from service.store.users import User
from service.web import rights
from service.web.keys import CONTEXT, VISITOR
from service.web.pages import signed_in
from service.web.pages.rendering import page
from service.web.pages.signed_in import MISSES, PATH


async def how(request: web.Request) -> web.Response:
    """GET /dashboard/sign-in: what to do to be let in."""
    return signed_in.how_to_sign_in(request)


async def ask(request: web.Request) -> web.Response:
    """GET /dashboard/sign-in/LINK: as whom one would be signed in by it."""
    user = await _user_of(request)
    if user is None:
        return _opens_nothing(request)
    return page("dashboard/sign_in_link.html", visitor=None, user=user, action=request.path)


async def use(request: web.Request) -> web.Response:
    """POST /dashboard/sign-in/LINK: use the link up, and begin a session in this browser."""
    check_misses(request)
    former = signed_in.session_of(request)
    session = await request.app[CONTEXT].enactor.sign_in(link=request.match_info["link"], former=former)
    return _opens_nothing(request) if session is None else welcome_in(request, session)


def welcome_in(request: web.Request, session: str, *, to: str = PATH) -> web.Response:
    """Lead a browser that is signed in from now on to the dashboard, or to what it wanted there."""
    response = web.Response(status=303, headers={"Location": to, "Cache-Control": "no-store"})
    signed_in.give_session(request, response, session)
    return response


def welcome_new(request: web.Request, joined: Joined) -> web.Response:
    """Welcome somebody who has just got an account; the only page that shows their first token."""
    context = request.app[CONTEXT]
    response = page(
        "dashboard/joined.html", visitor=None, user=joined.user, token=joined.token, url=context.settings.url
    )
    signed_in.give_session(request, response, joined.session)
    return response


async def leave(request: web.Request) -> web.Response:
    """POST /dashboard/sign-out: end the session of this browser."""
    secret = signed_in.session_of(request)
    await request.app[CONTEXT].enactor.sign_out(session=secret, actor=request[VISITOR].actor)
    response = web.Response(status=303, headers={"Location": f"{PATH}/sign-in", "Cache-Control": "no-store"})
    signed_in.take_session(request, response)
    return response


async def _user_of(request: web.Request) -> User | None:
    """Whom the link in the path lets in; None when it opens nothing, or nothing any more."""
    check_misses(request)
    db, secret = request.app[CONTEXT].db, request.match_info["link"]

    def read(conn: Connection) -> User | None:
        link = sessions.link(conn, secret)
        return users.get(conn, link.user_id) if link and sessions.opens(conn, link, db.now()) else None

    return await db.read(read)


def _opens_nothing(request: web.Request) -> web.Response:
    count_miss(request)
    return page("dashboard/link_over.html", status=410, visitor=None)


def check_misses(request: web.Request) -> None:
    """Refuse whoever has tried too many ways in that open nothing."""
    misses = request.app[MISSES]
    if misses.is_spent(signed_in.address_of(request)):
        raise Refused(f"Too much that opens nothing came from you: again in {misses.wait()} s.", code="rate_limit")


def count_miss(request: web.Request) -> None:
    """Count a way in that opens nothing; not one that a page of others has led the browser to: it would lock it out."""
    if request.headers.get("Sec-Fetch-Site") not in {"cross-site", "same-site"}:
        request.app[MISSES].spend(signed_in.address_of(request))


_OPEN = rights.page(rights.OPEN)
ROUTES = [
    rights.get(f"{PATH}/sign-in", how, _OPEN),
    rights.get(f"{PATH}/sign-in/{{link}}", ask, _OPEN),
    rights.post(f"{PATH}/sign-in/{{link}}", use, _OPEN),
    rights.post(f"{PATH}/sign-out", leave, rights.page(rights.CALLER)),
]
