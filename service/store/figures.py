"""How much waits: what monitoring counts, by indexes however much there is."""

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from service.store.requests import OPEN
from service.store.tables import deliveries, requests


def open_deliveries(conn: Connection) -> int:
    """How many deliveries have no verdict yet."""
    waiting = select(func.count()).select_from(deliveries).where(deliveries.c.state == "received")
    return conn.execute(waiting).scalar_one()


def open_requests(conn: Connection) -> Mapping[str, int]:
    """How much work is queued and how much runs."""
    state = requests.c.state
    found = conn.execute(select(state, func.count().label("waiting")).where(state.in_(OPEN)).group_by(state))
    return dict.fromkeys(OPEN, 0) | {row.state: row.waiting for row in found}
