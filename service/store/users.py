"""Users: the people with an account here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, or_, select

from service.domain.errors import Refused
from service.domain.model import UserId
from service.store import rows, webhooks
from service.store.database import new_id
from service.store.tables import apps, pipelines, users

EMBEDDED_EMAIL: Final = "admin@localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person with an account. `github_id` is GitHub's number for `github_login`, which may be given to another."""

    id: UserId
    email: str
    name: str
    is_admin: bool
    github_login: str | None
    github_id: int | None
    created_at: datetime
    updated_at: datetime


class UserChange(TypedDict, total=False):
    """What `update` can change."""

    name: str
    admin: bool
    github_login: str | None
    github_id: int | None


def ensure_embedded_user(conn: Connection, *, now: datetime) -> UserId:
    """The one user of an installation at its first start, an administrator; made if there is none."""
    known = conn.execute(select(users.c.id).where(users.c.email == EMBEDDED_EMAIL)).scalar()
    if known is not None:
        return UserId(known)
    return create(conn, email=EMBEDDED_EMAIL, name="Admin", is_admin=True, now=now).id


def create(conn: Connection, *, email: str, name: str = "", is_admin: bool = False, now: datetime) -> User:
    """Make a user; refuses an address that is taken. Addresses differ by more than capitals."""
    if find(conn, email) is not None:
        raise Refused(f"email: there is a user {email} already")
    values = {
        "id": new_id(),
        "email": email.lower(),
        "name": name,
        "admin": is_admin,
        "created_at": now,
        "updated_at": now,
    }
    return _user(conn.execute(users.insert().values(values).returning(users)).mappings().one())


def get(conn: Connection, user_id: str) -> User | None:
    """One user."""
    row = rows.one(conn, select(users).where(users.c.id == user_id))
    return _user(row) if row else None


def find(conn: Connection, id_or_email: str) -> User | None:
    """The user of an id or an address."""
    same = or_(users.c.id == id_or_email, users.c.email == id_or_email.lower())
    row = rows.one(conn, select(users).where(same))
    return _user(row) if row else None


def listing(conn: Connection) -> list[User]:
    """All users by address."""
    return [_user(row) for row in conn.execute(select(users).order_by(users.c.email)).mappings()]


def update(conn: Connection, user_id: str, *, now: datetime, **change: Unpack[UserChange]) -> User:
    """Change some of it."""
    values: dict[str, Any] = dict(change)
    changed = users.update().where(users.c.id == user_id).values(**values, updated_at=now).returning(users)
    return _user(conn.execute(changed).mappings().one())


def delete(conn: Connection, user_id: str, *, now: datetime) -> list[str]:
    """Take a user away with their tokens, memberships and grants; returns the names of what is nobody's from now on.

    The webhooks of that stop: the user would go on hearing.
    """
    left: dict[str, list[str]] = {}
    names: list[str] = []
    for table in (apps, pipelines):
        own = (table.c.owner_id == user_id) & (table.c.owner_type == "user")
        change = table.update().where(own).values(owner_id=None, owner_type=None, updated_at=now)
        found = conn.execute(change.returning(table.c.id, table.c.name)).all()
        left[table.name] = [row.id for row in found]
        names += [row.name for row in found]
    webhooks.leave_owner(conn, app_ids=left[apps.name], pipeline_ids=left[pipelines.name], now=now)
    conn.execute(users.delete().where(users.c.id == user_id))
    return sorted(names)


def admins(conn: Connection) -> list[UserId]:
    """Who administers the installation."""
    return [UserId(each) for each in conn.execute(select(users.c.id).where(users.c.admin)).scalars()]


def _user(row: RowMapping) -> User:
    return User(
        id=UserId(row["id"]),
        email=row["email"],
        name=row["name"],
        is_admin=row["admin"],
        github_login=row["github_login"],
        github_id=row["github_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
