"""What a route takes and answers, in a line."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from service.web.api import bodies


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a route answers when all is well; `thing` of None is plain text, `status` of None is never well."""

    thing: str | None = None
    status: int | None = 200
    is_list: bool = False
    body: bodies.AnyBody | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False


def one(thing: str, **query: str) -> Operation:
    """One thing."""
    return Operation(thing=thing, query=query)


def many(thing: str, query: Mapping[str, str] | None = None) -> Operation:
    """A list of things."""
    return Operation(thing=thing, is_list=True, query=query or {})


def made(thing: str, body: bodies.AnyBody | None = None, status: int = 201, **query: str) -> Operation:
    """A thing that was made."""
    return Operation(thing=thing, status=status, body=body, query=query)


def changed(thing: str, body: bodies.AnyBody | None = None, **query: str) -> Operation:
    """A thing that was changed or taken away."""
    return Operation(thing=thing, body=body, query=query)


def text(**query: str) -> Operation:
    """Plain text, by an address that carries its key."""
    return Operation(query=query, is_open=True)


REFUSED: Final = Operation(status=None)
"""A route that is there only to say why not."""
