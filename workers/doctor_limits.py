"""What is left of GitHub's hourly limits, for `towpath doctor`: as a worker last heard it."""

from datetime import datetime

from sqlalchemy import Connection

from service.domain.errors import Refused
from service.github.client import LOW
from service.settings import Settings
from service.store import quotas, schema
from service.store.opening import open_database
from service.store.quotas import Left
from workers.platforms.process.doctor import Check

_NAME = "GitHub limit"
_ADVICE = "nothing is polled meanwhile and no webhook is lost; look for other users of the same App or token"


async def limits(settings: Settings) -> list[Check]:
    """One finding for each installation that GitHub was asked for in this hour.

    None where there is no database yet or one of another version: then nothing of this version has asked.
    """
    if not settings.database_url and not (settings.database_dir / "towpath.db").exists():
        return []
    db = await open_database(settings)
    try:
        await db.read(schema.require_current)
        return await db.read(lambda conn: _checks(conn, db.now()))
    except Refused:
        return []
    finally:
        await db.close()


def _checks(conn: Connection, now: datetime) -> list[Check]:
    current = [each for each in quotas.listing(conn) if each.resets_at > now]
    return [_check(left, quotas.account_of(conn, left.installation_id)) for left in current]


def _check(left: Left, account: str) -> Check:
    ok = left.remaining >= left.granted * LOW
    why = (
        f"{account}: {left.remaining} of {left.granted} requests are left until {left.resets_at:%H:%M} UTC, "
        "as GitHub last said"
    )
    return Check(name=_NAME, ok=ok, why=why, advice="" if ok else _ADVICE)
