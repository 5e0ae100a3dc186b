"""Parity with Heroku, row 6: idle review apps leave after N days, by an injected clock."""

from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import Deploy, Destroy, Subject, SubjectKind
from service.domain.errors import Refused
from service.domain.model import QueuedRequest, RequestState, ReviewApp, ReviewState, Sha, Trust
from service.enact import Transaction
from service.enacting import ended
from service.enactor import Enactor
from service.store import pipelines, requests, reviews, subjects
from tests.workers.conftest import Yard
from workers.jobs.reconcile import reconcile


async def settle_down(yard: Yard, subject: Subject) -> None:
    """Ring a subject and do every look and reconcile that follows from it."""
    await yard.do(lambda tx: tx.ring([subject], cause="test"))
    await yard.calm()


async def stale_after(yard: Yard, days: int) -> None:
    """Have idle review apps destroyed after so many days."""
    await Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell).set_toggles(
        pipeline_id=yard.pipeline.id, changes={"destroy_stale": True, "stale_days": days}, actor="user:ada"
    )


async def deployed(yard: Yard, *, branch: str = "topic") -> tuple[ReviewApp, Subject]:
    """A pull request with a review app that was deployed just now."""
    sim = yard.edge.sim
    await sim.push(yard.repository.full_name, branch, {"page": branch})
    pull = await sim.open_pull(yard.repository.full_name, branch)
    review = await yard.review(f"pr:{pull.number}", state=ReviewState.CREATING, sha=pull.head_sha)
    assert review.app_id is not None
    wanted = Deploy(
        repository_id=yard.repository.id,
        sha=Sha(pull.head_sha),
        trust=Trust.OWN,
        branch=branch,
        pull_request=pull.number,
    )

    def deploy(tx: Transaction) -> None:
        assert review.app_id is not None
        asked = tx.request(review.app_id, wanted, reason="opened", by_person=False)
        taken = requests.take(tx.conn, terms=yard.context.terms, now=tx.now, cap=9, app_id=review.app_id)
        assert taken is not None
        assert taken.request.id == asked.id
        ended.finish(tx, taken.request, state=RequestState.SUCCEEDED, outcome="released v1")
        requests.give_back(tx.conn, app_id=review.app_id, token=taken.token, holder=yard.context.terms.holder)

    await yard.do(deploy)
    return review, Subject(SubjectKind.REVIEW_APP, f"{yard.pipeline.id}/{review.ref}")


async def destroys(yard: Yard, review: ReviewApp) -> list[QueuedRequest]:
    assert review.app_id is not None
    app_id = review.app_id
    listed = await yard.see(lambda conn: requests.of_apps(conn, [app_id], limit=9))
    return [each for each in listed if each.kind == Destroy.__name__]


async def verdict(yard: Yard, subject: Subject) -> Any:
    return (await yard.see(lambda conn: subjects.verdicts(conn, [subject])))[0]


@pytest.mark.parametrize("days", [1, 5, 30])
async def test_stale_at_n_days_and_not_a_minute_before(yard: Yard, days: int) -> None:
    await stale_after(yard, days)
    review, subject = await deployed(yard)

    await settle_down(yard, subject)
    yard.clock.ahead += timedelta(days=days, minutes=-1)
    await settle_down(yard, subject)
    assert await destroys(yard, review) == []

    yard.clock.ahead += timedelta(minutes=2)
    due = await yard.see(lambda conn: subjects.due(conn, terms=yard.context.terms, now=yard.clock(), limit=9))
    assert subject in due
    await reconcile(yard.context, subject.kind.value, subject.key)

    (asked,) = await destroys(yard, review)
    assert (asked.reason, asked.by_person) == (f"no deploy for {days} days", False)
    kept = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert kept is not None
    assert kept.state is ReviewState.DESTROYING


