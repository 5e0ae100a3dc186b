"""Who I am: the account and the few things Heroku's clients ask about it before anything else."""

from aiohttp import web

from service.store.users import User
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.finding import find_user, in_path
from service.web.api.shapes import Json
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT
from service.web.limits import REMAINING


def shape(user: User) -> Json:
    """Show an account; the last group is Towpath's own."""
    return {
        "allow_tracking": False,
        "beta": False,
        "country_of_residence": None,
        "created_at": shapes.moment(user.created_at),
        "default_organization": None,
        "default_team": None,
        "delinquent_at": None,
        "email": user.email,
        "federated": False,
        "id": user.id,
        "identity_provider": None,
        "italian_customer_terms": None,
        "last_login": None,
        "name": user.name or None,
        "sms_number": None,
        "suspended_at": None,
        "two_factor_authentication": False,
        "updated_at": shapes.moment(user.updated_at),
        "verified": True,
        "admin": user.is_admin,
        "github": user.github_login,
    }


def check_oneself(request: web.Request) -> None:
    """Refuse a path about somebody else; oneself is named by id, address or `~`, or by no name at all."""
    user = request[CALLER].user
    if request.match_info.get("user", "~").lower() not in {"~", user.id, user.email}:
        raise not_found("account")


async def account(request: web.Request) -> web.Response:
    """GET /account: oneself."""
    return answers.answer(request, shape(request[CALLER].user))


async def somebody(request: web.Request) -> web.Response:
    """GET /users/USER: oneself, or somebody of a team one is in."""
    asked = in_path(request, "user")
    found = await request.app[CONTEXT].db.read(lambda conn: find_user(conn, asked))
    return answers.answer(request, shape(found))


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


ROUTES = [
    rights.get("/account", account, rights.IDENTITY),
    rights.get("/users/{user}", somebody, rights.IDENTITY),
    rights.get("/account/features", features, rights.IDENTITY),
    rights.get("/account/features/{feature}", feature, rights.IDENTITY),
    rights.get("/account/rate-limits", rate_limits, rights.IDENTITY),
]
