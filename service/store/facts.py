"""Facts about GitHub: what was learned, what is out of date, and what must be looked up.

Answers are ordered by a counter taken before the request was sent: a slow answer never overwrites a later one, and an
answer to a question asked before the fact was marked stale leaves it stale.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, or_, select

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import CiSignals, Fact, FactKey, FactKind
from service.domain.model import RepositoryId
from service.store import fact_values
from service.store.leases import LeaseTerms, free, lease_now
from service.store.tables import counters, facts

_COUNTER = "fact"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenLook:
    """A look under our lease; `asked` orders its answer."""

    key: FactKey
    asked: int
    etag: str
    attempts: int


def _is(key: FactKey) -> tuple[Any, ...]:
    return facts.c.kind == key.kind.value, facts.c.repository_id == key.repository_id, facts.c.key == key.key


def next_asked(conn: Connection) -> int:
    """Draw the number that orders an answer; draw it before the question is sent."""
    row = conn.execute(
        counters.update()
        .where(counters.c.name == _COUNTER)
        .values(value=counters.c.value + 1)
        .returning(counters.c.value)
    ).one_or_none()
    if row is None:
        conn.execute(counters.insert().values(name=_COUNTER, value=1))
        return 1
    return int(row.value)


def _ensure(conn: Connection, key: FactKey, now: datetime) -> None:
    if conn.execute(select(facts.c.kind).where(*_is(key))).one_or_none() is None:
        conn.execute(
            facts.insert().values(kind=key.kind.value, repository_id=key.repository_id, key=key.key, first_seen_at=now)
        )


def load(conn: Connection, key: FactKey) -> Fact[Any] | None:
    """Return the fact, or None when it was never looked up."""
    row = conn.execute(select(facts).where(*_is(key))).one_or_none()
    return None if row is None else fact_of(row)


def fact_of(row: Any) -> Fact[Any]:
    """Make a fact of a row of `facts`."""
    kind = FactKind(row.kind)
    value = None if row.value is None else fact_values.decode(kind, row.value)
    if isinstance(value, CiSignals):
        # The settle and gate times count from when we learned of the commit, not from the last answer.
        value = replace(value, first_seen=row.first_seen_at)
    return Fact(
        key=FactKey(kind, RepositoryId(row.repository_id), row.key),
        value=value,
        error=row.error,
        stale=row.asked <= row.stale_asked,
        looked_at=row.looked_at,
    )


def mark_stale(conn: Connection, keys: Iterable[FactKey], *, now: datetime) -> None:
    """Say that newer is out there: no answer to a question asked before now is believed."""
    keys = sorted(set(keys))
    if not keys:
        return
    asked = next_asked(conn)
    for key in keys:
        _ensure(conn, key, now)
        conn.execute(facts.update().where(*_is(key)).values(stale_asked=asked))


def learn(
    conn: Connection, key: FactKey, *, asked: int, value: Any | None, error: str, etag: str, now: datetime
) -> list[Subject]:
    """Store an answer unless a later one is there; return the subjects that waited for it."""
    _ensure(conn, key, now)
    row = _locked(conn, key)
    values: dict[str, Any] = {}
    if asked > row.asked:
        values = {"asked": asked, "error": error, "etag": etag, "looked_at": now}
        if not error:
            values["value"] = None if value is None else fact_values.encode(value)
    return _end_look(conn, key, row, values)


def learn_unchanged(conn: Connection, key: FactKey, *, asked: int, etag: str, now: datetime) -> list[Subject]:
    """Store that GitHub still says what it said with that etag (304); return the subjects that waited for it."""
    row = _locked(conn, key)
    values: dict[str, Any] = {}
    if asked > row.asked and etag == row.etag:
        values = {"asked": asked, "error": "", "looked_at": now}
    elif asked > row.asked:
        # An earlier question was answered meanwhile: what is unchanged is not the value at hand.
        values = {"stale_asked": asked}
    return _end_look(conn, key, row, values)


def _locked(conn: Connection, key: FactKey) -> Any:
    return conn.execute(select(facts).where(*_is(key)).with_for_update()).one()


def _end_look(conn: Connection, key: FactKey, row: Any, values: dict[str, Any]) -> list[Subject]:
    """Whoever still waits after this answer asks again."""
    over = {"waiters": "[]", "wanted_at": None, "retry_at": None, "attempts": 0}
    conn.execute(facts.update().where(*_is(key)).values(lease_holder=None, lease_expires=None, **over, **values))
    return [Subject(SubjectKind(kind), subject) for kind, subject in json.loads(row.waiters)]


def want(conn: Connection, key: FactKey, *, waiter: Subject, now: datetime) -> None:
    """Ask for a look; the waiter is rung when it is done."""
    _ensure(conn, key, now)
    row = _locked(conn, key)
    waiters = json.loads(row.waiters)
    entry = [waiter.kind.value, waiter.key]
    if entry not in waiters:
        waiters.append(entry)
    conn.execute(facts.update().where(*_is(key)).values(waiters=json.dumps(waiters), wanted_at=row.wanted_at or now))


def take_look(conn: Connection, key: FactKey, *, terms: LeaseTerms, now: datetime) -> TakenLook | None:
    """Take a wanted look if it is due and free."""
    lease = lease_now(conn)
    row = conn.execute(
        facts.update()
        .where(
            *_is(key),
            facts.c.wanted_at.is_not(None),
            or_(facts.c.retry_at.is_(None), facts.c.retry_at <= now),
            free(facts.c.lease_expires, lease, terms),
        )
        .values(lease_holder=terms.holder, lease_expires=lease + timedelta(seconds=terms.seconds))
        .returning(facts.c.etag, facts.c.attempts)
    ).one_or_none()
    if row is None:
        return None
    return TakenLook(key=key, asked=next_asked(conn), etag=row.etag, attempts=row.attempts)


def look_failed(conn: Connection, look: TakenLook, *, error: str, retry_at: datetime) -> None:
    """Give the lease back and try again later; what was known before stays."""
    conn.execute(
        facts.update()
        .where(*_is(look.key), facts.c.wanted_at.is_not(None))
        .values(lease_holder=None, lease_expires=None, retry_at=retry_at, attempts=look.attempts + 1, error=error[:500])
    )


def due_looks(conn: Connection, *, terms: LeaseTerms, now: datetime, limit: int) -> list[FactKey]:
    """Which looks are wanted, due and free, oldest first."""
    rows = conn.execute(
        select(facts.c.kind, facts.c.repository_id, facts.c.key)
        .where(
            facts.c.wanted_at.is_not(None),
            or_(facts.c.retry_at.is_(None), facts.c.retry_at <= now),
            free(facts.c.lease_expires, lease_now(conn), terms),
        )
        .order_by(facts.c.wanted_at)
        .limit(limit)
    )
    return [FactKey(FactKind(row.kind), RepositoryId(row.repository_id), row.key) for row in rows]


def known(conn: Connection, *, kind: FactKind, repository_id: RepositoryId) -> list[Fact[Any]]:
    """Return every fact of a kind about a repository."""
    rows = conn.execute(select(facts).where(facts.c.kind == kind.value, facts.c.repository_id == repository_id))
    return [fact_of(row) for row in rows]
