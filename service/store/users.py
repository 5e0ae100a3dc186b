"""Users and their API tokens, of which only a digest is kept."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, RowMapping, or_, select

from service.domain.model import UserId
from service.store import rows
from service.store.database import new_id
from service.store.tables import api_tokens, users

EMBEDDED_EMAIL: Final = "admin@localhost"
_PREFIX: Final = "towpath-"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account."""

    id: UserId
    email: str
    name: str


def ensure_embedded_user(conn: Connection, *, now: datetime) -> UserId:
    """The one user of an installation without sign-in, made if there is none."""
    known = conn.execute(select(users.c.id).where(users.c.email == EMBEDDED_EMAIL)).scalar()
    if known is not None:
        return UserId(known)
    made = UserId(new_id())
    values = {"id": made, "email": EMBEDDED_EMAIL, "name": "Admin", "created_at": now, "updated_at": now}
    conn.execute(users.insert().values(values))
    return made


def get(conn: Connection, user_id: str) -> User | None:
    """One user."""
    row = rows.one(conn, select(users).where(users.c.id == user_id))
    return _user(row) if row else None


def add_token(
    conn: Connection, *, user_id: str, description: str, now: datetime, lasts: timedelta | None = None
) -> str:
    """Make a token and return it: it cannot be read again. Without `lasts` it does not expire."""
    token = _PREFIX + secrets.token_urlsafe(32)
    values = {
        "id": new_id(),
        "user_id": user_id,
        "sha256": _digest(token),
        "description": description,
        "created_at": now,
        "expires_at": None if lasts is None else now + lasts,
    }
    conn.execute(api_tokens.insert().values(values))
    return token


def by_token(conn: Connection, token: str, now: datetime) -> User | None:
    """Whose token it is, if it is one and has not expired."""
    in_force = or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > now)
    query = select(users).join(api_tokens, api_tokens.c.user_id == users.c.id)
    # Looked up by digest: how long that takes tells nothing about the token.
    row = rows.one(conn, query.where(api_tokens.c.sha256 == _digest(token), in_force))
    return _user(row) if row else None


def used_token(conn: Connection, token: str, now: datetime) -> None:
    """Note that the token was used."""
    conn.execute(api_tokens.update().where(api_tokens.c.sha256 == _digest(token)).values(last_used_at=now))


def _digest(token: str) -> str:
    # 256 random bits need no slow hash.
    return sha256(token.encode()).hexdigest()


def _user(row: RowMapping) -> User:
    return User(id=UserId(row["id"]), email=row["email"], name=row["name"])
