"""Facts: which answer counts when several are on their way, and who is told of it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import CiSignals, Fact, FactKey, FactKind, Head
from service.domain.model import RepositoryId, Sha
from service.store import facts
from service.store.database import Database
from service.store.facts import TakenLook
from service.store.leases import LeaseTerms
from tests.store.making import NOW

KEY = FactKey(FactKind.HEAD, RepositoryId(7), "main")
A, B, C = Sha("a" * 40), Sha("b" * 40), Sha("c" * 40)
SHOP = Subject(SubjectKind.AUTO_DEPLOY, "shop")
ONE = LeaseTerms(holder="one", seconds=20)
OTHER = LeaseTerms(holder="other", seconds=20)
LATER = NOW + timedelta(minutes=1)


class Desk:
    """What is asked and answered about one fact, a transaction each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def asked(self) -> int:
        return await self._database.write(facts.next_asked)

    async def learn(self, asked: int, sha: Sha, *, etag: str = "", at: datetime = NOW) -> list[Subject]:
        def learn(conn: Connection) -> list[Subject]:
            value = Head(branch="main", sha=sha)
            return facts.learn(conn, KEY, asked=asked, value=value, error="", etag=etag, now=at)

        return await self._database.write(learn)

    async def refused(self, asked: int, error: str, at: datetime = NOW) -> None:
        await self._database.write(
            lambda conn: facts.learn(conn, KEY, asked=asked, value=None, error=error, etag="", now=at)
        )

    async def unchanged(self, look: TakenLook, at: datetime = LATER) -> list[Subject]:
        return await self._database.write(
            lambda conn: facts.learn_unchanged(conn, KEY, asked=look.asked, etag=look.etag, now=at)
        )

    async def announced(self, before: str, after: Sha, *, told_at: datetime = LATER) -> None:
        await self._database.write(
            lambda conn: facts.announce(conn, KEY, before=before, after=after, told_at=told_at, now=LATER)
        )

    async def stale(self) -> None:
        await self._database.write(lambda conn: facts.mark_stale(conn, [KEY], now=NOW))

    async def want(self, waiter: Subject = SHOP) -> None:
        await self._database.write(lambda conn: facts.want(conn, KEY, waiter=waiter, now=NOW))

    async def take(self, terms: LeaseTerms = ONE, at: datetime = NOW) -> TakenLook | None:
        return await self._database.write(lambda conn: facts.take_look(conn, KEY, terms=terms, now=at))

    async def taken(self) -> TakenLook:
        await self.want()
        look = await self.take()
        assert look is not None
        return look

    async def failed(self, look: TakenLook, retry_at: datetime) -> None:
        await self._database.write(lambda conn: facts.look_failed(conn, look, error="502", retry_at=retry_at))

    async def fact(self) -> Fact[Any]:
        found = await self._database.read(lambda conn: facts.load(conn, KEY))
        assert found is not None
        return found

    async def sha(self) -> Sha:
        sha: Sha = (await self.fact()).value.sha
        return sha


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_a_slow_answer_never_overwrites_one_to_a_later_question(desk: Desk) -> None:
    slow, quick = await desk.asked(), await desk.asked()
    await desk.learn(quick, B)
    await desk.learn(slow, A, at=LATER)
    assert await desk.fact() == Fact(
        key=KEY, value=Head(branch="main", sha=B), error="", stale=False, looked_at=NOW, since=NOW
    )


async def test_it_is_remembered_since_when_a_branch_is_at_its_commit(desk: Desk) -> None:
    await desk.learn(await desk.asked(), A)
    await desk.learn(await desk.asked(), A, at=LATER)
    assert (await desk.fact()).since == NOW
    await desk.learn(await desk.asked(), B, at=LATER)
    assert (await desk.fact()).since == LATER
    await desk.learn(await desk.asked(), A, at=LATER + timedelta(hours=1))
    assert (await desk.fact()).since == LATER + timedelta(hours=1)


async def test_an_answer_to_a_question_from_before_the_event_leaves_the_fact_stale(desk: Desk) -> None:
    before = await desk.asked()
    await desk.stale()
    await desk.learn(before, A)
    assert (await desk.fact()).stale
    await desk.learn(await desk.asked(), B)
    assert not (await desk.fact()).stale


async def test_an_event_makes_what_was_just_read_stale(desk: Desk) -> None:
    await desk.learn(await desk.asked(), A)
    await desk.stale()
    assert (await desk.fact()).stale
    assert await desk.sha() == A


async def test_unchanged_keeps_the_value_and_makes_it_young_again(desk: Desk) -> None:
    await desk.learn(await desk.asked(), A, etag='"a"')
    await desk.stale()
    look = await desk.taken()
    assert look.etag == '"a"'
    assert await desk.unchanged(look) == [SHOP]
    fact = await desk.fact()
    assert (fact.value.sha, fact.stale, fact.looked_at) == (A, False, LATER)


async def test_unchanged_since_another_value_than_the_one_at_hand_is_looked_at_again(desk: Desk) -> None:
    """Pushed to B and back to A: whoever asked in between stores B, and what is unchanged is A."""
    await desk.learn(await desk.asked(), A, etag='"a"')
    between = await desk.asked()
    look = await desk.taken()
    await desk.learn(between, B, etag='"b"')
    await desk.want()
    assert await desk.unchanged(look) == [SHOP]
    assert (await desk.fact()).stale


