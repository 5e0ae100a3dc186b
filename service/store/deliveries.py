"""Webhooks as GitHub sent them, kept with what came of them. They are put here by `store/inbox.py`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import zstandard
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, literal, or_, select, tuple_

from service.store import rows
from service.store.inbox import LARGE, Inbox
from service.store.tables import deliveries

__all__ = [
    "Delivery",
    "Inbox",
    "Receipt",
    "as_receipt",
    "broken",
    "delete_older",
    "finish",
    "fitting",
    "get",
    "is_open",
    "known",
    "listing",
    "open_among",
    "open_guids",
    "part",
    "put_off",
    "receipts",
    "reopen",
]

KEPT_FOR: Final = timedelta(days=8)
"""GitHub sends again what it keeps itself: three days, an Enterprise Server seven."""
SHORTEST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A delivery without its body."""

    guid: str
    event: str
    action: str
    repository_id: int | None
    installation_id: int | None
    state: str
    verdict: str
    attempts: int
    received_at: datetime
    processed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Receipt):
    """A delivery with its body, compressed."""

    packed: bytes
    delivered_at: datetime | None

    @property
    def told_at(self) -> datetime:
        """When GitHub told of it, whenever it came here."""
        return self.received_at if self.delivered_at is None else self.delivered_at

    @property
    def body(self) -> bytes:
        """The body as it was signed; raises `zstandard.ZstdError` for one that is broken."""
        return zstandard.decompress(self.packed)

    @property
    def is_large(self) -> bool:
        """Whether a thread had better unpack and read it; raises as `body` does."""
        return not 0 <= zstandard.frame_content_size(self.packed) <= LARGE


_RECEIPT = [deliveries.c[name] for name in Receipt.__dataclass_fields__]
_DELIVERY = [*_RECEIPT, deliveries.c.body.label("packed"), deliveries.c.delivered_at]


def get(conn: Connection, guid: str) -> Delivery | None:
    """One delivery."""
    row = rows.one(conn, select(*_DELIVERY).where(deliveries.c.guid == guid))
    return Delivery(**row) if row is not None else None


def open_among(conn: Connection, guids: Collection[str]) -> list[Delivery]:
    """Those that are still to be processed, the oldest first."""
    wanted = select(*_DELIVERY).where(deliveries.c.guid.in_(guids), deliveries.c.state == "received")
    return [Delivery(**row) for row in conn.execute(wanted.order_by(deliveries.c.received_at)).mappings()]


def is_open(conn: Connection, guid: str) -> bool:
    """Whether it is still to be processed."""
    state = conn.execute(select(deliveries.c.state).where(deliveries.c.guid == guid)).scalar()
    return bool(state == "received")


def receipts() -> Select[Any]:
    """All deliveries, for whoever orders and bounds them; `as_receipt` reads a row."""
    return select(*_RECEIPT)


def as_receipt(row: Row[Any]) -> Receipt:
    """The delivery of a row."""
    return Receipt(**row._asdict())


def listing(
    conn: Connection, limit: int, *, since: datetime | None = None, repository_id: int | None = None
) -> list[Receipt]:
    """The newest deliveries first: all, those that came since then, those about a repository."""
    query = receipts()
    if since is not None:
        query = query.where(deliveries.c.received_at >= since)
    if repository_id is not None:
        query = query.where(deliveries.c.repository_id == repository_id)
    query = query.order_by(deliveries.c.received_at.desc(), deliveries.c.guid).limit(limit)
    return [as_receipt(row) for row in conn.execute(query)]


def part(conn: Connection, *, state: str, event: str, before: Receipt | None, limit: int) -> list[Receipt]:
    """The newest deliveries that fit, those of any state or event where none is named, from after `before` on."""
    query = receipts()
    if state:
        query = query.where(deliveries.c.state == state)
    if event:
        query = query.where(deliveries.c.event == event)
    if before is not None:
        place = tuple_(literal(before.received_at, deliveries.c.received_at.type), literal(before.guid))
        query = query.where(tuple_(deliveries.c.received_at, deliveries.c.guid) < place)
    query = query.order_by(deliveries.c.received_at.desc(), deliveries.c.guid.desc()).limit(limit)
    return [as_receipt(row) for row in conn.execute(query)]


