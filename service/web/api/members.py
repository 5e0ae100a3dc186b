"""Who is in a team, and as what."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission, Person, TeamRole
from service.domain.errors import Refused
from service.domain.model import App
from service.store import sight, teams, users
from service.store.teams import Member
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.api.apps import list_apps
from service.web.api.finding import find_team, in_path
from service.web.api.loading import show_apps
from service.web.api.teams import found
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT


def _shape(it: Member) -> shapes.Json:
    return {
        "created_at": shapes.moment(it.created_at),
        "email": it.email,
        "federated": False,
        "id": it.id,
        "identity_provider": None,
        "role": it.role.value,
        "two_factor_authentication": False,
        "updated_at": shapes.moment(it.updated_at),
        "user": {"id": it.user_id, "email": it.email, "name": it.name or None},
    }


async def listing(request: web.Request) -> web.Response:
    """GET /teams/TEAM/members."""
    asked = in_path(request, "team")
    listed = await request.app[CONTEXT].db.read(lambda conn: teams.members(conn, find_team(conn, asked).id))
    return answers.answer_list(request, listed, _shape, email=lambda it: it.email, id=lambda it: it.id)


async def put(request: web.Request) -> web.Response:
    """PUT, POST and PATCH /teams/TEAM/members: have somebody in the team as this; POST and PATCH by what is there."""
    context, team = request.app[CONTEXT], await found(request)
    body = await bodies.parse(request, account_bodies.SetMember)
    there = await context.db.read(lambda conn: teams.member(conn, team.id, body.email))
    if request.method == "PATCH" and there is None:
        raise not_found("team member")
    if request.method == "POST" and there is not None:
        raise Refused(f"email: {body.email} is in the team already, as {there.role}")
    member = await context.enactor.set_member(team=team, email=body.email, role=body.role, actor=request[CALLER].actor)
    return answers.answer(request, _shape(member), status=201 if request.method == "POST" else 200)


async def remove(request: web.Request) -> web.Response:
    """DELETE /teams/TEAM/members/MEMBER: an admin anybody, everybody themselves."""
    context, caller, team = request.app[CONTEXT], request[CALLER], await found(request)
    member = await _member(request, team.id)
    if member.user_id != caller.user_id and caller.person.role(team.id) is not TeamRole.ADMIN:
        raise Refused("It takes an admin of the team to remove somebody else.", code="forbidden")
    await context.enactor.remove_member(team=team, member=member, actor=caller.actor)
    return answers.answer(request, _shape(member))


async def _member(request: web.Request, team_id: str) -> Member:
    named = request.match_info["member"]
    member = await request.app[CONTEXT].db.read(lambda conn: teams.member(conn, team_id, named))
    if member is None:
        raise not_found("team member")
    return member


async def app_list(request: web.Request) -> web.Response:
    """GET /teams/TEAM/members/MEMBER/apps: the team's apps that they see, of those that one sees oneself."""
    by, team = request[CALLER].person, await found(request)
    member = await _member(request, team.id)

    def read(conn: Connection) -> list[shapes.AppShown]:
        user = users.get(conn, member.user_id)
        theirs = sight.person(conn, user) if user else Person(id=member.user_id)
        return show_apps(conn, [app for app in _of_team(conn, by, team.id) if _sees(theirs, app)])

    return list_apps(request, await request.app[CONTEXT].db.read(read))


def _of_team(conn: Connection, by: Person, team_id: str) -> list[App]:
    return [app for app in sight.seen_apps(conn, by) if (app.owner_type, app.owner_id) == ("team", team_id)]


def _sees(person: Person, app: App) -> bool:
    return Permission.VIEW in sight.to_app(person, app)


_ALL = "/teams/{team}/members"
_ADMIN = rights.account(rights.team(TeamRole.ADMIN))
ROUTES = [
    rights.get(_ALL, listing, rights.team()),
    rights.put(_ALL, put, _ADMIN),
    rights.post(_ALL, put, _ADMIN),
    rights.patch(_ALL, put, _ADMIN),
    rights.delete(f"{_ALL}/{{member}}", remove, rights.account(rights.team())),
    rights.get(f"{_ALL}/{{member}}/apps", app_list, rights.team()),
]
