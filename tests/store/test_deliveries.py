"""Deliveries are on disk before they are answered, and each is there once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from service.domain.errors import Transient
from service.store import deliveries, tables
from service.store.database import Database
from service.store.deliveries import Inbox

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
        body_sha256=sha256(body).hexdigest(),
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


async def test_open_deliveries_come_oldest_first_and_old_ones_are_forgotten(database: Database, inbox: Inbox) -> None:
    for days in (3, 9, 1):
        await put(inbox, f"{days}-days", at=NOW - timedelta(days=days))
    assert await database.read(lambda conn: deliveries.open_guids(conn, limit=2)) == ["9-days", "3-days"]
    assert await database.write(lambda conn: deliveries.delete_older(conn, NOW - timedelta(days=8))) == 1
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


async def test_a_delivery_that_cannot_be_stored_is_refused_for_now(sqlite_database: Database) -> None:
    inbox = await Inbox.open(sqlite_database.url)
    await sqlite_database.write(tables.deliveries.drop)
    with pytest.raises(Transient):
        await put(inbox, "one")
    await sqlite_database.write(tables.deliveries.create)
    assert await put(inbox, "one") == "new"
    await inbox.close()
