"""The activity log: who did what to what, newest first, as far as one sees it."""

from typing import Final

from aiohttp import web
from sqlalchemy import Connection, select

from service.domain.errors import Refused
from service.store import activity
from service.store.sight import Seen, seen_names, sees_entry
from service.store.tables import activity as rows
from service.web import rights
from service.web.api import trail
from service.web.api.finding import Asked, find_app, find_pipeline
from service.web.api.insight import log_part
from service.web.api.ranges import Range
from service.web.keys import CONTEXT, VISITOR, Visitor
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH

_EACH: Final = 50
_DIGITS: Final = 18
"""No number with more of them is in the database, nor fits into it."""
FILTERS: Final = ("app", "pipeline", "by")


async def log(request: web.Request) -> web.Response:
    """GET /dashboard/activity: of one `?app=` or `?pipeline=`, by somebody if given, from after `?before=` on."""
    context, visitor = request.app[CONTEXT], request[VISITOR]
    wanted = {name: request.query.get(name, "").strip()[:255] for name in FILTERS}
    before, error = request.query.get("before", ""), ""
    before = before if before.isdecimal() and len(before) <= _DIGITS else ""
    entries, seen, more = list[activity.Entry](), Seen(apps={}, pipelines={}), None
    try:
        entries, seen, more = await context.db.read(lambda conn: _read(conn, visitor, wanted, before))
    except Refused as refused:
        error = refused.message
    return page(
        "dashboard/activity.html",
        status=422 if error else 200,
        visitor=visitor,
        entries=[(each, _about(each, seen), trail.told(each)) for each in entries],
        more=more,
        wanted=wanted,
        before=before,
        error=error,
        now=context.db.now(),
    )


def _read(
    conn: Connection, visitor: Visitor, wanted: dict[str, str], before: str
) -> tuple[list[activity.Entry], Seen, int | None]:
    by, query, seen = visitor.person, select(rows), seen_names(conn, visitor.person)
    if wanted["app"]:
        query = query.where(rows.c.app_id == find_app(conn, Asked(by=by, name=wanted["app"])).id)
    if wanted["pipeline"]:
        query = query.where(rows.c.pipeline_id == find_pipeline(conn, Asked(by=by, name=wanted["pipeline"])).id)
    somebody, of_one = wanted["by"].casefold(), bool(wanted["app"] or wanted["pipeline"])

    def keeps(it: activity.Entry) -> bool:
        return somebody in it.actor.casefold() and (of_one or sees_entry(by, seen, it, actor=visitor.actor))

    part = Range(attribute="id", start=before, exclusive=bool(before), max=_EACH, descending=True)
    found, read_to = log_part(conn, query, part, keeps)
    more = found[_EACH - 1].id if len(found) > _EACH else read_to
    return found[:_EACH], seen, more


def _about(it: activity.Entry, seen: Seen) -> str:
    """What it was done to, by its name."""
    return seen.apps.get(it.app_id or "") or seen.pipelines.get(it.pipeline_id or "") or it.ref


ROUTES = [rights.get(f"{PATH}/activity", log, rights.page(rights.CALLER))]
