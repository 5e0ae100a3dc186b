"""What there is to choose from: regions (our spaces), stacks, and features of the account."""

from collections.abc import Sequence
from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection, func, select

from service.store import apps
from service.store.tables import apps as app_rows
from service.store.tables import releases, slugs, spaces
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.finding import find_pipeline, pipeline_in_path
from service.web.errors import not_found
from service.web.keys import CONTEXT

_NO_STACK = "host"
"""What clients are shown until something was built."""


def _region(space: shapes.Json) -> shapes.Json:
    name = str(space["name"])
    return {
        "country": "",
        "created_at": space["created_at"],
        "description": f"Space {name}",
        "id": space["id"],
        "locale": "",
        "name": name,
        "private_capable": False,
        "provider": {"name": "towpath", "region": name},
        "updated_at": space["updated_at"],
    }


def _regions(conn: Connection) -> list[shapes.Json]:
    dates = {row.id: row for row in conn.execute(select(spaces.c.id, spaces.c.created_at, spaces.c.updated_at))}
    return [
        _region(
            {
                "id": each.id,
                "name": each.name,
                "created_at": shapes.moment(dates[each.id].created_at),
                "updated_at": shapes.moment(dates[each.id].updated_at),
            }
        )
        for each in apps.spaces(conn)
    ]


async def regions(request: web.Request) -> web.Response:
    """GET /regions: the spaces, for an app's region is the space it runs in."""
    listed = await request.app[CONTEXT].db.read(_regions)
    return _answer_named(request, listed)


async def region(request: web.Request) -> web.Response:
    """GET /regions/REGION."""
    return _answer_one(request, await request.app[CONTEXT].db.read(_regions), request.match_info["region"], "region")


def _stack(name: str, since: datetime | None, *, default: bool) -> shapes.Json:
    at = shapes.moment(since or datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
    return {
        "created_at": at,
        "default": default,
        "id": shapes.constant_id(f"stack:{name}"),
        "name": name,
        "state": "public",
        "updated_at": at,
    }


def _stacks(conn: Connection) -> list[shapes.Json]:
    """The stacks that apps run on; the one that was built on last is the one that is built on now."""
    rows = conn.execute(
        select(slugs.c.stack, func.min(slugs.c.created_at, type_=slugs.c.created_at.type).label("since"))
        .join(releases, releases.c.slug_id == slugs.c.id)
        .join(app_rows, app_rows.c.current_release_id == releases.c.id)
        .group_by(slugs.c.stack)
        .order_by(func.max(slugs.c.created_at).desc(), slugs.c.stack)
    ).all()
    return [_stack(row.stack, row.since, default=number == 0) for number, row in enumerate(rows)] or [
        _stack(_NO_STACK, None, default=True)
    ]


async def stacks(request: web.Request) -> web.Response:
    """GET /stacks: the systems that builds were made for; it is the machine's, nobody chooses it."""
    return _answer_named(request, await request.app[CONTEXT].db.read(_stacks))


async def stack(request: web.Request) -> web.Response:
    """GET /stacks/STACK."""
    return _answer_one(request, await request.app[CONTEXT].db.read(_stacks), request.match_info["stack"], "stack")


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/pipeline-stack: the one that is built for now."""
    identity = pipeline_in_path(request)
    _, listed = await request.app[CONTEXT].db.read(lambda conn: (find_pipeline(conn, identity), _stacks(conn)))
    return answers.answer(request, {"stack": {"id": listed[0]["id"], "name": listed[0]["name"]}})


def _answer_named(request: web.Request, listed: Sequence[shapes.Json]) -> web.Response:
    return answers.answer_list(
        request, listed, lambda it: it, name=lambda it: str(it["name"]), id=lambda it: str(it["id"])
    )


def _answer_one(request: web.Request, listed: Sequence[shapes.Json], wanted: str, what: str) -> web.Response:
    for each in listed:
        if wanted in {each["id"], each["name"]}:
            return answers.answer(request, each)
    raise not_found(what)


ROUTES = [
    rights.get("/regions", regions, rights.CALLER),
    rights.get("/regions/{region}", region, rights.CALLER),
    rights.get("/stacks", stacks, rights.CALLER),
    rights.get("/stacks/{stack}", stack, rights.CALLER),
    rights.get("/pipelines/{pipeline}/pipeline-stack", of_pipeline, rights.pipeline()),
]
