"""What is told of a change: the thing as it is now, and what of it was otherwise before.

Config vars are told of by their names alone, in the words of the release that brought them: no value of one is in any
thing here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from service.domain.model import (
    App,
    AppState,
    Build,
    BuildState,
    PipelineId,
    Promotion,
    PromotionId,
    PromotionTarget,
    Release,
    ReviewApp,
    TargetState,
)
from service.domain.promotion import status as outcome
from service.domain.webhooks import Action, Include

Json = dict[str, Any]

_UNSAID: Final = frozenset({"updated_at", "reason"})
"""What alone is no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What an app's processes were seen to do."""

    app: App
    state: str


Thing = App | Build | Engine | Promotion | PromotionTarget | Release | ReviewApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A thing before and after; `before` is None for one that was made.

    `left` is the pipeline that an app goes from with it.
    """

    before: Thing | None
    after: Thing
    left: PipelineId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asked for a build and why, and the release that it led to."""

    actor: str
    reason: str
    release_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is told beside the changed things themselves: names by ids, and what hangs together with them."""

    apps: Mapping[str, App]
    pipelines: Mapping[str, str]
    owners: Mapping[str, str]
    asked: Mapping[str, Asked]
    promotions: Mapping[str, Promotion]
    targets: Mapping[PromotionId, Sequence[PromotionTarget]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What happened to a thing, as it is kept: who did things is told as the activity log names them."""

    include: Include
    action: Action
    app_id: str | None
    pipeline_id: str | None
    actor: str | None
    data: Json
    previous: Json


