"""Review apps that nobody uses or whose repository is out of reach, situation by situation."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import (
    Decision,
    Deploy,
    Destroy,
    Look,
    Nothing,
    Request,
    Restart,
    SetReview,
    Suspend,
    Wait,
)
from service.domain.deploys import DESTROY
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import (
    AppState,
    IdleAction,
    ReleaseId,
    RepositoryId,
    RequestState,
    ReviewState,
    Toggles,
    Trust,
)
from service.domain.review_apps import ReviewView, plan
from service.domain.review_rules import FORK, LOST
from tests.domain.things import (
    NOW,
    ON,
    REPO,
    A,
    B,
    app,
    ci_fact,
    live_view,
    pipeline,
    pr_fact,
    pull_request,
    repository,
    request,
    review,
    review_view,
    status,
)

STALE = "no deploy for 5 days"
QUEUED = RequestState.QUEUED


def settings(**changes: Any) -> Any:
    return pipeline(toggles=Toggles(review_apps=True, automatic_review_apps=True, destroy_stale=True, **changes))


def running(**changes: Any) -> Any:
    return app(is_review=True, current_release_id=ReleaseId("release"), **changes)


def old(**changes: Any) -> Any:
    return review(deployed_at=NOW - timedelta(days=6), **changes)


def view(**changes: Any) -> ReviewView:
    return live_view(**{"app": running(), "review": old(), "pipeline": SUSPENDS} | changes)


def out_of_reach(hours: float = 1) -> Any:
    return repository(accessible=False, lost_at=NOW - timedelta(hours=hours))


def waits(what: str) -> list[Any]:
    return [request(None, QUEUED, kind=what)]


def soon(**changes: Any) -> Any:
    """Deployed so long ago that it has half a day left."""
    return review(**{"deployed_at": NOW - timedelta(days=4, hours=12)} | changes)


def told(become: str) -> str:
    when = "no deploy for 5 days), unless something is pushed or: towpath reviewapps:pin 5 -p shop"
    return f"to be {become} at {IN_HALF_A_DAY:%Y-%m-%d %H:%M} UTC ({when}"


def asks(work: Any, reason: str) -> Request:
    return Request(app_id=app().id, work=work, reason=reason)


def confirm(reason: str) -> str:
    return f"destroy pending: confirm ({reason}) by: towpath reviewapps:destroy 5 -p shop"


def noted(reason: str, state: ReviewState = ReviewState.LIVE) -> SetReview:
    return SetReview(
        pipeline_id=pipeline().id, repository_id=REPO, ref="pr:5", state=state, sha=A, branch="feature", reason=reason
    )


SUSPENDS, DESTROYS = settings(idle_action=IdleAction.SUSPEND), settings()
GOES = asks(Destroy(ordered=False, reason=STALE), STALE)
LEAVES = asks(Destroy(ordered=False, reason=LOST), LOST)
RESTS = review(state=ReviewState.SUSPENDED, reason=STALE, deployed_at=NOW - timedelta(days=6))
STRANDED = review(state=ReviewState.SUSPENDED, reason=LOST)
ASLEEP = running(state=AppState.SUSPENDED)
UNREACHED = "waiting for: access to acme/shop"
UNTIL = Wait(reason=UNREACHED, until=NOW + timedelta(hours=23))
BRAKED = {"live_review_apps": 1, "inferred_this_hour": 3}
DEPLOYED = "aaaaaaa is deployed"
IN_HALF_A_DAY = NOW + timedelta(hours=12)
LATER = NOW + timedelta(minutes=10)
DEPLOY_B = Deploy(repository_id=REPO, sha=B, trust=Trust.OWN, branch="feature", pull_request=5)

GATED = {"wait_for_ci": True}
SUSPENDS_RED, DESTROYS_RED = settings(idle_action=IdleAction.SUSPEND, **GATED), settings(**GATED)
RED = "CI failed: ci/build"
CI_WAITS = Wait(reason=RED, until=NOW + timedelta(seconds=115))


def red(**changes: Any) -> ReviewView:
    """The pull request has gone on to B, whose CI is red, while A is deployed."""
    newer = {"pull_request": pr_fact(pull_request(head_sha=B)), "ci": ci_fact(status("failure"), sha=B)}
    return view(**{"pipeline": SUSPENDS_RED, "review": old(sha=B, reason=RED), **newer} | changes)


CASES: list[tuple[str, ReviewView, tuple[Decision, ...]]] = [
    ("idle: suspended where the settings say so", view(), (asks(Suspend(reason=STALE), STALE),)),
    ("idle: destroyed where they do not", view(pipeline=DESTROYS), (GOES,)),
    (
        "not idle for long enough: waits for the day on which its end is told",
        view(review=review()),
        (Wait(reason=DEPLOYED, until=NOW - timedelta(seconds=4000) + timedelta(days=4)),),
    ),
    (
        "idle in half a day: the end is told a day before",
        view(pipeline=DESTROYS, review=soon()),
        (noted(told("destroyed")), Wait(reason=DEPLOYED, until=IN_HALF_A_DAY)),
    ),
    (
        "idle in half a day and suspended then: said so",
        view(review=soon()),
        (noted(told("suspended")), Wait(reason=DEPLOYED, until=IN_HALF_A_DAY)),
    ),
    (
        "idle in half a day, which is told already: is not told again",
        view(pipeline=DESTROYS, review=soon(reason=told("destroyed"))),
        (Wait(reason=DEPLOYED, until=IN_HALF_A_DAY),),
    ),
    (
        "idle in half a day, and suspended by the settings of now: told anew",
        view(review=soon(reason=told("destroyed"))),
        (noted(told("suspended")), Wait(reason=DEPLOYED, until=IN_HALF_A_DAY)),
    ),
    (
        "its end was told, and it was pinned: no longer told",
        view(pipeline=DESTROYS, review=soon(reason=told("destroyed"), pinned=True)),
        (noted(""), Nothing(reason=DEPLOYED)),
    ),
    (
        "its end was told, and stale ones are left alone by now: no longer told",
        view(pipeline=pipeline(), review=soon(reason=told("destroyed"))),
        (noted(""), Nothing(reason=DEPLOYED)),
    ),
    (
        "its end was told, and it was deployed since: no longer told",
        view(pipeline=DESTROYS, review=review(reason=told("destroyed"), deployed_at=NOW)),
        (noted(""), Wait(reason=DEPLOYED, until=NOW + timedelta(days=4))),
    ),
    (
        "its end was told: ends as it was told",
        view(pipeline=DESTROYS, review=old(reason=told("destroyed"))),
        (GOES,),
    ),
    (
        "idle after a day: its end is told half a day before, not at once",
        view(pipeline=settings(stale_days=1), review=review(deployed_at=NOW)),
        (Wait(reason=DEPLOYED, until=NOW + timedelta(hours=12)),),
    ),
    (
        "idle in half a day, without anything to suspend: nothing is told",
        view(app=app(is_review=True), review=soon()),
        (Wait(reason=DEPLOYED, until=IN_HALF_A_DAY),),
    ),
    (
        "idle in half a day, but failed: why it failed is not written over",
        view(pipeline=DESTROYS, review=soon(state=ReviewState.FAILED, reason="the build failed")),
        (Wait(reason=DEPLOYED, until=IN_HALF_A_DAY),),
    ),
    ("idle and pinned: stays", view(review=old(pinned=True)), (Nothing(reason="aaaaaaa is deployed"),)),
    (
        "idle without anything that runs: nothing to suspend",
        view(app=app(is_review=True)),
        (Nothing(reason="aaaaaaa is deployed; nothing of it runs"),),
    ),
    (
        "idle while its suspension waits: once is enough",
        view(queue=tuple(waits("Suspend"))),
        (Nothing(reason="aaaaaaa is deployed"),),
    ),
    (
        "a draft that gets no updates: idle like others",
        view(
            pipeline=settings(idle_action=IdleAction.SUSPEND, drafts=False),
            pull_request=pr_fact(pull_request(draft=True)),
        ),
        (asks(Suspend(reason=STALE), STALE),),
    ),
    (
        "what waits for approval and for a person's word on its end: says the latter, and keeps saying it",
        view(
            pipeline=DESTROYS,
            pull_request=pr_fact(pull_request(head_sha=B, head_repository_id=RepositoryId(99))),
            review=old(reason=confirm(STALE), sha=B),
            **BRAKED,
        ),
        (Wait(reason=confirm(STALE), until=LATER),),
    ),
    (
        "CI of a newer commit is red: idle like others, and CI may still turn green",
        red(),
        (CI_WAITS, asks(Suspend(reason=STALE), STALE)),
    ),
    (
        "CI of a newer commit is red, not idle for long enough: waits for the day",
        red(review=review(sha=B, reason=RED, deployed_at=NOW - timedelta(days=1))),
        (CI_WAITS, Wait(reason=RED, until=NOW + timedelta(days=3))),
    ),
    (
        "CI of a newer commit is red, idle tomorrow: says what is red, and waits for the end",
        red(review=soon(sha=B, reason=RED)),
        (CI_WAITS, Wait(reason=RED, until=IN_HALF_A_DAY)),
    ),
    (
        "CI of a newer commit is red and a person's word is awaited: says the latter, and keeps saying it",
        red(pipeline=DESTROYS_RED, review=old(reason=confirm(STALE), sha=B), **BRAKED),
        (CI_WAITS, Wait(reason=confirm(STALE), until=LATER)),
    ),
    (
        "CI of a newer commit goes on: somebody works on it, it is not idle",
        red(ci=ci_fact(status("pending"), sha=B), review=old(sha=B, reason="waiting for: ci/build")),
        (Wait(reason="waiting for: ci/build", until=NOW + timedelta(seconds=115)),),
    ),
    (
        "what waits for approval is not to end after all: says again what it waits for",
        view(
            pipeline=DESTROYS,
            pull_request=pr_fact(pull_request(head_sha=B, head_repository_id=RepositoryId(99))),
            review=old(reason=confirm(STALE), sha=B, pinned=True),
        ),
        (replace(noted(FORK), sha=B), Nothing(reason=f"{FORK}: not updated")),
    ),
    (
        "suspending is not rationed",
        view(live_review_apps=9, inferred_this_hour=99),
        (asks(Suspend(reason=STALE), STALE),),
    ),
    (
        "suspended: rests",
        view(review=RESTS, app=ASLEEP),
        (Nothing(reason=f"suspended ({STALE}); the next push or a person brings it back"),),
    ),
    (
        "suspended with stale apps left alone by now: rests",
        view(review=RESTS, app=ASLEEP, pipeline=pipeline()),
        (Nothing(reason=f"suspended ({STALE}); the next push or a person brings it back"),),
    ),
    (
        "suspended where stale ones are destroyed by now: destroyed",
        view(review=RESTS, app=ASLEEP, pipeline=DESTROYS),
        (GOES,),
    ),
    (
        "suspended, then a push: deployed",
        view(review=RESTS, app=ASLEEP, pull_request=pr_fact(pull_request(head_sha=B))),
        (
            SetReview(
                pipeline_id=pipeline().id,
                repository_id=REPO,
                ref="pr:5",
                state=ReviewState.SUSPENDED,
                sha=B,
                branch="feature",
                reason="the pull request is at bbbbbbb",
            ),
            asks(DEPLOY_B, "the pull request is at bbbbbbb"),
        ),
    ),
    (
        "a push while it is being suspended: deployed behind it",
        view(queue=tuple(waits("Suspend")), pull_request=pr_fact(pull_request(head_sha=B))),
        (
            SetReview(
                pipeline_id=pipeline().id,
                repository_id=REPO,
                ref="pr:5",
                state=ReviewState.LIVE,
                sha=B,
                branch="feature",
                reason="the pull request is at bbbbbbb",
            ),
            asks(DEPLOY_B, "the pull request is at bbbbbbb"),
        ),
    ),
    (
        "suspended, then closed: destroyed",
        view(review=RESTS, app=ASLEEP, pull_request=pr_fact(pull_request(state="closed"))),
        (asks(Destroy(ordered=True, reason="the pull request is closed"), "the pull request is closed"),),
    ),
    (
        "closed while it is being suspended: destroyed",
        view(queue=tuple(waits("Suspend")), pull_request=pr_fact(pull_request(state="closed"))),
        (asks(Destroy(ordered=True, reason="the pull request is closed"), "the pull request is closed"),),
    ),
    (
        "too many went in this hour: a person is asked, in words that say how",
        view(pipeline=DESTROYS, **BRAKED),
        (noted(confirm(STALE)), Wait(reason=confirm(STALE), until=LATER)),
    ),
    (
        "a person is asked once",
        view(pipeline=DESTROYS, review=old(reason=confirm(STALE)), **BRAKED),
        (Wait(reason=confirm(STALE), until=LATER),),
    ),
    ("there is room again: destroyed", view(pipeline=DESTROYS, review=old(reason=confirm(STALE))), (GOES,)),
    (
        "asked, then pinned: no longer asked",
        view(pipeline=DESTROYS, review=old(reason=confirm(STALE), pinned=True), **BRAKED),
        (noted(""), Nothing(reason="aaaaaaa is deployed")),
    ),
    (
        "asked, then deployed to: no longer asked",
        view(pipeline=DESTROYS, review=review(reason=confirm(STALE)), **BRAKED),
        (
            noted(""),
            Wait(reason="aaaaaaa is deployed", until=NOW - timedelta(seconds=4000) + timedelta(days=4)),
        ),
    ),
    (
        "access lost: suspended at once",
        live_view(app=running(), repository=out_of_reach()),
        (UNTIL, asks(Suspend(reason=LOST), LOST)),
    ),
    (
        "access lost before the pull request was read again: suspended all the same",
        live_view(app=running(), repository=out_of_reach(), pull_request=pr_fact(stale=True)),
        (UNTIL, asks(Suspend(reason=LOST), LOST)),
    ),
    (
        "access lost while a deploy waits: suspended",
        live_view(app=running(), repository=out_of_reach(), queue=(request(B, QUEUED),)),
        (UNTIL, asks(Suspend(reason=LOST), LOST)),
    ),
    (
        "access lost while its suspension waits: once is enough",
        live_view(app=running(), repository=out_of_reach(), queue=tuple(waits("Suspend"))),
        (UNTIL,),
    ),
    ("access lost, suspended: waits", live_view(app=ASLEEP, review=STRANDED, repository=out_of_reach()), (UNTIL,)),
    (
        "access lost while suspended for being idle: waits",
        live_view(app=ASLEEP, review=RESTS, repository=out_of_reach()),
        (UNTIL,),
    ),
    ("access lost before anything ran: waits", live_view(repository=out_of_reach()), (UNTIL,)),
    (
        "access lost, pinned: suspended as well",
        live_view(app=running(), review=review(pinned=True), repository=out_of_reach()),
        (UNTIL, asks(Suspend(reason=LOST), LOST)),
    ),
    (
        "access lost a minute short of 24 hours ago: waits",
        live_view(app=ASLEEP, review=STRANDED, repository=out_of_reach(24 - 1 / 60)),
        (Wait(reason=UNREACHED, until=NOW + timedelta(minutes=1)),),
    ),
    (
        "access lost 24 hours ago: destroyed, as inferred",
        live_view(app=ASLEEP, review=STRANDED, repository=out_of_reach(24)),
        (LEAVES,),
    ),
    (
        "access lost 24 hours ago by too many: a person is asked",
        live_view(app=ASLEEP, review=STRANDED, repository=out_of_reach(24), **BRAKED),
        (noted(confirm(LOST), ReviewState.SUSPENDED), Wait(reason=confirm(LOST), until=LATER)),
    ),
    (
        "access lost while it is being destroyed: nothing more",
        live_view(app=running(), repository=out_of_reach(), queue=tuple(waits(DESTROY))),
        (Wait(reason=UNREACHED),),
    ),
    (
        "access lost, and a person takes it away: destroyed",
        live_view(app=ASLEEP, review=STRANDED, repository=out_of_reach(), asked="destroy"),
        (
            Request(
                app_id=app().id,
                work=Destroy(ordered=True, reason="a person took it away"),
                reason="a person took it away",
                by_person=True,
            ),
        ),
    ),
    (
        "access is back: started anew",
        live_view(app=ASLEEP, review=STRANDED),
        (asks(Restart(), "access to the repository is back"),),
    ),
    (
        "access is back while a person was asked: started anew",
        live_view(app=ASLEEP, review=review(state=ReviewState.SUSPENDED, reason=confirm(LOST))),
        (asks(Restart(), "access to the repository is back"),),
    ),
    (
        "access is back and it is being started: once is enough",
        live_view(app=ASLEEP, review=STRANDED, queue=tuple(waits("Restart"))),
        (Nothing(reason="aaaaaaa is deployed"),),
    ),
    (
        "access is back and the pull request was closed meanwhile: destroyed",
        live_view(app=ASLEEP, review=STRANDED, pull_request=pr_fact(pull_request(state="closed"))),
        (asks(Destroy(ordered=True, reason="the pull request is closed"), "the pull request is closed"),),
    ),
    (
        "access is back before what waits has suspended it: that comes first",
        live_view(app=running(), queue=tuple(waits("Suspend"))),
        (Nothing(reason="aaaaaaa is deployed"),),
    ),
    (
        "an error is no loss of access",
        live_view(app=running(), pull_request=pr_fact(error="404 Not Found")),
        (Wait(reason="GitHub could not be asked: 404 Not Found", until=NOW + timedelta(seconds=55)),),
    ),
    (
        "it came back after its app was destroyed for want of access: made anew",
        review_view(review=review(state=ReviewState.DESTROYED, reason=LOST), pipeline=pipeline(toggles=ON)),
        plan(review_view()),
    ),
]


@pytest.mark.parametrize(("seen", "want"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_rest(seen: ReviewView, want: tuple[Decision, ...]) -> None:
    assert plan(seen) == want


def test_a_branchs_app_is_suspended_and_started_anew_as_well() -> None:
    of_branch = {"ref": "branch:topic", "number": None, "pull_request": None}
    lost = live_view(app=running(), repository=out_of_reach(), **of_branch)
    assert plan(lost) == (UNTIL, asks(Suspend(reason=LOST), LOST))
    back = live_view(app=ASLEEP, review=STRANDED, **of_branch)
    assert plan(back) == (asks(Restart(), "access to the repository is back"),)


def test_without_access_no_person_gets_a_review_app() -> None:
    with pytest.raises(Refused, match="Towpath has no access to acme/shop"):
        plan(live_view(repository=out_of_reach(), asked="create"))


def test_a_person_may_ask_what_is_not_known_of_a_repository_that_may_be_back() -> None:
    asked = live_view(repository=out_of_reach(), asked="create", pull_request=None)
    assert plan(asked) == (Look(fact=FactKey(FactKind.PULL_REQUEST, REPO, "5"), why="not known yet"),)
