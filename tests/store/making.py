"""Rows to start from."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from service.domain.decisions import Deploy, Restart
from service.domain.model import (
    App,
    PipelineId,
    QueuedRequest,
    Repository,
    RepositoryId,
    ReviewApp,
    ReviewState,
    Sha,
    Trust,
)
from service.store import apps, pipelines, repositories, requests, reviews

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
REPOSITORY = Repository(
    id=RepositoryId(7), full_name="acme/shop", default_branch="main", installation_id=3, archived=False, accessible=True
)


def make_app(conn: Connection, name: str = "shop", pipeline_id: PipelineId | None = None) -> App:
    space = apps.ensure_space(conn, name="common", driver="process", now=NOW)
    return apps.create(
        conn, name=name, space_id=space.id, owner_id=None, is_review=False, now=NOW, pipeline_id=pipeline_id
    )


def make_pipeline(conn: Connection, name: str = "shop", repository: Repository | None = None) -> PipelineId:
    made = pipelines.create(conn, name=name, owner_id=None, owner_type=None, now=NOW)
    if repository is not None:
        repositories.remember(conn, repository, NOW)
        pipelines.update(conn, pipeline=made, now=NOW, repository_id=repository.id)
    return made.id


def make_review(
    conn: Connection,
    pipeline_id: PipelineId,
    *,
    ref: str = "pr:1",
    generation: int = 1,
    state: ReviewState = ReviewState.WAITING,
    reason: str = "",
    app_id: str | None = None,
    repository_id: int = REPOSITORY.id,
    at: datetime = NOW,
) -> ReviewApp:
    return reviews.create(
        conn,
        pipeline_id=pipeline_id,
        repository_id=repository_id,
        ref=ref,
        generation=generation,
        app_id=app_id,
        state=state,
        reason=reason,
        sha="a" * 40,
        branch="topic",
        by_person=False,
        now=at,
    )


def make_request(
    conn: Connection, app_id: str, *, sha: str = "", branch: str = "main", by_person: bool = True
) -> QueuedRequest:
    work = Deploy(repository_id=REPOSITORY.id, sha=Sha(sha), trust=Trust.OWN, branch=branch) if sha else Restart()
    return requests.add(conn, app_id=app_id, work=work, actor="test", reason="test", by_person=by_person, now=NOW)
