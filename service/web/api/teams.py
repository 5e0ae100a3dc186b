"""Teams: those one is in, what they own, and giving what they own away."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, Permission, TeamRole, owner_of
from service.domain.model import App
from service.store import teams
from service.store.sight import seen_apps
from service.store.teams import Team
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.api.apps import list_apps, show
from service.web.api.finding import Asked, app_in_path, find_app, find_team, find_user, in_path
from service.web.api.loading import show_apps
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT


def shape(it: Team, role: TeamRole | None) -> shapes.Json:
    """Show a team, with what one is in it."""
    return {
        "created_at": shapes.moment(it.created_at),
        "credit_card_collections": False,
        "default": False,
        "enterprise_account": None,
        "id": it.id,
        "identity_provider": None,
        "membership_limit": None,
        "name": it.name,
        "provisioned_licenses": False,
        "role": None if role is None else role.value,
        "type": "team",
        "updated_at": shapes.moment(it.updated_at),
    }


async def found(request: web.Request) -> Team:
    """Find the team in the path."""
    asked = in_path(request, "team")
    return await request.app[CONTEXT].db.read(lambda conn: find_team(conn, asked))


def _answer(request: web.Request, team: Team, *, status: int = 200) -> web.Response:
    return answers.answer(request, shape(team, request[CALLER].person.role(team.id)), status=status)


async def listing(request: web.Request) -> web.Response:
    """GET /teams: those one is in."""
    by = request[CALLER].person
    listed = await request.app[CONTEXT].db.read(teams.listing)
    return answers.answer_list(
        request,
        [team for team in listed if by.role(team.id) is not None],
        lambda it: shape(it, by.role(it.id)),
        name=lambda it: it.name,
        id=lambda it: it.id,
    )


async def create(request: web.Request) -> web.Response:
    """POST /teams: whoever makes one is its first admin."""
    caller = request[CALLER]
    body = await bodies.parse(request, account_bodies.CreateTeam)
    made = await request.app[CONTEXT].enactor.create_team(name=body.name, user_id=caller.user_id, actor=caller.actor)
    return answers.answer(request, shape(made, TeamRole.ADMIN), status=201)


async def info(request: web.Request) -> web.Response:
    """GET /teams/TEAM."""
    return _answer(request, await found(request))


async def change(request: web.Request) -> web.Response:
    """PATCH /teams/TEAM: its name."""
    body = await bodies.parse(request, account_bodies.ChangeTeam)
    team = await found(request)
    renamed = await request.app[CONTEXT].enactor.rename_team(team=team, name=body.name, actor=request[CALLER].actor)
    return _answer(request, renamed)


async def delete(request: web.Request) -> web.Response:
    """DELETE /teams/TEAM: refused while it owns anything."""
    team = await found(request)
    await request.app[CONTEXT].enactor.delete_team(team=team, actor=request[CALLER].actor)
    return _answer(request, team)


def _owned(conn: Connection, asked: Asked) -> list[App]:
    owner = Owner(type="team", id=find_team(conn, asked).id)
    return [app for app in seen_apps(conn, asked.by) if owner_of(app) == owner]


async def app_list(request: web.Request) -> web.Response:
    """GET /teams/TEAM/apps: those that one sees."""
    asked = in_path(request, "team")
    return list_apps(request, await request.app[CONTEXT].db.read(lambda conn: show_apps(conn, _owned(conn, asked))))


async def app_info(request: web.Request) -> web.Response:
    """GET /teams/apps/APP: an app of a team."""
    asked = app_in_path(request)
    app = await request.app[CONTEXT].db.read(lambda conn: find_app(conn, asked))
    if app.owner_type != "team":
        raise not_found("team app")
    return answers.answer(request, await show(request, app))


async def features(request: web.Request) -> web.Response:
    """GET /teams/TEAM/features: permissions on single apps, without which Heroku's CLI gives none."""
    team = await found(request)
    feature = {
        "created_at": shapes.moment(team.created_at),
        "description": "Permissions on single apps",
        "display_name": "Access controls",
        "doc_url": "",
        "enabled": True,
        "feedback_email": "",
        "id": shapes.constant_id("team-feature:org-access-controls"),
        "name": "org-access-controls",
        "state": "general",
        "updated_at": shapes.moment(team.created_at),
    }
    return answers.answer_list(request, [feature], lambda it: it, name=lambda it: str(it["name"]))


def new_owner(conn: Connection, asked: Asked) -> Owner:
    """Whom a transfer names: a team of one's own by id or name, else somebody by id or address."""
    team = teams.find(conn, asked.name)
    if team is not None and asked.by.role(team.id) is not None:
        return Owner(type="team", id=team.id)
    return Owner(type="user", id=find_user(conn, asked).id)


async def give(request: web.Request) -> web.Response:
    """PATCH /teams/apps/APP: to another team or person, at once."""
    context, caller, asked = request.app[CONTEXT], request[CALLER], app_in_path(request)
    body = await bodies.parse(request, account_bodies.ChangeTeamApp)
    to = Asked(by=caller.person, name=bodies.identity(body.owner))
    app, owner = await context.db.read(lambda conn: (find_app(conn, asked), new_owner(conn, to)))
    given = await context.enactor.transfer_app(app_id=app.id, to=owner, by=caller.person, actor=caller.actor)
    return answers.answer(request, await show(request, given))


ROUTES = [
    rights.get("/teams", listing, rights.CALLER),
    rights.post("/teams", create, rights.ACCOUNT),
    rights.get("/teams/apps/{app}", app_info, rights.app()),
    rights.patch("/teams/apps/{app}", give, rights.account(rights.app(Permission.MANAGE))),
    rights.get("/teams/{team}", info, rights.team()),
    rights.patch("/teams/{team}", change, rights.account(rights.team(TeamRole.ADMIN))),
    rights.delete("/teams/{team}", delete, rights.account(rights.team(TeamRole.ADMIN))),
    rights.get("/teams/{team}/apps", app_list, rights.team()),
    rights.get("/teams/{team}/features", features, rights.team()),
]
