"""The page that a team keeps open: a pipeline's apps by stage, and it changes by itself."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import hdrs, web
from sqlalchemy import Connection

from service.domain.access import Permission, Permissions, Person, for_promotion
from service.domain.errors import Transient
from service.domain.model import App, AppState, Stage
from service.domain.promotion import downstream
from service.store import overviews, pipelines
from service.store.overviews import Overview
from service.store.sight import to_app, to_pipeline
from service.web import rights
from service.web.api.finding import Asked, find_pipeline
from service.web.keys import CLOSING, CONTEXT, VISITOR, WebContext
from service.web.pages import cards
from service.web.pages.card_menus import Item, menus
from service.web.pages.cards import COLUMNS, Board, Card
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, may_still
from service.web.pages.watching import WATCHES

GONE: Final = "gone"
REVIEWS_LISTED: Final = 100
"""Of more review apps only those to which something was deployed last are shown, and the rest by a link."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_WAKES_SECONDS: Final = 1.0
_BEATS: Final = 15
"""After so many wakes without news the browser is told that we are there, and asked whether it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An overview as one person sees it, and the digest of all of it.

    `promotable` are the apps they may promote, `menus` what else they may have done, by app; and `may_add` is for apps.
    """

    it: Overview
    board: Board
    digest: str
    promotable: frozenset[str]
    menus: Mapping[str, list[Item]]
    may_add: bool


def reader(context: WebContext) -> Callable[[str], Awaitable[str]]:
    """What tells how a pipeline's overview looks now, by the pipeline's id."""

    async def read(pipeline_id: str) -> str:
        def load(conn: Connection) -> Overview | None:
            pipeline = pipelines.get(conn, pipeline_id)
            return None if pipeline is None else overviews.load(conn, pipeline)

        found = await context.db.read(load)
        return GONE if found is None else board_of(context, found).digest

    return read


def board_of(context: WebContext, it: Overview) -> Board:
    """The overview in cards, as it is now."""
    settings, now = context.settings, context.db.now()
    return cards.board(it, settings=settings, our_app_id=context.identity.app_id, now=now)


def asked_in(request: web.Request) -> Asked:
    """The pipeline that the path names, for whoever looks."""
    return Asked(by=request[VISITOR].person, name=request.match_info["pipeline"])


async def _shown(request: web.Request) -> Shown:
    context, asked = request.app[CONTEXT], asked_in(request)

    def read(conn: Connection) -> tuple[Overview, Permissions]:
        pipeline = find_pipeline(conn, asked)
        return overviews.load(conn, pipeline), to_pipeline(conn, asked.by, pipeline)

    it, may = await context.db.read(read)
    if unasked := it.unasked():
        with suppress(Transient):  # the next look asks again
            await context.enactor.look_up(unasked, actor=request[VISITOR].actor)
    board = board_of(context, it)
    digest, own = board.digest, seen(board, asked.by)
    return Shown(
        it=it,
        board=own,
        digest=digest,
        promotable=_promotable(it, asked.by),
        menus=menus(it, asked.by, may),
        may_add=Permission.MANAGE in may,
    )


def seen(board: Board, by: Person) -> Board:
    """The board without apps that the person does not see, although they are in the pipeline."""

    def sees(app: App | None) -> bool:
        return app is None or Permission.VIEW in to_app(by, app)

    def card(it: Card) -> Card:
        return replace(it, apart=tuple(each for each in it.apart if sees(each.app)))

    promoted = board.promoted
    if promoted is not None:
        targets = tuple(each for each in promoted.targets if sees(each.app))
        source = promoted.source if sees(promoted.source) else None
        promoted = replace(promoted, source=source, targets=targets) if targets else None
    columns = {stage: [card(it) for it in found if sees(it.app)] for stage, found in board.columns.items()}
    return replace(board, columns=columns, promoted=promoted)


def _promotable(it: Overview, by: Person) -> frozenset[str]:
    """The apps whose release the person may promote to at least one app downstream."""
    found = set()
    for member in it.members:
        stage, release = downstream(member.stage), member.release
        ready = stage is not None and release is not None and release.slug_id is not None and member.app.promotable
        if not ready or stage is None or member.app.state is AppState.DESTROYING:
            continue
        if any(for_promotion(stage) in to_app(by, each.app) for each in it.downstream_of(member)):
            found.add(member.app.name)
    return frozenset(found)


def newest(reviews: list[Card], most: int) -> list[Card]:
    """The cards, in their order, of the so many review apps to which something was deployed last."""
    by_time = sorted(reviews, key=lambda card: card.touched_at or _LONG_AGO, reverse=True)
    kept = {id(card) for card in by_time[:most]}
    return [card for card in reviews if id(card) in kept]


def _values(request: web.Request, shown: Shown) -> dict[str, Any]:
    everything = request.query.get("reviews") == "all"
    counts = {stage: len(found) for stage, found in shown.board.columns.items()}
    listed = dict(shown.board.columns)
    if not everything:
        listed[Stage.REVIEW] = newest(listed[Stage.REVIEW], REVIEWS_LISTED)
    return {
        "columns": listed,
        "counts": counts,
        "query": "?reviews=all" if everything else "",
        "menus": shown.menus,
        "addable": [each for each in COLUMNS if each is not Stage.REVIEW] if shown.may_add else [],
        "pipeline": shown.it.pipeline,
        "repository": shown.it.repository,
        "github_url": request.app[CONTEXT].settings.github_url,
        "board": shown.board,
        "digest": shown.digest,
        "titles": COLUMNS,
        "promotable": shown.promotable,
        "now": request.app[CONTEXT].db.now(),
    }


async def overview(request: web.Request) -> web.Response:
    """GET /dashboard/pipelines/PIPELINE."""
    return page("dashboard/overview.html", visitor=request[VISITOR], **_values(request, await _shown(request)))


async def columns(request: web.Request) -> web.Response:
    """GET /dashboard/pipelines/PIPELINE/columns: the part of the page that changes."""
    return page("dashboard/columns.html", **_values(request, await _shown(request)))


async def events(request: web.Request) -> web.StreamResponse:
    """GET /dashboard/pipelines/PIPELINE/events: says when there is something else to see, first of all now."""
    asked = asked_in(request)
    pipeline = await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, asked))
    response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    closing, told, silent = request.app[CLOSING], "", 0
    async with request.app[WATCHES].watching(pipeline.id) as watch:
        with suppress(ConnectionResetError):  # the browser has gone, and with it whom to tell
            while not closing.is_set():
                digest = await watch.other_than(told, _WAKES_SECONDS)
                silent += 1
                if digest == told and silent < _BEATS:
                    continue
                if not await may_still(request):
                    break
                await response.write(f"data: {digest}\n\n".encode() if digest != told else b": still here\n\n")
                told, silent = digest, 0
    return response


_SEEN = rights.page(rights.pipeline())
_ONE: Final = f"{PATH}/pipelines/{{pipeline}}"
ROUTES = [
    rights.get(_ONE, overview, _SEEN),
    rights.get(f"{_ONE}/columns", columns, _SEEN),
    rights.get(f"{_ONE}/events", events, _SEEN),
]
