"""Webhooks: who listens to which app or pipeline, to what, and where they hear it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, null, or_, select, union_all

from service.domain.errors import Refused
from service.domain.model import AppId, PipelineId
from service.domain.webhooks import KEPT_FOR, MOST, OPEN, Include, Level, OutboundState, WebhookId
from service.store import rows
from service.store.database import new_id
from service.store.secrets import Vault
from service.store.tables import apps, couplings, pipelines, webhook_deliveries, webhooks

SECRET: Final = "secret"  # noqa: S105  (the name of what is sealed)
AUTHORIZATION: Final = "authorization"
APP_GONE: Final = "its app was destroyed"
OTHER_OWNER: Final = "it has another owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One subscription; `name` is that of its app or pipeline. One that is stopped says why."""

    id: WebhookId
    app_id: str | None
    pipeline_id: str | None
    name: str
    include: frozenset[Include]
    level: Level
    url: str
    stopped_at: datetime | None
    reason: str
    created_at: datetime
    updated_at: datetime
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A webhook with what it listens to: its app, its pipeline itself, or (both are named) an app in its pipeline."""

    id: WebhookId
    include: frozenset[Include]
    app_id: str | None
    pipeline_id: str | None


def add(
    conn: Connection,
    vault: Vault,
    *,
    app_id: str | None,
    pipeline_id: str | None,
    include: Iterable[Include],
    level: Level,
    url: str,
    secrets: Mapping[str, str],
    now: datetime,
) -> Webhook:
    """Make a webhook of an app or of a pipeline, one of the two."""
    own = webhooks.c.app_id == app_id if app_id is not None else webhooks.c.pipeline_id == pipeline_id
    if conn.execute(select(func.count()).select_from(webhooks).where(own)).scalar_one() >= MOST:
        raise Refused(f"There are {MOST} webhooks already, which is the most there can be; remove one first.")
    made = WebhookId(new_id())
    values = {
        "id": made,
        "app_id": app_id,
        "pipeline_id": pipeline_id,
        "include": rows.to_json(sorted(include)),
        "level": level,
        "url": url,
        "sealed": vault.seal_vars(secrets, context(made)),
        "created_at": now,
        "updated_at": now,
    }
    conn.execute(webhooks.insert().values(values))
    found = get(conn, made)
    assert found is not None
    return found


def update(conn: Connection, webhook_id: str, *, now: datetime, **change: Any) -> Webhook:
    """Change some of it (`include`, `level`, `url`, `sealed`); one that was stopped hears again from now on."""
    if "include" in change:
        change["include"] = rows.to_json(sorted(change["include"]))
    fresh = {"stopped_at": None, "reason": "", "updated_at": now}
    conn.execute(webhooks.update().where(webhooks.c.id == webhook_id).values({**change, **fresh}))
    found = get(conn, webhook_id)
    assert found is not None
    return found


def remove(conn: Connection, webhook_id: str) -> None:
    """Take it away with its deliveries; one that is on its way may still arrive."""
    conn.execute(webhooks.delete().where(webhooks.c.id == webhook_id))


def stop(conn: Connection, which: ColumnElement[bool], *, reason: str, now: datetime) -> None:
    """Let webhooks hear nothing new until somebody changes them, and give up what they were still to hear."""
    stopped = webhooks.update().where(which).values(stopped_at=now, reason=reason, due_at=None, updated_at=now)
    ids = list(conn.execute(stopped.returning(webhooks.c.id)).scalars())
    given_up = {"state": OutboundState.FAILED, "next_attempt_at": None, "updated_at": now}
    waiting = webhook_deliveries.c.state.in_(OPEN)
    conn.execute(webhook_deliveries.update().where(webhook_deliveries.c.webhook_id.in_(ids), waiting).values(given_up))


def leave_owner(
    conn: Connection, *, app_ids: Collection[str] = (), pipeline_ids: Collection[str] = (), now: datetime
) -> None:
    """Stop those of apps and pipelines that change hands: whom they lead to is the former owner's choice.

    One that was stopped before keeps its reason.
    """
    own = or_(webhooks.c.app_id.in_(app_ids), webhooks.c.pipeline_id.in_(pipeline_ids))
    stop(conn, and_(own, webhooks.c.stopped_at.is_(None)), reason=OTHER_OWNER, now=now)


def get(conn: Connection, webhook_id: str) -> Webhook | None:
    """One webhook."""
    row = rows.one(conn, _shown().where(webhooks.c.id == webhook_id))
    return _webhook(row) if row else None


def listing(conn: Connection, *, app_id: str | None, pipeline_id: str | None) -> list[Webhook]:
    """The webhooks of an app or a pipeline, the oldest first."""
    own = webhooks.c.app_id == app_id if app_id is not None else webhooks.c.pipeline_id == pipeline_id
    found = conn.execute(_shown().where(own).order_by(webhooks.c.created_at, webhooks.c.id))
    return [_webhook(row) for row in found.mappings()]


def listening(
    conn: Connection, *, app_ids: Collection[str], pipeline_ids: Collection[str], left: Mapping[AppId, PipelineId]
) -> list[Listener]:
    """Who listens to what happens to these, in one statement: each once for each that it listens to.

    A pipeline's webhook hears of the apps in it that have the pipeline's owner: others are not its owner's business.
    `left` are apps with the pipeline that they were in until now.
    """
    hearing = webhooks.c.stopped_at.is_(None)
    of_app = select(webhooks.c.id, webhooks.c.include, webhooks.c.app_id, null().label("pipeline_id"))
    of_pipeline = select(webhooks.c.id, webhooks.c.include, null(), webhooks.c.pipeline_id)
    same_owner = apps.c.owner_id.is_not_distinct_from(pipelines.c.owner_id)
    inside = (
        select(webhooks.c.id, webhooks.c.include, couplings.c.app_id, webhooks.c.pipeline_id)
        .join(couplings, couplings.c.pipeline_id == webhooks.c.pipeline_id)
        .join(pipelines, pipelines.c.id == webhooks.c.pipeline_id)
        .join(apps, and_(apps.c.id == couplings.c.app_id, same_owner))
        .where(couplings.c.app_id.in_(app_ids), hearing)
    )
    parted = [
        select(webhooks.c.id, webhooks.c.include, apps.c.id, webhooks.c.pipeline_id)
        .join(pipelines, pipelines.c.id == webhooks.c.pipeline_id)
        .join(apps, and_(apps.c.id == app_id, same_owner))
        .where(webhooks.c.pipeline_id == pipeline_id, hearing)
        for app_id, pipeline_id in left.items()
    ]
    query = union_all(
        of_app.where(webhooks.c.app_id.in_(app_ids), hearing),
        of_pipeline.where(webhooks.c.pipeline_id.in_(pipeline_ids), hearing),
        inside,
        *parted,
    )
    return [
        Listener(
            id=row[0],
            include=frozenset(map(Include, rows.from_json(row[1], list[str]))),
            app_id=row[2],
            pipeline_id=row[3],
        )
        for row in conn.execute(query)
    ]


def wake(conn: Connection, ids: Collection[str], *, now: datetime) -> None:
    """There is something for them to hear. One that rests after a failure rests on."""
    conn.execute(webhooks.update().where(webhooks.c.id.in_(ids), webhooks.c.due_at.is_(None)).values(due_at=now))


def due(conn: Connection, *, now: datetime, limit: int) -> list[str]:
    """Those with a delivery to be tried now, the longest due first."""
    query = select(webhooks.c.id).where(webhooks.c.due_at <= now).order_by(webhooks.c.due_at).limit(limit)
    return list(conn.execute(query).scalars())


def forget(conn: Connection, *, now: datetime) -> int:
    """Delete those of apps that are gone when nothing of theirs is kept any more; returns how many."""
    over = and_(webhooks.c.reason == APP_GONE, webhooks.c.stopped_at < now - KEPT_FOR)
    return conn.execute(webhooks.delete().where(over)).rowcount


def context(webhook_id: str) -> str:
    """What its sealed secrets are bound to."""
    return f"webhook {webhook_id}"


def _shown() -> Select[Any]:
    return (
        select(webhooks, func.coalesce(apps.c.name, pipelines.c.name).label("name"))
        .outerjoin(apps, apps.c.id == webhooks.c.app_id)
        .outerjoin(pipelines, pipelines.c.id == webhooks.c.pipeline_id)
    )


def _webhook(row: RowMapping) -> Webhook:
    return Webhook(
        id=row["id"],
        app_id=row["app_id"],
        pipeline_id=row["pipeline_id"],
        name=row["name"],
        include=frozenset(map(Include, rows.from_json(row["include"], list[str]))),
        level=Level(row["level"]),
        url=row["url"],
        stopped_at=row["stopped_at"],
        reason=row["reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        sealed=row["sealed"],
    )
