"""The things Towpath keeps: plain frozen records, without behavior.

Ids are UUIDs in text form, repositories are GitHub's numeric ids, times are aware and in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Final, NewType

PipelineId = NewType("PipelineId", str)
AppId = NewType("AppId", str)
SpaceId = NewType("SpaceId", str)
CouplingId = NewType("CouplingId", str)
SlugId = NewType("SlugId", str)
BuildId = NewType("BuildId", str)
ReleaseId = NewType("ReleaseId", str)
RequestId = NewType("RequestId", str)
PromotionId = NewType("PromotionId", str)
TargetId = NewType("TargetId", str)
ReviewAppId = NewType("ReviewAppId", str)
UserId = NewType("UserId", str)
TeamId = NewType("TeamId", str)
TokenId = NewType("TokenId", str)
RepositoryId = NewType("RepositoryId", int)
Sha = NewType("Sha", str)

NO_SHA = Sha("0" * 40)
"""What GitHub writes for "there is no commit": a branch before its creation or after its deletion."""
NO_REPOSITORY = RepositoryId(0)
"""What was pushed to an app or sent belongs to none."""


@unique
class Stage(StrEnum):
    """Where in a pipeline an app stands. `test` holds CI configuration only."""

    TEST = "test"
    REVIEW = "review"
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


FORKS: Final = "fork"
"""Where a pipeline keeps the config vars of forks' review apps, beside those of its stages."""


@unique
class IdleAction(StrEnum):
    """What becomes of a review app that is stale."""

    DESTROY = "destroy"
    SUSPEND = "suspend"


@unique
class Trust(StrEnum):
    """Whose code it is: `own` is reachable from a branch of the base repository, anything else on GitHub is `fork`.

    `sent` is of no repository: somebody who may deploy the app pushed it there, sent it, or named where it lies.
    """

    OWN = "own"
    FORK = "fork"
    SENT = "sent"


@unique
class AppState(StrEnum):
    """An app's life."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DESTROYING = "destroying"
    GONE = "gone"


@unique
class ReviewState(StrEnum):
    """A review app's life. `waiting` has a reason; the last two are final."""

    WAITING = "waiting"
    CREATING = "creating"
    LIVE = "live"
    FAILED = "failed"
    SUSPENDED = "suspended"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    SKIPPED = "skipped"


@unique
class RequestState(StrEnum):
    """An entry of an app's queue; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


@unique
class BuildState(StrEnum):
    """A build's life; the last three are final."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@unique
