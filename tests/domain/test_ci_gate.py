"""When CI has passed for a commit, case by case."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.ci_gate import (
    Counted,
    Failed,
    Missing,
    Passed,
    Pending,
    Verdict,
    evaluate,
    is_stopped,
    named,
    of_branch,
)
from service.domain.facts import CheckRun, CheckSuite, CommitStatus, Required, RequiredChecks
from tests.domain.things import NOW, OURS, ago, run, signals, status, suite

ALL_COUNT = Counted()
SETTLE, GATE = 30.0, 3600.0
Part = CommitStatus | CheckRun | CheckSuite


def judge(*parts: Part, seen: float = 120, counted: Counted = ALL_COUNT, **options: Any) -> Verdict:
    settings: dict[str, Any] = {
        "ignored": (),
        "our_app_id": OURS,
        "now": NOW,
        "settle_seconds": SETTLE,
        "gate_seconds": GATE,
        "deploy_without_ci": False,
    }
    return evaluate(signals=signals(*parts, seen=seen), counted=counted, **settings | options)


@dataclass(frozen=True)
class Case:
    says: str
    parts: tuple[Part, ...]
    want: type[Verdict]
    text: str = ""
    seen: float = 120
    counted: Counted = ALL_COUNT
    ignored: tuple[str, ...] = ()
    deploy_without_ci: bool = False


CIRCLE = {"app_id": 18001, "app_name": "CircleCI", "suite_id": 2}
BUILD = named(("build",))
OF_ACTIONS = Counted(required=(Required(context="build", app_id=15368),), everything=False)
UNREAD = of_branch(
    RequiredChecks(branch="main", contexts=(Required(context="build"),), unread="its protection is not shown"),
    our_app_id=OURS,
)
LATE = GATE + 1
FORMER = run("in_progress", "towpath/shop", app_id=OURS + 1, app_name="Former", suite_id=3)

ALL = [
    Case("one green status passes", (status("success"),), Passed, "CI passed: ci/build"),
    Case(
        "one green status right after a push waits for what is yet to begin",
        (status("success"),),
        Pending,
        "further",
        5,
    ),
    Case(
        "one green check right after a push waits for what is yet to begin", (run("success"),), Pending, "further", 29
    ),
    Case("a red check right after a push fails at once", (run("failure"),), Failed, "CI failed: build", 5),
    Case("what is awaited right after a push is named", (status("success"), run("queued")), Pending, "build", 5),
    Case("one pending status is waited for", (status("pending"),), Pending, "waiting for: ci/build"),
    Case("a failed status fails", (status("failure"),), Failed, "CI failed: ci/build"),
    Case("a status in error fails", (status("error"),), Failed),
    Case("a status in a state nobody knows is waited for", (status("great"),), Pending),
    Case("one green check passes", (run("success"),), Passed, "CI passed: build (GitHub Actions)"),
    Case("a queued check is waited for", (run("queued"),), Pending, "waiting for: build (GitHub Actions)"),
    Case("a running check is waited for", (run("in_progress"),), Pending),
    Case("a check that waits for a reviewer is waited for", (run("waiting"),), Pending),
    Case("a requested check is waited for", (run("requested"),), Pending),
    Case("a pending check is waited for", (run("pending"),), Pending),
    Case("a failed check fails", (run("failure"),), Failed, "CI failed: build (GitHub Actions)"),
    Case("a cancelled check fails", (run("cancelled"),), Failed),
    Case("a check that timed out fails", (run("timed_out"),), Failed),
    Case("a check that requires action fails", (run("action_required"),), Failed),
    Case("a check that could not start fails", (run("startup_failure"),), Failed),
    Case("a stale check is waited for", (run("stale"),), Pending),
    Case("a stale check times out in the end", (run("stale"),), Missing, "CI timed out, still waiting for", LATE),
    Case("a completed check without a conclusion is waited for", (run(None),), Pending),
    Case("a conclusion nobody knows is waited for", (run("splendid"),), Pending),
    Case("a neutral check does not block a green one", (run("success"), run("neutral", "lint")), Passed),
    Case("a skipped check does not block a green one", (run("success"), run("skipped", "lint")), Passed),
    Case("all skipped is not a pass", (run("skipped"), run("skipped", "lint")), Pending, "skipped or neutral"),
    Case("all neutral is not a pass", (run("neutral"),), Pending, "skipped or neutral"),
    Case("all skipped times out", (run("skipped"),), Missing, "nothing succeeded", LATE),
    Case("all skipped is no pass even where CI is not needed", (run("skipped"),), Pending, deploy_without_ci=True),
    Case("jobs skipped because one failed do not hide it", (run("failure"), run("skipped", "deploy")), Failed),
    Case("green status, red check: fails", (status("success"), run("failure")), Failed),
    Case("red status, green check: fails", (status("failure"), run("success")), Failed),
    Case("green status, running check: waits for the check", (status("success"), run("queued")), Pending, "build"),
    Case("pending status, green check: waits for the status", (status("pending"), run("success")), Pending, "ci/build"),
    Case("a failure is told before the rest is done", (run("failure"), run("queued", "lint")), Failed),
    Case(
        "everything that is missing is named",
        (run("queued"), status("pending", "lint")),
        Pending,
        "waiting for: lint, build (GitHub Actions)",
    ),
    Case(
        "everything that failed is named",
        (run("failure"), run("cancelled", "e2e"), run("success", "lint")),
        Failed,
        "CI failed: build (GitHub Actions), e2e (GitHub Actions)",
    ),
    Case(
        "one name of two apps: both are needed", (run("success"), run("failure", **CIRCLE)), Failed, "build (CircleCI)"
    ),
    Case("a name that is twice green is told once", (run("success"), run("success")), Passed, "build (GitHub Actions)"),
    Case("an app without a name is fine", (run("success", app_name=""),), Passed, "CI passed: build"),
    Case(
        "the latest run of an app's name counts: red, then green in a suite of its own",
        (run("failure"), run("success", suite_id=2), suite("failure"), suite("success", number=2)),
        Passed,
    ),
    Case(
        "the latest run of an app's name counts: green, then red in a suite of its own",
        (run("success"), run("failure", suite_id=2)),
        Failed,
    ),
    Case(
        "the latest run of an app's name counts: green, then started again",
        (run("success"), run("queued", suite_id=2), suite("success"), suite("queued", number=2)),
        Pending,
        "waiting for: build",
    ),
    Case(
        "an older suite that has not ended is waited for although its run was replaced",
        (run("failure"), run("success", suite_id=2), suite("in_progress")),
        Pending,
        "further jobs",
    ),
    Case(
        "the latest status of a context counts, in whatever letters it is written",
        (status("pending", "CI/Build"), status("success")),
        Passed,
    ),
    Case("a re-run in progress overrides the former green", (run("in_progress"), suite("in_progress")), Pending),
    Case("a finished suite adds nothing to its green run", (run("success"), suite("success")), Passed),
    Case("an unfinished suite has jobs to come", (run("success"), suite("in_progress")), Pending, "further jobs"),
    Case("a queued suite with runs has jobs to come", (run("success"), suite("queued")), Pending, "further jobs"),
    Case("a failed suite is judged by its latest runs", (run("success"), suite("failure")), Passed),
    Case(
        "a queued suite without runs is waited for at first",
        (status("success"), suite("queued", runs=0)),
        Pending,
        "",
        5,
    ),
    Case("a queued suite without runs is inert later", (status("success"), suite("queued", runs=0, number=9)), Passed),
    Case(
        "a requested suite without runs is inert later",
        (status("success"), suite("requested", runs=0, number=9)),
        Passed,
    ),
    Case("only an inert suite means no CI", (suite("queued", runs=0),), Missing, "no CI found", LATE),
    Case("a running suite without runs yet is waited for", (status("success"), suite("in_progress", runs=0)), Pending),
    Case("a suite that waits for approval is waited for", (status("success"), suite("waiting", runs=0)), Pending),
    Case("a workflow that could not start fails", (status("success"), suite("startup_failure", runs=0)), Failed),
    Case("a workflow cancelled before its first job fails", (status("success"), suite("cancelled", runs=0)), Failed),
    Case("a finished suite without runs is no success", (suite("success", runs=0),), Pending),
    Case("nothing yet is waited for", (), Pending, "waiting for: a first status or check"),
    Case("nothing by the timeout is no CI", (), Missing, "no CI found", LATE),
    Case(
        "nothing at first is waited for even where CI is not needed",
        (),
        Pending,
        "a first status",
        5,
        Counted(),
        (),
        True,
    ),
    Case(
        "nothing after the settle time passes where CI is not needed", (), Passed, "within 30 s", deploy_without_ci=True
    ),
    Case("an inert suite passes where CI is not needed", (suite("queued", runs=0),), Passed, deploy_without_ci=True),
    Case("a red check fails even where CI is not needed", (run("failure"),), Failed, deploy_without_ci=True),
    Case(
        "a running check is waited for even where CI is not needed", (run("queued"),), Pending, deploy_without_ci=True
    ),
    Case("a check that never ends times out", (run("in_progress"),), Missing, "still waiting for: build", LATE),
    Case("late green still passes", (run("success"),), Passed, "", LATE),
    Case("late red still fails", (run("failure"),), Failed, "", LATE),
    Case("our own pending status is not waited for", (status("success"), status("pending", "towpath/shop")), Passed),
    Case("our own status alone is no CI", (status("success", "Towpath/shop"),), Pending, "a first status or check"),
    Case("our own check is not waited for", (status("success"), run("queued", app_id=OURS)), Passed),
    Case("our own failed check does not fail CI", (status("success"), run("failure", app_id=OURS)), Passed),
    Case("a check of an App that was ours before is not waited for", (status("success"), FORMER), Passed),
    Case(
        "a suite of an App that was ours before is not waited for",
        (status("success"), FORMER, suite("in_progress", number=3, app_id=OURS + 1)),
        Passed,
    ),
    Case(
        "a suite in which others run something is waited for whatever else is in it",
        (run("success"), FORMER, run("success", "lint", suite_id=3), suite("in_progress", number=3, runs=3)),
        Pending,
    ),
    Case("our own suite is not waited for", (status("success"), suite("in_progress", number=3, app_id=OURS)), Passed),
    Case("an ignored status is not waited for", (run("success"), status("pending", "slow")), Passed, ignored=("SLOW",)),
    Case(
        "an ignored failing check does not fail CI",
        (run("success"), run("failure", "flaky")),
        Passed,
        ignored=("flaky",),
    ),
    Case(
        "a suite of ignored checks only is not waited for",
        (status("success"), run("queued", "slow", **CIRCLE), suite("in_progress", number=2, app_name="CircleCI")),
        Passed,
        ignored=("slow",),
    ),
    Case(
        "an ignored app is left out with all it says",
        (status("success"), run("failure", **CIRCLE), suite("startup_failure", runs=0, number=3, app_name="CircleCI")),
        Passed,
        ignored=("circleci",),
    ),
    Case(
        "a suite with an ignored check still waits for its others",
        (run("success"), run("queued", "slow"), suite("in_progress", runs=2)),
        Pending,
        "further jobs",
        ignored=("slow",),
    ),
    Case("only ignored ones is no CI", (status("success", "slow"),), Pending, "a first status", ignored=("slow",)),
]

REQUIRED = [
    Case("required and green right after a push passes", (run("success"),), Passed, "", 1, BUILD),
    Case("required and green passes", (run("success"),), Passed, counted=BUILD),
    Case("required and absent is waited for", (), Pending, "waiting for: build", counted=BUILD),
    Case("required and absent times out", (), Missing, "still waiting for: build", LATE, BUILD),
    Case("required and absent is no pass where CI is not needed", (), Pending, "", 120, BUILD, (), True),
    Case("required and red fails", (run("failure"),), Failed, counted=BUILD),
    Case("required and cancelled fails", (run("cancelled"),), Failed, counted=BUILD),
    Case("required and running is waited for", (run("in_progress"),), Pending, counted=BUILD),
    Case("required and stale is waited for", (run("stale"),), Pending, counted=BUILD),
    Case("what is not required may fail", (run("success"), run("failure", "lint")), Passed, counted=BUILD),
    Case("what is not required may run on", (run("success"), status("pending", "lint")), Passed, counted=BUILD),
    Case("an unfinished suite does not matter", (run("success"), suite("in_progress")), Passed, counted=BUILD),
    Case("a required status alone passes", (status("success", "build"),), Passed, counted=BUILD),
    Case("contexts differ in case only: the same", (status("success", "BUILD"),), Passed, counted=BUILD),
    Case(
        "check and status of one name: both needed",
        (run("success"), status("pending", "build")),
        Pending,
        counted=BUILD,
    ),
    Case(
        "check and status of one name: one red fails",
        (run("success"), status("error", "build")),
        Failed,
        counted=BUILD,
    ),
    Case("required and only skipped is not a pass", (run("skipped"),), Pending, "skipped", counted=BUILD),
    Case(
        "one required green, one skipped: passes",
        (run("success"), run("skipped", "lint")),
        Passed,
        counted=named(("build", "lint")),
    ),
    Case(
        "one required green, one absent: waits for that one",
        (run("success"),),
        Pending,
        "waiting for: lint",
        counted=named(("build", "lint")),
    ),
    Case(
        "required of an app, green of it",
        (run("success"),),
        Passed,
        counted=OF_ACTIONS,
    ),
    Case(
        "required of an app, green of another only",
        (run("success", **CIRCLE), status("success", "build")),
        Pending,
        counted=OF_ACTIONS,
    ),
    Case(
        "required of an app that reports by status, and it is green",
        (replace(status("success", "build"), app_id=15368),),
        Passed,
        counted=OF_ACTIONS,
    ),
    Case(
        "required of an app that reports by status, and it is red",
        (run("success"), replace(status("failure", "build"), app_id=15368)),
        Failed,
        counted=OF_ACTIONS,
    ),
    Case(
        "required of an app, green status of another app only",
        (replace(status("success", "build"), app_id=18001),),
        Pending,
        counted=OF_ACTIONS,
    ),
    Case(
        "required: the latest run of an app's name counts",
        (run("failure"), run("success", suite_id=2)),
        Passed,
        counted=BUILD,
    ),
    Case(
        "required of any app: each app's latest run counts",
        (run("failure", **CIRCLE), run("success")),
        Failed,
        counted=BUILD,
    ),
    Case(
        "required and ignored does not count",
        (run("failure"), run("success", "lint")),
        Passed,
        "",
        1,
        named(("build", "lint")),
        ("BUILD",),
    ),
    Case(
        "where all that is required is ignored, everything else counts",
        (run("failure"), run("queued", "lint")),
        Pending,
        "waiting for: lint",
        counted=BUILD,
        ignored=("build",),
    ),
    Case(
        "what is required of an ignored app counts",
        (run("failure"),),
        Failed,
        counted=BUILD,
        ignored=("GitHub Actions",),
    ),
    Case("not all that is required is known: the rest counts, too", (run("success"),), Passed, counted=UNREAD),
    Case(
        "not all that is required is known: what fails stops it",
        (run("success"), run("failure", "lint")),
        Failed,
        counted=UNREAD,
    ),
    Case(
        "not all that is required is known: what is known to be is waited for",
        (run("success", "lint"),),
        Pending,
        "waiting for: build",
        counted=UNREAD,
    ),
    Case("not all that is required is known: it has to settle", (run("success"),), Pending, "further", 5, UNREAD),
    Case("our own check cannot be required", (run("success", app_id=OURS),), Pending, counted=BUILD),
]


@pytest.mark.parametrize("case", ALL + REQUIRED, ids=lambda case: case.says)
def test_ci(case: Case) -> None:
    verdict = judge(
        *case.parts,
        seen=case.seen,
        counted=case.counted,
        ignored=case.ignored,
        deploy_without_ci=case.deploy_without_ci,
    )
    assert type(verdict) is case.want, verdict
    assert case.text in verdict.text


def test_every_case_has_a_sentence_of_its_own() -> None:
    sentences = [case.says for case in ALL + REQUIRED]
    assert len(sentences) >= 60
    assert len(set(sentences)) == len(sentences)


def test_unread_signals_are_waited_for() -> None:
    verdict = evaluate(
        signals=None,
        counted=Counted(),
        ignored=(),
        our_app_id=0,
        now=NOW,
        settle_seconds=SETTLE,
        gate_seconds=GATE,
        deploy_without_ci=True,
    )
    assert isinstance(verdict, Pending)
    assert verdict.until is None


def test_what_is_kept_from_us_is_never_taken_for_no_ci_at_all() -> None:
    kept = replace(signals(seen=120), unread="GitHub shows this token no check runs")
    options: dict[str, Any] = {
        "counted": ALL_COUNT, "ignored": (), "our_app_id": 0, "settle_seconds": SETTLE, "gate_seconds": GATE,
        "deploy_without_ci": True,
    }  # fmt: skip
    assert isinstance(evaluate(signals=kept, now=NOW, **options), Pending)
    assert isinstance(evaluate(signals=kept, now=NOW + timedelta(seconds=GATE), **options), Missing)


def test_what_passes_on_the_rest_says_what_was_not_read() -> None:
    green = replace(signals(status("success"), seen=120), unread="GitHub shows this token no check runs")
    options: dict[str, Any] = {
        "ignored": (), "our_app_id": 0, "settle_seconds": SETTLE, "gate_seconds": GATE, "deploy_without_ci": False,
    }  # fmt: skip
    for counted in (ALL_COUNT, named(("ci/build",))):
        passed = evaluate(signals=green, counted=counted, now=NOW, **options)
        assert isinstance(passed, Passed)
        assert passed.text == "CI passed: ci/build; GitHub shows this token no check runs"


def test_while_settling_the_verdict_may_change_at_the_end_of_the_settle_time() -> None:
    verdict = judge(status("success"), suite("queued", runs=0), seen=10)
    assert isinstance(verdict, Pending)
    assert verdict.until == ago(10 - SETTLE)
    assert verdict.waiting_for == ("GitHub Actions",)


def test_while_waiting_the_verdict_may_change_when_the_gate_closes() -> None:
    verdict = judge(run("queued"))
    assert isinstance(verdict, Pending)
    assert verdict.until == ago(120 - GATE)


def test_an_unfinished_suite_of_a_running_job_is_told_by_the_job() -> None:
    verdict = judge(run("queued"), suite("in_progress"))
    assert isinstance(verdict, Pending)
    assert verdict.waiting_for == ("build (GitHub Actions)",)


def test_without_a_github_app_nothing_but_our_statuses_is_ours() -> None:
    assert isinstance(judge(run("failure", app_id=0), our_app_id=0), Failed)


@pytest.mark.parametrize(
    ("verdict", "stopped"),
    [
        (judge(run("failure")), True),
        (judge(seen=LATE), True),
        (judge(run("queued"), seen=LATE), True),
        (judge(run("queued")), False),
        (judge(run("success")), False),
    ],
    ids=["failed", "no CI", "timed out", "running", "passed"],
)
def test_deploy_anyway_is_worth_offering_only_after_ci_stopped_it(verdict: Verdict, stopped: bool) -> None:
    assert is_stopped(verdict.text) is stopped


def test_a_branch_that_requires_nothing_is_gated_by_everything() -> None:
    assert of_branch(RequiredChecks(branch="main", contexts=()), our_app_id=OURS) == Counted()


def test_what_a_branch_requires_of_us_is_not_waited_for() -> None:
    """Owners require our check before a merge; it waits for CI itself."""
    ours = (Required(context="Towpath/shop"), Required(context="deployed", app_id=OURS))
    required = RequiredChecks(branch="main", contexts=(*ours, Required(context="build")))
    assert of_branch(required, our_app_id=OURS) == named(("build",))
    assert of_branch(RequiredChecks(branch="main", contexts=ours), our_app_id=OURS) == Counted()
