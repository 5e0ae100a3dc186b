"""Which apps get which slug when one is promoted. The very same slug moves; config, add-ons and domains stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from service.domain.errors import Refused
from service.domain.model import App, Pipeline, PromotionTarget, Release, ReleaseState, Stage, TargetState

_NEXT: Final[Mapping[Stage, Stage]] = {
    Stage.DEVELOPMENT: Stage.STAGING,
    Stage.STAGING: Stage.PRODUCTION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An app and where it stands in the pipeline."""

    app: App
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRequest:
    """What was asked: source and targets by id or name, `to` None for "the next stage".

    `release` is the source's current release, or the asked one (`release_asked`) if it is the source's; `of_fork` says
    that its code was only approved to be looked at.
    """

    pipeline: Pipeline
    members: tuple[Member, ...]
    source: str
    to: tuple[str, ...] | None
    release: Release | None
    release_asked: str = ""
    slug_kept: bool = True
    of_fork: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPromotion:
    """A promotion that may be carried out: the release is pinned from here on."""

    source: App
    release: Release
    targets: tuple[App, ...]


@unique
class PromotionStatus(StrEnum):
    """A promotion as a whole. Heroku knows the first two; the others say how `completed` went."""

    PENDING = "pending"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"

    @property
    def for_heroku(self) -> str:
        """The word Heroku's clients know: completed only means that every target is final."""
        return self.PENDING.value if self is PromotionStatus.PENDING else self.COMPLETED.value


def downstream(stage: Stage) -> Stage | None:
    """The next stage by name, whether or not an app is in it."""
    return _NEXT.get(stage)


def resolve(request: PromotionRequest) -> ResolvedPromotion:
    """The apps and the release meant, or why not, in the words Heroku uses."""
    source = _find(request, request.source)
    targets = _named_targets(request, source) if request.to is not None else _next_targets(request, source)
    return ResolvedPromotion(
        source=source.app,
        release=_release(request, source.app),
        targets=tuple(target.app for target in targets),
    )


def describe(resolved: ResolvedPromotion) -> str:
    """The description of the releases a promotion makes."""
    commit = f" {resolved.release.commit[:8]}" if resolved.release.commit else ""
    return f"Promote {resolved.source.name} v{resolved.release.version}{commit}"


def status(targets: Sequence[PromotionTarget]) -> PromotionStatus:
    """How the promotion stands: its targets do not depend on one another."""
    states = [target.state for target in targets]
    if TargetState.PENDING in states:
        return PromotionStatus.PENDING
    if TargetState.FAILED not in states:
        return PromotionStatus.COMPLETED
    return PromotionStatus.PARTIAL if TargetState.SUCCEEDED in states else PromotionStatus.FAILED


def _find(request: PromotionRequest, name: str) -> Member:
    for member in request.members:
        if name in {member.app.id, member.app.name}:
            return member
    raise Refused(f"Cannot find app {name}", code="not_found")


def _named_targets(request: PromotionRequest, source: Member) -> list[Member]:
    names = [name.strip() for name in request.to or () if name.strip()]
    if not names:
        raise Refused("Name at least one app to promote to.")
    targets = {target.app.id: target for target in (_find(request, name) for name in names)}
    if source.app.id in targets:
        raise Refused(f"Cannot promote {source.app.name} to itself")
    return list(targets.values())


def _next_targets(request: PromotionRequest, source: Member) -> list[Member]:
    stage = downstream(source.stage)
    if stage is None:
        raise Refused(f"Cannot promote {source.app.name} from '{source.stage.value}' stage")
    targets = [member for member in request.members if member.stage is stage]
    if not targets:
        raise Refused(f"Cannot promote from {source.app.name} as there are no downstream apps in {stage.value} stage")
    return targets


def _release(request: PromotionRequest, source: App) -> Release:
    release = request.release
    if release is None or release.app_id != source.id:
        if request.release_asked:
            raise Refused(f"{source.name} has no release {request.release_asked}", code="not_found")
        raise Refused(f"{source.name} has nothing to promote: it has no release yet")
    if release.state is ReleaseState.EXPIRED or not request.slug_kept:
        raise Refused(f"Release v{release.version} of {source.name} is expired and cannot be promoted")
    if release.state is not ReleaseState.SUCCEEDED:
        raise Refused(
            f"Release v{release.version} of {source.name} is {release.state.value}: "
            "only a release that succeeded can be promoted"
        )
    if request.of_fork:
        raise Refused(f"Release v{release.version} of {source.name} is code of a fork or a bot: merge it, then promote")
    if release.slug_id is None:
        raise Refused(f"Release v{release.version} of {source.name} has no slug: deploy to it first")
    return release
