"""Who one is here: the account, the one on GitHub that lets one in, and the teams one is in."""

from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from service.store import github_identities, teams
from service.store.github_identities import Identity
from service.store.teams import Team
from service.web import rights
from service.web.keys import CONTEXT, VISITOR
from service.web.pages import signed_in
from service.web.pages.github_sign_in import ACCOUNT
from service.web.pages.rendering import page

_SAVED = {
    "linked": "Linked. From now on you can sign in with GitHub.",
    "unlinked": "Unlinked. Browsers that were signed in so are signed out, but for this one.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the visitor beside their account."""

    identity: Identity | None
    teams: list[Team]


async def account(request: web.Request) -> web.Response:
    """GET /dashboard/account."""
    context, visitor = request.app[CONTEXT], request[VISITOR]

    def read(conn: Connection) -> Known:
        mine = [each for each in teams.listing(conn) if each.id in visitor.person.teams]
        return Known(identity=github_identities.of_user(conn, visitor.user.id), teams=mine)

    known = await context.db.read(read)
    signs_in = context.identity.signs_in
    return page(
        "dashboard/account.html",
        visitor=visitor,
        known=known,
        roles=visitor.person.teams,
        signs_in=signs_in,
        is_given=context.identity.is_given,
        saved=_SAVED.get(request.query.get("saved", ""), ""),
        now=context.db.now(),
        forms_to=signed_in.github_of(context.settings) if signs_in else "",
    )


ROUTES = [rights.get(ACCOUNT, account, rights.page(rights.CALLER))]
