"""API tokens: 256 random bits, of which only the digest is kept and the beginning, by which people know them."""

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, RowMapping, select

from service.domain.access import TokenScope
from service.domain.model import TokenId, UserId
from service.store import rows
from service.store.database import new_id
from service.store.tables import api_tokens

_BEGIN: Final = "towpath-"
_SHOWN: Final = len(_BEGIN) + 6
_FRESH: Final = timedelta(minutes=1)
"""A use is noted once in so long: that a token is in use is worth knowing, not a write for each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token without what makes it one. `prefix` is empty for tokens of former versions."""

    id: TokenId
    user_id: UserId
    prefix: str
    description: str
    scopes: tuple[TokenScope, ...]
    created_at: datetime
    rotated_at: datetime | None
    last_used_at: datetime | None
    expires_at: datetime | None


def create(
    conn: Connection,
    *,
    user_id: str,
    description: str,
    now: datetime,
    lasts: timedelta | None = None,
    scopes: Iterable[TokenScope] = (TokenScope.GLOBAL,),
) -> tuple[Token, str]:
    """Make a token; returns it with its secret, which cannot be read again. Without `lasts` it does not expire."""
    secret = _secret()
    values = {
        "id": new_id(),
        "user_id": user_id,
        "sha256": _digest(secret),
        "prefix": secret[:_SHOWN],
        "description": description,
        "scopes": rows.to_json(list(scopes)),
        "created_at": now,
        "expires_at": None if lasts is None else now + lasts,
    }
    row = conn.execute(api_tokens.insert().values(values).returning(api_tokens)).mappings().one()
    return _token(row), secret


def rotate(conn: Connection, token_id: str, *, now: datetime) -> tuple[Token, str]:
    """Give a token another secret; the former one is good for nothing from now on. It lasts as long again."""
    former = rows.one(conn, select(api_tokens).where(api_tokens.c.id == token_id))
    assert former is not None
    since = former["rotated_at"] or former["created_at"]
    secret = _secret()
    values = {
        "sha256": _digest(secret),
        "prefix": secret[:_SHOWN],
        "rotated_at": now,
        "last_used_at": None,
        "expires_at": now + (former["expires_at"] - since) if former["expires_at"] else None,
    }
    change = api_tokens.update().where(api_tokens.c.id == token_id).values(values).returning(api_tokens)
    return _token(conn.execute(change).mappings().one()), secret


def by_secret(conn: Connection, secret: str, now: datetime) -> Token | None:
    """The token, if it is one and has not expired."""
    digest = _digest(secret)
    row = rows.one(conn, select(api_tokens).where(api_tokens.c.sha256 == digest))
    # Looked up by digest: how long that takes tells nothing about the secret. Compared as if it did.
    if row is None or not hmac.compare_digest(row["sha256"], digest):
        return None
    return None if row["expires_at"] is not None and row["expires_at"] <= now else _token(row)


def is_stale(token: Token, now: datetime) -> bool:
    """Whether its use is to be noted again."""
    return token.last_used_at is None or token.last_used_at + _FRESH <= now


def used(conn: Connection, token_id: str, now: datetime) -> None:
    """Note that the token was used."""
    conn.execute(api_tokens.update().where(api_tokens.c.id == token_id).values(last_used_at=now))


def of_user(conn: Connection, user_id: str) -> list[Token]:
    """A user's tokens, expired ones too, oldest first."""
    query = select(api_tokens).where(api_tokens.c.user_id == user_id)
    found = conn.execute(query.order_by(api_tokens.c.created_at, api_tokens.c.id))
    return [_token(row) for row in found.mappings()]


def get(conn: Connection, token_id: str) -> Token | None:
    """One token."""
    row = rows.one(conn, select(api_tokens).where(api_tokens.c.id == token_id))
    return _token(row) if row else None


def revoke(conn: Connection, token_id: str) -> None:
    """Take the token away."""
    conn.execute(api_tokens.delete().where(api_tokens.c.id == token_id))


def _secret() -> str:
    return _BEGIN + secrets.token_urlsafe(32)


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash. What no token can hold has a digest all the same, which none has.
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _token(row: RowMapping) -> Token:
    return Token(
        id=TokenId(row["id"]),
        user_id=UserId(row["user_id"]),
        prefix=row["prefix"],
        description=row["description"],
        scopes=tuple(map(TokenScope, rows.from_json(row["scopes"], list[str]))),
        created_at=row["created_at"],
        rotated_at=row["rotated_at"],
        last_used_at=row["last_used_at"],
        expires_at=row["expires_at"],
    )


def forget(conn: Connection, *, before: datetime) -> None:
    """Delete those that expired before then."""
    conn.execute(api_tokens.delete().where(api_tokens.c.expires_at < before))
