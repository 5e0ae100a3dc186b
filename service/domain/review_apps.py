"""What becomes of a pull request's review app, from what is known of both. Asked again whenever either changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.domain.facts import CiSignals, Fact, Head, PullRequest
from service.domain.model import App, Pipeline, QueuedRequest, Repository, ReviewApp


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """Everything `plan` may know, from one snapshot.

    `ref` is `pr:N` or `branch:REF` (then `number` is None and `head` is the branch's). `ci` is about the pull request's
    head. `review` is the latest generation and `app` its app. `queue` holds the app's open requests in order,
    `last_deploy` is its newest finished deploy. `live_review_apps` counts the pipeline's review apps that have an app,
    `waiting_ahead` the older ones that wait for a place (their reason starts with `OVER_CAP`). `name` is the app name
    to use. `our_app_id` is our GitHub App's id, 0 without one.
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
