"""Who may do what to an app: its owner, and those who were granted something on it."""

from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import ALL, COLLABORATOR, Permission, Permissions
from service.domain.errors import Refused
from service.domain.model import App
from service.store import grants, users
from service.store.grants import Grant
from service.store.users import User
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.api.finding import Asked, app_in_path, find_app
from service.web.api.loading import show_app
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT

WHAT: Final = {
    Permission.VIEW: "see it, its releases and what runs",
    Permission.DEPLOY: "deploy code, change config vars, run commands, roll back",
    Permission.OPERATE: "scale, restart, maintenance, config vars, roll back",
    Permission.MANAGE: "rename, destroy and transfer it, and say who may do what",
    Permission.PROMOTE: "bring new code to it in production",
}
"""What a permission lets one do to an app."""


def show_permissions(of: Permissions) -> list[shapes.Json]:
    """Show permissions with what they let one do."""
    return [{"name": each.value, "description": WHAT[each]} for each in Permission if each in of]


async def permission_list(request: web.Request) -> web.Response:
    """GET /teams/permissions: those there are; an admin of a team has them all on its apps."""
    shown = show_permissions(ALL)
    return answers.answer_list(request, shown, lambda it: it, name=lambda it: str(it["name"]))


def _owner_shape(shown: shapes.AppShown) -> shapes.Json:
    it = shown.app
    email = shown.owner_email or shapes.team_email(shown.team_name)
    return {
        "app": {"id": it.id, "name": it.name},
        "created_at": shapes.moment(it.created_at),
        "id": shapes.constant_id(f"owner:{it.id}"),
        "permissions": show_permissions(ALL),
        "role": "owner",
        "updated_at": shapes.moment(it.created_at),
        "user": {"id": it.owner_id, "email": email, "federated": False},
    }


def _shape(it: Grant, app: App) -> shapes.Json:
    return {
        "app": {"id": app.id, "name": app.name},
        "created_at": shapes.moment(it.created_at),
        "id": it.id,
        "permissions": show_permissions(it.permissions),
        "role": "collaborator",
        "updated_at": shapes.moment(it.updated_at),
        "user": {"id": it.user_id, "email": it.email, "federated": False},
    }


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/collaborators: its owner first, if it has one."""
    asked = app_in_path(request)

    def read(conn: Connection) -> tuple[shapes.AppShown, list[Grant]]:
        app = find_app(conn, asked)
        return show_app(conn, app), grants.of_app(conn, app.id)

    shown, granted = await request.app[CONTEXT].db.read(read)
    owner = [] if shown.app.owner_id is None else [_owner_shape(shown)]
    return answers.answer_list(
        request,
        [*owner, *(_shape(each, shown.app) for each in granted)],
        lambda it: it,
        role=lambda it: "" if it["role"] == "owner" else it["user"]["email"],
        id=lambda it: it["id"],
    )


def to_let_in(conn: Connection, asked: Asked, named: str) -> tuple[App, User]:
    """The app, and whom an id or address means; refuses who is not there, or has a say in it already."""
    app, user = find_app(conn, asked), users.find(conn, named)
    if user is None:
        raise Refused(f"user: there is no user {named} here. Ask an administrator: towpath users:create {named}")
    if grants.find(conn, app.id, user.id) is not None:
        raise Refused(f"user: {user.email} has access to {app.name} already; change what with access:update")
    if (app.owner_type, app.owner_id) == ("user", user.id):
        raise Refused(f"user: {app.name} is {user.email}'s own")
    return app, user


async def create(request: web.Request) -> web.Response:
    """POST /apps/APP/collaborators: anybody with an account, by their address."""
    context, caller, asked = request.app[CONTEXT], request[CALLER], app_in_path(request)
    body = await bodies.parse(request, account_bodies.CreateCollaborator)
    named = account_bodies.person(body.user)

    app, user = await context.db.read(lambda conn: to_let_in(conn, asked, named))
    granted = await context.enactor.grant(
        app_id=app.id,
        user_id=user.id,
        permissions=COLLABORATOR if body.permissions is None else frozenset(body.permissions),
        by=caller.person,
        actor=caller.actor,
    )
    return answers.answer(request, _shape(granted, app), status=201)


async def _found(request: web.Request) -> tuple[App, Grant]:
    asked, named = app_in_path(request), request.match_info["collaborator"]

    def read(conn: Connection) -> tuple[App, Grant | None]:
        app = find_app(conn, asked)
        return app, grants.find(conn, app.id, named)

    app, grant = await request.app[CONTEXT].db.read(read)
    if grant is None:
        raise not_found("collaborator")
    return app, grant


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/collaborators/COLLABORATOR, by id or address."""
    app, grant = await _found(request)
    return answers.answer(request, _shape(grant, app))


async def change(request: web.Request) -> web.Response:
    """PATCH /teams/apps/APP/collaborators/COLLABORATOR: exactly these permissions."""
    body = await bodies.parse(request, account_bodies.ChangeCollaborator)
    app, grant = await _found(request)
    granted = await request.app[CONTEXT].enactor.grant(
        app_id=app.id,
        user_id=grant.user_id,
        permissions=frozenset(body.permissions),
        by=request[CALLER].person,
        actor=request[CALLER].actor,
    )
    return answers.answer(request, _shape(granted, app))


async def remove(request: web.Request) -> web.Response:
    """DELETE /apps/APP/collaborators/COLLABORATOR: whoever manages the app anybody, everybody themselves."""
    app, grant = await _found(request)
    caller, asked = request[CALLER], app_in_path(request)
    if grant.user_id != caller.user_id:
        await request.app[CONTEXT].db.read(lambda conn: find_app(conn, asked, Permission.MANAGE))
    await request.app[CONTEXT].enactor.ungrant(app_id=app.id, grant=grant, actor=caller.actor)
    return answers.answer(request, _shape(grant, app))


_MANAGE = rights.account(rights.app(Permission.MANAGE))
ROUTES = [rights.get("/teams/permissions", permission_list, rights.CALLER)] + [
    route
    for all_ in ("/apps/{app}/collaborators", "/teams/apps/{app}/collaborators")
    for route in (
        rights.get(all_, listing, rights.app()),
        rights.post(all_, create, _MANAGE),
        rights.get(f"{all_}/{{collaborator}}", info, rights.app()),
        rights.patch(f"{all_}/{{collaborator}}", change, _MANAGE),
        rights.delete(f"{all_}/{{collaborator}}", remove, rights.account(rights.app())),
    )
]
