"""What is others' stays as it is, whatever whole and valid change names it: in the path, inside of ours, or in the body.

The changes are those that the audit knows to be valid; what each names of ours is given another's place, one by one.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection

from tests.figures import keep
from tests.store.fixtures import sqlite_template  # noqa: F401
from tests.web.api.people import Rows, World, saved
from tests.web.api.test_audit import WRITES
from tests.web.api.test_matrix import OF_OTHERS, OPEN, PROMOTE, TABLE, WORDS, filled, own, rows, world

__all__ = ["rows", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHERWISE: tuple[tuple[str, Any], ...] = (
    ("POST /apps", {"team": "{team}"}),
    ("POST /apps/{app}/releases", {"release": "{release}"}),
    ("POST /apps/{app}/releases", {"slug": "{slug}"}),
    ("POST /pipeline-promotions", PROMOTE | {"source": {"app": "{app}", "release": {"id": "{release}"}}}),
    ("POST /pipeline-promotions/{promotion}/actions/undo", {"targets": [{"app": "{production}"}]}),
)  # fmt: skip
"""Other valid bodies of some, which name more."""


class Case(NamedTuple):
    """A change by somebody who may make it, and what it names of others'."""

    route: str
    body: Any
    who: str
    of_path: dict[str, str]
    of_body: dict[str, str]
    named: str


def names_in(template: Any) -> list[str]:
    """What it names, in their order, but for what is nobody's."""
    return [each for each in dict.fromkeys(re.findall(r"\{(\w+)\}", str(template))) if each not in WORDS]


def cases(world: World) -> Iterator[Case]:
    """Each change with each single thing that it names being another's."""
    for route, body, who in [
        *((route, each.body, each.who) for route, each in WRITES.items()),
        *((route, body, "admin") for route, body in OTHERWISE),
    ]:
        ours = own(world, who, route)
        of_path = names_in(route) if route in OF_OTHERS else []
        # Inside of ours others' things are looked for by everybody who may do it.
        everybody = sorted(TABLE[route].may - OPEN - {"operator", "rival"}) if len(of_path) > 1 else [who]
        for name in of_path:
            theirs = ours | {name: world.theirs[name]}
            yield from (Case(route, body, each, theirs, ours, f"{name} in its path") for each in everybody)
        for name in names_in(body):
            theirs = ours | {name: world.theirs[name]}
            yield Case(route, body, who, ours, theirs, f"{name} in its body")


def cases_beside(world: World) -> Iterator[Case]:
    """What is inside of one of our apps, looked for in another one of them."""
    for route, write in WRITES.items():
        if route in OF_OTHERS and names_in(route)[:1] == ["app"] and len(names_in(route)) > 1:
            ours = own(world, write.who, route)
            beside = ours | {"app": world.ours["spare"]}
            yield Case(route, write.body, write.who, beside, ours, "another app of ours in its path")


def kept(conn: Connection) -> Rows:
    """All there is, but for when each token was used last."""
    return {name: rows for name, rows in saved(conn).items() if name != "api_tokens"}


async def test_a_valid_change_that_names_what_is_others_finds_nothing_and_changes_nothing(
    world: World,
    rows: Rows,
) -> None:
    before = await world.server.db.read(kept)
    count, found = 0, []
    for route, body, who, of_path, of_body, named in (*cases(world), *cases_beside(world)):
        method, _, path = route.partition(" ")
        status, said = await world.ask(who, method, filled(path, of_path), filled(body, of_body))
        if (status, said["id"] if isinstance(said, dict) else None) != (404, "not_found"):
            found.append(f"{route} by {who} with another's {named}: {status} {said}")
        count += 1
    assert found == []
    assert await world.server.db.read(kept) == before
    assert count > 130
    keep("matrix-of-changes", {"valid_changes_that_name_what_is_others": count})
