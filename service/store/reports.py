"""The outbox to GitHub: one row for each object to show, holding the newest that it should show.

Intermediate states are skipped by being overwritten; nothing is written to GitHub when what it should show is what it
shows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, or_, select

from service.domain.model import RepositoryId, Sha
from service.store import rows
from service.store.database import new_id
from service.store.tables import reports

SPACING: Final = 10.0
RETRIED_AFTER: Final = timedelta(hours=1)
RETRIED_FOR: Final = timedelta(days=7)
ASIDE: Final = "#"
"""What stands in a key before the mark of the place where a commit's check was shown formerly."""
_OF_COMMITS: Final = ("check", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An object on GitHub. `attempted` says that a write was begun whose outcome may be unknown, `attempt` which.

    `aside_of` is the key that another one has by now, shown in another place.
    """

    key: str
    aside_of: str | None
    kind: str
    repository_id: RepositoryId
    installation_id: int
    wanted: Mapping[str, Any]
    wanted_digest: str
    terminal: bool
    github_id: int | None
    attempted: bool
    attempt: str
    pending: bool
    error: str
    attempts: int
    updated_at: datetime

    @property
    def begun(self) -> bool:
        """Whether GitHub may show something of it."""
        return self.github_id is not None or self.attempted

    @property
    def shown_as(self) -> str:
        """What GitHub shows a check or status as."""
        return str(self.wanted.get("name") or self.wanted.get("context"))

    @property
    def external_key(self) -> str:
        """What GitHub knows it by, which stays the same for what is set aside."""
        return self.aside_of or self.key


def put(
    conn: Connection,
    *,
    key: str,
    kind: str,
    repository_id: int,
    installation_id: int,
    wanted: Mapping[str, Any],
    terminal: bool,
    now: datetime,
    unhurried: bool = False,
) -> bool:
    """Say what the object should show; True when GitHub has to be told.

    What is `unhurried` waits for SPACING seconds, so that what comes soon after goes with it.

    After an attempt without an answer nobody knows what it shows, so that it is told again even what it showed before.
    """
    text = rows.to_json(dict(wanted))
    digest = sha256(text.encode()).hexdigest()
    row = rows.one(conn, select(reports).where(reports.c.key == key))
    where = {"repository_id": repository_id, "installation_id": installation_id}
    if row is not None and row["wanted_digest"] == digest and all(row[name] == where[name] for name in where):
        return bool(row["pending"])
    values = {
        "kind": kind,
        **where,
        "wanted": text,
        "wanted_digest": digest,
        "terminal": terminal,
        "pending": row is None or row["shown_digest"] != digest or row["attempted"],
        "error": "",
        "attempts": 0,
        "refusals": 0,
        "retry_at": now + timedelta(seconds=SPACING) if unhurried else None,
        "updated_at": now,
    }
    if row is None:
        conn.execute(reports.insert().values(key=key, created_at=now, **values))
    else:
        conn.execute(reports.update().where(reports.c.key == key).values(values))
    return bool(values["pending"])


def get(conn: Connection, key: str) -> Report | None:
    """One object."""
    row = rows.one(conn, select(reports).where(reports.c.key == key))
    return _report(row) if row else None


def commits(conn: Connection, *, pipeline_id: str, beginning: str) -> set[Sha]:
    """The commits with that beginning that a pipeline has shown something of."""
    return _shas(conn, _of_commits(pipeline_id, beginning))


def commits_under_way(conn: Connection, pipeline_id: str) -> set[Sha]:
    """The commits of which a pipeline shows something that has not ended."""
    return _shas(conn, and_(_of_commits(pipeline_id, ""), ~reports.c.terminal))


def _of_commits(pipeline_id: str, beginning: str) -> ColumnElement[bool]:
    like = [reports.c.key.startswith(f"{kind}:{pipeline_id}/{beginning}", autoescape=True) for kind in _OF_COMMITS]
    return or_(*like)


def _shas(conn: Connection, which: ColumnElement[bool]) -> set[Sha]:
    found = conn.execute(select(reports.c.key).where(which)).scalars()
    return {Sha(key.partition("/")[2].partition(ASIDE)[0]) for key in found}


def formers(conn: Connection, key: str, *, kind: str) -> list[Report]:
    """What (pipeline, commit) is shown as beside its report of that kind, which are set aside.

    Beside a check there is the status of before we were an App, too, which comes first; without the App no check can be
    written any more.
    """
    before = [f"status:{key}"] if kind == "check" else []
    query = select(reports).where(or_(reports.c.key.in_(before), reports.c.aside_of.in_([f"{kind}:{key}", *before])))
    return [_report(row) for row in conn.execute(query.order_by(func.length(reports.c.key), reports.c.key)).mappings()]


def set_aside(conn: Connection, known: Report) -> Report:
    """Let what (pipeline, commit) is shown as live on where it is, as an object of its own; returns that."""
    place = f"{known.repository_id}/{known.shown_as}"
    key = f"{known.key}{ASIDE}{sha256(place.encode()).hexdigest()[:12]}"
    conn.execute(reports.delete().where(reports.c.key == key))  # of an earlier time there
    conn.execute(reports.update().where(reports.c.key == known.key).values(key=key, aside_of=known.key))
    return replace(known, key=key, aside_of=known.key)


def drop(conn: Connection, known: Report) -> None:
    """Forget what nobody has been shown."""
    conn.execute(reports.delete().where(reports.c.key == known.key))


def take_back(conn: Connection, former: Report) -> Report:
    """Let what was set aside be what (pipeline, commit) is shown as again; there must be no other by now."""
    key = former.external_key
    conn.execute(reports.update().where(reports.c.key == former.key).values(key=key, aside_of=None))
    return replace(former, key=key, aside_of=None)


def lanes(conn: Connection, *, now: datetime) -> list[int]:
    """The installations that have something to be told now."""
    query = select(reports.c.installation_id).where(reports.c.pending, _due(now)).distinct()
    return list(conn.execute(query.order_by(reports.c.installation_id)).scalars())


def pending(conn: Connection, *, lane: int, now: datetime, limit: int) -> list[Report]:
    """What an installation has to be told now: final states first, then what has waited longest."""
    query = select(reports).where(reports.c.pending, _due(now), reports.c.installation_id == lane)
    found = conn.execute(query.order_by(reports.c.terminal.desc(), reports.c.updated_at, reports.c.key).limit(limit))
    return [_report(row) for row in found.mappings()]


def pause(conn: Connection, *, lane: int, until: datetime) -> None:
    """Let a whole installation rest: GitHub lengthens the wait of those who go on asking."""
    sooner = or_(reports.c.retry_at.is_(None), reports.c.retry_at < until)
    conn.execute(
        reports.update().where(reports.c.pending, reports.c.installation_id == lane, sooner).values(retry_at=until)
    )


_GIVEN_UP = and_(~reports.c.pending, reports.c.error != "", reports.c.shown_digest != reports.c.wanted_digest)


def revive(conn: Connection, repository_id: int) -> int:
    """Try again what GitHub had refused for good: the repository can be written to again.

    What is under way is told again, too: its refusal may be from before.
    """
    under_way = and_(reports.c.repository_id == repository_id, reports.c.pending, reports.c.attempted)
    conn.execute(reports.update().where(under_way).values(attempt=new_id()))
    revived = conn.execute(
        reports.update()
        .where(reports.c.repository_id == repository_id, _GIVEN_UP)
        .values(pending=True, retry_at=None, attempts=0, refusals=0)
    )
    return revived.rowcount


def retry_refused(conn: Connection, repository_ids: Collection[int], *, now: datetime) -> int:
    """Try what GitHub refused once more, after an hour, two, four ...: not everything that changes is told by an event.

    After a week it is given up for good.
    """
    query = select(reports.c.key, reports.c.refusals, reports.c.updated_at).where(
        reports.c.repository_id.in_(repository_ids), _GIVEN_UP, reports.c.created_at > now - RETRIED_FOR
    )
    due = [
        row.key
        for row in conn.execute(query)
        if now - row.updated_at >= RETRIED_AFTER * 2 ** min(max(row.refusals - 1, 0), 8)
    ]
    if due:
        conn.execute(reports.update().where(reports.c.key.in_(due)).values(pending=True, retry_at=None))
    return len(due)


def _due(now: datetime) -> ColumnElement[bool]:
    return or_(reports.c.retry_at.is_(None), reports.c.retry_at <= now)


def unfinished(conn: Connection) -> int:
    """How many objects do not show yet what they should."""
    return conn.execute(select(func.count()).select_from(reports).where(reports.c.pending)).scalar_one()


def lasting(conn: Connection, *, before: datetime) -> list[str]:
    """The objects that have been shown as unfinished since before then."""
    return list(conn.execute(select(reports.c.key).where(~reports.c.terminal, reports.c.updated_at < before)).scalars())


def begin(conn: Connection, *, lane: int, now: datetime) -> Report | None:
    """Take what is most urgent in a lane, noting that GitHub may show it from now on even if no answer comes.

    `attempted` is true in what is returned if an earlier attempt had no answer. None when there is nothing to tell now.
    """
    found = next(iter(pending(conn, lane=lane, now=now, limit=1)), None)
    if found is None:
        return None
    attempt = new_id()
    conn.execute(reports.update().where(reports.c.key == found.key).values(attempted=True, attempt=attempt))
    return replace(found, attempt=attempt)


def _overtaken(conn: Connection, key: str, attempt: str) -> bool:
    """Whether another attempt was begun since: nobody knows which one GitHub took last, so that it is told again.

    Whoever stood still for longer than its lease may send what is no longer true when it goes on.
    """
    later = reports.update().where(reports.c.key == key, reports.c.attempt != attempt)
    # Nor is the other one the last for sure, should it be under way still: it is to find itself overtaken, too.
    values = {"pending": True, "attempted": True, "attempt": new_id(), "retry_at": None}
    return bool(conn.execute(later.values(values)).rowcount)


def broken_off(conn: Connection, *, key: str, attempt: str) -> None:
    """An attempt was given up in the middle; GitHub may take it all the same, and after another one's."""
    _overtaken(conn, key, attempt)


def shown(
    conn: Connection, *, key: str, digest: str, github_id: int | None, now: datetime, attempt: str | None = None
) -> None:
    """GitHub shows what had that digest; what was wanted meanwhile stays pending."""
    if attempt is not None and _overtaken(conn, key, attempt):
        return
    conn.execute(
        reports.update()
        .where(reports.c.key == key)
        .values(
            shown_digest=digest,
            pending=reports.c.wanted_digest != digest,
            github_id=github_id,
            attempted=False,
            error="",
            attempts=0,
            refusals=0,
            retry_at=None,
            updated_at=now,
        )
    )


def failed(
    conn: Connection,
    *,
    key: str,
    error: str,
    retry_at: datetime | None,
    final: bool,
    now: datetime,
    digest: str | None = None,
    attempt: str | None = None,
) -> None:
    """GitHub did not take it: try again at `retry_at`, or never if `final`.

    With the digest of what was tried, something newer that is wanted by now is not given up with it.
    """
    if attempt is not None and _overtaken(conn, key, attempt):
        return
    change = reports.update().where(reports.c.key == key)
    if digest is not None:
        change = change.where(reports.c.wanted_digest == digest)
    conn.execute(
        change.values(
            error=error,
            retry_at=retry_at,
            pending=not final,
            attempts=reports.c.attempts + 1,
            refusals=reports.c.refusals + int(final),
            updated_at=now,
        )
    )


def _report(row: RowMapping) -> Report:
    return Report(
        key=row["key"],
        aside_of=row["aside_of"],
        kind=row["kind"],
        repository_id=RepositoryId(row["repository_id"]),
        installation_id=row["installation_id"],
        wanted=rows.from_json(row["wanted"], dict[str, Any]),
        wanted_digest=row["wanted_digest"],
        terminal=row["terminal"],
        github_id=row["github_id"],
        attempted=row["attempted"],
        attempt=row["attempt"],
        pending=row["pending"],
        error=row["error"],
        attempts=row["attempts"],
        updated_at=row["updated_at"],
    )
