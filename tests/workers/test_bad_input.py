"""Whatever GitHub, or who holds its secret, sends: each delivery comes to a verdict that is kept and can be read."""

import asyncio
import json
import threading
from collections.abc import Iterable
from typing import Any

import pytest
import zstandard
from sqlalchemy import Connection
from zstandard import ZstdError

from service.domain.model import Repository, RepositoryId, ReviewState
from service.store import deliveries, pipelines, repositories, requests, reviews, tables
from service.store.deliveries import Inbox, Receipt
from service.store.inbox import LARGE
from tests.github.examples import all_examples, mutations
from tests.workers.conftest import Yard
from workers.jobs.look import look
from workers.jobs.react import react
from workers.jobs.reconcile import reconcile

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


async def test_a_body_that_the_disk_has_spoilt_is_put_down_to_its_delivery_alone(yard: Yard) -> None:
    await verdicts(yard, [("spoilt", "push", b"{}"), ("good", "push", b"{}")])

    def spoil(conn: Connection) -> None:
        conn.execute(tables.deliveries.update().values(state="received", verdict="", attempts=0))
        conn.execute(tables.deliveries.update().where(tables.deliveries.c.guid == "spoilt").values(body=b"spoilt"))

    await yard.db.write(spoil)
    with pytest.raises(ZstdError):
        await react(yard.context, "spoilt", "good")
    found = await yard.see(lambda conn: deliveries.known(conn, ["spoilt", "good"]))
    assert found["good"].state in ENDS
    spoilt = found["spoilt"]
    assert (spoilt.state, spoilt.attempts, spoilt.verdict[:9]) == ("received", 1, "ZstdError")


async def test_what_was_signed_once_and_is_sent_again_under_another_number_brings_nothing_back(yard: Yard) -> None:
    sim, sent = yard.edge.sim, list[bytes]()
    sim.sender.watchers.append(lambda _event, payload: sent.append(json.dumps(payload).encode()))
    await sim.push("acme/shop", "topic", {"Procfile": "web: ./serve"})
    pull = await sim.open_pull("acme/shop", "topic")
    sim.close_pull("acme/shop", pull.number)
    opened, closed = sent[-2:]
    for guid, body in (("opened-1", opened), ("closed-1", closed), ("replayed", opened), ("replayed-2", opened)):
        await verdicts(yard, [(guid, "pull_request", body)])
        await _settled(yard)
    found = await yard.see(lambda conn: reviews.of_pipeline(conn, yard.pipeline.id))
    assert [(each.state, each.generation) for each in found] == [(ReviewState.DESTROYING, 1)]
    queued = await yard.see(lambda conn: requests.of_apps(conn, [found[0].app_id or ""], limit=9))
    assert [each.kind for each in queued] == ["Destroy", "Deploy"]


async def _settled(yard: Yard) -> None:
    """Hear what was rung until nothing more is."""
    while rung := [ring for ring in yard.bell.rung if ring.job in {"reconcile", "look"}]:
        yard.bell.rung.clear()
        for ring in rung:
            await (reconcile if ring.job == "reconcile" else look)(yard.context, *ring.args)


async def test_a_large_body_keeps_the_loop_from_nothing_else_while_it_is_read(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with one that its compressed size says little of."""
    unpack, within = zstandard.decompress, dict[int, bool]()

    def watched(packed: bytes) -> bytes:
        body = unpack(packed)
        within[len(body)] = threading.current_thread() is threading.main_thread()
        return body

    monkeypatch.setattr(zstandard, "decompress", watched)
    small, large = (json.dumps({"filler": "x" * size}).encode() for size in (1000, 2 * LARGE))
    received = await verdicts(yard, [("small-one", "status", small), ("large-one", "status", large)])
    assert {each.state for each in received} == {"ignored"}
    assert within == {len(small): True, len(large): False}
