"""Pull requests of forks and bots: what runs, what waits for approval, and which commit an approval names."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.approval import check_approvable, commit_named
from service.domain.decisions import CreateReviewApp, Decision, Deploy, Destroy, Nothing, Request, SetReview, Wait
from service.domain.errors import Refused
from service.domain.facts import PullRequest
from service.domain.model import NO_SHA, IdleAction, RequestState, ReviewState, Sha, Toggles, Trust
from service.domain.model import RepositoryId as Id
from service.domain.promotion import Member, PromotionRequest, resolve
from service.domain.report_views import CheckReview, CheckView
from service.domain.reports import describe_check, describe_status
from service.domain.review_apps import ReviewView, plan
from service.domain.review_rules import BOT, CLOSED, FORK, MOVED, NO_FORKS, OVER_CAP, goes_with, trust_of
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
    release,
    request,
    review,
    review_view,
    run,
    suite,
)

FAR = Id(99)
FORKED = {"head_repository_id": FAR}
ONLY_A = frozenset({A})


def of(sha: Sha = A, **changes: Any) -> Any:
    return pr_fact(pull_request(**({**FORKED, "head_sha": sha} | changes)))


def opened(sha: Sha = A, **changes: Any) -> ReviewView:
    return review_view(**({"pull_request": of(sha)} | changes))


def live(sha: Sha = B, **changes: Any) -> ReviewView:
    """An app that runs A of a fork's pull request, which is at `sha`."""
    return live_view(**({"pull_request": of(sha), "approved": ONLY_A} | changes))


def toggled(**changes: Any) -> Any:
    return pipeline(toggles=replace(ON, **changes))


def deploys(decisions: tuple[Decision, ...]) -> list[Deploy]:
    created = [each.deploy for each in decisions if isinstance(each, CreateReviewApp)]
    return created + [each.work for each in decisions if isinstance(each, Request) and isinstance(each.work, Deploy)]


RUNS: list[tuple[str, ReviewView, Sha | None]] = [
    ("nothing of a fork runs by itself", opened(), None),
    ("nothing of a deleted fork runs by itself", opened(pull_request=of(head_repository_id=None)), None),
    ("nothing of a bot runs by itself", opened(pull_request=of(head_repository_id=REPO, author_is_bot=True)), None),
    ("the approved commit runs", opened(approved=ONLY_A), A),
    ("the approved commit of a deleted fork runs", opened(pull_request=of(head_repository_id=None), approved=ONLY_A), A),
    (
        "the approved commit of a bot runs",
        opened(pull_request=of(head_repository_id=REPO, author_is_bot=True), approved=ONLY_A),
        A,
    ),
    ("another commit than the approved one does not", opened(B, approved=ONLY_A), None),
    ("an approved one of another base branch runs", opened(pull_request=of(base_ref="release"), approved=ONLY_A), A),
    ("a push after the approval does not run", live(B), None),
    ("a push that is approved runs", live(B, approved=frozenset({A, B})), B),
    ("a push back to the approved commit is that commit", live(A, last_deploy=request(B)), A),
    ("where forks never run, approval means nothing", opened(approved=ONLY_A, pipeline=toggled(forks="never")), None),
    ("an approved commit of a closed pull request does not run", opened(approved=ONLY_A, pull_request=of(state="closed")), None),
]  # fmt: skip


@pytest.mark.parametrize(("view", "sha"), [(v, s) for _, v, s in RUNS], ids=[s for s, _, _ in RUNS])
def test_what_runs_of_a_fork_is_what_was_approved_and_runs_as_a_forks(view: ReviewView, sha: Sha | None) -> None:
    found = deploys(plan(view))
    assert [each.sha for each in found] == ([sha] if sha else [])
    assert all(each.trust is Trust.FORK and each.pull_request == 5 for each in found)


def test_an_approval_overrides_no_other_rule() -> None:
    capped = opened(approved=ONLY_A, pipeline=toggled(max_review_apps=1), live_review_apps=1)
    assert deploys(plan(capped)) == []
    assert any(isinstance(each, Wait) and each.reason.startswith(OVER_CAP) for each in plan(capped))
    red = opened(approved=ONLY_A, pipeline=toggled(wait_for_ci=True), ci=ci_fact(suite("failure"), run("failure")))
    assert deploys(plan(red)) == []


