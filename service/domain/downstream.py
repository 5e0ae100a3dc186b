"""What an app holds that those downstream of it have not: commits, and names of config vars."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from service.domain.facts import CommitsApart, Fact, FactKey, commits_between
from service.domain.model import App, Release


@unique
class Relation(StrEnum):
    """How the commit of an app stands to that of one downstream."""

    SAME = "same"
    AHEAD = "ahead"  # what a promotion would bring
    BEHIND = "behind"  # a promotion would take commits away
    DIVERGED = "diverged"  # both
    UNRELATED = "unrelated"  # they have no commit in common
    UNKNOWN = "unknown"
    PENDING = "pending"  # they are being compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An app with the release that serves, if there is one."""

    app: App
    release: Release | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How an app stands to one downstream, with the commits that make it; the reason where nothing can be said."""

    relation: Relation
    reason: str = ""
    apart: CommitsApart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysApart:
    """Names of config vars that one downstream lacks, that only it has, and whose values differ."""

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    different: tuple[str, ...]


def question(source: Running, target: Running) -> FactKey | None:
    """The fact that tells how their commits stand to each other; None when that is known without, or never."""
    ours, theirs = source.release, target.release
    if ours is None or theirs is None or ours.commit is None or theirs.commit is None or ours.commit == theirs.commit:
        return None
    if ours.repository_id is None or ours.repository_id != theirs.repository_id:
        return None
    return commits_between(ours.repository_id, theirs.commit, ours.commit)


def differ(source: Running, target: Running, known: Fact[CommitsApart] | None) -> Difference:
    """How they stand to each other; `known` is what is known of `question`."""
    if question(source, target) is None:
        why = _why_unknown(source, target)
        return Difference(relation=Relation.UNKNOWN if why else Relation.SAME, reason=why)
    if known is None or (known.value is None and not known.error):
        return Difference(relation=Relation.PENDING, reason="the commits are being compared; ask again in a moment")
    if known.value is None:
        return Difference(relation=Relation.UNKNOWN, reason=known.error)
    return Difference(relation=_relation(known.value), apart=known.value)


def _why_unknown(source: Running, target: Running) -> str:
    """Why the commits of two apps cannot be compared; empty if they are one."""
    for each in (source, target):
        if each.release is None:
            return f"{each.app.name} has no release yet"
        if each.release.commit is None:
            return f"v{each.release.version} of {each.app.name} was not built from a commit"
    if source.release is not None and target.release is not None and source.release.commit == target.release.commit:
        return ""
    return f"{source.app.name} and {target.app.name} were not built from one connected repository"


def keys_apart(source: Mapping[str, str], target: Mapping[str, str]) -> KeysApart:
    """Compare two configs by name; no value is told."""
    both = source.keys() & target.keys()
    return KeysApart(
        missing=tuple(sorted(source.keys() - target.keys())),
        extra=tuple(sorted(target.keys() - source.keys())),
        different=tuple(sorted(name for name in both if source[name] != target[name])),
    )


def _relation(apart: CommitsApart) -> Relation:
    match apart:
        case CommitsApart(related=False):
            return Relation.UNRELATED
        case CommitsApart(ahead=0, behind=0):
            return Relation.SAME
        case CommitsApart(behind=0):
            return Relation.AHEAD
        case CommitsApart(ahead=0):
            return Relation.BEHIND
        case _:
            return Relation.DIVERGED
