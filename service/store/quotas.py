"""What GitHub last said is left of its hourly limits: a worker keeps its own count, people and alarms read it here."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from service.store import rows
from service.store.tables import github_quotas, installations


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of the requests that GitHub grants in an hour.

    `installation_id` is 0 for what is asked with a token, and -1 for what the App asks as itself. The limit is whole
    again at `resets_at`.
    """

    installation_id: int
    granted: int
    remaining: int
    resets_at: datetime


def keep(conn: Connection, found: Iterable[Left]) -> None:
    """Remember what is newest of each."""
    for left in found:
        values = asdict(left)
        same = github_quotas.c.installation_id == left.installation_id
        if not conn.execute(github_quotas.update().where(same).values(values)).rowcount:
            conn.execute(github_quotas.insert().values(values))


def listing(conn: Connection) -> list[Left]:
    """All that is known, by installation."""
    found = conn.execute(select(github_quotas).order_by(github_quotas.c.installation_id)).mappings()
    return [Left(**row) for row in found]


def account_of(conn: Connection, installation_id: int) -> str:
    """Whose limit it is, in words."""
    if installation_id <= 0:
        return "the token" if installation_id == 0 else "the App itself"
    row = rows.one(conn, select(installations.c.account).where(installations.c.id == installation_id))
    return row["account"] if row else f"installation {installation_id}"
