"""GitHub's objects, as far as we read them, in webhooks and answers alike; and their way into our own words.

Every field is checked on the way in: numbers that a database takes, commits, branch names that git allows. A field
that is missing or wrong makes msgspec name it, so that a reader of the verdict knows what GitHub sent.
"""

import re
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from service.domain.facts import ChangedPaths, CheckRun, CheckSuite, CommitStatus, Difference, NewCommit, PullRequest
from service.domain.model import Repository, RepositoryId, Sha

Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
Branch = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]+\Z")]
FullName = Annotated[
    str, Meta(max_length=141, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*/(?!\.\.?\Z)[A-Za-z0-9._-]+\Z")
]  # it becomes part of a URL, where ".." would climb
Moment = Annotated[datetime, Meta(tz=True)]
Word = Annotated[str, Meta(max_length=64, pattern=r"^[a-z_]+\Z")]

MAX_TEXT = 300
MAX_LABELS = 100  # GitHub's own limit
MAX_FILES = 300  # GitHub's own limit for a comparison
MAX_PATH = 4096
_PICTURE_OF_APP = re.compile(r"^https?://[^/?#]+/(?:[a-z]+/)?in/([1-9][0-9]{0,17})(?:\?[^#]*)?\Z")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # PostgreSQL takes no NUL, UTF-8 no lone surrogate


def clean(text: str, *, limit: int = MAX_TEXT) -> str:
    """A text for people, safe to store and to show on one line."""
    return _UNSTORABLE.sub(" ", text[:limit])


class AccountPayload(Struct, frozen=True):
    """A user, an organization or a bot."""

    login: str
    type: str = "User"


class OnlyId(Struct, frozen=True):
    """An object of which only the identity matters."""

    id: Id


class NamedRepository(Struct, frozen=True):
    """A repository as installation events list it."""

    id: Id
    full_name: FullName


class RepositoryPayload(Struct, frozen=True):
    """A repository as every other event carries it."""

    id: Id
    full_name: FullName
    default_branch: Branch
    archived: bool = False

    def seen(self, installation_id: int) -> Repository:
        """In our words."""
        return Repository(
            id=RepositoryId(self.id),
            full_name=self.full_name,
            default_branch=self.default_branch,
            installation_id=installation_id,
            archived=self.archived,
        )


class Side(Struct, frozen=True):
    """A pull request's head. `repo` is null when the fork was deleted, although GitHub's description says otherwise."""

    sha: Commit
    ref: Branch
    repo: OnlyId | None


class BaseSide(Struct, frozen=True):
    """A pull request's base."""

    sha: Commit
    ref: Branch
    repo: OnlyId


class Label(Struct, frozen=True):
    """A label."""

    name: str


class PullPayload(Struct, frozen=True):
    """A pull request. Lists carry `merged_at` only, a deleted author is null."""

    number: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    state: Annotated[str, Meta(pattern=r"^(open|closed)\Z")]
    title: str
    user: AccountPayload | None
    head: Side
    base: BaseSide
    updated_at: Moment
    draft: bool = False
    merged: bool | None = None
    merged_at: Moment | None = None
    labels: list[Label] = []

    def seen(self) -> PullRequest:
        """In our words."""
        return PullRequest(
            number=self.number,
            state=self.state,
            merged=bool(self.merged) or self.merged_at is not None,
            draft=self.draft,
            title=clean(self.title),
            author=clean(self.user.login) if self.user else "ghost",
            author_is_bot=self.user is not None and self.user.type == "Bot",
            head_sha=Sha(self.head.sha),
            head_ref=self.head.ref,
            head_repository_id=RepositoryId(self.head.repo.id) if self.head.repo else None,
            base_ref=self.base.ref,
            base_sha=Sha(self.base.sha),
            base_repository_id=RepositoryId(self.base.repo.id),
            labels=tuple(clean(label.name) for label in self.labels[:MAX_LABELS]),
            updated_at=self.updated_at,
        )


class ChangedFile(Struct, frozen=True):
    """A file that a comparison names; a renamed one has two names."""

    filename: str
    previous_filename: str | None = None


class ComparisonPayload(Struct, frozen=True):
    """What one commit has over another, since the two were last the same."""

    status: Word
    files: list[ChangedFile] | None = None

    def seen(self) -> ChangedPaths:
        """In our words. A list that is as long as GitHub makes them may have been cut."""
        files = self.files or []
        names = {name for each in files for name in (each.filename, each.previous_filename) if name}
        return ChangedPaths(
            paths=tuple(sorted(clean(name, limit=MAX_PATH) for name in names)),
            whole=self.files is not None and len(files) < MAX_FILES,
            linear=self.status in {"ahead", "identical"},
        )


class _Written(Struct, frozen=True):
    name: str = ""
    date: Moment | None = None


class _Text(Struct, frozen=True):
    message: str = ""
    author: _Written | None = None


class _NewCommit(Struct, frozen=True):
    sha: Commit
    commit: _Text

    def seen(self) -> NewCommit:
        author = self.commit.author or _Written()
        return NewCommit(
            sha=Sha(self.sha),
            title=clean(self.commit.message.partition("\n")[0]),
            author=clean(author.name),
            written_at=author.date,
        )


class DifferencePayload(Struct, frozen=True):
    """The commits by which one is ahead of another. GitHub lists no more than 250 of them."""

    ahead_by: Annotated[int, Meta(ge=0)]
    behind_by: Annotated[int, Meta(ge=0)]
    commits: list[_NewCommit]

    def seen(self) -> Difference:
        """In our words."""
        return Difference(
            ahead_by=self.ahead_by, behind_by=self.behind_by, commits=tuple(each.seen() for each in self.commits)
        )


class AppPayload(Struct, frozen=True):
    """The GitHub App that reports."""

    id: Id
    name: str = ""


class StatusPayload(Struct, frozen=True):
    """A commit status in the combined status, which names nobody: an App is known by where GitHub has its picture."""

    id: Id
    context: str
    state: Word
    description: str | None = None
    target_url: str | None = None
    avatar_url: str | None = None

    def seen(self) -> CommitStatus:
        """In our words."""
        of_app = _PICTURE_OF_APP.search(self.avatar_url or "")
        return CommitStatus(context=clean(self.context), state=self.state, app_id=int(of_app[1]) if of_app else 0)


class CheckRunPayload(Struct, frozen=True):
    """A check run."""

    id: Id
    name: str
    status: Word
    conclusion: Word | None
    check_suite: OnlyId | None
    app: AppPayload | None
    external_id: str | None = None

    def seen(self) -> CheckRun:
        """In our words."""
        return CheckRun(
            name=clean(self.name),
            app_id=self.app.id if self.app else 0,
            app_name=clean(self.app.name) if self.app else "",
            suite_id=self.check_suite.id if self.check_suite else 0,
            status=self.status,
            conclusion=self.conclusion,
        )


class CheckSuitePayload(Struct, frozen=True):
    """A check suite. GitHub allows its status to be null."""

    id: Id
    status: Word | None
    conclusion: Word | None
    app: AppPayload | None
    latest_check_runs_count: int = 0

    def seen(self) -> CheckSuite:
        """In our words."""
        return CheckSuite(
            id=self.id,
            app_id=self.app.id if self.app else 0,
            app_name=clean(self.app.name) if self.app else "",
            status=self.status or "queued",
            conclusion=self.conclusion,
            runs=self.latest_check_runs_count,
        )
