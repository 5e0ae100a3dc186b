"""The activity log: who did what to what, newest first, as far as one sees it."""

import csv
import io
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from sqlalchemy import Connection, select

from service.domain.errors import Refused, Transient
from service.store import activity
from service.store.sight import Seen, seen_names, sees_entry
from service.store.tables import activity as rows
from service.web import rights
from service.web.api import shapes, trail
from service.web.api.finding import Asked, find_app, find_pipeline
from service.web.api.insight import activity_shape, log_part
from service.web.api.ranges import Range
from service.web.keys import CONTEXT, VISITOR, Visitor
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH
from service.web.streams import STREAMS

LOG = structlog.get_logger()
_EACH: Final = 50
_EACH_SENT: Final = 500
_DIGITS: Final = 18
"""No number with more of them is in the database, nor fits into it."""
FILTERS: Final = ("app", "pipeline", "by")


async def log(request: web.Request) -> web.Response:
    """GET /dashboard/activity: of one `?app=` or `?pipeline=`, by somebody if given, from after `?before=` on."""
    context, visitor, wanted = request.app[CONTEXT], request[VISITOR], _wanted(request)
    before, error = request.query.get("before", ""), ""
    before = before if before.isdecimal() and len(before) <= _DIGITS else ""
    entries, seen, more = list[activity.Entry](), Seen(apps={}, pipelines={}), None
    try:
        entries, seen, more = await context.db.read(lambda conn: _read(conn, visitor, wanted, before, _EACH))
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


def _wanted(request: web.Request) -> dict[str, str]:
    return {name: request.query.get(name, "").strip()[:255] for name in FILTERS}


def _read(
    conn: Connection, visitor: Visitor, wanted: dict[str, str], before: str, most: int
) -> tuple[list[activity.Entry], Seen, int | None]:
    by, query, seen = visitor.person, select(rows), seen_names(conn, visitor.person)
    if wanted["app"]:
        query = query.where(rows.c.app_id == find_app(conn, Asked(by=by, name=wanted["app"])).id)
    if wanted["pipeline"]:
        query = query.where(rows.c.pipeline_id == find_pipeline(conn, Asked(by=by, name=wanted["pipeline"])).id)
    somebody, of_one = wanted["by"].casefold(), bool(wanted["app"] or wanted["pipeline"])

    def keeps(it: activity.Entry) -> bool:
        return somebody in it.actor.casefold() and (of_one or sees_entry(by, seen, it, actor=visitor.actor))

    part = Range(attribute="id", start=before, exclusive=bool(before), max=most, descending=True)
    found, read_to = log_part(conn, query, part, keeps)
    more = found[most - 1].id if len(found) > most else read_to
    return found[:most], seen, more


def _about(it: activity.Entry, seen: Seen) -> str:
    """What it was done to, by its name."""
    return seen.apps.get(it.app_id or "") or seen.pipelines.get(it.pipeline_id or "") or it.ref


# All of it


def as_json(it: activity.Entry, _about_it: str) -> str:
    """An entry in one line of JSON, as the API shows it."""
    return msgspec.json.encode(activity_shape(it)).decode() + "\n"


def as_csv(it: activity.Entry, about: str) -> str:
    """An entry in one line of a table."""
    return row_of(it.id, shapes.moment(it.at), it.actor, it.action, about, it.sha or "", it.ref, trail.told(it))


def row_of(*cells: object) -> str:
    """A line of a table; what a spreadsheet would take for a formula is marked as text."""
    line = io.StringIO()
    csv.writer(line).writerow(f"'{cell}" if str(cell).startswith(_FORMULAS) else cell for cell in cells)
    return line.getvalue()


def _all(ending: str, content_type: str, line: Callable[[activity.Entry, str], str], head: str = "") -> Handler:
    """What sends all that the page's filter shows, however much it is, in parts."""

    async def send(request: web.Request) -> web.StreamResponse:
        context, visitor, wanted = request.app[CONTEXT], request[VISITOR], _wanted(request)
        more: int | None = None

        def read(conn: Connection) -> tuple[list[activity.Entry], Seen, int | None]:
            return _read(conn, visitor, wanted, str(more or ""), _EACH_SENT)

        entries, seen, more = await context.db.read(read)  # what is refused is refused before anything is sent
        with request.app[STREAMS].one(visitor.user.id):
            response = web.StreamResponse(headers=_HEADERS | {hdrs.CONTENT_DISPOSITION: _FILE + ending})
            response.content_type, response.charset = content_type, "utf-8"
            await response.prepare(request)
            if request.method == hdrs.METH_HEAD:
                return response
            try:
                await response.write(head.encode())
                while True:
                    await response.write("".join(line(each, _about(each, seen)) for each in entries).encode())
                    if more is None:
                        break
                    entries, seen, more = await context.db.read(read)
            except ConnectionResetError:  # whoever wanted it has gone
                LOG.info("export given up")
            except (Refused, Transient) as trouble:
                # Too late for another answer; without the end of this one whoever reads it knows that it is not whole.
                LOG.warning("export broken off", reason=trouble.message)
                if request.transport is not None:
                    request.transport.abort()
            return response

    return send


_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
_FILE: Final = "attachment; filename=activity."
_HEADERS: Final = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
_HEAD: Final = row_of("id", "at", "actor", "action", "about", "commit", "ref", "text")
ROUTES = [
    rights.get(f"{PATH}/activity", log, rights.page(rights.CALLER)),
    rights.get(f"{PATH}/activity.csv", _all("csv", "text/csv", as_csv, _HEAD), rights.page(rights.CALLER)),
    rights.get(f"{PATH}/activity.jsonl", _all("jsonl", "application/jsonl", as_json), rights.page(rights.CALLER)),
]
