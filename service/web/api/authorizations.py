"""OAuth authorizations, as Heroku calls API tokens: each is shown once, and only its beginning from then on."""

from datetime import datetime, timedelta

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import TokenScope
from service.store import tokens
from service.store.tokens import Token
from service.web import rights
from service.web.api import account_bodies, answers, bodies, shapes
from service.web.errors import error_response, not_found
from service.web.keys import CALLER, CONTEXT, Caller

_CLIENT = {"id": shapes.constant_id("client:towpath"), "ignores_delinquent": True, "name": "Towpath"}


def _shape(it: Token, caller: Caller, now: datetime, *, secret: str = "") -> shapes.Json:
    """Show a token; `secret` once, when it was made just now."""
    left = None if it.expires_at is None else max(0, round((it.expires_at - now).total_seconds()))
    return {
        "access_token": {"id": it.id, "token": secret or f"{it.prefix}...", "expires_in": left},
        "client": _CLIENT,
        "created_at": shapes.moment(it.created_at),
        "description": it.description,
        "grant": None,
        "id": it.id,
        "refresh_token": None,
        "scope": [each.value for each in it.scopes],
        "session": None,
        "updated_at": shapes.moment(it.rotated_at or it.created_at),
        "user": {"id": caller.user_id, "email": caller.user.email, "full_name": caller.user.name or None},
        "expires_at": shapes.moment(it.expires_at),
        "last_used_at": shapes.moment(it.last_used_at),
        "current": it.id == caller.token.id,
    }


def _find(conn: Connection, caller: Caller, named: str) -> Token:
    """One of the caller's own, `~` the one in use: those of others are not there."""
    token = tokens.get(conn, caller.token.id if named == "~" else named)
    if token is None or token.user_id != caller.user_id:
        raise not_found("authorization")
    return token


async def _found(request: web.Request) -> Token:
    caller, named = request[CALLER], request.match_info["authorization"]
    return await request.app[CONTEXT].db.read(lambda conn: _find(conn, caller, named))


async def listing(request: web.Request) -> web.Response:
    """GET /oauth/authorizations: one's own."""
    db, caller = request.app[CONTEXT].db, request[CALLER]
    listed, now = await db.read(lambda conn: tokens.of_user(conn, caller.user_id)), db.now()
    return answers.answer_list(
        request,
        listed,
        lambda it: _shape(it, caller, now),
        created_at=lambda it: it.created_at,
        id=lambda it: it.id,
        description=lambda it: it.description,
    )


async def create(request: web.Request) -> web.Response:
    """POST /oauth/authorizations: the only answer that holds the token itself."""
    context, caller = request.app[CONTEXT], request[CALLER]
    body = await bodies.parse(request, account_bodies.CreateAuthorization)
    made, secret = await context.enactor.create_token(
        user_id=caller.user_id,
        description=body.description or "Long-lived user authorization",
        lasts=None if body.expires_in is None else timedelta(seconds=body.expires_in),
        scopes=body.scope or [TokenScope.GLOBAL],
        actor=caller.actor,
    )
    shape = _shape(made, caller, context.db.now(), secret=secret)
    return answers.answer(request, shape, status=201, headers=answers.OF_SECRETS)


async def info(request: web.Request) -> web.Response:
    """GET /oauth/authorizations/AUTHORIZATION."""
    return answers.answer(request, _shape(await _found(request), request[CALLER], request.app[CONTEXT].db.now()))


async def regenerate(request: web.Request) -> web.Response:
    """POST /oauth/authorizations/AUTHORIZATION/actions/regenerate-tokens: another token in its place, shown once."""
    context, caller, found = request.app[CONTEXT], request[CALLER], await _found(request)
    token, secret = await context.enactor.rotate_token(token_id=found.id, actor=caller.actor)
    return answers.answer(request, _shape(token, caller, context.db.now(), secret=secret), headers=answers.OF_SECRETS)


async def revoke(request: web.Request) -> web.Response:
    """DELETE /oauth/authorizations/AUTHORIZATION."""
    context, caller, found = request.app[CONTEXT], request[CALLER], await _found(request)
    revoked = await context.enactor.revoke_token(token_id=found.id, actor=caller.actor)
    return answers.answer(request, _shape(revoked, caller, context.db.now()))


async def no_session(_request: web.Request) -> web.Response:
    """DELETE /oauth/sessions/SESSION: there are none; Heroku's CLI takes this for its logout."""
    return error_response("not_found", "Couldn't find that session.", resource="session")


_ONE = "/oauth/authorizations/{authorization}"
ROUTES = [
    rights.get("/oauth/authorizations", listing, rights.ACCOUNT),
    rights.post("/oauth/authorizations", create, rights.ACCOUNT),
    rights.get(_ONE, info, rights.ACCOUNT),
    rights.delete(_ONE, revoke, rights.ACCOUNT),
    rights.post(f"{_ONE}/actions/regenerate-tokens", regenerate, rights.ACCOUNT),
    rights.delete("/oauth/sessions/{session}", no_session, rights.CALLER),
]
