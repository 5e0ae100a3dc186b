"""Spaces: the named places to run apps."""

from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from service.domain.model import Space, SpaceId
from service.store import rows
from service.store.database import new_id
from service.store.tables import spaces


def ensure(conn: Connection, *, name: str, driver: str, now: datetime) -> Space:
    """The space of that name, made if there is none; an existing one keeps its driver."""
    row = rows.one(conn, select(spaces).where(spaces.c.name == name))
    if row:
        return _space(row)
    values = {"id": new_id(), "name": name, "driver": driver, "created_at": now, "updated_at": now}
    return _space(conn.execute(spaces.insert().values(values).returning(spaces)).mappings().one())


def get(conn: Connection, space_id: str) -> Space | None:
    """One space."""
    row = rows.one(conn, select(spaces).where(spaces.c.id == space_id))
    return _space(row) if row else None


def listing(conn: Connection) -> list[Space]:
    """All spaces by name."""
    return [_space(row) for row in conn.execute(select(spaces).order_by(spaces.c.name)).mappings()]


def driver_of(conn: Connection, space_id: str) -> str:
    """The name of the driver that runs a space's apps."""
    driver: str = conn.execute(select(spaces.c.driver).where(spaces.c.id == space_id)).scalar_one()
    return driver


def _space(row: RowMapping) -> Space:
    return Space(id=SpaceId(row["id"]), name=row["name"], driver=row["driver"])
