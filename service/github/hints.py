"""What a webhook may tell, in our words: facts grown stale, a value with an order of its own, and what it touches."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from service.domain.facts import FactKey, PullRequest
from service.domain.model import Repository, RepositoryId, Sha

ACTS_OF_PEOPLE: Final = (
    ("check_run", "requested_action"),
    ("check_run", "rerequested"),
    ("check_suite", "rerequested"),
    ("issue_comment", "created"),
)
"""Events, each with its action, by which somebody asks for something there and then; all others tell how things are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestTouched:
    """Something about a pull request changed."""

    repository_id: RepositoryId
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchTouched:
    """A branch was made, moved or deleted."""

    repository_id: RepositoryId
    branch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitTouched:
    """A commit's CI signals changed."""

    repository_id: RepositoryId
    sha: Sha


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeQueueWaits:
    """A merge queue tries a commit and waits for the required checks on it, ours perhaps among them."""

    repository_id: RepositoryId
    sha: Sha


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryTouched:
    """A repository was renamed, moved, archived, given another default branch, or is `gone` from our reach."""

    repository_id: RepositoryId
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementsTouched:
    """What a repository's branches require changed; of which branches is for GitHub to say."""

    repository_id: RepositoryId


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationTouched:
    """An installation of our App changed."""

    installation_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRunRequested:
    """A button of our check was pressed: `identifier` is the action's, or `rerequest`. The presser is unchecked."""

    repository_id: RepositoryId
    sha: Sha
    identifier: str
    external_id: str
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked:
    """A comment says `/approve COMMIT`, the commit named by 7 to 40 digits. Who wrote it is unchecked."""

    repository_id: RepositoryId
    number: int
    commit: str
    login: str


Touched = (
    PullRequestTouched
    | BranchTouched
    | CommitTouched
    | MergeQueueWaits
    | RepositoryTouched
    | RequirementsTouched
    | InstallationTouched
    | CheckRunRequested
    | ApprovalAsked
)


@unique
class InstallationState(StrEnum):
    """What an installation event leaves behind."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationChange:
    """An installation and the repositories that it gained and lost, as (id, full name)."""

    id: int
    account: str
    state: InstallationState
    added: tuple[tuple[RepositoryId, str], ...] = ()
    removed: tuple[RepositoryId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A value with an order of its own: taken only when `ordered_at` is strictly newer, else the fact is stale."""

    fact: FactKey
    value: PullRequest
    ordered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Who brought a commit to a branch, or to a pull request (`pr:N`). Nothing is decided by it."""

    ref: str
    sha: Sha
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """From where to where an event says that a branch went. It is only compared with what GitHub answers.

    Either is `NO_SHA` where there was, or is, no such branch; `before` is empty where the event does not say.
    """

    fact: FactKey
    before: str
    after: Sha


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What a delivery tells."""

    repository: Repository | None = None
    installation: InstallationChange | None = None
    stale: tuple[FactKey, ...] = ()
    values: tuple[Seen, ...] = ()
    announced: tuple[Announced, ...] = ()
    touched: tuple[Touched, ...] = ()
    pushed: Pushed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Nothing to do, and why."""

    reason: str
