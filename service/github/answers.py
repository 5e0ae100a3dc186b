"""What looking something up at GitHub brings."""

from dataclasses import dataclass

from service.domain.facts import ChangedPaths, CiSignals, CommitsApart, Head, PullRequest, RequiredChecks
from service.domain.model import Repository

LookValue = (
    PullRequest | tuple[PullRequest, ...] | Head | CiSignals | RequiredChecks | ChangedPaths | CommitsApart | Repository
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a look brought: a value, an error, or that nothing has changed since `etag`."""

    value: LookValue | None = None
    error: str = ""
    etag: str = ""
    not_modified: bool = False
