"""What happened and why: deliveries, the activity log, the decision trail; and the spaces there are."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import Connection, Select, select

from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Refused
from service.domain.model import Space
from service.store import activity, apps, deliveries, subjects
from service.store.sight import seen_names, sees_entry
from service.store.tables import activity as log_rows
from service.store.tables import deliveries as delivery_rows
from service.web import rights
from service.web.api import answers, bodies, parts, ranges, shapes, trail
from service.web.api.finding import find_app, find_pipeline, in_body
from service.web.api.loading import app_names, pipeline_names
from service.web.keys import CALLER, CONTEXT

_LOG = {"id": log_rows.c.id}
_PART_OF_LOG = 500
_PARTS_OF_LOG = 40
"""The log is read in parts until enough is found that somebody sees; after so many the answer says where to go on."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RUNG = re.compile(rf"\b({'|'.join(SubjectKind)}) ([^\s,;]+)")
"""A subject as a delivery's verdict names those that it rang."""


def delivery_shape(it: deliveries.Receipt, names: Mapping[str, str]) -> shapes.Json:
    """A delivery without its payload; `names` are those of apps and pipelines by their ids."""
    return {
        "id": it.guid,
        "event": it.event,
        "action": it.action or None,
        "repository": None if it.repository_id is None else {"id": it.repository_id},
        "installation": None if it.installation_id is None else {"id": it.installation_id},
        "state": it.state,
        "verdict": named(it.verdict, names) or None,
        "attempts": it.attempts,
        "received_at": shapes.moment(it.received_at),
        "processed_at": shapes.moment(it.processed_at),
    }


def named(text: str, names: Mapping[str, str]) -> str:
    """Names instead of ids: subjects are kept by their ids, for a name may change, and people know the names."""
    return _ID.sub(lambda id_: names.get(id_[0], id_[0]), text)


def names_by_id(conn: Connection) -> Mapping[str, str]:
    """The names of all apps and pipelines."""
    return {**app_names(conn), **pipeline_names(conn)}


async def delivery_list(request: web.Request) -> web.Response:
    """GET /deliveries: all that are kept, with what came of each."""
    keys = {"received_at": delivery_rows.c.received_at, "id": delivery_rows.c.guid}
    wanted = answers.wanted_range(request, *keys)

    def read(conn: Connection) -> tuple[list[deliveries.Receipt], Mapping[str, str]]:
        found = parts.read(conn, deliveries.receipts(), wanted, keys)
        return [deliveries.as_receipt(row) for row in found], names_by_id(conn)

    listed, names = await request.app[CONTEXT].db.read(read)
    return answers.answer_list(
        request,
        listed,
        lambda it: delivery_shape(it, names),
        received_at=lambda it: it.received_at,
        id=lambda it: it.guid,
    )


def delivery_with_decisions(conn: Connection, guid: str) -> tuple[deliveries.Delivery, list[subjects.Verdict]]:
    """A delivery, and what was decided last about each subject that it rang; refused when it is not here."""
    found = deliveries.get(conn, guid)
    if found is None:
        raise Refused(
            f"Couldn't find that delivery: it never came, or more than {deliveries.KEPT_FOR.days} days ago.",
            code="not_found",
        )
    rung = [Subject(SubjectKind(kind), key) for kind, key in _RUNG.findall(found.verdict)]
    return found, sorted(subjects.verdicts(conn, rung), key=lambda it: it.subject)


async def delivery(request: web.Request) -> web.Response:
    """GET /deliveries/GUID: one, with its payload and with what was decided last about each subject that it rang."""
    guid = request.match_info["guid"]

    def read(conn: Connection) -> tuple[deliveries.Delivery, bytes, list[subjects.Verdict], Mapping[str, str]]:
        found, decided = delivery_with_decisions(conn, guid)
        return found, found.body, decided, names_by_id(conn)

    found, body, decided, names = await request.app[CONTEXT].db.read(read)
    about = {
        "size": len(body),
        "decisions": [_decision_shape(each, names) for each in decided],
        "payload": msgspec.Raw(body),  # as it was sent: not all that JSON can hold could be written anew
    }
    return answers.answer(request, delivery_shape(found, names) | about)


def _decision_shape(it: subjects.Verdict, names: Mapping[str, str]) -> shapes.Json:
    kind, key = it.subject
    return {
        "subject": f"{kind.value} {named(key, names)}",
        "outcome": it.outcome or None,
        "reason": it.reason or None,
        "decided_at": shapes.moment(it.reconciled_at),
    }


