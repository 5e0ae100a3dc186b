"""What of the payloads of webhooks is read, by event; all else in them is passed over."""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from service.domain.facts import FactKey, FactKind
from service.domain.model import NO_SHA, Repository, RepositoryId, Sha
from service.github.comments import CommentPayload, IssuePayload
from service.github.payloads import (
    AccountPayload,
    AppPayload,
    Branch,
    Commit,
    Id,
    NamedRepository,
    OnlyId,
    PullPayload,
    RepositoryPayload,
    Word,
)

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class Event(Struct, frozen=True):
    """What every event of a repository tells."""

    repository: RepositoryPayload
    installation: OnlyId | None = None

    @property
    def id(self) -> RepositoryId:
        """The repository's number."""
        return RepositoryId(self.repository.id)

    def seen(self) -> Repository:
        """The repository as it was then."""
        return self.repository.seen(self.installation.id if self.installation else 0)

    def fact(self, kind: FactKind, key: str) -> FactKey:
        """The address of a fact about the repository."""
        return FactKey(kind, self.id, key)


class PushEvent(Event, frozen=True, kw_only=True):
    """Something was pushed to a ref, or the ref made or deleted."""

    ref: Annotated[str, Meta(max_length=300)]
    sender: AccountPayload | None = None
    before: Any = None  # nothing is believed of these, so that nothing is refused for them either
    after: Any = None
    action: Any = None  # GitHub's own have none

    @property
    def commit(self) -> Sha | None:
        """Where the event says that the ref is; None where it is gone."""
        said = said_commit(self.after)
        return None if said in {"", NO_SHA} else Sha(said)


def said_commit(said: object) -> str:
    """A commit that a payload names, `NO_SHA` for none; "" where it is no such thing."""
    return said if isinstance(said, str) and _COMMIT.fullmatch(said) else ""


class PullRequestEvent(Event, frozen=True, kw_only=True):
    """Something happened to a pull request."""

    action: Word
    pull_request: PullPayload
    sender: AccountPayload | None = None


class StatusEvent(Event, frozen=True, kw_only=True):
    """A commit has another status of that context."""

    sha: Commit
    context: str


class Check(Struct, frozen=True):
    """A check run or suite, and whose it is."""

    head_sha: Commit
    app: AppPayload | None
    external_id: str | None = None


class RequestedAction(Struct, frozen=True):
    """The button that was pressed."""

    identifier: Annotated[str, Meta(max_length=64)]


class CheckRunEvent(Event, frozen=True, kw_only=True):
    """Something happened to a check run, or somebody asks for something by its buttons."""

    action: Word
    check_run: Check
    sender: AccountPayload
    requested_action: RequestedAction | None = None


class CheckSuiteEvent(Event, frozen=True, kw_only=True):
    """Something happened to a check suite."""

    action: Word
    check_suite: Check
    sender: AccountPayload


class CommentEvent(Event, frozen=True, kw_only=True):
    """Something was said about an issue or a pull request."""

    action: Word
    issue: IssuePayload
    comment: CommentPayload
    sender: AccountPayload


class MergeGroup(Struct, frozen=True):
    """What a merge queue is about to merge."""

    head_sha: Commit


class MergeGroupEvent(Event, frozen=True, kw_only=True):
    """A merge queue asks for checks, or has no use for them any more."""

    action: Word
    merge_group: MergeGroup


class From(Struct, frozen=True):
    """The branch that was the default one."""

    previous: Branch = msgspec.field(name="from")


class Changes(Struct, frozen=True):
    """What of a repository was otherwise before."""

    default_branch: From | None = None


class RepositoryEvent(Event, frozen=True, kw_only=True):
    """The repository itself was renamed, moved, archived, edited or deleted."""

    action: Word
    changes: Changes | None = None


class RulesEvent(Struct, frozen=True):
    """What a branch requires has changed; of an organization's rules no repository is named."""

    repository: RepositoryPayload | None = None
    installation: OnlyId | None = None


class Installation(Struct, frozen=True):
    """The App where it is installed."""

    id: Id
    account: AccountPayload
    suspended_at: str | int | None = None


class InstallationEvent(Struct, frozen=True):
    """The App was installed, changed or taken away, or reaches other repositories than before."""

    action: Word
    installation: Installation
    repositories: list[NamedRepository] = []
    repositories_added: list[NamedRepository] = []
    repositories_removed: list[NamedRepository] = []
