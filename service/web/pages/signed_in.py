"""Who is signed in to the dashboard, and whether they may: a page takes the session of a browser, and no token.

The API takes tokens and no session, so that no other site can have it do anything in the name of whoever looks at that.
A form counts when it was sent from a page of ours, and brings along what only that page knows. How a browser comes to
be signed in is the business of `sign_in.py`.
"""

import hmac
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import MultiDictProxy
from sqlalchemy import Connection

from service.domain.errors import Refused, Transient
from service.settings import Settings
from service.store import sessions, sight, users
from service.store.database import Conflict
from service.web.admission import check_path
from service.web.auth import USES
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR, Visitor
from service.web.limits import ALLOWANCES, Allowances
from service.web.pages.rendering import page
from service.web.rights import Of, Right, right_of

PATH: Final = "/dashboard"
_READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_MISSES_AN_HOUR: Final = 60
_COOKIE: Final = "towpath_session"

MISSES: web.AppKey[Allowances] = web.AppKey("misses", Allowances)
"""How many links that open nothing a client may still try."""

log = structlog.get_logger()

Form = MultiDictProxy[str | bytes | bytearray | web.FileField]


def some_misses() -> Allowances:
    """As many as somebody may try who copies links badly; 256 bits are not guessed in any number."""
    return Allowances(_MISSES_AN_HOUR)


@web.middleware
async def signed_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the request for a page pass with its visitor named; what keeps it off is shown as a page, too."""
    right = right_of(request)
    if not right.is_page:
        unknown = request.match_info.route.resource is None and request.path.startswith(f"{PATH}/")
        if unknown and request.method in _READING:
            return problem("There is no such page", "Nothing is at this address.", status=404)
        return await handler(request)
    try:
        return await _answered(request, handler, right)
    except Refused as refused:
        return _refused(refused, request.get(VISITOR))
    except Conflict:
        text = "Somebody else changed this at the same moment. Nothing was done: look at it, and try again."
        return problem("Changed meanwhile", text, status=409, visitor=request.get(VISITOR))
    except Transient as trouble:
        # Not the address: that of a link is a secret.
        where = request.match_info.route.resource
        log.warning("page unavailable", page=where.canonical if where else "", reason=trouble.message)
        return problem("Not now", f"{trouble.message}. Load the page again in a moment.", status=503)


async def _answered(request: web.Request, handler: Handler, right: Right) -> web.StreamResponse:
    writes = request.method not in _READING
    if writes and not _from_our_page(request):
        raise Refused("This form was not sent from a page of this dashboard: nothing was done.", code="forbidden")
    if right.of is Of.OPEN:
        return await handler(request)
    visitor = await _visitor(request, right)
    if visitor is None:
        return how_to_sign_in(request, status=401, next_path=request.path_qs if not writes else "")
    allowances = request.app[ALLOWANCES]
    if allowances.per_hour and allowances.spend(f"session {visitor.session.id}".encode()) is None:
        raise Refused(f"This browser has asked for too much: again in {allowances.wait()} s.", code="rate_limit")
    if writes and not hmac.compare_digest(
        str((await form_of(request)).get("csrf", "")).encode(), visitor.csrf.encode()
    ):
        text = (
            "This form is of an earlier session, or was sent by somebody else: nothing was done. Load its page again."
        )
        raise Refused(text, code="forbidden")
    return await handler(request)


async def form_of(request: web.Request) -> Form:
    """What the form of a page has sent; raises `Refused` for what none of ours sends."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused("This was sent by no form of ours: nothing was done.", code="bad_request")
    try:
        form = await request.post()
    except (ValueError, LookupError):  # what is no text, or in no way of writing it that there is
        raise Refused("This form cannot be read: nothing was done.", code="bad_request") from None
    if any("\0" in str(value) for value in form.values()):
        raise Refused("This form holds a NUL character: nothing was done.", code="bad_request")
    return form


async def _visitor(request: web.Request, right: Right) -> Visitor | None:
    """Whose browser it is, checked against what the page takes; None for one that is not signed in."""
    secret = session_of(request)
    if not secret:
        return None
    db, path = request.app[CONTEXT].db, request.match_info
    now = db.now()

    def read(conn: Connection) -> tuple[Visitor | None, Refused | None]:
        session = sessions.by_secret(conn, secret, now)
        user = users.get(conn, session.user_id) if session else None
        if session is None or user is None:
            return None, None
        person = sight.person(conn, user)
        visitor = Visitor(user=user, person=person, session=session, csrf=sessions.csrf(secret))
        try:
            check_path(conn, person, right, path)
        except Refused as refused:
            return visitor, refused
        return visitor, None

    visitor, refused = await db.read(read)
    if visitor is None:
        return None
    request[VISITOR] = visitor
    if sessions.is_stale(visitor.session, now):
        request.app[USES].note(visitor.session.id, lambda conn: sessions.seen(conn, visitor.session.id, now))
    if refused is not None:
        raise refused
    return visitor


