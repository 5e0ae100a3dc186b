"""What a plan for a review app may know, and the commit that app should run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from service.domain.deploys import is_leaving
from service.domain.facts import ChangedPaths, CiSignals, Fact, Head, PullRequest, RequiredChecks
from service.domain.model import (
    NO_SHA,
    App,
    AppState,
    Pipeline,
    QueuedRequest,
    Repository,
    ReviewApp,
    ReviewState,
    Sha,
    Trust,
)
from service.domain.names import in_words

_WITH_APP: Final = frozenset({ReviewState.CREATING, ReviewState.LIVE, ReviewState.FAILED, ReviewState.SUSPENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The commit an app should run."""

    sha: Sha
    branch: str
    trust: Trust = Trust.OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """Everything `plan` may know, from one snapshot.

    `ref` is `pr:N` or `branch:REF` (then `number` is None and `head` is the branch's). `ci` is about the pull
    request's head. `review` is the latest generation and `app` its app. `queue` holds the app's open requests in
    order, `last_deploy` is its newest finished deploy. `live_review_apps` counts the pipeline's review apps that
    have an app, `leaving_review_apps` those of them that are being destroyed, `waiting_ahead` the older ones that
    wait for a place (their reason starts with `OVER_CAP`). `name` is the app name to use. `our_app_id` is our
    GitHub App's id, 0 without one. `inferred_this_hour` counts the pipeline's review apps that were destroyed in
    the last hour without a person's or GitHub's order. `required` is what the pull request's base requires, None where
    the toggles do not ask for that. `changes` is what the pull request's head changed over its base, loaded where the
    pipeline's settings name paths. `approved` are the commits of the pull request that were approved, if it needs that
    at all.
    """

    now: datetime
    pipeline: Pipeline
    repository: Repository
    ref: str
    number: int | None
    pull_request: Fact[PullRequest] | None
    ci: Fact[CiSignals] | None
    review: ReviewApp | None
    app: App | None
    queue: tuple[QueuedRequest, ...]
    last_deploy: QueuedRequest | None
    live_review_apps: int
    waiting_ahead: int
    asked: Literal["create", "destroy"] | None
    name: str
    head: Fact[Head] | None = None
    our_app_id: int = 0
    inferred_this_hour: int = 0
    leaving_review_apps: int = 0
    required: Fact[RequiredChecks] | None = None
    approved: frozenset[Sha] = frozenset()
    changes: Fact[ChangedPaths] | None = None

    @property
    def source(self) -> str:
        """What it is the app of, in words."""
        return in_words(self.ref)

    @property
    def has_app(self) -> bool:
        """Whether there is an app to deploy to or to take away."""
        return self.thinks_it_has_app and self.app is not None and self.app.state is not AppState.GONE

    @property
    def thinks_it_has_app(self) -> bool:
        """Whether the review app's row says so: the app itself may have been destroyed on its own."""
        return self.review is not None and self.review.state in _WITH_APP

    @property
    def is_leaving(self) -> bool:
        """Whether the app is being destroyed, or will be."""
        if self.review is not None and self.review.state is ReviewState.DESTROYING:
            return True
        return is_leaving(self.queue) or (self.app is not None and self.app.state is AppState.DESTROYING)

    @property
    def by_person(self) -> bool:
        """Whether a person asked for the app, now or before it had to wait."""
        waiting = self.review is not None and self.review.state is ReviewState.WAITING
        return self.asked == "create" or (waiting and self.review is not None and self.review.by_person)

    @property
    def wanted_before(self) -> Target:
        """The commit that was wanted when last looked."""
        if self.review is None:
            return Target(sha=NO_SHA, branch="")
        return Target(sha=self.review.sha, branch=self.review.branch)

    def wants(self, target: Target) -> bool:
        """Whether that commit was wanted already when last looked."""
        return (self.wanted_before.sha, self.wanted_before.branch) == (target.sha, target.branch)
