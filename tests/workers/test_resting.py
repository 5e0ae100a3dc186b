"""Review apps that rest: suspended once, whatever comes in between; back by a person, a push or regained access."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import Deploy, Destroy, Restart, Subject, Suspend
from service.domain.errors import Transient
from service.domain.model import App, AppState, QueuedRequest, RequestState, ReviewApp, ReviewState, Sha, Trust
from service.domain.review_rules import LOST
from service.enactor import Enactor
from service.store import activity, apps, repositories, requests, reviews, routes
from service.store.deliveries import Inbox
from service.store.tables import apps as app_rows
from tests.workers.conftest import Yard
from tests.workers.test_parity_stale import deployed, settle_down
from workers.jobs import loops, settle
from workers.jobs.destroy import PREDESTROY_ATTEMPTS
from workers.jobs.react import react
from workers.jobs.release import reshape
from workers.jobs.work import work
from workers.platforms.base import Unhealthy

STALE = "no deploy for 1 days"


def verbs(yard: Yard) -> Enactor:
    return Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)


async def set_up(yard: Yard, **settings: Any) -> None:
    changes = {"destroy_stale": True, "stale_days": 1, "idle_action": "suspend"} | settings
    await verbs(yard).set_toggles(pipeline_id=yard.pipeline.id, changes=changes, actor="user:ada")


async def running(yard: Yard, slug: Any = None, branch: str = "topic") -> tuple[ReviewApp, Subject]:
    """A review app whose processes run in the engine."""
    review, subject = await deployed(yard, branch=branch)
    app = await app_of(yard, review)
    await yard.released(app, slug or await yard.slug())
    await verbs(yard).restart(app_id=app.id, actor="user:ada")
    await worked(yard)
    return await now(yard, review), subject


async def worked(yard: Yard, attempts: int = 1) -> None:
    """Do all work there is and ring for whatever follows from it."""
    for _ in range(attempts):
        await yard.db.write(lambda conn: conn.execute(app_rows.update().values(retry_at=None)))
        await work(yard.context, "")
        await yard.calm()


async def destroyed(yard: Yard) -> None:
    """Let what is to go be gone: its repository is not here to be read, which is tried a few times."""
    await worked(yard, attempts=PREDESTROY_ATTEMPTS + 1)


async def now(yard: Yard, review: ReviewApp) -> ReviewApp:
    found = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert found is not None
    return found


async def app_of(yard: Yard, review: ReviewApp) -> App:
    app_id = review.app_id or ""
    found = await yard.see(lambda conn: apps.get(conn, app_id))
    assert found is not None
    return found


async def asked(yard: Yard, review: ReviewApp, work: type) -> list[QueuedRequest]:
    app_id = review.app_id or ""
    listed = await yard.see(lambda conn: requests.of_apps(conn, [app_id], limit=99))
    return [each for each in listed if each.kind == work.__name__]


def processes(yard: Yard, review: ReviewApp) -> int:
    spec = yard.platform.running.get(review.app_id or "")
    return sum(process.quantity for process in spec.processes) if spec is not None else 0


async def shown(yard: Yard, review: ReviewApp) -> tuple[str, str, str]:
    """What visitors, the deployment on GitHub and the check say."""
    app = await app_of(yard, review)
    route = await yard.see(lambda conn: routes.of_app(conn, app.id))
    github = await yard.report(f"github_deployment:{app.current_release_id}")
    check = await yard.check(review.sha)
    return route.state if route else "", str(github.wanted["state"]), str(check.wanted["title"])


async def told(yard: Yard, event: str, guid: str, **payload: Any) -> None:
    """An event of GitHub's from its arrival on, with all that follows."""
    inbox = await Inbox.open(yard.db.url)
    await inbox.put(
        guid=guid,
        event=event,
        action=payload["action"],
        repository_id=None,
        installation_id=yard.repository.installation_id,
        body=json.dumps(payload).encode(),
        received_at=yard.clock(),
    )
    await inbox.close()
    await react(yard.context, guid)
    await yard.calm()


