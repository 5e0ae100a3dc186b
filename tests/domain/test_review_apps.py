"""What becomes of a pull request's review app, situation by situation."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import (
    CreateReviewApp,
    Decision,
    Deploy,
    Destroy,
    Look,
    Nothing,
    Request,
    SetReview,
    Wait,
)
from service.domain.deploys import DESTROY
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind, changes_between
from service.domain.model import NO_SHA, AppState, RepositoryId, RequestState, ReviewState, Sha, Toggles, Trust
from service.domain.review_apps import ReviewView, plan
from service.domain.review_rules import (
    ARCHIVED,
    ASKED,
    BOT,
    BY_PERSON,
    CLOSED,
    DRAFT,
    FORK,
    MANUAL,
    MOVED,
    OVER_CAP,
    SWITCHED_OFF,
    brakes,
)
from tests.domain.things import (
    NOW,
    ON,
    REPO,
    A,
    B,
    C,
    ago,
    app,
    changed,
    ci_fact,
    head_fact,
    live_view,
    pipeline,
    pr_fact,
    pull_request,
    repository,
    request,
    review,
    review_view,
    run,
    status,
    suite,
)

PR_KEY = FactKey(FactKind.PULL_REQUEST, REPO, "5")
CI_KEY = FactKey(FactKind.CI, REPO, A)
FAR = RepositoryId(99)


def toggles(**changes: Any) -> Any:
    values = {"review_apps": True, "automatic_review_apps": True} | changes
    return pipeline(toggles=Toggles(**values))


def of(**changes: Any) -> Any:
    return pr_fact(pull_request(**changes))


def deploy(sha: Sha = A, branch: str = "feature", number: int | None = 5) -> Deploy:
    return Deploy(repository_id=REPO, sha=sha, trust=Trust.OWN, branch=branch, pull_request=number)


def created(
    *, sha: Sha = A, reason: str = "pull request #5 is open at aaaaaaa", by_person: bool = False
) -> CreateReviewApp:
    return CreateReviewApp(
        pipeline_id=pipeline().id,
        repository_id=REPO,
        ref="pr:5",
        name="shop-pr-5",
        deploy=deploy(sha),
        reason=reason,
        by_person=by_person,
    )


def updated(sha: Sha) -> Request:
    return Request(app_id=app().id, work=deploy(sha), reason=f"the pull request is at {sha[:7]}")


def moved(sha: Sha, state: ReviewState = ReviewState.LIVE, reason: str = "") -> SetReview:
    return shown(state, reason or f"the pull request is at {sha[:7]}", sha=sha)


def destroyed(reason: str, *, by_person: bool = False, ordered: bool = True) -> Request:
    return Request(app_id=app().id, work=Destroy(ordered=ordered, reason=reason), reason=reason, by_person=by_person)


def shown(
    state: ReviewState, reason: str, *, sha: Sha = A, by_person: bool = False, branch: str = "feature"
) -> SetReview:
    return SetReview(
        pipeline_id=pipeline().id,
        repository_id=REPO,
        ref="pr:5",
        state=state,
        sha=sha,
        branch=branch,
        reason=reason,
        by_person=by_person,
    )


def waits(reason: str, **more: Any) -> SetReview:
    return shown(ReviewState.WAITING, reason, **more)


def waiting(reason: str, **more: Any) -> Any:
    return review(state=ReviewState.WAITING, reason=reason, app_id=None, deployed_at=None, **more)


CI_ON = toggles(wait_for_ci=True)
OFF = toggles(review_apps=False)
BY_HAND = toggles(automatic_review_apps=False)
LEAVING = review(state=ReviewState.DESTROYING, reason=CLOSED)
GONE = review(state=ReviewState.DESTROYED, reason=CLOSED)
QUEUED_A = (request(A, RequestState.QUEUED),)
RUNNING_A = (request(A, RequestState.RUNNING),)
CAPPED = toggles(max_review_apps=2)
CAP_TEXT = f"{OVER_CAP} of 2 review apps: number 1 in the queue"
SOON = NOW + timedelta(minutes=1)
DISCONNECTED = pipeline(right_lost="octavia, who did, has the permission read")
NO_RIGHT = (
    "waiting for: somebody with write or admin in acme/shop to connect it, for octavia, who did, has the permission read "
    "by now: towpath pipelines:connect shop -r acme/shop"
)
LABELED = toggles(labels=("Preview", "demo"))
NO_LABEL = "it has none of the labels: Preview, demo"
BASED = toggles(base_branches=("main", "release/*"))
NO_BASE = "it goes into topic-1, not into: main, release/*"
PATHS = toggles(paths=("api/**", "!**/*.md"))
ELSEWHERE = "it changes nothing in: api/**, !**/*.md"
CHANGES = changes_between(REPO, C, A)
READING = "waiting for: what the pull request changes"

CREATION: list[tuple[str, ReviewView, tuple[Decision, ...]]] = [
    ("an open pull request gets an app", review_view(), (created(),)),
    ("an unknown pull request is looked at", review_view(pull_request=None), (Look(fact=PR_KEY, why="not known yet"),)),
    (
        "an outdated one is looked at",
        review_view(pull_request=pr_fact(stale=True)),
        (Look(fact=PR_KEY, why="newer is out"),),
    ),
    (
        "one read long ago is read again before an app is made",
        review_view(pull_request=pr_fact(age=301)),
        (Look(fact=PR_KEY, why="too old to act on"),),
    ),
    (
        "an error is waited out",
        review_view(pull_request=pr_fact(error="502 Bad Gateway")),
        (Wait(reason="GitHub could not be asked: 502 Bad Gateway", until=ago(5) + timedelta(minutes=1)),),
    ),
    (
        "after an error it is looked at again",
        review_view(pull_request=pr_fact(error="404", age=61)),
        (Look(fact=PR_KEY, why="the last look failed: 404"),),
    ),
    (
        "a closed one without an app needs nothing",
        review_view(pull_request=of(state="closed")),
        (Nothing(reason=CLOSED),),
    ),
    (
        "a fork waits for approval",
        review_view(pull_request=of(head_repository_id=FAR)),
        (waits(FORK), Wait(reason=FORK)),
    ),
    (
        "a deleted fork is a fork",
        review_view(pull_request=of(head_repository_id=None)),
        (waits(FORK), Wait(reason=FORK)),
    ),
    ("a bot waits for approval", review_view(pull_request=of(author_is_bot=True)), (waits(BOT), Wait(reason=BOT))),
    ("a draft gets an app", review_view(pull_request=of(draft=True)), (created(),)),
    (
        "a draft waits where drafts get none",
        review_view(pull_request=of(draft=True), pipeline=toggles(drafts=False)),
        (waits(DRAFT), Wait(reason=DRAFT)),
    ),
    (
        "a draft that is ready gets its app",
        review_view(pipeline=toggles(drafts=False), review=waiting(DRAFT)),
        (created(),),
    ),
    ("with automatic off it is listed", review_view(pipeline=BY_HAND), (waits(MANUAL), Wait(reason=MANUAL))),
    (
        "what is shown already is not shown again",
        review_view(pipeline=BY_HAND, review=waiting(MANUAL)),
        (Wait(reason=MANUAL),),
    ),
    (
        "a push to a waiting one is shown",
        review_view(pipeline=BY_HAND, review=waiting(MANUAL), pull_request=of(head_sha=B)),
        (waits(MANUAL, sha=B), Wait(reason=MANUAL)),
    ),
    ("automatic switched on lets it go", review_view(review=waiting(MANUAL)), (created(),)),
    (
        "a label that is asked for lets it go",
        review_view(pipeline=LABELED, pull_request=of(labels=("demo",))),
        (created(),),
    ),
    (
        "labels are not told apart by case",
        review_view(pipeline=LABELED, pull_request=of(labels=("x", "preview"))),
        (created(),),
    ),
    (
        "without the label it waits",
        review_view(pipeline=LABELED, pull_request=of(labels=("other",))),
        (waits(NO_LABEL), Wait(reason=NO_LABEL)),
    ),
    (
        "a person gets one without the label",
        review_view(pipeline=LABELED, asked="create"),
        (created(reason="a person asked for it", by_person=True),),
    ),
    (
        "a label that is put on lets what waits go",
        review_view(pipeline=LABELED, pull_request=of(labels=("preview",)), review=waiting(NO_LABEL)),
        (created(),),
    ),
    (
        "into a branch that is named it goes",
        review_view(pipeline=BASED, pull_request=of(base_ref="release/1")),
        (created(),),
    ),
    (
        "into another branch it waits",
        review_view(pipeline=BASED, pull_request=of(base_ref="topic-1")),
        (waits(NO_BASE), Wait(reason=NO_BASE)),
    ),
    (
        "led into a branch that is named, what waits goes",
        review_view(pipeline=BASED, review=waiting(NO_BASE)),
        (created(),),
    ),
    (
        "what it changes is looked at where paths are named",
        review_view(pipeline=PATHS),
        (waits(READING), Look(fact=CHANGES, why="not known yet")),
    ),
    (
        "what another commit changed does not count",
        review_view(pipeline=PATHS, changes=changed("api/main.py", head=B), review=waiting(READING)),
        (Look(fact=CHANGES, why="not known yet"),),
    ),
    ("a change in the paths lets it go", review_view(pipeline=PATHS, changes=changed("api/main.py")), (created(),)),
    (
        "a change outside of the paths waits",
        review_view(pipeline=PATHS, changes=changed("web/index.html", "api/README.md")),
        (waits(ELSEWHERE), Wait(reason=ELSEWHERE)),
    ),
    (
        "no change at all waits",
        review_view(pipeline=PATHS, changes=changed()),
        (waits(ELSEWHERE), Wait(reason=ELSEWHERE)),
    ),
    (
        "a list of changes that is cut lets it go",
        review_view(pipeline=PATHS, changes=changed("web/index.html", whole=False)),
        (created(),),
    ),
    (
        "a base that went on meanwhile does not matter",
        review_view(pipeline=PATHS, changes=changed("web/index.html", linear=False)),
        (waits(ELSEWHERE), Wait(reason=ELSEWHERE)),
    ),
    (
        "an error in the list of changes is waited out",
        review_view(pipeline=PATHS, changes=changed(error="502"), review=waiting(READING)),
        (Wait(reason="GitHub could not be asked: 502", until=ago(5) + timedelta(minutes=1)),),
    ),
    (
        "a person gets one that changes nothing in the paths",
        review_view(pipeline=PATHS, asked="create"),
        (created(reason="a person asked for it", by_person=True),),
    ),
    (
        "CI is not asked about what changes nothing in the paths",
        review_view(pipeline=toggles(wait_for_ci=True, paths=("api/**",)), changes=changed("web/x")),
        (waits("it changes nothing in: api/**"), Wait(reason="it changes nothing in: api/**")),
    ),
    (
        "with automatic off nobody asks what it changes",
        review_view(pipeline=toggles(automatic_review_apps=False, paths=("api/**",))),
        (waits(MANUAL), Wait(reason=MANUAL)),
    ),
    (
        "CI is read first",
        review_view(pipeline=CI_ON),
        (waits("waiting for: what GitHub says about the commit"), Look(fact=CI_KEY, why="not known yet")),
    ),
    (
        "CI is waited for",
        review_view(pipeline=CI_ON, ci=ci_fact(run("queued"))),
        (
            waits("waiting for: build (GitHub Actions)"),
            Wait(reason="waiting for: build (GitHub Actions)", until=ago(5) + timedelta(minutes=2)),
        ),
    ),
    (
        "green CI of before the pull request was opened: its own checks may be yet to begin",
        review_view(pipeline=CI_ON, pull_request=replace(pr_fact(), since=ago(10)), ci=ci_fact(run("success"))),
        (
            waits("waiting for: further statuses and checks, which have 30 s to appear"),
            Wait(reason="waiting for: further statuses and checks, which have 30 s to appear", until=ago(-20)),
        ),
    ),
    ("green CI lets it go", review_view(pipeline=CI_ON, ci=ci_fact(run("success"))), (created(),)),
    (
        "what could not be read of green CI is said",
        review_view(pipeline=CI_ON, ci=ci_fact(status("success"), unread="no check runs are shown")),
        (created(reason="pull request #5 is open at aaaaaaa; no check runs are shown"),),
    ),
    (
        "what could not be read does not matter where CI is not waited for",
        review_view(ci=ci_fact(status("success"), unread="no check runs are shown")),
        (created(),),
    ),
    (
        "red CI stops it",
        review_view(pipeline=CI_ON, ci=ci_fact(run("failure"))),
        (
            waits("CI failed: build (GitHub Actions)"),
            Wait(reason="CI failed: build (GitHub Actions)", until=ago(5) + timedelta(minutes=2)),
        ),
    ),
    (
        "CI of another commit does not count",
        review_view(pipeline=CI_ON, ci=ci_fact(run("success"), sha=B)),
        (waits("waiting for: what GitHub says about the commit"), Look(fact=CI_KEY, why="not known yet")),
    ),
    ("below the cap there is a place", review_view(pipeline=CAPPED, live_review_apps=1), (created(),)),
    (
        "over the cap it waits visibly",
        review_view(pipeline=CAPPED, live_review_apps=2),
        (waits(CAP_TEXT), Wait(reason=CAP_TEXT, until=SOON)),
    ),
    (
        "the oldest gets the next place",
        review_view(pipeline=CAPPED, live_review_apps=1, waiting_ahead=1),
        (
            waits(f"{OVER_CAP} of 2 review apps: number 2 in the queue"),
            Wait(reason=f"{OVER_CAP} of 2 review apps: number 2 in the queue", until=SOON),
        ),
    ),
    (
        "a place that is free is taken",
        review_view(pipeline=CAPPED, live_review_apps=1, review=waiting(CAP_TEXT)),
        (created(),),
    ),
    ("with the feature off nothing is made", review_view(pipeline=OFF), (Nothing(reason=SWITCHED_OFF),)),
    (
        "without access it waits",
        review_view(repository=repository(accessible=False)),
        (Wait(reason="waiting for: access to acme/shop"),),
    ),
    (
        "without access GitHub is not asked again and again",
        review_view(repository=repository(accessible=False), pull_request=None),
        (Wait(reason="waiting for: access to acme/shop"),),
    ),
    (
        "of an archived repository nothing new is made",
        review_view(repository=repository(archived=True)),
        (waits(ARCHIVED), Wait(reason=ARCHIVED)),
    ),
    (
        "whoever connected it may do so no longer: nothing new is made",
        review_view(pipeline=DISCONNECTED),
        (waits(NO_RIGHT), Wait(reason=NO_RIGHT)),
    ),
    (
        "whoever connected it may do so no longer: what is closed goes all the same",
        live_view(pipeline=DISCONNECTED, pull_request=of(state="closed")),
        (destroyed(CLOSED),),
    ),
    (
        "whoever connected it may do so no longer: what a person asks for is made",
        review_view(pipeline=DISCONNECTED, asked="create"),
        (created(reason=ASKED, by_person=True),),
    ),
    (
        "of an archived repository what a person asked for is made",
        review_view(repository=repository(archived=True), review=replace(waiting(ARCHIVED), by_person=True)),
        (created(reason=ASKED, by_person=True),),
    ),
    (
        "open before GitHub refused to tell: it waits",
        review_view(pull_request=replace(pr_fact(), error="403")),
        (Wait(reason="GitHub could not be asked: 403", until=ago(5 - 60)),),
    ),
    (
        "reopened while it is destroyed: the next one waits",
        review_view(review=LEAVING, app=app(state=AppState.DESTROYING)),
        (Wait(reason="waiting for: the former review app to be gone"),),
    ),
    ("reopened after it was destroyed: the next one comes", review_view(review=GONE), (created(),)),
    (
        "reopened after it never came: it comes",
        review_view(review=review(state=ReviewState.SKIPPED, reason=CLOSED)),
        (created(),),
    ),
    (
        "taken away by a person: it stays away",
        review_view(review=review(state=ReviewState.DESTROYED, reason=BY_PERSON)),
        (Nothing(reason=f"taken away ({BY_PERSON}); the next push or a person brings it back"),),
    ),
    (
        "taken off the list by a person: it stays away",
        review_view(review=review(state=ReviewState.SKIPPED, reason=BY_PERSON)),
        (Nothing(reason=f"taken away ({BY_PERSON}); the next push or a person brings it back"),),
    ),
    (
        "taken away for being idle: a push brings it back",
        review_view(
            review=review(state=ReviewState.DESTROYED, reason="no deploy for 5 days"), pull_request=of(head_sha=B)
        ),
        (created(sha=B, reason="pull request #5 is open at bbbbbbb"),),
    ),
    (
        "switched off and on again: it comes back",
        review_view(review=review(state=ReviewState.DESTROYED, reason=SWITCHED_OFF)),
        (created(),),
    ),
    (
        "an app that went on its own is noted",
        live_view(app=app(state=AppState.GONE)),
        (shown(ReviewState.DESTROYED, BY_PERSON),),
    ),
    ("an app that is missing is noted", live_view(app=None), (shown(ReviewState.DESTROYED, BY_PERSON),)),
]

UPDATE: list[tuple[str, ReviewView, tuple[Decision, ...]]] = [
    ("up to date: nothing to do", live_view(), (Nothing(reason="aaaaaaa is deployed"),)),
    (
        "an old fact is fine while nothing is to be done",
        live_view(pull_request=pr_fact(age=9000)),
        (Nothing(reason="aaaaaaa is deployed"),),
    ),
    ("a push is deployed to the same app", live_view(pull_request=of(head_sha=B)), (moved(B), updated(B))),
    (
        "an old fact is read again before a deploy",
        live_view(pull_request=pr_fact(pull_request(head_sha=B), age=301)),
        (Look(fact=PR_KEY, why="too old to act on"),),
    ),
    (
        "a waiting deploy of it is enough",
        live_view(queue=QUEUED_A, last_deploy=None),
        (Nothing(reason="deploy of aaaaaaa is under way"),),
    ),
    (
        "a running deploy of it is enough",
        live_view(queue=RUNNING_A, last_deploy=None),
        (Nothing(reason="deploy of aaaaaaa is under way"),),
    ),
    (
        "a newer head replaces what waits",
        live_view(queue=QUEUED_A, pull_request=of(head_sha=B)),
        (moved(B), updated(B)),
    ),
    (
        "a newer head queues behind what runs",
        live_view(queue=RUNNING_A, pull_request=of(head_sha=B)),
        (moved(B), updated(B)),
    ),
    (
        "pushed back to what runs while another waits: asked for again",
        live_view(queue=(*RUNNING_A, request(B, RequestState.QUEUED))),
        (updated(A),),
    ),
    (
        "a person's deploy of it is enough",
        live_view(queue=(request(A, RequestState.QUEUED, by_person=True),), last_deploy=None),
        (Nothing(reason="deploy of aaaaaaa is under way, asked for by a person"),),
    ),
    (
        "a failed deploy is not repeated by itself",
        live_view(last_deploy=request(A, RequestState.FAILED)),
        (Nothing(reason="deploy of aaaaaaa failed; push a new commit or deploy it again"),),
    ),
    (
        "a cancelled deploy is not repeated by itself",
        live_view(last_deploy=request(A, RequestState.CANCELLED)),
        (Nothing(reason="deploy of aaaaaaa was cancelled; push a new commit or deploy it again"),),
    ),
    (
        "whoever connected it may do so no longer: what there is stays as it is",
        live_view(pipeline=DISCONNECTED, pull_request=of(head_sha=B)),
        (moved(B, reason=NO_RIGHT), Wait(reason=NO_RIGHT)),
    ),
    (
        "a superseded deploy is repeated when its commit is the head again",
        live_view(last_deploy=request(A, RequestState.SUPERSEDED)),
        (updated(A),),
    ),
    (
        "a deploy that runs although the queue is empty is enough",
        live_view(last_deploy=request(A, RequestState.RUNNING)),
        (Nothing(reason="deploy of aaaaaaa is under way"),),
    ),
    (
        "a failed app gets the next push",
        live_view(
            review=review(state=ReviewState.FAILED),
            last_deploy=request(A, RequestState.FAILED),
            pull_request=of(head_sha=B),
        ),
        (moved(B, ReviewState.FAILED), updated(B)),
    ),
    (
        "a suspended app gets the next push",
        live_view(
            review=review(state=ReviewState.SUSPENDED), app=app(state=AppState.SUSPENDED), pull_request=of(head_sha=B)
        ),
        (moved(B, ReviewState.SUSPENDED), updated(B)),
    ),
    (
        "with automatic off a push is still deployed",
        live_view(pipeline=BY_HAND, pull_request=of(head_sha=B)),
        (moved(B), updated(B)),
    ),
    (
        "without label, base and changes that are asked for a push is still deployed",
        live_view(
            pipeline=toggles(labels=("demo",), base_branches=("next",), paths=("api/**",)),
            pull_request=of(head_sha=B),
        ),
        (moved(B), updated(B)),
    ),
    (
        "over the cap a push is still deployed",
        live_view(pipeline=CAPPED, live_review_apps=9, pull_request=of(head_sha=B)),
        (moved(B), updated(B)),
    ),
    (
        "a push waits for CI without touching the app",
        live_view(pipeline=CI_ON, pull_request=of(head_sha=B), ci=ci_fact(run("success"), sha=A)),
        (
            moved(B, reason="waiting for: what GitHub says about the commit"),
            Look(fact=FactKey(FactKind.CI, REPO, B), why="not known yet"),
        ),
    ),
    (
        "what is noted already is not noted again",
        live_view(
            pipeline=CI_ON,
            review=review(sha=B, reason="waiting for: build (GitHub Actions)"),
            pull_request=of(head_sha=B),
            ci=ci_fact(run("queued"), sha=B),
        ),
        (Wait(reason="waiting for: build (GitHub Actions)", until=ago(5) + timedelta(minutes=2)),),
    ),
    (
        "a push is deployed when its CI is green",
        live_view(pipeline=CI_ON, pull_request=of(head_sha=B), ci=ci_fact(run("success"), suite("success"), sha=B)),
        (moved(B), updated(B)),
    ),
    (
        "what could not be read of a push's CI is said",
        live_view(
            pipeline=CI_ON,
            review=review(sha=B),
            pull_request=of(head_sha=B),
            ci=ci_fact(status("success"), sha=B, unread="no check runs are shown"),
        ),
        (replace(updated(B), reason="the pull request is at bbbbbbb; no check runs are shown"),),
    ),
    (
        "a push to what became a draft is not deployed where drafts get none",
        live_view(pipeline=toggles(drafts=False), pull_request=of(head_sha=B, draft=True)),
        (Nothing(reason=f"{DRAFT}: not updated"),),
    ),
    (
        "a fork is never deployed",
        live_view(pull_request=of(head_sha=B, head_repository_id=FAR)),
        (shown(ReviewState.LIVE, FORK, sha=B), Nothing(reason=f"{FORK}: not updated")),
    ),
    (
        "an app whose destroy is queued gets nothing",
        live_view(queue=(request(None, RequestState.QUEUED, kind=DESTROY),), pull_request=of(head_sha=B)),
        (Wait(reason="it is being destroyed"),),
    ),
    (
        "an app that is being destroyed on its own gets nothing",
        live_view(app=app(state=AppState.DESTROYING), pull_request=of(head_sha=B)),
        (Wait(reason="it is being destroyed"),),
    ),
    (
        "an error changes nothing",
        live_view(pull_request=pr_fact(error="HTML")),
        (Wait(reason="GitHub could not be asked: HTML", until=ago(5) + timedelta(minutes=1)),),
    ),
    (
        "an unknown pull request changes nothing",
        live_view(pull_request=None),
        (Look(fact=PR_KEY, why="not known yet"),),
    ),
]

TIDY = toggles(destroy_stale=True, stale_days=5)
OLD = {"deployed_at": NOW - timedelta(days=6)}
STALE_TEXT = "no deploy for 5 days"

ENDS: list[tuple[str, ReviewView, tuple[Decision, ...]]] = [
    ("closed: destroyed", live_view(pull_request=of(state="closed")), (destroyed(CLOSED),)),
    ("merged: destroyed", live_view(pull_request=of(state="closed", merged=True)), (destroyed(CLOSED),)),
    (
        "closed wins over draft, fork, base, labels and toggles",
        live_view(
            pipeline=toggles(drafts=False, automatic_review_apps=False, wait_for_ci=True, max_review_apps=1),
            pull_request=of(state="closed", draft=True, head_repository_id=None, base_ref="other", labels=("keep",)),
        ),
        (destroyed(CLOSED),),
    ),
    ("closed wins over a push", live_view(pull_request=of(state="closed", head_sha=B)), (destroyed(CLOSED),)),
    (
        "closed wins over what waits and runs",
        live_view(pull_request=of(state="closed"), queue=QUEUED_A),
        (destroyed(CLOSED),),
    ),
    (
        "closed long ago is still closed",
        live_view(pull_request=pr_fact(pull_request(state="closed"), age=9e5)),
        (destroyed(CLOSED),),
    ),
    (
        "closed without access is still closed",
        live_view(repository=repository(accessible=False), pull_request=of(state="closed")),
        (destroyed(CLOSED),),
    ),
    (
        "closed before GitHub refused to tell: looked at first",
        live_view(pull_request=replace(pr_fact(pull_request(state="closed"), age=61), error="404")),
        (Look(fact=PR_KEY, why="the last look failed: 404"),),
    ),
    (
        "closed, but newer is out: looked at first",
        live_view(pull_request=pr_fact(pull_request(state="closed"), stale=True)),
        (Look(fact=PR_KEY, why="newer is out"),),
    ),
    (
        "closed while creating: destroyed",
        live_view(review=review(state=ReviewState.CREATING), pull_request=of(state="closed")),
        (destroyed(CLOSED),),
    ),
    (
        "closed after a failure: destroyed",
        live_view(review=review(state=ReviewState.FAILED), pull_request=of(state="closed")),
        (destroyed(CLOSED),),
    ),
    (
        "closed while suspended: destroyed",
        live_view(review=review(state=ReviewState.SUSPENDED), pull_request=of(state="closed")),
        (destroyed(CLOSED),),
    ),
    (
        "closed while waiting: nothing to take away",
        review_view(review=waiting(MANUAL), pull_request=of(state="closed")),
        (shown(ReviewState.SKIPPED, CLOSED),),
    ),
    (
        "closed while a destroy waits: destroyed once",
        live_view(pull_request=of(state="closed"), queue=(request(None, RequestState.QUEUED, kind=DESTROY),)),
        (Wait(reason="waiting for: everything of it to be verified gone"),),
    ),
    (
        "closed while being destroyed: destroyed once",
        live_view(review=LEAVING, app=app(state=AppState.DESTROYING), pull_request=of(state="closed")),
        (Wait(reason="waiting for: everything of it to be verified gone"),),
    ),
    (
        "closed while an app went on its own: noted",
        live_view(app=app(state=AppState.GONE), pull_request=of(state="closed")),
        (shown(ReviewState.DESTROYED, CLOSED),),
    ),
    (
        "closed while it leaves for another reason: noted, so that reopening brings it back",
        live_view(review=review(state=ReviewState.DESTROYING, reason=BY_PERSON), pull_request=of(state="closed")),
        (shown(ReviewState.DESTROYING, CLOSED), Wait(reason="waiting for: everything of it to be verified gone")),
    ),
    (
        "closed after it left for another reason: noted",
        review_view(review=review(state=ReviewState.DESTROYED, reason=STALE_TEXT), pull_request=of(state="closed")),
        (shown(ReviewState.DESTROYED, CLOSED), Nothing(reason=CLOSED)),
    ),
    ("closed and gone: nothing", review_view(review=GONE, pull_request=of(state="closed")), (Nothing(reason=CLOSED),)),
    (
        "feature off: destroyed without asking GitHub",
        live_view(pipeline=OFF, pull_request=None),
        (destroyed(SWITCHED_OFF),),
    ),
    (
        "feature off while waiting: off the list",
        review_view(pipeline=OFF, review=waiting(FORK)),
        (shown(ReviewState.SKIPPED, SWITCHED_OFF),),
    ),
    (
        "repository changed: the old one's are destroyed",
        live_view(pipeline=pipeline(repository_id=FAR)),
        (destroyed(MOVED),),
    ),
    ("repository disconnected: destroyed", live_view(pipeline=pipeline(repository_id=None)), (destroyed(MOVED),)),
    ("a person takes it away", live_view(asked="destroy", pull_request=None), (destroyed(BY_PERSON, by_person=True),)),
    (
        "a person takes it off the list",
        review_view(asked="destroy", review=waiting(FORK)),
        (shown(ReviewState.SKIPPED, BY_PERSON),),
    ),
    (
        "idle for too long: destroyed, as inferred",
        live_view(pipeline=TIDY, review=review(**OLD)),
        (destroyed(STALE_TEXT, ordered=False),),
    ),
    (
        "not idle for long enough: waits for the day on which its end is told",
        live_view(pipeline=TIDY),
        (Wait(reason="aaaaaaa is deployed", until=ago(4000) + timedelta(days=4)),),
    ),
    (
        "pinned: stays",
        live_view(pipeline=TIDY, review=review(pinned=True, **OLD)),
        (Nothing(reason="aaaaaaa is deployed"),),
    ),
    ("idle with the setting off: stays", live_view(review=review(**OLD)), (Nothing(reason="aaaaaaa is deployed"),)),
    (
        "never deployed for too long: destroyed",
        live_view(
            pipeline=TIDY,
            review=review(state=ReviewState.FAILED, deployed_at=None, created_at=NOW - timedelta(days=6)),
            last_deploy=request(A, RequestState.FAILED),
        ),
        (destroyed(STALE_TEXT, ordered=False),),
    ),
    (
        "idle with something in its queue: stays",
        live_view(pipeline=TIDY, review=review(**OLD), queue=(request(None, RequestState.QUEUED, kind="Restart"),)),
        (Nothing(reason="aaaaaaa is deployed"),),
    ),
    (
        "idle, but a push came: deployed",
        live_view(pipeline=TIDY, review=review(**OLD), pull_request=of(head_sha=B)),
        (moved(B), updated(B)),
    ),
    (
        "idle and outdated: looked at, not destroyed",
        live_view(pipeline=TIDY, review=review(**OLD), pull_request=pr_fact(stale=True)),
        (Look(fact=PR_KEY, why="newer is out"),),
    ),
]

ASKED = "a person asked for it"
PERSONS = Request(app_id=app().id, work=deploy(A), reason=ASKED, by_person=True)
WISH: list[tuple[str, ReviewView, tuple[Decision, ...]]] = [
    (
        "a person gets one with automatic off",
        review_view(asked="create", pipeline=BY_HAND),
        (created(reason=ASKED, by_person=True),),
    ),
    (
        "a person does not wait for CI",
        review_view(asked="create", pipeline=CI_ON),
        (created(reason=ASKED, by_person=True),),
    ),
    (
        "a person's wish is kept while the pull request is read",
        review_view(asked="create", pull_request=None),
        (waits(ASKED, sha=NO_SHA, branch="", by_person=True), Look(fact=PR_KEY, why="not known yet")),
    ),
    (
        "a person's wish is kept while it is read again",
        review_view(asked="create", pull_request=pr_fact(age=301)),
        (waits(ASKED, by_person=True), Look(fact=PR_KEY, why="too old to act on")),
    ),
    (
        "a kept wish is fulfilled although automatic is off",
        review_view(pipeline=BY_HAND, review=waiting(ASKED, by_person=True)),
        (created(reason=ASKED, by_person=True),),
    ),
    (
        "a kept wish is read again when it got old",
        review_view(pipeline=BY_HAND, review=waiting(ASKED, by_person=True), pull_request=pr_fact(age=301)),
        (Look(fact=PR_KEY, why="too old to act on"),),
    ),
    (
        "a person over the cap waits visibly",
        review_view(asked="create", pipeline=CAPPED, live_review_apps=2),
        (waits(CAP_TEXT, by_person=True), Wait(reason=CAP_TEXT, until=SOON)),
    ),
    (
        "a person brings back what was taken away",
        review_view(asked="create", review=review(state=ReviewState.DESTROYED, reason=BY_PERSON)),
        (created(reason=ASKED, by_person=True),),
    ),
    (
        "a person repeats a failed deploy",
        live_view(asked="create", last_deploy=request(A, RequestState.FAILED)),
        (PERSONS,),
    ),
    (
        "a person need not repeat what is under way",
        live_view(asked="create", queue=QUEUED_A),
        (Nothing(reason="deploy of aaaaaaa is under way"),),
    ),
    (
        "a person's repeat waits for the look",
        live_view(asked="create", pull_request=None),
        (Look(fact=PR_KEY, why="not known yet"),),
    ),
]


@pytest.mark.parametrize(("view", "want"), [(v, w) for _, v, w in CREATION], ids=[s for s, _, _ in CREATION])
def test_creation(view: ReviewView, want: tuple[Decision, ...]) -> None:
    assert plan(view) == want


@pytest.mark.parametrize(("view", "want"), [(v, w) for _, v, w in UPDATE], ids=[s for s, _, _ in UPDATE])
def test_update(view: ReviewView, want: tuple[Decision, ...]) -> None:
    assert plan(view) == want


@pytest.mark.parametrize(("view", "want"), [(v, w) for _, v, w in ENDS], ids=[s for s, _, _ in ENDS])
def test_end(view: ReviewView, want: tuple[Decision, ...]) -> None:
    assert plan(view) == want


@pytest.mark.parametrize(("view", "want"), [(v, w) for _, v, w in WISH], ids=[s for s, _, _ in WISH])
def test_a_persons_wish(view: ReviewView, want: tuple[Decision, ...]) -> None:
    assert plan(view) == want


REFUSALS = [
    ("a fork", review_view(asked="create", pull_request=of(head_repository_id=FAR)), "needs approval of this commit"),
    ("a bot", review_view(asked="create", pull_request=of(author_is_bot=True)), "needs approval of this commit"),
    ("a fork with an app", live_view(asked="create", pull_request=of(head_repository_id=FAR)), "needs approval"),
    ("a closed pull request", review_view(asked="create", pull_request=of(state="closed")), "is closed"),
    ("a pipeline without review apps", review_view(asked="create", pipeline=OFF), "switched off"),
    ("a pull request GitHub does not give", review_view(asked="create", pull_request=pr_fact(error="404")), "404"),
    ("one that is being destroyed", review_view(asked="create", review=LEAVING), "being destroyed"),
    ("one whose destroy is queued", live_view(asked="create", app=app(state=AppState.DESTROYING)), "being destroyed"),
    ("destroying what is not there", review_view(asked="destroy"), "There is no review app for pull request #5"),
    (
        "destroying what is gone",
        review_view(asked="destroy", review=GONE),
        "There is no review app for pull request #5",
    ),
]


@pytest.mark.parametrize(("view", "text"), [(v, t) for _, v, t in REFUSALS], ids=[s for s, _, _ in REFUSALS])
def test_refused(view: ReviewView, text: str) -> None:
    with pytest.raises(Refused, match=text):
        plan(view)


def test_many_idle_apps_do_not_leave_at_once() -> None:
    idle = live_view(pipeline=TIDY, review=review(**OLD), live_review_apps=10)
    assert plan(replace(idle, inferred_this_hour=5)) == (destroyed(STALE_TEXT, ordered=False),)
    text = f"destroy pending: confirm ({STALE_TEXT}) by: towpath reviewapps:destroy 5 -p shop"
    assert plan(replace(idle, inferred_this_hour=10, live_review_apps=5)) == (
        shown(ReviewState.LIVE, text),
        Wait(reason=text, until=NOW + timedelta(minutes=10)),
    )
    closed = replace(idle, inferred_this_hour=99, pull_request=of(state="closed"))
    assert plan(closed) == (destroyed(CLOSED),)


@pytest.mark.parametrize(
    ("live", "inferred", "stops"),
    [(1, 0, False), (1, 2, False), (0, 3, True), (10, 4, False), (5, 5, True), (100, 3, False)],
)
def test_the_brake_lets_three_or_half_leave_in_an_hour(live: int, inferred: int, stops: bool) -> None:
    assert brakes(live=live, inferred_this_hour=inferred) is stops


def branch_view(**changes: Any) -> ReviewView:
    values = {"ref": "branch:topic", "number": None, "pull_request": None, "name": "shop-br-topic"}
    return review_view(**values | changes)


HEAD_KEY = FactKey(FactKind.HEAD, REPO, "topic")


def test_a_branch_gets_an_app_only_from_a_person() -> None:
    assert plan(branch_view()) == (Nothing(reason="review apps of a branch are made and taken away by a person"),)


def test_a_person_gets_an_app_for_a_branch() -> None:
    (decision,) = plan(branch_view(asked="create", head=head_fact(branch="topic")))
    assert isinstance(decision, CreateReviewApp)
    assert decision.deploy == deploy(A, "topic", None)


def test_a_branchs_head_is_read_first_and_the_wish_is_kept() -> None:
    held, look = plan(branch_view(asked="create"))
    assert isinstance(held, SetReview)
    assert held.by_person
    assert look == Look(fact=HEAD_KEY, why="not known yet")
    (decision,) = plan(branch_view(review=waiting(ASKED, by_person=True), head=head_fact(branch="topic")))
    assert isinstance(decision, CreateReviewApp)


def test_a_branch_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="there is no branch topic in acme/shop"):
        plan(branch_view(asked="create", head=head_fact(None, branch="topic")))
    kept = branch_view(review=waiting(ASKED, by_person=True), head=head_fact(NO_SHA, branch="topic"))
    assert plan(kept) == (Nothing(reason="there is no branch topic in acme/shop"),)


def test_a_branchs_app_follows_nothing_and_is_deployed_again_by_a_person() -> None:
    live = branch_view(review=review(ref="branch:topic"), app=app(), head=head_fact(B, branch="topic"))
    assert isinstance(plan(live)[0], Nothing)
    asked = branch_view(review=review(ref="branch:topic"), app=app(), head=head_fact(B, branch="topic"), asked="create")
    noted, asked_for = plan(asked)
    assert isinstance(noted, SetReview)
    assert (noted.state, noted.sha, noted.branch) == (ReviewState.LIVE, B, "topic")
    assert asked_for == Request(app_id=app().id, work=deploy(B, "topic", None), reason=ASKED, by_person=True)


def test_a_branchs_app_that_is_being_destroyed_cannot_be_made_again_yet() -> None:
    view = branch_view(asked="create", review=LEAVING, app=app(), head=head_fact(branch="topic"))
    with pytest.raises(Refused, match="being destroyed"):
        plan(view)


def test_the_default_switches_are_off() -> None:
    assert Toggles() != ON
    assert not Toggles().review_apps