async def test_a_day_before_it_goes_the_comment_and_the_check_say_so_and_pinned_they_say_it_no_more(yard: Yard) -> None:
    await stale_after(yard, 5)
    review, subject = await deployed(yard)
    comment = f"comment:{yard.repository.id}/{review.ref[3:]}"
    newest = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert newest is not None
    await yard.do(
        lambda tx: reviews.update(tx.conn, review=newest, now=tx.now, state=ReviewState.LIVE, deployed_at=tx.now)
    )
    goes = f"to be destroyed at {yard.clock() + timedelta(days=5):%Y-%m-%d} "
    await settle_down(yard, subject)
    yard.clock.ahead += timedelta(days=4, minutes=-1)
    await settle_down(yard, subject)
    assert goes not in (await yard.report(comment)).wanted["body"]

    yard.clock.ahead += timedelta(minutes=2)
    due = await yard.see(lambda conn: subjects.due(conn, terms=yard.context.terms, now=yard.clock(), limit=9))
    assert subject in due
    await settle_down(yard, subject)

    for said in ((await yard.report(comment)).wanted["body"], (await yard.check(review.sha)).wanted["summary"]):
        assert goes in said
        assert f"towpath reviewapps:pin {review.ref[3:]} -p shop" in said
    assert await destroys(yard, review) == []
    newest = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert newest is not None
    await yard.do(lambda tx: reviews.update(tx.conn, review=newest, now=tx.now, pinned=True))
    await settle_down(yard, subject)
    assert goes not in (await yard.report(comment)).wanted["body"]


@pytest.mark.parametrize("days", [0, 31])
async def test_stale_days_are_1_to_30(yard: Yard, days: int) -> None:
    with pytest.raises(Refused, match="stale_days"):
        await stale_after(yard, days)


async def test_a_deploy_in_between_counts_from_anew(yard: Yard) -> None:
    await stale_after(yard, 2)
    review, subject = await deployed(yard)
    yard.clock.ahead += timedelta(days=1)
    newest = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert newest is not None
    await yard.do(lambda tx: reviews.update(tx.conn, review=newest, now=tx.now, deployed_at=tx.now))
    yard.clock.ahead += timedelta(days=1, hours=1)

    await settle_down(yard, subject)

    assert await destroys(yard, review) == []


async def test_a_pinned_one_stays(yard: Yard) -> None:
    await stale_after(yard, 1)
    review, subject = await deployed(yard)
    newest = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert newest is not None
    await yard.do(lambda tx: reviews.update(tx.conn, review=newest, now=tx.now, pinned=True))
    yard.clock.ahead += timedelta(days=60)

    await settle_down(yard, subject)

    assert await destroys(yard, review) == []


async def test_switched_off_nothing_is_ever_stale(yard: Yard) -> None:
    review, subject = await deployed(yard)
    yard.clock.ahead += timedelta(days=300)
    await settle_down(yard, subject)
    assert await destroys(yard, review) == []
    assert (await yard.see(lambda conn: pipelines.get(conn, yard.pipeline.id))) is not None


async def test_the_fourth_stale_one_in_an_hour_waits_for_a_person(yard: Yard) -> None:
    await stale_after(yard, 1)
    made = [await deployed(yard, branch=f"topic-{number}") for number in range(5)]
    yard.clock.ahead += timedelta(days=2)

    for _, subject in made:
        await settle_down(yard, subject)

    assert [len(await destroys(yard, review)) for review, _ in made] == [1, 1, 1, 0, 0]
    asked = (
        f"destroy pending: confirm (no deploy for 1 days) by: towpath reviewapps:destroy {made[3][0].ref[3:]} -p shop"
    )
    assert (await verdict(yard, made[3][1])).reason == asked
    shown = await yard.see(lambda conn: reviews.get(conn, made[3][0].id))
    assert shown is not None
    assert (shown.state, shown.reason) == (ReviewState.LIVE, asked)
    yard.clock.ahead += timedelta(hours=1, minutes=1)
    await settle_down(yard, made[3][1])
    assert len(await destroys(yard, made[3][0])) == 1