async def installation(yard: Yard, action: str) -> None:
    """An installation event, and GitHub as it is after that."""
    number = yard.repository.installation_id
    yard.edge.sim.suspend(number, suspended=action == "suspend")
    account = {"id": number, "account": {"login": "acme"}}
    await told(yard, "installation", f"{action}-{yard.clock()}", action=action, installation=account)


async def idle(yard: Yard, subject: Subject) -> None:
    yard.clock.ahead += timedelta(days=1, minutes=1)
    await settle_down(yard, subject)


async def test_an_idle_one_is_suspended_and_shown_so(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    assert processes(yard, review) == 1

    await idle(yard, subject)
    await worked(yard)

    review = await now(yard, review)
    app = await app_of(yard, review)
    assert (review.state, review.reason, app.state) == (ReviewState.SUSPENDED, STALE, AppState.SUSPENDED)
    assert processes(yard, review) == 0
    assert app.formation == {"web": 1}
    assert await shown(yard, review) == ("suspended", "inactive", f"{app.name}: suspended ({STALE})")
    for _ in range(3):
        await loops.observe(yard.context)
        await settle_down(yard, subject)
    assert len(await asked(yard, review, Suspend)) == 1
    assert await yard.see(lambda conn: requests.open_of(conn, app.id)) == []


async def test_a_person_starts_it_anew_and_it_is_not_idle_from_then_on(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await idle(yard, subject)
    await worked(yard)

    await verbs(yard).restart(app_id=review.app_id or "", actor="user:ada")
    await worked(yard)

    review = await now(yard, review)
    assert (review.state, review.reason, processes(yard, review)) == (ReviewState.LIVE, "", 1)
    assert (await app_of(yard, review)).state is AppState.ACTIVE
    assert (await shown(yard, review))[:2] == ("live", "success")
    await settle_down(yard, subject)
    assert len(await asked(yard, review, Suspend)) == 1


async def test_it_is_suspended_once_although_its_worker_died_after_it(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await idle(yard, subject)
    apply = yard.platform.apply

    async def dies(spec, *, fence, log, go_live):
        await apply(spec, fence=fence, log=log, go_live=go_live)
        raise Transient("killed after the switch")

    yard.platform.apply = dies  # type: ignore[method-assign]
    await worked(yard)
    yard.platform.apply = apply  # type: ignore[method-assign]
    assert (await now(yard, review)).state is ReviewState.SUSPENDED
    await worked(yard)
    assert [each.state for each in await asked(yard, review, Suspend)] == [RequestState.SUCCEEDED]
    assert (await now(yard, review)).reason == STALE


async def test_an_engine_that_does_not_suspend_it_is_asked_again(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await idle(yard, subject)
    yard.platform.script["apply"] = [Unhealthy("no"), RuntimeError("a bug"), Transient("away")]
    await worked(yard, attempts=4)
    assert [each.state for each in await asked(yard, review, Suspend)] == [RequestState.SUCCEEDED]
    assert (await now(yard, review)).state is ReviewState.SUSPENDED


def deploy(yard: Yard, review: ReviewApp, sha: str = "b" * 40) -> Deploy:
    return Deploy(
        repository_id=yard.repository.id,
        sha=Sha(sha),
        trust=Trust.OWN,
        branch="topic",
        pull_request=int(review.ref[3:]),
    )


async def test_a_push_that_comes_first_leaves_it_running(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await idle(yard, subject)
    app_id = review.app_id or ""
    await yard.do(lambda tx: tx.request(app_id, deploy(yard, review), reason="pushed", by_person=False))

    taken = await yard.take(app_id)
    assert taken.request.kind == Suspend.__name__
    await reshape(yard.context, taken)

    ended = await yard.request(taken.request.id)
    assert (ended.state, ended.reason) == (RequestState.SUPERSEDED, "superseded by bbbbbbb")
    assert ((await now(yard, review)).state, processes(yard, review)) == (ReviewState.LIVE, 1)


async def test_pinned_before_it_is_suspended_it_runs_on(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await idle(yard, subject)
    await verbs(yard).pin_review_app(review_id=review.id, pinned=True, actor="user:ada")
    taken = await yard.take(review.app_id or "")
    await reshape(yard.context, taken)
    assert (await yard.request(taken.request.id)).state is RequestState.SUPERSEDED
    assert (await now(yard, review)).state is ReviewState.LIVE


async def test_closed_while_it_is_suspended_it_goes(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await idle(yard, subject)
    await worked(yard)
    yard.edge.sim.close_pull("acme/shop", int(review.ref[3:]))
    yard.clock.ahead += timedelta(minutes=6)
    await loops.audit(yard.context)
    await yard.calm()
    await destroyed(yard)
    assert (await now(yard, review)).state is ReviewState.DESTROYED
    assert yard.platform.running == {}


async def starts(yard: Yard, review: ReviewApp) -> int:
    """How often it was started because access was back."""
    return sum(not each.by_person for each in await asked(yard, review, Restart))


async def test_access_that_is_lost_suspends_and_brings_it_back_when_it_returns(yard: Yard) -> None:
    review, _ = await running(yard)
    await installation(yard, "suspend")
    await worked(yard)
    review = await now(yard, review)
    assert (review.state, review.reason, processes(yard, review)) == (ReviewState.SUSPENDED, LOST, 0)

    yard.clock.ahead += timedelta(hours=23)
    await loops.audit(yard.context)
    await yard.calm()
    assert await asked(yard, review, Destroy) == []
    await installation(yard, "unsuspend")
    await worked(yard)

    review = await now(yard, review)
    assert (review.state, review.reason, processes(yard, review)) == (ReviewState.LIVE, "", 1)
    assert (await shown(yard, review))[:2] == ("live", "success")
    assert await starts(yard, review) == 1


async def test_access_that_is_lost_and_back_before_it_was_suspended_leaves_it_running_in_the_end(yard: Yard) -> None:
    review, _ = await running(yard)
    await installation(yard, "suspend")
    await installation(yard, "unsuspend")
    await worked(yard)
    assert (await now(yard, review)).state is ReviewState.SUSPENDED
    await worked(yard)
    review = await now(yard, review)
    assert (review.state, review.reason, processes(yard, review)) == (ReviewState.LIVE, "", 1)


async def test_what_cannot_be_started_anew_is_not_tried_for_ever(yard: Yard) -> None:
    review, _ = await running(yard)
    await installation(yard, "suspend")
    await worked(yard)
    yard.platform.script["apply"] = [Unhealthy("no database")] * 9
    await installation(yard, "unsuspend")
    await worked(yard)
    review = await now(yard, review)
    assert (review.state, review.reason) == (ReviewState.SUSPENDED, "no database")
    assert await starts(yard, review) == 1


async def test_a_deploy_that_fails_without_access_does_not_keep_it_from_coming_back(yard: Yard) -> None:
    review, _ = await running(yard)
    await installation(yard, "suspend")
    await worked(yard)
    app_id, wanted = review.app_id or "", deploy(yard, review, review.sha)
    await yard.do(lambda tx: tx.request(app_id, wanted, reason="again", by_person=True))
    taken = await yard.take(app_id)
    await yard.do(lambda tx: settle.fail(tx, taken.request, "the repository cannot be read"))
    assert (await now(yard, review)).reason == LOST


async def test_access_that_stays_lost_takes_them_away_three_in_an_hour(yard: Yard) -> None:
    slug = await yard.slug()
    made = [(await running(yard, slug, f"topic-{number}"))[0] for number in range(5)]
    await installation(yard, "suspend")
    await worked(yard)
    yard.clock.ahead += timedelta(hours=24)
    await loops.audit(yard.context)
    await yard.calm()
    await destroyed(yard)

    left = [await now(yard, review) for review in made]
    gone = [review for review in left if review.state is ReviewState.DESTROYED]
    kept = [review for review in left if review.state is ReviewState.SUSPENDED]
    assert (len(gone), len(kept)) == (3, 2)
    assert {review.reason for review in gone} == {LOST}
    for review in kept:
        how = f"towpath reviewapps:destroy {review.ref[3:]} -p shop"
        assert review.reason == f"destroy pending: confirm ({LOST}) by: {how}"
        assert (await shown(yard, review))[2].endswith(f"({review.reason})")

    await verbs(yard).destroy_review_app(review_id=kept[0].id, actor="user:ada")
    await destroyed(yard)
    assert [(await now(yard, review)).state for review in kept] == [ReviewState.DESTROYED, ReviewState.SUSPENDED]


async def test_an_event_that_was_lost_is_made_up_for_by_githubs_own_word(yard: Yard) -> None:
    review, _ = await running(yard)
    yard.edge.sim.suspend(yard.repository.installation_id)
    yard.clock.ahead += timedelta(minutes=6)
    await loops.audit(yard.context)
    await yard.calm()
    await worked(yard)
    assert (await now(yard, review)).reason == LOST
    yard.edge.sim.suspend(yard.repository.installation_id, suspended=False)
    yard.clock.ahead += timedelta(minutes=6)
    await loops.audit(yard.context)
    await yard.calm()
    await worked(yard)
    assert (await now(yard, review)).state is ReviewState.LIVE


def removed(yard: Yard) -> None:
    yard.edge.sim.remove_from(yard.repository.installation_id, "acme/shop")


def uninstalled(yard: Yard) -> None:
    yard.edge.sim.uninstall(yard.repository.installation_id)


def answering(status: int) -> Callable[[Yard], None]:
    return lambda yard: yard.edge.sim.chaos.answer("error", status=status, times=None)


@pytest.mark.parametrize(
    "trouble",
    [removed, uninstalled, answering(404), answering(403), answering(500)],
    ids=["taken from the installation", "the installation is gone", "404", "403", "500"],
)
async def test_what_github_does_not_show_without_having_said_so_changes_nothing(
    yard: Yard, trouble: Callable[[Yard], None]
) -> None:
    review, subject = await running(yard)
    trouble(yard)
    for _ in range(2):
        yard.clock.ahead += timedelta(hours=13)
        await loops.audit(yard.context)
        await settle_down(yard, subject)
        await worked(yard)
    assert ((await now(yard, review)).state, processes(yard, review)) == (ReviewState.LIVE, 1)
    found = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert found is not None
    assert (found.accessible, found.lost_at) == (True, None)


async def test_since_when_access_is_lost_does_not_begin_anew(yard: Yard) -> None:
    await running(yard)
    await installation(yard, "suspend")
    first = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    yard.clock.ahead += timedelta(hours=5)
    named = [{"id": yard.repository.id, "full_name": "acme/shop"}]
    yard.edge.sim.remove_from(yard.repository.installation_id, "acme/shop")
    account = {
        "id": yard.repository.installation_id,
        "account": {"login": "acme"},
        "suspended_at": "2026-05-01T00:00:00Z",
    }
    await told(
        yard, "installation_repositories", "r", action="removed", installation=account, repositories_removed=named
    )
    again = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert first and again and first.lost_at == again.lost_at is not None  # noqa: PT018


async def test_a_pinned_one_rests_and_goes_only_with_its_repository(yard: Yard) -> None:
    await set_up(yard)
    review, subject = await running(yard)
    await verbs(yard).pin_review_app(review_id=review.id, pinned=True, actor="user:ada")
    await verbs(yard).pin_review_app(review_id=review.id, pinned=True, actor="user:ada")
    await idle(yard, subject)
    await worked(yard)
    assert (await now(yard, review)).state is ReviewState.LIVE
    entries = await yard.see(lambda conn: activity.listing(conn, pipeline_id=yard.pipeline.id, limit=50))
    assert [each.actor for each in entries if each.action == "review app pinned"] == ["user:ada"]

    await verbs(yard).pin_review_app(review_id=review.id, pinned=False, actor="user:ada")
    await yard.calm()
    await worked(yard)
    assert (await now(yard, review)).state is ReviewState.SUSPENDED
