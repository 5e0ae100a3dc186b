"""What each route takes, said beside it: a route that does not say is not served, and the application does not start.

What a path names is looked up and checked before the handler runs (`web/auth.py`); what only a body names is checked by
the look-up itself (`api/finding.py`), which takes who is asking. Whoever may not see a thing is answered 404.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from aiohttp.web_urldispatcher import AbstractRoute

from service.domain.access import NONE, Act, Permission, Permissions, TeamRole

_READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


@unique
class Of(StrEnum):
    """Whose right it is that counts."""

    OPEN = "open"  # needs no token: proves itself otherwise, or tells nothing
    CALLER = "caller"  # anybody with an account; shows and changes only what is theirs, or what they see
    BODY = "body"  # the body names what it is about, and the look-up checks it
    APP = "app"
    PIPELINE = "pipeline"
    REVIEW = "review"  # the pipeline of a review app, which the path names by its own id or as the app that it is
    TEAM = "team"
    ADMIN = "admin"  # an administrator of the installation


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What a route takes: one of the permissions on what its path names, or one of the roles in its team.

    `act` is what is done with the token; None is plain reading or writing, by the method. A page takes no token but the
    session of a browser.
    """

    of: Of
    permissions: Permissions = NONE
    roles: frozenset[TeamRole] = frozenset()
    secret: bool = False
    act: Act | None = None
    is_page: bool = False

    def done_by(self, method: str) -> Act:
        """What a request of this method does with its token."""
        if self.act is not None:
            return self.act
        if method in _READING:
            return Act.READ_PROTECTED if self.secret else Act.READ
        return Act.WRITE_PROTECTED if self.secret else Act.WRITE


OPEN: Final = Right(of=Of.OPEN)
CALLER: Final = Right(of=Of.CALLER)
BODY: Final = Right(of=Of.BODY)
IDENTITY: Final = Right(of=Of.CALLER, act=Act.IDENTITY)
ACCOUNT: Final = Right(of=Of.CALLER, act=Act.ACCOUNT)
ADMIN: Final = Right(of=Of.ADMIN)
_CONFIG: Final = (Permission.DEPLOY, Permission.OPERATE)


def app(*any_of: Permission) -> Right:
    """One of these on the app that the path names; `view` when none is said."""
    return Right(of=Of.APP, permissions=frozenset(any_of or (Permission.VIEW,)))


def pipeline(*any_of: Permission) -> Right:
    """One of these on the pipeline that the path names, itself or by what is in it."""
    return Right(of=Of.PIPELINE, permissions=frozenset(any_of or (Permission.VIEW,)))


def review(*any_of: Permission) -> Right:
    """One of these on the pipeline of the review app that the path names, whatever one was granted on the app alone."""
    return Right(of=Of.REVIEW, permissions=frozenset(any_of))


def team(*any_of: TeamRole) -> Right:
    """One of these in the team that the path names; whichever when none is said."""
    return Right(of=Of.TEAM, roles=frozenset(any_of or TeamRole))


def secret(right: Right) -> Right:
    """The same, and config vars are shown or changed, which not every token may."""
    return replace(right, secret=True)


def reading(right: Right) -> Right:
    """The same, and nothing is changed, whatever the method says."""
    return replace(right, act=Act.READ)


def account(right: Right) -> Right:
    """The same, and it is about who may do what, which takes a token for everything."""
    return replace(right, act=Act.ACCOUNT)


def page(right: Right) -> Right:
    """The same, asked of whoever is signed in to the dashboard (`pages/signed_in.py`)."""
    return replace(right, is_page=True)


REVIEWS: Final = review(Permission.DEPLOY)
"""What it takes to make, keep, build anew and take away review apps, by the API and by the dashboard."""
SECRETS_OF_APP: Final = secret(app(*_CONFIG))
SECRETS_OF_PIPELINE: Final = secret(pipeline(Permission.DEPLOY, Permission.MANAGE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route with what it takes."""

    method: str
    path: str
    handler: Handler
    right: Right


def get(path: str, handler: Handler, right: Right) -> Route:
    """GET and HEAD."""
    return Route(method=hdrs.METH_GET, path=path, handler=handler, right=right)


def post(path: str, handler: Handler, right: Right) -> Route:
    """POST."""
    return Route(method=hdrs.METH_POST, path=path, handler=handler, right=right)


def put(path: str, handler: Handler, right: Right) -> Route:
    """PUT."""
    return Route(method=hdrs.METH_PUT, path=path, handler=handler, right=right)


def patch(path: str, handler: Handler, right: Right) -> Route:
    """PATCH."""
    return Route(method=hdrs.METH_PATCH, path=path, handler=handler, right=right)


def delete(path: str, handler: Handler, right: Right) -> Route:
    """DELETE."""
    return Route(method=hdrs.METH_DELETE, path=path, handler=handler, right=right)


RIGHTS: web.AppKey[dict[AbstractRoute, Right]] = web.AppKey("rights", dict)


def add(app: web.Application, routes: Iterable[Route]) -> None:
    """Serve the routes."""
    for route in routes:
        methods = (hdrs.METH_HEAD, hdrs.METH_GET) if route.method == hdrs.METH_GET else (route.method,)
        for method in methods:
            declare(app, app.router.add_route(method, route.path, route.handler), route.right)


def declare(app: web.Application, route: AbstractRoute, right: Right) -> None:
    """Say what a route takes that was added otherwise."""
    if RIGHTS not in app:
        app[RIGHTS] = {}
    app[RIGHTS][route] = right


def check(app: web.Application) -> None:
    """Refuse to serve an application with a route of which nobody has said what it takes."""
    silent = [
        f"{it.method} {it.resource.canonical if it.resource else it}"
        for it in app.router.routes()
        if it not in app[RIGHTS]
    ]
    if silent:
        raise RuntimeError(f"nobody has said what it takes to use {', '.join(silent)}")


def right_of(request: web.Request) -> Right:
    """What the request's route takes. A path that is not there is open: it answers 404 to everybody."""
    route = request.match_info.route
    return OPEN if route.resource is None else request.app[RIGHTS][route]
