"""What is told of a change: the thing as it is now, and what of it was otherwise before.

Config vars are told of by their names alone, in the words of the release that brought them: no value of one is in any
thing here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from service.domain.decisions import DeployArchive
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
    ReleaseState,
    ReviewApp,
    Slug,
    Space,
    TargetState,
)
from service.domain.promotion import status as outcome
from service.domain.webhooks import Action, Include

Json = dict[str, Any]

_UNSAID: Final = frozenset({"reason"})
"""What alone is no news."""
_FOLLOWING: Final = frozenset(
    {"artifacts", "command", "eligible_for_rollback", "output_stream_url", "slug_size", "stack", "updated_at"}
)
"""What follows from the rest: it is no news, and what it was before is not told."""

_DOWN: Final = {"suspended": "down"}
"""What Heroku has no word for, in one that it has."""


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
    """Who asked for a build, when and why, and the release that it led to, with its number.

    `archive` is what it is built from, None where that is a commit.
    """

    actor: str
    reason: str
    created_at: datetime
    archive: DeployArchive | None
    release_id: str | None
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is told beside the changed things themselves: names by ids, and what hangs together with them.

    `current` is the release that an app runs, by the id of the release; `owners` are addresses.
    """

    apps: Mapping[str, App]
    spaces: Mapping[str, Space]
    current: Mapping[str, Release]
    slugs: Mapping[str, Slug]
    pipelines: Mapping[str, str]
    owners: Mapping[str, str]
    teams: Mapping[str, str]
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
            former_data = _dyno(before, known) if isinstance(before, Engine) else {}
            yield from _told(Include.DYNO, former_data, _dyno(after, known), app_id=app.id)
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
    previous = {key: value for key, value in before.items() if key not in _FOLLOWING and after.get(key) != value}
    if before and not previous.keys() - _UNSAID and action is None:
        return
    yield Happening(
        include=include,
        action=action or (Action.UPDATE if before else Action.CREATE),
        app_id=app_id,
        pipeline_id=pipeline_id,
        actor=actor,
        data=after,
        previous=previous,
    )


def _of_app(before: App | None, after: App, known: Known) -> Iterator[Happening]:
    former_data = _app(before, known) if before else {}
    gone = Action.DESTROY if after.state is AppState.GONE else None
    yield from _told(Include.APP, former_data, _app(after, known), app_id=after.id, action=gone)
    if before is None or gone:
        return
    for kind in sorted({*before.formation, *after.formation}):
        was, now = _formation(before, kind, known), _formation(after, kind, known)
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


def _running(app: App | None, known: Known) -> tuple[Release | None, Slug | None]:
    """The release that an app runs, and its slug."""
    release = known.current.get(app.current_release_id or "") if app is not None else None
    return release, None if release is None else known.slugs.get(release.slug_id or "")


def _numbered(release_id: str, version: int | None) -> Json:
    return {"id": release_id, "version": version}


def _slug(slug_id: str | None, commit: str | None) -> Json | None:
    return None if slug_id is None else {"id": slug_id, "commit": commit, "commit_description": None}


def _stack(slug_id: str | None, known: Known) -> str | None:
    slug = known.slugs.get(slug_id or "")
    return None if slug is None else slug.stack


def _app(it: App, known: Known) -> Json:
    team, space, (_, slug) = known.teams.get(it.owner_id or ""), known.spaces[it.space_id], _running(it, known)
    return {
        "acm": False,
        "archived_at": None,
        "buildpack_provided_description": None,
        "created_at": moment(it.created_at),
        "id": it.id,
        "internal_routing": None,
        "maintenance": it.maintenance,
        "name": it.name,
        "owner": {"id": it.owner_id, "email": known.owners.get(it.owner_id or "") or team_email(team)},
        "promotable": it.promotable,
        "region": {"id": space.id, "name": space.name},
        "released_at": moment(it.released_at),
        "repo_size": None,
        "review": it.is_review,
        "slug_size": None if slug is None else slug.size,
        "stack": None if slug is None else slug.stack,
        "state": it.state.value,
        "team": None if team is None else {"id": it.owner_id, "name": team},
        "updated_at": moment(it.updated_at),
    }


