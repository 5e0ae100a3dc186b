"""What an audit asks GitHub and what it leaves alone; and repositories that are out of reach for a while."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Transient
from service.domain.facts import CiSignals, CommitStatus, Fact, FactKey, FactKind, Head
from service.domain.model import ReviewState, Sha
from service.enact import Transaction
from service.github.events import parse
from service.github.hints import Hint
from service.store import apps, deliveries, facts, quotas, repositories, requests, reviews, subjects
from service.store.deliveries import Inbox
from tests.workers.conftest import Yard
from workers.jobs import loops
from workers.jobs.look import fresh, look
from workers.jobs.react import _take_in, react
from workers.jobs.reconcile import reconcile


def pull_key(yard: Yard, number: int) -> FactKey:
    return FactKey(FactKind.PULL_REQUEST, yard.repository.id, str(number))


def open_key(yard: Yard) -> FactKey:
    return FactKey(FactKind.OPEN_PULL_REQUESTS, yard.repository.id, "")


async def known(yard: Yard, key: FactKey) -> Fact | None:
    return await yard.see(lambda conn: facts.load(conn, key))


async def audited(yard: Yard) -> None:
    """An audit, some time after the last one, with all that it rings for."""
    yard.clock.ahead += timedelta(seconds=yard.context.settings.audit_seconds)
    await loops.audit(yard.context)
    for job in (look, reconcile):
        rung = yard.bell.heard(job.__name__)
        yard.bell.rung.clear()
        for args in rung:
            await job(yard.context, *args)


async def told(yard: Yard, event: str, payload: dict) -> None:
    hint = parse(event=event, payload=payload)
    assert isinstance(hint, Hint)
    await yard.do(lambda tx: _take_in(tx, hint, told_at=tx.now))


async def reachable(yard: Yard) -> bool:
    found = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert found is not None
    return found.accessible


def installation(yard: Yard, action: str, **more: object) -> dict:
    number = yard.repository.installation_id
    return {"action": action, "installation": {"id": number, "account": {"login": "acme"}}, **more}


async def test_a_pull_request_that_is_not_listed_is_read_before_its_app_goes(yard: Yard) -> None:
    await yard.review("pr:1")
    await audited(yard)
    fact = await known(yard, pull_key(yard, 1))
    assert fact is not None
    assert fact.stale
    yard.edge.lines.clear()
    await yard.calm()
    assert yard.edge.requests(f"GET /api/v3/repositories/{yard.repository.id}/pulls/1") >= 1
    (review,) = await yard.see(lambda conn: reviews.of_repository(conn, yard.repository.id))
    assert review.state is ReviewState.LIVE, "a 404 is no word of it"


@pytest.mark.parametrize("state", [ReviewState.SKIPPED, ReviewState.DESTROYED])
async def test_a_pull_request_that_is_over_is_not_read_for_ever(yard: Yard, state: ReviewState) -> None:
    await yard.review("pr:1", state=state, with_app=False)
    await audited(yard)
    assert await known(yard, pull_key(yard, 1)) is None
    subject = Subject(SubjectKind.REVIEW_APP, f"{yard.pipeline.id}/pr:1")
    assert await yard.see(lambda conn: subjects.verdicts(conn, [subject])) == []


async def test_repositories_are_audited_one_by_one_each_in_its_time(yard: Yard) -> None:
    def due() -> list[str]:
        rung = [key for kind, _, key in yard.bell.heard("look") if kind == FactKind.OPEN_PULL_REQUESTS]
        yard.bell.rung.clear()
        return rung

    period = yard.context.settings.audit_seconds
    await loops.audit(yard.context)
    assert len(due()) == 1
    yard.clock.ahead += timedelta(seconds=0.7 * period)
    await loops.audit(yard.context)
    assert due() == []
    yard.clock.ahead += timedelta(seconds=0.31 * period)
    await loops.audit(yard.context)
    assert len(due()) == 1


async def test_a_list_that_github_refused_proves_nothing(yard: Yard) -> None:
    await yard.edge.sim.push("acme/shop", "topic", {"a": "b"})
    await yard.edge.sim.open_pull("acme/shop", "topic")
    await audited(yard)
    fact = await known(yard, pull_key(yard, 1))
    assert fact is not None
    yard.edge.sim.suspend(yard.repository.installation_id)
    yard.clock.ahead += timedelta(hours=1)
    await audited(yard)
    listed = await known(yard, open_key(yard))
    assert listed is not None
    assert "suspended" in listed.error
    assert await known(yard, pull_key(yard, 1)) == fact


INSTEAD = {
    "500": {"kind": "error", "status": 500},
    "502": {"kind": "error", "status": 502},
    "401": {"kind": "error", "status": 401},
    "403": {"kind": "error", "status": 403},
    "404": {"kind": "error", "status": 404},
    "410": {"kind": "error", "status": 410},
    "a redirect to nowhere": {"kind": "error", "status": 301},
    "a page of HTML with 200": {"kind": "html", "status": 200},
    "a page of HTML with 503": {"kind": "html", "status": 503},
    "an empty object": {"kind": "error", "status": 200},
    "a limit": {"kind": "rate_limit"},
    "a broken connection": {"kind": "reset"},
}


@pytest.mark.parametrize("instead", INSTEAD)
async def test_no_review_app_goes_when_github_answers_instead_of_its_pull_requests(yard: Yard, instead: str) -> None:
    await yard.edge.sim.push("acme/shop", "topic", {"a": "b"})
    await yard.edge.sim.open_pull("acme/shop", "topic")
    review = await yard.review("pr:1")
    await audited(yard)
    await yard.calm()
    yard.edge.sim.chaos.answer(pattern=r"^GET .*/pulls", times=None, **INSTEAD[instead])
    for _ in range(3):
        yard.edge.clock.seconds += 3600
        yard.clock.ahead += timedelta(hours=1)
        await audited(yard)
        await loops.due(yard.context)
        await yard.calm()
    listed = await known(yard, open_key(yard))
    assert listed is not None
    assert listed.error, "it is told that the audit failed"
    queued = await yard.see(lambda conn: requests.open_of(conn, review.app_id or ""))
    assert {each.kind for each in queued} <= {"Deploy"}
    after = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert after is not None
    assert after.state is ReviewState.LIVE


async def test_what_is_left_of_the_hourly_limit_is_kept_for_people_and_alarms(yard: Yard) -> None:
    yard.edge.sim.rate_limit = 100
    await yard.edge.github.get(yard.repository, "")
    await loops.note_quotas(yard.context)
    (left,) = await yard.see(quotas.listing)
    assert (left.installation_id, left.granted, left.remaining) == (yard.repository.installation_id, 100, 99)
    assert timedelta() < left.resets_at - yard.clock() <= timedelta(hours=1)
    await yard.edge.github.get(yard.repository, "")
    await loops.audit(yard.context)
    assert [each.remaining for each in await yard.see(quotas.listing)] == [98]
    yard.edge.clock.seconds += 3700
    assert yard.edge.github.quotas() == {}


async def test_a_repository_whose_return_no_event_told_is_found_by_the_audit(yard: Yard) -> None:
    app = await yard.app()
    await yard.do(
        lambda tx: apps.update(
            tx.conn,
            app=app,
            now=tx.now,
            auto_deploy=True,
            auto_deploy_branch="master",
            repository_id=yard.repository.id,
        )
    )
    gone = [{"id": yard.repository.id, "full_name": "acme/shop"}]
    await told(yard, "installation_repositories", installation(yard, "removed", repositories_removed=gone))
    assert not await reachable(yard)
    await audited(yard)
    assert await reachable(yard)
    subject = Subject(SubjectKind.AUTO_DEPLOY, app.id)
    assert await yard.see(lambda conn: subjects.verdicts(conn, [subject])) != []


async def test_a_repository_that_stays_out_of_reach_is_asked_for_once_an_audit(yard: Yard) -> None:
    await yard.review("pr:1")
    yard.edge.sim.suspend(yard.repository.installation_id)
    await told(yard, "installation", installation(yard, "suspend"))
    yard.edge.lines.clear()
    await audited(yard)
    await audited(yard)
    assert not await reachable(yard)
    assert len([line for line in yard.edge.lines if "access_tokens" in line]) == 2


async def low_on_quota(yard: Yard) -> None:
    yard.edge.sim.rate_limit = 12
    while not yard.edge.github.is_low(yard.repository.installation_id):
        await yard.edge.github.get(yard.repository, "")
    yard.edge.lines.clear()


async def test_with_little_left_of_the_hourly_limit_no_audit_asks(yard: Yard) -> None:
    await low_on_quota(yard)
    await audited(yard)
    assert yard.edge.lines == []
    yard.edge.clock.seconds += 3601
    await audited(yard)
    assert yard.edge.lines != []


async def test_with_little_left_of_the_hourly_limit_ci_is_read_only_when_an_event_told(yard: Yard) -> None:
    app, sha = await yard.app(), Sha("a" * 40)
    subject = Subject(SubjectKind.AUTO_DEPLOY, app.id)
    head = FactKey(FactKind.HEAD, yard.repository.id, "master")
    ci = FactKey(FactKind.CI, yard.repository.id, sha)
    pending = CommitStatus(context="build", state="pending")
    signals = CiSignals(sha=sha, statuses=(pending,), runs=(), suites=(), first_seen=yard.clock())
    change = {"auto_deploy": True, "auto_deploy_branch": "master", "wait_for_ci": True}

    def follow(tx: Transaction) -> None:
        apps.update(tx.conn, app=app, now=tx.now, repository_id=yard.repository.id, **change)
        for key, value, age in ((head, Head(branch="master", sha=sha), 0), (ci, signals, 20)):
            asked, at = facts.next_asked(tx.conn), tx.now - timedelta(minutes=age)
            facts.learn(tx.conn, key, asked=asked, value=value, error="", etag="", now=at)

    async def outcome() -> str:
        await yard.do(lambda tx: tx.ring([subject], cause="time"))
        await reconcile(yard.context, *subject)
        (found,) = await yard.see(lambda conn: subjects.verdicts(conn, [subject]))
        return f"{found.outcome}: {found.reason}"

    await yard.do(follow)
    await low_on_quota(yard)
    assert await outcome() == "waiting: GitHub's hourly limit is nearly used up: not polled"
    await yard.do(lambda tx: facts.mark_stale(tx.conn, [ci], now=tx.now))
    assert await outcome() == "looking: newer is out"


async def test_a_suspended_installation_is_left_alone_until_it_is_not(yard: Yard) -> None:
    named = [{"id": yard.repository.id, "full_name": "acme/shop"}]
    await told(yard, "installation", installation(yard, "suspend", repositories=named))
    assert not await reachable(yard)
    await told(yard, "installation", installation(yard, "unsuspend"))
    assert await reachable(yard)


async def test_a_repository_that_was_taken_away_does_not_come_back_with_another(yard: Yard) -> None:
    gone, other = [{"id": number, "full_name": "acme/shop"} for number in (yard.repository.id, 99)]
    await told(yard, "installation_repositories", installation(yard, "removed", repositories_removed=[gone]))
    await told(yard, "installation_repositories", installation(yard, "added", repositories_added=[other]))
    assert not await reachable(yard)


async def test_an_installation_that_is_deleted_takes_all_its_repositories_out_of_reach(yard: Yard) -> None:
    await told(yard, "installation", installation(yard, "deleted"))
    assert not await reachable(yard)


async def heard(yard: Yard, guid: str, payload: dict) -> None:
    """A push whose payload says this of the repository, from its arrival to its verdict."""
    await arrived(yard, guid, "push", {"ref": "refs/heads/master", "repository": payload})


async def arrived(yard: Yard, guid: str, event: str, payload: dict) -> None:
    """An event from its arrival to its verdict."""
    body = json.dumps(payload).encode()
    inbox = await Inbox.open(yard.db.url)
    await inbox.put(
        guid=guid,
        event=event,
        action="",
        repository_id=yard.repository.id,
        installation_id=None,
        body=body,
        received_at=yard.clock(),
    )
    await inbox.close()
    await react(yard.context, guid)


async def name_of(yard: Yard) -> str:
    found = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert found is not None
    return found.full_name


async def test_an_event_from_before_a_renaming_does_not_bring_the_old_name_back(yard: Yard) -> None:
    old = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
    await heard(yard, "before-it", old)
    yard.edge.lines.clear()
    yard.edge.sim.rename_repo("acme/shop", "store")
    await heard(yard, "renamed-1", old | {"full_name": "acme/store"})
    assert await name_of(yard) == "acme/store"
    await heard(yard, "came-late", old)
    assert await name_of(yard) == "acme/store"


async def test_what_an_event_says_of_a_repository_waits_for_github_to_confirm_it(yard: Yard) -> None:
    new = {"id": yard.repository.id, "full_name": "acme/store", "default_branch": "master"}
    yard.edge.sim.rename_repo("acme/shop", "store")
    yard.edge.sim.chaos.outage = True
    with pytest.raises(Transient):
        await heard(yard, "renamed-1", new)
    assert await name_of(yard) == "acme/shop"
    yard.edge.sim.chaos.calm()
    await react(yard.context, "renamed-1")
    assert await name_of(yard) == "acme/store"


async def test_an_event_of_a_repository_that_cannot_be_read_teaches_nothing_of_it(yard: Yard) -> None:
    yard.edge.sim.suspend(yard.repository.installation_id)
    await heard(yard, "elsewhere", {"id": yard.repository.id, "full_name": "evil/shop", "default_branch": "x"})
    assert await name_of(yard) == "acme/shop"
    assert await yard.see(lambda conn: deliveries.open_guids(conn, limit=5)) == []


async def test_a_suspension_that_was_lifted_does_not_come_back_with_an_event_that_is_late(yard: Yard) -> None:
    sim, number = yard.edge.sim, yard.repository.installation_id
    sim.suspend(number)
    await arrived(yard, "suspended", "installation", installation(yard, "suspend"))
    assert not await reachable(yard)
    sim.suspend(number, suspended=False)
    await arrived(yard, "unsuspended", "installation", installation(yard, "unsuspend"))
    assert await reachable(yard)
    await arrived(yard, "came-late", "installation", installation(yard, "suspend"))
    assert await reachable(yard)


async def test_repositories_of_a_suspended_installation_stay_out_of_reach_when_others_are_added(yard: Yard) -> None:
    yard.edge.sim.suspend(yard.repository.installation_id)
    await arrived(yard, "suspended", "installation", installation(yard, "suspend"))
    other = {"id": 99, "full_name": "acme/other"}
    added = installation(yard, "added", repositories_added=[other])
    await arrived(yard, "added-one", "installation_repositories", added)
    assert not await reachable(yard)


async def test_what_an_event_says_of_an_installation_waits_for_github_to_confirm_it(yard: Yard) -> None:
    yard.edge.sim.suspend(yard.repository.installation_id)
    yard.edge.sim.chaos.outage = True
    with pytest.raises(Transient):
        await arrived(yard, "suspended", "installation", installation(yard, "suspend"))
    assert await reachable(yard)
    yard.edge.sim.chaos.calm()
    await react(yard.context, "suspended")
    assert not await reachable(yard)


async def test_an_installation_that_github_does_not_find_yet_is_not_taken_for_deleted(yard: Yard) -> None:
    yard.edge.sim.chaos.answer("error", pattern="GET /api/v3/app/installations/", status=404)
    await arrived(yard, "accepted", "installation", installation(yard, "new_permissions_accepted"))
    assert await reachable(yard)


async def test_what_was_closed_is_not_opened_by_an_answer_from_before(yard: Yard) -> None:
    sim, key = yard.edge.sim, pull_key(yard, 1)
    await sim.push("acme/shop", "topic", {"note.txt": "hi"})
    assert (await sim.open_pull("acme/shop", "topic")).number == 1
    before = (await fresh(yard.context, key)).value
    closed = replace(before, state="closed", updated_at=before.updated_at + timedelta(seconds=30))

    def tell(tx: Transaction) -> None:
        facts.learn(
            tx.conn, key, asked=facts.next_asked(tx.conn), value=closed, error="", etag="", now=yard.context.db.now()
        )
        facts.mark_stale(tx.conn, [key], now=tx.now)
        facts.want_all(tx.conn, {key: None}, now=tx.now)

    await yard.do(tell)
    with pytest.raises(Transient, match="as it was before"):
        await fresh(yard.context, key)
    for _ in range(5):
        await look(yard.context, key.kind.value, str(key.repository_id), key.key)
        lags = await known(yard, key)
        assert lags is not None
        assert (lags.value, lags.stale) == (closed, True)
        yard.clock.ahead += timedelta(minutes=1)
    await look(yard.context, key.kind.value, str(key.repository_id), key.key)
    restored = await known(yard, key)
    assert restored is not None
    assert (restored.value, restored.stale) == (before, False), "a server that was restored has no other answer"
