"""Which apps get which slug when one is promoted. The very same slug moves; config, add-ons and domains stay."""

from dataclasses import dataclass

from service.domain.model import App, Pipeline, Release, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An app and where it stands in the pipeline."""

    app: App
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRequest:
    """What was asked: source and targets by id or name, `to` None for "the next stage".

    `release` is the source's current release, or the asked one (`release_asked`) if it is the source's.
    """

    pipeline: Pipeline
    members: tuple[Member, ...]
    source: str
    to: tuple[str, ...] | None
    release: Release | None
    release_asked: str = ""
    slug_kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPromotion:
    """A promotion that may be carried out: the release is pinned from here on."""

    source: App
    release: Release
    targets: tuple[App, ...]
