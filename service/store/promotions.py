"""Promotions and their targets, each of which ends on its own."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from service.domain.model import Promotion, PromotionId, PromotionTarget, TargetId, TargetState
from service.store import rows
from service.store.database import new_id
from service.store.tables import promotion_targets, promotions


def create(
    conn: Connection,
    *,
    pipeline_id: str,
    source_app_id: str,
    source_release_id: str,
    slug_id: str,
    actor: str,
    targets: Iterable[tuple[str, str, str | None]],
    now: datetime,
) -> Promotion:
    """Make a promotion; `targets` are (app, its request, the release that this is to bring)."""
    values = {
        "id": new_id(),
        "pipeline_id": pipeline_id,
        "source_app_id": source_app_id,
        "source_release_id": source_release_id,
        "slug_id": slug_id,
        "actor": actor,
        "created_at": now,
        "updated_at": now,
    }
    row = conn.execute(promotions.insert().values(values).returning(promotions)).mappings().one()
    made = [
        {
            "id": new_id(),
            "promotion_id": row["id"],
            "app_id": app,
            "request_id": request,
            "release_id": release,
            "state": TargetState.PENDING,
        }
        for app, request, release in targets
    ]
    if made:
        conn.execute(promotion_targets.insert(), made)
    return _promotion(row)


def get(conn: Connection, promotion_id: str) -> Promotion | None:
    """One promotion."""
    row = rows.one(conn, select(promotions).where(promotions.c.id == promotion_id))
    return _promotion(row) if row else None


def of_pipeline(conn: Connection, pipeline_id: str, limit: int) -> list[Promotion]:
    """The pipeline's promotions, newest first."""
    query = select(promotions).where(promotions.c.pipeline_id == pipeline_id)
    found = conn.execute(query.order_by(promotions.c.created_at.desc(), promotions.c.id).limit(limit))
    return [_promotion(row) for row in found.mappings()]


def targets(conn: Connection, promotion_id: str) -> list[PromotionTarget]:
    """A promotion's targets."""
    query = select(promotion_targets).where(promotion_targets.c.promotion_id == promotion_id)
    return [_target(row) for row in conn.execute(query.order_by(promotion_targets.c.app_id)).mappings()]


def target_of_request(conn: Connection, request_id: str) -> PromotionTarget | None:
    """The target that a request serves."""
    row = rows.one(conn, select(promotion_targets).where(promotion_targets.c.request_id == request_id))
    return _target(row) if row else None


def finish_target(
    conn: Connection, *, target_id: str, state: TargetState, error: str, now: datetime
) -> PromotionTarget:
    """Bring one target to its end."""
    row = rows.one(conn, select(promotion_targets).where(promotion_targets.c.id == target_id))
    assert row is not None
    target = _change(conn, target_id, state=rows.reach(TargetState(row["state"]), state), error=error)
    conn.execute(promotions.update().where(promotions.c.id == target.promotion_id).values(updated_at=now))
    return target


def _change(conn: Connection, target_id: str, **values: Any) -> PromotionTarget:
    changed = promotion_targets.update().where(promotion_targets.c.id == target_id).values(**values)
    return _target(conn.execute(changed.returning(promotion_targets)).mappings().one())


def _promotion(row: RowMapping) -> Promotion:
    return Promotion(
        id=PromotionId(row["id"]),
        pipeline_id=row["pipeline_id"],
        source_app_id=row["source_app_id"],
        source_release_id=row["source_release_id"],
        slug_id=row["slug_id"],
        actor=row["actor"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _target(row: RowMapping) -> PromotionTarget:
    return PromotionTarget(
        id=TargetId(row["id"]),
        promotion_id=row["promotion_id"],
        app_id=row["app_id"],
        request_id=row["request_id"],
        release_id=row["release_id"],
        state=TargetState(row["state"]),
        error=row["error"],
    )
