"""The API tokens of whoever is signed in: which there are, another one, and an end to one.

A token is shown by the answer to the form that made it, and never again: loading that page anew asks for another token.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import TokenScope
from service.domain.errors import Refused
from service.store import tokens
from service.store.tokens import Token
from service.web import rights
from service.web.api import account_bodies, bodies
from service.web.errors import STATUS_OF_ID, not_found
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, Form, form_of

TOKENS: Final = f"{PATH}/account/tokens"
MEANING: Final[Mapping[TokenScope, str]] = {
    TokenScope.GLOBAL: "everything that you may do, also who may do what",
    TokenScope.WRITE_PROTECTED: "sees and changes apps and pipelines, also config vars",
    TokenScope.WRITE: "sees and changes apps and pipelines, but no config vars",
    TokenScope.READ_PROTECTED: "sees apps and pipelines, also config vars",
    TokenScope.READ: "sees apps and pipelines, but no config vars",
    TokenScope.IDENTITY: "only says who you are",
}
LASTS: Final[Mapping[str, str]] = {"30": "in 30 days", "90": "in 90 days", "365": "in a year", "": "never"}
_ALREADY: Final = "There is no such token of yours, or not any more. Nothing was done."


async def _show(
    request: web.Request,
    *,
    made: tuple[Token, str] | None = None,
    wrong: Refused | None = None,
    entered: Mapping[str, str] | None = None,
) -> web.Response:
    """The page; `made` is shown with its secret, and `wrong` is said where `entered` was, else above all."""
    context, visitor = request.app[CONTEXT], request[VISITOR]
    listed = await context.db.read(lambda conn: tokens.of_user(conn, visitor.user.id))
    return page(
        "dashboard/tokens.html",
        status=STATUS_OF_ID.get(wrong.code, 422) if wrong else 200,
        visitor=visitor,
        tokens=listed,
        meaning={scope.value: text for scope, text in MEANING.items()},
        lasts=LASTS,
        made=made[0] if made else None,
        secret=made[1] if made else "",
        error=wrong.message if wrong else "",
        entered=entered or {},
        is_revoked="revoked" in request.query and not made and not wrong,
        now=context.db.now(),
    )


async def show(request: web.Request) -> web.Response:
    """GET /dashboard/account/tokens."""
    return await _show(request)


def _wanted(form: Form) -> account_bodies.CreateAuthorization:
    """What the form asks for, with a name: that is how people tell one token from another."""
    name, scope, lasts = (str(form.get(each, "")).strip() for each in ("description", "scope", "lasts"))
    if not name or len(name) > 255:
        raise Refused("Say in up to 255 characters what it is for. No token was made.")
    if scope not in set(TokenScope):
        raise Refused("Choose what it is good for. No token was made.")
    if lasts not in LASTS:
        raise Refused("Choose when it expires. No token was made.")
    seconds = int(timedelta(days=int(lasts)).total_seconds()) if lasts else None
    values = {"description": name, "scope": [scope], "expires_in": seconds}
    return bodies.checked(account_bodies.CreateAuthorization, values)


async def make(request: web.Request) -> web.Response:
    """POST /dashboard/account/tokens: the only page that holds the token itself."""
    visitor, form = request[VISITOR], await form_of(request)
    try:
        wanted = _wanted(form)
    except Refused as refused:
        entered = {name: str(form.get(name, "")) for name in ("description", "scope", "lasts")}
        return await _show(request, wrong=refused, entered=entered)
    made = await request.app[CONTEXT].enactor.create_token(
        user_id=visitor.user.id,
        description=wanted.description or "",
        lasts=None if wanted.expires_in is None else timedelta(seconds=wanted.expires_in),
        scopes=wanted.scope or [],
        actor=visitor.actor,
    )
    return await _show(request, made=made)


async def revoke(request: web.Request) -> web.Response:
    """POST /dashboard/account/tokens/revoke: one of the visitor's own; those of others are not there."""
    context, visitor = request.app[CONTEXT], request[VISITOR]
    named = str((await form_of(request)).get("token", ""))

    def find(conn: Connection) -> Token | None:
        token = tokens.get(conn, named)
        return token if token is not None and token.user_id == visitor.user.id else None

    try:
        if await context.db.read(find) is None:
            raise not_found("token")
        await context.enactor.revoke_token(token_id=named, actor=visitor.actor)
    except Refused as refused:
        return await _show(request, wrong=Refused(_ALREADY, code=refused.code))
    # Its browsers go with it. When this one does, the address leads to how one signs in.
    return web.Response(status=303, headers={"Location": f"{TOKENS}?revoked"})


_ANYBODY: Final = rights.page(rights.CALLER)
ROUTES = [
    rights.get(TOKENS, show, _ANYBODY),
    rights.post(TOKENS, make, _ANYBODY),
    rights.post(f"{TOKENS}/revoke", revoke, _ANYBODY),
]