def activity_shape(it: activity.Entry) -> shapes.Json:
    """An entry of the activity log; apps and pipelines by their ids."""
    return {
        "id": it.id,
        "at": shapes.moment(it.at),
        "actor": it.actor,
        "action": it.action,
        "app": None if it.app_id is None else {"id": it.app_id},
        "pipeline": None if it.pipeline_id is None else {"id": it.pipeline_id},
        "ref": it.ref or None,
        "commit": it.sha,
        "data": dict(it.data),
    }


async def activity_list(request: web.Request) -> web.Response:
    """GET /activity: what one sees of the log, of one `?app=` or `?pipeline=` if given."""
    app, pipeline = request.query.get("app"), request.query.get("pipeline")
    caller, wanted = request[CALLER], answers.wanted_range(request, *_LOG)

    def read(conn: Connection) -> tuple[list[activity.Entry], int | None]:
        if not app and not pipeline:
            by, seen = caller.person, seen_names(conn, caller.person)
            return log_part(conn, select(log_rows), wanted, lambda it: sees_entry(by, seen, it, actor=caller.actor))
        query = select(log_rows)
        if app:
            query = query.where(log_rows.c.app_id == find_app(conn, in_body(request, app)).id)
        if pipeline:
            query = query.where(log_rows.c.pipeline_id == find_pipeline(conn, in_body(request, pipeline)).id)
        return [activity.as_entry(row) for row in parts.read(conn, query, wanted, _LOG)], None

    entries, read_to = await request.app[CONTEXT].db.read(read)
    return answers.answer_list(request, entries, activity_shape, read_to=read_to, id=lambda it: it.id)


def log_part(
    conn: Connection, query: Select[Any], wanted: ranges.Range, keeps: Callable[[activity.Entry], bool]
) -> tuple[list[activity.Entry], int | None]:
    """The entries of a query that are to be kept, read until there is enough, and how far if that was given up."""
    found, rest = list[activity.Entry](), replace(wanted, max=_PART_OF_LOG)
    for _ in range(_PARTS_OF_LOG):
        part = [activity.as_entry(row) for row in parts.read(conn, query, rest, _LOG)]
        found += [it for it in part[:_PART_OF_LOG] if keeps(it)]
        if len(part) <= _PART_OF_LOG or len(found) > wanted.max:
            return found, None
        rest = replace(rest, start=str(part[_PART_OF_LOG - 1].id), exclusive=True)
    return found, int(rest.start)


async def why(request: web.Request) -> web.Response:
    """GET /why?q=COMMIT|PR|APP: what was decided about it, when, and for what reason."""
    question = request.query.get("q", "").strip()
    if not question:
        raise Refused("q: is required; ask for a commit, a pull request or an app")
    db, by = request.app[CONTEXT].db, request[CALLER].person
    asked, entries = await db.read(lambda conn: trail.of(conn, question, by, db.now()))
    shown = [
        {"at": shapes.moment(it.at), "what": it.what, "about": it.about, "state": it.state, "text": it.text}
        for it in entries
    ]
    return answers.answer(request, {"query": question, "about": asked, "trail": shown})


async def space_list(request: web.Request) -> web.Response:
    """GET /spaces."""
    listed = await request.app[CONTEXT].db.read(apps.spaces)
    return answers.answer_list(request, listed, shapes.space, name=lambda it: it.name, id=lambda it: it.id)


async def create_space(request: web.Request) -> web.Response:
    """POST /spaces."""
    db, actor = request.app[CONTEXT].db, request[CALLER].actor
    body = await bodies.parse(request, bodies.CreateSpace)
    now = db.now()

    def write(conn: Connection) -> Space:
        if any(each.name == body.name for each in apps.spaces(conn)):
            raise Refused(f"name: there is a space {body.name} already")
        made = apps.ensure_space(conn, name=body.name, driver=body.driver, now=now)
        activity.record(conn, now=now, actor=actor, action="space created", data={"name": body.name})
        return made

    return answers.answer(request, shapes.space(await db.write(write)), status=201)


ROUTES = [
    rights.get("/deliveries", delivery_list, rights.ADMIN),
    rights.get("/deliveries/{guid}", delivery, rights.ADMIN),
    rights.get("/activity", activity_list, rights.CALLER),
    rights.get("/why", why, rights.CALLER),
    rights.get("/spaces", space_list, rights.CALLER),
    rights.post("/spaces", create_space, rights.ADMIN),
]
