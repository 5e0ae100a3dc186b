"""Who is invited to a team: addresses without an account, which are in it as soon as they have one."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import TeamRole
from service.store import teams, users
from service.store.teams import Invitation, Team
from service.store.users import User
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.api.finding import find_team, in_path
from service.web.api.teams import found
from service.web.keys import CALLER, CONTEXT


def _shape(it: Invitation, team: Team, invited_by: User | None) -> shapes.Json:
    by = {"id": it.invited_by, "email": invited_by.email if invited_by else "", "name": None}
    return {
        "created_at": shapes.moment(it.created_at),
        "id": it.id,
        "invited_by": by,
        "role": it.role.value,
        "team": {"id": team.id, "name": team.name},
        "updated_at": shapes.moment(it.updated_at),
        "user": {"id": shapes.constant_id(f"invited:{it.email}"), "email": it.email, "name": None},
    }


async def listing(request: web.Request) -> web.Response:
    """GET /teams/TEAM/invitations."""
    asked = in_path(request, "team")

    def read(conn: Connection) -> tuple[Team, list[Invitation], dict[str, User]]:
        team = find_team(conn, asked)
        return team, teams.invited(conn, team.id), {each.id: each for each in users.listing(conn)}

    team, listed, known = await request.app[CONTEXT].db.read(read)
    return answers.answer_list(
        request,
        listed,
        lambda it: _shape(it, team, known.get(it.invited_by)),
        email=lambda it: it.email,
        id=lambda it: it.id,
    )


async def put(request: web.Request) -> web.Response:
    """PUT /teams/TEAM/invitations: nothing is mailed; an administrator makes the account when they know of it."""
    context, caller, team = request.app[CONTEXT], request[CALLER], await found(request)
    body = await bodies.parse(request, account_bodies.SetMember)
    made = await context.enactor.invite(
        team=team, email=body.email, role=body.role, user_id=caller.user_id, actor=caller.actor
    )
    return answers.answer(request, _shape(made, team, caller.user), status=201)


async def revoke(request: web.Request) -> web.Response:
    """DELETE /teams/TEAM/invitations/INVITATION, by id or address."""
    context, caller, team = request.app[CONTEXT], request[CALLER], await found(request)
    named = request.match_info["invitation"]
    revoked = await context.enactor.revoke_invitation(team=team, invitation=named, actor=caller.actor)
    inviter = await context.db.read(lambda conn: users.get(conn, revoked.invited_by))
    return answers.answer(request, _shape(revoked, team, inviter))


_ALL = "/teams/{team}/invitations"
_ADMIN = rights.account(rights.team(TeamRole.ADMIN))
ROUTES = [
    rights.get(_ALL, listing, rights.team(TeamRole.ADMIN, TeamRole.MEMBER)),
    rights.put(_ALL, put, _ADMIN),
    rights.delete(f"{_ALL}/{{invitation}}", revoke, _ADMIN),
]
