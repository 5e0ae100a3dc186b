"""What Heroku's apps have and Towpath's have not: its clients ask, and are told so.

A list is empty; what would change something is refused with what to do instead, for a change that is said to be made
and is not would be worse.
"""

from typing import Final

from aiohttp import web

from service.domain.access import Permission
from service.domain.errors import Refused
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.finding import app_in_path, find_app
from service.web.errors import not_found
from service.web.keys import CONTEXT

_CERTIFICATES: Final = "Certificates are not made here: end TLS in the proxy that stands in front of Towpath."
_BUILDPACKS: Final = "updates: buildpacks are named in the repository, as `buildpacks` in app.json."
_SLUGS: Final = "Slugs are made by builds only: deploy a branch or commit by POST /apps/APP/builds."
_CACHE: Final = (
    "An app has no build cache of its own: ask for a build from nothing by `rebuild` of POST /apps/APP/builds."
)

_ENTERPRISES: Final = "Couldn't find that enterprise account: there are none here. A team is made by POST /teams."


async def _check_app(request: web.Request) -> None:
    identity = app_in_path(request)
    await request.app[CONTEXT].db.read(lambda conn: find_app(conn, identity))


async def nothing(request: web.Request) -> web.Response:
    """GET of what an app has none of here."""
    await _check_app(request)
    rows: list[shapes.Json] = []
    return answers.answer_list(request, rows, lambda it: it, id=lambda it: it["id"], name=lambda it: it["name"])


async def nothing_at_all(request: web.Request) -> web.Response:
    """GET of what no app has here."""
    rows: list[shapes.Json] = []
    return answers.answer_list(request, rows, lambda it: it, id=lambda it: it["id"], name=lambda it: it["name"])


async def no_certificates(request: web.Request) -> web.Response:
    """POST, PATCH and DELETE /apps/APP/acm: refused, because a proxy in front has the certificates."""
    await _check_app(request)
    raise Refused(_CERTIFICATES)


async def no_buildpacks(request: web.Request) -> web.Response:
    """PUT /apps/APP/buildpack-installations: refused, because the repository names them."""
    await _check_app(request)
    raise Refused(_BUILDPACKS)


async def no_slugs(request: web.Request) -> web.Response:
    """POST /apps/APP/slugs: refused, because builds make them."""
    await _check_app(request)
    raise Refused(_SLUGS)


async def no_cache(request: web.Request) -> web.Response:
    """DELETE /apps/APP/build-cache: refused, because what is kept between builds belongs to no app."""
    await _check_app(request)
    raise Refused(_CACHE)


async def no_feature(request: web.Request) -> web.Response:
    """GET and PATCH /apps/APP/features/FEATURE: there are none."""
    await _check_app(request)
    raise not_found("feature")


async def no_enterprise_account(_request: web.Request) -> web.Response:
    """GET and POST /enterprise-accounts/ACCOUNT/teams: teams stand for themselves here."""
    raise Refused(_ENTERPRISES, code="not_found")


ROUTES = [
    rights.get("/addons", nothing_at_all, rights.CALLER),
    rights.get("/addon-attachments", nothing_at_all, rights.CALLER),
    rights.get("/apps/{app}/addons", nothing, rights.app()),
    rights.get("/apps/{app}/addon-attachments", nothing, rights.app()),
    rights.get("/apps/{app}/buildpack-installations", nothing, rights.app()),
    rights.get("/apps/{app}/features", nothing, rights.app()),
    rights.get("/apps/{app}/log-drains", nothing, rights.app()),
    rights.get("/apps/{app}/sni-endpoints", nothing, rights.app()),
    rights.get("/apps/{app}/features/{feature}", no_feature, rights.app()),
    rights.patch("/apps/{app}/features/{feature}", no_feature, rights.app(Permission.MANAGE)),
    rights.post("/apps/{app}/acm", no_certificates, rights.app(Permission.MANAGE)),
    rights.patch("/apps/{app}/acm", no_certificates, rights.app(Permission.MANAGE)),
    rights.delete("/apps/{app}/acm", no_certificates, rights.app(Permission.MANAGE)),
    rights.put("/apps/{app}/buildpack-installations", no_buildpacks, rights.app(Permission.DEPLOY)),
    rights.post("/apps/{app}/slugs", no_slugs, rights.app(Permission.DEPLOY)),
    rights.delete("/apps/{app}/build-cache", no_cache, rights.app(Permission.DEPLOY)),
    rights.get("/enterprise-accounts/{account}/teams", no_enterprise_account, rights.CALLER),
    rights.post("/enterprise-accounts/{account}/teams", no_enterprise_account, rights.ACCOUNT),
]
