"""What the dashboard says of an app beside its name: how it stands, what is done to it, and what CI says. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final, assert_never

from service.domain.ci_gate import Counted, Failed, Missing, Passed, Pending, Verdict, evaluate, named, of_branch
from service.domain.facts import CiSignals, CommitsApart, Fact, ListedCommit, RequiredChecks
from service.domain.model import (
    App,
    AppState,
    CiCounts,
    QueuedRequest,
    Release,
    RequestState,
    ReviewApp,
    ReviewState,
    Sha,
    Toggles,
)


@unique
class Tone(StrEnum):
    """Whether a word is good news."""

    GOOD = "good"
    BUSY = "busy"
    WAITING = "waiting"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A word or a sentence, and how it is meant."""

    text: str
    tone: Tone


_OF_REVIEW: Final = {
    ReviewState.WAITING: Tone.WAITING,
    ReviewState.CREATING: Tone.BUSY,
    ReviewState.LIVE: Tone.GOOD,
    ReviewState.FAILED: Tone.BAD,
    ReviewState.SUSPENDED: Tone.QUIET,
    ReviewState.DESTROYING: Tone.BUSY,
    ReviewState.DESTROYED: Tone.QUIET,
    ReviewState.SKIPPED: Tone.QUIET,
}
_UP: Final = frozenset({"", "up"})
_DOING: Final = {
    "Deploy": "deploy",
    "DeployArchive": "deploy",
    "ReleaseSlug": "release",
    "ChangeConfig": "config vars",
    "Rollback": "rollback",
    "Scale": "scale",
    "Restart": "restart",
    "Suspend": "suspend",
    "Destroy": "destroy",
}
_STEPS: Final = {
    "": "begun",
    "build": "building",
    "release": "release command",
    "start": "starting",
    "live": "going live",
}


def standing(app: App, engine_state: str, release: Release | None) -> Said:
    """How an app stands, in a word; `engine_state` is what its engine was last seen to do."""
    if app.state is not AppState.ACTIVE:
        leaving = app.state is AppState.DESTROYING
        return Said(text=app.state.value, tone=Tone.BUSY if leaving else Tone.QUIET)
    if release is None:
        return Said(text="nothing deployed", tone=Tone.QUIET)
    if app.maintenance:
        return Said(text="maintenance", tone=Tone.WAITING)
    if engine_state in _UP:
        return Said(text="live", tone=Tone.GOOD)
    return Said(text=engine_state, tone=Tone.BAD if engine_state == "crashed" else Tone.BUSY)


def review_standing(review: ReviewApp, app: Said | None) -> Said:
    """How a review app stands; one that is live may have crashed since."""
    if review.state is ReviewState.LIVE and app is not None:
        return app
    return Said(text=review.state.value, tone=_OF_REVIEW[review.state])


def doing(request: QueuedRequest, step: str) -> Said:
    """What is being done to an app, or will be."""
    what = request.reason if request.kind in {"ReleaseSlug", "Rollback"} and request.reason else _DOING[request.kind]
    if request.kind == "Deploy" and request.sha is not None:
        what = f"deploy {request.sha[:7]}"
    if request.state is RequestState.QUEUED:
        return Said(text=f"{what}: in the queue", tone=Tone.WAITING)
    return Said(text=f"{what}: {_STEPS.get(step, step)}", tone=Tone.BUSY)


def work_in_words(kind: str) -> str:
    """A kind of work in a word or two."""
    return _DOING[kind]


def became(state: RequestState, step: str) -> Said:
    """What has become of a request so far, in a word or two."""
    match state:
        case RequestState.QUEUED:
            return Said(text="in the queue", tone=Tone.WAITING)
        case RequestState.RUNNING:
            return Said(text=_STEPS.get(step, step), tone=Tone.BUSY)
        case RequestState.SUCCEEDED:
            return Said(text="done", tone=Tone.GOOD)
        case RequestState.FAILED:
            return Said(text="failed", tone=Tone.BAD)
        case RequestState.SUPERSEDED | RequestState.CANCELLED:
            return Said(text=state.value, tone=Tone.QUIET)
        case _:
            assert_never(state)


def in_vain(last: QueuedRequest | None) -> str:
    """What was asked of an app last, if nothing came of it; else empty."""
    if last is None or last.state is not RequestState.FAILED:
        return ""
    return f"{_DOING[last.kind]} failed: {last.reason}" if last.reason else f"{_DOING[last.kind]} failed"


def awaited(reason: str) -> str:
    """What an automatic deploy waits for or is kept back by; empty when all is deployed."""
    return "" if reason.endswith(" is deployed") else reason


def ci(
    fact: Fact[CiSignals] | None,
    *,
    toggles: Toggles,
    required: Fact[RequiredChecks] | None,
    our_app_id: int,
    now: datetime,
) -> Said | None:
    """What CI says of a commit, as far as GitHub was asked about it; None when it was not."""
    if fact is None or fact.value is None:
        return None
    verdict = evaluate(
        signals=fact.value,
        counted=_counted(toggles, required, our_app_id),
        ignored=toggles.ignored_contexts,
        our_app_id=our_app_id,
        now=now,
        settle_seconds=toggles.settle_seconds,
        gate_seconds=toggles.gate_seconds,
        deploy_without_ci=toggles.deploy_without_ci,
    )
    return Said(text=_in_words(verdict), tone=_tone(verdict))


def _counted(toggles: Toggles, required: Fact[RequiredChecks] | None, our_app_id: int) -> Counted:
    match toggles.ci_counts:
        case CiCounts.ALL:
            return Counted()
        case CiCounts.REQUIRED:
            return named(toggles.required_contexts)
        case CiCounts.PROTECTED:
            known = required.value if required is not None else None
            return Counted() if known is None else of_branch(known, our_app_id=our_app_id)
        case _:
            assert_never(toggles.ci_counts)


def _in_words(verdict: Verdict) -> str:
    match verdict:
        case Passed() | Failed():
            return verdict.text
        case Pending() | Missing():
            return f"CI {verdict.text}" if verdict.text.startswith("waiting") else verdict.text
        case _:
            assert_never(verdict)


def _tone(verdict: Verdict) -> Tone:
    match verdict:
        case Passed():
            return Tone.GOOD
        case Failed():
            return Tone.BAD
        case Pending() | Missing():
            return Tone.WAITING
        case _:
            assert_never(verdict)


def listed(known: Iterable[CommitsApart]) -> dict[Sha, ListedCommit]:
    """The commits of which more is known than their number."""
    return {each.sha: each for it in known for each in (*it.ahead_commits, *it.behind_commits)}
