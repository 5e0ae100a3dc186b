"""Packed sources that people send: a place is asked for, used once, and kept for as long as it may be built."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from sqlalchemy import Connection, RowMapping, func, select

from service.store import rows
from service.store.database import new_id
from service.store.tables import sources

GOOD_FOR: Final = timedelta(hours=24)
"""How long a source may be sent and built; one that is asked for within that time is built, whenever its turn comes."""
KEPT_FOR: Final = timedelta(days=3)
"""Longer than that and the longest that a request may wait and run."""


@unique
class SourceState(StrEnum):
    """A source's life: nothing has come yet, or all of it."""

    AWAITED = "awaited"
    STORED = "stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A packed source; size in bytes."""

    id: str
    user_id: str
    state: SourceState
    size: int
    sha256: str
    created_at: datetime

    @property
    def file_name(self) -> str:
        """Its file in the directory of sources."""
        return file_name(self.id, self.sha256)

    @property
    def good_until(self) -> datetime:
        """When its addresses expire."""
        return self.created_at + GOOD_FOR


def file_name(source_id: str, sha256: str) -> str:
    """Name the file of a source by its content, so that of two that are sent at once neither is the other's."""
    return f"{source_id}.{sha256}.tar.gz"


def create(conn: Connection, *, user_id: str, now: datetime) -> Source:
    """Make a place for a source."""
    values = {
        "id": new_id(),
        "user_id": user_id,
        "state": SourceState.AWAITED,
        "size": 0,
        "sha256": "",
        "created_at": now,
    }
    return _source(conn.execute(sources.insert().values(values).returning(sources)).mappings().one())


def get(conn: Connection, source_id: str) -> Source | None:
    """One source."""
    row = rows.one(conn, select(sources).where(sources.c.id == source_id))
    return _source(row) if row else None


def store(conn: Connection, source_id: str, *, size: int, sha256: str) -> bool:
    """Note that all of it is there; False when something has come there already."""
    awaited = sources.update().where(sources.c.id == source_id, sources.c.state == SourceState.AWAITED)
    return conn.execute(awaited.values(state=SourceState.STORED, size=size, sha256=sha256)).rowcount == 1


def held_by(conn: Connection, user_id: str, *, since: datetime) -> tuple[int, int, int]:
    """How many places a user has, how many of them, asked for since then, are still to be filled, and bytes in all."""
    awaited = (sources.c.state == SourceState.AWAITED) & (sources.c.created_at > since)
    size = func.coalesce(func.sum(sources.c.size), 0)
    query = select(func.count(), func.count().filter(awaited), size).where(sources.c.user_id == user_id)
    number, to_fill, held = conn.execute(query).one()
    return int(number), int(to_fill), int(held)


def forget(conn: Connection, *, before: datetime) -> set[str]:
    """Forget what was asked for before then; returns the names of the files that stay."""
    conn.execute(sources.delete().where(sources.c.created_at < before))
    kept = conn.execute(select(sources).where(sources.c.state == SourceState.STORED)).mappings()
    return {_source(row).file_name for row in kept}


def _source(row: RowMapping) -> Source:
    return Source(
        id=row["id"],
        user_id=row["user_id"],
        state=SourceState(row["state"]),
        size=row["size"],
        sha256=row["sha256"],
        created_at=row["created_at"],
    )
