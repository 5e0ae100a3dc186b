"""What becomes of a pull request's review app, from what is known of both. Asked again whenever either changes.

Only a positive "closed", a person, a setting or GitHub's word that we may not read the repository any more takes an app
away: a fact that is missing, outdated or an error leads to a look, never to a destroy.
"""

from datetime import timedelta
from typing import Final

from service.domain.access import right_lost
from service.domain.ci_gate import but_unread, is_stopped
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
from service.domain.deploys import settled
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind, PullRequest, changes_between
from service.domain.freshness import ACTED_ON_FOR, ci_gate, lacking
from service.domain.model import NO_SHA, AppState, ReviewState
from service.domain.review_rest import access_is_back, idle, without_access
from service.domain.review_rules import (
    ARCHIVED,
    ASKED,
    BY_PERSON,
    CLOSED,
    CONFIRM,
    DRAFT,
    MOVED,
    NO_FORKS,
    OVER,
    SWITCHED_OFF,
    obstacle,
    over_cap,
    stays_away,
    trust_of,
    untouched,
    untrusted,
)
from service.domain.review_view import ReviewView, Target

__all__ = ["ReviewView", "plan"]

_LOST_RING: Final = timedelta(minutes=1)


def plan(view: ReviewView) -> tuple[Decision, ...]:
    """What to do now; the first rule that holds wins, and an end wins over everything."""
    unwanted = _why_unwanted(view)
    if unwanted is not None:
        return _end(view, unwanted)
    if view.number is None:
        return _plan_branch(view, view.ref.removeprefix("branch:"))
    key = FactKey(FactKind.PULL_REQUEST, view.repository.id, str(view.number))
    lack = lacking(view.pull_request, key, now=view.now)
    pull_request = view.pull_request.value if view.pull_request is not None else None
    if lack is not None or pull_request is None:
        return _unknown(view, lack or Look(fact=key, why="not known yet"))
    return _plan_open(view, pull_request, key) if pull_request.state == "open" else _closed(view)


def _why_unwanted(view: ReviewView) -> Destroy | None:
    if view.asked == "destroy":
        return Destroy(ordered=True, reason=BY_PERSON)
    if view.pipeline.repository_id != view.repository.id:
        return Destroy(ordered=True, reason=MOVED)
    if not view.pipeline.toggles.review_apps:
        return Destroy(ordered=True, reason=SWITCHED_OFF)
    return None


def _end(view: ReviewView, end: Destroy) -> tuple[Decision, ...]:
    """Destroy what there is, once."""
    review, app = view.review, view.app
    if view.asked == "create":
        raise Refused(f"No review app for {view.source}: {end.reason}.")
    if review is None or review.state in OVER:
        if view.asked == "destroy":
            raise Refused(f"There is no review app for {view.source}.", code="not_found")
        return (Nothing(reason=end.reason),)
    if review.state is ReviewState.WAITING:
        return (_set(view, ReviewState.SKIPPED, end.reason, view.wanted_before),)
    if app is None or app.state is AppState.GONE:
        return (_set(view, ReviewState.DESTROYED, end.reason, view.wanted_before),)
    if view.is_leaving:
        return (Wait(reason="waiting for: everything of it to be verified gone"),)
    return (Request(app_id=app.id, work=end, reason=end.reason, by_person=view.asked == "destroy"),)


def _closed(view: ReviewView) -> tuple[Decision, ...]:
    """A close is also noted on an app that left for another reason, so that reopening brings the app back."""
    review = view.review
    decisions = _end(view, Destroy(ordered=True, reason=CLOSED))
    if review is None or review.reason == CLOSED:
        return decisions
    if review.state is ReviewState.DESTROYING or review.state in OVER:
        return (_set(view, review.state, CLOSED, view.wanted_before), *decisions)
    return decisions


def _unknown(view: ReviewView, lack: Look | Wait) -> tuple[Decision, ...]:
    """A person's wish is kept until the fact is there; an error is told at once."""
    if not view.repository.accessible and view.asked != "create":
        return without_access(view)
    if view.asked != "create" or view.has_app:
        return (lack,)
    if isinstance(lack, Wait):
        raise Refused(f"No review app for {view.source} yet. {lack.reason}")
    return (*_hold(view, ASKED, view.wanted_before), lack)


def _plan_branch(view: ReviewView, branch: str) -> tuple[Decision, ...]:
    """A branch without a pull request: made by a person only, and there until it is taken away."""
    if not view.repository.accessible and view.has_app and not view.asked:
        return without_access(view)
    if not view.by_person:
        return access_is_back(view) or (Nothing(reason="review apps of a branch are made and taken away by a person"),)
    key = FactKey(FactKind.HEAD, view.repository.id, branch)
    lack = lacking(view.head, key, now=view.now, age=ACTED_ON_FOR)
    head = view.head.value if view.head is not None else None
    if lack is not None or head is None:
        return _unknown(view, lack or Look(fact=key, why="not known yet"))
    if head.sha is None or head.sha == NO_SHA:
        reason = f"there is no branch {branch} in {view.repository.full_name}"
        if view.asked:
            raise Refused(f"No review app: {reason}.", code="not_found")
        return (Nothing(reason=reason),)
    target = Target(sha=head.sha, branch=branch)
    if view.has_app and not view.is_leaving:
        return _redeploy(view, target)
    return _former(view) or _create(view, target)


