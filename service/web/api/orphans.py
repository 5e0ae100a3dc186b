"""What engines run that the database does not know: listed, and taken away when a person says so."""

from aiohttp import web
from sqlalchemy import Connection

from service.store import activity, orphans
from service.store.orphans import Orphan
from service.web import rights
from service.web.api import answers, shapes
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT


def _shape(it: Orphan) -> shapes.Json:
    return {
        "id": it.app_id,
        "driver": it.driver,
        "processes": it.processes,
        "state": "leaving" if it.leaving else "running",
        "created_at": shapes.moment(it.first_seen_at),
    }


async def listing(request: web.Request) -> web.Response:
    """GET /orphans."""
    found = await request.app[CONTEXT].db.read(orphans.listing)
    return answers.answer_list(request, found, _shape, created_at=lambda it: it.first_seen_at, id=lambda it: it.app_id)


async def destroy(request: web.Request) -> web.Response:
    """DELETE /orphans/ID: it goes at the next look at its engine."""
    db, actor, app_id = request.app[CONTEXT].db, request[CALLER].actor, request.match_info["orphan"]

    def write(conn: Connection) -> Orphan | None:
        if orphans.get(conn, app_id) is None:
            raise not_found("orphan")
        orphans.let_go(conn, app_id)
        activity.record(conn, now=db.now(), actor=actor, action="orphan destroyed", data={"id": app_id})
        return orphans.get(conn, app_id)

    found = await db.write(write)
    assert found is not None
    return answers.answer(request, _shape(found), status=202)


ROUTES = [
    rights.get("/orphans", listing, rights.ADMIN),
    rights.delete("/orphans/{orphan}", destroy, rights.ADMIN),
]
