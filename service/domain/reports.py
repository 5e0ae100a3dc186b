"""What GitHub should show: pure descriptions, kept true by `workers/jobs/report.py`.

A check is `in_progress` only while work on the commit is queued or running; whatever waits for somebody or something
else is completed and neutral, so that no pull request hangs on it.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, assert_never

from service.domain.ci_gate import OUR_PREFIX, is_stopped
from service.domain.deploys import UNTOUCHED
from service.domain.model import BuildState, ReleaseState, RequestState, ReviewState, Stage
from service.domain.report_approval import approve_action, awaits_approval, how_to_approve
from service.domain.report_text import LONGEST_DESCRIPTION, cell, cut, link, table, with_log
from service.domain.report_views import (
    CheckAction,
    CheckContent,
    CheckDeploy,
    CheckReview,
    CheckView,
    DeploymentView,
    GithubDeploymentContent,
    StatusContent,
    Step,
)
from service.domain.review_rules import ASKED, AWAITS_APPROVAL, CLOSED, MOVED, NO_FORKS, SWITCHED_OFF

__all__ = [
    "CheckView",
    "CheckReview",
    "CheckDeploy",
    "DeploymentView",
    "CheckContent",
    "CheckAction",
    "StatusContent",
    "GithubDeploymentContent",
    "describe_check",
    "describe_status",
    "describe_github_deployment",
]


class Outcome(Enum):
    """How far it is."""

    QUEUED = auto()
    RUNNING = auto()
    SUCCESS = auto()
    FAILURE = auto()
    NEUTRAL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One app's share of what is shown. `url` is empty where nothing answers."""

    outcome: Outcome
    app_name: str
    stage: Stage
    word: str
    reason: str
    url: str
    steps: tuple[Step, ...] = ()

    @property
    def title(self) -> str:
        """In one line."""
        return f"{self.app_name}: {self.word}{f' ({self.reason})' if self.reason else ''}"


_CREATE: Final = CheckAction(label="Create review app", description="Build this commit and run it", identifier="create")
_ANYWAY: Final = CheckAction(
    label="Deploy anyway", description="Deploy this commit without CI", identifier="deploy_anyway"
)
_REBUILD: Final = CheckAction(label="Rebuild", description="Build and deploy this commit again", identifier="rebuild")
DESTROY: Final = "destroy"
"""The identifier of that button, with the pull request's number behind a colon."""
_NOT_TO_CREATE: Final = AWAITS_APPROVAL | {NO_FORKS, CLOSED, SWITCHED_OFF, MOVED, ASKED}
_MOST_ACTIONS: Final = 3
_LONGEST_TITLE: Final = 200
_SHORT: Final = 9.95


def describe_check(view: CheckView) -> CheckContent:
    """The check run of a commit in a pipeline."""
    parts = _parts(view)
    status, conclusion = _verdict(parts)
    if view.approval_blocks and conclusion == "neutral" and awaits_approval(view.review):
        conclusion = "action_required"
    told = (*((view.review,) if view.review is not None else ()), *view.deploys)
    log = next((each.log_tail for each in told if each.log_tail), "")
    return CheckContent(
        name=f"{OUR_PREFIX}{view.pipeline}",
        sha=view.sha,
        status=status,
        conclusion=conclusion,
        title=_title(parts),
        summary=with_log(_summary(view, parts), log),
        actions=_actions(view)[:_MOST_ACTIONS],
        details_url=link(view.details_url),
        terminal=conclusion is not None,
    )


def describe_status(view: CheckView) -> StatusContent:
    """The same as a commit status, which knows no neutral: what does not block is a success that says why."""
    parts = _parts(view)
    _, conclusion = _verdict(parts)
    state = {None: "pending", "failure": "failure"}.get(conclusion, "success")
    return StatusContent(
        context=f"{OUR_PREFIX}{view.pipeline}",
        sha=view.sha,
        state=state,
        description=cut(_title(parts), LONGEST_DESCRIPTION),
        target_url=link(view.details_url) or next((link(part.url) for part in parts if link(part.url)), ""),
        terminal=conclusion is not None,
    )