def moment(at: datetime | None) -> str | None:
    """A time as Heroku writes it."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def team_email(name: str | None) -> str:
    """The address that stands for a team; Heroku's clients know a team's app by how it ends."""
    return f"{name}@herokumanager.com" if name else ""


def happenings(change: Change, known: Known) -> Iterator[Happening]:
    """All that a change is to those who listen; nothing where nothing of it is told."""
    before, after = change.before, change.after
    match after:
        case App():
            former = before if isinstance(before, App) else None
            yield from _of_app(former, after, known)
        case Engine(app=app):
            former_data = _dyno(before) if isinstance(before, Engine) else {}
            yield from _told(Include.DYNO, former_data, _dyno(after), app_id=app.id)
        case Build():
            former_data = _build(before, known) if isinstance(before, Build) else {}
            by = known.asked[after.request_id].actor if after.request_id in known.asked else None
            yield from _told(Include.BUILD, former_data, _build(after, known), app_id=after.app_id, actor=by)
        case Release():
            former_data = _release(before, known) if isinstance(before, Release) else {}
            told = _release(after, known)
            yield from _told(Include.RELEASE, former_data, told, app_id=after.app_id, actor=after.actor)
        case ReviewApp():
            former_data = _review_app(before, known) if isinstance(before, ReviewApp) else {}
            told = _review_app(after, known)
            yield from _told(Include.REVIEW_APP, former_data, told, pipeline_id=after.pipeline_id)
        case Promotion() | PromotionTarget():
            yield from _of_promotion(before, after, known)
        case never:
            assert_never(never)


def _told(
    include: Include,
    before: Json,
    after: Json,
    *,
    app_id: str | None = None,
    pipeline_id: str | None = None,
    actor: str | None = None,
    action: Action | None = None,
) -> Iterator[Happening]:
    previous = {key: value for key, value in before.items() if after.get(key) != value}
    if before and not previous.keys() - _UNSAID and action is None:
        return
    yield Happening(
        include=include,
        action=action or (Action.UPDATE if before else Action.CREATE),
        app_id=app_id,
        pipeline_id=pipeline_id,
        actor=actor,
        data=after,
        previous={key: value for key, value in previous.items() if key != "updated_at"},
    )


def _of_app(before: App | None, after: App, known: Known) -> Iterator[Happening]:
    former_data = _app(before, known) if before else {}
    gone = Action.DESTROY if after.state is AppState.GONE else None
    yield from _told(Include.APP, former_data, _app(after, known), app_id=after.id, action=gone)
    if before is None or gone:
        return
    for kind in sorted({*before.formation, *after.formation}):
        was, now = _formation(before, kind), _formation(after, kind)
        ended = Action.DESTROY if kind not in after.formation else None
        yield from _told(Include.FORMATION, was, now, app_id=after.id, action=ended)


def _of_promotion(before: object, after: Promotion | PromotionTarget, known: Known) -> Iterator[Happening]:
    promotion = after if isinstance(after, Promotion) else known.promotions.get(after.promotion_id)
    if promotion is None:
        return
    targets = known.targets.get(promotion.id, ())
    former_data: Json = {}
    if isinstance(before, PromotionTarget):
        former_data = _promotion(promotion, [before if each.id == before.id else each for each in targets], known)
    told = _promotion(promotion, targets, known)
    pipeline_id, by = promotion.pipeline_id, promotion.actor
    yield from _told(Include.PROMOTION, former_data, told, pipeline_id=pipeline_id, actor=by)


def _named(app_id: str | None, known: Known) -> Json | None:
    app = known.apps.get(app_id or "")
    return None if app is None else {"id": app.id, "name": app.name}


def _app(it: App, known: Known) -> Json:
    return {
        "archived_at": None,
        "created_at": moment(it.created_at),
        "id": it.id,
        "maintenance": it.maintenance,
        "name": it.name,
        "owner": {"id": it.owner_id, "email": known.owners.get(it.owner_id or "")},
        "released_at": moment(it.released_at),
        "review": it.is_review,
        "state": it.state.value,
        "updated_at": moment(it.updated_at),
    }


def _formation(it: App, kind: str) -> Json:
    return {
        "app": {"id": it.id, "name": it.name},
        "created_at": moment(it.created_at),
        "quantity": it.formation.get(kind, 0),
        "size": "standard",
        "type": kind,
        "updated_at": moment(it.updated_at),
    }


def _dyno(it: Engine) -> Json:
    release = it.app.current_release_id
    return {
        "app": {"id": it.app.id, "name": it.app.name},
        "name": "web",
        "release": None if release is None else {"id": release},
        "size": "standard",
        "state": it.state or None,
        "type": "web",
        "updated_at": moment(it.app.updated_at),
    }


def _build(it: Build, known: Known) -> Json:
    asked = known.asked.get(it.request_id)
    ended_badly = it.state in {BuildState.FAILED, BuildState.CANCELLED}
    return {
        "app": _named(it.app_id, known),
        "buildpacks": None,
        "created_at": moment(it.created_at),
        "error": it.error or None,
        "id": it.request_id,
        "release": None if asked is None or asked.release_id is None else {"id": asked.release_id},
        "slug": None if it.slug_id is None else {"id": it.slug_id},
        "source_blob": {
            "checksum": None,
            "url": "",
            "version": it.sha or None,
            "version_description": asked.reason if asked else None,
        },
        "status": BuildState.FAILED.value if ended_badly else it.state.value,
        "updated_at": moment(it.updated_at),
        "user": asked.actor if asked else "",
    }


def _release(it: Release, known: Known) -> Json:
    app = known.apps.get(it.app_id)
    return {
        "addon_plan_names": [],
        "app": _named(it.app_id, known),
        "commit": it.commit,
        "created_at": moment(it.created_at),
        "current": app is not None and app.current_release_id == it.id,
        "description": it.description,
        "error": it.error or None,
        "id": it.id,
        "slug": None if it.slug_id is None else {"id": it.slug_id},
        "status": it.state.value,
        "updated_at": moment(it.updated_at),
        "user": it.actor,
        "version": it.version,
    }


def _review_app(it: ReviewApp, known: Known) -> Json:
    kind, _, named = it.ref.partition(":")
    return {
        "app": _named(it.app_id, known),
        "branch": it.branch or (named if kind == "branch" else ""),
        "commit": it.sha if it.sha.strip("0") else None,
        "created_at": moment(it.created_at),
        "deployed_at": moment(it.deployed_at),
        "id": it.id,
        "pinned": it.pinned,
        "pipeline": {"id": it.pipeline_id, "name": known.pipelines.get(it.pipeline_id)},
        "pr_number": int(named) if kind == "pr" else None,
        "reason": it.reason or None,
        "state": it.state.value,
        "updated_at": moment(it.updated_at),
    }


def _promotion(it: Promotion, targets: Sequence[PromotionTarget], known: Known) -> Json:
    pending = any(each.state is TargetState.PENDING for each in targets)
    return {
        "created_at": moment(it.created_at),
        "id": it.id,
        "outcome": outcome(list(targets)).value,
        "pipeline": {"id": it.pipeline_id, "name": known.pipelines.get(it.pipeline_id)},
        "source": {"app": _named(it.source_app_id, known), "release": {"id": it.source_release_id}},
        "status": "pending" if pending else "completed",
        "targets": [
            {
                "app": _named(each.app_id, known),
                "error_message": each.error or None,
                "id": each.id,
                "release": None if each.release_id is None else {"id": each.release_id},
                "status": each.state.value,
            }
            for each in targets
        ],
        "updated_at": moment(it.updated_at),
        "user": it.actor,
    }
