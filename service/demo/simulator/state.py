"""What the simulated GitHub remembers in memory: plain mutable records, named in GitHub's words."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Level = Literal["read", "write", "admin"]
RANK = {"none": 0, "read": 1, "triage": 1, "write": 2, "maintain": 2, "admin": 3}


def stamp(when: datetime | None) -> str | None:
    """GitHub's way to write a time: UTC, whole seconds."""
    return None if when is None else when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True, kw_only=True)
class Account:
    """A user, an organization or an App's bot."""

    id: int
    login: str
    type: Literal["User", "Organization", "Bot"] = "User"


@dataclass(slots=True, kw_only=True)
class App:
    """A GitHub App: ours, or a CI system's."""

    id: int
    slug: str
    name: str
    owner: Account
    created_at: datetime
    permissions: dict[str, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    bot: Account
    setup_url: str = ""
    setup_on_update: bool = False
    callback_urls: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Installation:
    """Our App on one account, on all of its repositories or on named ones."""

    id: int
    account: Account
    created_at: datetime
    permissions: dict[str, str]
    repository_ids: set[int] | None = None
    suspended_at: datetime | None = None

    def covers(self, repository: "Repository") -> bool:
        """Whether the repository belongs to this installation."""
        if repository.owner.id != self.account.id:
            return False
        return self.repository_ids is None or repository.id in self.repository_ids


@dataclass(slots=True, kw_only=True)
class RequiredCheck:
    """A context that a branch requires; `app_id` None means from anybody."""

    context: str
    app_id: int | None = None


@dataclass(slots=True, kw_only=True)
class Status:
    """One commit status; the newest per context counts."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    creator: Account
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class CheckSuite:
    """All check runs of one App on one commit."""

    id: int
    app: App
    sha: str
    branch: str | None
    before: str
    created_at: datetime
    updated_at: datetime
    status: str = "queued"
    conclusion: str | None = None


@dataclass(slots=True, kw_only=True)
class CheckRun:
    """One check of one App on one commit."""

    id: int
    suite: CheckSuite
    name: str
    status: str
    started_at: datetime
    conclusion: str | None = None
    completed_at: datetime | None = None
    external_id: str = ""
    details_url: str | None = None
    output: dict[str, Any] = field(default_factory=dict)
    actions: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class DeploymentStatus:
    """One state of a deployment; the newest counts."""

    id: int
    state: str
    description: str
    environment: str
    environment_url: str
    log_url: str
    creator: Account
    created_at: datetime


@dataclass(slots=True, kw_only=True)
class Deployment:
    """GitHub's deployment object."""

    id: int
    sha: str
    ref: str
    task: str
    environment: str
    description: str | None
    payload: Any
    transient: bool
    production: bool
    creator: Account
    by_app: App | None
    created_at: datetime
    statuses: list[DeploymentStatus] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The newest status' state, `pending` before the first."""
        return self.statuses[-1].state if self.statuses else "pending"


@dataclass(slots=True, kw_only=True)
class Comment:
    """A comment on a pull request's conversation."""

    id: int
    number: int
    body: str
    user: Account
    by_app: App | None
    created_at: datetime
    updated_at: datetime
    reactions: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Pull:
    """A pull request. `head_repository` turns None when the fork is deleted."""

    id: int
    number: int
    title: str
    body: str | None
    user: Account
    head_repository: "Repository | None"
    head_owner: Account
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    created_at: datetime
    updated_at: datetime
    state: Literal["open", "closed"] = "open"
    draft: bool = False
    labels: list[str] = field(default_factory=list)
    merged_by: Account | None = None
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    merge_commit_sha: str | None = None
    mergeable: bool | None = True
    commits: int = 1
    additions: int = 0
    deletions: int = 0
    changed_files: int = 0


@dataclass(slots=True, kw_only=True)
class RepositoryHook:
    """A repository's own webhook, and what became of its last delivery."""

    id: int
    url: str
    secret: str = field(repr=False)
    content_type: str
    insecure_ssl: str
    events: list[str]
    active: bool
    created_at: datetime
    last_code: int | None = None
    last_status: str = "unused"
    last_message: str | None = None

    def remember(self, status: str, code: int) -> None:
        """What became of a delivery; code 0 is none."""
        self.last_code, self.last_message = code or None, status
        self.last_status = "active" if status == "OK" else "misconfigured"


@dataclass(slots=True, kw_only=True)
class Repository:
    """A repository and all that hangs on it; its git objects are on disk.

    For the mode without a GitHub App: `hooked` says that it has a webhook of its own which is like the App's, `hook` is
    one that is its own in every way. `fetched_at`: when git last read from it.
    """

    id: int
    owner: Account
    name: str
    default_branch: str
    created_at: datetime
    updated_at: datetime
    pushed_at: datetime
    private: bool = False
    archived: bool = False
    hooked: bool = False
    hook: RepositoryHook | None = None
    description: str | None = None
    parent: "Repository | None" = None
    collaborators: dict[str, str] = field(default_factory=dict)
    protection: dict[str, list[RequiredCheck]] = field(default_factory=dict)
    rules: dict[str, list[RequiredCheck]] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    suites: dict[int, CheckSuite] = field(default_factory=dict)
    runs: dict[int, CheckRun] = field(default_factory=dict)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    environments: set[str] = field(default_factory=set)
    comments: dict[int, Comment] = field(default_factory=dict)
    next_number: int = 1
    fetched_at: datetime | None = None

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"

    def permission(self, login: str) -> str:
        """What a user may do here: admin, write, read or none."""
        if login == self.owner.login:
            return "admin"
        return self.collaborators.get(login, "none" if self.private else "read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who speaks: our App itself, an installation's token, or a person's token, which may be a `fine_grained` one."""

    kind: Literal["app", "installation", "user", "anonymous"]
    account: Account | None = None
    installation: Installation | None = None
    repository_ids: frozenset[int] | None = None
    permissions: dict[str, str] = field(default_factory=dict)
    key: str = ""
    fine_grained: bool = False

    def may(self, permission: str, level: str, repository: Repository) -> bool:
        """Whether a person's token goes so far, whatever the person may do.

        A fine-grained one has the permissions that it was given, in the repositories that were chosen for it, and sees
        of the public what everybody sees. To read checks there is no permission that it could be given.
        """
        if not self.fine_grained:
            return True
        chosen = self.repository_ids is None or repository.id in self.repository_ids
        granted = {"metadata": "read", **self.permissions} if chosen else {}
        return RANK[granted.get(permission, "none")] >= RANK[level]
