"""Events and their deliveries: what is to be told next, what came of it, and the log of it for people.

A webhook's deliveries are made one at a time, in the order of what happened. Whoever makes them holds the webhook's
lease; what is noted here is fenced by the number of attempts, so that one who was too slow changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, exists, select

from service.domain.webhooks import (
    OPEN,
    PATIENCE,
    Action,
    EventId,
    Include,
    Level,
    OutboundId,
    OutboundState,
    WebhookId,
    next_attempt,
)
from service.store import people, rows, webhooks
from service.store.people import People
from service.store.tables import webhook_deliveries as deliveries
from service.store.tables import webhook_events as events
from service.store.tables import webhooks as webhook_rows

LISTED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, told as it was then; people are named as in the activity log."""

    id: EventId
    seq: int
    app_id: str | None
    pipeline_id: str | None
    include: Include
    action: Action
    actor: str
    data: Mapping[str, Any]
    previous: Mapping[str, Any]
    created_at: datetime

    @property
    def actors(self) -> frozenset[str]:
        """Those whom it tells of."""
        return frozenset({self.actor, str(self.data.get("user", ""))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt: the status that was answered, or in a word what went wrong instead; and what was said."""

    id: str
    at: datetime
    code: int | None
    error: str | None
    text: str

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has it."""
        return self.code is not None and 200 <= self.code < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One event on its way to one webhook, with the last attempt."""

    id: OutboundId
    webhook_id: WebhookId
    level: Level
    event_id: EventId
    seq: int
    include: Include
    state: OutboundState
    attempts: int
    since: datetime
    next_attempt_at: datetime | None
    last: Attempt | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be delivered now, and where to; `people` are those whom it tells of."""

    outbound: Outbound
    event: Event
    people: People
    url: str
    sealed: bytes = field(repr=False)


def next_of(conn: Connection, webhook_id: str, *, now: datetime) -> Order | None:
    """What a webhook is to be told now; None while it rests, or has heard everything."""
    head = select(deliveries.c.id).where(deliveries.c.webhook_id == webhook_id, deliveries.c.state.in_(OPEN))
    first = head.order_by(deliveries.c.event_seq).limit(1).scalar_subquery()
    row = rows.one(conn, _shown().where(deliveries.c.id == first))
    if row is None or (row["next_attempt_at"] is not None and row["next_attempt_at"] > now):
        return None
    told = _event(row, "event_")
    return Order(
        outbound=_outbound(row),
        event=told,
        people=people.known(conn, told.actors),
        url=row["url"],
        sealed=row["sealed"],
    )


def rest(conn: Connection, webhook_id: str) -> None:
    """Say when a webhook is to be told something again: when its first open delivery is; never, if there is none."""
    head = select(deliveries.c.next_attempt_at).where(
        deliveries.c.webhook_id == webhook_id, deliveries.c.state.in_(OPEN)
    )
    due_at = conn.execute(head.order_by(deliveries.c.event_seq).limit(1)).scalar()
    conn.execute(webhook_rows.update().where(webhook_rows.c.id == webhook_id).values(due_at=due_at))


def note(conn: Connection, order: Order, attempt: Attempt, *, now: datetime) -> None:
    """Put down what came of an attempt. A `sync` that was in vain for three days stops its webhook."""
    before = order.outbound
    webhook = webhooks.get(conn, before.webhook_id)
    if webhook is None:
        return
    # To whom has gone, the last word is said once.
    level = Level.NOTIFY if webhook.stopped_at is not None else webhook.level
    since = now if before.state is OutboundState.PENDING else before.since
    again = None if attempt.succeeded else next_attempt(level, since=since, now=now)
    ended = OutboundState.SUCCEEDED if attempt.succeeded else OutboundState.FAILED
    values = {
        "state": ended if again is None else OutboundState.RETRYING,
        "attempts": before.attempts + 1,
        "since": since,
        "next_attempt_at": again,
        "attempt_id": attempt.id,
        "attempted_at": attempt.at,
        "attempt_code": attempt.code,
        "attempt_error": attempt.error,
        "attempt_text": attempt.text,
        "updated_at": now,
    }
    seen = (deliveries.c.id == before.id, deliveries.c.attempts == before.attempts, deliveries.c.state.in_(OPEN))
    noted = conn.execute(deliveries.update().where(*seen).values(values)).rowcount
    if noted and again is None and not attempt.succeeded and level is Level.SYNC:
        cause, hours = attempt.error or f"HTTP {attempt.code}", PATIENCE // timedelta(hours=1)
        reason = f"nothing could be delivered for {hours} hours: {cause}"
        webhooks.stop(conn, webhook_rows.c.id == webhook.id, reason=reason, now=now)
    rest(conn, webhook.id)


def again(conn: Connection, outbound_id: str, *, now: datetime) -> Outbound:
    """Deliver once more what has ended, or at once what waits, with as much patience as something new."""
    fresh = {"state": OutboundState.PENDING, "since": now, "next_attempt_at": now, "updated_at": now}
    conn.execute(deliveries.update().where(deliveries.c.id == outbound_id).values(fresh))
    found = get(conn, outbound_id)
    assert found is not None
    rest(conn, found.webhook_id)
    return found


def get(conn: Connection, outbound_id: str) -> Outbound | None:
    """One delivery."""
    row = rows.one(conn, _shown().where(deliveries.c.id == outbound_id))
    return _outbound(row) if row else None


def listing(
    conn: Connection, *, app_id: str | None, pipeline_id: str | None, state: str | None = None
) -> list[Outbound]:
    """The newest deliveries to webhooks of an app or a pipeline, the newest first."""
    own = webhook_rows.c.app_id == app_id if app_id is not None else webhook_rows.c.pipeline_id == pipeline_id
    query = _shown().where(own)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    found = conn.execute(query.order_by(deliveries.c.event_seq.desc(), deliveries.c.id).limit(LISTED))
    return [_outbound(row) for row in found.mappings()]


def event(conn: Connection, event_id: str) -> Event | None:
    """One event."""
    row = rows.one(conn, select(events).where(events.c.id == event_id))
    return _event(row) if row else None


def event_listing(conn: Connection, *, app_id: str | None, pipeline_id: str | None) -> list[Event]:
    """The newest events of an app or a pipeline, the newest first."""
    own = events.c.app_id == app_id if app_id is not None else events.c.pipeline_id == pipeline_id
    found = conn.execute(select(events).where(own).order_by(events.c.seq.desc()).limit(LISTED))
    return [_event(row) for row in found.mappings()]


def forget(conn: Connection, *, before: datetime, most: int) -> int:
    """Delete events from before then with their deliveries, the oldest first and so many at a time; returns how many.

    What is still to be told stays: nobody may have been there to tell it.
    """
    waiting = exists(
        select(deliveries.c.id).where(deliveries.c.event_seq == events.c.seq, deliveries.c.state.in_(OPEN))
    )
    old = select(events.c.seq).where(events.c.created_at < before, ~waiting).order_by(events.c.created_at).limit(most)
    return conn.execute(events.delete().where(events.c.seq.in_(old))).rowcount


def _shown() -> Select[Any]:
    of_event = [column.label(f"event_{column.name}") for column in events.c if column.name != "seq"]
    of_webhook = (webhook_rows.c.level, webhook_rows.c.url, webhook_rows.c.sealed)
    return (
        select(deliveries, *of_event, *of_webhook)
        .join(events, events.c.seq == deliveries.c.event_seq)
        .join(webhook_rows, webhook_rows.c.id == deliveries.c.webhook_id)
    )


def _outbound(row: RowMapping) -> Outbound:
    last = None
    if row["attempt_id"] is not None:
        last = Attempt(
            id=row["attempt_id"],
            at=row["attempted_at"],
            code=row["attempt_code"],
            error=row["attempt_error"],
            text=row["attempt_text"],
        )
    return Outbound(
        id=row["id"],
        webhook_id=row["webhook_id"],
        level=Level(row["level"]),
        event_id=row["event_id"],
        seq=row["event_seq"],
        include=Include(row["event_include"]),
        state=OutboundState(row["state"]),
        attempts=row["attempts"],
        since=row["since"],
        next_attempt_at=row["next_attempt_at"],
        last=last,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _event(row: RowMapping, named: str = "") -> Event:
    return Event(
        id=row[f"{named}id"],
        seq=row["event_seq" if named else "seq"],
        app_id=row[f"{named}app_id"],
        pipeline_id=row[f"{named}pipeline_id"],
        include=Include(row[f"{named}include"]),
        action=Action(row[f"{named}action"]),
        actor=row[f"{named}actor"],
        data=rows.from_json(row[f"{named}data"], dict[str, Any]),
        previous=rows.from_json(row[f"{named}previous"], dict[str, Any]),
        created_at=row[f"{named}created_at"],
    )
