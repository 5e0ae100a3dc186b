"""A machine's clock that was set back or on: what waits does not wait for it, and what runs does not end because of it."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import RepositoryId, Sha
from service.store import clock, facts, requests, subjects
from service.store.clock import Uptime
from service.store.database import Database
from service.store.leases import LeaseTerms
from service.store.tables import apps as app_rows
from service.store.tables import facts as fact_rows
from service.store.tables import requests as request_rows
from tests.store.making import NOW, make_app, make_request

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SUBJECT = Subject(SubjectKind.AUTO_DEPLOY, "app")
HEAD = FactKey(FactKind.HEAD, RepositoryId(7), "main")
UP = timedelta(days=3)
TERMS = LeaseTerms(holder="one", seconds=20)


async def noted(database: Database, *, at: datetime, up: timedelta = UP, boot: int = 1) -> timedelta:
    return await database.write(lambda conn: clock.keep(conn, uptime=Uptime(boot=boot, up=up), now=at))


async def waiting(database: Database) -> str:
    """What is due in ten minutes, and what was learned just now; returns the id of a request that runs."""

    def make(conn) -> str:
        app = make_app(conn)
        request = make_request(conn, app.id)
        taken = requests.take(conn, terms=TERMS, now=NOW, cap=9)
        assert taken is not None
        requests.give_back(conn, app_id=app.id, token=taken.token, holder="one", retry_at=NOW + 10 * MINUTE)
        asked = facts.next_asked(conn)
        facts.learn(conn, HEAD, asked=asked, value=Head(branch="main", sha=Sha("a" * 40)), error="", etag="", now=NOW)
        facts.announce(conn, HEAD, before="a" * 40, after=Sha("b" * 40), told_at=NOW, now=NOW)
        subjects.ring(conn, [SUBJECT], cause="test", now=NOW)
        subject = subjects.take(conn, SUBJECT, terms=TERMS, now=NOW)
        assert subject is not None
        due_at = NOW + 10 * MINUTE
        subjects.settle(conn, subject, holder="one", outcome="", reason="", due_at=due_at, now=NOW)
        return str(request.id)

    return await database.write(make)


async def due(database: Database, *, at: datetime) -> list[str]:
    """What of it would be gone on with then."""

    def find(conn) -> list[str]:
        found = [subject.kind.value for subject in subjects.due(conn, terms=TERMS, now=at, limit=9)]
        return found + ["work" for _ in requests.ready(conn, terms=TERMS, now=at, cap=9)]

    return await database.read(find)


@pytest.mark.parametrize(
    ("boot", "up"),
    [
        pytest.param(1, UP + MINUTE, id="a worker was restarted"),
        pytest.param(2, MINUTE, id="the machine was restarted"),
    ],
)
async def test_what_waits_does_not_wait_for_a_clock_that_was_set_back(
    database: Database, boot: int, up: timedelta
) -> None:
    await waiting(database)
    await noted(database, at=NOW)
    now = NOW - HOUR
    assert await noted(database, at=now, up=up, boot=boot) < -50 * MINUTE
    assert await due(database, at=now + 8 * MINUTE) == []
    assert await due(database, at=now + 11 * MINUTE) == ["auto_deploy", "work"]


async def test_nothing_was_learned_in_the_future(database: Database) -> None:
    await waiting(database)
    await noted(database, at=NOW)
    now = NOW - HOUR
    await noted(database, at=now, up=UP + MINUTE)
    fact = await database.read(lambda conn: facts.load(conn, HEAD))
    assert fact is not None
    assert (fact.looked_at, fact.since) == (now, now)
    assert not fact.fresh(since=now + 5 * MINUTE)
    assert (fact.doubted(now=now + MINUTE), fact.doubted(now=now + 2 * MINUTE)) == (True, False)


async def test_what_runs_has_not_run_for_longer_because_the_clock_was_set_on(database: Database) -> None:
    request_id = await waiting(database)
    await noted(database, at=NOW)
    assert await noted(database, at=NOW + 5 * HOUR, up=UP + MINUTE) == 5 * HOUR - MINUTE
    query = select(request_rows.c.started_at).where(request_rows.c.id == request_id)
    started = await database.read(lambda conn: conn.execute(query).scalar_one())
    assert started == NOW + 5 * HOUR - MINUTE


@pytest.mark.parametrize(
    ("later", "up", "boot"),
    [
        pytest.param(5 * HOUR, UP + 5 * HOUR, 1, id="time goes by"),
        pytest.param(5 * HOUR, MINUTE, 2, id="the machine was off"),
        pytest.param(30 * MINUTE / 60, UP, 1, id="the clock is put right by half a minute"),
        pytest.param(-30 * MINUTE / 60, UP, 1, id="the clock is put back by half a minute"),
    ],
)
async def test_what_is_no_step_changes_nothing(database: Database, later: timedelta, up: timedelta, boot: int) -> None:
    await waiting(database)
    await noted(database, at=NOW)
    before = await database.read(
        lambda conn: conn.execute(select(fact_rows)).all() + conn.execute(select(app_rows)).all()
    )
    assert await noted(database, at=NOW + later, up=up, boot=boot) == timedelta()
    after = await database.read(
        lambda conn: conn.execute(select(fact_rows)).all() + conn.execute(select(app_rows)).all()
    )
    assert before == after


async def test_who_was_rung_by_a_process_with_a_clock_of_before_is_reconciled_now(database: Database) -> None:
    """A web process goes on by the clock that was set back, a worker that was restarted does not."""
    await noted(database, at=NOW)
    await database.write(lambda conn: subjects.ring(conn, [SUBJECT], cause="an API call", now=NOW + HOUR))
    assert await due(database, at=NOW) == []
    await noted(database, at=NOW, up=UP)
    assert await due(database, at=NOW) == ["auto_deploy"]