def test_what_was_approved_serves_on_while_the_next_commit_waits() -> None:
    shown, rest = plan(live(B))
    assert shown == SetReview(
        pipeline_id=pipeline().id,
        repository_id=REPO,
        ref="pr:5",
        state=ReviewState.LIVE,
        sha=B,
        branch="feature",
        reason=FORK,
    )
    assert rest == Nothing(reason=f"{FORK}: not updated")
    told = live(B, review=review(sha=B, reason=FORK))
    assert plan(told) == (Nothing(reason=f"{FORK}: not updated"),)


def test_apps_of_forks_are_taken_away_where_forks_are_to_run_no_more() -> None:
    (taken,) = plan(live(A, pipeline=toggled(forks="never")))
    assert isinstance(taken, Request)
    assert taken.work == Destroy(ordered=True, reason=NO_FORKS)
    own = live_view(pipeline=toggled(forks="never"))
    assert not any(isinstance(each, Request) for each in plan(own))


THERE = (ReviewState.CREATING, ReviewState.LIVE, ReviewState.FAILED, ReviewState.SUSPENDED)


@pytest.mark.parametrize("by", [pull_request(), pull_request(**FORKED), pull_request(author_is_bot=True)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"forks": "never"},
        {"review_apps": False},
        {"stale_days": 1},
        {"stale_days": 1, "destroy_stale": True},
        {"stale_days": 9, "destroy_stale": True},
        {"stale_days": 1, "destroy_stale": True, "idle_action": IdleAction.SUSPEND},
    ],
)
def test_an_app_that_is_said_to_go_with_a_setting_is_the_one_that_goes(
    by: PullRequest, changes: dict[str, Any]
) -> None:
    toggles, idle_since = replace(ON, **changes), NOW - timedelta(days=5)
    for state in ReviewState:
        app_id = None if state is ReviewState.WAITING else app().id
        it = review(state=state, app_id=app_id, created_at=idle_since, deployed_at=None)
        said = goes_with(it, toggles, trust=trust_of(by), now=NOW)
        if state in THERE:
            planned = plan(live_view(review=it, pull_request=pr_fact(by), pipeline=pipeline(toggles=toggles)))
            gone = any(isinstance(each, Request) and isinstance(each.work, Destroy) for each in planned)
            assert (state, said) == (state, gone)
        else:
            assert (state, said) == (state, False)


def test_an_app_of_a_pull_request_that_is_not_known_is_said_to_go_where_forks_do() -> None:
    assert goes_with(review(), replace(ON, forks="never"), trust=None, now=NOW)
    assert not goes_with(review(), ON, trust=None, now=NOW)


def test_an_app_of_a_branch_goes_with_no_days_that_are_made_fewer() -> None:
    settings = replace(ON, destroy_stale=True, stale_days=1)
    it = review(created_at=NOW - timedelta(days=5), deployed_at=None)
    assert goes_with(it, settings, trust=Trust.OWN, now=NOW)
    assert not goes_with(replace(it, ref="branch:main"), settings, trust=Trust.OWN, now=NOW)
    assert not goes_with(replace(it, pinned=True), settings, trust=Trust.OWN, now=NOW)


def test_an_app_of_a_fork_comes_back_when_forks_may_run_again() -> None:
    gone = review(state=ReviewState.DESTROYED, reason=NO_FORKS)
    assert [each.sha for each in deploys(plan(opened(review=gone, approved=ONLY_A)))] == [A]


def test_a_fork_is_told_by_its_repository_and_never_by_who_the_author_is() -> None:
    assert trust_of(pull_request()) is Trust.OWN
    for changes in (FORKED, {"head_repository_id": None}, {"author_is_bot": True}):
        assert trust_of(pull_request(**changes)) is Trust.FORK


# What an approval names ------------------------------------------------------------------------------

SEVEN = Sha("1234567" + "a" * 33)
TWIN = Sha("1234567" + "b" * 33)


@pytest.mark.parametrize(
    ("word", "former", "sha"),
    [
        pytest.param(SEVEN, (), SEVEN, id="all of it"),
        pytest.param("1234567", (), SEVEN, id="its first seven digits"),
        pytest.param("1234567", (B,), SEVEN, id="its first seven digits, the former head begins otherwise"),
        pytest.param(B, (B,), B, id="a former head, by all of its name"),
        pytest.param("bbbbbbb", (B,), B, id="a former head, by its first digits"),
        pytest.param(TWIN, (TWIN,), TWIN, id="a former head that begins alike, by all of its name"),
    ],
)
def test_an_approval_names_one_commit_of_the_pull_request(word: str, former: tuple[Sha, ...], sha: Sha) -> None:
    assert commit_named(word, pull_request(head_sha=SEVEN), former=former) == sha


