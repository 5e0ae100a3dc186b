"""What was granted to people on single apps, and apps that were offered to somebody."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, or_, select

from service.domain.access import Permission, Permissions
from service.domain.model import AppId, UserId
from service.store import rows
from service.store.database import new_id
from service.store.tables import app_grants, app_transfers, apps, memberships, users


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a person was granted on an app."""

    id: str
    app_id: AppId
    user_id: UserId
    email: str
    permissions: Permissions
    created_at: datetime
    updated_at: datetime


def of_app(conn: Connection, app_id: str) -> list[Grant]:
    """All grants on an app, by address."""
    found = conn.execute(_grants().where(app_grants.c.app_id == app_id).order_by(users.c.email))
    return [_grant(row) for row in found.mappings()]


def of_apps(conn: Connection, app_ids: Collection[str]) -> list[Grant]:
    """All grants on these apps, by address."""
    found = conn.execute(_grants().where(app_grants.c.app_id.in_(app_ids)).order_by(users.c.email))
    return [_grant(row) for row in found.mappings()]


def find(conn: Connection, app_id: str, id_or_email: str) -> Grant | None:
    """One grant on an app, by its id or the user's, or by address."""
    same = or_(app_grants.c.id == id_or_email, users.c.id == id_or_email, users.c.email == id_or_email.lower())
    row = rows.one(conn, _grants().where(app_grants.c.app_id == app_id, same))
    return _grant(row) if row else None


def of_user(conn: Connection, user_id: str) -> dict[AppId, Permissions]:
    """What a person was granted, by app."""
    query = select(app_grants.c.app_id, app_grants.c.permissions).where(app_grants.c.user_id == user_id)
    return {AppId(row.app_id): _permissions(row.permissions) for row in conn.execute(query)}


def put(conn: Connection, *, app_id: str, user_id: str, permissions: Iterable[Permission], now: datetime) -> None:
    """Grant exactly these."""
    text = rows.to_json(sorted(permissions))
    own = (app_grants.c.app_id == app_id) & (app_grants.c.user_id == user_id)
    changed = conn.execute(app_grants.update().where(own).values(permissions=text, updated_at=now))
    if not changed.rowcount:
        values = {"id": new_id(), "app_id": app_id, "user_id": user_id, "permissions": text}
        conn.execute(app_grants.insert().values(**values, created_at=now, updated_at=now))


def remove(conn: Connection, *, app_id: str, user_id: str) -> None:
    """Grant nothing any more."""
    conn.execute(app_grants.delete().where(app_grants.c.app_id == app_id, app_grants.c.user_id == user_id))


def remove_of_app(conn: Connection, app_id: str) -> None:
    """Grant nothing any more on an app, to anybody."""
    conn.execute(app_grants.delete().where(app_grants.c.app_id == app_id))


def remove_of_team(conn: Connection, *, team_id: str, user_id: str) -> None:
    """Grant nothing any more on any app of a team."""
    of_team = select(apps.c.id).where(apps.c.owner_id == team_id, apps.c.owner_type == "team")
    conn.execute(app_grants.delete().where(app_grants.c.user_id == user_id, app_grants.c.app_id.in_(of_team)))


def remove_of_strangers(conn: Connection, *, app_id: str, team_id: str) -> None:
    """Grant nothing any more on an app to whoever is not in the team."""
    inside = select(memberships.c.user_id).where(memberships.c.team_id == team_id)
    conn.execute(app_grants.delete().where(app_grants.c.app_id == app_id, app_grants.c.user_id.not_in(inside)))


@unique
class TransferState(StrEnum):
    """How far an offer has come; the last two are final."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An app that was offered to a person."""

    id: str
    app_id: AppId
    sender_id: UserId
    recipient_id: UserId
    state: TransferState
    created_at: datetime
    updated_at: datetime


def offer(conn: Connection, *, app_id: str, sender_id: str, recipient_id: str, now: datetime) -> Transfer:
    """Offer an app; an offer that is open is replaced."""
    still = (app_transfers.c.app_id == app_id) & (app_transfers.c.state == TransferState.PENDING)
    conn.execute(app_transfers.delete().where(still))
    values = {"id": new_id(), "app_id": app_id, "sender_id": sender_id, "recipient_id": recipient_id}
    made = app_transfers.insert().values(**values, state=TransferState.PENDING, created_at=now, updated_at=now)
    return _transfer(conn.execute(made.returning(app_transfers)).mappings().one())


def transfer(conn: Connection, transfer_id: str) -> Transfer | None:
    """One offer."""
    row = rows.one(conn, select(app_transfers).where(app_transfers.c.id == transfer_id))
    return _transfer(row) if row else None


def transfers_of(conn: Connection, user_id: str) -> list[Transfer]:
    """What a person has offered or was offered, oldest first."""
    mine = or_(app_transfers.c.sender_id == user_id, app_transfers.c.recipient_id == user_id)
    query = select(app_transfers).where(mine).order_by(app_transfers.c.created_at, app_transfers.c.id)
    return [_transfer(row) for row in conn.execute(query).mappings()]


def end_transfer(conn: Connection, transfer_id: str, *, state: TransferState, now: datetime) -> Transfer:
    """Bring an offer to its end."""
    change = app_transfers.update().where(app_transfers.c.id == transfer_id).values(state=state, updated_at=now)
    return _transfer(conn.execute(change.returning(app_transfers)).mappings().one())


def withdraw(conn: Connection, transfer_id: str) -> None:
    """Take an offer back."""
    conn.execute(app_transfers.delete().where(app_transfers.c.id == transfer_id))


def _grants() -> Select[Any]:
    return select(app_grants, users.c.email).join(users, users.c.id == app_grants.c.user_id)


def _permissions(text: str) -> Permissions:
    return frozenset(map(Permission, rows.from_json(text, list[str])))


def _grant(row: RowMapping) -> Grant:
    return Grant(
        id=row["id"],
        app_id=row["app_id"],
        user_id=row["user_id"],
        email=row["email"],
        permissions=_permissions(row["permissions"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _transfer(row: RowMapping) -> Transfer:
    return Transfer(
        id=row["id"],
        app_id=row["app_id"],
        sender_id=row["sender_id"],
        recipient_id=row["recipient_id"],
        state=TransferState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