def _plan_open(view: ReviewView, pull_request: PullRequest, key: FactKey) -> tuple[Decision, ...]:
    if not view.repository.accessible:
        if view.asked:
            raise Refused(f"No review app for {view.source}: Towpath has no access to {view.repository.full_name}.")
        return without_access(view)
    if view.has_app:
        if _untrusted(view, pull_request) == NO_FORKS:
            return _end(view, Destroy(ordered=True, reason=NO_FORKS))
        return access_is_back(view) or _plan_update(view, pull_request, key)
    if view.thinks_it_has_app:
        return (_set(view, ReviewState.DESTROYED, BY_PERSON, view.wanted_before),)
    return _former(view) or _plan_creation(view, pull_request, key)


def _untrusted(view: ReviewView, pull_request: PullRequest) -> str:
    return untrusted(pull_request, view.pipeline.toggles, approved=view.approved)


def _former(view: ReviewView) -> tuple[Decision, ...]:
    """The next generation waits until the former one has let go of the name."""
    if not view.is_leaving:
        return ()
    if view.asked:
        raise Refused(f"The former review app of {view.source} is being destroyed. Try again when it is gone.")
    return (Wait(reason="waiting for: the former review app to be gone"),)


def _plan_creation(view: ReviewView, pull_request: PullRequest, key: FactKey) -> tuple[Decision, ...]:
    target = _target(pull_request)
    review = view.review
    if review is not None and stays_away(review, target.sha) and not view.asked:
        return (Nothing(reason=f"taken away ({review.reason}); the next push or a person brings it back"),)
    reason = obstacle(pull_request, view.pipeline.toggles, by_person=view.by_person, approved=view.approved)
    if not reason and view.repository.archived and not view.by_person:
        reason = ARCHIVED  # nobody can push, close, or be told on GitHub
    if not reason and not view.by_person:
        reason = right_lost(view.pipeline, view.repository)
    if reason and view.asked:
        raise Refused(f"No review app for {view.source}: {reason}.")
    if reason:
        return (*_hold(view, reason, target), Wait(reason=reason))
    lack = lacking(view.pull_request, key, now=view.now, age=ACTED_ON_FOR)
    if lack is not None:
        return (*(_hold(view, ASKED, target) if view.asked else ()), lack)
    return (
        _elsewhere(view, pull_request, target) or _gated(view, target, pull_request.base_ref) or _create(view, target)
    )


def _elsewhere(view: ReviewView, pull_request: PullRequest, target: Target) -> tuple[Decision, ...]:
    """What a pull request gets that changes nothing of what the paths name; empty when it does. A person overrides."""
    toggles = view.pipeline.toggles
    if not toggles.paths or view.by_person:
        return ()
    key = changes_between(view.repository.id, pull_request.base_sha, target.sha)
    changes = view.changes if view.changes is not None and view.changes.key == key else None
    lack = lacking(changes, key, now=view.now)
    if lack is not None or changes is None or changes.value is None:
        shown = _hold(view, "waiting for: what the pull request changes", target)
        return (*shown, lack or Look(fact=key, why="not known yet"))
    reason = untouched(changes.value, toggles)
    return (*_hold(view, reason, target), Wait(reason=reason)) if reason else ()


def _plan_update(view: ReviewView, pull_request: PullRequest, key: FactKey) -> tuple[Decision, ...]:
    target = _target(pull_request)
    reason = _untrusted(view, pull_request)
    if view.is_leaving or reason:
        return _not_updated(view, reason, target)
    if view.asked:
        return _redeploy(view, target)
    if pull_request.draft and not view.pipeline.toggles.drafts:
        return idle(view, f"{DRAFT}: not updated")
    done = settled(target.sha, queue=view.queue, last=view.last_deploy)
    if done is not None:
        return idle(view, done)
    held_back = _held_back(view, target, key) or _stopped(view, target, pull_request.base_ref)
    return held_back or _request(view, target, _by_ci(view, f"the pull request is at {target.sha[:7]}"))


def _stopped(view: ReviewView, target: Target, base: str) -> tuple[Decision, ...]:
    """What CI keeps back; what it has stopped for good is idle like anything that nobody works on."""
    gated = _gated(view, target, base)
    waits = [each for each in gated if isinstance(each, Wait) and is_stopped(each.reason)]
    if not waits:
        return gated
    rest = idle(view, waits[0].reason)
    if view.wants(target) and any(isinstance(each, Wait) and each.reason.startswith(CONFIRM) for each in rest):
        return (*waits, *rest)
    return (*gated, *(each for each in rest if isinstance(each, Wait | Request)))


