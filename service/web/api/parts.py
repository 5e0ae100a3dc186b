"""Long lists read from the database in parts: of each only what the answer needs, in a constant number of statements.

`ranges.cut` cuts the rows that are read here once more, and finds by the one row too many that something is left.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Row, Select

from service.store.tables import EPOCH
from service.web.api.ranges import Range, bound

_MOST: Final = 2**31 - 1
Keys = Mapping[str, Column[Any]]
"""What a list may be ordered by: the column of each attribute, which must be selected."""


def read(conn: Connection, query: Select[Any], wanted: Range, keys: Keys) -> Sequence[Row[Any]]:
    """The rows of the part, and one more if there is one.

    Rows that are equal in what the list is ordered by are all read, as they are never parted.
    """
    column = keys[wanted.attribute]
    inside = query.where(*_bounds(column, wanted))
    order = column.desc() if wanted.descending else column.asc()
    rows = conn.execute(inside.order_by(order).limit(wanted.max + 1)).all()
    values = [getattr(row, column.key) for row in rows]
    if len(rows) <= wanted.max or values[-1] != values[-2]:
        return rows
    before = [row for row, value in zip(rows, values, strict=True) if value != values[-1]]
    equal = conn.execute(inside.where(column == values[-1]))
    beyond = inside.where(column < values[-1] if wanted.descending else column > values[-1]).order_by(order).limit(1)
    return [*before, *equal, *conn.execute(beyond)]


def _bounds(column: Column[Any], wanted: Range) -> list[ColumnElement[bool]]:
    found = []
    if wanted.start:
        start = _bound(wanted.start, column)
        if wanted.descending:
            found.append(column < start if wanted.exclusive else column <= start)
        else:
            found.append(column > start if wanted.exclusive else column >= start)
    if wanted.end:
        end = _bound(wanted.end, column)
        found.append(column >= end if wanted.descending else column <= end)
    return found


def _bound(text: str, column: Column[Any]) -> str | int | datetime:
    """Read a bound as what the column holds; no number is larger than the database takes."""
    kind = column.type.python_type
    read = bound(text, EPOCH if kind is datetime else 0 if kind is int else "")
    return max(-_MOST, min(_MOST, read)) if isinstance(read, int) else read
