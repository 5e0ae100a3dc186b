"""Facts about GitHub: what was learned, what is out of date, and what must be looked up.

Answers are ordered by a counter taken before the request was sent: a slow answer never overwrites a later one, and an
answer to a question asked before the fact was marked stale leaves it stale.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, or_, select

from service.domain import whereabouts
from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import CiSignals, Fact, FactKey, FactKind, Head, commit_of
from service.domain.model import NO_SHA, RepositoryId, Sha
from service.domain.whereabouts import Whereabouts
from service.store import fact_values, rows
from service.store.leases import LeaseTerms, free, lease_now
from service.store.tables import counters, facts

_SOONEST = timedelta(seconds=5)
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


_ADDRESS = (facts.c.kind, facts.c.repository_id, facts.c.key)


def _among(keys: Iterable[FactKey]) -> ColumnElement[bool]:
    return rows.among(_ADDRESS, [(key.kind.value, key.repository_id, key.key) for key in sorted(keys)])


def _ensure_all(conn: Connection, keys: Collection[FactKey], now: datetime) -> None:
    query = select(*_ADDRESS).where(_among(keys))
    known = {FactKey(FactKind(row.kind), RepositoryId(row.repository_id), row.key) for row in conn.execute(query)}
    if new := [key for key in sorted(keys) if key not in known]:
        made = [{**key._asdict(), "kind": key.kind.value, "first_seen_at": now} for key in new]
        conn.execute(facts.insert(), made)


def _ensure(conn: Connection, key: FactKey, now: datetime) -> None:
    _ensure_all(conn, [key], now)


def load(conn: Connection, key: FactKey) -> Fact[Any] | None:
    """Return the fact, or None when it was never looked up."""
    return load_all(conn, [key]).get(key)


def load_all(conn: Connection, keys: Collection[FactKey]) -> dict[FactKey, Fact[Any]]:
    """Return those of the facts that were ever looked up, in one statement."""
    found = conn.execute(select(facts).where(_among(keys))) if keys else ()
    return {fact.key: fact for fact in map(fact_of, found)}


def fact_of(row: Any) -> Fact[Any]:
    """Make a fact of a row of `facts`."""
    kind = FactKind(row.kind)
    value = _value(kind, row)
    if isinstance(value, CiSignals):
        # The settle and gate times count from when we learned of the commit, not from the last answer.
        value = replace(value, first_seen=row.first_seen_at)
    where = _whereabouts(row, value)
    return Fact(
        key=FactKey(kind, RepositoryId(row.repository_id), row.key),
        value=value,
        error=row.error,
        stale=row.asked <= row.stale_asked,
        looked_at=row.looked_at,
        since=row.since,
        doubted_until=where.doubted_until,
        returned=where.returned,
    )


def _whereabouts(row: Any, value: Any | None) -> Whereabouts:
    return Whereabouts(
        shown="" if value is None else commit_of(value) or NO_SHA,
        looked_at=row.looked_at,
        announced=row.announced,
        announced_at=row.announced_at,
        told_at=row.told_at,
        was_at=json.loads(row.was_at),
    )


def _moved(where: Whereabouts) -> dict[str, Any]:
    return {
        "announced": where.announced,
        "announced_at": where.announced_at,
        "told_at": where.told_at,
        "was_at": json.dumps(where.was_at),
    }


def mark_stale(conn: Connection, keys: Iterable[FactKey], *, now: datetime) -> None:
    """Say that newer is out there: no answer to a question asked before now is believed."""
    wanted = set(keys)
    if not wanted:
        return
    asked = next_asked(conn)
    _ensure_all(conn, wanted, now)
    conn.execute(facts.update().where(_among(wanted)).values(stale_asked=asked))


def mark_all_stale(conn: Connection, kind: FactKind, repository_id: RepositoryId) -> None:
    """Say that newer is out there of every fact of a kind about a repository that was looked up before."""
    own = (facts.c.kind == kind.value, facts.c.repository_id == repository_id)
    conn.execute(facts.update().where(*own).values(stale_asked=next_asked(conn)))


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
            known, commit = _value(key.kind, row), commit_of(value)
            here = commit is not None and commit == commit_of(known) and row.since
            values["since"] = None if commit is None else row.since if here else now
            if isinstance(value, Head):
                values |= _moved(whereabouts.shown(_whereabouts(row, known), commit or NO_SHA, now=now))
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


def _value(kind: FactKind, row: Any) -> Any | None:
    return None if row.value is None else fact_values.decode(kind, row.value)


def _locked(conn: Connection, key: FactKey) -> Any:
    return conn.execute(select(facts).where(*_is(key)).with_for_update()).one()


def _end_look(conn: Connection, key: FactKey, row: Any, values: dict[str, Any]) -> list[Subject]:
    """Whoever still waits after this answer asks again."""
    over = {"waiters": "[]", "wanted_at": None, "retry_at": None, "attempts": 0}
    conn.execute(facts.update().where(*_is(key)).values(lease_holder=None, lease_expires=None, **over, **values))
    return _waiting(row)


def _waiting(row: Any) -> list[Subject]:
    return [Subject(SubjectKind(kind), subject) for kind, subject in json.loads(row.waiters)]


def want(conn: Connection, key: FactKey, *, waiter: Subject, now: datetime) -> None:
    """Ask for a look; the waiter is rung when it is done."""
    want_all(conn, {key: waiter}, now=now)


def want_all(conn: Connection, wanted: Mapping[FactKey, Subject | None], *, now: datetime) -> None:
    """Ask for looks at all of them; each waiter, if there is one, is rung when its look is done."""
    if not wanted:
        return
    _ensure_all(conn, wanted, now)
    changed = []
    for row in conn.execute(select(facts).where(_among(wanted)).with_for_update()):
        waiter = wanted[FactKey(FactKind(row.kind), RepositoryId(row.repository_id), row.key)]
        waiters = json.loads(row.waiters)
        entry = [waiter.kind.value, waiter.key] if waiter is not None else None
        if entry is not None and entry not in waiters:
            waiters.append(entry)
        of = {"of_kind": row.kind, "of_repository": row.repository_id, "of_key": row.key}
        retry_at = row.retry_at if row.attempts else None  # what is looked at again later is wanted now
        changed.append({**of, "waiters": json.dumps(waiters), "wanted_at": row.wanted_at or now, "retry_at": retry_at})
    one = (facts.c.kind == bindparam("of_kind"), facts.c.repository_id == bindparam("of_repository"))
    conn.execute(facts.update().where(*one, facts.c.key == bindparam("of_key")), changed)


def announce(conn: Connection, key: FactKey, *, before: str, after: Sha, told_at: datetime, now: datetime) -> None:
    """Note that a push says that a branch went from `before` to `after`; the branch is known to be stale.

    `told_at` is when GitHub told of it, which need not be the order in which it was pushed.
    """
    row = _locked(conn, key)
    known = _whereabouts(row, _value(key.kind, row))
    then = whereabouts.told(known, before=before, after=after, told_at=told_at, now=now)
    conn.execute(facts.update().where(*_is(key)).values(_moved(then)))


def is_doubtful(conn: Connection, key: FactKey, *, now: datetime) -> bool:
    """Whether the answer is another than what was told or shown a short while ago."""
    fact = load(conn, key)
    return fact is not None and fact.doubted(now=now)


def want_later(conn: Connection, key: FactKey, *, waiters: Iterable[Subject], now: datetime) -> None:
    """Have a branch looked at again that nobody waits for: 5, 10, 20 ... seconds after what was announced of it."""
    announced_at = conn.execute(select(facts.c.announced_at).where(*_is(key))).scalar_one()
    retry_at = now + max(_SOONEST, now - announced_at)
    listed = json.dumps([[each.kind.value, each.key] for each in waiters])
    unwanted = facts.update().where(*_is(key), facts.c.wanted_at.is_(None))
    conn.execute(unwanted.values(waiters=listed, wanted_at=now, retry_at=retry_at))


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


def look_failed(conn: Connection, look: TakenLook, *, error: str, retry_at: datetime) -> list[Subject]:
    """Give the lease back and try again later; what was known before stays. Returns who waits and does not know it."""
    row = _locked(conn, look.key)
    conn.execute(
        facts.update()
        .where(*_is(look.key), facts.c.wanted_at.is_not(None))
        .values(lease_holder=None, lease_expires=None, retry_at=retry_at, attempts=look.attempts + 1, error=error[:500])
    )
    return [] if row.error == error[:500] else _waiting(row)


def due_looks(conn: Connection, *, terms: LeaseTerms, now: datetime, limit: int) -> list[FactKey]:
    """Which looks are wanted, due and free, oldest first."""
    found = conn.execute(
        select(*_ADDRESS)
        .where(
            facts.c.wanted_at.is_not(None),
            or_(facts.c.retry_at.is_(None), facts.c.retry_at <= now),
            free(facts.c.lease_expires, lease_now(conn), terms),
        )
        .order_by(facts.c.wanted_at)
        .limit(limit)
    )
    return [FactKey(FactKind(row.kind), RepositoryId(row.repository_id), row.key) for row in found]


def forget(conn: Connection, *, before: datetime) -> int:
    """Delete what nobody has looked at since `before` and nobody waits for; who needs it again looks again."""
    unseen = and_(facts.c.looked_at.is_(None), facts.c.first_seen_at < before)
    old = or_(facts.c.looked_at < before, unseen)
    return int(conn.execute(facts.delete().where(old, facts.c.wanted_at.is_(None))).rowcount)


def known(conn: Connection, *, kind: FactKind, repository_id: RepositoryId) -> list[Fact[Any]]:
    """Return every fact of a kind about a repository."""
    found = conn.execute(select(facts).where(facts.c.kind == kind.value, facts.c.repository_id == repository_id))
    return [fact_of(row) for row in found]
