"""Repositories and GitHub App installations as last seen."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, literal, or_, select, union

from service.domain.model import AppState, Repository, RepositoryId
from service.domain.review_rules import OVER
from service.store import rows
from service.store.tables import apps, installations, pipelines, repositories, review_apps


def remember(conn: Connection, repository: Repository, now: datetime) -> None:
    """Take over all that was read of it."""
    values = {
        "full_name": repository.full_name,
        "default_branch": repository.default_branch,
        "installation_id": repository.installation_id,
        "archived": repository.archived,
        "accessible": repository.accessible,
        "lost_at": None if repository.accessible else now,
        "updated_at": now,
    }
    known = repositories.update().where(repositories.c.id == repository.id)
    if not conn.execute(known.values(values)).rowcount:
        conn.execute(repositories.insert().values(id=repository.id, created_at=now, **values))


def see(conn: Connection, repository: Repository, now: datetime) -> Repository | None:
    """Bring a repository that is known up to what was said of it: its name, default branch and installation.

    Returns what was known before, None if nothing is new. Events of repositories that no pipeline knows leave nothing
    behind, and an event without an installation (a webhook of the repository itself) takes none away.
    """
    values: dict[str, object] = {
        "full_name": repository.full_name,
        "default_branch": repository.default_branch,
        "archived": repository.archived,
    }
    if repository.installation_id:
        values["installation_id"] = repository.installation_id
    row = rows.one(conn, select(repositories).where(repositories.c.id == repository.id))
    if row is None or all(row[name] == value for name, value in values.items()):
        return None
    conn.execute(repositories.update().where(repositories.c.id == repository.id).values(**values, updated_at=now))
    return as_repository(row)


def changed_since(conn: Connection, repository_id: int, moment: datetime) -> bool:
    """Whether what is known of it was learned or changed after that moment."""
    updated_at = conn.execute(select(repositories.c.updated_at).where(repositories.c.id == repository_id)).scalar()
    return updated_at is not None and updated_at > moment


def get(conn: Connection, repository_id: int) -> Repository | None:
    """One repository."""
    row = rows.one(conn, select(repositories).where(repositories.c.id == repository_id))
    return as_repository(row) if row else None


def by_name(conn: Connection, full_name: str) -> Repository | None:
    """The repository last seen under a name; names pass from one to another, the newest holder counts."""
    query = select(repositories).where(repositories.c.full_name == full_name)
    row = rows.one(conn, query.order_by(repositories.c.updated_at.desc()).limit(1))
    return as_repository(row) if row else None


def listing(conn: Connection) -> list[Repository]:
    """All repositories by name."""
    found = conn.execute(select(repositories).order_by(repositories.c.full_name, repositories.c.id))
    return [as_repository(row) for row in found.mappings()]


def due_for_audit(conn: Connection, *, before: datetime) -> list[Repository]:
    """The repositories that a pipeline or an app has as its source and that were not audited since `before`."""
    used = or_(
        repositories.c.id.in_(select(pipelines.c.repository_id)),
        repositories.c.id.in_(select(apps.c.repository_id).where(apps.c.state != AppState.GONE)),
    )
    late = or_(repositories.c.audited_at.is_(None), repositories.c.audited_at < before)
    found = conn.execute(select(repositories).where(used, late).order_by(repositories.c.id))
    return [as_repository(row) for row in found.mappings()]


def in_use(conn: Connection) -> set[RepositoryId]:
    """The repositories that a pipeline, an app or a review app that is not over comes from."""
    sources = union(
        select(pipelines.c.repository_id),
        select(apps.c.repository_id).where(apps.c.state != AppState.GONE),
        select(review_apps.c.repository_id).where(review_apps.c.state.not_in(OVER)),
    )
    return {RepositoryId(number) for number in conn.execute(sources).scalars() if number is not None}


def audited(conn: Connection, began: Mapping[RepositoryId, datetime]) -> None:
    """When the audits of these repositories began."""
    if began:
        known = repositories.update().where(repositories.c.id == bindparam("of_id"))
        conn.execute(known, [{"of_id": repository_id, "audited_at": at} for repository_id, at in began.items()])


def set_accessible(conn: Connection, repository_id: int, accessible: bool, now: datetime) -> None:
    """Whether our credentials still reach it; told again, it is since when it was told first."""
    changed = repositories.update().where(repositories.c.id == repository_id)
    conn.execute(changed.values(_reach(accessible, now)))


def _reach(accessible: bool, now: datetime) -> dict[str, Any]:
    lost_at = None if accessible else func.coalesce(repositories.c.lost_at, literal(now, repositories.c.lost_at.type))
    return {"accessible": accessible, "lost_at": lost_at, "updated_at": now}


def granted(conn: Connection, repository_id: int, *, installation_id: int, now: datetime) -> None:
    """An installation of our App has been given it: an App that was installed anew has another number."""
    changed = repositories.update().where(repositories.c.id == repository_id)
    conn.execute(changed.values(_reach(True, now) | {"installation_id": installation_id}))


def set_reach(conn: Connection, *, installation_id: int, accessible: bool, now: datetime) -> None:
    """Whether the installation reaches its repositories: a suspended one reaches none."""
    changed = repositories.update().where(repositories.c.installation_id == installation_id)
    conn.execute(changed.values(_reach(accessible, now)))


def remember_installation(
    conn: Connection, *, installation_id: int, account: str, suspended: bool, now: datetime
) -> bool:
    """Take over what was told of an installation; True when it was suspended or removed just now, or is so no more."""
    was = conn.execute(select(installations.c.suspended).where(installations.c.id == installation_id)).scalar()
    values = {"account": account, "suspended": suspended, "updated_at": now}
    if was is None:
        conn.execute(installations.insert().values(id=installation_id, created_at=now, **values))
    else:
        conn.execute(installations.update().where(installations.c.id == installation_id).values(values))
    return bool(was) is not suspended


def as_repository(row: RowMapping) -> Repository:
    """The repository of a row."""
    return Repository(
        id=RepositoryId(row["id"]),
        full_name=row["full_name"],
        default_branch=row["default_branch"],
        installation_id=row["installation_id"],
        archived=row["archived"],
        accessible=row["accessible"],
        lost_at=row["lost_at"],
    )
