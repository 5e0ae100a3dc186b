"""Promotions: one release's slug to apps downstream, how each target fared, and the way back."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.model import App, Pipeline, Promotion, PromotionTarget, Release, TargetState
from service.domain.promotion import status as outcome
from service.enacting.undoing import Undone
from service.store import promotions
from service.web import rights
from service.web.api import answers, bodies, promotion_bodies, shapes
from service.web.api.finding import (
    find_app,
    find_pipeline,
    find_promotion,
    find_release,
    in_body,
    in_path,
    pipeline_in_path,
)
from service.web.api.loading import app_names
from service.web.api.progress import request_shape
from service.web.keys import CALLER, CONTEXT

_LISTED: Final = 100


def _shape(promotion: Promotion, targets: list[PromotionTarget]) -> shapes.Json:
    # Heroku's word: "completed" says only that every target is final, not that it went well.
    pending = any(target.state is TargetState.PENDING for target in targets)
    failed = sum(target.state is TargetState.FAILED for target in targets)
    return {
        "created_at": shapes.moment(promotion.created_at),
        "id": promotion.id,
        "pipeline": {"id": promotion.pipeline_id},
        "source": {"app": {"id": promotion.source_app_id}, "release": {"id": promotion.source_release_id}},
        "status": "pending" if pending else "completed",
        "updated_at": shapes.moment(promotion.updated_at),
        "failed_targets": failed,
        "outcome": outcome(targets).value,
        "all_or_nothing": promotion.all_or_nothing,
    }


def _target_shape(target: PromotionTarget, app_name: str) -> shapes.Json:
    return {
        "app": {"id": target.app_id, "name": app_name},
        "error_message": target.error or None,
        "id": target.id,
        "pipeline_promotion": {"id": target.promotion_id},
        "release": None if target.release_id is None else {"id": target.release_id},
        "status": target.state.value,
    }


async def create(request: web.Request) -> web.Response:
    """POST /pipeline-promotions."""
    context = request.app[CONTEXT]
    body = await bodies.parse(request, promotion_bodies.Promote)

    def read(conn: Connection) -> tuple[Pipeline, App, Release | None, list[str] | None]:
        source = find_app(conn, in_body(request, body.source.app))
        asked = body.source.release
        release = None if asked is None else find_release(conn, source, bodies.identity(asked))
        targets = _named(conn, request, body.targets)
        return find_pipeline(conn, in_body(request, body.pipeline)), source, release, targets

    pipeline, source, release, targets = await context.db.read(read)
    made = await context.enactor.promote(
        pipeline_id=pipeline.id,
        source_app_id=source.id,
        release_id=None if release is None else release.id,
        target_app_ids=targets,
        all_or_nothing=body.all_or_nothing,
        override_lock=body.override_lock,
        by=request[CALLER].person,
        actor=request[CALLER].actor,
    )
    created = await context.db.read(lambda conn: promotions.targets(conn, made.id))
    return answers.answer(request, _shape(made, created), status=201)


def _named(
    conn: Connection, request: web.Request, targets: Sequence[promotion_bodies.PromotionTarget] | None
) -> list[str] | None:
    """The ids of the apps that a body names, if it names any."""
    if targets is None:
        return None
    named = dict.fromkeys(bodies.identity(target.app) for target in targets)
    return [find_app(conn, in_body(request, name)).id for name in named]


async def listing(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/pipeline-promotions: the newest hundred, newest first."""
    identity = pipeline_in_path(request)

    def read(conn: Connection) -> list[tuple[Promotion, list[PromotionTarget]]]:
        found = promotions.of_pipeline(conn, find_pipeline(conn, identity).id, _LISTED)
        targets = promotions.targets_of(conn, [it.id for it in found])
        return [(it, targets.get(it.id, [])) for it in found]

    return answers.answer_list(
        request,
        await request.app[CONTEXT].db.read(read),
        lambda it: _shape(*it),
        created_at=lambda it: it[0].created_at,
        id=lambda it: it[0].id,
    )


async def undo(request: web.Request) -> web.Response:
    """POST /pipeline-promotions/PROMOTION/actions/undo: each target goes back to what it ran, or says why not."""
    context, asked = request.app[CONTEXT], in_path(request, "promotion")
    body = await bodies.parse(request, promotion_bodies.Undo)
    promotion, targets = await context.db.read(
        lambda conn: (find_promotion(conn, asked), _named(conn, request, body.targets))
    )
    undone = await context.enactor.undo_promotion(
        promotion_id=promotion.id, target_app_ids=targets, by=request[CALLER].person, actor=request[CALLER].actor
    )
    shape = {"pipeline_promotion": {"id": promotion.id}, "targets": [_undone_shape(it) for it in undone]}
    return answers.answer(request, shape, status=201)


def _undone_shape(it: Undone) -> shapes.Json:
    view, to, made = it.way.view, it.way.to, it.release
    return {
        "app": {"id": view.target.app_id, "name": view.app_name},
        "error_message": it.way.why or None,
        "id": view.target.id,
        "refused": it.way.is_refused,
        "release": None if made is None else {"id": made.id, "version": made.version},
        "request": None if it.request is None else request_shape(it.request),
        "to": None if to is None else {"id": to.id, "version": to.version},
    }


async def info(request: web.Request) -> web.Response:
    """GET /pipeline-promotions/PROMOTION."""
    asked = in_path(request, "promotion")
    promotion, targets = await request.app[CONTEXT].db.read(
        lambda conn: (find_promotion(conn, asked), promotions.targets(conn, asked.name))
    )
    return answers.answer(request, _shape(promotion, targets))


async def target_list(request: web.Request) -> web.Response:
    """GET /pipeline-promotions/PROMOTION/promotion-targets: each app's state and release."""
    asked = in_path(request, "promotion")
    _, targets, names = await request.app[CONTEXT].db.read(
        lambda conn: (find_promotion(conn, asked), promotions.targets(conn, asked.name), app_names(conn))
    )
    return answers.answer_list(
        request, targets, lambda it: _target_shape(it, names.get(it.app_id, "")), id=lambda it: it.id
    )


ROUTES = [
    rights.post("/pipeline-promotions", create, rights.BODY),
    rights.get("/pipeline-promotions/{promotion}", info, rights.pipeline()),
    rights.post("/pipeline-promotions/{promotion}/actions/undo", undo, rights.pipeline()),
    rights.get("/pipelines/{pipeline}/pipeline-promotions", listing, rights.pipeline()),
    rights.get("/pipeline-promotions/{promotion}/promotion-targets", target_list, rights.pipeline()),
]