def describe_github_deployment(view: DeploymentView) -> GithubDeploymentContent:
    """The GitHub deployment of a release."""
    state, text = _deployment_state(view)
    return GithubDeploymentContent(
        environment=f"{view.pipeline}/{view.app.name}",
        sha=view.release.commit,
        state=state,
        description=cut(f"v{view.release.version} {text}", LONGEST_DESCRIPTION),
        transient_environment=view.stage is Stage.REVIEW,
        production_environment=view.stage is Stage.PRODUCTION,
        environment_url=link(view.url) if state == "success" else "",
        log_url=link(view.log_url),
        terminal=state not in {"queued", "in_progress"},
    )


def _deployment_state(view: DeploymentView) -> tuple[str, str]:
    release = view.release
    if view.gone:
        return "inactive", "is gone: the app was destroyed"
    match release.state:
        case ReleaseState.PENDING:
            return ("in_progress", "is being released") if view.started else ("queued", "waits for its turn")
        case ReleaseState.FAILED:
            internal = release.error.startswith("internal error")
            return "error" if internal else "failure", f"failed: {release.error or 'see the log'}"
        case ReleaseState.EXPIRED:
            return "inactive", "is no longer kept"
        case ReleaseState.SUCCEEDED:
            return _succeeded_state(view)
        case _:
            assert_never(release.state)


def _succeeded_state(view: DeploymentView) -> tuple[str, str]:
    if not view.current:
        return "inactive", "was replaced by a later release"
    if view.suspended:
        return "inactive", "is suspended: nothing of it runs"
    return ("failure", "crashed after it went live") if view.crashed else ("success", f"({view.release.description})")


def _parts(view: CheckView) -> list[Part]:
    parts = [review_part(view.review)] if view.review is not None else []
    return parts + [_deploy_part(deploy) for deploy in view.deploys]


def review_part(review: CheckReview) -> Part:
    """What is said of a review app, whatever shows it."""
    outcome = _review_outcome(review)
    word = review.state.value if review.state is not ReviewState.LIVE else _WORDS[outcome]
    shown = outcome in {Outcome.SUCCESS, Outcome.QUEUED, Outcome.RUNNING} or review.state is ReviewState.LIVE
    return Part(
        outcome=outcome,
        app_name=review.app_name or "review app",
        stage=Stage.REVIEW,
        word=word,
        reason=review.error if outcome is Outcome.FAILURE and review.error else review.reason,
        url=review.url if shown else "",
        steps=review.steps,
    )


def _review_outcome(review: CheckReview) -> Outcome:
    if awaits_approval(review):
        return Outcome.NEUTRAL
    match review.state:
        case ReviewState.CREATING:
            left = review.request in {RequestState.SUPERSEDED, RequestState.CANCELLED}
            return Outcome.NEUTRAL if left else Outcome.RUNNING  # left: it is made with a newer commit
        case ReviewState.LIVE:
            return _live_outcome(review)
        case ReviewState.FAILED:
            return Outcome.FAILURE
        case (
            ReviewState.WAITING
            | ReviewState.SUSPENDED
            | ReviewState.DESTROYING
            | ReviewState.DESTROYED
            | ReviewState.SKIPPED
        ):
            return Outcome.NEUTRAL
        case _:
            assert_never(review.state)


def _live_outcome(review: CheckReview) -> Outcome:
    """The app serves; the question is whether it serves this commit."""
    if review.request is not None:
        return _OUTCOMES[review.request]
    if BuildState.FAILED is review.build or ReleaseState.FAILED is review.release:
        return Outcome.FAILURE
    if BuildState.PENDING is review.build or ReleaseState.PENDING is review.release:
        return Outcome.RUNNING
    return Outcome.SUCCESS if ReleaseState.SUCCEEDED is review.release else Outcome.NEUTRAL


def _deploy_part(deploy: CheckDeploy) -> Part:
    outcome = _OUTCOMES[deploy.state] if deploy.state is not None else Outcome.NEUTRAL
    return Part(
        outcome=outcome,
        app_name=deploy.app_name,
        stage=deploy.stage,
        word=deploy.state.value if deploy.state is not None else _unasked(deploy.reason),
        reason=deploy.error or deploy.reason,
        url=deploy.url,
        steps=deploy.steps,
    )


def _unasked(reason: str) -> str:
    return "skipped" if reason.startswith(UNTOUCHED) else "waiting"


