"""GitHub's own example payloads, as `@octokit/webhooks-examples` collects them."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

INDEX = Path(__file__).parents[2] / "build/npm/node_modules/@octokit/webhooks-examples/api.github.com/index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    event: str
    number: int
    payload: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.event}.{self.payload.get('action', '')}#{self.number}"


@cache
def _load() -> tuple[Example, ...]:
    return tuple(
        Example(event=entry["name"], number=number, payload=payload)
        for entry in json.loads(INDEX.read_bytes())
        for number, payload in enumerate(entry["examples"])
    )


def all_examples() -> tuple[Example, ...]:
    """Every example; skips by name where the package is not installed, fails in CI."""
    if not INDEX.exists():
        missing = "@octokit/webhooks-examples is not installed in build/npm (npm install)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return _load()


def example(event: str, action: str | None = None) -> dict[str, Any]:
    """A fresh copy of the last example of an event: the first ones are the oldest and lack newer fields."""
    found = [one for one in all_examples() if one.event == event and one.payload.get("action") == action]
    assert found, f"no example of {event}.{action}"
    copy: dict[str, Any] = json.loads(json.dumps(found[-1].payload))
    return copy


ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**40, 1.5, "", "x", "\x00", "\ud800", "../..", "A" * 400, [], [None], {}, {"id": "7"},
)  # fmt: skip


def mutations(payload: Any, odd: tuple[Any, ...], *, depth: int = 4) -> Iterator[tuple[Any, str]]:
    """The payload with each of its places deleted and replaced in turn: changed in place, restored afterwards."""
    yield from _mutate(payload, payload, "$", odd, depth)


def _mutate(whole: Any, node: Any, path: str, odd: tuple[Any, ...], depth: int) -> Iterator[tuple[Any, str]]:
    if depth == 0 or not isinstance(node, dict | list):
        return
    keys = list(node) if isinstance(node, dict) else list(range(min(2, len(node))))
    for key in keys:
        here = f"{path}.{key}"
        before = node[key]
        for value in odd:
            node[key] = value
            yield whole, f"{here} = {value!r:.20}"
        node[key] = before
        if isinstance(node, dict):
            order = list(node.items())
            del node[key]
            yield whole, f"{here} deleted"
            node.clear()
            node.update(order)
        yield from _mutate(whole, before, here, odd, depth - 1)
