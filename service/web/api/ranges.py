"""Heroku's paging: `Range: version ]3..; max=10, order=desc` in, `206` with `Content-Range` and `Next-Range` out.

The bound after `]` is exclusive. A client that follows `Next-Range` until it is absent must come to an end, so the
bound is always honored and `Next-Range` is only sent when something is left. It must also see every row: rows that are
equal in what the list is ordered by (made at the same moment, say) are never parted, however small `max` is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from service.domain.errors import Refused

Row = TypeVar("Row")
SortKey = Callable[[Row], str | int | datetime]

_RANGE = re.compile(
    r"\s*(?P<attribute>\w+)\s*(?:(?P<after>\]?)(?P<start>[^;\s]*?)\.\.(?P<end>[^;\s]*))?\s*(?:;(?P<options>.*))?"
)
_MAX = re.compile(r"[0-9]{1,4}")
DEFAULT_MAX = 200
HIGHEST_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What part of a list is wanted."""

    attribute: str
    start: str = ""
    exclusive: bool = False
    end: str = ""
    max: int = DEFAULT_MAX
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """A part of a list, and the `Range` for the part after it when there is one."""

    rows: Sequence[Row]
    content_range: str
    next_range: str | None


def _bad(text: str, why: str) -> Refused:
    return Refused(f"Cannot use the range {text!r}: {why}.", code="requested_range_not_satisfiable")


def _options(text: str, options: str) -> Mapping[str, str]:
    found = {}
    for part in re.split(r"[,;]", options):
        name, equals, value = part.strip().partition("=")
        if name and not (equals and value):
            raise _bad(text, f"{name!r} has no value")
        if name:
            found[name.strip()] = value.strip()
    return found


def parse(text: str, *, attributes: Sequence[str]) -> Range:
    """Read a `Range` header; without one, the first page by the first attribute."""
    if not text.strip():
        return Range(attribute=attributes[0])
    match = _RANGE.fullmatch(text)
    if match is None:
        raise _bad(text, "write it like 'id ..; max=200'")
    attribute = match["attribute"]
    if attribute not in attributes:
        raise _bad(text, f"this list is ordered by {' or '.join(attributes)}")
    options = _options(text, match["options"] or "")
    order, limit = options.get("order", "asc"), options.get("max", str(DEFAULT_MAX))
    if order not in {"asc", "desc"}:
        raise _bad(text, "order is asc or desc")
    if not _MAX.fullmatch(limit) or not 1 <= int(limit) <= HIGHEST_MAX:
        raise _bad(text, f"max is between 1 and {HIGHEST_MAX}")
    return Range(
        attribute=attribute,
        start=match["start"] or "",
        exclusive=match["after"] == "]",
        end=(match["end"] or "").rstrip("["),
        max=int(limit),
        descending=order == "desc",
    )


def _text(value: str | int | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def bound(text: str, like: str | int | datetime) -> str | int | datetime:
    """Read a bound as what the list is ordered by, of which `like` is an example."""
    try:
        match like:
            case int():
                return int(text)
            case datetime():
                at = datetime.fromisoformat(text)
                return at if at.tzinfo else at.replace(tzinfo=UTC)
            case str():
                return text
    except ValueError:
        raise _bad(text, f"{text!r} is no bound of this list") from None


def _within(value: str | int | datetime, wanted: Range) -> bool:
    """Compare as the list's own type: versions are numbers, names are texts."""

    def order(text: str) -> int:
        limit = bound(text, value)
        # The three types are never mixed in one list, which the type checker cannot see.
        sign = (value > limit) - (value < limit)  # type: ignore[operator]
        return -sign if wanted.descending else sign

    after_start = not wanted.start or order(wanted.start) > 0 or (order(wanted.start) == 0 and not wanted.exclusive)
    return after_start and (not wanted.end or order(wanted.end) <= 0)


def cut(
    rows: Sequence[Row], wanted: Range, keys: Mapping[str, SortKey[Row]], *, read_to: int | None = None
) -> Page[Row]:
    """Sort, bound and cut a list as its `Range` says; of one that was read up to `read_to` only, more may follow."""
    key = keys[wanted.attribute]
    inside = [row for row in rows if _within(key(row), wanted)]
    inside.sort(key=key, reverse=wanted.descending)
    end = wanted.max
    while 0 < end < len(inside) and key(inside[end]) == key(inside[end - 1]):
        end += 1
    shown = inside[:end]
    following = None if read_to is None else _following(wanted, str(read_to))
    if not shown:
        return Page(rows=(), content_range=f"{wanted.attribute} ..", next_range=following)
    first, last = _text(key(shown[0])), _text(key(shown[-1]))
    if len(inside) > len(shown):
        following = _following(wanted, last)
    return Page(rows=shown, content_range=f"{wanted.attribute} {first}..{last}", next_range=following)


def _following(wanted: Range, last: str) -> str:
    order = ", order=desc" if wanted.descending else ""
    return f"{wanted.attribute} ]{last}..{wanted.end}; max={wanted.max}{order}"
