"""Each app's queue: what is to be done, in which order, and who is at it.

The app is the unit of exclusion: one worker at a time works it, under the lease in its row. `generation` grows when a
request is taken and when the running one is cancelled; the lease's token grows with every taking. Together they are
the fence that engines check.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from service.domain.decisions import Deploy, Destroy, Work
from service.domain.deploys import BUILDS
from service.domain.lifecycle import Signal, advance
from service.domain.model import AppId, AppState, QueuedRequest, ReleaseState, RequestId, RequestState, Sha, Stage
from service.store import rows
from service.store.database import new_id
from service.store.endings import end_with_request
from service.store.leases import LeaseTerms, free, held, lease_now
from service.store.tables import apps, couplings, releases, requests

OPEN = (RequestState.QUEUED.value, RequestState.RUNNING.value)
_WORK = {kind.__name__: kind for kind in get_args(Work)}
_PRIORITY = {Stage.PRODUCTION.value: 0, Stage.STAGING.value: 1, Stage.DEVELOPMENT.value: 1, Stage.REVIEW.value: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenWork:
    """A request under the lease of its app; `sealed` holds what of it is secret."""

    request: QueuedRequest
    work: Work
    sealed: bytes | None
    actor: str
    generation: int
    token: int
    attempts: int
    step: str


def kind_of(work: Work) -> str:
    """Name the kind of work as the queue stores it."""
    return type(work).__name__


def as_request(row: Any) -> QueuedRequest:
    """The request of a row."""
    return QueuedRequest(
        id=RequestId(row.id),
        app_id=AppId(row.app_id),
        seq=row.seq,
        kind=row.kind,
        state=RequestState(row.state),
        by_person=row.by_person,
        sha=None if row.sha is None else Sha(row.sha),
        reason=row.outcome or row.reason,
        created_at=row.created_at,
    )


def add(
    conn: Connection,
    *,
    app_id: str,
    work: Work,
    actor: str,
    reason: str,
    by_person: bool,
    now: datetime,
    sealed: bytes | None = None,
) -> QueuedRequest:
    """Append to the app's queue: a newer automatic deploy replaces waiting ones, a destroy ends all before it."""
    seq = conn.execute(
        apps.update()
        .where(apps.c.id == app_id)
        .values(last_request_seq=apps.c.last_request_seq + 1)
        .returning(apps.c.last_request_seq)
    ).scalar_one()
    stage = conn.execute(select(couplings.c.stage).where(couplings.c.app_id == app_id)).scalar_one_or_none()
    request_id = new_id()
    if isinstance(work, Deploy) and not by_person:
        _supersede_waiting(conn, app_id=app_id, by=request_id, sha=work.sha, now=now)
    if isinstance(work, Destroy):
        _cancel_open(conn, app_id=app_id, by=request_id, reason=f"app is being destroyed: {work.reason}", now=now)
    conn.execute(
        requests.insert().values(
            id=request_id,
            app_id=app_id,
            seq=seq,
            kind=kind_of(work),
            work=json.dumps(asdict(work)),
            sealed=sealed,
            sha=work.sha if isinstance(work, Deploy) else None,
            state=RequestState.QUEUED.value,
            reason=reason,
            by_person=by_person,
            actor=actor,
            priority=_PRIORITY.get(stage or "", 1),
            created_at=now,
            updated_at=now,
        )
    )
    conn.execute(apps.update().where(apps.c.id == app_id).values(retry_at=None, attempts=0))
    found = get(conn, request_id)
    assert found is not None
    return found


def _supersede_waiting(conn: Connection, *, app_id: str, by: str, sha: str, now: datetime) -> None:
    for request in open_of(conn, app_id):
        if request.kind == Deploy.__name__ and request.state is RequestState.QUEUED and not request.by_person:
            _displace(conn, request, by=by, state=RequestState.SUPERSEDED, outcome=f"superseded by {sha[:7]}", now=now)


