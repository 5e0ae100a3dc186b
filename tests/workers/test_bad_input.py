"""Whatever GitHub, or who holds its secret, sends: each delivery comes to a verdict that is kept and can be read."""

import asyncio
import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from service.domain.model import Repository, RepositoryId
from service.store import deliveries, pipelines, repositories
from service.store.deliveries import Inbox, Receipt
from tests.github.examples import all_examples, mutations
from tests.workers.conftest import Yard
from workers.jobs.react import react

USED = frozenset(
    {
        *("push", "pull_request", "status", "check_run", "check_suite", "merge_group", "repository", "ping"),
        *("installation", "installation_repositories"),
    }
)
SWAPPED: tuple[Any, ...] = (None, "x", 7, [])
DEEP = frozenset({"push", "pull_request", "check_run", "installation"})
ENDS = {"processed", "ignored"}


async def connected(yard: Yard, repository_id: int) -> None:
    """Let the pipeline's source be the repository of GitHub's examples, so that they concern it."""

    def connect(conn: Any) -> None:
        example = Repository(
            installation_id=yard.repository.installation_id,
            id=RepositoryId(repository_id),
            full_name="Codertocat/Hello-World",
            default_branch="master",
        )
        repositories.remember(conn, example, yard.clock())
        pipelines.update(conn, pipeline=yard.pipeline, now=yard.clock(), repository_id=example.id)

    await yard.db.write(connect)


async def verdicts(yard: Yard, sent: Iterable[tuple[str, str, bytes]]) -> list[Receipt]:
    """What became of each (guid, event, body)."""
    inbox = await Inbox.open(yard.db.url)
    sent = list(sent)
    await asyncio.gather(
        *(
            inbox.put(
                guid=guid,
                event=event,
                action="",
                repository_id=None,
                installation_id=None,
                body=body,
                body_sha256=sha256(body).hexdigest(),
                received_at=yard.clock(),
            )
            for guid, event, body in sent
        )
    )
    await inbox.close()
    for guid, _, _ in sent:
        await react(yard.context, guid)
    return await yard.see(lambda conn: deliveries.listing(conn, len(sent)))


def _uninstalled(payload: dict[str, Any]) -> dict[str, Any]:
    """Without the installation: each example has another, and each would be looked up at GitHub."""
    return {name: value for name, value in payload.items() if name != "installation"}


async def test_every_example_of_github_comes_to_a_verdict(yard: Yard) -> None:
    await connected(yard, 186853002)
    sent = [(f"example-{n}", one.event, json.dumps(one.payload).encode()) for n, one in enumerate(all_examples())]
    found = await verdicts(yard, sent)
    assert len(found) == 329
    assert {receipt.state for receipt in found} == ENDS
    assert all(receipt.verdict for receipt in found)
    read = {receipt.event for receipt in found if receipt.state == "processed"}
    assert read >= USED - {"ping"}


async def test_examples_with_keys_deleted_values_nulled_and_types_swapped_come_to_a_verdict(yard: Yard) -> None:
    await connected(yard, 186853002)
    seen: set[tuple[str, Any]] = set()
    sent = []
    for one in all_examples():
        kind = (one.event, one.payload.get("action"))
        if one.event in USED and kind not in seen:
            deep = one.event in DEEP and one.event not in {event for event, _ in seen}
            seen.add(kind)
            payload = one.payload if one.event.startswith("installation") else _uninstalled(one.payload)
            sent += [
                (f"mutant-{len(sent) + n}", one.event, json.dumps(mutant).encode())
                for n, (mutant, _) in enumerate(mutations(payload, SWAPPED, depth=2 if deep else 1))
            ]
    found = await verdicts(yard, sent)
    assert len(found) == len(sent) > 1000
    assert {receipt.state for receipt in found} == ENDS
    assert all(receipt.verdict for receipt in found)
