"""What a plan may answer, and the subjects it answers for.

A plan never acts: `service/enact.py` turns a decision into rows. Several decisions may be returned, in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import NamedTuple

from service.domain.facts import FactKey
from service.domain.model import (
    AppId,
    PipelineId,
    ReleaseId,
    RepositoryId,
    ReviewState,
    Sha,
    SlugId,
    Trust,
)


@unique
class SubjectKind(StrEnum):
    """What can be reconciled; the key's meaning stands beside it."""

    REVIEW_APP = "review_app"  # "PIPELINE/pr:N" or "PIPELINE/branch:REF"
    AUTO_DEPLOY = "auto_deploy"  # app id
    PROMOTION = "promotion"  # promotion id
    REPOSITORY = "repository"  # repository id: ring what an installation or repository event touches
    CHECK = "check"  # "PIPELINE/SHA": the check run of a commit
    GITHUB_DEPLOYMENT = "github_deployment"  # release id
    COMMENT = "comment"  # "REPOSITORY/NUMBER": the comment on a pull request


class Subject(NamedTuple):
    """Something that is reconciled: rung by many, worked by one at a time."""

    kind: SubjectKind
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """Build a commit and release it; the state and head of `pull_request` are read again before it goes live.

    `rebuild` builds from nothing, whatever was built of the same files before. `past_locks` are the ids of the locks
    that a person went past. `pushed_to` is the branch of the app's own repository that the commit was pushed to: then
    `repository_id` is `NO_REPOSITORY`, and GitHub is not asked.
    """

    repository_id: RepositoryId
    sha: Sha
    trust: Trust
    branch: str
    pull_request: int | None = None
    rebuild: bool = False
    past_locks: tuple[str, ...] = ()
    pushed_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployArchive:
    """Build a packed source, a tar.gz that is no commit of a repository, and release it.

    `source_id` names one that was sent to us. Without it the address travels encrypted, for it may hold a secret, and
    `shown` is what people may read of it. `sha256` is what the file must have, empty if nobody said; `version` is what
    whoever asked calls it. `past_locks` are the ids of the locks that a person went past.
    """

    source_id: str
    shown: str
    sha256: str = ""
    version: str = ""
    rebuild: bool = False
    past_locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSlug:
    """Release a slug that exists: a promotion's target, or a retry (then `branch` is what was deployed).

    `past_locks` are the ids of the locks that a person went past.
    """

    slug_id: SlugId
    commit: Sha | None
    repository_id: RepositoryId | None
    description: str
    branch: str = ""
    promotion_target_id: str | None = None
    past_locks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeConfig:
    """Set (text) or unset (None) config vars; the values travel encrypted, this names the keys only."""

    set_keys: tuple[str, ...]
    unset_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Release a former release's slug and config again."""

    release_id: ReleaseId
    version: int
    keep_config: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Set how many of each process type run."""

    formation: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Start the current release's processes anew, or one of them, as `web.2`, or all of a type, as `web`."""

    process: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """Stop all processes and keep everything; the reason is shown until it is back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Take the app away. Ordered by a person or a signed close, or inferred (then it draws on the bucket)."""

    ordered: bool
    reason: str


Work = Deploy | DeployArchive | ReleaseSlug | ChangeConfig | Rollback | Scale | Restart | Suspend | Destroy


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Add work to an app's queue. What a person asked for is served in order and never superseded."""

    app_id: AppId
    work: Work
    reason: str
    by_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReviewApp:
    """Make the review app's row and app (name reserved) and queue its first deploy, in one transaction."""

    pipeline_id: PipelineId
    repository_id: RepositoryId
    ref: str
    name: str
    deploy: Deploy
    reason: str
    by_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReview:
    """Bring the review app's row to a state with a visible reason.

    Makes the row when there is none yet, and that of the next generation when the latest is destroyed or skipped and
    `state` is `waiting`. The same state again only changes reason, sha and branch. `by_person` remembers that a person
    asked for the app, so that it comes once what it waits for is there.
    """

    pipeline_id: PipelineId
    repository_id: RepositoryId
    ref: str
    state: ReviewState
    sha: Sha
    branch: str
    reason: str
    by_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Fetch a fact, then reconcile again. A `poll` is for events that were lost: it can wait where GitHub limits us."""

    fact: FactKey
    why: str
    poll: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do until something rings, or `until` at the latest."""

    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """All is as it should be, or nothing may be done; the reason is recorded."""

    reason: str


Decision = Request | CreateReviewApp | SetReview | Look | Wait | Nothing
