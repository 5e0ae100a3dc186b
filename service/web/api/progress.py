"""What was asked of an app and how far it has come: a change answers with its request, for clients to wait for."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from service.domain.model import QueuedRequest
from service.store import requests as queue
from service.store.tables import apps, builds, releases, requests
from service.web import rights
from service.web.api import answers, parts, shapes
from service.web.api.finding import app_in_path, find_app, find_request_app, in_path
from service.web.errors import not_found
from service.web.keys import CONTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A request with what has come of it."""

    request: QueuedRequest
    step: str
    app_name: str
    build: Any
    release: Any


def request_shape(it: QueuedRequest) -> shapes.Json:
    """Show a request on its own."""
    return {
        "id": it.id,
        "app": {"id": it.app_id},
        "kind": it.kind,
        "state": it.state.value,
        "reason": it.reason or None,
        "commit": it.sha,
        "by_person": it.by_person,
        "created_at": shapes.moment(it.created_at),
    }


def _progress_shape(it: Progress) -> shapes.Json:
    build = {"id": it.build.id, "status": it.build.state, "error": it.build.error or None} if it.build else None
    release = None
    if it.release:
        release = {
            "id": it.release.id,
            "version": it.release.version,
            "status": it.release.state,
            "error": it.release.error or None,
        }
    shape = request_shape(it.request)
    return shape | {
        "app": {"id": it.request.app_id, "name": it.app_name},
        "step": it.step or None,
        "build": build,
        "release": release,
    }


def progress(conn: Connection, request_id: str) -> Progress | None:
    """Read a request with its build and release."""
    request = queue.get(conn, request_id)
    if request is None:
        return None
    app_name, step = conn.execute(
        select(apps.c.name, requests.c.step)
        .join(requests, requests.c.app_id == apps.c.id)
        .where(requests.c.id == request_id)
    ).one()
    return Progress(
        request=request,
        step=step,
        app_name=app_name,
        build=conn.execute(select(builds).where(builds.c.request_id == request_id)).one_or_none(),
        release=conn.execute(select(releases).where(releases.c.request_id == request_id)).one_or_none(),
    )


async def info(request: web.Request) -> web.Response:
    """GET /requests/REQUEST."""
    asked = in_path(request, "request")

    def read(conn: Connection) -> Progress | None:
        find_request_app(conn, asked)
        return progress(conn, asked.name)

    found = await request.app[CONTEXT].db.read(read)
    if found is None:
        raise not_found("request")
    return answers.answer(request, _progress_shape(found))


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/requests."""
    identity, keys = app_in_path(request), {"seq": requests.c.seq}
    wanted = answers.wanted_range(request, *keys)

    def read(conn: Connection) -> list[QueuedRequest]:
        query = select(requests).where(requests.c.app_id == find_app(conn, identity).id)
        return [queue.as_request(row) for row in parts.read(conn, query, wanted, keys)]

    found = await request.app[CONTEXT].db.read(read)
    return answers.answer_list(request, found, request_shape, seq=lambda it: it.seq)


ROUTES = [
    rights.get("/requests/{request}", info, rights.app()),
    rights.get("/apps/{app}/requests", listing, rights.app()),
]
