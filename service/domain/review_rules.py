"""The single rules about review apps, each with the words people read: who qualifies, how many, for how long."""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from service.domain.errors import Refused
from service.domain.facts import ChangedPaths, PullRequest
from service.domain.model import IdleAction, ReviewApp, ReviewState, Sha, Toggles, Trust
from service.domain.patterns import names_any_file, names_branch

CLOSED: Final = "the pull request is closed"
SWITCHED_OFF: Final = "review apps are switched off"
MOVED: Final = "the pipeline is no longer connected to this repository"
BY_PERSON: Final = "a person took it away"
STALE: Final = "no deploy for"
LOST: Final = "access to the repository was lost"
CONFIRM: Final = "destroy pending: confirm"
ENDS: Final = "to be"
"""How what is said beforehand of an end begins."""
OVER_CAP: Final = "over the cap"
ASKED: Final = "a person asked for it"
FORK: Final = "fork: needs approval of this commit by someone with write access"
BOT: Final = "bot: needs approval of this commit by someone with write access"
AWAITS_APPROVAL: Final = frozenset({FORK, BOT})
NO_FORKS: Final = "this pipeline runs no code of forks or bots"
DRAFT: Final = "drafts get no review app in this pipeline"
MANUAL: Final = "automatic review apps are off"
ARCHIVED: Final = "the repository is archived on GitHub: nothing new is made of it until it is not"
OVER: Final = frozenset({ReviewState.DESTROYED, ReviewState.SKIPPED})
LOST_FOR: Final = timedelta(hours=24)
"""How long a suspended review app waits for access to its repository to come back."""
_COMES_BACK: Final = frozenset({CLOSED, SWITCHED_OFF, MOVED, NO_FORKS, LOST})
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
    return _unlisted(pull_request, toggles) or ("" if toggles.automatic_review_apps else MANUAL)


def _unlisted(pull_request: PullRequest, toggles: Toggles) -> str:
    """Why labels or base branch keep it out. GitHub does not tell labels apart by case."""
    wanted = {label.casefold() for label in toggles.labels}
    if wanted and not wanted & {label.casefold() for label in pull_request.labels}:
        return f"it has none of the labels: {', '.join(toggles.labels)}"
    if toggles.base_branches and not names_branch(toggles.base_branches, pull_request.base_ref):
        return f"it goes into {pull_request.base_ref}, not into: {', '.join(toggles.base_branches)}"
    return ""


def untouched(changed: ChangedPaths, toggles: Toggles) -> str:
    """Why a pull request does not concern the pipeline; empty if it does, or if not all that it changes is known."""
    if not changed.whole or names_any_file(toggles.paths, changed.paths):
        return ""
    return f"it changes nothing in: {', '.join(toggles.paths)}"


def over_cap(toggles: Toggles, *, live: int, ahead: int) -> str:
    """Why it has to wait, and where in the queue it is; empty if there is a place. The oldest gets the next."""
    cap = toggles.max_review_apps
    if not cap or live + ahead < cap:
        return ""
    return f"{OVER_CAP} of {cap} review app{'' if cap == 1 else 's'}: number {ahead + 1} in the queue"


def brakes(*, live: int, inferred_this_hour: int) -> bool:
    """Whether too many apps left because we inferred it: one wrong inference must not sweep a pipeline empty."""
    return inferred_this_hour >= max(3, (live + inferred_this_hour) // 2)


def stays_away(review: ReviewApp, sha: Sha) -> bool:
    """Whether an app that was taken away stays so although its pull request is open."""
    return review.state in OVER and review.sha == sha and review.reason not in _COMES_BACK


def goes_with(review: ReviewApp, toggles: Toggles, *, trust: Trust | None, now: datetime) -> bool:
    """Whether its app is taken away once these are the settings; without its pull request at hand `trust` is None."""
    if review.app_id is None or review.state is ReviewState.DESTROYING or review.state in OVER:
        return False
    return not toggles.review_apps or _barred(toggles, trust) or _past_its_date(review, toggles, now)


def goes_by(former: Toggles, toggles: Toggles, review: ReviewApp, *, trust: Trust | None, now: datetime) -> bool:
    """Whether it is by the change from the `former` settings that its app is taken away.

    An app that is past its date may be there for long: a push that waits, the brake or lost access keeps it. So where
    review apps are switched off, or forks run no more from now on, it goes by that, whatever its date.
    """
    if not goes_with(review, toggles, trust=trust, now=now):
        return False
    if (former.review_apps and not toggles.review_apps) or (_barred(toggles, trust) and not _barred(former, trust)):
        return True
    return _past_its_date(review, toggles, now) and not _past_its_date(review, former, now)


def _barred(toggles: Toggles, trust: Trust | None) -> bool:
    """Whether code of forks runs no more, and this is one's or may be."""
    return toggles.forks == "never" and trust is not Trust.OWN


def _past_its_date(review: ReviewApp, toggles: Toggles, now: datetime) -> bool:
    """Whether its time without a deploy is over, and ends it. A branch's own is there until a person takes it away."""
    ends = stale_at(review, toggles) if review.ref.startswith("pr:") else None
    return ends is not None and ends <= now and toggles.idle_action is IdleAction.DESTROY


class WouldGo(Refused):
    """Review apps would be taken away of which whoever asked has not been told; `going` names all that would."""

    def __init__(self, going: Collection[str]) -> None:
        self.going = tuple(sorted(going))
        super().__init__(f"This destroys {self.named}.", code="review_apps_would_go")

    @property
    def digest(self) -> str:
        """What stands for their names where these are too many for an address."""
        return digest_of(self.going)

    @property
    def named(self) -> str:
        """How many and which they are."""
        return f"{len(self.going)} review app{'' if len(self.going) == 1 else 's'}: {', '.join(self.going)}"


def digest_of(names: Collection[str]) -> str:
    """`sha256:` and the digest of names, sorted and separated by commas: it stands for just these."""
    return f"sha256:{hashlib.sha256(','.join(sorted(names)).encode()).hexdigest()}"


def check_told(going: Collection[str], told: Collection[str] | None) -> None:
    """Refuse (`WouldGo`) to take away others than somebody was told of; with None nobody wants to be told.

    What they were `told` are names, or the digest of all that go.
    """
    if told is not None and not set(going) <= set(told) and digest_of(going) not in told:
        raise WouldGo(going)


def stale_at(review: ReviewApp, toggles: Toggles) -> datetime | None:
    """When it has been without a deploy for too long; None if that never ends it."""
    if not toggles.destroy_stale or review.pinned:
        return None
    return (review.deployed_at or review.created_at) + timedelta(days=toggles.stale_days)


def announced_at(ends: datetime, toggles: Toggles) -> datetime:
    """When its end is told beforehand: a day before, or half the time where that is as short as a day."""
    return ends - min(timedelta(days=1), timedelta(days=toggles.stale_days) / 2)
