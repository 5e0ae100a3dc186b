"""Leases: who may work on something, until when, and with which token.

A lease is taken, renewed and given back with the row it guards in the same table, or by name for the loops. Its clock
is the database's own on PostgreSQL. Embedded, it is the time since boot, which nobody can step; a machine that
restarts begins again at zero, so an expiry more than one lease ahead counts as expired.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select

from service.store.tables import EPOCH, leases


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """Who asks (`holder`, unique per process) and for how many seconds."""

    holder: str
    seconds: float


def lease_now(conn: Connection) -> datetime:
    """Return the time that leases are measured in; comparable only with itself."""
    if conn.dialect.name == "postgresql":
        return EPOCH + timedelta(microseconds=int(conn.execute(select(_PG_MICROSECONDS)).scalar_one()))
    return EPOCH + timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


_PG_MICROSECONDS = func.floor(func.extract("epoch", func.clock_timestamp()) * 1_000_000)


def held(expires: ColumnElement[datetime], now: datetime, terms: LeaseTerms) -> ColumnElement[bool]:
    """SQL for "this lease is in force"; a missing expiry is not."""
    ahead = now + timedelta(seconds=terms.seconds * 1.5)
    return and_(expires.is_not(None), expires > now, expires <= ahead)


def free(expires: ColumnElement[datetime], now: datetime, terms: LeaseTerms) -> ColumnElement[bool]:
    """SQL for "this lease may be taken"."""
    return or_(expires.is_(None), not_(held(expires, now, terms)))


def take(conn: Connection, name: str, *, terms: LeaseTerms) -> bool:
    """Take or renew the lease of that name; False while another holder has it."""
    now = lease_now(conn)
    expires = now + timedelta(seconds=terms.seconds)
    row = conn.execute(select(leases).where(leases.c.name == name).with_for_update()).one_or_none()
    if row is None:
        conn.execute(leases.insert().values(name=name, holder=terms.holder, token=1, expires=expires))
        return True
    taken = conn.execute(
        leases.update()
        .where(leases.c.name == name, or_(leases.c.holder == terms.holder, free(leases.c.expires, now, terms)))
        .values(holder=terms.holder, token=leases.c.token + 1, expires=expires)
    )
    return taken.rowcount == 1


def is_taken(conn: Connection, name: str, *, seconds: float) -> bool:
    """Whether anybody has the lease of that name, which lasts for so many seconds at most."""
    in_force = held(leases.c.expires, lease_now(conn), LeaseTerms(holder="", seconds=seconds))
    return conn.execute(select(leases.c.name).where(leases.c.name == name, in_force)).first() is not None


def give_back(conn: Connection, name: str, *, holder: str) -> None:
    """End the lease now, so that a successor need not wait for it to expire."""
    conn.execute(leases.delete().where(leases.c.name == name, leases.c.holder == holder))
