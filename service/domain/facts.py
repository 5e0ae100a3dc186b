"""What is known of GitHub, each fact with how it was learned and whether it is still believed.

A fact is addressed by (kind, repository, key) and only ever replaced by a later answer: `asked_at` is taken from a
counter *before* the request, so that a slow answer never overwrites a later one. Facts keyed by a commit never expire.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Generic, NamedTuple, TypeVar

from service.domain.model import RepositoryId, Sha

Value = TypeVar("Value")


@unique
class FactKind(StrEnum):
    """What can be looked up; the key's meaning stands beside it."""

    PULL_REQUEST = "pull_request"  # the number
    OPEN_PULL_REQUESTS = "open_pull_requests"  # ""
    HEAD = "head"  # the branch name
    CI = "ci"  # the commit
    MANIFEST = "manifest"  # the commit: app.json and Procfile
    REQUIRED = "required"  # the branch: what its protection and rulesets require
    CHANGED_PATHS = "changed_paths"  # "BASE...HEAD", two commits
    REPOSITORY = "repository"  # "": what it is called, and where it is now
    COMMITS = "commits"  # "BASE...HEAD", two commits: what each holds that the other has not; read from git


class FactKey(NamedTuple):
    """A fact's address."""

    kind: FactKind
    repository_id: RepositoryId
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Generic[Value]):
    """What was learned. With an `error`, GitHub did not tell it at the last look, and `value` is what it said before.

    `looked_at` is when the answer came, `stale` that newer is out. `since` is when the branch or the pull request was
    first seen at its commit, None where the value is about neither. `doubted_until` is None, but for a branch that a
    push has told, or GitHub has shown, to be elsewhere just before: until then the answer may be from before that.
    `returned` says that a push has told that the branch left where it is shown to be.
    """

    key: FactKey
    value: Value | None
    error: str
    stale: bool
    looked_at: datetime | None
    since: datetime | None = None
    doubted_until: datetime | None = None
    returned: bool = False

    def doubted(self, *, now: datetime) -> bool:
        """Whether GitHub may have answered from a copy that has not heard of the last push yet."""
        return self.doubted_until is not None and now < self.doubted_until

    def fresh(self, *, since: datetime) -> bool:
        """Whether it may be acted on: not known to be outdated, and read at or after `since`."""
        return not self.stale and not self.error and self.looked_at is not None and self.looked_at >= since


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request as GitHub told it. `head_repository_id` is None when the fork was deleted."""

    number: int
    state: str
    merged: bool
    draft: bool
    title: str
    author: str
    author_is_bot: bool
    head_sha: Sha
    head_ref: str
    head_repository_id: RepositoryId | None
    base_ref: str
    base_sha: Sha
    base_repository_id: RepositoryId
    labels: tuple[str, ...]
    updated_at: datetime

    @property
    def is_fork(self) -> bool:
        """A head outside the base repository. `head.repo.fork` says something else and is not used."""
        return self.head_repository_id != self.base_repository_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a branch points; `sha` is None when there is no such branch."""

    branch: str
    sha: Sha | None


def commit_of(value: object) -> Sha | None:
    """The commit at which a branch or an open pull request is; None when it is at none."""
    match value:
        case Head(sha=sha):
            return sha
        case PullRequest(state="open", head_sha=sha):
            return sha
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommit:
    """A commit that one side of a comparison has and the other has not; the title is its message's first line."""

    sha: Sha
    title: str
    author: str
    written_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a commit stands to another. `commits`, oldest first, may be fewer than it is ahead by."""

    ahead_by: int
    behind_by: int
    commits: tuple[NewCommit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """A status of one context; `app_id` is the GitHub App that set it, 0 for a person or where that is not known."""

    context: str
    state: str
    app_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """A run of one name of one GitHub App, the latest in its suite."""

    name: str
    app_id: int
    app_name: str
    suite_id: int
    status: str
    conclusion: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSuite:
    """A suite and how many runs it has; one with none may be inert for ever."""

    id: int
    app_id: int
    app_name: str
    status: str
    conclusion: str | None
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSignals:
    """Everything GitHub says about a commit, ours left out by the reader, each list oldest first.

    `first_seen` is when we learned of the commit. With `unread` there may be more: it says what GitHub does not show.
    """

    sha: Sha
    statuses: tuple[CommitStatus, ...]
    runs: tuple[CheckRun, ...]
    suites: tuple[CheckSuite, ...]
    first_seen: datetime
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """A context that must succeed; with `app_id` only what that GitHub App reports counts, as check run or status."""

    context: str
    app_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredChecks:
    """What must succeed on a branch. With `unread` there may be more: it says what GitHub does not show, and why."""

    branch: str
    contexts: tuple[Required, ...]
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFiles:
    """The two files as text, None where the repository has none; refused ones are the fact's error."""

    sha: Sha
    app_json: str | None
    procfile: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPaths:
    """The files that a commit changed since it and another were the same, renamed ones under both names.

    Not `whole` when GitHub does not tell all of them; not `linear` when the other commit holds what this one has not,
    so that the two may differ in more than these files.
    """

    paths: tuple[str, ...]
    whole: bool
    linear: bool


def changes_between(repository_id: RepositoryId, base: Sha, head: Sha) -> FactKey:
    """The address of what `head` changed over `base`."""
    return FactKey(FactKind.CHANGED_PATHS, repository_id, f"{base}...{head}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCommit:
    """A commit as lists show it, in one line each."""

    sha: Sha
    author: str
    at: datetime
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitsApart:
    """How many commits `head` has that `base` has not (`ahead`), and the other way round; the newest are listed.

    Not `related` when the two have no commit in common.
    """

    ahead: int
    behind: int
    ahead_commits: tuple[ListedCommit, ...]
    behind_commits: tuple[ListedCommit, ...]
    related: bool

    @property
    def onward(self) -> bool:
        """Whether `head` has all that `base` has, and more: a push without force leads from one to the other."""
        return self.ahead > 0 and self.behind == 0


def commits_between(repository_id: RepositoryId, base: Sha, head: Sha) -> FactKey:
    """The address of what stands between two commits."""
    return FactKey(FactKind.COMMITS, repository_id, f"{base}...{head}")
