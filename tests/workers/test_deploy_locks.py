"""Deploy locks at work: what waits for one, what it refuses, and that nobody slips by between asking and doing."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import Deploy, ReleaseSlug, Rollback, Subject, SubjectKind
from service.domain.deploy_lock import DeployLock
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import App, QueuedRequest, ReleaseState, RequestState, Sha, Slug, Trust
from service.enact import Transaction
from service.enactor import Enactor
from service.store import activity, apps, deploy_locks, facts, pipelines, releases, requests, subjects
from service.web.api import trail
from tests.waiting import until
from tests.workers.conftest import ADMINISTRATOR, Yard
from tests.workers.test_presses import delivered, press_of
from workers.jobs.loops import due
from workers.jobs.overdue import overdue
from workers.jobs.work import work

ADA, BOB = "user:ada@acme.example", "user:bob@acme.example"


pytestmark = pytest.mark.usefixtures("without_runtimes")


@dataclass(frozen=True, kw_only=True)
class Locking:
    """An app that follows master, and the hands of those who push, lock and unlock."""

    yard: Yard
    app: App

    @property
    def verbs(self) -> Enactor:
        return Enactor(db=self.yard.db, vault=self.yard.context.vault, queue=self.yard.bell)

    async def lock(self, *, pipeline: bool = False, **terms: Any) -> DeployLock:
        target = {"pipeline_id": self.yard.pipeline.id} if pipeline else {"app_id": self.app.id}
        made = await self.verbs.lock_deploys(**target, **({"reason": "sale", "actor": ADA} | terms))
        await self.yard.calm()
        return made

    async def unlock(self, lock: DeployLock, **how: Any) -> None:
        await self.verbs.unlock_deploys(lock_id=lock.id, **({"force": False, "actor": ADA} | how))
        await self.yard.calm()

    async def pushed(self, text: str = "new") -> Sha:
        """A push that is heard of at once."""
        sha = await self.yard.edge.sim.push("acme/shop", "master", {"page": text, "Procfile": "web: ./serve"})
        await self.rung()
        return Sha(sha)

    async def rung(self) -> None:
        subject = Subject(SubjectKind.AUTO_DEPLOY, self.app.id)

        def ring(tx: Transaction) -> None:
            facts.mark_stale(tx.conn, [FactKey(FactKind.HEAD, self.yard.repository.id, "master")], now=tx.now)
            tx.ring([subject], cause="push")

        await self.yard.do(ring)
        await self.yard.calm()

    async def reason(self) -> str:
        subject = Subject(SubjectKind.AUTO_DEPLOY, self.app.id)
        (found,) = await self.yard.see(lambda conn: subjects.verdicts(conn, [subject]))
        return found.reason

    async def queue(self) -> list[QueuedRequest]:
        return await self.yard.see(lambda conn: requests.open_of(conn, self.app.id))

    async def runs(self) -> str:
        """The commit that the app serves."""
        app = await self.yard.see(lambda conn: apps.get(conn, self.app.id))
        release = await self.yard.see(lambda conn: releases.get(conn, app.current_release_id or "")) if app else None
        return str(release.commit) if release else ""

    async def noted(self) -> list[tuple[str, str]]:
        """Who did what about locks, oldest first."""
        found = await self.yard.see(lambda conn: activity.listing(conn, limit=200))
        return [(each.actor, each.action) for each in reversed(found) if "lock" in each.action]


@pytest.fixture
async def locking(yard: Yard) -> Locking:
    app = await yard.app()
    change = {"auto_deploy": True, "auto_deploy_branch": "master"}
    await yard.do(lambda tx: apps.update(tx.conn, app=app, now=tx.now, repository_id=yard.repository.id, **change))
    return Locking(yard=yard, app=app)


@pytest.mark.parametrize("pipeline", [False, True], ids=["of the app", "of the pipeline"])
async def test_automatic_deploys_wait_visibly_for_a_lock_and_the_newest_goes_on_at_once(
    locking: Locking, pipeline: bool
) -> None:
    lock = await locking.lock(pipeline=pipeline)
    await locking.pushed("first")
    newest = await locking.pushed("second")
    assert await locking.reason() == "locked by ada@acme.example: sale"
    assert await locking.queue() == []
    shown = await locking.yard.check(newest)
    assert shown.wanted["title"] == "shop-prod: waiting (locked by ada@acme.example: sale)"
    assert (shown.wanted["conclusion"], shown.wanted["actions"]) == ("neutral", [])
    about = await locking.yard.see(lambda conn: trail.of(conn, "shop-prod", ADMINISTRATOR, locking.yard.clock()))
    assert [(it.about, it.text) for it in about[1] if it.state == "locked"] == [
        ("pipeline shop" if pipeline else "shop-prod", "locked by ada@acme.example: sale")
    ]
    await locking.unlock(lock)
    assert [each.sha for each in await locking.queue()] == [newest]
    assert await locking.noted() == [(ADA, "deploys locked"), (ADA, "deploys unlocked")]


async def test_a_lock_that_expired_while_no_worker_ran_holds_nothing_up_and_ends_on_record(locking: Locking) -> None:
    await locking.lock(seconds=3600)
    sha = await locking.pushed()
    assert (await locking.reason()).startswith("locked by ada@acme.example until ")
    locking.yard.clock.ahead += timedelta(minutes=59)
    await due(locking.yard.context)
    await overdue(locking.yard.context)
    await locking.yard.calm()
    assert await locking.queue() == []
    locking.yard.clock.ahead += timedelta(hours=10)
    await due(locking.yard.context)
    await locking.yard.calm()
    assert [each.sha for each in await locking.queue()] == [sha]
    await overdue(locking.yard.context)
    assert await locking.noted() == [(ADA, "deploys locked"), ("towpath", "deploy lock expired")]
    assert await locking.yard.see(deploy_locks.listing) == ()


async def test_a_lock_made_shorter_or_longer_counts_by_its_new_time(locking: Locking) -> None:
    first = await locking.lock(seconds=3600)
    sha = await locking.pushed()
    changed = await locking.lock(seconds=60, reason="short sale")
    assert changed.id == first.id
    assert "short sale" in await locking.reason()
    locking.yard.clock.ahead += timedelta(seconds=61)
    await due(locking.yard.context)
    await locking.yard.calm()
    assert [each.sha for each in await locking.queue()] == [sha]
    assert await locking.noted() == [(ADA, "deploys locked"), (ADA, "deploy lock changed")]


async def test_two_locks_are_both_waited_for(locking: Locking) -> None:
    own, whole = await locking.lock(), await locking.lock(pipeline=True, reason="freeze", actor=BOB)
    sha = await locking.pushed()
    assert await locking.reason() == "locked by bob@acme.example: freeze; locked by ada@acme.example: sale"
    await locking.unlock(whole, actor=BOB)
    assert await locking.queue() == []
    await locking.unlock(own)
    assert [each.sha for each in await locking.queue()] == [sha]


async def test_an_app_that_leaves_a_locked_pipeline_waits_no_more(locking: Locking) -> None:
    await locking.lock(pipeline=True)
    sha = await locking.pushed()
    coupling = await locking.yard.see(lambda conn: pipelines.coupling_of(conn, locking.app.id))
    assert coupling is not None
    await locking.verbs.uncouple(coupling_id=coupling.id, actor=ADA)
    await locking.yard.calm()
    assert [each.sha for each in await locking.queue()] == [sha]


async def test_a_lock_between_asking_and_doing_keeps_an_automatic_deploy_out_until_it_lifts(locking: Locking) -> None:
    sha = await locking.pushed()
    (asked,) = await locking.queue()
    lock = await locking.lock()
    await work(locking.yard.context, locking.app.id)
    await locking.yard.calm()
    ended = await locking.yard.request(asked.id)
    assert (ended.state, ended.reason) == (RequestState.SUPERSEDED, "locked by ada@acme.example: sale")
    assert locking.yard.platform.calls == []
    shown = await locking.yard.check(sha)
    assert shown.wanted["title"] == "shop-prod: waiting (locked by ada@acme.example: sale)"
    await locking.unlock(lock)
    assert [each.sha for each in await locking.queue()] == [sha]
    await work(locking.yard.context, locking.app.id)
    assert await locking.runs() == sha


@pytest.mark.parametrize("asked_for", [False, True], ids=["never asked for", "asked for before the lock"])
async def test_a_commit_that_waited_for_a_lock_when_its_branch_went_on_is_shown_as_superseded(
    locking: Locking, asked_for: bool
) -> None:
    if asked_for:
        first = await locking.pushed("first")
        await locking.lock()
        await work(locking.yard.context, locking.app.id)
        await locking.yard.calm()
    else:
        await locking.lock()
        first = await locking.pushed("first")
    locked = "shop-prod: waiting (locked by ada@acme.example: sale)"
    assert (await locking.yard.check(first)).wanted["title"] == locked
    second = await locking.pushed("second")
    assert (await locking.yard.check(second)).wanted["title"] == locked
    left = (await locking.yard.check(first)).wanted["title"]
    assert left == f"shop-prod: superseded (superseded by {second[:7]})"


async def test_a_lock_during_the_build_keeps_out_what_is_built(locking: Locking) -> None:
    sha = await locking.pushed()
    (asked,) = await locking.queue()
    hold = locking.yard.platform.hold["sandboxed"] = asyncio.Event()
    working = asyncio.ensure_future(work(locking.yard.context, locking.app.id))
    await until(lambda: "sandboxed" in locking.yard.platform.calls)
    lock = await locking.lock()
    hold.set()
    await working
    assert (await locking.yard.request(asked.id)).state is RequestState.SUPERSEDED
    assert await locking.runs() == ""
    await locking.unlock(lock)
    await work(locking.yard.context, locking.app.id)
    assert await locking.runs() == sha
    assert locking.yard.platform.calls.count("sandboxed") == 1


@pytest.mark.parametrize("killed", [False, True], ids=["by its worker", "by the next worker"])
async def test_a_release_that_is_under_way_when_the_lock_comes_is_done(locking: Locking, killed: bool) -> None:
    sha = await locking.pushed()
    hold = locking.yard.platform.hold["apply"] = asyncio.Event()
    working = asyncio.ensure_future(work(locking.yard.context, locking.app.id))
    await until(lambda: "apply" in locking.yard.platform.calls)
    await locking.lock()
    if killed:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    hold.set()
    await (work(locking.yard.context, locking.app.id) if killed else working)
    assert await locking.runs() == sha


async def serving(locking: Locking) -> Slug:
    """The app serves a release, and is left alone by automatic deploys."""
    slug = await locking.yard.slug()
    await locking.yard.released(locking.app, slug)
    return slug


def promotion(slug: Slug, **changes: Any) -> ReleaseSlug:
    of = {"slug_id": slug.id, "commit": Sha("b" * 40), "repository_id": None, "description": "Promote"}
    return ReleaseSlug(**(of | changes))


async def test_a_promotion_that_waited_for_its_turn_when_the_lock_came_fails_and_says_why(locking: Locking) -> None:
    slug = await serving(locking)
    asked = await locking.yard.do(
        lambda tx: tx.request(locking.app.id, promotion(slug), reason="promote", by_person=True)
    )
    await locking.lock()
    await work(locking.yard.context, locking.app.id)
    ended = await locking.yard.request(asked.id)
    assert ended.state is RequestState.FAILED
    assert ended.reason.startswith("shop-prod is locked by ada@acme.example: sale. Take the lock off")
    made = await locking.yard.see(lambda conn: releases.of_request(conn, asked.id))
    assert made is not None
    assert made.state is ReleaseState.FAILED
    assert "apply" not in locking.yard.platform.calls


async def test_who_goes_past_a_lock_goes_past_that_lock_only(locking: Locking) -> None:
    slug = await serving(locking)
    known = await locking.lock()
    past = promotion(slug, past_locks=(known.id,))
    first = await locking.yard.do(lambda tx: tx.request(locking.app.id, past, reason="promote", by_person=True))
    await work(locking.yard.context, locking.app.id)
    assert (await locking.yard.request(first.id)).state is RequestState.SUCCEEDED
    second = await locking.yard.do(lambda tx: tx.request(locking.app.id, past, reason="promote", by_person=True))
    await locking.unlock(known)
    await locking.lock(actor=BOB, reason="incident")
    await work(locking.yard.context, locking.app.id)
    ended = await locking.yard.request(second.id)
    assert (ended.state, "locked by bob@acme.example: incident" in ended.reason) == (RequestState.FAILED, True)


async def test_a_locked_app_can_be_rolled_back_and_configured(locking: Locking) -> None:
    slug = await serving(locking)
    former = await locking.yard.see(lambda conn: releases.of_app(conn, locking.app.id, limit=1))
    await locking.yard.released(locking.app, slug)
    await locking.lock(pipeline=True)
    back = Rollback(release_id=former[0].id, version=1)
    asked = await locking.yard.do(lambda tx: tx.request(locking.app.id, back, reason="back", by_person=True))
    changed = await locking.verbs.change_config(app_id=locking.app.id, changes={"A": "1"}, actor=ADA)
    await work(locking.yard.context, locking.app.id)
    states = [(await locking.yard.request(each.id)).state for each in (asked, changed)]
    assert states == [RequestState.SUCCEEDED, RequestState.SUCCEEDED]


async def test_a_review_app_is_deployed_whatever_is_locked(locking: Locking) -> None:
    review = await locking.yard.review()
    await locking.lock(pipeline=True)
    wanted = Deploy(
        repository_id=locking.yard.repository.id, sha=Sha(review.sha), trust=Trust.OWN, branch="topic", pull_request=1
    )
    queued = await locking.yard.do(
        lambda tx: tx.request(review.app_id or "", wanted, reason="the pull request moved", by_person=False)
    )
    assert queued.state is RequestState.QUEUED
    with pytest.raises(Refused, match="follows its pull request"):
        await locking.verbs.lock_deploys(app_id=review.app_id, reason="no", actor=ADA)


async def test_a_button_of_the_check_is_refused_by_a_lock_in_the_words_of_every_door(locking: Locking) -> None:
    sim = locking.yard.edge.sim
    sim.add_collaborator("acme/shop", "grace", "write")
    await locking.lock()
    sha = await locking.pushed()
    verdict = await delivered(locking.yard, "press", press_of(locking.yard, "deploy_anyway", sha))
    assert "shop-prod is locked by ada@acme.example: sale" in verdict
    assert await locking.queue() == []


async def test_somebody_elses_lock_is_taken_off_by_force_and_on_record(locking: Locking) -> None:
    lock = await locking.lock()
    with pytest.raises(Refused, match="--force"):
        await locking.unlock(lock, actor=BOB)
    with pytest.raises(Refused, match=r"stays as ada@acme\.example made it"):
        await locking.lock(actor=BOB, reason="mine")
    await locking.unlock(lock, actor=BOB, force=True)
    assert await locking.noted() == [(ADA, "deploys locked"), (BOB, "deploys unlocked by force")]
    with pytest.raises(Refused, match="Couldn't find that deploy lock"):
        await locking.unlock(lock)


async def test_two_people_who_lock_at_once_leave_one_lock_and_one_of_them_reads_whose(locking: Locking) -> None:
    both = [locking.verbs.lock_deploys(app_id=locking.app.id, reason="me", actor=actor) for actor in (ADA, BOB)]
    made = await asyncio.gather(*both, return_exceptions=True)
    (refused,) = [each for each in made if isinstance(each, Refused)]
    (lock,) = [each for each in made if isinstance(each, DeployLock)]
    assert lock.owner in refused.message
    assert await locking.yard.see(deploy_locks.listing) == (lock,)
