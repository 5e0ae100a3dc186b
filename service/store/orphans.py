"""What an engine runs that the database does not know: apps made after the backup from which it was brought back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from service.store import rows
from service.store.tables import orphans


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """An app of which nothing but its processes is left. `leaving`: a person wants it to go."""

    app_id: str
    driver: str
    processes: str
    leaving: bool
    first_seen_at: datetime


def listing(conn: Connection) -> list[Orphan]:
    """All of them, those that were found first before others."""
    found = conn.execute(select(orphans).order_by(orphans.c.first_seen_at, orphans.c.app_id)).mappings()
    return [Orphan(**row) for row in found]


def get(conn: Connection, app_id: str) -> Orphan | None:
    """One of them."""
    row = rows.one(conn, select(orphans).where(orphans.c.app_id == app_id))
    return Orphan(**row) if row else None


def keep(conn: Connection, *, driver: str, found: Mapping[str, str], now: datetime) -> None:
    """Remember what a driver runs of them now, its processes by app; what it no longer runs is forgotten."""
    conn.execute(orphans.delete().where(orphans.c.driver == driver, orphans.c.app_id.not_in(found)))
    for app_id, processes in found.items():
        if not conn.execute(
            orphans.update().where(orphans.c.app_id == app_id).values(driver=driver, processes=processes)
        ).rowcount:
            made = {"app_id": app_id, "driver": driver, "processes": processes, "first_seen_at": now}
            conn.execute(orphans.insert().values(made))


def let_go(conn: Connection, app_id: str) -> None:
    """A person wants it to go: who observes the engine takes it away."""
    conn.execute(orphans.update().where(orphans.c.app_id == app_id).values(leaving=True))
