"""How the CI gate and its reads follow one another in time."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.decisions import Look, Wait
from service.domain.facts import CiSignals, Fact, FactKey, FactKind, Required, RequiredChecks
from service.domain.freshness import ACTED_ON_FOR, Closed, ci_gate, lacking
from service.domain.model import CiCounts, Toggles
from tests.domain.things import NOW, OURS, REPO, A, ago, ci_fact, head_fact, run, status, suite

KEY = FactKey(FactKind.CI, REPO, A)


def gate(
    fact: Fact[CiSignals] | None,
    since: datetime | None = None,
    required: Fact[RequiredChecks] | None = None,
    **toggles: Any,
) -> Closed | None:
    return ci_gate(
        fact,
        KEY,
        branch="main",
        required=required,
        since=since,
        toggles=Toggles(**toggles),
        our_app_id=OURS,
        now=NOW,
    )


def then(fact: Fact[CiSignals] | None, since: datetime | None = None, **toggles: Any) -> Look | Wait:
    closed = gate(fact, since, **toggles)
    assert closed is not None
    return closed.then


def test_green_and_just_read_opens() -> None:
    assert gate(ci_fact(run("success"))) is None


def test_green_but_read_a_while_ago_is_read_once_more() -> None:
    assert gate(ci_fact(run("success"), age=61)) == Closed(
        reason="waiting for: CI to be read again", then=Look(fact=KEY, why="the last read before the deploy")
    )


def test_a_burst_of_events_is_one_read() -> None:
    closed = gate(ci_fact(run("queued"), age=4, stale=True))
    assert closed is not None
    assert closed.reason == "waiting for: build (GitHub Actions)"
    assert closed.then == Wait(reason="waiting for: CI to be read again", until=ago(4 - 10))


def test_a_short_settle_time_shortens_the_burst() -> None:
    assert then(ci_fact(run("queued"), age=4, stale=True), settle_seconds=3.0) == Look(fact=KEY, why="newer is out")


def test_outdated_signals_are_read_again() -> None:
    assert then(ci_fact(run("success"), age=11, stale=True)) == Look(fact=KEY, why="newer is out")


def test_signals_never_read_are_read() -> None:
    assert then(replace(ci_fact(run("success")), looked_at=None)) == Look(fact=KEY, why="not known yet")
    assert then(replace(ci_fact(run("success")), looked_at=None, stale=True)) == Look(fact=KEY, why="not known yet")


def test_an_error_is_waited_out_and_never_a_verdict() -> None:
    assert then(ci_fact(error="truncated page")) == Wait(
        reason="GitHub could not be asked: truncated page", until=ago(5 - 60)
    )


def test_an_error_makes_nothing_believed_that_was_known_before_it() -> None:
    refused = replace(ci_fact(run("success")), error="Resource not accessible by integration")
    assert gate(refused) == Closed(
        reason="waiting for: CI to be read again; GitHub could not be asked: Resource not accessible by integration",
        then=Wait(reason="GitHub could not be asked: Resource not accessible by integration", until=ago(5 - 60)),
    )
    assert then(replace(refused, looked_at=ago(60))) == Look(
        fact=KEY, why="the last look failed: Resource not accessible by integration"
    )
    head = replace(head_fact(), error="Not Found")
    assert lacking(head, head.key, now=NOW, age=ACTED_ON_FOR) == Wait(
        reason="GitHub could not be asked: Not Found", until=ago(5 - 60)
    )


@pytest.mark.parametrize(
    ("seen", "minutes"),
    [(30, 1), (90, 2), (240, 5), (700, 10), (3000, 10)],
    ids=["in the first minute", "then", "later", "much later", "in the end"],
)
def test_lost_events_delay_by_the_poll_interval(seen: float, minutes: float) -> None:
    early, late = minutes * 60 - 1, minutes * 60
    assert then(ci_fact(run("queued"), seen=seen + early, age=early)) == Wait(
        reason="waiting for: build (GitHub Actions)", until=ago(early) + timedelta(minutes=minutes)
    )
    assert then(ci_fact(run("queued"), seen=seen + late, age=late)) == Look(
        fact=KEY, why="an event may have been lost", poll=True
    )


def test_the_end_of_the_settle_time_comes_before_the_next_poll() -> None:
    fact = ci_fact(status("success"), suite("queued", runs=0), seen=10)
    assert then(fact) == Wait(reason="waiting for: GitHub Actions", until=ago(10 - 30))


def test_a_failure_is_polled_for_a_rerun() -> None:
    assert then(ci_fact(run("failure"), age=600, seen=3000)) == Look(
        fact=KEY, why="an event may have been lost", poll=True
    )


def test_after_the_timeout_nothing_is_polled() -> None:
    assert then(ci_fact(seen=9000, age=5000)) == Wait(reason="no CI found")


BUILD = {"ci_counts": CiCounts.REQUIRED, "required_contexts": ("build",)}
LOST = Look(fact=KEY, why="an event may have been lost", poll=True)
FAILED = "CI failed: build (GitHub Actions)"


@pytest.mark.parametrize(
    ("seen", "age", "wanted"),
    [
        pytest.param(3500, 400, Wait(reason=FAILED, until=ago(-100)), id="it is read when the gate closes, not later"),
        pytest.param(3600, 300, LOST, id="the gate has just closed: it is read a last time"),
        pytest.param(9000, 5400, Wait(reason=FAILED), id="it was read when the gate closed: nobody asks any more"),
        pytest.param(9000, 5500, LOST, id="the gate closed while we were away: it is read a last time"),
    ],
)
def test_a_failure_is_polled_until_the_gate_closes(seen: float, age: float, wanted: Look | Wait) -> None:
    assert then(ci_fact(run("failure"), seen=seen, age=age)) == wanted


def test_ci_is_read_once_more_before_it_counts_as_timed_out() -> None:
    assert then(ci_fact(run("queued"), seen=3601, age=300)) == LOST


def test_what_was_green_before_the_branch_came_to_the_commit_has_to_settle_again() -> None:
    """A merge without a merge commit: the pull request's checks are green, those of the branch have yet to begin."""
    closed = gate(ci_fact(run("success"), seen=5000), since=ago(10))
    assert closed is not None
    assert closed.reason == "waiting for: further statuses and checks, which have 30 s to appear"
    assert closed.then == Wait(reason=closed.reason, until=ago(-20))
    assert gate(ci_fact(run("success"), seen=5000), since=ago(60)) is None


