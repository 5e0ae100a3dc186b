"""Apps on their way to another owner: offered to a person, who may accept; to a team they go at once."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Owner, Permission
from service.domain.errors import Refused
from service.domain.model import App
from service.store import grants, users
from service.store.grants import Transfer, TransferState
from service.store.users import User
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.api.finding import Asked, find_app, in_body
from service.web.api.loading import app_names
from service.web.api.teams import new_owner
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, Caller


def _shape(it: Transfer, app_name: str, sender: User | None, recipient: User | None) -> shapes.Json:
    return {
        "app": {"id": it.app_id, "name": app_name},
        "created_at": shapes.moment(it.created_at),
        "id": it.id,
        "owner": {"id": it.sender_id, "email": sender.email if sender else ""},
        "recipient": {"id": it.recipient_id, "email": recipient.email if recipient else ""},
        "state": it.state.value,
        "updated_at": shapes.moment(it.updated_at),
    }


def _show(conn: Connection, listed: list[Transfer]) -> list[shapes.Json]:
    known, names = {each.id: each for each in users.listing(conn)}, app_names(conn)
    return [_shape(it, names.get(it.app_id, ""), known.get(it.sender_id), known.get(it.recipient_id)) for it in listed]


async def _answer(request: web.Request, it: Transfer, *, status: int = 200) -> web.Response:
    (shown,) = await request.app[CONTEXT].db.read(lambda conn: _show(conn, [it]))
    return answers.answer(request, shown, status=status)


def _find(conn: Connection, caller: Caller, transfer_id: str) -> Transfer:
    """One that the caller offered or was offered: those between others are not there."""
    found = grants.transfer(conn, transfer_id)
    if found is None or caller.user_id not in {found.sender_id, found.recipient_id}:
        raise not_found("app transfer")
    return found


async def _found(request: web.Request) -> Transfer:
    caller, transfer_id = request[CALLER], request.match_info["transfer"]
    return await request.app[CONTEXT].db.read(lambda conn: _find(conn, caller, transfer_id))


async def listing(request: web.Request) -> web.Response:
    """GET /account/app-transfers: offered by oneself or to oneself."""
    user_id = request[CALLER].user_id
    listed = await request.app[CONTEXT].db.read(lambda conn: _show(conn, grants.transfers_of(conn, user_id)))
    return answers.answer_list(
        request, listed, lambda it: it, created_at=lambda it: it["created_at"], id=lambda it: it["id"]
    )


async def create(request: web.Request) -> web.Response:
    """POST /account/app-transfers: to a person of the team it belongs to; a team has it by PATCH /teams/apps/APP."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, account_bodies.OfferApp)
    asked = in_body(request, body.app)
    somebody = Asked(by=caller.person, name=account_bodies.person(body.recipient))

    def read(conn: Connection) -> tuple[App, User]:
        app, owner = find_app(conn, asked, Permission.MANAGE), new_owner(conn, somebody)
        user = users.get(conn, owner.id) if owner == Owner(type="user", id=owner.id) else None
        if user is None:
            raise Refused(f"recipient: {somebody.name} is a team; transfer to it with PATCH /teams/apps/{app.name}")
        return app, user

    app, recipient = await context.db.read(read)
    offered = await context.enactor.offer_app(app_id=app.id, recipient=recipient, by=caller.person, actor=caller.actor)
    return await _answer(request, offered, status=201)


async def info(request: web.Request) -> web.Response:
    """GET /account/app-transfers/TRANSFER."""
    return await _answer(request, await _found(request))


async def change(request: web.Request) -> web.Response:
    """PATCH /account/app-transfers/TRANSFER: accept or decline what one was offered."""
    body = await bodies.parse(request, account_bodies.AnswerOffer)
    context, caller, found = request.app[CONTEXT], request[CALLER], await _found(request)
    if found.recipient_id != caller.user_id:
        raise Refused("Only whom the app was offered to can answer.", code="forbidden")
    accept = body.state == TransferState.ACCEPTED
    return await _answer(request, await context.enactor.answer_offer(transfer=found, accept=accept, actor=caller.actor))


async def withdraw(request: web.Request) -> web.Response:
    """DELETE /account/app-transfers/TRANSFER: take back what one has offered."""
    context, caller, found = request.app[CONTEXT], request[CALLER], await _found(request)
    if found.sender_id != caller.user_id:
        raise Refused("Only who offered the app can take that back; decline it.", code="forbidden")
    shown = await context.db.read(lambda conn: _show(conn, [found]))
    await context.enactor.withdraw_offer(transfer=found, actor=caller.actor)
    return answers.answer(request, shown[0])


_ONE = "/account/app-transfers/{transfer}"
ROUTES = [
    rights.get("/account/app-transfers", listing, rights.CALLER),
    rights.post("/account/app-transfers", create, rights.account(rights.BODY)),
    rights.get(_ONE, info, rights.CALLER),
    rights.patch(_ONE, change, rights.ACCOUNT),
    rights.delete(_ONE, withdraw, rights.ACCOUNT),
]
