"""Facts' values as text and back: JSON of the domain's own records, checked when it is read."""

from typing import Any

import msgspec

from service.domain.facts import (
    ChangedPaths,
    CiSignals,
    CommitsApart,
    FactKind,
    Head,
    ManifestFiles,
    PullRequest,
    RequiredChecks,
)
from service.domain.model import Repository

FactValue = (
    PullRequest
    | tuple[PullRequest, ...]
    | Head
    | CiSignals
    | ManifestFiles
    | RequiredChecks
    | ChangedPaths
    | CommitsApart
    | Repository
)

_TYPES: dict[FactKind, Any] = {
    FactKind.PULL_REQUEST: PullRequest,
    FactKind.OPEN_PULL_REQUESTS: tuple[PullRequest, ...],
    FactKind.HEAD: Head,
    FactKind.CI: CiSignals,
    FactKind.MANIFEST: ManifestFiles,
    FactKind.REQUIRED: RequiredChecks,
    FactKind.CHANGED_PATHS: ChangedPaths,
    FactKind.REPOSITORY: Repository,
    FactKind.COMMITS: CommitsApart,
}
_DECODERS = {kind: msgspec.json.Decoder(of) for kind, of in _TYPES.items()}
_ENCODER = msgspec.json.Encoder()


def encode(value: FactValue) -> str:
    """A value as text."""
    return _ENCODER.encode(value).decode()


def decode(kind: FactKind, text: str) -> Any:
    """The value of a fact of this kind; the type follows from the kind."""
    return _DECODERS[kind].decode(text)
