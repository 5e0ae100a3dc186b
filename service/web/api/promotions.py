"""Promotions: one release's slug to apps downstream, and how each target fared."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.model import App, Pipeline, Promotion, PromotionTarget, Release, TargetState
from service.domain.promotion import status as outcome
from service.store import promotions
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import find_app, find_pipeline, find_promotion, find_release, in_body, in_path
from service.web.api.loading import app_names
from service.web.keys import CALLER, CONTEXT


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
    body = await bodies.parse(request, bodies.Promote)

    def read(conn: Connection) -> tuple[Pipeline, App, Release | None, list[str] | None]:
        source = find_app(conn, in_body(request, body.source.app))
        asked = body.source.release
        release = None if asked is None else find_release(conn, source, bodies.identity(asked))
        targets: list[str] | None = None
        if body.targets is not None:
            named = dict.fromkeys(bodies.identity(target.app) for target in body.targets)
            targets = [find_app(conn, in_body(request, name)).id for name in named]
        return find_pipeline(conn, in_body(request, body.pipeline)), source, release, targets

    pipeline, source, release, targets = await context.db.read(read)
    made = await context.enactor.promote(
        pipeline_id=pipeline.id,
        source_app_id=source.id,
        release_id=None if release is None else release.id,
        target_app_ids=targets,
        override_lock=body.override_lock,
        by=request[CALLER].person,
        actor=request[CALLER].actor,
    )
    created = await context.db.read(lambda conn: promotions.targets(conn, made.id))
    return answers.answer(request, _shape(made, created), status=201)


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
    rights.get("/pipeline-promotions/{promotion}/promotion-targets", target_list, rights.pipeline()),
]
