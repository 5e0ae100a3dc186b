"""Who is signed in to the dashboard: browsers by their sessions, and links that begin one, each good once.

Link and session are 256 random bits each, and only their digests are kept. What was begun by an API token is good for
as long as that token is: taken away, expired or given another secret, it takes its browsers along.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, RowMapping, or_, select

from service.domain.model import TokenId, UserId
from service.store import rows, tokens
from service.store.database import new_id
from service.store.tables import sessions, sign_in_links

LINK_LASTS: Final = timedelta(minutes=10)
IDLE: Final = timedelta(days=1)
LONGEST: Final = timedelta(days=7)
"""A session ends when its browser has asked for nothing for so long, and in any case so long after it began."""
_FRESH: Final = timedelta(minutes=5)
_TOLD: Final = timedelta(days=1)
"""For so long a link that opens nothing any more is known, so that whoever has it is told why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way in for one person; without `token_id` no token has to be good for it."""

    id: str
    user_id: UserId
    token_id: TokenId | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A browser that is signed in."""

    id: str
    user_id: UserId
    token_id: TokenId | None
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


def make_link(conn: Connection, *, user_id: str, token_id: str | None, now: datetime) -> tuple[str, datetime]:
    """Make a link for a person; returns its secret, which cannot be read again, and when it expires."""
    secret = secrets.token_urlsafe(32)
    values = {"id": new_id(), "user_id": user_id, "token_id": token_id, "sha256": _digest(secret)}
    conn.execute(sign_in_links.insert().values(**values, created_at=now, expires_at=now + LINK_LASTS))
    return secret, now + LINK_LASTS


def link(conn: Connection, secret: str) -> Link | None:
    """The link of that secret, whether or not it still opens anything."""
    row = _found(rows.one(conn, select(sign_in_links).where(sign_in_links.c.sha256 == _digest(secret))), secret)
    if row is None:
        return None
    return Link(
        id=row["id"],
        user_id=UserId(row["user_id"]),
        token_id=row["token_id"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        used_at=row["used_at"],
    )


def opens(conn: Connection, it: Link, now: datetime) -> bool:
    """Whether a link still signs anybody in."""
    return it.used_at is None and it.expires_at > now and _stands(conn, it.token_id, since=it.created_at, now=now)


def use(conn: Connection, it: Link, *, now: datetime) -> bool:
    """Use a link up; False when another request was first."""
    unused = (sign_in_links.c.id == it.id, sign_in_links.c.used_at.is_(None))
    return bool(conn.execute(sign_in_links.update().where(*unused).values(used_at=now)).rowcount)


def begin(conn: Connection, *, user_id: str, token_id: str | None, now: datetime) -> str:
    """Sign a browser in; returns the secret by which it is known from now on."""
    secret = secrets.token_urlsafe(32)
    values = {"id": new_id(), "user_id": user_id, "token_id": token_id, "sha256": _digest(secret)}
    conn.execute(sessions.insert().values(**values, created_at=now, seen_at=now, expires_at=now + LONGEST))
    return secret


def by_secret(conn: Connection, secret: str, now: datetime) -> Session | None:
    """The session, as long as it has not ended in one way or another."""
    row = _found(rows.one(conn, select(sessions).where(sessions.c.sha256 == _digest(secret))), secret)
    if row is None or row["expires_at"] <= now or row["seen_at"] + IDLE <= now:
        return None
    found = _session(row)
    return found if _stands(conn, found.token_id, since=found.created_at, now=now) else None


def is_stale(it: Session, now: datetime) -> bool:
    """Whether it is to be noted again that its browser is there."""
    return it.seen_at + _FRESH <= now


def seen(conn: Connection, session_id: str, now: datetime) -> None:
    """Note that the browser has asked for something."""
    conn.execute(sessions.update().where(sessions.c.id == session_id).values(seen_at=now))


def end(conn: Connection, secret: str) -> None:
    """Sign a browser out, if it is signed in."""
    conn.execute(sessions.delete().where(sessions.c.sha256 == _digest(secret)))


def end_others(conn: Connection, *, user_id: str, but: str) -> None:
    """Sign a person out of every browser that no token stands for, but for that of this session."""
    own = (sessions.c.user_id == user_id, sessions.c.token_id.is_(None), sessions.c.id != but)
    conn.execute(sessions.delete().where(*own))


def forget(conn: Connection, *, now: datetime) -> None:
    """Delete sessions that have ended, and links that have been good for nothing for a while."""
    conn.execute(sessions.delete().where(or_(sessions.c.expires_at <= now, sessions.c.seen_at <= now - IDLE)))
    conn.execute(sign_in_links.delete().where(sign_in_links.c.expires_at <= now - _TOLD))


def csrf(secret: str) -> str:
    """What a form of this session has to bring along; other sites cannot know it, and nothing is kept of it."""
    return sha256(b"form of " + secret.encode(errors="replace")).hexdigest()


def _stands(conn: Connection, token_id: TokenId | None, *, since: datetime, now: datetime) -> bool:
    """Whether the token by which something was begun is still that one."""
    if token_id is None:
        return True
    token = tokens.get(conn, token_id)
    if token is None or (token.expires_at is not None and token.expires_at <= now):
        return False
    return token.rotated_at is None or token.rotated_at <= since


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def _found(row: RowMapping | None, secret: str) -> RowMapping | None:
    # Looked up by digest: how long that takes tells nothing about the secret. Compared as if it did.
    return row if row is not None and hmac.compare_digest(row["sha256"], _digest(secret)) else None


def _session(row: RowMapping) -> Session:
    return Session(
        id=row["id"],
        user_id=UserId(row["user_id"]),
        token_id=row["token_id"],
        created_at=row["created_at"],
        seen_at=row["seen_at"],
        expires_at=row["expires_at"],
    )