@pytest.mark.parametrize(
    ("word", "former", "text"),
    [
        pytest.param("123456", (), "too short", id="six digits"),
        pytest.param("", (), "too short", id="nothing"),
        pytest.param("1234567", (TWIN,), "several commits of #5: write all 40", id="two that begin alike"),
        pytest.param(B, (), f"is at {SEVEN} now, not at {B}", id="the head has moved on"),
        pytest.param("c" * 40, (B,), f"is at {SEVEN} now, not at ccc", id="a commit of another pull request"),
        pytest.param(NO_SHA, (), "is at", id="no commit"),
    ],
)
def test_what_names_no_single_commit_of_it_is_refused(word: str, former: tuple[Sha, ...], text: str) -> None:
    with pytest.raises(Refused, match=text):
        commit_named(word, pull_request(head_sha=SEVEN), former=former)


@pytest.mark.parametrize(
    ("pull", "toggles", "text"),
    [
        pytest.param({"state": "closed"}, ON, CLOSED, id="a closed one"),
        pytest.param({"head_repository_id": REPO}, ON, "needs no approval", id="one of our own branches"),
        pytest.param({}, replace(ON, forks="never"), "--forks approve", id="where forks never run"),
        pytest.param({"base_repository_id": Id(8)}, ON, MOVED, id="of a repository that the pipeline has left"),
        pytest.param({}, Toggles(), "switched off", id="where there are no review apps"),
    ],
)
def test_an_approval_that_would_mean_nothing_is_refused(pull: dict[str, Any], toggles: Toggles, text: str) -> None:
    asked: PullRequest = pull_request(**(FORKED | pull))
    with pytest.raises(Refused, match=text):
        check_approvable(pipeline(toggles=toggles), asked)
    check_approvable(pipeline(), pull_request(**FORKED))


# What is shown ---------------------------------------------------------------------------------------


def shown(state: ReviewState, reason: str = FORK, **more: Any) -> CheckReview:
    return CheckReview(app_name="", pipeline="shop", state=state, reason=reason, url="", number=5, **more)


def view(it: CheckReview, **more: Any) -> CheckView:
    return CheckView(pipeline="shop", sha=A, review=it, **more)


@pytest.mark.parametrize("state", [ReviewState.WAITING, ReviewState.CREATING, ReviewState.LIVE, ReviewState.FAILED])
@pytest.mark.parametrize("reason", [FORK, BOT])
def test_a_commit_that_waits_for_approval_is_final_and_says_who_may_and_how(state: ReviewState, reason: str) -> None:
    check, status = describe_check(view(shown(state, reason))), describe_status(view(shown(state, reason)))
    assert (check.status, check.conclusion, check.terminal) == ("completed", "neutral", True)
    assert (status.state, status.terminal) == ("success", True)
    assert [(each.identifier, each.label) for each in check.actions] == [("approve", "Approve aaaaaaa")]
    for words in ("write access", f"`/approve {A}`", f"reviewapps:approve 5 -p shop --sha {A}", "this very commit"):
        assert words in check.summary


def test_what_waits_for_approval_may_keep_a_required_check_waiting() -> None:
    blocked = view(shown(ReviewState.WAITING), approval_blocks=True)
    assert describe_check(blocked).conclusion == "action_required"
    assert describe_check(blocked).terminal
    for it in (shown(ReviewState.WAITING, CLOSED), shown(ReviewState.LIVE, request=RequestState.SUCCEEDED)):
        assert describe_check(view(it, approval_blocks=True)).conclusion in {"neutral", "success"}


def test_a_commit_that_was_approved_and_built_is_not_offered_for_approval() -> None:
    check = describe_check(view(shown(ReviewState.LIVE, request=RequestState.FAILED, error="no Procfile")))
    assert check.conclusion == "failure"
    assert [each.identifier for each in check.actions] == ["rebuild", "destroy:5"]
    assert "/approve" not in check.summary


def test_code_of_a_fork_is_never_promoted() -> None:
    members = tuple(Member(app=app(name), stage=stage) for name, stage in (("shop-pr-5", "review"), ("shop", "production")))  # type: ignore[arg-type]  # fmt: skip
    asked = PromotionRequest(
        pipeline=pipeline(),
        members=members,
        source="shop-pr-5",
        to=("shop",),
        release=release(app_id=app("shop-pr-5").id),
    )
    assert resolve(asked).targets == (members[1].app,)
    with pytest.raises(Refused, match="merge it"):
        resolve(replace(asked, of_fork=True))
