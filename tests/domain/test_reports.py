"""What GitHub shows, state by state, and that it stays within GitHub's limits."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.model import BuildState, ReleaseState, RequestState, ReviewState, Stage
from service.domain.report_text import cell, cut, link, plain, with_log
from service.domain.report_views import Step
from service.domain.reports import (
    CheckDeploy,
    CheckReview,
    CheckView,
    DeploymentView,
    describe_check,
    describe_github_deployment,
    describe_status,
)
from service.domain.review_rules import CLOSED, DRAFT, FORK, MANUAL, OVER_CAP
from tests.domain.things import A, app, release

TOOK = (Step(name="build", seconds=74.8), Step(name="release", seconds=0.42))
URL = "http://shop-pr-5.localhost:5080"


def of_review(state: ReviewState, reason: str = "", **more: Any) -> CheckReview:
    whole = {"app_name": "shop-pr-5", "pipeline": "shop", "state": state, "reason": reason, "url": URL}
    return CheckReview(**whole | more)


def of_deploy(state: RequestState | None, reason: str = "", **more: Any) -> CheckDeploy:
    whole = {"app_name": "shop-staging", "stage": Stage.STAGING, "state": state, "reason": reason, "url": ""}
    return CheckDeploy(**whole | more)


def view(review: CheckReview | None = None, *deploys: CheckDeploy) -> CheckView:
    return CheckView(pipeline="shop", sha=A, review=review, deploys=deploys, details_url="https://towpath.example/shop")


def test_destroy_names_its_app_where_several_pull_requests_are_at_the_commit():
    other = of_review(ReviewState.LIVE, app_name="shop-pr-7", number=7)
    check = describe_check(replace(view(of_review(ReviewState.LIVE, number=5)), others=(other,)))
    assert [(each.identifier, each.description) for each in check.actions[1:]] == [("destroy:5", "Take shop-pr-5 away")]
    assert "shop-pr-7 (live)" in check.summary
    assert "are about shop-pr-5 alone" in check.summary
    assert "Other pull requests" not in describe_check(view(of_review(ReviewState.LIVE, number=5))).summary


R, Q = ReviewState, RequestState
RED = "CI failed: build"
CASES: list[tuple[str, CheckView, str | None, str, list[str]]] = [
    ("nothing to do", view(), "neutral", "success", []),
    (
        "staging is live with the branch's head",
        view(None, of_deploy(Q.SUCCEEDED, again=True)),
        "success",
        "success",
        ["rebuild"],
    ),
    (
        "staging failed with the branch's head",
        view(None, of_deploy(Q.FAILED, again=True)),
        "failure",
        "failure",
        ["rebuild"],
    ),
    (
        "one app is live, CI keeps the other back",
        view(None, of_deploy(Q.SUCCEEDED, again=True), of_deploy(None, RED)),
        "success",
        "success",
        ["deploy_anyway", "rebuild"],
    ),
    (
        "closed by a merge without a commit of its own: staging is live with it",
        view(of_review(R.DESTROYED, CLOSED), of_deploy(Q.SUCCEEDED, again=True)),
        "success",
        "success",
        ["rebuild"],
    ),
    ("creating", view(of_review(R.CREATING)), None, "pending", ["destroy"]),
    ("creating, its deploy runs", view(of_review(R.CREATING, request=Q.RUNNING)), None, "pending", ["destroy"]),
    (
        "creating with another commit than this superseded one",
        view(of_review(R.CREATING, request=Q.SUPERSEDED)),
        "neutral",
        "success",
        ["destroy"],
    ),
    (
        "creating with another commit than this cancelled one",
        view(of_review(R.CREATING, request=Q.CANCELLED)),
        "neutral",
        "success",
        ["destroy"],
    ),
    (
        "live with this commit",
        view(of_review(R.LIVE, request=Q.SUCCEEDED)),
        "success",
        "success",
        ["rebuild", "destroy"],
    ),
    ("an update is queued", view(of_review(R.LIVE, request=Q.QUEUED)), None, "pending", ["rebuild", "destroy"]),
    ("an update runs", view(of_review(R.LIVE, request=Q.RUNNING)), None, "pending", ["rebuild", "destroy"]),
    ("an update failed", view(of_review(R.LIVE, request=Q.FAILED)), "failure", "failure", ["rebuild", "destroy"]),
    (
        "an update was superseded",
        view(of_review(R.LIVE, request=Q.SUPERSEDED)),
        "neutral",
        "success",
        ["rebuild", "destroy"],
    ),
    (
        "an update was cancelled",
        view(of_review(R.LIVE, request=Q.CANCELLED)),
        "neutral",
        "success",
        ["rebuild", "destroy"],
    ),
    (
        "live, known by its release",
        view(of_review(R.LIVE, release=ReleaseState.SUCCEEDED)),
        "success",
        "success",
        ["rebuild", "destroy"],
    ),
    (
        "live, its build runs",
        view(of_review(R.LIVE, build=BuildState.PENDING)),
        None,
        "pending",
        ["rebuild", "destroy"],
    ),
    (
        "live, its release runs",
        view(of_review(R.LIVE, release=ReleaseState.PENDING)),
        None,
        "pending",
        ["rebuild", "destroy"],
    ),
    (
        "live, its build failed",
        view(of_review(R.LIVE, build=BuildState.FAILED)),
        "failure",
        "failure",
        ["rebuild", "destroy"],
    ),
    (
        "live, its release failed",
        view(of_review(R.LIVE, release=ReleaseState.FAILED)),
        "failure",
        "failure",
        ["rebuild", "destroy"],
    ),
    ("live with another commit", view(of_review(R.LIVE)), "neutral", "success", ["rebuild", "destroy"]),
    (
        "live, CI of the update failed",
        view(of_review(R.LIVE, RED)),
        "neutral",
        "success",
        ["deploy_anyway", "rebuild", "destroy"],
    ),
    ("failed", view(of_review(R.FAILED)), "failure", "failure", ["rebuild", "destroy"]),
    ("suspended", view(of_review(R.SUSPENDED)), "neutral", "success", ["rebuild", "destroy"]),
    ("waiting for CI", view(of_review(R.WAITING, "waiting for: build")), "neutral", "success", ["create"]),
    ("CI failed", view(of_review(R.WAITING, RED)), "neutral", "success", ["deploy_anyway"]),
    ("no CI", view(of_review(R.WAITING, "no CI found")), "neutral", "success", ["deploy_anyway"]),
    ("a fork", view(of_review(R.WAITING, FORK, app_name="")), "neutral", "success", ["approve"]),
    ("automatic off", view(of_review(R.WAITING, MANUAL)), "neutral", "success", ["create"]),
    ("a draft", view(of_review(R.WAITING, DRAFT)), "neutral", "success", ["create"]),
    ("over the cap", view(of_review(R.WAITING, f"{OVER_CAP} of 2 review apps")), "neutral", "success", ["create"]),
    ("destroying", view(of_review(R.DESTROYING, CLOSED)), "neutral", "success", []),
    ("closed", view(of_review(R.DESTROYED, CLOSED)), "neutral", "success", []),
    ("idle and gone", view(of_review(R.DESTROYED, "no deploy for 5 days")), "neutral", "success", ["create"]),
    ("never came", view(of_review(R.SKIPPED, CLOSED)), "neutral", "success", []),
    ("staging waits for CI", view(None, of_deploy(None, "waiting for: build")), "neutral", "success", []),
    ("staging stopped by CI", view(None, of_deploy(None, RED)), "neutral", "success", ["deploy_anyway"]),
    ("staging is held", view(None, of_deploy(None, "held at v12")), "neutral", "success", []),
    ("staging queued", view(None, of_deploy(Q.QUEUED)), None, "pending", []),
    ("staging runs", view(None, of_deploy(Q.RUNNING)), None, "pending", []),
    ("staging done", view(None, of_deploy(Q.SUCCEEDED)), "success", "success", []),
    ("staging failed", view(None, of_deploy(Q.FAILED)), "failure", "failure", []),
    ("one app done, another runs", view(None, of_deploy(Q.SUCCEEDED), of_deploy(Q.RUNNING)), None, "pending", []),
    ("one app done, another failed", view(None, of_deploy(Q.SUCCEEDED), of_deploy(Q.FAILED)), "failure", "failure", []),
    (
        "one app done, another held",
        view(None, of_deploy(Q.SUCCEEDED), of_deploy(None, "held")),
        "success",
        "success",
        [],
    ),
]


@pytest.mark.parametrize(
    ("shown", "conclusion", "state", "actions"),
    [(v, c, s, a) for _, v, c, s, a in CASES],
    ids=[sentence for sentence, *_ in CASES],
)
def test_check_and_status(shown: CheckView, conclusion: str | None, state: str, actions: list[str]) -> None:
    check, status = describe_check(shown), describe_status(shown)
    assert check.name == status.context == "towpath/shop"
    assert check.conclusion == conclusion
    assert (check.status == "completed") is check.terminal is status.terminal is (conclusion is not None)
    assert status.state == state
    assert [action.identifier for action in check.actions] == actions
    assert len(check.actions) <= 3
    for action in check.actions:
        assert len(action.label) <= 20
        assert len(action.description) <= 40
        assert len(action.identifier) <= 20


def test_queued_work_is_shown_as_queued_and_running_work_as_in_progress() -> None:
    assert describe_check(view(None, of_deploy(Q.QUEUED))).status == "queued"
    assert describe_check(view(None, of_deploy(Q.QUEUED), of_deploy(Q.RUNNING))).status == "in_progress"


def test_the_summary_is_a_table_with_addresses() -> None:
    check = describe_check(
        view(of_review(R.LIVE, request=Q.SUCCEEDED, steps=TOOK), of_deploy(None, "waiting for: build|lint <b> @ada"))
    )
    assert check.title == "shop-pr-5: live; shop-staging: waiting (waiting for: build|lint <b> @ada)"
    assert check.summary == (
        "Commit `aaaaaaa`\n\n"
        "| App | Stage | State | Why | Took |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| [shop-pr-5]({URL}) | review | live |  | build 1 min 15 s, release 0.4 s |\n"
        "| shop-staging | staging | waiting | waiting for: build\\|lint &lt;b> @\u200bada |  |\n\n"
        f"{URL}"
    )
    assert check.details_url == "https://towpath.example/shop"


def test_nothing_to_do_says_so() -> None:
    check = describe_check(view())
    assert check.title == "Nothing to do for this commit"
    assert "concerns no app" in check.summary


def test_a_failure_shows_its_error_and_the_end_of_its_log() -> None:
    failed = of_review(
        R.FAILED, "older reason", error="build failed: exit 1", log_tail="step 1\n\x1b[31mboom\x1b[0m ```\n"
    )
    check = describe_check(view(failed))
    assert check.title == "shop-pr-5: failed (build failed: exit 1)"
    assert check.summary.endswith("\n\n````text\nstep 1\nboom ```\n````\n")


def test_a_deploy_that_failed_shows_the_end_of_its_log_too() -> None:
    broken = of_deploy(Q.FAILED, "build failed: exit 1", error="build failed: exit 1", log_tail="no Procfile\n")
    check = describe_check(view(of_review(R.LIVE), of_deploy(Q.SUCCEEDED), broken))
    assert check.summary.endswith("\n\n```text\nno Procfile\n```\n")


def test_an_app_that_does_not_serve_has_no_address() -> None:
    assert URL not in describe_check(view(of_review(R.DESTROYED, CLOSED))).summary
    assert "review app" in describe_check(view(of_review(R.WAITING, MANUAL, app_name=""))).title


def test_a_status_without_details_leads_to_the_app() -> None:
    bare = replace(view(of_review(R.LIVE, request=Q.SUCCEEDED)), details_url="")
    assert describe_status(bare).target_url == URL
    assert describe_status(replace(bare, review=None)).target_url == ""


@given(reason=st.text(max_size=400), log=st.text(max_size=2000).map(lambda text: text * 100))
def test_every_text_stays_within_githubs_limits(reason: str, log: str) -> None:
    shown = view(of_review(R.FAILED, reason, error=reason, log_tail=log), *[of_deploy(None, reason)] * 200)
    check, status = describe_check(shown), describe_status(shown)
    assert len(check.summary.encode()) <= 65_535
    assert len(check.title) <= 200
    assert len(status.description) <= 140
    assert "\n" not in check.title + status.description


def deployment(**changes: Any) -> DeploymentView:
    whole = DeploymentView(release=release(), app=app("shop-staging"), pipeline="shop", stage=Stage.STAGING, url=URL)
    return replace(whole, **changes)


DEPLOYMENTS = [
    ("live", deployment(), "success", "v12 (Deploy aaaaaaaa)"),
    (
        "waiting for its turn",
        deployment(release=release(state=ReleaseState.PENDING), started=False),
        "queued",
        "v12 waits for its turn",
    ),
    ("being released", deployment(release=release(state=ReleaseState.PENDING)), "in_progress", "v12 is being released"),
    ("failed", deployment(release=release(state=ReleaseState.FAILED, error="exit 1")), "failure", "v12 failed: exit 1"),
    (
        "failed without words",
        deployment(release=release(state=ReleaseState.FAILED)),
        "failure",
        "v12 failed: see the log",
    ),
    (
        "our own fault",
        deployment(release=release(state=ReleaseState.FAILED, error="internal error")),
        "error",
        "v12 failed: internal error",
    ),
    ("crashed", deployment(crashed=True), "failure", "v12 crashed after it went live"),
    ("suspended", deployment(suspended=True), "inactive", "v12 is suspended: nothing of it runs"),
    (
        "suspended and replaced",
        deployment(suspended=True, current=False),
        "inactive",
        "v12 was replaced by a later release",
    ),
    ("replaced", deployment(current=False), "inactive", "v12 was replaced by a later release"),
    ("no longer kept", deployment(release=release(state=ReleaseState.EXPIRED)), "inactive", "v12 is no longer kept"),
    ("gone", deployment(gone=True), "inactive", "v12 is gone: the app was destroyed"),
    (
        "gone while it was being released",
        deployment(gone=True, release=release(state=ReleaseState.PENDING)),
        "inactive",
        "v12 is gone: the app was destroyed",
    ),
]


@pytest.mark.parametrize(
    ("shown", "state", "text"), [(v, s, t) for _, v, s, t in DEPLOYMENTS], ids=[s for s, *_ in DEPLOYMENTS]
)
def test_github_deployment(shown: DeploymentView, state: str, text: str) -> None:
    content = describe_github_deployment(shown)
    assert content.environment == "shop/shop-staging"
    assert content.sha == A
    assert (content.state, content.description) == (state, text)
    assert content.terminal is (state not in {"queued", "in_progress"})
    assert content.environment_url == (URL if state == "success" else "")


@pytest.mark.parametrize(
    ("stage", "transient", "production"),
    [(Stage.REVIEW, True, False), (Stage.STAGING, False, False), (Stage.PRODUCTION, False, True)],
)
def test_stages_are_told_to_github(stage: Stage, transient: bool, production: bool) -> None:
    content = describe_github_deployment(deployment(stage=stage))
    assert (content.transient_environment, content.production_environment) == (transient, production)


def test_a_long_error_is_cut() -> None:
    shown = deployment(release=release(state=ReleaseState.FAILED, error="x" * 500))
    assert len(describe_github_deployment(shown).description) == 140


def test_only_web_addresses_are_links() -> None:
    assert link("javascript:alert(1)") == ""
    assert link("https://a.example/x) [evil](https://b") == ""
    assert link("https://a.example/x?y=1#z") == "https://a.example/x?y=1#z"


def test_text_is_one_harmless_line() -> None:
    assert plain("\x1b]0;title\x07a\x1b[1;31mb\x00\n c") == "ab c"
    assert cut("a b", 3) == "a b"
    assert cut("a bcd", 3) == "a…"
    assert cell("a_*[x](y)|`") == "a\\_\\*\\[x\\](y)\\|\\`"


def test_a_summary_that_fills_everything_has_no_log() -> None:
    assert with_log("x" * 70_000, "log") == "x" * 65_535
