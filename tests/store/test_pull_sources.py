"""What is kept of the places that deliveries are fetched from."""

from datetime import UTC, datetime, timedelta

from service.domain.model import RepositoryId
from service.store import deliveries, pull_sources
from service.store.database import Database
from service.store.deliveries import Inbox
from service.store.pull_sources import APP, PullSource, PullState, hook_of, poll_of

NOW = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


async def test_a_source_is_kept_as_it_was_last_and_others_are_forgotten(database: Database) -> None:
    first = PullSource(name=APP, watermark=NOW, checked_at=NOW)
    second = PullSource(
        name=APP, state=PullState.WAITING, reason="GitHub answered 502", watermark=NOW,
        retry_at=NOW + timedelta(seconds=20), attempts=2,
    )  # fmt: skip
    polled = PullSource(name=poll_of(RepositoryId(7)))
    for source in (first, PullSource(name=hook_of(RepositoryId(7))), polled, second):
        await database.write(lambda conn, source=source: pull_sources.keep(conn, source))
    await database.write(lambda conn: pull_sources.forget_others(conn, {APP, polled.name}))
    assert await database.read(pull_sources.listing) == [second, polled]


async def test_of_many_guids_those_that_are_here_are_known_with_their_state(database: Database) -> None:
    inbox = await Inbox.open(database.url)
    for number in range(3):
        await inbox.put(
            guid=f"known-{number:03}", event="push", action="", repository_id=1, installation_id=None,
            body=b"{}", received_at=NOW,
        )  # fmt: skip
    await inbox.close()
    asked = [f"known-{number:03}" for number in range(100)]
    known = await database.read(lambda conn: deliveries.known(conn, asked))
    assert sorted(known) == ["known-000", "known-001", "known-002"]
    assert {each.state for each in known.values()} == {"received"}
    assert await database.read(lambda conn: deliveries.known(conn, [])) == {}
