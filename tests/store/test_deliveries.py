"""Deliveries are on disk before they are answered, and each is there once."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from service.domain.errors import Transient
from service.store import deliveries, tables
from service.store.database import Database
from service.store.deliveries import Inbox
from tests.waiting import until

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.fixture
async def inbox(database: Database) -> AsyncIterator[Inbox]:
    opened = await Inbox.open(database.url)
    yield opened
    await opened.close()


async def put(inbox: Inbox, guid: str, body: bytes = b'{"zen": "x"}', at: datetime = NOW) -> str:
    return await inbox.put(
        guid=guid,
        event="push",
        action="",
        repository_id=7,
        installation_id=None,
        body=body,
        received_at=at,
    )


async def test_a_delivery_is_read_back_as_it_came(database: Database, inbox: Inbox) -> None:
    body = b'{"a": "\xc3\xa9"}' * 2000
    assert await put(inbox, "one", body) == "new"
    found = await database.read(lambda conn: deliveries.get(conn, "one"))
    assert found is not None
    assert (found.body, found.state, found.received_at, found.repository_id) == (body, "received", NOW, 7)


async def test_a_burst_is_stored_whole_and_doubles_are_told(database: Database, inbox: Inbox) -> None:
    guids = [f"delivery-{number}" for number in range(600)]
    answers = await asyncio.gather(*(put(inbox, guid) for guid in [*guids, *guids]))
    assert sorted(answers) == ["known"] * 600 + ["new"] * 600
    assert sorted(await database.read(lambda conn: deliveries.open_guids(conn, limit=1000))) == sorted(guids)


async def test_a_burst_is_stored_while_a_worker_writes(database: Database, inbox: Inbox) -> None:
    async def work() -> None:
        for number in range(20):
            await database.write(
                lambda conn, n=number: deliveries.finish(conn, guid=str(n), state="processed", verdict="", now=NOW)
            )

    _, *answers = await asyncio.gather(work(), *(put(inbox, str(number)) for number in range(100, 200)))
    assert set(answers) == {"new"}


async def test_what_is_processed_is_not_processed_again(database: Database, inbox: Inbox) -> None:
    await put(inbox, "one")
    assert await put(inbox, "one") == "known"
    await database.write(lambda conn: deliveries.finish(conn, guid="one", state="processed", verdict="rang", now=NOW))
    assert await put(inbox, "one") == "processed"
    assert await database.read(lambda conn: deliveries.open_guids(conn, limit=10)) == []


async def test_what_failed_is_taken_up_again_when_it_is_sent_again(database: Database, inbox: Inbox) -> None:
    await put(inbox, "one")
    await database.write(lambda conn: deliveries.finish(conn, guid="one", state="failed", verdict="bug", now=NOW))
    assert await database.read(lambda conn: deliveries.open_guids(conn, limit=10)) == []
    assert await put(inbox, "one") == "known"
    assert await database.read(lambda conn: deliveries.open_guids(conn, limit=10)) == ["one"]
    found = await database.read(lambda conn: deliveries.get(conn, "one"))
    assert found is not None
    assert (found.attempts, found.processed_at) == (0, None)


async def test_those_that_fit_are_opened_again_once_and_as_if_they_were_new(database: Database, inbox: Inbox) -> None:
    ends = {"failed-1": "failed", "processed": "processed", "pressed-1": "processed", "pressed-2": "failed"}
    for hour, guid in enumerate([*ends, "received"]):
        await put(inbox, guid, at=NOW - timedelta(hours=hour))

    def end(conn: Connection) -> None:
        for guid, state in ends.items():
            deliveries.finish(conn, guid=guid, state=state, verdict="over", now=NOW)
        pressed = tables.deliveries.c.guid.startswith("pressed")
        conn.execute(tables.deliveries.update().where(pressed).values(event="check_run", action="pressed"))

    await database.write(end)
    but = (("check_run", "pressed"), ("issue_comment", "created"))

    async def reopened(*, failed: bool, since: datetime | None) -> list[str]:
        which = deliveries.fitting(failed=failed, since=since, but=but)
        return await database.write(lambda conn: deliveries.reopen(conn, which, verdict="again"))

    assert await reopened(failed=True, since=NOW - timedelta(minutes=1)) == ["failed-1"]
    assert await reopened(failed=False, since=None) == ["pressed-2", "processed"]
    assert await reopened(failed=False, since=None) == []
    found = await database.read(lambda conn: deliveries.known(conn, list(ends)))
    assert {guid for guid, each in found.items() if each.state == "received"} == {"failed-1", "processed", "pressed-2"}
    fresh = found["failed-1"]
    assert (fresh.attempts, fresh.processed_at, fresh.verdict) == (0, None, "again")


async def test_open_deliveries_come_oldest_first_and_old_ones_are_forgotten(database: Database, inbox: Inbox) -> None:
    for days in (3, 9, 1):
        await put(inbox, f"{days}-days", at=NOW - timedelta(days=days))
    assert await database.read(lambda conn: deliveries.open_guids(conn, limit=2)) == ["9-days", "3-days"]
    assert await database.write(lambda conn: deliveries.delete_older(conn, NOW - timedelta(days=8), most=5)) == 1
    assert [receipt.guid for receipt in await database.read(lambda conn: deliveries.listing(conn, 10))] == [
        "1-days",
        "3-days",
    ]


async def test_closing_stores_what_has_come(database: Database) -> None:
    inbox = await Inbox.open(database.url)
    coming = [asyncio.create_task(put(inbox, str(number))) for number in range(50)]
    await asyncio.sleep(0)
    await inbox.close()
    assert set(await asyncio.gather(*coming)) == {"new"}
    with pytest.raises(Transient):
        await put(inbox, "late")


async def test_a_caller_that_leaves_does_not_disturb_the_others(database: Database, inbox: Inbox) -> None:
    leaving = asyncio.create_task(put(inbox, "leaving"))
    staying = asyncio.create_task(put(inbox, "staying"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "new"
    assert "staying" in await database.read(lambda conn: deliveries.open_guids(conn, limit=10))


async def test_one_that_the_database_does_not_take_is_refused_alone(database: Database, inbox: Inbox) -> None:
    await database.write(_take_no_poison)
    guids = [f"good-{number}" for number in range(40)]
    coming = [asyncio.create_task(put(inbox, guid)) for guid in [*guids[:20], "poison", *guids[20:]]]
    answers = await asyncio.gather(*coming, return_exceptions=True)
    assert isinstance(answers.pop(20), Transient)
    assert answers == ["new"] * 40
    assert sorted(await database.read(lambda conn: deliveries.open_guids(conn, limit=100))) == sorted(guids)
    assert await put(inbox, "later") == "new"


def _take_no_poison(conn: Connection) -> None:
    refuse = {
        "sqlite": "CREATE TRIGGER taste BEFORE INSERT ON deliveries WHEN NEW.guid = 'poison' "
        "BEGIN SELECT RAISE(ABORT, 'poison'); END",
        "postgresql": "ALTER TABLE deliveries ADD CONSTRAINT taste CHECK (guid <> 'poison')",
    }
    conn.execute(text(refuse[conn.dialect.name]))


async def test_what_no_database_ever_takes_does_not_end_the_inbox(database: Database, inbox: Inbox) -> None:
    impossible = put(inbox, "impossible", at=datetime(2026, 1, 1))  # noqa: DTZ001
    answers = await asyncio.gather(impossible, put(inbox, "good"), return_exceptions=True)
    assert isinstance(answers[0], Transient)
    assert answers[1] == "new"
    assert await put(inbox, "later") == "new"


async def test_while_another_program_holds_the_database_all_are_refused_at_once_and_then_taken(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.inbox._PATIENCE", 0.5)
    monkeypatch.setattr("service.store.inbox.GROUP", 2)
    inbox = await Inbox.open(sqlite_database.url)
    holder = sqlite3.connect(sqlite_database.url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    answers = await asyncio.gather(*(put(inbox, f"d-{n}") for n in range(40)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Transient}
    assert time.monotonic() - begun < 5, "each group of two waited for itself"
    holder.execute("ROLLBACK")
    holder.close()
    assert await put(inbox, "d-0") == "new"
    await inbox.close()


async def test_a_connection_that_the_server_ended_is_replaced(postgresql_database: Database) -> None:
    inbox = await Inbox.open(postgresql_database.url)
    assert await put(inbox, "before") == "new"
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    await postgresql_database.read(lambda conn: conn.execute(text(f"{others} AND datname = current_database()")))
    await until(lambda: _stored(inbox, "after"), what="the inbox is connected again")
    await inbox.close()


async def _stored(inbox: Inbox, guid: str) -> bool:
    with suppress(Transient):
        return bool(await put(inbox, guid))
    return False


async def test_a_delivery_that_cannot_be_stored_is_refused_for_now(sqlite_database: Database) -> None:
    inbox = await Inbox.open(sqlite_database.url)
    await sqlite_database.write(tables.deliveries.drop)
    with pytest.raises(Transient):
        await put(inbox, "one")
    await sqlite_database.write(tables.deliveries.create)
    assert await put(inbox, "one") == "new"
    await inbox.close()


async def test_they_are_read_page_by_page_though_many_came_at_once(database: Database, inbox: Inbox) -> None:
    for number in range(7):
        await put(inbox, f"delivery-{number}", at=NOW + timedelta(seconds=number // 4))
    await database.write(lambda conn: deliveries.finish(conn, guid="delivery-2", state="failed", verdict="", now=NOW))

    def read(conn: Connection) -> list[list[str]]:
        found, last = list[list[str]](), None
        while part := deliveries.part(conn, state="", event="push", before=last, limit=3):
            found, last = [*found, [each.guid[-1] for each in part]], part[-1]
        return [
            *found,
            [each.guid[-1] for each in deliveries.part(conn, state="failed", event="", before=None, limit=3)],
        ]

    assert await database.read(read) == [["6", "5", "4"], ["3", "2", "1"], ["0"], ["2"]]