def test_what_was_required_and_green_before_the_branch_came_to_the_commit_passes() -> None:
    assert gate(ci_fact(run("success"), seen=5000), since=ago(10), **BUILD) is None


def test_the_gate_closes_by_when_the_branch_came_to_the_commit() -> None:
    assert then(ci_fact(run("queued"), seen=9000, age=5), since=ago(300)) == Wait(
        reason="waiting for: build (GitHub Actions)", until=ago(5) + timedelta(minutes=5)
    )


def test_green_that_was_read_before_the_settle_time_ended_is_read_once_more() -> None:
    """The event that told of the next check may have been lost."""
    fact = ci_fact(run("success"), seen=35, age=20)
    assert then(fact) == Look(fact=KEY, why="the last read before the deploy")
    assert gate(fact, **BUILD) is None


REQUIRED = FactKey(FactKind.REQUIRED, REPO, "main")
NOT_SHOWN = "the protection of main is not shown (Server Error)"


def requires(*contexts: str, age: float = 60, unread: str = "", **changes: Any) -> Fact[RequiredChecks]:
    value = RequiredChecks(branch="main", contexts=tuple(Required(context=each) for each in contexts), unread=unread)
    whole = Fact(key=REQUIRED, value=value, error="", stale=False, looked_at=ago(age))
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("required", "wanted"),
    [
        pytest.param(None, Look(fact=REQUIRED, why="not known yet"), id="never read"),
        pytest.param(requires("build", stale=True), Look(fact=REQUIRED, why="newer is out"), id="changed since"),
        pytest.param(requires("build", age=301), Look(fact=REQUIRED, why="too old to act on"), id="five minutes old"),
        pytest.param(
            requires("build", key=FactKey(FactKind.REQUIRED, REPO, "other")),
            Look(fact=REQUIRED, why="not known yet"),
            id="of another branch",
        ),
        pytest.param(
            requires(error="502", age=5),
            Wait(reason="GitHub could not be asked: 502", until=ago(5 - 60)),
            id="GitHub does not answer",
        ),
    ],
)
def test_what_a_branch_requires_is_read_before_anything_is_concluded(
    required: Fact[RequiredChecks] | None, wanted: Look | Wait
) -> None:
    closed = gate(ci_fact(run("success")), required=required, ci_counts=CiCounts.PROTECTED)
    assert closed == Closed(reason="waiting for: what GitHub requires for main", then=wanted)


def test_only_what_the_branch_requires_counts() -> None:
    fact = ci_fact(run("success"), run("failure", "lint"), seen=5)
    assert gate(fact, required=requires("build"), ci_counts=CiCounts.PROTECTED) is None
    closed = gate(fact, required=requires("build", "e2e"), ci_counts=CiCounts.PROTECTED)
    assert closed is not None
    assert closed.reason == "waiting for: e2e"


def test_people_are_told_why_more_counts_than_the_branch_is_known_to_require() -> None:
    fact = ci_fact(run("success"), run("queued", "lint"))
    closed = gate(fact, required=requires(unread=NOT_SHOWN), ci_counts=CiCounts.PROTECTED)
    assert closed is not None
    assert closed.reason == f"waiting for: lint (GitHub Actions); {NOT_SHOWN}: every status and check counts"
