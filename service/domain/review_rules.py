"""The single rules about review apps, each with the words people read: who qualifies, how many, for how long."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from service.domain.facts import PullRequest
from service.domain.model import ReviewApp, ReviewState, Sha, Toggles, Trust

CLOSED: Final = "the pull request is closed"
SWITCHED_OFF: Final = "review apps are switched off"
MOVED: Final = "the pipeline is no longer connected to this repository"
BY_PERSON: Final = "a person took it away"
STALE: Final = "no deploy for"
CONFIRM: Final = "destroy pending: confirm"
OVER_CAP: Final = "over the cap"
ASKED: Final = "a person asked for it"
FORK: Final = "fork: needs approval of this commit by someone with write access"
BOT: Final = "bot: needs approval of this commit by someone with write access"
AWAITS_APPROVAL: Final = frozenset({FORK, BOT})
NO_FORKS: Final = "this pipeline runs no code of forks or bots"
DRAFT: Final = "drafts get no review app in this pipeline"
MANUAL: Final = "automatic review apps are off"
OVER: Final = frozenset({ReviewState.DESTROYED, ReviewState.SKIPPED})
_COMES_BACK: Final = frozenset({CLOSED, SWITCHED_OFF, MOVED, NO_FORKS})
"""After these ends the same commit gets an app again; after any other it takes a push or a person."""


def trust_of(pull_request: PullRequest) -> Trust:
    """Whose code its head is. A fork that was deleted is still a fork, and a bot's branch of ours as good as one."""
    return Trust.FORK if pull_request.is_fork or pull_request.author_is_bot else Trust.OWN


def untrusted(pull_request: PullRequest, toggles: Toggles, *, approved: Collection[Sha]) -> str:
    """Why its code may not run; empty if it may. What is approved is one commit, whoever pushes the next."""
    if trust_of(pull_request) is Trust.OWN:
        return ""
    if toggles.forks == "never":
        return NO_FORKS
    if pull_request.head_sha in approved:
        return ""
    return FORK if pull_request.is_fork else BOT


def obstacle(pull_request: PullRequest, toggles: Toggles, *, by_person: bool, approved: Collection[Sha] = ()) -> str:
    """Why no app comes; empty if one may. A person's wish overrides settings, not trust."""
    reason = untrusted(pull_request, toggles, approved=approved)
    if reason or by_person:
        return reason
    if pull_request.draft and not toggles.drafts:
        return DRAFT
    return "" if toggles.automatic_review_apps else MANUAL


def over_cap(toggles: Toggles, *, live: int, ahead: int) -> str:
    """Why it has to wait for a place; empty if there is one. The oldest gets the next."""
    if not toggles.max_review_apps or live + ahead < toggles.max_review_apps:
        return ""
    return f"{OVER_CAP} of {toggles.max_review_apps} review apps, {ahead} waiting before it"


def brakes(*, live: int, inferred_this_hour: int) -> bool:
    """Whether too many apps left because we inferred it: one wrong inference must not sweep a pipeline empty."""
    return inferred_this_hour >= max(3, (live + inferred_this_hour) // 2)


def stays_away(review: ReviewApp, sha: Sha) -> bool:
    """Whether an app that was taken away stays so although its pull request is open."""
    return review.state in OVER and review.sha == sha and review.reason not in _COMES_BACK


def stale_at(review: ReviewApp, toggles: Toggles) -> datetime | None:
    """When it has been without a deploy for too long; None if that never ends it."""
    if not toggles.destroy_stale or review.pinned:
        return None
    return (review.deployed_at or review.created_at) + timedelta(days=toggles.stale_days)
