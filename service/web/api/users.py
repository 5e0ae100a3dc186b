"""The installation's users, for its administrators. Towpath's own: Heroku's people sign up by themselves."""

from aiohttp import web

from service.domain.errors import Refused
from service.store import users
from service.store.users import UserChange
from service.web import rights
from service.web.api import account_bodies, answers, bodies
from service.web.api.account import shape
from service.web.api.finding import find_user, in_path
from service.web.keys import CALLER, CONTEXT


async def listing(request: web.Request) -> web.Response:
    """GET /users."""
    listed = await request.app[CONTEXT].db.read(users.listing)
    return answers.answer_list(
        request, listed, shape, email=lambda it: it.email, id=lambda it: it.id, created_at=lambda it: it.created_at
    )


async def create(request: web.Request) -> web.Response:
    """POST /users: the only answer that holds the new user's token."""
    body = await bodies.parse(request, account_bodies.CreateUser)
    made, secret = await request.app[CONTEXT].enactor.create_user(
        email=body.email,
        name=body.name,
        is_admin=body.admin,
        github_login=body.github,
        actor=request[CALLER].actor,
    )
    shown = shape(made) | {"access_token": {"token": secret}}
    return answers.answer(request, shown, status=201, headers=answers.OF_SECRETS)


async def change(request: web.Request) -> web.Response:
    """PATCH /users/USER: what is sent; the rest stays."""
    body, asked = await bodies.parse(request, account_bodies.ChangeUser), in_path(request, "user")
    found = await request.app[CONTEXT].db.read(lambda conn: find_user(conn, asked))
    wanted = UserChange()
    if body.name is not None:
        wanted["name"] = body.name
    if body.admin is not None:
        wanted["admin"] = body.admin
    if "github" in body.model_fields_set:
        wanted["github_login"] = body.github
    if not wanted:
        raise Refused("Nothing is to be changed: send name, admin or github.")
    changed = await request.app[CONTEXT].enactor.change_user(
        user_id=found.id, change=wanted, actor=request[CALLER].actor
    )
    return answers.answer(request, shape(changed))


async def remove(request: web.Request) -> web.Response:
    """DELETE /users/USER: `left` names their apps and pipelines, which are the administrators' from now on."""
    context, caller, asked = request.app[CONTEXT], request[CALLER], in_path(request, "user")
    found = await context.db.read(lambda conn: find_user(conn, asked))
    removed, left = await context.enactor.remove_user(user_id=found.id, by=caller.user_id, actor=caller.actor)
    return answers.answer(request, shape(removed) | {"left": left})


ROUTES = [
    rights.get("/users", listing, rights.account(rights.ADMIN)),
    rights.post("/users", create, rights.account(rights.ADMIN)),
    rights.patch("/users/{user}", change, rights.account(rights.ADMIN)),
    rights.delete("/users/{user}", remove, rights.account(rights.ADMIN)),
]
