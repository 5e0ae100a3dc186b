"""Review apps: one row for each generation of a pull request's or branch's app."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TypedDict, Unpack

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, or_, select

from service.domain.decisions import Destroy
from service.domain.model import ReviewApp, ReviewAppId, ReviewState
from service.store import changes, rows
from service.store.database import new_id
from service.store.tables import requests, review_apps

_WITH_APP = (ReviewState.CREATING, ReviewState.LIVE, ReviewState.FAILED, ReviewState.SUSPENDED, ReviewState.DESTROYING)


class ReviewChange(TypedDict, total=False):
    """What `update` can change."""

    app_id: str | None
    state: ReviewState
    reason: str
    sha: str
    branch: str
    pinned: bool
    by_person: bool
    postdeploy_done: bool
    deployed_at: datetime | None


def create(
    conn: Connection,
    *,
    pipeline_id: str,
    repository_id: int,
    ref: str,
    generation: int,
    app_id: str | None,
    state: ReviewState,
    reason: str,
    sha: str,
    branch: str,
    by_person: bool,
    now: datetime,
) -> ReviewApp:
    """Make the next generation."""
    values = {
        "id": new_id(),
        "pipeline_id": pipeline_id,
        "repository_id": repository_id,
        "ref": ref,
        "generation": generation,
        "app_id": app_id,
        "state": state,
        "reason": reason,
        "sha": sha,
        "branch": branch,
        "by_person": by_person,
        "created_at": now,
        "updated_at": now,
    }
    made = as_review(conn.execute(review_apps.insert().values(values).returning(review_apps)).mappings().one())
    changes.note(conn, None, made)
    return made


def update(conn: Connection, *, review: ReviewApp, now: datetime, **change: Unpack[ReviewChange]) -> ReviewApp:
    """Change some of it; raises `Conflict` when it has changed since it was read."""
    if "state" in change:
        change["state"] = rows.reach(review.state, change["state"])
    changed = as_review(
        rows.compare_and_set(conn, review_apps, key=review.id, version=review.version, now=now, values=change)
    )
    changes.note(conn, review, changed)
    return changed


def get(conn: Connection, review_id: str) -> ReviewApp | None:
    """One generation."""
    return _first(conn, select(review_apps).where(review_apps.c.id == review_id))


def latest(conn: Connection, *, pipeline_id: str, repository_id: int, ref: str) -> ReviewApp | None:
    """The newest generation."""
    query = select(review_apps).where(
        review_apps.c.pipeline_id == pipeline_id,
        review_apps.c.repository_id == repository_id,
        review_apps.c.ref == ref,
    )
    return _first(conn, query.order_by(review_apps.c.generation.desc()).limit(1))


def of_app(conn: Connection, app_id: str) -> ReviewApp | None:
    """The review app that an app is."""
    query = select(review_apps).where(review_apps.c.app_id == app_id)
    return _first(conn, query.order_by(review_apps.c.generation.desc()).limit(1))


def made_by(conn: Connection, app_ids: Collection[str]) -> Mapping[str, str]:
    """Who had each of these apps made, by its id: whoever its first request is of; unknown once that is forgotten."""
    first = select(requests.c.app_id, requests.c.actor).where(requests.c.app_id.in_(app_ids), requests.c.seq == 1)
    return {row.app_id: row.actor for row in conn.execute(first)}


def of_pipeline(conn: Connection, pipeline_id: str) -> list[ReviewApp]:
    """The newest generation of each of the pipeline's review apps, destroyed ones too, newest first."""
    return _listed(conn, _newest().where(review_apps.c.pipeline_id == pipeline_id))


def standing(conn: Connection, pipeline_id: str) -> list[ReviewApp]:
    """Those of `of_pipeline` that are not destroyed."""
    there = (review_apps.c.pipeline_id == pipeline_id, review_apps.c.state != ReviewState.DESTROYED)
    return _listed(conn, _newest().where(*there))


def of_commit(conn: Connection, *, pipeline_id: str, sha: str, app_ids: Collection[str] = ()) -> list[ReviewApp]:
    """Those of `of_pipeline` that are at a commit or have one of these apps: most of a pipeline's are long gone."""
    concerned = or_(review_apps.c.sha == sha, review_apps.c.app_id.in_(app_ids))
    return _listed(conn, _newest().where(review_apps.c.pipeline_id == pipeline_id, concerned))


def of_repository(conn: Connection, repository_id: int, ref: str | None = None) -> list[ReviewApp]:
    """The newest generation of each review app of a repository that is not destroyed, in whatever pipeline."""
    query = _newest().where(review_apps.c.repository_id == repository_id, review_apps.c.state != ReviewState.DESTROYED)
    if ref is not None:
        query = query.where(review_apps.c.ref == ref)
    return _listed(conn, query)


