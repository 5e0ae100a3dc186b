"""Answers to requests that carry a key, kept so that a repetition is answered and not carried out again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, unique
from typing import Final

from sqlalchemy import Connection, select

from service.store import rows
from service.store.tables import idempotent_requests as kept

LASTS: Final = timedelta(hours=24)


@unique
class Begun(Enum):
    """What a request with a key comes upon when it has not been answered."""

    FIRST = "first"
    RUNNING = "running"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answer that was given, sealed."""

    sealed: bytes


def context(user_id: str, key: str) -> str:
    """What a kept answer is bound to."""
    return f"idempotency:{user_id}:{key}"


def begin(
    conn: Connection, *, user_id: str, key: str, fingerprint: str, is_same: Callable[[str], bool], now: datetime
) -> Begun | Answered:
    """Claim a user's key for a request, or say what became of the one that has it.

    `is_same` is asked whether a kept fingerprint is that of this request too.
    """
    here = (kept.c.user_id == user_id, kept.c.key == key)
    conn.execute(kept.delete().where(*here, kept.c.created_at <= now - LASTS))
    row = rows.one(conn, select(kept).where(*here))
    if row is None:
        conn.execute(kept.insert().values(user_id=user_id, key=key, fingerprint=fingerprint, created_at=now))
        return Begun.FIRST
    if not is_same(row["fingerprint"]):
        return Begun.OTHER
    return Begun.RUNNING if row["sealed"] is None else Answered(sealed=row["sealed"])


def answer(conn: Connection, *, user_id: str, key: str, sealed: bytes) -> None:
    """Keep the answer."""
    conn.execute(kept.update().where(kept.c.user_id == user_id, kept.c.key == key).values(sealed=sealed))


def free(conn: Connection, *, user_id: str, key: str) -> None:
    """Give the key back: nothing was done."""
    conn.execute(kept.delete().where(kept.c.user_id == user_id, kept.c.key == key))


def forget(conn: Connection, *, now: datetime) -> None:
    """Delete what is older than it is kept."""
    conn.execute(kept.delete().where(kept.c.created_at <= now - LASTS))
