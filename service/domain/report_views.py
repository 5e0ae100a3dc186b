"""What a report is made from, and what it says: the two ends of `reports.py`."""

from dataclasses import dataclass

from service.domain.model import (
    App,
    BuildState,
    Release,
    ReleaseState,
    RepositoryId,
    RequestState,
    ReviewState,
    Sha,
    Stage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a deploy that has ended, and the seconds it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReview:
    """The review app's part of a check.

    `request`, `build` and `release` are those of this commit, None before they exist. `number` is the pull request's.
    `pipeline` is what a command finds the pipeline by, as its check may be called otherwise; empty where none is shown.
    """

    app_name: str
    state: ReviewState
    reason: str
    url: str
    request: RequestState | None = None
    build: BuildState | None = None
    release: ReleaseState | None = None
    error: str = ""
    log_tail: str = ""
    steps: tuple[Step, ...] = ()
    number: int | None = None
    pipeline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDeploy:
    """An auto-deploy of the commit. `state` is None while nothing is queued: `reason` says what it waits for.

    `again`: the branch is still there, and who may write in the repository may have it built and deployed once more.
    """

    app_name: str
    stage: Stage
    state: RequestState | None
    reason: str
    url: str
    error: str = ""
    log_tail: str = ""
    steps: tuple[Step, ...] = ()
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """All that one pipeline does with one commit. `approval_blocks`: what waits for approval keeps a required check.

    `others` are the review apps of further pull requests at the commit.
    """

    pipeline: str
    sha: Sha
    review: CheckReview | None = None
    others: tuple[CheckReview, ...] = ()
    deploys: tuple[CheckDeploy, ...] = ()
    details_url: str = ""
    approval_blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """A release as GitHub's deployment.

    `started` is false while it waits for its turn, `current` once a later release serves; `gone` is true once the app
    is away, `suspended` while nothing of it runs.
    """

    release: Release
    app: App
    pipeline: str
    stage: Stage
    url: str
    log_url: str = ""
    started: bool = True
    current: bool = True
    crashed: bool = False
    gone: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRow:
    """What one pipeline does with a pull request."""

    pipeline: str
    sha: Sha
    review: CheckReview


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentView:
    """All that is done with a pull request, in whatever pipeline."""

    repository_id: RepositoryId
    number: int
    rows: tuple[CommentRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAction:
    """A button on a check. GitHub takes 20 characters of label and identifier and 40 of description."""

    label: str
    description: str
    identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContent:
    """A check run's content. `conclusion` is None until it is `completed`."""

    name: str
    sha: Sha
    status: str
    conclusion: str | None
    title: str
    summary: str
    actions: tuple[CheckAction, ...]
    details_url: str
    terminal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusContent:
    """A commit status: what is shown where there is no GitHub App."""

    context: str
    sha: Sha
    state: str
    description: str
    target_url: str
    terminal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubDeploymentContent:
    """A GitHub deployment and its newest status."""

    environment: str
    sha: Sha | None
    state: str
    description: str
    transient_environment: bool
    production_environment: bool
    environment_url: str
    log_url: str
    terminal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentContent:
    """The one comment on a pull request. It begins with its marker, by which it is found again."""

    number: int
    marker: str
    body: str
    terminal: bool