class ReleaseState(StrEnum):
    """A release's life; the last three are final."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"


@unique
class TargetState(StrEnum):
    """A promotion target's life."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A named place to run apps: a driver with its settings."""

    id: SpaceId
    name: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository as last seen. `installation_id` is 0 without a GitHub App, `lost_at` when access was lost."""

    id: RepositoryId
    full_name: str
    default_branch: str
    installation_id: int = 0
    archived: bool = False
    accessible: bool = True
    lost_at: datetime | None = None


@unique
class CiCounts(StrEnum):
    """Which statuses and checks count for CI: all, those that the settings name, or those that the branch requires."""

    ALL = "all"
    REQUIRED = "required"
    PROTECTED = "protected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toggles:
    """A pipeline's switches with Heroku's defaults (`domain/toggles.py` checks and explains them)."""

    review_apps: bool = False
    automatic_review_apps: bool = False
    wait_for_ci: bool = False
    destroy_stale: bool = False
    stale_days: int = 5
    idle_action: IdleAction = IdleAction.DESTROY
    base_name: str = ""
    max_review_apps: int = 0
    drafts: bool = True
    ci_counts: CiCounts = CiCounts.ALL
    forks: str = "approve"
    approval_blocks: bool = False
    labels: tuple[str, ...] = ()
    base_branches: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    required_contexts: tuple[str, ...] = ()
    ignored_contexts: tuple[str, ...] = ()
    deploy_without_ci: bool = False
    settle_seconds: float = 30.0
    gate_seconds: float = 3600.0
    comment: bool = True
    health_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Apps that share one source.

    `connected_by` is the user whose own right on GitHub let them connect it, None where nobody's did; `right_lost` says
    what that right is by now when it is not enough any more, else it is empty. `check_name` is what its checks are
    called on GitHub: no other pipeline of the repository has the same, although their names may be.
    """

    id: PipelineId
    name: str
    owner_id: str | None
    owner_type: str | None
    repository_id: RepositoryId | None
    root_directory: str
    toggles: Toggles
    created_at: datetime
    updated_at: datetime
    version: int
    connected_by: UserId | None = None
    right_lost: str = ""
    check_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """An app in one stage of one pipeline."""

    id: CouplingId
    app_id: AppId
    pipeline_id: PipelineId
    stage: Stage
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The unit of exclusion: one queue, one lease, one generation.

    With `follows_default` nobody named `auto_deploy_branch`: it is the repository's default branch, whichever that is.
    Not `promotable` is one whose builds hold its own config vars.
    """

    id: AppId
    name: str
    space_id: SpaceId
    owner_id: str | None
    state: AppState
    is_review: bool
    generation: int
    current_release_id: ReleaseId | None
    repository_id: RepositoryId | None
    auto_deploy: bool
    auto_deploy_branch: str
    follows_default: bool
    wait_for_ci: bool
    maintenance: bool
    formation: Mapping[str, int]
    created_at: datetime
    updated_at: datetime
    released_at: datetime | None
    version: int
    owner_type: str | None = None
    promotable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Slug:
    """Immutable built code. `sha256` names the tar.zst."""

    id: SlugId
    trust: Trust
    build_key: str
    sha256: str
    size: int
    process_types: Mapping[str, str]
    stack: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build key on its way to a slug."""

    id: BuildId
    app_id: AppId
    request_id: RequestId
    repository_id: RepositoryId | None
    sha: Sha
    state: BuildState
    slug_id: SlugId | None
    error: str
    log_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An app's slug and config under a number that is never used again."""

    id: ReleaseId
    app_id: AppId
    version: int
    state: ReleaseState
    request_id: RequestId
    slug_id: SlugId | None
    commit: Sha | None
    repository_id: RepositoryId | None
    description: str
    actor: str
    error: str
    log_id: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One source release on its way to its targets: each by itself or, `all_or_nothing`, none without the others."""

    id: PromotionId
    pipeline_id: PipelineId
    source_app_id: AppId
    source_release_id: ReleaseId
    slug_id: SlugId
    actor: str
    created_at: datetime
    updated_at: datetime
    all_or_nothing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionTarget:
    """One app that a promotion goes to; independent of the others unless that is all or nothing.

    One that is `prepared` could go live, `back_request_id` puts it back to what it ran before.
    """

    id: TargetId
    promotion_id: PromotionId
    app_id: AppId
    request_id: RequestId
    release_id: ReleaseId | None
    state: TargetState
    error: str
    prepared: bool = False
    back_request_id: RequestId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewApp:
    """(pipeline, repository, ref, generation). `ref` is `pr:N` or `branch:REF`; `sha` the newest wanted commit."""

    id: ReviewAppId
    pipeline_id: PipelineId
    repository_id: RepositoryId
    ref: str
    generation: int
    app_id: AppId | None
    state: ReviewState
    reason: str
    sha: Sha
    branch: str
    pinned: bool
    by_person: bool
    created_at: datetime
    updated_at: datetime
    deployed_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRequest:
    """One entry of an app's queue as the plans see it; `sha` is set for deploys."""

    id: RequestId
    app_id: AppId
    seq: int
    kind: str
    state: RequestState
    by_person: bool
    sha: Sha | None
    reason: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who caused something: `user:EMAIL`, `github:LOGIN` or `towpath`."""

    name: str
    user_id: UserId | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far into the output of a command, in bytes; `run` tells one run from an earlier one of the same name."""

    run: str
    offset: int
