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
ENDS = {"processed", "ignored"}


async def connected(yard: Yard, repository_id: int) -> None:
    """Let the pipeline's source be the repository of GitHub's examples, so that they concern it."""

    def connect(conn: Any) -> None:
        example = Repository(id=RepositoryId(repository_id), full_name="Codertocat/Hello-World", default_branch="main")
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
            seen.add(kind)
            depth = 2 if len([each for each in seen if each[0] == one.event]) == 1 else 1
            sent += [
                (f"mutant-{len(sent) + n}", one.event, json.dumps(payload).encode())
                for n, (payload, _) in enumerate(mutations(one.payload, SWAPPED, depth=depth))
            ]
    found = await verdicts(yard, sent)
    assert len(found) == len(sent) > 1000
    assert {receipt.state for receipt in found} == ENDS
    assert all(receipt.verdict for receipt in found)
