"""Accepting an invitation: the page that its link opens, where whoever was invited makes their account.

Nothing is done by looking at it. The link is what its forms prove themselves by, and it is good for one account.
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.store import teams, users
from service.store.github_identities import Journey
from service.store.teams import Invitation
from service.web import rights
from service.web.keys import CONTEXT
from service.web.pages import signed_in
from service.web.pages.github_sign_in import depart
from service.web.pages.rendering import page
from service.web.pages.sign_in import check_misses, welcome_new
from service.web.pages.signed_in import MISSES, PATH, form_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a link opens: an invitation, to which team, and by whom."""

    invitation: Invitation
    team: str
    inviter: str


async def ask(request: web.Request) -> web.Response:
    """GET /dashboard/invitations/LINK: to what one is invited, and as whom."""
    opened = await _opened(request)
    if opened is None:
        return _opens_nothing(request)
    context = request.app[CONTEXT]
    signs_in = context.identity.signs_in
    return page(
        "dashboard/invitation.html",
        visitor=None,
        it=opened,
        action=request.path,
        signs_in=signs_in,
        forms_to=signed_in.github_of(context.settings) if signs_in else "",
    )


async def accept(request: web.Request) -> web.Response:
    """POST /dashboard/invitations/LINK: make the account, and begin a session in this browser."""
    await form_of(request)
    opened = await _opened(request)
    joined = None
    if opened is not None:
        joined = await request.app[CONTEXT].enactor.accept_invitation(
            invitation_id=opened.invitation.id, github=None, former=signed_in.session_of(request)
        )
    return _opens_nothing(request) if joined is None else welcome_new(request, joined)


async def accept_with_github(request: web.Request) -> web.Response:
    """POST /dashboard/invitations/LINK/github: off to GitHub, to come back with the account that is to be linked."""
    await form_of(request)
    opened = await _opened(request)
    if opened is None:
        return _opens_nothing(request)
    return await depart(request, Journey(next_path=PATH, session_id=None, invitation_id=opened.invitation.id))


async def _opened(request: web.Request) -> Opened | None:
    """What the link in the path opens; None when that is nothing, or nothing any more."""
    check_misses(request)
    db, secret = request.app[CONTEXT].db, request.match_info["link"]

    def read(conn: Connection) -> Opened | None:
        found = teams.by_link(conn, secret, db.now())
        team = teams.find(conn, found.team_id) if found else None
        inviter = users.get(conn, found.invited_by) if found else None
        if found is None or team is None or inviter is None or not inviter.is_admin:
            return None
        return Opened(invitation=found, team=team.name, inviter=inviter.email)

    return await db.read(read)


def _opens_nothing(request: web.Request) -> web.Response:
    request.app[MISSES].spend(signed_in.address_of(request))
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