_OUTCOMES: Final = {
    RequestState.QUEUED: Outcome.QUEUED,
    RequestState.RUNNING: Outcome.RUNNING,
    RequestState.SUCCEEDED: Outcome.SUCCESS,
    RequestState.FAILED: Outcome.FAILURE,
    RequestState.SUPERSEDED: Outcome.NEUTRAL,
    RequestState.CANCELLED: Outcome.NEUTRAL,
}
_WORDS: Final = {
    Outcome.QUEUED: "queued",
    Outcome.RUNNING: "updating",
    Outcome.SUCCESS: "live",
    Outcome.FAILURE: "update failed",
    Outcome.NEUTRAL: "live with another commit",
}


def _verdict(parts: list[Part]) -> tuple[str, str | None]:
    outcomes = {part.outcome for part in parts}
    if Outcome.RUNNING in outcomes:
        return "in_progress", None
    if Outcome.QUEUED in outcomes:
        return "queued", None
    for outcome, conclusion in ((Outcome.FAILURE, "failure"), (Outcome.SUCCESS, "success")):
        if outcome in outcomes:
            return "completed", conclusion
    return "completed", "neutral"


def _title(parts: list[Part]) -> str:
    return cut("; ".join(part.title for part in parts) or "Nothing to do for this commit", _LONGEST_TITLE)


def _summary(view: CheckView, parts: list[Part]) -> str:
    if not parts:
        return f"`{view.sha[:7]}` concerns no app of this pipeline."
    rows = [
        (
            f"[{cell(part.app_name)}]({link(part.url)})" if link(part.url) else cell(part.app_name),
            part.stage.value,
            cell(part.word),
            cell(part.reason),
            ", ".join(f"{step.name} {_duration(step.seconds)}" for step in part.steps),
        )
        for part in parts
    ]
    addresses = [link(part.url) for part in parts if link(part.url)]
    approval, others = how_to_approve(view), _of_others(view)
    shown = table(("App", "Stage", "State", "Why", "Took"), rows)
    return "\n\n".join([f"Commit `{view.sha[:7]}`", shown, *others, *addresses, *approval])


def _of_others(view: CheckView) -> tuple[str, ...]:
    """GitHub has one check for a commit, whose buttons do not say from which pull request they are pressed."""
    if view.review is None or not view.others:
        return ()
    named = ", ".join(f"{cell(each.app_name)} ({each.state.value})" for each in view.others)
    ours = cell(view.review.app_name) or "the review app"
    also = f"Other pull requests are at this commit, too: {named}."
    return (f"{also} This check and **Destroy** are about {ours} alone, the other buttons about all of them.",)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < _SHORT else f"{rest} s"


def _destroy(review: CheckReview) -> CheckAction:
    """The one button that is about an app and not about the commit: it names the app, and its pull request to us."""
    description = cut(f"Take {review.app_name} away" if review.app_name else "Take the review app away", 40)
    identifier = DESTROY if review.number is None else f"{DESTROY}:{review.number}"
    return CheckAction(label="Destroy", description=description, identifier=identifier)


def _actions(view: CheckView) -> tuple[CheckAction, ...]:
    review = view.review
    reasons = [deploy.reason for deploy in view.deploys if deploy.state is None]
    again = (_REBUILD,) if any(deploy.again for deploy in view.deploys) else ()
    if review is None:
        return (*((_ANYWAY,) if any(is_stopped(reason) for reason in reasons) else ()), *again)
    if awaits_approval(review):
        return (approve_action(view.sha), *((_destroy(review),) if review.app_name else ()))
    reasons.append(review.reason)
    stopped = (_ANYWAY,) if any(is_stopped(reason) for reason in reasons) else ()
    match review.state:
        case ReviewState.WAITING | ReviewState.DESTROYED | ReviewState.SKIPPED:
            creatable = not stopped and review.reason not in _NOT_TO_CREATE
            return (*stopped, *((_CREATE,) if creatable else ()), *again)
        case ReviewState.CREATING:
            return (*stopped, *again, _destroy(review))
        case ReviewState.LIVE | ReviewState.FAILED | ReviewState.SUSPENDED:
            return (*stopped, _REBUILD, _destroy(review))
        case ReviewState.DESTROYING:
            return (*stopped, *again)
        case _:
            assert_never(review.state)