def _held_back(view: ReviewView, target: Target, key: FactKey) -> tuple[Decision, ...]:
    """What keeps a newer commit out whatever CI says of it; what was made before serves on, and nothing is taken."""
    lost = right_lost(view.pipeline, view.repository)
    if lost:
        return (*_follow(view, lost, target), Wait(reason=lost))
    lack = lacking(view.pull_request, key, now=view.now, age=ACTED_ON_FOR)
    return () if lack is None else (lack,)


def _not_updated(view: ReviewView, untrusted: str, target: Target) -> tuple[Decision, ...]:
    """What was approved before serves on; the check of the new commit says what that one waits for."""
    if view.asked:
        raise Refused(f"No deploy to the review app of {view.source}: {untrusted or 'it is being destroyed'}.")
    if view.is_leaving:
        return (Wait(reason="it is being destroyed"),)
    rest = idle(view, f"{untrusted}: not updated")
    if view.wants(target) and any(isinstance(each, Wait) and each.reason.startswith(CONFIRM) for each in rest):
        return rest
    return (*_follow(view, untrusted, target), *(each for each in rest if not isinstance(each, SetReview)))


def _target(pull_request: PullRequest) -> Target:
    return Target(sha=pull_request.head_sha, branch=pull_request.head_ref, trust=trust_of(pull_request))


def _gated(view: ReviewView, target: Target, base: str) -> tuple[Decision, ...]:
    """What keeps CI from letting it through; empty when nothing does. A person need not wait for CI."""
    if not view.pipeline.toggles.wait_for_ci or view.by_person:
        return ()
    key = FactKey(FactKind.CI, view.repository.id, target.sha)
    closed = ci_gate(
        view.ci,
        key,
        branch=base,
        required=view.required,
        since=view.pull_request.since if view.pull_request is not None else None,
        toggles=view.pipeline.toggles,
        our_app_id=view.our_app_id,
        now=view.now,
    )
    if closed is None:
        return ()
    shown = _follow(view, closed.reason, target) if view.has_app else _hold(view, closed.reason, target)
    return (*shown, closed.then)


def _by_ci(view: ReviewView, reason: str) -> str:
    """The reason for what CI has let through, with what was not read of it."""
    if not view.pipeline.toggles.wait_for_ci or view.by_person:
        return reason
    return but_unread(reason, view.ci.value if view.ci is not None else None)


def _create(view: ReviewView, target: Target) -> tuple[Decision, ...]:
    reason = over_cap(view.pipeline.toggles, live=view.live_review_apps, ahead=view.waiting_ahead)
    if reason:
        # Whoever leaves rings the oldest that waits; the time is for a ring that was lost.
        return (*_hold(view, reason, target), Wait(reason=reason, until=view.now + _LOST_RING))
    by_person = view.by_person
    return (
        CreateReviewApp(
            pipeline_id=view.pipeline.id,
            repository_id=view.repository.id,
            ref=view.ref,
            name=view.name,
            deploy=_deploy(view, target),
            reason=ASKED if by_person else _by_ci(view, f"{view.source} is open at {target.sha[:7]}"),
            by_person=by_person,
        ),
    )


def _redeploy(view: ReviewView, target: Target) -> tuple[Decision, ...]:
    """A person asks again: that also repeats a deploy that failed."""
    done = settled(target.sha, queue=view.queue, last=None)
    return (Nothing(reason=done),) if done else _request(view, target, ASKED)


def _request(view: ReviewView, target: Target, reason: str) -> tuple[Decision, ...]:
    assert view.app is not None
    work = _deploy(view, target)
    request = Request(app_id=view.app.id, work=work, reason=reason, by_person=view.asked == "create")
    moved = not view.wants(target)
    return (*(_follow(view, reason, target) if moved else ()), request)


def _follow(view: ReviewView, reason: str, target: Target) -> tuple[SetReview, ...]:
    """Note the newly wanted commit on an app that goes on as it is."""
    review = view.review
    if review is None or (review.reason == reason and view.wants(target)):
        return ()
    return (_set(view, review.state, reason, target),)


def _deploy(view: ReviewView, target: Target) -> Deploy:
    return Deploy(
        repository_id=view.repository.id,
        sha=target.sha,
        trust=target.trust,
        branch=target.branch,
        pull_request=view.number,
    )


def _hold(view: ReviewView, reason: str, target: Target) -> tuple[SetReview, ...]:
    """Show that it waits and why, unless that is shown already."""
    review = view.review
    wanted = _set(view, ReviewState.WAITING, reason, target)
    if review is None or review.state is not ReviewState.WAITING:
        return (wanted,)
    shown = (review.reason, review.sha, review.branch, review.by_person)
    return () if shown == (reason, target.sha, target.branch, wanted.by_person) else (wanted,)


def _set(view: ReviewView, state: ReviewState, reason: str, target: Target) -> SetReview:
    return SetReview(
        pipeline_id=view.pipeline.id,
        repository_id=view.repository.id,
        ref=view.ref,
        state=state,
        sha=target.sha,
        branch=target.branch,
        reason=reason,
        by_person=view.by_person,
    )
