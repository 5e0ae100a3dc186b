"""Accepting an invitation: the page that its link opens, where whoever was invited makes their account.

Nothing is done by looking at it. The link is what its forms prove themselves by, and it is good for one account.
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.store import sessions, teams, users
from service.store.github_identities import Journey
from service.store.teams import Invitation
from service.store.users import User
from service.web import rights
from service.web.keys import CONTEXT
from service.web.pages import signed_in
from service.web.pages.github_sign_in import depart
from service.web.pages.rendering import page
from service.web.pages.sign_in import check_misses, count_miss, welcome_new
from service.web.pages.signed_in import PATH, Form, form_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a link opens: an invitation, to which team, and by whom; `visitor` is who is signed in here, if anybody."""

    invitation: Invitation
    team: str
    inviter: str
    visitor: User | None


async def ask(request: web.Request) -> web.Response:
    """GET /dashboard/invitations/LINK: to what one is invited, and as whom."""
    opened = await _opened(request)
    return _opens_nothing(request) if opened is None else _show(request, opened)


def _show(request: web.Request, opened: Opened, *, status: int = 200) -> web.Response:
    context = request.app[CONTEXT]
    signs_in = context.identity.signs_in
    return page(
        "dashboard/invitation.html",
        status=status,
        visitor=None,
        it=opened,
        action=request.path,
        signs_in=signs_in,
        forms_to=signed_in.github_of(context.settings) if signs_in else "",
    )


async def accept(request: web.Request) -> web.Response:
    """POST /dashboard/invitations/LINK: make the account, and begin a session in this browser."""
    form, opened = await form_of(request), await _opened(request)
    if opened is None:
        return _opens_nothing(request)
    if not _knows(form, opened):
        return _show(request, opened, status=409)
    joined = await request.app[CONTEXT].enactor.accept_invitation(
        invitation_id=opened.invitation.id, github=None, former=signed_in.session_of(request)
    )
    return _opens_nothing(request) if joined is None else welcome_new(request, joined)


async def accept_with_github(request: web.Request) -> web.Response:
    """POST /dashboard/invitations/LINK/github: off to GitHub, to come back with the account that is to be linked."""
    form, opened = await form_of(request), await _opened(request)
    if opened is None:
        return _opens_nothing(request)
    if not _knows(form, opened):
        return _show(request, opened, status=409)
    return await depart(request, Journey(next_path=PATH, session_id=None, invitation_id=opened.invitation.id))


def _knows(form: Form, opened: Opened) -> bool:
    """Whether the page has told whose session ends in this browser; most often nobody's."""
    return form.get("ends", "") == (opened.visitor.id if opened.visitor else "")


async def _opened(request: web.Request) -> Opened | None:
    """What the link in the path opens; None when that is nothing, or nothing any more."""
    check_misses(request)
    db, secret = request.app[CONTEXT].db, request.match_info["link"]
    own = signed_in.session_of(request)

    def read(conn: Connection) -> Opened | None:
        found = teams.by_link(conn, secret, db.now())
        team = teams.find(conn, found.team_id) if found else None
        inviter = users.get(conn, found.invited_by) if found else None
        if found is None or team is None or inviter is None or not inviter.is_admin:
            return None
        session = sessions.by_secret(conn, own, db.now()) if own else None
        visitor = users.get(conn, session.user_id) if session else None
        return Opened(invitation=found, team=team.name, inviter=inviter.email, visitor=visitor)

    return await db.read(read)


def _opens_nothing(request: web.Request) -> web.Response:
    count_miss(request)
    title = "This invitation has been used, taken back or has expired"
    text = "An invitation is good for one account, for seven days. Whoever sent it can send you another one."
    return signed_in.problem(title, text, status=410)


_ONE: Final = f"{PATH}/invitations/{{link}}"
_OPEN: Final = rights.page(rights.OPEN)
ROUTES = [
    rights.get(_ONE, ask, _OPEN),
    rights.post(_ONE, accept, _OPEN),
    rights.post(f"{_ONE}/github", accept_with_github, _OPEN),
]
