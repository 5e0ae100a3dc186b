"""Who signs in with GitHub: which account there is whose here, and browsers that are on their way back from GitHub.

Only GitHub itself says which account a browser is signed in to there, so each link is proved by a sign-in there. The
number counts: logins are given to others. What an administrator says of somebody's login (`users.github_login`) is
good for looking up what they may do in a repository, and lets nobody in.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, select

from service.domain.model import UserId
from service.store import rows
from service.store.tables import github_identities, github_sign_ins

BACK_WITHIN: Final = timedelta(minutes=10)
"""As long as GitHub's own code is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An account on GitHub that lets a user in here."""

    github_id: int
    user_id: UserId
    login: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """A browser that is back from GitHub: where it goes on, and in which session or for which invitation it went."""

    next_path: str
    session_id: str | None
    invitation_id: str | None


def by_number(conn: Connection, github_id: int) -> Identity | None:
    """Whom an account on GitHub lets in."""
    row = rows.one(conn, select(github_identities).where(github_identities.c.github_id == github_id))
    return _identity(row) if row else None


def of_user(conn: Connection, user_id: str) -> Identity | None:
    """By which account on GitHub a user gets in."""
    row = rows.one(conn, select(github_identities).where(github_identities.c.user_id == user_id))
    return _identity(row) if row else None


def link(conn: Connection, *, user_id: str, github_id: int, login: str, now: datetime) -> None:
    """Let a user in by this account on GitHub, and by no other; it must not be somebody else's."""
    unlink(conn, user_id=user_id)
    values = {"github_id": github_id, "user_id": user_id, "login": login, "created_at": now, "updated_at": now}
    conn.execute(github_identities.insert().values(values))


def renamed(conn: Connection, *, github_id: int, login: str, now: datetime) -> None:
    """Note how the account is called by now."""
    own = github_identities.c.github_id == github_id
    conn.execute(github_identities.update().where(own).values(login=login, updated_at=now))


def unlink(conn: Connection, *, user_id: str) -> None:
    """Let a user in by GitHub no longer."""
    conn.execute(github_identities.delete().where(github_identities.c.user_id == user_id))


def depart(conn: Connection, *, browser: str, journey: Journey, now: datetime) -> str:
    """Remember a browser that goes to GitHub; returns the `state` that it has to bring back, which is not kept."""
    forget(conn, now=now)
    state = secrets.token_urlsafe(32)
    values = {
        "state_sha256": _digest(state),
        "browser_sha256": _digest(browser),
        "session_id": journey.session_id,
        "invitation_id": journey.invitation_id,
        "next_path": journey.next_path,
        "expires_at": now + BACK_WITHIN,
    }
    conn.execute(github_sign_ins.insert().values(values))
    return state


def arrive(conn: Connection, *, browser: str, state: str, now: datetime) -> Journey | None:
    """Take the `state` that a browser brings, once; None when it is not the one that was sent with it, or too late."""
    own = _under_way(browser, state, now)
    row = conn.execute(github_sign_ins.delete().where(own).returning(github_sign_ins)).first()
    if row is None:
        return None
    return Journey(next_path=row.next_path, session_id=row.session_id, invitation_id=row.invitation_id)


def is_awaited(conn: Connection, *, browser: str, state: str, now: datetime) -> bool:
    """Whether the browser went with that `state` and may still come back."""
    return (
        conn.execute(select(github_sign_ins.c.state_sha256).where(_under_way(browser, state, now))).first() is not None
    )


def _under_way(browser: str, state: str, now: datetime) -> ColumnElement[bool]:
    return and_(
        github_sign_ins.c.state_sha256 == _digest(state),
        github_sign_ins.c.browser_sha256 == _digest(browser),
        github_sign_ins.c.expires_at > now,
    )


def forget(conn: Connection, *, now: datetime) -> None:
    """Delete what no browser can come back to."""
    conn.execute(github_sign_ins.delete().where(github_sign_ins.c.expires_at <= now))


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def _identity(row: RowMapping) -> Identity:
    return Identity(
        github_id=row["github_id"],
        user_id=UserId(row["user_id"]),
        login=row["login"],
        created_at=row["created_at"],
    )
