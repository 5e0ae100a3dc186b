"""Deploy locks: at most one on an app and one on a pipeline, kept until it is taken off or has expired."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, exists, func, or_, select, true

from service.domain.decisions import Work
from service.domain.deploy_lock import LOCKABLE, DeployLock, LockId, in_the_way, new_code
from service.domain.model import AppId, PipelineId
from service.store import rows
from service.store.database import new_id
from service.store.tables import apps, couplings, deploy_locks, pipelines

_COVERED = tuple(stage.value for stage in sorted(LOCKABLE))


def put(
    conn: Connection,
    *,
    app_id: str | None,
    pipeline_id: str | None,
    actor: str,
    reason: str,
    expires_at: datetime | None,
    now: datetime,
) -> LockId:
    """Lock an app or a pipeline, one of the two, in place of the lock that it had; returns its id.

    Its owner's lock keeps its id: what went past it goes past it still.
    """
    former = of_target(conn, app_id=app_id, pipeline_id=pipeline_id)
    terms = {"reason": reason, "expires_at": expires_at, "updated_at": now}
    if former is not None and former.actor == actor and former.is_in_force(now):
        conn.execute(deploy_locks.update().where(deploy_locks.c.id == former.id).values(terms))
        return former.id
    if former is not None:
        remove(conn, former.id)
    made = LockId(new_id())
    of = {"id": made, "app_id": app_id, "pipeline_id": pipeline_id, "actor": actor, "created_at": now}
    conn.execute(deploy_locks.insert().values(of | terms))
    return made


def remove(conn: Connection, lock_id: str) -> None:
    """Take a lock off."""
    conn.execute(deploy_locks.delete().where(deploy_locks.c.id == lock_id))


def get(conn: Connection, lock_id: str) -> DeployLock | None:
    """One lock, whether or not it has expired."""
    row = rows.one(conn, _locks().where(deploy_locks.c.id == lock_id))
    return None if row is None else _lock(row)


def of_target(conn: Connection, *, app_id: str | None, pipeline_id: str | None) -> DeployLock | None:
    """The lock of an app or of a pipeline itself, whether or not it has expired."""
    target = deploy_locks.c.app_id == app_id if app_id is not None else deploy_locks.c.pipeline_id == pipeline_id
    row = rows.one(conn, _locks().where(target))
    return None if row is None else _lock(row)


def of_app(conn: Connection, app_id: str) -> tuple[DeployLock, ...]:
    """All that may keep new code out of an app: its own lock and that of its pipeline, expired ones too."""
    inside = and_(
        couplings.c.pipeline_id == deploy_locks.c.pipeline_id,
        couplings.c.app_id == app_id,
        couplings.c.stage.in_(_COVERED),
    )
    return _listed(conn, or_(deploy_locks.c.app_id == app_id, _any(inside)))


def of_pipeline(conn: Connection, pipeline_id: str) -> tuple[DeployLock, ...]:
    """The pipeline's own lock and those of its apps, expired ones too."""
    member = and_(couplings.c.pipeline_id == pipeline_id, couplings.c.app_id == deploy_locks.c.app_id)
    return _listed(conn, or_(deploy_locks.c.pipeline_id == pipeline_id, _any(member)))


def listing(conn: Connection) -> tuple[DeployLock, ...]:
    """All locks, pipelines' first, expired ones too."""
    return _listed(conn, true())


def expired(conn: Connection, now: datetime) -> tuple[DeployLock, ...]:
    """Locks that lock nothing any more."""
    return _listed(conn, deploy_locks.c.expires_at <= now)


def keeping_out(conn: Connection, app_id: str, work: Work, now: datetime) -> tuple[DeployLock, ...]:
    """The locks that keep this work out of an app now."""
    return () if new_code(work) is None else in_the_way(work, of_app(conn, app_id), now=now)


def waiting_apps(conn: Connection, lock: DeployLock) -> list[AppId]:
    """The apps that a lock covers and that deploy by themselves: they wait for it."""
    covered = (
        apps.c.id == lock.app_id
        if lock.app_id is not None
        else and_(couplings.c.pipeline_id == lock.pipeline_id, couplings.c.stage.in_(_COVERED))
    )
    query = select(apps.c.id).outerjoin(couplings, couplings.c.app_id == apps.c.id).where(covered, apps.c.auto_deploy)
    return list(conn.execute(query.order_by(apps.c.id)).scalars())


def _any(coupling: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(couplings.c.id).where(coupling).correlate(deploy_locks))


def _locks() -> Select[Any]:
    name = func.coalesce(apps.c.name, pipelines.c.name).label("name")
    return (
        select(deploy_locks, name)
        .outerjoin(apps, apps.c.id == deploy_locks.c.app_id)
        .outerjoin(pipelines, pipelines.c.id == deploy_locks.c.pipeline_id)
    )


def _listed(conn: Connection, wanted: ColumnElement[bool]) -> tuple[DeployLock, ...]:
    query = _locks().where(wanted).order_by(deploy_locks.c.app_id.is_not(None), "name", deploy_locks.c.id)
    return tuple(_lock(row) for row in conn.execute(query).mappings())


def _lock(row: RowMapping) -> DeployLock:
    return DeployLock(
        id=LockId(row["id"]),
        app_id=None if row["app_id"] is None else AppId(row["app_id"]),
        pipeline_id=None if row["pipeline_id"] is None else PipelineId(row["pipeline_id"]),
        name=row["name"],
        actor=row["actor"],
        reason=row["reason"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
