"""Domains: every app has the one that Towpath gives it."""

from urllib.parse import urlsplit

from aiohttp import web

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import App
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.finding import app_in_path, find_app
from service.web.errors import not_found
from service.web.keys import CONTEXT


def _hostname(request: web.Request, app: App) -> str:
    return urlsplit(shapes.web_url(request.app[CONTEXT].settings, app.name, review=app.is_review)).hostname or ""


def _shape(request: web.Request, app: App) -> shapes.Json:
    return {
        "acm_status": None,
        "acm_status_reason": None,
        "app": {"id": app.id, "name": app.name},
        "cname": None,
        "created_at": shapes.moment(app.created_at),
        "hostname": _hostname(request, app),
        "id": shapes.constant_id(f"domain:{app.id}"),
        "kind": "heroku",
        "sni_endpoint": None,
        "status": "none",
        "updated_at": shapes.moment(app.updated_at),
    }


async def _app(request: web.Request) -> App:
    identity = app_in_path(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_app(conn, identity))


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/domains: the app's own."""
    shown = [_shape(request, await _app(request))]
    return answers.answer_list(
        request, shown, lambda it: it, hostname=lambda it: str(it["hostname"]), id=lambda it: str(it["id"])
    )


async def _shown(request: web.Request) -> shapes.Json:
    shown = _shape(request, await _app(request))
    if request.match_info["domain"] not in {shown["id"], shown["hostname"]}:
        raise not_found("domain")
    return shown


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/domains/DOMAIN: by its id or name."""
    return answers.answer(request, await _shown(request))


async def add(request: web.Request) -> web.Response:
    """POST /apps/APP/domains: refused, because apps have no domains but their own."""
    app = await _app(request)
    raise Refused(
        f"hostname: app {app.name} is served as {_hostname(request, app)} only; let a proxy in front of Towpath pass "
        "another name on to it with that Host header."
    )


async def remove(request: web.Request) -> web.Response:
    """DELETE /apps/APP/domains/DOMAIN: refused, because it is the app's own."""
    shown = await _shown(request)
    raise Refused(f"{shown['hostname']} is the app's own domain: it goes with the app.")


ROUTES = [
    rights.get("/apps/{app}/domains", listing, rights.app()),
    rights.post("/apps/{app}/domains", add, rights.app(Permission.MANAGE)),
    rights.get("/apps/{app}/domains/{domain}", info, rights.app()),
    rights.delete("/apps/{app}/domains/{domain}", remove, rights.app(Permission.MANAGE)),
]
