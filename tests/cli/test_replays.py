"""Deliveries on the command line: what came of one, and processing it again."""

import re
from datetime import timedelta

from sqlalchemy import Connection

from service.domain.decisions import Subject, SubjectKind
from service.store import deliveries, subjects
from service.store.leases import LeaseTerms
from tests.cli.conftest import Cli
from tests.web.api.test_replays import state_of, stored
from tests.web.serving import Server


async def test_one_delivery_is_told_with_what_was_decided_about_all_that_it_rang(towpath: Cli, server: Server) -> None:
    pipeline = await server.pipeline()
    subject = Subject(SubjectKind.REVIEW_APP, f"{pipeline['id']}/pr:7")

    def decide(conn: Connection) -> None:
        now, verdict = server.db.now(), f"rang {subject.kind.value} {subject.key}"
        deliveries.finish(conn, guid="processed-1", state="processed", verdict=verdict, now=now)
        subjects.ring(conn, [subject], cause="delivery processed-1", now=now)
        taken = subjects.take(conn, subject, terms=LeaseTerms(holder="test", seconds=9), now=now)
        assert taken is not None
        said = {"outcome": "waiting", "reason": "waiting for: build"}
        subjects.settle(conn, taken, holder="test", due_at=None, now=now, **said)

    await stored(server, "processed-1", "received", event="pull_request", action="opened")
    await server.db.write(decide)
    told = (await towpath("deliveries", "processed-1")).out
    assert "pull_request.opened processed-1" in told
    assert re.search(r"X-GitHub-Event: +pull_request\n", told)
    assert "rang review_app shop/pr:7" in told
    assert re.search(r"\d review_app shop/pr:7 \[waiting\] waiting for: build\n", told)
    whole = (await towpath("deliveries", "processed-1", "--json")).json
    assert (whole["size"], whole["payload"]) == (30, {"zen": "Design for failure."})
    assert [it["reason"] for it in whole["decisions"]] == ["waiting for: build"]
    assert "8 days" in (await towpath("deliveries", "nobody-knows", code=1)).err


async def test_deliveries_are_replayed_by_id_by_failure_and_by_time(towpath: Cli, server: Server) -> None:
    for guid, hours in (("failed-new", 1), ("processed-new", 1), ("failed-old", 50), ("processed-old", 50)):
        await stored(server, guid, guid.partition("-")[0], hours=hours)
    one = await towpath("deliveries:replay", "processed-new")
    assert "processed-new" in one.out
    assert "1 deliveries" not in one.err
    assert await state_of(server, "processed-new") == "received"
    failed = await towpath("deliveries:replay", "--failed", "--json")
    assert {it["id"] for it in failed.json["deliveries"]} == {"failed-new", "failed-old"}
    none = await towpath("deliveries:replay", "--since", "90m")
    assert "No delivery is like that" in none.out
    since = (server.db.now() - timedelta(hours=51)).astimezone().strftime("%Y-%m-%dT%H:%M")
    assert "processed-old" in (await towpath("deliveries:replay", "--since", since)).out
    assert await state_of(server, "processed-old") == "received"


async def test_what_cannot_be_replayed_says_what_to_write_instead(towpath: Cli, server: Server) -> None:
    await stored(server, "processed-1", "processed")
    for words in ([], ["processed-1", "--failed"], ["processed-1", "--since", "1h"]):
        assert "--failed, --since TIME" in (await towpath("deliveries:replay", *words, code=2)).err
    for time in ("soon", "0h", "9999999d", "-1h", "0001-01-01"):
        assert "90m, 2h, 3d" in (await towpath("deliveries:replay", f"--since={time}", code=2)).err
    unknown = await towpath("deliveries:replay", "processed-1", "nobody-knows", code=1)
    assert "nobody-knows" in unknown.err
    assert await state_of(server, "processed-1") == "processed"
