"""What the dashboard says of apps."""

from dataclasses import replace

import pytest

from service.domain import overview
from service.domain.facts import (
    CiSignals,
    CommitStatus,
    Fact,
    FactKey,
    FactKind,
    Required,
    RequiredChecks,
)
from service.domain.model import (
    AppState,
    CiCounts,
    QueuedRequest,
    RequestId,
    RequestState,
    ReviewState,
    Sha,
    Toggles,
)
from service.domain.overview import Said, Tone
from tests.domain.things import NOW, app, release
from tests.domain.things import review as review_app

A = Sha("a" * 40)
STANDINGS = {
    "an app without a release": ({}, "", False, "nothing deployed", Tone.QUIET),
    "an app that serves": ({}, "up", True, "live", Tone.GOOD),
    "an app that was not looked at yet": ({}, "", True, "live", Tone.GOOD),
    "an app that crashed": ({}, "crashed", True, "crashed", Tone.BAD),
    "an app that starts": ({}, "starting", True, "starting", Tone.BUSY),
    "an app in maintenance": ({"maintenance": True}, "up", True, "maintenance", Tone.WAITING),
    "an app that rests": ({"state": AppState.SUSPENDED}, "up", True, "suspended", Tone.QUIET),
    "an app that goes": ({"state": AppState.DESTROYING}, "up", True, "destroying", Tone.BUSY),
}


@pytest.mark.parametrize(("change", "engine", "released", "text", "tone"), STANDINGS.values(), ids=STANDINGS)
def test_how_an_app_stands(change: dict, engine: str, released: bool, text: str, tone: Tone) -> None:
    found = overview.standing(replace(app(), **change), engine, release() if released else None)
    assert found == Said(text=text, tone=tone)


BECAME = {
    RequestState.QUEUED: ("in the queue", Tone.WAITING),
    RequestState.RUNNING: ("building", Tone.BUSY),
    RequestState.SUCCEEDED: ("done", Tone.GOOD),
    RequestState.FAILED: ("failed", Tone.BAD),
    RequestState.SUPERSEDED: ("superseded", Tone.QUIET),
    RequestState.CANCELLED: ("cancelled", Tone.QUIET),
}


def test_what_has_become_of_a_request_is_said_in_every_state() -> None:
    assert {
        state: (said.text, said.tone) for state in RequestState if (said := overview.became(state, "build"))
    } == BECAME
    assert overview.became(RequestState.RUNNING, "start").text == "starting"


def test_every_state_of_a_review_app_is_said() -> None:
    for state in ReviewState:
        said = overview.review_standing(replace(review_app(), state=state), None)
        assert said.text == state.value


def test_a_live_review_app_that_crashed_is_said_to_have() -> None:
    crashed = Said(text="crashed", tone=Tone.BAD)
    assert overview.review_standing(replace(review_app(), state=ReviewState.LIVE), crashed) == crashed


def request(kind: str, state: RequestState, reason: str = "", sha: Sha | None = None) -> QueuedRequest:
    return QueuedRequest(
        id=RequestId("r"),
        app_id=app().id,
        seq=1,
        kind=kind,
        state=state,
        by_person=True,
        sha=sha,
        reason=reason,
        created_at=NOW,
    )


Q, R, F = RequestState.QUEUED, RequestState.RUNNING, RequestState.FAILED
DOING = {
    "a deploy that waits": (request("Deploy", Q, "main is at aaaaaaa", A), "", "deploy aaaaaaa: in the queue"),
    "a build": (request("Deploy", R, "main is at aaaaaaa", A), "build", "deploy aaaaaaa: building"),
    "a sent source": (request("DeployArchive", R), "build", "deploy: building"),
    "a promotion": (request("ReleaseSlug", R, "Promote shop-staging v3"), "release", "Promote shop-staging v3: release command"),
    "config vars": (request("ChangeConfig", R, "Set A config vars"), "live", "config vars: going live"),
    "a step of its own": (request("Restart", R), "waits for the others", "restart: waits for the others"),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "step", "text"), DOING.values(), ids=DOING)
def test_what_is_being_done(asked: QueuedRequest, step: str, text: str) -> None:
    assert overview.doing(asked, step).text == text


def test_every_kind_of_work_has_a_word() -> None:
    from service.store.requests import _WORK

    assert set(overview._DOING) == set(_WORK)


def test_what_failed_last_is_said_and_nothing_else() -> None:
    assert overview.in_vain(request("Deploy", F, "no Procfile")) == "deploy failed: no Procfile"
    assert overview.in_vain(request("Deploy", F)) == "deploy failed"
    assert overview.in_vain(request("Deploy", RequestState.SUCCEEDED)) == ""
    assert overview.in_vain(None) == ""


def test_a_deploy_that_is_done_awaits_nothing() -> None:
    assert overview.awaited("aaaaaaa is deployed") == ""
    assert overview.awaited("waiting for: build") == "waiting for: build"


def signals(**states: str) -> Fact[CiSignals]:
    statuses = tuple(CommitStatus(context=name, state=state) for name, state in states.items())
    value = CiSignals(sha=A, statuses=statuses, runs=(), suites=(), first_seen=NOW)
    return Fact(key=FactKey(FactKind.CI, 1, A), value=value, error="", stale=False, looked_at=NOW)  # type: ignore[arg-type]


ALL = Toggles(settle_seconds=0)
NAMED = replace(ALL, ci_counts=CiCounts.REQUIRED, required_contexts=("build",))
BRANCH = replace(ALL, ci_counts=CiCounts.PROTECTED)
CI = {
    "all that there is": (ALL, {"build": "success", "lint": "failure"}, "CI failed: lint", Tone.BAD),
    "what the settings name": (NAMED, {"build": "success", "lint": "failure"}, "CI passed: build", Tone.GOOD),
    "what the branch requires": (BRANCH, {"build": "success", "lint": "failure"}, "CI passed: build", Tone.GOOD),
    "what is not there yet": (NAMED, {"lint": "success"}, "CI waiting for: build", Tone.WAITING),
}


@pytest.mark.parametrize(("toggles", "states", "text", "tone"), CI.values(), ids=CI)
def test_ci_counts_as_the_pipeline_says(toggles: Toggles, states: dict[str, str], text: str, tone: Tone) -> None:
    value = RequiredChecks(branch="main", contexts=(Required(context="build"),))
    required = Fact(key=FactKey(FactKind.REQUIRED, 1, "main"), value=value, error="", stale=False, looked_at=NOW)  # type: ignore[arg-type]
    said = overview.ci(signals(**states), toggles=toggles, required=required, our_app_id=0, now=NOW)
    assert said == Said(text=text, tone=tone)


def test_of_a_commit_that_nobody_asked_about_nothing_is_said() -> None:
    assert overview.ci(None, toggles=ALL, required=None, our_app_id=0, now=NOW) is None
