"""Promoting by a click: a page that names what goes where, and the button that does it.

What is promoted is the release that the page has shown, whatever the app runs by then.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiMapping
from sqlalchemy import Connection

from service.domain import promotion
from service.domain.access import Permission, for_promotion
from service.domain.deploy_lock import DeployLock
from service.domain.downstream import Difference
from service.domain.errors import Refused
from service.enacting.promotions import promotion_request
from service.store import overviews
from service.store.overviews import Member, Overview
from service.store.sight import to_app
from service.web import rights
from service.web.api.finding import Asked, find_app, find_pipeline
from service.web.errors import not_found
from service.web.keys import CONTEXT, VISITOR
from service.web.pages import cards
from service.web.pages.overview import asked_in, board_of
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, form_of

_LISTED: Final = 20
_CHANGED: Final = "A lock was set or changed after the page was shown. Nothing was done: look at it once more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An app that may be promoted to; `why_not` says what keeps this person from it, `locks` what keeps everybody."""

    member: Member
    difference: Difference
    why_not: str
    locks: tuple[DeployLock, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What somebody had chosen on the page as it was shown to them; `release` is the one that they were to promote."""

    targets: tuple[str, ...]
    release: str
    all_or_nothing: bool

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The same as a form or an address says it."""
        found = [("release", self.release), *(("target", each) for each in self.targets)]
        return [*found, ("all_or_nothing", "on")] if self.all_or_nothing else found


def _chosen(sent: MultiMapping[Any]) -> Chosen | None:
    """What was chosen by what a form or an address says; None where that is nothing yet."""
    targets, release = tuple(str(each) for each in sent.getall("target", [])), str(sent.get("release", ""))
    if not targets or not release:
        return None
    return Chosen(targets=targets, release=release, all_or_nothing=sent.get("all_or_nothing") == "on")


def _source(it: Overview, name: str) -> Member:
    found = next((each for each in it.members if name in {each.app.id, each.app.name}), None)
    if found is None:
        raise not_found("app")
    return found


async def confirm(request: web.Request) -> web.Response:
    """GET /dashboard/pipelines/PIPELINE/promote?app=APP: what would go where; with `&past=locks`, past these, too."""
    query = request.query
    return await _show(request, query.get("app", ""), past=query.get("past") == "locks", chosen=_chosen(query))


async def _show(
    request: web.Request, name: str, *, past: bool, chosen: Chosen | None, refusal: str = ""
) -> web.Response:
    """The page as all is now, with what was `chosen` on a former one; `refusal` says why that was not done."""
    context, asked = request.app[CONTEXT], asked_in(request)

    def read(conn: Connection) -> tuple[Overview, Member, str]:
        find_app(conn, Asked(by=asked.by, name=name))
        it = overviews.load(conn, find_pipeline(conn, asked))
        source = _source(it, name)
        try:
            promotion.resolve(promotion_request(conn, it.pipeline.id, source.app.id, None, None))
        except Refused as refused:
            return it, source, refused.message
        return it, source, ""

    it, source, why_not = await context.db.read(read)
    now, board = context.db.now(), board_of(context, it)
    targets = _targets(it, source, asked, now)
    ready = [each for each in targets if not each.why_not and (past or not each.locks)]
    going_past = [("app", source.app.name), *(chosen.pairs if chosen else ()), ("past", "locks")]
    shown = [card for found in board.columns.values() for card in found]
    return page(
        "dashboard/promote.html",
        status=409 if refusal else 200,
        refusal=refusal,
        visitor=request[VISITOR],
        pipeline=it.pipeline,
        source=source,
        code=next((card.code for card in shown if card.app is not None and card.app.id == source.app.id), None),
        targets=targets,
        why_not=why_not,
        past=past,
        ready=ready,
        ticked=[each for each in ready if chosen is None or each.member.app.id in chosen.targets],
        all_or_nothing=chosen is not None and chosen.all_or_nothing,
        is_another=bool(chosen and source.release and chosen.release != source.release.id),
        past_path=f"{PATH}/pipelines/{it.pipeline.id}/promote?{urlencode(going_past)}",
        locked=[each for each in targets if not each.why_not and each.locks],
        listed=_LISTED,
        now=now,
    )


def _targets(it: Overview, source: Member, asked: Asked, now: datetime) -> list[Target]:
    """The apps downstream that the person sees."""
    return [
        Target(
            member=each,
            difference=cards.difference(it, source, each),
            why_not=_why_not(each, asked),
            locks=_locks(it.locks, [each.app.id], now),
        )
        for each in it.downstream_of(source)
        if Permission.VIEW in to_app(asked.by, each.app)
    ]


def _why_not(target: Member, asked: Asked) -> str:
    needed = for_promotion(target.stage)
    if needed in to_app(asked.by, target.app):
        return ""
    return f"you may not: it is in {target.stage.value}, and that takes {needed}"


def _locks(locks: Iterable[DeployLock], app_ids: Collection[str], now: datetime) -> tuple[DeployLock, ...]:
    """Those that keep new code out of one of the apps."""
    return tuple(each for each in locks if each.is_in_force(now) and (each.app_id is None or each.app_id in app_ids))


async def promote(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/promotions: do it."""
    context, asked, form = request.app[CONTEXT], asked_in(request), await form_of(request)
    name, chosen = str(form.get("app", "")), _chosen(form)
    if chosen is None:
        raise Refused("Choose at least one app to promote to. Nothing was done.")
    read_locks = {str(each) for each in form.getall("past", [])}

    def read(conn: Connection) -> tuple[str, str]:
        return find_pipeline(conn, asked).id, find_app(conn, Asked(by=asked.by, name=name)).id

    pipeline_id, app_id = await context.db.read(read)
    visitor = request[VISITOR]
    try:
        await context.enactor.promote(
            pipeline_id=pipeline_id,
            source_app_id=app_id,
            release_id=chosen.release,
            target_app_ids=chosen.targets,
            all_or_nothing=chosen.all_or_nothing,
            override_lock=bool(read_locks),
            read_locks=read_locks,
            by=visitor.person,
            actor=visitor.actor,
        )
    except Refused as refused:
        if refused.code != "conflict":
            raise
        # A lock came, or says something else: nobody goes past one without having read why it is there.
        return await _show(request, name, past=bool(read_locks), chosen=chosen, refusal=_CHANGED)
    return web.Response(status=303, headers={"Location": f"{PATH}/pipelines/{pipeline_id}"})


_ONE: Final = f"{PATH}/pipelines/{{pipeline}}"
ROUTES = [
    rights.get(f"{_ONE}/promote", confirm, rights.page(rights.pipeline())),
    rights.post(f"{_ONE}/promotions", promote, rights.page(rights.pipeline())),
]
