"""What all aggregates do with rows: read one, change one if nobody else has, and keep structures as JSON text."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, tuple_, update

from service.domain.lifecycle import State, advance, signal_to
from service.store.database import Conflict

Structure = TypeVar("Structure")


def one(conn: Connection, query: Select[Any]) -> RowMapping | None:
    """The first row, if any."""
    return conn.execute(query).mappings().first()


def among(columns: Sequence[ColumnElement[Any]], wanted: Collection[tuple[object, ...]]) -> ColumnElement[bool]:
    """Whether the columns hold one of the tuples. Each column by itself, too: SQLite uses no index for tuples."""
    singly = zip(columns, zip(*wanted, strict=True), strict=True)
    return and_(*(column.in_(set(values)) for column, values in singly), tuple_(*columns).in_(wanted))


def compare_and_set(
    conn: Connection, table: Table, *, key: str, version: int, now: datetime, values: Mapping[str, object]
) -> RowMapping:
    """Change the row of `key` if it still has `version`; raises `Conflict` otherwise."""
    change = (
        update(table)
        .where(table.c.id == key, table.c.row_version == version)
        .values(**values, updated_at=now, row_version=version + 1)
        .returning(table)
    )
    row = conn.execute(change).mappings().first()
    if row is None:
        raise Conflict(f"{table.name} {key} is no longer at version {version}")
    return row


def reach(current: State, wanted: State) -> State:
    """The wanted state, through the one function that yields states; what no signal leads to is a bug and raised."""
    return advance(current, signal_to(current, wanted))


def to_json(value: object) -> str:
    """A structure as JSON text, keys in order so that equal structures are equal texts."""
    return msgspec.json.encode(value, order="sorted").decode()


def from_json(text: str, form: type[Structure]) -> Structure:
    """JSON text as the structure it was made from."""
    return msgspec.json.decode(text, type=form)
