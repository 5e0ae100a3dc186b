"""Promotions and their targets."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, or_, select

from service.domain.decisions import Subject, SubjectKind
from service.domain.model import Promotion, PromotionId, PromotionTarget, TargetId, TargetState
from service.store import changes, rows
from service.store.database import new_id
from service.store.tables import apps, promotion_targets, promotions


def create(
    conn: Connection,
    *,
    pipeline_id: str,
    source_app_id: str,
    source_release_id: str,
    slug_id: str,
    actor: str,
    targets: Iterable[tuple[str, str, str | None]],
    all_or_nothing: bool = False,
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
        "all_or_nothing": all_or_nothing,
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
    promotion = as_promotion(row)
    changes.note(conn, None, promotion)
    return promotion


def get(conn: Connection, promotion_id: str) -> Promotion | None:
    """One promotion."""
    row = rows.one(conn, select(promotions).where(promotions.c.id == promotion_id))
    return as_promotion(row) if row else None


def of_pipeline(conn: Connection, pipeline_id: str, limit: int) -> list[Promotion]:
    """The pipeline's promotions, newest first."""
    query = select(promotions).where(promotions.c.pipeline_id == pipeline_id)
    found = conn.execute(query.order_by(promotions.c.created_at.desc(), promotions.c.id).limit(limit))
    return [as_promotion(row) for row in found.mappings()]


def targets(conn: Connection, promotion_id: str) -> list[PromotionTarget]:
    """A promotion's targets."""
    query = select(promotion_targets).where(promotion_targets.c.promotion_id == promotion_id)
    return [as_target(row) for row in conn.execute(query.order_by(promotion_targets.c.app_id)).mappings()]


def targets_of(conn: Connection, promotion_ids: Collection[str]) -> dict[PromotionId, list[PromotionTarget]]:
    """The targets of several promotions, in one statement."""
    found: dict[PromotionId, list[PromotionTarget]] = {}
    query = select(promotion_targets).where(promotion_targets.c.promotion_id.in_(promotion_ids))
    for row in conn.execute(query.order_by(promotion_targets.c.app_id)).mappings():
        found.setdefault(row["promotion_id"], []).append(as_target(row))
    return found


def target_of_request(conn: Connection, request_id: str) -> PromotionTarget | None:
    """The target that a request serves."""
    row = rows.one(conn, select(promotion_targets).where(promotion_targets.c.request_id == request_id))
    return as_target(row) if row else None


def is_whole(conn: Connection, promotion_id: str) -> bool:
    """Whether the promotion is all or nothing."""
    query = select(promotions.c.all_or_nothing).where(promotions.c.id == promotion_id)
    return bool(conn.execute(query).scalar())


def wholes(conn: Connection, request_id: str) -> list[Subject]:
    """The promotion that is all or nothing, if the request brings a target of it there or back."""
    own = or_(promotion_targets.c.request_id == request_id, promotion_targets.c.back_request_id == request_id)
    return _wholes(conn, own)


def unsettled_wholes(conn: Connection) -> list[Subject]:
    """The promotions that are all or nothing and not over yet."""
    return _wholes(conn, promotion_targets.c.state == TargetState.PENDING)


def _wholes(conn: Connection, condition: ColumnElement[bool]) -> list[Subject]:
    query = (
        select(promotions.c.id)
        .join(promotion_targets, promotion_targets.c.promotion_id == promotions.c.id)
        .where(promotions.c.all_or_nothing, condition)
    )
    return [Subject(SubjectKind.PROMOTION, each) for each in conn.execute(query.distinct()).scalars()]


def prepare(conn: Connection, target_id: str) -> None:
    """Say that a target could go live."""
    _change(conn, target_id, prepared=True)


def wake(conn: Connection, app_ids: Collection[str]) -> None:
    """Let apps that rest until another target is so far go on at once."""
    conn.execute(apps.update().where(apps.c.id.in_(app_ids)).values(retry_at=None))


def goes_back(conn: Connection, *, target_id: str, request_id: str) -> None:
    """Say by which request a target is put back."""
    _change(conn, target_id, back_request_id=request_id)


def finish_target(
    conn: Connection, *, target_id: str, state: TargetState, error: str, now: datetime
) -> PromotionTarget:
    """Bring one target to its end."""
    row = rows.one(conn, select(promotion_targets).where(promotion_targets.c.id == target_id))
    assert row is not None
    target = _change(conn, target_id, state=rows.reach(TargetState(row["state"]), state), error=error)
    changes.note(conn, as_target(row), target)
    conn.execute(promotions.update().where(promotions.c.id == target.promotion_id).values(updated_at=now))
    return target


def _change(conn: Connection, target_id: str, **values: Any) -> PromotionTarget:
    changed = promotion_targets.update().where(promotion_targets.c.id == target_id).values(**values)
    return as_target(conn.execute(changed.returning(promotion_targets)).mappings().one())


def as_promotion(row: RowMapping) -> Promotion:
    """The promotion of a row."""
    return Promotion(
        id=PromotionId(row["id"]),
        pipeline_id=row["pipeline_id"],
        source_app_id=row["source_app_id"],
        source_release_id=row["source_release_id"],
        slug_id=row["slug_id"],
        actor=row["actor"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        all_or_nothing=row["all_or_nothing"],
    )


def as_target(row: RowMapping) -> PromotionTarget:
    """The target of a row."""
    return PromotionTarget(
        id=TargetId(row["id"]),
        promotion_id=row["promotion_id"],
        app_id=row["app_id"],
        request_id=row["request_id"],
        release_id=row["release_id"],
        state=TargetState(row["state"]),
        error=row["error"],
        prepared=row["prepared"],
        back_request_id=row["back_request_id"],
    )
