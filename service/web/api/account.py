"""Who I am: the account and the few things Heroku's clients ask about it before anything else."""

from aiohttp import web

from service.web.api import answers, shapes
from service.web.api.shapes import Json
from service.web.errors import not_found
from service.web.keys import CALLER, Caller
from service.web.limits import REMAINING


def shape(caller: Caller) -> Json:
    """Show the caller's account."""
    return {
        "id": caller.user_id,
        "email": caller.email,
        "name": caller.name or None,
        "verified": True,
        "beta": False,
        "federated": False,
        "suspended_at": None,
        "two_factor_authentication": False,
    }


def check_oneself(request: web.Request) -> None:
    """Refuse a path about somebody else; oneself is named by id, address or `~`, or by no name at all."""
    caller = request[CALLER]
    if request.match_info.get("user", "~") not in {"~", caller.user_id, caller.email}:
        raise not_found("account")


async def account(request: web.Request) -> web.Response:
    """GET /account and /users/USER: oneself."""
    check_oneself(request)
    return answers.answer(request, shape(request[CALLER]))


_FEATURE: shapes.Json = {
    "created_at": "2026-01-01T00:00:00Z",
    "description": "Repositories are answered here",
    "display_name": "Repositories API",
    "doc_url": "",
    "enabled": True,
    "feedback_email": "",
    "id": shapes.constant_id("feature:dashboard-repositories-api"),
    "name": "dashboard-repositories-api",
    "state": "general",
    "updated_at": "2026-01-01T00:00:00Z",
}


async def features(request: web.Request) -> web.Response:
    """GET /account/features: the one there is."""
    return answers.answer_list(
        request, [_FEATURE], lambda it: it, name=lambda it: str(it["name"]), id=lambda it: str(it["id"])
    )


async def feature(request: web.Request) -> web.Response:
    """GET /account/features/FEATURE: repositories are answered here, so that clients need not ask another host."""
    if request.match_info["feature"] not in {_FEATURE["name"], _FEATURE["id"]}:
        raise not_found("feature")
    return answers.answer(request, _FEATURE)


async def rate_limits(request: web.Request) -> web.Response:
    """GET /account/rate-limits: how many requests the token has left; null when they are not counted."""
    return answers.answer(request, {"remaining": request.get(REMAINING)})


async def no_teams(request: web.Request) -> web.Response:
    """GET /teams: nobody is in one."""
    return answers.answer(request, [])


ROUTES = [
    web.get("/account", account),
    web.get("/users/{user}", account),
    web.get("/account/features", features),
    web.get("/account/features/{feature}", feature),
    web.get("/account/rate-limits", rate_limits),
    web.get("/teams", no_teams),
]
