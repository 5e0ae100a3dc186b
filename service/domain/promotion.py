"""Which apps get which slug when one is promoted. The very same slug moves; config, add-ons and domains stay.

Targets do not depend on one another, unless the promotion is all or nothing: then none goes live before all can, and
what is live goes back once one has failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from service.domain.errors import Refused
from service.domain.model import (
    App,
    Pipeline,
    PromotionTarget,
    Release,
    ReleaseState,
    RequestState,
    Stage,
    TargetState,
)

_NEXT: Final[Mapping[Stage, Stage]] = {
    Stage.DEVELOPMENT: Stage.STAGING,
    Stage.STAGING: Stage.PRODUCTION,
}
_OPEN: Final = (RequestState.QUEUED, RequestState.RUNNING)


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
    _check_promotable(source.app, [target.app for target in targets])
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


def _check_promotable(source: App, targets: Sequence[App]) -> None:
    """Refuse what would run with the config vars of another app built into it."""
    if not source.promotable:
        deploys = " and ".join(f"towpath deploy -a {target.name}" for target in targets)
        raise Refused(
            f"{source.name} is not promotable: its builds hold its own config vars, so its slug is good for no other "
            f"app. Deploy from git instead: {deploys}"
        )
    for target in targets:
        if not target.promotable:
            raise Refused(
                f"{target.name} is not promotable: its builds hold its own config vars, so no slug of another app is "
                f"good for it. Deploy it from git instead: towpath deploy -a {target.name}"
            )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """A target with what became of it: how its request stands, and what that said at its end.

    `version` is the number that the promotion has there, `former` what the app ran before, `later` the newest that it
    was given since. `back` is how the request stands that puts it back, if that was asked for.
    """

    target: PromotionTarget
    app_name: str
    gone: bool
    request: RequestState
    outcome: str
    version: int | None
    former: Release | None
    later: Release | None
    back: RequestState | None = None
    back_outcome: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Release again what the app ran before."""

    target: PromotionTarget
    to: Release
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Bring a target to its end."""

    target: PromotionTarget
    state: TargetState
    error: str = ""


def settle(views: Sequence[TargetView]) -> tuple[PutBack | Finish, ...]:
    """What is to be done about a promotion that is all or nothing, whoever asks and however often."""
    failed = _failed(views)
    if not failed:
        done = all(view.request is RequestState.SUCCEEDED for view in views)
        waiting = [view.target for view in views if view.target.state is TargetState.PENDING]
        return tuple(Finish(target=target, state=TargetState.SUCCEEDED) for target in waiting if done)
    cause = f"the promotion failed on {' and '.join(failed)}"
    return tuple(step for view in views if (step := _after_failure(view, cause)) is not None)


def called_off(views: Sequence[TargetView], own: PromotionTarget) -> str:
    """Why a target of a promotion that is all or nothing is not to go live any more; empty if it may."""
    failed = _failed([view for view in views if view.target.id != own.id])
    return f"not released: the promotion failed on {' and '.join(failed)}, and it is all or nothing" if failed else ""


def awaited(views: Sequence[TargetView]) -> tuple[str, ...]:
    """The apps that cannot go live yet, by name."""
    return tuple(view.app_name for view in views if view.request in _OPEN and not view.target.prepared)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """What undoing a promotion does to a target: releases `to` again or, without, nothing, and says why."""

    view: TargetView
    to: Release | None
    why: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether it does not go back although it was promoted to."""
        return self.to is None and self.view.target.state is not TargetState.FAILED


def undo(views: Sequence[TargetView]) -> tuple[WayBack, ...]:
    """How each target goes back to what it ran before; one that was given anything since stays as it is."""
    return tuple(_way_back(view) for view in views)


def _way_back(view: TargetView) -> WayBack:
    match view.target.state:
        case TargetState.PENDING:
            return WayBack(view=view, to=None, why="the promotion is still under way there")
        case TargetState.FAILED:
            return WayBack(view=view, to=None, why="the promotion failed there, so there is nothing to undo")
        case TargetState.SUCCEEDED:
            why = _why_not_back(view)
            return WayBack(view=view, to=None if why else view.former, why=why)


def _why_not_back(view: TargetView) -> str:
    """Why an app stays at what it was promoted to; empty if it can go back."""
    former, later = view.former, view.later
    if view.gone:
        return "it is gone"
    if later is not None:
        return f"v{later.version} came after it ({later.description})"
    if former is None or former.slug_id is None:
        return "it ran nothing before"
    if former.state is ReleaseState.EXPIRED:
        return f"v{former.version}, which it ran before, is expired"
    return ""


def _failed(views: Sequence[TargetView]) -> list[str]:
    return [view.app_name for view in views if view.request not in {RequestState.SUCCEEDED, *_OPEN}]


def _after_failure(view: TargetView, cause: str) -> PutBack | Finish | None:
    """What becomes of a target when another one, or itself, has failed; None if that is still to be waited for."""
    if view.target.state is not TargetState.PENDING or view.request in _OPEN or view.back in _OPEN:
        return None
    if view.request is not RequestState.SUCCEEDED:
        return Finish(target=view.target, state=TargetState.FAILED, error=view.outcome)
    if view.back is not None:
        return Finish(target=view.target, state=TargetState.FAILED, error=_put_back(view, cause))
    why = _why_not_back(view)
    if why or view.former is None:
        error = f"stays at v{view.version} although {cause}: {why}"
        return Finish(target=view.target, state=TargetState.FAILED, error=error)
    return PutBack(target=view.target, to=view.former, reason=f"Rollback to v{view.former.version}: {cause}")


def _put_back(view: TargetView, cause: str) -> str:
    to = f"v{view.former.version}" if view.former is not None else "what it ran before"
    if view.back is RequestState.SUCCEEDED:
        return f"put back to {to}: {cause}"
    return f"could not be put back to {to} ({view.back_outcome}) and still runs v{view.version}: {cause}"
