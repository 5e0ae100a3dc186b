"""What arrives while somebody waits for it: what GitHub has sent, and a pipeline's review apps.

The set-up ends with such a page, and so does the making of a pipeline. Both list it when they are loaded, and again
whenever it has changed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web
from sqlalchemy import Connection

from service.domain.errors import Refused, Transient
from service.domain.model import Pipeline, RepositoryId
from service.store import deliveries, repositories, reviews
from service.web import rights
from service.web.api.finding import find_pipeline
from service.web.api.insight import delivery_shape, names_by_id
from service.web.api.loading import app_names
from service.web.api.review_apps import review_shape
from service.web.keys import CLOSING, CONTEXT, VISITOR, WebContext
from service.web.pages.overview import asked_in
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, may_still
from service.web.streams import STREAMS

_POLL_SECONDS: Final = 0.5
_BEAT_SECONDS: Final = 15.0
_LISTED: Final = 12
_LOOKED_AT: Final = 100
_OF_DELIVERY: Final = ("id", "event", "action", "state", "verdict", "received_at")
_OF_REVIEW_APP: Final = ("id", "pr_number", "branch", "state", "reason", "web_url")


def arrived(
    conn: Connection,
    context: WebContext,
    pipeline: Pipeline,
    *,
    since: datetime,
    of: RepositoryId | None = None,
    verdicts: bool = True,
) -> dict[str, Any]:
    """What GitHub has sent since then, newest first, and the pipeline's review apps.

    With `of` it is what is about that repository. Verdicts name apps of other pipelines, too: not everybody sees these.
    """
    found = deliveries.listing(conn, _LOOKED_AT, since=since, repository_id=of)
    # GitHub tells us of our own checks as well, many times; that would hide what a person waits for.
    sent = [each for each in found if not each.verdict.startswith("our own ")][:_LISTED]
    names = names_by_id(conn) if sent and verdicts else {}
    known = {each.id: each.full_name for each in repositories.listing(conn)} if sent else {}
    shown = [
        _only(delivery_shape(each, names), _OF_DELIVERY)
        | {"repository": known.get(RepositoryId(each.repository_id or 0), "")}
        | ({} if verdicts else {"verdict": ""})
        for each in sent
    ]
    there = reviews.of_pipeline(conn, pipeline.id)
    of_apps = app_names(conn) if there else {}
    running = [_only(review_shape(each, pipeline, of_apps, context.settings), _OF_REVIEW_APP) for each in there]
    return {"deliveries": shown, "review_apps": running}


def _only(shape: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: shape[name] or "" for name in names}


async def follow(
    request: web.Request,
    read: Callable[[Connection], dict[str, Any]],
    *,
    goes_on: Callable[[], bool],
    may: Callable[[], Awaitable[bool]],
) -> web.StreamResponse:
    """Send the list as server-sent events, whenever it has changed, as long as it `goes_on` and whoever looks `may`."""
    db = request.app[CONTEXT].db
    response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    last, silent = b"", 0.0
    with suppress(ConnectionResetError):  # the browser has gone, and with it whom to tell
        while goes_on():
            try:
                now = msgspec.json.encode(await db.read(read))
                silent += _POLL_SECONDS
                tells = now != last or silent >= _BEAT_SECONDS
                if tells and not await may():
                    break
            except (Refused, Transient):  # a browser comes back, and is told then whether it may
                break
            if tells:
                # The beat tells a proxy that somebody is there, and us whether somebody is.
                await response.write(b"data: " + now + b"\n\n" if now != last else b": still here\n\n")
                last, silent = now, 0.0
            if await _closing(request):
                break
    return response


async def _closing(request: web.Request) -> bool:
    """Rest a moment; True when the server stops."""
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await request.app[CLOSING].wait()
    except TimeoutError:
        return False
    return True


def _reader(request: web.Request) -> Callable[[Connection], tuple[Pipeline, dict[str, Any]]]:
    """How the list is read of the pipeline that the path names, as far as the visitor sees it."""
    context, asked = request.app[CONTEXT], asked_in(request)

    def read(conn: Connection) -> tuple[Pipeline, dict[str, Any]]:
        it = find_pipeline(conn, asked)
        of, admin = it.repository_id or RepositoryId(0), asked.by.is_admin
        return it, arrived(conn, context, it, since=it.created_at, of=of, verdicts=admin)

    return read


async def arrivals(request: web.Request) -> web.StreamResponse:
    """GET /dashboard/pipelines/PIPELINE/arrivals: open a pull request now; what arrives is listed as it does."""
    context, read = request.app[CONTEXT], _reader(request)
    pipeline, listed = await context.db.read(read)
    repository = await context.db.read(lambda conn: repositories.get(conn, pipeline.repository_id or RepositoryId(0)))
    if repository is None:  # nothing can arrive
        return web.Response(status=303, headers={"Location": f"{PATH}/pipelines/{pipeline.id}"})
    return page(
        "dashboard/arrivals.html",
        visitor=request[VISITOR],
        pipeline=pipeline,
        repository=repository,
        compare_url=f"{context.settings.github_url}/{repository.full_name}/compare",
        arrived=listed,
        events_url=f"{PATH}/pipelines/{pipeline.id}/arrivals/events",
    )


async def events(request: web.Request) -> web.StreamResponse:
    """GET /dashboard/pipelines/PIPELINE/arrivals/events: the same list, as it changes."""
    read = _reader(request)
    with request.app[STREAMS].one(request[VISITOR].user.id):
        return await follow(request, lambda conn: read(conn)[1], goes_on=lambda: True, may=lambda: may_still(request))


_SEEN: Final = rights.page(rights.pipeline())
_ONE: Final = f"{PATH}/pipelines/{{pipeline}}/arrivals"
ROUTES = [rights.get(_ONE, arrivals, _SEEN), rights.get(f"{_ONE}/events", events, _SEEN)]
