"""When an app that follows a branch deploys, situation by situation."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.auto_deploy import AutoDeployView, plan
from service.domain.decisions import Decision, Deploy, Look, Nothing, Request, Wait
from service.domain.deploys import DESTROY
from service.domain.facts import FactKey, FactKind, changes_between, commits_between
from service.domain.model import NO_SHA, AppState, RequestState, Sha, Stage, Toggles, Trust
from tests.domain.things import (
    NOW,
    OF_PIPELINE,
    REPO,
    A,
    B,
    C,
    ago,
    app,
    auto_view,
    changed,
    ci_fact,
    head_fact,
    lock,
    repository,
    request,
    run,
    stands,
    status,
)

HEAD = FactKey(FactKind.HEAD, REPO, "main")
DONE, FAILED, CANCELLED = RequestState.SUCCEEDED, RequestState.FAILED, RequestState.CANCELLED
QUEUED, RUNNING = RequestState.QUEUED, RequestState.RUNNING


def deploys(sha: Sha, branch: str = "main") -> Request:
    return Request(
        app_id=app("shop-staging").id,
        work=Deploy(repository_id=REPO, sha=sha, trust=Trust.OWN, branch=branch),
        reason=f"{branch} is at {sha[:7]}",
    )


PATHS = Toggles(paths=("api/**",))
SKIPPED = Nothing(reason="nothing changed in api/** since ccccccc: not deployed")
GATED = app("shop-staging", wait_for_ci=True)
SOON = NOW + timedelta(minutes=1)
DOUBTED = head_fact(doubted_until=SOON)
LAGS = Wait(reason="waiting for: GitHub to show the last push to main", until=SOON)
CASES: list[tuple[str, AutoDeployView, Decision]] = [
    ("the head is deployed", auto_view(), deploys(A)),
    ("off: nothing", auto_view(app=app(auto_deploy=False)), Nothing(reason="automatic deploys are off")),
    (
        "automatic deploys off and no repository of its own: off is the reason",
        auto_view(app=app(auto_deploy=False), repository=None),
        Nothing(reason="automatic deploys are off"),
    ),
    ("no repository: nothing", auto_view(repository=None), Nothing(reason="no repository is connected")),
    (
        "without access it waits",
        auto_view(repository=repository(accessible=False)),
        Wait(reason="waiting for: access to acme/shop"),
    ),
    (
        "whoever connected it may do so no longer: it waits for somebody who may",
        auto_view(right_lost="waiting for: somebody"),
        Wait(reason="waiting for: somebody"),
    ),
    ("held: nothing", auto_view(held="held at v12"), Nothing(reason="held at v12")),
    ("no branch named: nothing", auto_view(branch=""), Nothing(reason="no branch is named")),
    (
        "the merge queue's branches: nothing",
        auto_view(branch="gh-readonly-queue/main/pr-5-aaaa"),
        Nothing(reason="branches of the merge queue are never deployed"),
    ),
    (
        "a review app does not follow a branch",
        auto_view(app=app(is_review=True)),
        Nothing(reason="review apps follow their pull request"),
    ),
    (
        "an app in the review stage does not follow a branch",
        auto_view(stage=Stage.REVIEW),
        Nothing(reason="review apps follow their pull request"),
    ),
    ("an app outside a pipeline may follow a branch", auto_view(stage=None), deploys(A)),
    ("a suspended app: nothing", auto_view(app=app(state=AppState.SUSPENDED)), Nothing(reason="the app is suspended")),
    (
        "an app whose destroy is queued: nothing",
        auto_view(queue=(request(None, QUEUED, kind=DESTROY),)),
        Nothing(reason="the app is about to be destroyed"),
    ),
    ("an unknown head is looked at", auto_view(head=None), Look(fact=HEAD, why="not known yet")),
    ("an outdated head is looked at", auto_view(head=head_fact(stale=True)), Look(fact=HEAD, why="newer is out")),
    (
        "a head of another branch is looked at",
        auto_view(head=head_fact(branch="master")),
        Look(fact=HEAD, why="not known yet"),
    ),
    (
        "a changed default branch is deployed",
        auto_view(branch="trunk", head=head_fact(B, branch="trunk")),
        deploys(B, "trunk"),
    ),
    (
        "an old head is read again before a deploy",
        auto_view(head=head_fact(age=301)),
        Look(fact=HEAD, why="too old to act on"),
    ),
    (
        "an old head is fine while nothing is to be done",
        auto_view(head=head_fact(age=9000), last_auto_deploy=request(A)),
        Nothing(reason="aaaaaaa is deployed"),
    ),
    (
        "an error is waited out",
        auto_view(head=head_fact(error="500")),
        Wait(reason="GitHub could not be asked: 500", until=ago(5) + timedelta(minutes=1)),
    ),
    (
        "a deleted branch: nothing",
        auto_view(head=head_fact(None)),
        Nothing(reason="there is no branch main now; deploys go on when it is back"),
    ),
    (
        "a branch that is gone while another is the default one: it is named",
        auto_view(head=head_fact(None), repository=repository(default_branch="trunk")),
        Nothing(
            reason="there is no branch main now; deploys go on when it is back, or follow trunk: "
            "towpath deploy:auto on --default-branch -a shop-staging"
        ),
    ),
    (
        "an all-zero head: nothing",
        auto_view(head=head_fact(NO_SHA)),
        Nothing(reason="there is no branch main now; deploys go on when it is back"),
    ),
    ("deployed: nothing", auto_view(last_auto_deploy=request(A)), Nothing(reason="aaaaaaa is deployed")),
    ("a newer head is deployed", auto_view(head=head_fact(B), last_auto_deploy=request(A)), deploys(B)),
    (
        "where GitHub may not know the last push, it is looked whether the head came before what runs",
        auto_view(head=DOUBTED, serving=C),
        Look(fact=commits_between(REPO, C, A), why="not known yet"),
    ),
    (
        "a head from before what runs waits while GitHub may not know the last push",
        auto_view(head=DOUBTED, serving=C, apart=stands(behind=2)),
        LAGS,
    ),
    (
        "what runs is not deployed anew while GitHub may not know the last push",
        auto_view(head=DOUBTED, serving=A),
        LAGS,
    ),
    (
        "a head from after what runs is deployed though GitHub may not know the last push",
        auto_view(head=DOUBTED, serving=C, apart=stands(ahead=1)),
        deploys(A),
    ),
    (
        "a head from beside what runs waits as well: it may be what was amended, or rebased, and pushed by force",
        auto_view(head=DOUBTED, serving=C, apart=stands(ahead=1, behind=2)),
        LAGS,
    ),
    (
        "a head from beside what runs is deployed once nobody doubts it: the branch was pushed by force",
        auto_view(head=head_fact(doubted_until=NOW), serving=C, apart=stands(ahead=1, behind=2)),
        deploys(A),
    ),
    (
        "a head from after what runs waits where the last push took it back",
        auto_view(head=replace(DOUBTED, returned=True), serving=C, apart=stands(ahead=1)),
        LAGS,
    ),
    ("the first head is deployed though GitHub may not know the last push", auto_view(head=DOUBTED), deploys(A)),
    (
        "a head from before what runs is deployed once nobody doubts it: the branch was set back",
        auto_view(head=head_fact(doubted_until=NOW), serving=C, apart=stands(behind=2)),
        deploys(A),
    ),
    (
        "what was compared with another commit than runs now is compared anew",
        auto_view(head=DOUBTED, serving=C, apart=stands(behind=2, base=B)),
        Look(fact=commits_between(REPO, C, A), why="not known yet"),
    ),
    ("a force-pushed head is deployed", auto_view(head=head_fact(A), last_auto_deploy=request(B)), deploys(A)),
    (
        "failed: not repeated by itself",
        auto_view(last_auto_deploy=request(A, FAILED)),
        Nothing(reason="deploy of aaaaaaa failed; push a new commit or deploy it again"),
    ),
    (
        "cancelled: not repeated by itself",
        auto_view(last_auto_deploy=request(A, CANCELLED)),
        Nothing(reason="deploy of aaaaaaa was cancelled; push a new commit or deploy it again"),
    ),
    ("cancelled: the next commit is deployed", auto_view(last_auto_deploy=request(B, CANCELLED)), deploys(A)),
    (
        "waiting already: once is enough",
        auto_view(queue=(request(A, QUEUED),), last_auto_deploy=request(A, QUEUED)),
        Nothing(reason="deploy of aaaaaaa is under way"),
    ),
    ("a newer head replaces what waits", auto_view(head=head_fact(B), queue=(request(A, QUEUED),)), deploys(B)),
    (
        "a newer head queues behind what runs",
        auto_view(head=head_fact(B), queue=(request(A, RUNNING),), last_auto_deploy=request(A, RUNNING)),
        deploys(B),
    ),
    (
        "a manual deploy of another commit in between stays until the next push",
        auto_view(last_deploy=request(C, DONE, by_person=True), last_auto_deploy=request(A)),
        Nothing(reason="aaaaaaa is deployed"),
    ),
    (
        "the next push overwrites a manual deploy",
        auto_view(head=head_fact(B), last_deploy=request(C, DONE, by_person=True), last_auto_deploy=request(A)),
        deploys(B),
    ),
    (
        "the head deployed by hand is not deployed again",
        auto_view(last_deploy=request(A, DONE, by_person=True)),
        Nothing(reason="aaaaaaa is deployed"),
    ),
    (
        "the head failed by hand is tried once by itself",
        auto_view(last_deploy=request(A, FAILED, by_person=True)),
        deploys(A),
    ),
    (
        "what a push changed since the last deploy is looked at where paths are named",
        auto_view(toggles=PATHS, serving=C),
        Look(fact=changes_between(REPO, C, A), why="not known yet"),
    ),
    (
        "a push that changes the paths is deployed",
        auto_view(toggles=PATHS, serving=C, changes=changed("api/x")),
        deploys(A),
    ),
    (
        "a push that changes nothing in the paths: nothing",
        auto_view(toggles=PATHS, serving=C, changes=changed("web/x")),
        SKIPPED,
    ),
    (
        "what is compared with a former deploy does not count",
        auto_view(toggles=PATHS, serving=C, changes=changed("api/x", base=B)),
        Look(fact=changes_between(REPO, C, A), why="not known yet"),
    ),
    ("the first deploy needs no change", auto_view(toggles=PATHS), deploys(A)),
    (
        "a list of changes that is cut deploys",
        auto_view(toggles=PATHS, serving=C, changes=changed("web/x", whole=False)),
        deploys(A),
    ),
    (
        "a head that does not hold what is deployed is deployed",
        auto_view(toggles=PATHS, serving=C, changes=changed(linear=False)),
        deploys(A),
    ),
    (
        "an error in the list of changes is waited out",
        auto_view(toggles=PATHS, serving=C, changes=changed(error="502")),
        Wait(reason="GitHub could not be asked: 502", until=ago(5) + timedelta(minutes=1)),
    ),
    (
        "CI is not asked about a push that changes nothing in the paths",
        auto_view(app=GATED, toggles=PATHS, serving=C, changes=changed("web/x")),
        SKIPPED,
    ),
    (
        "locked: waits until the lock lifts, and CI is not asked",
        auto_view(app=GATED, locks=(lock(),)),
        Wait(reason=lock().text, until=lock().expires_at),
    ),
    ("locked without a time: waits", auto_view(locks=(OF_PIPELINE,)), Wait(reason=OF_PIPELINE.text)),
    ("a lock that has expired: deployed", auto_view(locks=(lock(expires_at=ago(1)),)), deploys(A)),
    (
        "locked, and the head is deployed already: nothing waits",
        auto_view(locks=(lock(),), last_auto_deploy=request(A)),
        Nothing(reason="aaaaaaa is deployed"),
    ),
    (
        "locked, and the push changes nothing in the paths: nothing waits",
        auto_view(locks=(lock(),), toggles=PATHS, serving=C, changes=changed("web/x")),
        SKIPPED,
    ),
    (
        "put off by a lock and unlocked: deployed",
        auto_view(last_auto_deploy=request(A, RequestState.SUPERSEDED)),
        deploys(A),
    ),
    (
        "CI is read first",
        auto_view(app=GATED),
        Look(fact=FactKey(FactKind.CI, REPO, A), why="not known yet"),
    ),
    ("green CI: deployed", auto_view(app=GATED, ci=ci_fact(run("success"))), deploys(A)),
    (
        "green CI of which something could not be read: deployed, and said",
        auto_view(app=GATED, ci=ci_fact(status("success"), unread="no check runs are shown")),
        replace(deploys(A), reason="main is at aaaaaaa; no check runs are shown"),
    ),
    (
        "running CI: waits",
        auto_view(app=GATED, ci=ci_fact(run("queued"))),
        Wait(reason="waiting for: build (GitHub Actions)", until=ago(5) + timedelta(minutes=2)),
    ),
    (
        "red CI: waits for a re-run",
        auto_view(app=GATED, ci=ci_fact(run("failure"))),
        Wait(reason="CI failed: build (GitHub Actions)", until=ago(5) + timedelta(minutes=2)),
    ),
    (
        "no CI by the timeout: never by itself",
        auto_view(app=GATED, ci=ci_fact(seen=3605)),
        Wait(reason="no CI found"),
    ),
    (
        "green from before the branch came to the commit: its own checks may be yet to begin",
        auto_view(app=GATED, head=replace(head_fact(), since=ago(10)), ci=ci_fact(run("success"), seen=900)),
        Wait(reason="waiting for: further statuses and checks, which have 30 s to appear", until=ago(-20)),
    ),
    (
        "late green: deployed",
        auto_view(app=GATED, ci=ci_fact(run("success"), seen=9000)),
        deploys(A),
    ),
    (
        "CI of the former head never lets the new one through",
        auto_view(app=GATED, head=head_fact(B), ci=ci_fact(run("success"), sha=A)),
        Look(fact=FactKey(FactKind.CI, REPO, B), why="not known yet"),
    ),
]


@pytest.mark.parametrize(("view", "want"), [(v, w) for _, v, w in CASES], ids=[s for s, _, _ in CASES])
def test_auto_deploy(view: AutoDeployView, want: Decision) -> None:
    assert plan(view) == (want,)