def known(conn: Connection, guids: Collection[str]) -> dict[str, Receipt]:
    """Those of the deliveries that are here already."""
    found = conn.execute(select(*_RECEIPT).where(deliveries.c.guid.in_(guids))) if guids else None
    return {row["guid"]: Receipt(**row) for row in found.mappings()} if found else {}


def open_guids(conn: Connection, *, limit: int, now: datetime | None = None) -> list[str]:
    """What has not been processed yet, oldest first; with `now` only what is to be tried then."""
    query = select(deliveries.c.guid).where(deliveries.c.state == "received")
    if now is not None:
        query = query.where(or_(deliveries.c.retry_at.is_(None), deliveries.c.retry_at <= now))
    return list(conn.execute(query.order_by(deliveries.c.received_at, deliveries.c.guid).limit(limit)).scalars())


def finish(conn: Connection, *, guid: str, state: str, verdict: str, now: datetime) -> None:
    """Say what came of it: `processed`, `ignored` or `failed`."""
    conn.execute(
        deliveries.update()
        .where(deliveries.c.guid == guid)
        .values(state=state, verdict=verdict, processed_at=now, attempts=deliveries.c.attempts + 1)
    )


def put_off(conn: Connection, *, guid: str, error: str, now: datetime, at_least: float) -> None:
    """Try it again after at least so many seconds, and the later the longer it has waited: for ever."""
    own = and_(deliveries.c.guid == guid, deliveries.c.state == "received")
    received = conn.execute(select(deliveries.c.received_at).where(own)).scalar()
    if received is not None:
        wait = max(at_least, min((now - received).total_seconds() / 2, LONGEST_WAIT), SHORTEST_WAIT)
        retry_at = now + timedelta(seconds=wait)
        conn.execute(deliveries.update().where(own).values(verdict=f"is tried again: {error}", retry_at=retry_at))


def broken(conn: Connection, *, guid: str, error: str, most: int, now: datetime) -> None:
    """It could not be processed; after `most` times it is left alone, for people to see."""
    own = deliveries.c.guid == guid
    attempts = conn.execute(
        deliveries.update()
        .where(own, deliveries.c.state == "received")
        .values(attempts=deliveries.c.attempts + 1, verdict=error)
        .returning(deliveries.c.attempts)
    ).scalar_one_or_none()
    if attempts is not None and attempts >= most:
        conn.execute(deliveries.update().where(own).values(state="failed", processed_at=now))


def fitting(*, failed: bool, since: datetime | None, but: Collection[tuple[str, str]]) -> ColumnElement[bool]:
    """Deliveries that came to an end: those that failed only, those received since then only.

    Of events and actions among `but` those only that failed.
    """
    others = tuple_(deliveries.c.event, deliveries.c.action).not_in(but)
    over = or_(deliveries.c.state == "failed", and_(deliveries.c.state != "received", others, literal(not failed)))
    return over if since is None else and_(over, deliveries.c.received_at >= since)


def reopen(conn: Connection, which: Collection[str] | ColumnElement[bool], *, verdict: str) -> list[str]:
    """Have deliveries processed once more, with as many attempts as new ones; returns which, the oldest first.

    One that waits to be processed, or is being processed, is left as it is: it will be.
    """
    wanted = which if isinstance(which, ColumnElement) else deliveries.c.guid.in_(which)
    fresh = {"state": "received", "verdict": verdict, "attempts": 0, "processed_at": None, "retry_at": None}
    reopened = deliveries.update().where(wanted, deliveries.c.state != "received").values(fresh)
    found = conn.execute(reopened.returning(deliveries.c.received_at, deliveries.c.guid))
    return [row.guid for row in sorted(found, key=lambda row: (row.received_at, row.guid))]


def delete_older(conn: Connection, before: datetime, *, most: int) -> int:
    """Forget what was received before then, the oldest first and so many at a time; returns how many.

    GitHub keeps deliveries for as long itself.
    """
    old = select(deliveries.c.guid).where(deliveries.c.received_at < before)
    oldest = old.order_by(deliveries.c.received_at).limit(most)
    return int(conn.execute(deliveries.delete().where(deliveries.c.guid.in_(oldest))).rowcount)