def of_pull_request(conn: Connection, repository_id: int, ref: str) -> list[ReviewApp]:
    """The newest generation in each pipeline, destroyed ones too, the oldest first."""
    query = _newest().where(review_apps.c.repository_id == repository_id, review_apps.c.ref == ref)
    return _listed(conn, query)[::-1]


def of_ref(conn: Connection, *, pipeline_id: str, ref: str) -> list[ReviewApp]:
    """The newest generation in each repository that the pipeline has had, newest first."""
    return _listed(conn, _newest().where(review_apps.c.pipeline_id == pipeline_id, review_apps.c.ref == ref))


def live_count(conn: Connection, pipeline_id: str) -> int:
    """How many of the pipeline's review apps have an app, those being destroyed included."""
    query = select(func.count()).where(
        review_apps.c.pipeline_id == pipeline_id, review_apps.c.app_id.is_not(None), review_apps.c.state.in_(_WITH_APP)
    )
    return conn.execute(query).scalar_one()


def leaving_count(conn: Connection, pipeline_id: str) -> int:
    """How many of the pipeline's review apps are being destroyed."""
    query = select(func.count()).where(
        review_apps.c.pipeline_id == pipeline_id, review_apps.c.state == ReviewState.DESTROYING
    )
    return conn.execute(query).scalar_one()


def inferred_since(conn: Connection, *, pipeline_id: str, since: datetime) -> int:
    """How many of the pipeline's review apps were taken away since then without a person or a close having said so."""
    query = (
        select(func.count(requests.c.id.distinct()))
        .join(review_apps, review_apps.c.app_id == requests.c.app_id)
        .where(
            review_apps.c.pipeline_id == pipeline_id,
            requests.c.kind == Destroy.__name__,
            requests.c.work.contains('"ordered": false'),
            requests.c.created_at >= since,
        )
    )
    return conn.execute(query).scalar_one()


def waiting(conn: Connection, *, pipeline_id: str, reason: str) -> list[ReviewApp]:
    """The pipeline's review apps that wait for a reason that starts so, in their order: the longest first."""
    found = conn.execute(select(review_apps).where(_waits(pipeline_id, reason)).order_by(*_SINCE))
    return [as_review(row) for row in found.mappings()]


def waiting_ahead(conn: Connection, *, pipeline_id: str, reason: str, of: ReviewApp | None) -> int:
    """How many of `waiting` come before a review app; all of them before one that is not there yet."""
    query = select(func.count()).where(_waits(pipeline_id, reason))
    if of is not None:
        at_once = and_(review_apps.c.created_at == of.created_at, review_apps.c.id < of.id)
        query = query.where(or_(review_apps.c.created_at < of.created_at, at_once))
    return conn.execute(query).scalar_one()


_SINCE = (review_apps.c.created_at, review_apps.c.id)


def _waits(pipeline_id: str, reason: str) -> ColumnElement[bool]:
    return and_(
        review_apps.c.pipeline_id == pipeline_id,
        review_apps.c.state == ReviewState.WAITING,
        review_apps.c.reason.startswith(reason, autoescape=True),
    )


def postdeploy_done(conn: Connection, review_id: str) -> bool:
    """Whether its `postdeploy` script has run: it does so once in its life."""
    done = conn.execute(select(review_apps.c.postdeploy_done).where(review_apps.c.id == review_id)).scalar()
    return bool(done)


def set_postdeploy_done(conn: Connection, review_id: str) -> None:
    """Its `postdeploy` script has run. No `Conflict` can come of it: nothing is decided by the former value."""
    conn.execute(review_apps.update().where(review_apps.c.id == review_id).values(postdeploy_done=True))


def as_review(row: RowMapping) -> ReviewApp:
    """The review app of a row."""
    return ReviewApp(
        id=ReviewAppId(row["id"]),
        pipeline_id=row["pipeline_id"],
        repository_id=row["repository_id"],
        ref=row["ref"],
        generation=row["generation"],
        app_id=row["app_id"],
        state=ReviewState(row["state"]),
        reason=row["reason"],
        sha=row["sha"],
        branch=row["branch"],
        pinned=row["pinned"],
        by_person=row["by_person"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deployed_at=row["deployed_at"],
        version=row["row_version"],
    )


def _newest() -> Select[tuple[object, ...]]:
    later = review_apps.alias("later")
    superseded = (
        select(later.c.id)
        .where(
            later.c.pipeline_id == review_apps.c.pipeline_id,
            later.c.repository_id == review_apps.c.repository_id,
            later.c.ref == review_apps.c.ref,
            later.c.generation > review_apps.c.generation,
        )
        .exists()
    )
    return select(review_apps).where(~superseded)


def _first(conn: Connection, query: Select[tuple[object, ...]]) -> ReviewApp | None:
    row = rows.one(conn, query)
    return as_review(row) if row else None


def _listed(conn: Connection, query: Select[tuple[object, ...]]) -> list[ReviewApp]:
    found = conn.execute(query.order_by(review_apps.c.created_at.desc(), review_apps.c.id))
    return [as_review(row) for row in found.mappings()]
