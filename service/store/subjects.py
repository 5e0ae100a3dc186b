"""Subjects that want to be reconciled.

A ring raises `rung` and makes the subject due; a reconcile remembers the value it started from and is over only when
that is still the newest, so a ring that arrives meanwhile is never lost. One at a time, under a lease.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from service.domain.decisions import Subject, SubjectKind
from service.store import rows
from service.store.leases import LeaseTerms, free, lease_now
from service.store.tables import subjects


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenSubject:
    """A subject under our lease, as of ring number `rung`."""

    subject: Subject
    rung: int
    cause: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the last reconcile of a subject came to."""

    subject: Subject
    cause: str
    outcome: str
    reason: str
    due_at: datetime | None
    reconciled_at: datetime | None


def _is(subject: Subject) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return subjects.c.kind == subject.kind.value, subjects.c.key == subject.key


def ring(conn: Connection, rung: Iterable[Subject], *, cause: str, now: datetime) -> None:
    """Ask for a reconcile of each, at once."""
    wanted = set(rung)
    known = {Subject(SubjectKind(row.kind), row.key) for row in _rows(conn, wanted, subjects.c.kind, subjects.c.key)}
    values = {"cause": cause, "due_at": now, "rung_at": now}
    if known:
        raised = subjects.update().where(_among(known)).values(rung=subjects.c.rung + 1, **values)
        conn.execute(raised)
    if new := sorted(wanted - known):
        conn.execute(subjects.insert(), [{"kind": it.kind.value, "key": it.key, "rung": 1, **values} for it in new])


def _among(wanted: Iterable[Subject]) -> ColumnElement[bool]:
    return rows.among((subjects.c.kind, subjects.c.key), [(it.kind.value, it.key) for it in sorted(wanted)])


def _rows(conn: Connection, wanted: Collection[Subject], *columns: ColumnElement[Any]) -> Sequence[Row[Any]]:
    return conn.execute(select(*columns).where(_among(wanted))).all() if wanted else []


def take(conn: Connection, subject: Subject, *, terms: LeaseTerms, now: datetime) -> TakenSubject | None:
    """Take the subject if it is due and free."""
    lease = lease_now(conn)
    row = conn.execute(
        subjects.update()
        .where(*_is(subject), subjects.c.due_at <= now, free(subjects.c.lease_expires, lease, terms))
        .values(lease_holder=terms.holder, lease_expires=lease + timedelta(seconds=terms.seconds))
        .returning(subjects.c.rung, subjects.c.cause, subjects.c.attempts)
    ).one_or_none()
    if row is None:
        return None
    return TakenSubject(subject=subject, rung=row.rung, cause=row.cause, attempts=row.attempts)


def settle(
    conn: Connection,
    taken: TakenSubject,
    *,
    holder: str,
    outcome: str,
    reason: str,
    due_at: datetime | None,
    now: datetime,
    failed: bool = False,
) -> bool:
    """Record what came of it and give the lease back; True when it was rung meanwhile and must be taken again."""
    row = conn.execute(
        select(subjects.c.rung, subjects.c.lease_holder).where(*_is(taken.subject)).with_for_update()
    ).one()
    if row.lease_holder != holder:
        return False
    again = row.rung != taken.rung
    conn.execute(
        subjects.update()
        .where(*_is(taken.subject))
        .values(
            seen=taken.rung,
            outcome=outcome,
            reason=reason,
            due_at=now if again else due_at,
            lease_holder=None,
            lease_expires=None,
            attempts=taken.attempts + 1 if failed else 0,
            reconciled_at=now,
        )
    )
    return bool(again)


def due(conn: Connection, *, terms: LeaseTerms, now: datetime, limit: int) -> list[Subject]:
    """Which subjects are due and free, oldest first."""
    found = conn.execute(
        select(subjects.c.kind, subjects.c.key)
        .where(subjects.c.due_at <= now, free(subjects.c.lease_expires, lease_now(conn), terms))
        .order_by(subjects.c.due_at)
        .limit(limit)
    )
    return [Subject(SubjectKind(row.kind), row.key) for row in found]


def verdicts(conn: Connection, wanted: Iterable[Subject]) -> list[Verdict]:
    """Return the last verdict of each subject that was ever rung."""
    return [
        Verdict(
            subject=Subject(SubjectKind(row.kind), row.key),
            cause=row.cause,
            outcome=row.outcome,
            reason=row.reason,
            due_at=row.due_at,
            reconciled_at=row.reconciled_at,
        )
        for row in _rows(conn, set(wanted), *subjects.c)
    ]


def forget_settled(conn: Connection, *, before: datetime) -> int:
    """Delete subjects that have been at rest since `before`; they come back with the next ring."""
    gone = conn.execute(subjects.delete().where(subjects.c.due_at.is_(None), subjects.c.rung_at < before))
    return int(gone.rowcount)
