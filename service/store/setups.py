"""Runs of the set-up's pages: a link that is good for one App, the browser it is open in, and how far it has come.

Link, session and GitHub's `state` are random and only their digests are kept, as with API tokens.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, RowMapping, select

from service.domain.model import UserId
from service.store import rows
from service.store.database import new_id
from service.store.tables import github_setups

LASTS: Final = timedelta(hours=1)
"""As long as GitHub keeps the code that an App's secrets are had for."""


@unique
class SetupState(StrEnum):
    """How far a set-up has come; it only goes forward."""

    OPEN = "open"  # nothing has been made; the button may be pressed, in whichever browser
    MADE = "made"  # there is an App: the link is used up, only the browser that made it goes on
    DONE = "done"  # a pipeline is connected


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One set-up. `pressed` says that somebody has been sent to GitHub by it."""

    id: str
    user_id: UserId
    organization: str
    state: SetupState
    pressed: bool
    created_at: datetime
    expires_at: datetime


def create(conn: Connection, *, user_id: str, organization: str, now: datetime) -> tuple[str, datetime]:
    """Begin one; returns the link's secret, which cannot be read again, and when it expires."""
    link = secrets.token_urlsafe(32)
    values = {
        "id": new_id(),
        "user_id": user_id,
        "organization": organization,
        "state": SetupState.OPEN,
        "link_sha256": digest(link),
        "expires_at": now + LASTS,
        "created_at": now,
        "updated_at": now,
    }
    conn.execute(github_setups.insert().values(values))
    return link, now + LASTS


def by_link(conn: Connection, link: str) -> Setup | None:
    """The set-up that a link opens, expired or not."""
    row = rows.one(conn, select(github_setups).where(github_setups.c.link_sha256 == digest(link)))
    return _setup(row) if row else None


def by_session(conn: Connection, session: str) -> Setup | None:
    """The newest set-up that is open in a browser, expired or not."""
    query = select(github_setups).where(github_setups.c.session_sha256 == digest(session))
    row = rows.one(conn, query.order_by(github_setups.c.created_at.desc()).limit(1))
    return _setup(row) if row else None


def press(conn: Connection, setup: Setup, *, session: str, now: datetime) -> str | None:
    """Bind a set-up to a browser and return a fresh `state` for GitHub to bring back; None once an App was made.

    It is good for an hour from then. Pressed anew, in this browser or in another, only the last one counts: a colleague
    may have been the one to press.
    """
    state = secrets.token_urlsafe(32)
    digests = {"session_sha256": digest(session), "state_sha256": digest(state)}
    bound = {**digests, "expires_at": now + LASTS, "updated_at": now}
    still_open = (github_setups.c.id == setup.id, github_setups.c.state == SetupState.OPEN)
    return state if conn.execute(github_setups.update().where(*still_open).values(bound)).rowcount else None


def adopt(conn: Connection, setup: Setup, *, session: str, now: datetime) -> bool:
    """Go on with the App that there is, in this browser; False once the link was used."""
    still_open = (github_setups.c.id == setup.id, github_setups.c.state == SetupState.OPEN)
    bound = {"session_sha256": digest(session), "state": SetupState.MADE, "expires_at": now + LASTS, "updated_at": now}
    return bool(conn.execute(github_setups.update().where(*still_open).values(bound)).rowcount)


def is_ours(conn: Connection, setup: Setup, state: str) -> bool:
    """Whether GitHub brought back the `state` that this browser was last sent there with."""
    kept = conn.execute(select(github_setups.c.state_sha256).where(github_setups.c.id == setup.id)).scalar()
    return bool(kept) and secrets.compare_digest(str(kept), digest(state))


def move(conn: Connection, setup: Setup, wanted: SetupState, *, now: datetime) -> bool:
    """Bring a set-up forward, and give its browser an hour from now; False if another request has done so already."""
    here = (github_setups.c.id == setup.id, github_setups.c.state == setup.state)
    values = {"state": wanted, "state_sha256": None, "expires_at": now + LASTS, "updated_at": now}
    return bool(conn.execute(github_setups.update().where(*here).values(values)).rowcount)


def forget(conn: Connection, *, before: datetime) -> None:
    """Delete those that expired before then."""
    conn.execute(github_setups.delete().where(github_setups.c.expires_at < before))


def digest(secret: str) -> str:
    """What is kept of a random secret, and compared with."""
    return sha256(secret.encode(errors="replace")).hexdigest()


def _setup(row: RowMapping) -> Setup:
    return Setup(
        id=row["id"],
        user_id=UserId(row["user_id"]),
        organization=row["organization"],
        state=SetupState(row["state"]),
        pressed=row["session_sha256"] is not None,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
