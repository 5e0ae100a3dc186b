"""Who is asking: every path needs a token, except those listed here by name.

Bearer is what Heroku's CLI sends; Basic with the token as password (any user) is what `git` and `heroku3` send.
"""

import base64
import binascii

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from service.store import users
from service.web.errors import error_response
from service.web.keys import CALLER, CONTEXT, Caller

# These prove themselves otherwise (by a signature, an unguessable key in the address, a session) or tell nothing.
_OPEN_PATHS = frozenset(
    {
        "/",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/github/webhooks",
        "/log-sessions/{key}",
        "/builds/{build}/output",
        "/releases/{release}/output",
    }
)
_OPEN_TREES = ("/dashboard", "/static", "/github/setup")


def is_open(request: web.Request) -> bool:
    """Whether the path is served without a token. Paths that do not exist are: they answer 404 to everybody."""
    resource = request.match_info.route.resource
    if resource is None:
        return True
    path = resource.canonical
    return path in _OPEN_PATHS or any(path == tree or path.startswith(f"{tree}/") for tree in _OPEN_TREES)


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


async def identify(request: web.Request) -> Caller | None:
    """Find whose token came with the request."""
    token = token_of(request)
    if token is None:
        return None
    db = request.app[CONTEXT].db
    now = db.now()
    user = await db.read(lambda conn: users.by_token(conn, token, now))
    return None if user is None else Caller(user_id=user.id, email=user.email, name=user.name)


@web.middleware
async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request pass with its caller named, or answer 401."""
    caller = await identify(request)
    if caller is not None:
        request[CALLER] = caller
    elif not is_open(request):
        message = "Invalid credentials provided." if token_of(request) else "There were no credentials provided."
        # No Basic challenge to API clients: a browser would pop up a dialog. git's own paths add theirs.
        return error_response("unauthorized", message, headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="Towpath"'})
    return await handler(request)