def _cancel_open(conn: Connection, *, app_id: str, by: str, reason: str, now: datetime) -> None:
    found = open_of(conn, app_id)
    for request in found:
        if request.kind != Destroy.__name__:
            _displace(conn, request, by=by, state=RequestState.CANCELLED, outcome=reason, now=now)
    current = AppState(conn.execute(select(apps.c.state).where(apps.c.id == app_id)).scalar_one())
    if current is AppState.GONE or any(request.kind == Destroy.__name__ for request in found):
        return  # whoever takes it away already is not to be stopped
    conn.execute(
        apps.update()
        .where(apps.c.id == app_id)
        .values(
            generation=apps.c.generation + 1,
            row_version=apps.c.row_version + 1,
            state=rows.reach(current, AppState.DESTROYING).value,
            updated_at=now,
        )
    )


def _displace(
    conn: Connection, request: QueuedRequest, *, by: str, state: RequestState, outcome: str, now: datetime
) -> None:
    finish(conn, request.id, state=state, outcome=outcome, now=now)
    conn.execute(requests.update().where(requests.c.id == request.id).values(superseded_by=by))
    end_with_request(conn, request.id, state=state, outcome=outcome, now=now)


def displaced_by(conn: Connection, request_id: str) -> list[QueuedRequest]:
    """Return what was superseded or cancelled because of a request."""
    found = conn.execute(select(requests).where(requests.c.superseded_by == request_id).order_by(requests.c.seq))
    return [as_request(row) for row in found]


_NUMBERED = exists(
    select(releases.c.id).where(releases.c.request_id == requests.c.id, releases.c.state == ReleaseState.PENDING.value)
)


def number_waits(conn: Connection, app_id: str) -> bool:
    """Whether a release of the app that has its number is to come before any that has none."""
    waiting = select(requests.c.id).where(requests.c.app_id == app_id, requests.c.state.in_(OPEN), _NUMBERED)
    return conn.execute(waiting.limit(1)).first() is not None


def _ready(now: datetime) -> Any:
    return and_(
        or_(apps.c.retry_at.is_(None), apps.c.retry_at <= now),
        exists(select(requests.c.id).where(requests.c.app_id == apps.c.id, requests.c.state.in_(OPEN)).correlate(apps)),
    )


def take(
    conn: Connection, *, terms: LeaseTerms, now: datetime, cap: int, app_id: str | None = None
) -> TakenWork | None:
    """Take the most urgent ready app (or the one given) and its next request; at most `cap` apps are worked at once."""
    lease = lease_now(conn)
    if _busy(conn, lease, terms) >= cap:
        return None
    query = (
        select(apps.c.id)
        .join(requests, and_(requests.c.app_id == apps.c.id, requests.c.state.in_(OPEN)))
        .where(_ready(now), free(apps.c.lease_expires, lease, terms))
        .order_by(requests.c.priority, requests.c.created_at)
        .limit(1)
    )
    if app_id is not None:
        query = query.where(apps.c.id == app_id)
    chosen = conn.execute(query).scalar_one_or_none()
    if chosen is None:
        return None
    leased = conn.execute(
        apps.update()
        .where(apps.c.id == chosen, free(apps.c.lease_expires, lease, terms))
        .values(
            lease_holder=terms.holder,
            lease_token=apps.c.lease_token + 1,
            lease_expires=lease + timedelta(seconds=terms.seconds),
        )
        .returning(apps.c.lease_token)
    ).one_or_none()
    return None if leased is None else _start_next(conn, app_id=chosen, token=leased.lease_token, now=now)


