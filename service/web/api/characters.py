"""Characters that JSON can hold and no database can: half of one, and NUL."""

import json
from collections.abc import Iterator
from typing import Any

from service.domain.errors import Refused


def refuse_halves(data: Any) -> None:
    """Refuse half a character, which JSON can hold as an escape: it can be neither stored nor sent."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused("The body holds half a character (\\ud800 to \\udfff).", code="bad_request") from None


def refuse_nul(data: Any) -> None:
    """Refuse NUL in any text: PostgreSQL takes none."""
    if any("\0" in text for text in _texts(data)):
        raise Refused("The body holds a NUL character (\\u0000), which cannot be stored.")


def _texts(data: Any) -> Iterator[str]:
    """Every text in a body, the names of fields included."""
    todo = [data]
    while todo:
        match todo.pop():
            case str() as text:
                yield text
            case list() as items:
                todo += items
            case dict() as fields:
                todo += [*fields, *fields.values()]
            case _:
                continue
