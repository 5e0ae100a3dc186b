"""When the engine remembers a later taking of an app than the database, as after an old backup was brought back."""

from sqlalchemy import Connection

from service.store import requests
from service.store.requests import TakenWork
from service.store.tables import apps

_MOST_DOUBLINGS = 29  # the column has 32 bits


def catch_up(conn: Connection, taken: TakenWork) -> None:
    """Get past what the engine has seen, by more at each attempt, so that the app can be worked again.

    To be called when the engine has refused a pair. Nothing happens if that is not the app's any more: then another
    worker was in front, and the engine is right.
    """
    ahead = 2 ** min(taken.attempts, _MOST_DOUBLINGS)
    conn.execute(apps.update().where(*requests.as_taken(taken)).values(generation=apps.c.generation + ahead))


def rest_no_longer(conn: Connection, app_id: str) -> None:
    """Let the app's next request begin at once: what was waited for is not wanted any more."""
    conn.execute(apps.update().where(apps.c.id == app_id).values(retry_at=None, attempts=0))