async def test_unchanged_comes_too_late_after_a_later_answer(desk: Desk) -> None:
    await desk.learn(await desk.asked(), A, etag='"a"')
    look = await desk.taken()
    await desk.learn(await desk.asked(), B, etag='"a"')
    await desk.unchanged(look)
    fact = await desk.fact()
    assert (fact.value.sha, fact.looked_at) == (B, NOW)


async def test_a_refusal_is_told_beside_what_was_known_and_ends_with_the_next_answer(desk: Desk) -> None:
    await desk.learn(await desk.asked(), A, etag='"a"')
    await desk.refused(await desk.asked(), "403", at=LATER)
    fact = await desk.fact()
    assert (fact.value.sha, fact.error, fact.fresh(since=NOW)) == (A, "403", False)
    assert (await desk.taken()).etag == ""
    await desk.learn(await desk.asked(), A, at=LATER)
    assert (await desk.fact()).fresh(since=NOW)


async def test_one_looks_for_all_who_wait_and_each_is_told(desk: Desk) -> None:
    other = Subject(SubjectKind.REPOSITORY, "7")
    for waiter in (SHOP, other, SHOP):
        await desk.want(waiter)
    look = await desk.take()
    assert look is not None
    assert await desk.take(OTHER) is None
    assert await desk.learn(look.asked, A) == [SHOP, other]
    assert await desk.learn(await desk.asked(), B) == []
    assert await desk.take(OTHER) is None


async def test_a_look_that_failed_is_taken_again_when_its_time_has_come(desk: Desk) -> None:
    await desk.learn(await desk.asked(), A)
    look = await desk.taken()
    await desk.failed(look, LATER)
    assert await desk.take(OTHER) is None
    again = await desk.take(OTHER, LATER)
    assert again is not None
    assert (again.attempts, again.asked > look.asked) == (1, True)
    fact = await desk.fact()
    assert (fact.value.sha, fact.error, fact.looked_at) == (A, "502", NOW)


async def test_the_settle_time_counts_from_the_first_word_of_a_commit(database: Database) -> None:
    key = FactKey(FactKind.CI, KEY.repository_id, A)
    signals = CiSignals(sha=A, statuses=(), runs=(), suites=(), first_seen=LATER)

    def hear_then_read(conn: Connection) -> Fact[Any] | None:
        facts.mark_stale(conn, [key], now=NOW)
        asked = facts.next_asked(conn)
        facts.learn(conn, key, asked=asked, value=signals, error="", etag="", now=LATER)
        return facts.load(conn, key)

    fact = await database.write(hear_then_read)
    assert fact is not None
    assert fact.value == replace(signals, first_seen=NOW)


# Where a push says that a branch is -----------------------------------------------------------------


async def doubted_at(desk: Desk, sha: Sha) -> bool:
    """Whether it is doubted that the branch is there, once GitHub says so."""
    await desk.learn(await desk.asked(), sha, at=LATER)
    return (await desk.fact()).doubted(now=LATER)


@pytest.mark.parametrize("received", [timedelta(), timedelta(seconds=-3)], ids=["the same second", "a clock behind"])
async def test_a_push_is_later_by_what_it_says_and_not_by_the_time_at_which_it_was_received(
    desk: Desk, received: timedelta
) -> None:
    await desk.learn(await desk.asked(), A)
    await desk.announced(A, B)
    await desk.announced(B, C, told_at=LATER + received)
    assert not await doubted_at(desk, C)
    assert await doubted_at(desk, B)


async def test_a_push_that_is_heard_of_late_unsays_no_later_one(desk: Desk) -> None:
    await desk.learn(await desk.asked(), B)
    await desk.announced(B, C, told_at=NOW)
    await desk.announced(A, B)
    assert not await doubted_at(desk, C)
    assert await doubted_at(desk, B)
    assert (await desk.fact()).returned


async def test_a_push_that_is_heard_of_again_unsays_nothing(desk: Desk) -> None:
    """GitHub has shown meanwhile that the branch went on, untold."""
    await desk.learn(await desk.asked(), A)
    await desk.announced(A, B)
    await desk.learn(await desk.asked(), B, at=LATER)
    await desk.learn(await desk.asked(), C, at=LATER)
    await desk.announced(A, B)
    assert await doubted_at(desk, B)


async def test_what_was_announced_is_doubted_like_all_else_after_something_untold_was_shown(desk: Desk) -> None:
    """It may be what came before that."""
    await desk.learn(await desk.asked(), A)
    await desk.announced(A, B)
    assert await doubted_at(desk, C)
    assert await doubted_at(desk, B)


async def test_nothing_is_announced_in_the_future(desk: Desk) -> None:
    """Whoever received it had a clock that was ahead."""
    await desk.learn(await desk.asked(), A)
    await desk.announced(A, B, told_at=LATER + timedelta(hours=1))
    fact = await desk.fact()
    assert fact.doubted(now=LATER)
    assert not fact.doubted(now=LATER + timedelta(minutes=2))
