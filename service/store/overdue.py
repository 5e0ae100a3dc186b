"""What has been in a state for longer than it may: found here, ended by `workers/jobs/overdue.py`."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, exists, or_, select, union

from service.domain.decisions import Destroy
from service.domain.lifecycle import AnyState, limit
from service.domain.model import (
    AppState,
    BuildState,
    QueuedRequest,
    ReleaseState,
    RequestState,
    ReviewApp,
    ReviewState,
    TargetState,
)
from service.domain.one_offs import OPEN as OPEN_ONE_OFFS
from service.domain.one_offs import OneOff
from service.store.one_offs import as_one_off
from service.store.requests import OPEN, as_request
from service.store.reviews import as_review
from service.store.tables import (
    apps,
    builds,
    one_offs,
    promotion_targets,
    promotions,
    releases,
    requests,
    review_apps,
)


def _beyond(state: AnyState, column: ColumnElement[Any], since: Any, now: datetime) -> ColumnElement[bool]:
    """In that state, and since longer ago than it may last."""
    allowed = limit(state)
    assert allowed is not None
    return and_(column == state.value, since < now - allowed.age)


def _part(table: Table, state: AnyState, now: datetime) -> ColumnElement[bool]:
    late = _beyond(state, table.c.state, table.c.created_at, now)
    return exists(select(table.c.id).where(table.c.request_id == requests.c.id, late))


def of_requests(conn: Connection, now: datetime) -> list[QueuedRequest]:
    """Open requests that are too old, or whose build, release or promotion's target is; a destroy is never too old."""
    target = (
        select(promotion_targets.c.id)
        .join(promotions, promotions.c.id == promotion_targets.c.promotion_id)
        .where(
            promotion_targets.c.request_id == requests.c.id,
            _beyond(TargetState.PENDING, promotion_targets.c.state, promotions.c.created_at, now),
        )
    )
    late = or_(
        _beyond(RequestState.QUEUED, requests.c.state, requests.c.created_at, now),
        _beyond(RequestState.RUNNING, requests.c.state, requests.c.started_at, now),
        _part(builds, BuildState.PENDING, now),
        _part(releases, ReleaseState.PENDING, now),
        exists(target),
    )
    query = select(requests).where(requests.c.state.in_(OPEN), requests.c.kind != Destroy.__name__, late)
    return [as_request(row) for row in conn.execute(query)]


def left_behind(conn: Connection) -> list[QueuedRequest]:
    """Requests that are over although something of them is still pending; a target may wait for others to end."""
    single = (
        select(promotion_targets.c.request_id)
        .join(promotions, promotions.c.id == promotion_targets.c.promotion_id)
        .where(promotion_targets.c.state == "pending", ~promotions.c.all_or_nothing)
    )
    of_table = (select(table.c.request_id).where(table.c.state == "pending") for table in (builds, releases))
    pending = union(*of_table, single)
    query = select(requests).where(requests.c.id.in_(pending), requests.c.state.not_in(OPEN))
    return [as_request(row) for row in conn.execute(query)]


def of_reviews(conn: Connection, now: datetime) -> list[ReviewApp]:
    """Review apps that wait for ever, or are being made although nothing is done for them."""
    waiting = _beyond(ReviewState.WAITING, review_apps.c.state, review_apps.c.created_at, now)
    creating = _beyond(ReviewState.CREATING, review_apps.c.state, review_apps.c.updated_at, now)
    query = select(review_apps).where(or_(waiting, and_(creating, ~_has_open(review_apps.c.app_id))))
    return [as_review(row) for row in conn.execute(query).mappings()]


def of_one_offs(conn: Connection, now: datetime) -> list[OneOff]:
    """One-off dynos that no worker has started, or whose end nobody has read."""
    late = or_(*(_beyond(state, one_offs.c.state, one_offs.c.created_at, now) for state in OPEN_ONE_OFFS))
    return [as_one_off(row) for row in conn.execute(select(one_offs).where(late)).mappings()]


def undestroyed(conn: Connection, now: datetime) -> list[str]:
    """Apps that are to be gone although no destroy is in their queue."""
    leaving = _beyond(AppState.DESTROYING, apps.c.state, apps.c.updated_at, now)
    review = select(review_apps.c.id).where(
        review_apps.c.app_id == apps.c.id,
        _beyond(ReviewState.DESTROYING, review_apps.c.state, review_apps.c.updated_at, now),
    )
    late = or_(leaving, and_(apps.c.state != AppState.GONE, exists(review)))
    query = select(apps.c.id).where(late, ~_has_open(apps.c.id, kind=Destroy.__name__))
    return list(conn.execute(query).scalars())


def _has_open(app_id: ColumnElement[Any], kind: str = "") -> ColumnElement[bool]:
    query = select(requests.c.id).where(requests.c.app_id == app_id, requests.c.state.in_(OPEN))
    return exists(query.where(requests.c.kind == kind) if kind else query)