async def may_still(request: web.Request) -> bool:
    """Whether the page would still be shown, to be asked by what goes on for long."""
    try:
        return await _visitor(request, right_of(request)) is not None
    except Refused:
        return False


def _from_our_page(request: web.Request) -> bool:
    """Whether a form was sent from a page of ours: `Lax` keeps other sites away, but not apps of the same site."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get(hdrs.ORIGIN)
    ours = {request.host, urlsplit(request.app[CONTEXT].settings.url).netloc}
    return origin is None or origin.partition("://")[2] in ours


def _refused(refused: Refused, visitor: Visitor | None) -> web.Response:
    titles = {"not_found": "Not here", "forbidden": "Not allowed", "rate_limit": "Too many requests"}
    return problem(
        titles.get(refused.code, "That did not work"),
        "There is no such thing, or you may not see it." if refused.code == "not_found" else refused.message,
        status=STATUS_OF_ID.get(refused.code, 422),
        visitor=visitor,
    )


def how_to_sign_in(request: web.Request, *, status: int = 200, next_path: str = "") -> web.Response:
    """The page that says how one is let in; whoever signs in with GitHub goes on to `next_path`."""
    signs_in = request.app[CONTEXT].identity.signs_in
    return page(
        "dashboard/sign_in.html",
        status=status,
        visitor=None,
        signs_in=signs_in,
        next_path=next_path,
        forms_to=github_of(request.app[CONTEXT].settings) if signs_in else "",
    )


def github_of(settings: Settings) -> str:
    """Where a form may lead to that signs in with GitHub: a browser heeds the policy of its page on redirects, too."""
    github = urlsplit(settings.github_url)
    return f"{github.scheme}://{github.netloc}"


def problem(title: str, text: str, *, status: int, visitor: Visitor | None = None) -> web.Response:
    """A page that says what is wrong."""
    return page("dashboard/problem.html", status=status, title=title, text=text, visitor=visitor)


def _is_secure(settings: Settings) -> bool:
    return urlsplit(settings.url).scheme == "https"


def _cookie(settings: Settings, name: str) -> str:
    """With the prefix a browser takes it only by https, from this very host."""
    return f"__Host-{name}" if _is_secure(settings) else name


def session_of(request: web.Request) -> str:
    """The secret of the browser's session, signed in or not; empty if it brings none."""
    return cookie_of(request, _COOKIE)


def give_session(request: web.Request, response: web.Response, secret: str) -> None:
    """Let the browser keep its session."""
    give_cookie(request, response, _COOKIE, secret, seconds=int(sessions.LONGEST.total_seconds()))


def take_session(request: web.Request, response: web.Response) -> None:
    """Let the browser forget its session."""
    take_cookie(request, response, _COOKIE)


def cookie_of(request: web.Request, name: str) -> str:
    """What the browser keeps by this name; empty if nothing."""
    return request.cookies.get(_cookie(request.app[CONTEXT].settings, name), "")


def give_cookie(request: web.Request, response: web.Response, name: str, secret: str, *, seconds: int) -> None:
    """Let the browser keep a secret for so long; links lead here from elsewhere, so `Lax` and not `Strict`."""
    settings = request.app[CONTEXT].settings
    response.set_cookie(
        _cookie(settings, name),
        secret,
        path="/",
        max_age=seconds,
        httponly=True,
        samesite="Lax",
        secure=_is_secure(settings),
    )


def take_cookie(request: web.Request, response: web.Response, name: str) -> None:
    """Let the browser forget a secret."""
    settings = request.app[CONTEXT].settings
    response.del_cookie(_cookie(settings, name), path="/", httponly=True, samesite="Lax", secure=_is_secure(settings))


def address_of(request: web.Request) -> bytes:
    """Whose request it is as far as the proxies before us tell: the last address that is not one of this machine."""
    told = [each.strip() for line in request.headers.getall("X-Forwarded-For", ()) for each in line.split(",")]
    outside = [each for each in told if not _is_local(each)]
    return (outside[-1] if outside else request.remote or "").encode()


def _is_local(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
