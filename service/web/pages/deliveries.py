"""What GitHub has sent and what came of it, for administrators of the installation; and having it processed again."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.decisions import Subject
from service.domain.errors import Refused
from service.domain.overview import Said, Tone
from service.store import deliveries, repositories
from service.store.deliveries import Receipt
from service.web import rights
from service.web.api.insight import delivery_with_decisions, named, names_by_id
from service.web.errors import not_found
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH

STATES: Final = {
    "received": Said(text="waiting", tone=Tone.BUSY),
    "processed": Said(text="processed", tone=Tone.GOOD),
    "ignored": Said(text="ignored", tone=Tone.QUIET),
    "failed": Said(text="failed", tone=Tone.BAD),
}
_EACH: Final = 50
_SHOWN: Final = 100_000
"""Characters of a payload; the command line shows all of it."""


async def listing(request: web.Request) -> web.Response:
    """GET /dashboard/deliveries: the newest first, of one `?state=` or `?event=` if given, from after `?before=` on."""
    query, context = request.query, request.app[CONTEXT]
    state, event, before = query.get("state", ""), query.get("event", "").strip(), query.get("before", "")
    if state not in {"", *STATES}:
        raise Refused(f"There are no deliveries that are {state[:40]}: they are {', '.join(STATES)}.")

    def read(conn: Connection) -> tuple[list[Receipt], dict[str, str], dict[int, str]]:
        last = deliveries.known(conn, [before]).get(before) if before else None
        if before and last is None:
            raise not_found("delivery")
        found = deliveries.part(conn, state=state, event=event, before=last, limit=_EACH + 1)
        known = {int(each.id): each.full_name for each in repositories.listing(conn)}
        return found, dict(names_by_id(conn)), known

    found, names, of_repositories = await context.db.read(read)
    return page(
        "dashboard/deliveries.html",
        visitor=request[VISITOR],
        found=[(each, named(each.verdict, names)) for each in found[:_EACH]],
        more=found[_EACH - 1].guid if len(found) > _EACH else "",
        repositories=of_repositories,
        states=STATES,
        state=state,
        event=event,
        before=before,
        replayed=_number(query.get("replayed", "")),
        days=deliveries.KEPT_FOR.days,
        now=context.db.now(),
    )


async def one(request: web.Request) -> web.Response:
    """GET /dashboard/deliveries/GUID: one, with what was decided last about each subject that it rang."""
    context, guid = request.app[CONTEXT], request.match_info["guid"]
    (found, decided), names, known = await context.db.read(
        lambda conn: (delivery_with_decisions(conn, guid), names_by_id(conn), repositories.listing(conn))
    )
    payload = await asyncio.to_thread(lambda: _readable(found.body))  # up to 25 MB
    return page(
        "dashboard/delivery.html",
        visitor=request[VISITOR],
        it=found,
        verdict=named(found.verdict, names),
        decided=[(_in_words(each.subject, names), each) for each in decided],
        repository=next((each.full_name for each in known if each.id == found.repository_id), ""),
        states=STATES,
        payload=payload[:_SHOWN],
        is_cut=len(payload) > _SHOWN,
        replayed=_number(request.query.get("replayed", "")),
        now=context.db.now(),
    )


def _number(text: str) -> str:
    """How many, if that is what the address says: it may say anything."""
    return text if text.isdecimal() else ""


def _in_words(it: Subject, names: Mapping[str, str]) -> str:
    return f"{it.kind.value.replace('_', ' ')} {named(it.key, names)}"


def _readable(body: bytes) -> str:
    """A payload for people; what is no JSON, or more than can be written anew, as it was sent."""
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()


async def replay(request: web.Request) -> web.Response:
    """POST /dashboard/deliveries/GUID/replay: process it once more."""
    guid = request.match_info["guid"]
    done = await request.app[CONTEXT].enactor.replay_deliveries(guids=[guid], actor=request[VISITOR].actor)
    return _led_to(f"deliveries/{guid}?replayed={done.count}")


async def replay_failed(request: web.Request) -> web.Response:
    """POST /dashboard/delivery-replays: process all that failed once more."""
    done = await request.app[CONTEXT].enactor.replay_fitting_deliveries(
        failed=True, since=None, actor=request[VISITOR].actor
    )
    return _led_to(f"deliveries?replayed={done.count}")


def _led_to(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": f"{PATH}/{where}"})


_ADMIN: Final = rights.page(rights.ADMIN)
ROUTES = [
    rights.get(f"{PATH}/deliveries", listing, _ADMIN),
    rights.get(f"{PATH}/deliveries/{{guid}}", one, _ADMIN),
    rights.post(f"{PATH}/deliveries/{{guid}}/replay", replay, _ADMIN),
    rights.post(f"{PATH}/delivery-replays", replay_failed, _ADMIN),
]
