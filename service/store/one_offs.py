"""One-off dynos: what was asked for, how far it has come and how it ended."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection, RowMapping, or_, select

from service.domain.model import AppId, Release, ReleaseId
from service.domain.one_offs import OPEN, OneOff, OneOffState, Order
from service.store import rows
from service.store.database import new_id
from service.store.secrets import Vault
from service.store.tables import one_offs


def create(
    conn: Connection,
    vault: Vault,
    *,
    app_id: str,
    release: Release,
    name: str,
    shown: str,
    order: Order,
    attached: bool,
    tty: bool,
    actor: str,
    ends_at: datetime,
    now: datetime,
) -> OneOff:
    """Note one that is to be started; `shown` is its command without secrets."""
    one_off_id = new_id()
    values = {
        "id": one_off_id,
        "app_id": app_id,
        "release_id": release.id,
        "version": release.version,
        "name": name,
        "command": shown,
        "sealed": vault.seal(msgspec.json.encode(order), order_context(one_off_id)),
        "attached": attached,
        "tty": tty,
        "state": OneOffState.STARTING,
        "actor": actor,
        "ends_at": ends_at,
        "created_at": now,
        "updated_at": now,
    }
    return as_one_off(conn.execute(one_offs.insert().values(values).returning(one_offs)).mappings().one())


def get(conn: Connection, one_off_id: str) -> OneOff | None:
    """One of them."""
    row = rows.one(conn, select(one_offs).where(one_offs.c.id == one_off_id))
    return as_one_off(row) if row else None


def find(conn: Connection, app_id: str, identity: str) -> OneOff | None:
    """One of the app's, by its id or name."""
    named = or_(one_offs.c.id == identity, one_offs.c.name == identity)
    row = rows.one(conn, select(one_offs).where(one_offs.c.app_id == app_id, named))
    return as_one_off(row) if row else None


def names(conn: Connection, app_id: str) -> Collection[str]:
    """What the app's are called, those that have ended too."""
    return set(conn.execute(select(one_offs.c.name).where(one_offs.c.app_id == app_id)).scalars())


def open_of(conn: Connection, app_id: str) -> list[OneOff]:
    """The app's that have not ended, oldest first."""
    query = select(one_offs).where(one_offs.c.app_id == app_id, one_offs.c.state.in_(OPEN))
    return [as_one_off(row) for row in conn.execute(query.order_by(one_offs.c.created_at)).mappings()]


def all_open(conn: Connection) -> list[OneOff]:
    """Those of all apps that have not ended."""
    return [as_one_off(row) for row in conn.execute(select(one_offs).where(one_offs.c.state.in_(OPEN))).mappings()]


def order(conn: Connection, vault: Vault, one_off_id: str) -> Order | None:
    """What is to be run, word for word; None of one that has ended."""
    sealed = conn.execute(select(one_offs.c.sealed).where(one_offs.c.id == one_off_id)).scalar()
    return msgspec.json.decode(vault.unseal(sealed, order_context(one_off_id)), type=Order) if sealed else None


def order_context(one_off_id: str) -> str:
    """What a sealed order is bound to."""
    return f"one-off {one_off_id}"


def begun(conn: Connection, one_off: OneOff, *, now: datetime) -> None:
    """It runs, unless it has ended meanwhile."""
    state = rows.reach(OneOffState.STARTING, OneOffState.UP)
    change = one_offs.update().where(one_offs.c.id == one_off.id, one_offs.c.state == OneOffState.STARTING)
    conn.execute(change.values(state=state, updated_at=now))


def ask_to_stop(conn: Connection, one_off: OneOff, *, reason: str, now: datetime) -> None:
    """Somebody wants it to end."""
    change = one_offs.update().where(one_offs.c.id == one_off.id, one_offs.c.state.in_(OPEN))
    conn.execute(change.values(stopping=True, reason=reason, updated_at=now))


def finish(
    conn: Connection, one_off: OneOff, *, state: OneOffState, exit_code: int | None, reason: str, now: datetime
) -> bool:
    """Record its end, once; False if that was done before. What was run is forgotten with it."""
    reached = rows.reach(OneOffState.UP, state)
    change = one_offs.update().where(one_offs.c.id == one_off.id, one_offs.c.state.in_(OPEN))
    changed = conn.execute(
        change.values(state=reached, exit_code=exit_code, reason=reason, sealed=None, updated_at=now)
    )
    return bool(changed.rowcount)


def forget(conn: Connection, *, before: datetime) -> int:
    """Delete those that had ended before then; their names can be given again."""
    ended = one_offs.delete().where(one_offs.c.state.not_in(OPEN), one_offs.c.updated_at < before)
    return int(conn.execute(ended).rowcount)


def as_one_off(row: RowMapping) -> OneOff:
    """The one-off dyno of a row."""
    return OneOff(
        id=row["id"],
        app_id=AppId(row["app_id"]),
        release_id=ReleaseId(row["release_id"]),
        version=row["version"],
        name=row["name"],
        command=row["command"],
        attached=row["attached"],
        tty=row["tty"],
        state=OneOffState(row["state"]),
        exit_code=row["exit_code"],
        reason=row["reason"],
        stopping=row["stopping"],
        actor=row["actor"],
        ends_at=row["ends_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
