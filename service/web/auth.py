"""Who is asking, and whether they may: every route says what it takes, and this is where that is asked for.

Bearer is what Heroku's CLI sends; Basic with the token as password (any user) is what `git` and `heroku3` send.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from service.domain.access import token_may
from service.domain.errors import Refused, Transient
from service.store import sight, tokens, users
from service.store.database import Database
from service.store.tokens import Token
from service.web.admission import check_path
from service.web.errors import error_response
from service.web.keys import CALLER, CONTEXT, Caller
from service.web.rights import Of, Right, right_of

log = structlog.get_logger()


def is_open(request: web.Request) -> bool:
    """Whether the path is served without a token."""
    right = right_of(request)
    return right.is_page or right.of is Of.OPEN


def token_of(request: web.Request) -> str | None:
    """Read the token from the Authorization header, or None when there is none that can be read."""
    scheme, _, value = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    value = value.strip()
    match scheme.lower():
        case "bearer" | "token":
            return value or None
        case "basic":
            try:
                _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            return password or None
        case _:
            return None


async def _admitted(request: web.Request, right: Right) -> Caller | None:
    """Find whose token came with the request and check that they may do what it asks; None without a good token."""
    secret = token_of(request)
    if secret is None:
        return None
    db = request.app[CONTEXT].db
    now, path, method = db.now(), request.match_info, request.method

    def read(conn: Connection) -> Caller | None:
        token = tokens.by_secret(conn, secret, now)
        user = users.get(conn, token.user_id) if token else None
        if token is None or user is None:
            return None
        caller = Caller(user=user, person=sight.person(conn, user), token=token)
        if right.of is not Of.OPEN:
            _check_token(caller, right, method)
            check_path(conn, caller.person, right, path)
        return caller

    return await db.read(read)


def _check_token(caller: Caller, right: Right, method: str) -> None:
    act = right.done_by(method)
    if not token_may(caller.token.scopes, act):
        has = ", ".join(caller.token.scopes)
        raise Refused(f"This token is good for {has}; that does not cover this request ({act}).", code="forbidden")


class Uses:
    """Notes what is in use, behind the requests: nobody who only reads waits for whoever writes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._writing: dict[str, asyncio.Task[None]] = {}

    def note(self, what: str, write: Callable[[Connection], None]) -> None:
        """Note a use of a thing, by its id, unless that is being done."""
        if what not in self._writing:
            self._writing[what] = asyncio.create_task(self._write(what, write))

    async def _write(self, what: str, write: Callable[[Connection], None]) -> None:
        try:
            await self._db.write(write)
        except (Transient, DBAPIError) as trouble:  # nothing depends on it
            log.warning("use not noted", reason=str(trouble))
        finally:
            del self._writing[what]

    async def finish(self, _app: web.Application) -> None:
        """Let what is being noted be written."""
        await asyncio.gather(*self._writing.values())


USES: web.AppKey[Uses] = web.AppKey("uses", Uses)


@web.middleware
async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request pass with its caller named, or answer 401, 403 or 404."""
    right = right_of(request)
    if right.is_page:
        return await handler(request)
    caller = await _admitted(request, right)
    if caller is not None:
        request[CALLER] = caller
        _note_use(request, caller.token)
    elif right.of is not Of.OPEN:
        message = "Invalid credentials provided." if token_of(request) else "There were no credentials provided."
        # No Basic challenge to API clients: a browser would pop up a dialog. git's own paths add theirs.
        return error_response("unauthorized", message, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="Towpath"'})
    return await handler(request)


def _note_use(request: web.Request, token: Token) -> None:
    now = request.app[CONTEXT].db.now()
    if tokens.is_stale(token, now):
        request.app[USES].note(token.id, lambda conn: tokens.used(conn, token.id, now))
