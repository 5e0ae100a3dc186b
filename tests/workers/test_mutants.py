"""Every example of GitHub, put wrong in some place and signed: it is taken at the door and comes to a verdict."""

import json
from collections.abc import Iterator
from typing import Any

from service.store import deliveries
from tests.github.examples import all_examples
from tests.web.test_receiver import _opened
from tests.workers.conftest import Yard
from tests.workers.test_bad_input import ENDS
from workers.jobs.react import react

DELETED = object()
WRONG: tuple[Any, ...] = (DELETED, None, "x", 7, [], {}, True, 10**40)


def mutants() -> Iterator[tuple[str, str, bytes]]:
    """Each payload with each key near its top put wrong in one of these ways, the next way for the next key."""
    number = 0
    for example in all_examples():
        for key in example.payload:
            wrong, number = WRONG[number % len(WRONG)], number + 1
            payload = {**example.payload, key: wrong}
            if wrong is DELETED:
                del payload[key]
            # Without an installation of its own: each would be looked up at GitHub.
            if key != "installation" and not example.event.startswith("installation"):
                payload.pop("installation", None)
            yield f"{example.name} {key}", example.event, json.dumps(payload).encode()


async def test_whatever_is_wrong_with_an_example_it_is_taken_and_comes_to_a_verdict(yard: Yard) -> None:
    ends: dict[str, tuple[str, str]] = {}
    async with _opened(yard.db) as door:
        for what, event, body in mutants():
            status, answer, _ = await door.post(body, headers={"X-GitHub-Event": event})
            assert status == 202, (what, answer)
            await react(yard.context, answer["delivery"])
            found = await yard.see(lambda conn, guid=answer["delivery"]: deliveries.get(conn, guid))
            assert found is not None
            ends[what] = found.state, found.verdict
    assert len(ends) > 1500
    assert {what: end for what, end in ends.items() if end[0] not in ENDS or not end[1]} == {}