def _start_next(conn: Connection, *, app_id: str, token: int, now: datetime) -> TakenWork | None:
    # A destroy ends all else. What is still to be built comes behind what is not: numbers are worked off in their
    # order, and nothing else waits for a deploy that waits for GitHub.
    unbuilt = and_(requests.c.kind.in_(BUILDS), ~_NUMBERED)
    row = conn.execute(
        select(requests)
        .where(requests.c.app_id == app_id, requests.c.state.in_(OPEN))
        .order_by(requests.c.kind != Destroy.__name__, unbuilt, requests.c.seq)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    raised = 0 if row.state == RequestState.RUNNING.value else 1
    generation, attempts = conn.execute(
        apps.update()
        .where(apps.c.id == app_id)
        .values(generation=apps.c.generation + raised)
        .returning(apps.c.generation, apps.c.attempts)
    ).one()
    conn.execute(
        requests.update()
        .where(requests.c.id == row.id)
        .values(state=RequestState.RUNNING.value, started_at=row.started_at or now, updated_at=now)
    )
    request = get(conn, row.id)
    assert request is not None
    return TakenWork(
        request=request,
        work=msgspec.convert(json.loads(row.work), _WORK[row.kind], strict=False),
        sealed=row.sealed,
        actor=row.actor,
        generation=generation,
        token=token,
        attempts=attempts,
        step=row.step,
    )


def renew(conn: Connection, *, taken: TakenWork, terms: LeaseTerms) -> bool:
    """Keep the lease; False when it is lost or the request was cancelled, and the caller must stop at its next step."""
    expires = lease_now(conn) + timedelta(seconds=terms.seconds)
    ours = (*as_taken(taken), apps.c.lease_holder == terms.holder)
    return conn.execute(apps.update().where(*ours).values(lease_expires=expires)).rowcount == 1


def is_current(conn: Connection, taken: TakenWork) -> bool:
    """Whether (generation, token) is the app's pair still; to be asked inside the transaction that acts on it.

    Then nobody has taken the app since and nothing was cancelled: the token only grows, whoever holds it.
    """
    query = select(apps.c.id).where(*as_taken(taken)).with_for_update()
    return conn.execute(query).scalar_one_or_none() is not None


def as_taken(taken: TakenWork) -> tuple[ColumnElement[bool], ...]:
    """SQL for "the app's pair is still the one of this taking"."""
    return (
        apps.c.id == taken.request.app_id,
        apps.c.lease_token == taken.token,
        apps.c.generation == taken.generation,
    )


def stop_running(conn: Connection, app_id: str) -> None:
    """Let whoever works the app stop at the next step."""
    conn.execute(apps.update().where(apps.c.id == app_id).values(generation=apps.c.generation + 1))


def set_step(conn: Connection, request_id: str, *, step: str, now: datetime) -> None:
    """Record how far the request has come, for people to see."""
    conn.execute(requests.update().where(requests.c.id == request_id).values(step=step, updated_at=now))


def set_trouble(conn: Connection, request_id: str, *, cause: str) -> None:
    """Record why it has to be tried again, for people to see until it is over."""
    conn.execute(requests.update().where(requests.c.id == request_id).values(outcome=f"is tried again: {cause}"))


def finish(conn: Connection, request_id: str, *, state: RequestState, outcome: str, now: datetime) -> bool:
    """Bring an open request to a final state; False when it is final already (cancelled meanwhile)."""
    current = RequestState(conn.execute(select(requests.c.state).where(requests.c.id == request_id)).scalar_one())
    if current not in OPEN:
        return False
    conn.execute(
        requests.update()
        .where(requests.c.id == request_id)
        .values(
            state=rows.reach(advance(current, Signal.START), state).value,
            outcome=outcome,
            finished_at=now,
            updated_at=now,
        )
    )
    return True


def give_back(
    conn: Connection, *, app_id: str, token: int, holder: str, retry_at: datetime | None = None, counted: bool = True
) -> None:
    """End the lease; with `retry_at` the app rests until then, and that is `counted` among its attempts."""
    attempts = 0 if retry_at is None else apps.c.attempts + int(counted)
    conn.execute(
        update(apps)
        .where(apps.c.id == app_id, apps.c.lease_token == token, apps.c.lease_holder == holder)
        .values(lease_expires=None, lease_holder=None, retry_at=retry_at, attempts=attempts)
    )


def get(conn: Connection, request_id: str) -> QueuedRequest | None:
    """Return one request."""
    row = conn.execute(select(requests).where(requests.c.id == request_id)).one_or_none()
    return None if row is None else as_request(row)


def open_of(conn: Connection, app_id: str) -> list[QueuedRequest]:
    """Return the app's open requests in order."""
    rows = conn.execute(
        select(requests).where(requests.c.app_id == app_id, requests.c.state.in_(OPEN)).order_by(requests.c.seq)
    )
    return [as_request(row) for row in rows]


def of_apps(conn: Connection, app_ids: Collection[str], *, limit: int) -> list[QueuedRequest]:
    """Return the requests of these apps, newest first."""
    newest = (requests.c.created_at.desc(), requests.c.seq.desc())
    rows = conn.execute(select(requests).where(requests.c.app_id.in_(app_ids)).order_by(*newest).limit(limit))
    return [as_request(row) for row in rows]


def of_commit(conn: Connection, sha: str, *, limit: int, pushed_too: bool = True) -> list[QueuedRequest]:
    """Return the deploys of a commit, newest first; those of what was pushed to an app are nothing to GitHub."""
    query = select(requests).where(requests.c.sha == sha)
    if not pushed_too:  # as `add` writes that down
        says, nowhere = (requests.c.work.contains(f'"pushed_to": "{end}', autoescape=True) for end in ("", '"'))
        query = query.where(or_(~says, nowhere))
    return [as_request(row) for row in conn.execute(query.order_by(requests.c.created_at.desc()).limit(limit))]


def branch_of(conn: Connection, request_id: str) -> str:
    """Return the branch whose head a request releases; empty when it releases anything else."""
    text = conn.execute(select(requests.c.work).where(requests.c.id == request_id)).scalar_one_or_none()
    return str(json.loads(text).get("branch") or "") if text else ""


def last_deploy(conn: Connection, app_id: str) -> QueuedRequest | None:
    """Return the newest deploy that is not waiting: running or finished, superseded and cancelled ones left out."""
    row = conn.execute(
        select(requests)
        .where(
            requests.c.app_id == app_id,
            requests.c.kind == Deploy.__name__,
            requests.c.state.in_([RequestState.RUNNING.value, RequestState.SUCCEEDED.value, RequestState.FAILED.value]),
        )
        .order_by(requests.c.seq.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else as_request(row)


def newer_deploy(conn: Connection, request: QueuedRequest) -> QueuedRequest | None:
    """Return a later waiting deploy of the same app: then an automatic one must not go live any more."""
    row = conn.execute(
        select(requests)
        .where(
            requests.c.app_id == request.app_id,
            requests.c.kind == Deploy.__name__,
            requests.c.state == RequestState.QUEUED.value,
            requests.c.seq > request.seq,
        )
        .order_by(requests.c.seq.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else as_request(row)


def ready(conn: Connection, *, terms: LeaseTerms, now: datetime, cap: int) -> list[str]:
    """Return the ids of apps with work that nobody is at, no more than may be begun under the cap."""
    lease = lease_now(conn)
    query = select(apps.c.id).where(_ready(now), free(apps.c.lease_expires, lease, terms))
    return list(conn.execute(query.limit(max(0, cap - _busy(conn, lease, terms)))).scalars())


def _busy(conn: Connection, lease: datetime, terms: LeaseTerms) -> int:
    count = select(func.count()).select_from(apps).where(held(apps.c.lease_expires, lease, terms))
    return conn.execute(count).scalar_one()


def incarnation(conn: Connection, app_id: str) -> int:
    """Return how often the app was restarted; it tells one release's processes before and after apart."""
    return int(conn.execute(select(apps.c.incarnation).where(apps.c.id == app_id)).scalar_one())


def set_incarnation(conn: Connection, app_id: str, incarnation: int) -> None:
    """Count a restart once it has happened."""
    conn.execute(apps.update().where(apps.c.id == app_id).values(incarnation=incarnation))