def _formation(it: App, kind: str, known: Known) -> Json:
    _, slug = _running(it, known)
    return {
        "app": {"id": it.id, "name": it.name},
        "command": "" if slug is None else slug.process_types.get(kind, ""),
        "created_at": moment(it.created_at),
        "quantity": it.formation.get(kind, 0),
        "size": "standard",
        "type": kind,
        "updated_at": moment(it.updated_at),
    }


def _dyno(it: Engine, known: Known) -> Json:
    """What runs of an app is seen as one: it is told of by the first of its processes, under the name that this has."""
    release, slug = _running(it.app, known)
    kind = _first(it.app, slug)
    return {
        "app": {"id": it.app.id, "name": it.app.name},
        "attach_url": None,
        "command": "" if slug is None else slug.process_types.get(kind, ""),
        "created_at": moment(it.app.created_at if release is None else release.created_at),
        "exit_code": None,
        "name": f"{kind}.1",
        "reason": None,
        "release": None if release is None else _numbered(release.id, release.version),
        "size": "standard",
        "state": _DOWN.get(it.state, it.state) or None,
        "type": kind,
        "updated_at": moment(it.app.updated_at),
    }


def _first(app: App, slug: Slug | None) -> str:
    """The process type that people look at first: `web`, or of an app without one whichever runs."""
    if slug is None or "web" in slug.process_types:
        return "web"
    return next((kind for kind in sorted(slug.process_types) if app.formation.get(kind)), "web")


def source_blob(archive: DeployArchive | None, *, sha: str | None, reason: str | None) -> Json:
    """What is built; of an address nothing that may be secret."""
    told = {"checksum": None, "url": "", "version": sha, "version_description": reason}
    if archive is None:
        return told
    checksum = f"SHA256:{archive.sha256}" if archive.sha256 else None
    return told | {"checksum": checksum, "url": "" if archive.source_id else archive.shown, "version": archive.version}


def _build(it: Build, known: Known) -> Json:
    asked = known.asked.get(it.request_id)
    ended_badly = it.state in {BuildState.FAILED, BuildState.CANCELLED}
    return {
        "app": _named(it.app_id, known),
        "buildpacks": None,
        "created_at": moment(asked.created_at if asked else it.created_at),
        "error": it.error or None,
        "id": it.request_id,
        "output_stream_url": f"/builds/{it.request_id}",
        "release": None if asked is None or not asked.release_id else _numbered(asked.release_id, asked.version),
        "slug": _slug(it.slug_id, it.sha),
        "source_blob": source_blob(
            asked.archive if asked else None, sha=it.sha or None, reason=asked.reason if asked else None
        ),
        "stack": _stack(it.slug_id, known),
        "status": BuildState.FAILED.value if ended_badly else it.state.value,
        "updated_at": moment(it.updated_at),
        "user": asked.actor if asked else "",
    }


def _release(it: Release, known: Known) -> Json:
    app, slug = known.apps.get(it.app_id), known.slugs.get(it.slug_id or "")
    has_output = slug is not None and "release" in slug.process_types
    return {
        "addon_plan_names": [],
        "app": _named(it.app_id, known),
        "artifacts": [] if it.slug_id is None else [{"type": "slug", "id": it.slug_id}],
        "commit": it.commit,
        "created_at": moment(it.created_at),
        "current": app is not None and app.current_release_id == it.id,
        "description": it.description,
        "eligible_for_rollback": it.state is ReleaseState.SUCCEEDED and it.slug_id is not None,
        "error": it.error or None,
        "id": it.id,
        "output_stream_url": f"/releases/{it.id}" if has_output else None,
        "slug": _slug(it.slug_id, it.commit),
        "stack": _stack(it.slug_id, known),
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
