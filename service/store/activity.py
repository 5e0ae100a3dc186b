"""The activity log: who did what, when, to what. Only ever appended to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from service.store import rows
from service.store.tables import activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log."""

    id: int
    at: datetime
    actor: str
    action: str
    pipeline_id: str | None
    app_id: str | None
    ref: str
    sha: str | None
    data: Mapping[str, Any]


def record(
    conn: Connection,
    *,
    now: datetime,
    actor: str,
    action: str,
    pipeline_id: str | None = None,
    app_id: str | None = None,
    ref: str = "",
    sha: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an entry, in the transaction that does what it says."""
    values = {
        "at": now,
        "actor": actor,
        "action": action,
        "pipeline_id": pipeline_id,
        "app_id": app_id,
        "ref": ref,
        "sha": sha,
        "data": rows.to_json(dict(data or {})),
    }
    conn.execute(activity.insert().values(values))


def by_hand(conn: Connection, app_id: str, kind: str) -> frozenset[str]:
    """What a person has ever changed on an app by that kind of work: names of config vars, or process types."""
    query = select(activity.c.data).where(activity.c.app_id == app_id, activity.c.action == "requested")
    found = [rows.from_json(data, dict[str, Any]) for data in conn.execute(query).scalars()]
    return frozenset(name for data in found if data.get("kind") == kind for name in data.get("names", ()))


def listing(
    conn: Connection,
    *,
    app_id: str | None = None,
    app_ids: Collection[str] | None = None,
    pipeline_id: str | None = None,
    sha: str | None = None,
    ref: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[Entry]:
    """The newest entries that fit all that is given, newest first; `before` is the id of a later one."""
    wanted = {"app_id": app_id, "pipeline_id": pipeline_id, "sha": sha, "ref": ref}
    query = select(activity).filter_by(**{name: value for name, value in wanted.items() if value is not None})
    if app_ids is not None:
        query = query.where(activity.c.app_id.in_(app_ids))
    if before is not None:
        query = query.where(activity.c.id < before)
    return [as_entry(row) for row in conn.execute(query.order_by(activity.c.id.desc()).limit(limit))]


def as_entry(row: Row[Any]) -> Entry:
    """The entry of a row."""
    return Entry(**row._asdict() | {"data": rows.from_json(row.data, dict[str, Any])})
