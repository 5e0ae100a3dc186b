"""What a slug was just built from, as its release shows it."""

import re
from dataclasses import dataclass

from service.domain.decisions import Deploy, DeployArchive
from service.domain.model import RepositoryId, Sha

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFrom:
    """A commit, and the repository that it is of; the description is the release's."""

    commit: Sha | None
    repository_id: RepositoryId | None
    description: str


def of_commit(wanted: Deploy) -> BuiltFrom:
    """A commit of a repository."""
    return BuiltFrom(
        commit=wanted.sha, repository_id=wanted.repository_id or None, description=f"Deploy {wanted.sha[:_SHORT]}"
    )


def of_archive(wanted: DeployArchive) -> BuiltFrom:
    """What somebody sent goes by what they call it: as a commit if it is one, yet of no repository that we know."""
    is_commit = _COMMIT.fullmatch(wanted.version) is not None
    return BuiltFrom(
        commit=Sha(wanted.version) if is_commit else None,
        repository_id=None,
        description=f"Deploy {wanted.version[:_SHORT] if is_commit else wanted.version or wanted.shown}",
    )
