"""What plans look at, each read from one snapshot in a constant number of statements."""

import json
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, select

from service.domain.access import right_lost
from service.domain.auto_deploy import AutoDeployView
from service.domain.decisions import Deploy, DeployArchive, ReleaseSlug, Rollback
from service.domain.facts import ChangedPaths, Fact, FactKey, FactKind, PullRequest, changes_between, commits_between
from service.domain.model import (
    App,
    AppState,
    CiCounts,
    Pipeline,
    QueuedRequest,
    RepositoryId,
    RequestState,
    ReviewApp,
    Sha,
    Toggles,
    Trust,
)
from service.domain.names import review_app_name
from service.domain.review_rules import OVER, OVER_CAP, trust_of
from service.domain.review_view import ReviewView
from service.store import approvals, apps, deploy_locks, facts, pipelines, releases, repositories, requests, reviews
from service.store.tables import activity
from service.store.tables import releases as release_rows
from service.store.tables import requests as request_rows

RESUMED = "auto-deploy switched"
"""The activity by which a person ends a hold."""


def review_view(
    conn: Connection,
    *,
    subject_key: str,
    now: datetime,
    our_app_id: int = 0,
    asked: Literal["create", "destroy"] | None = None,
) -> ReviewView | None:
    """The review app of `PIPELINE/pr:N` or `PIPELINE/branch:REF`; None when there is no such pipeline or source."""
    pipeline_id, _, ref = subject_key.partition("/")
    pipeline = pipelines.get(conn, pipeline_id)
    if pipeline is None:
        return None
    review = _review(conn, pipeline, ref)
    repository_id = review.repository_id if review else pipeline.repository_id
    repository = repositories.get(conn, repository_id) if repository_id is not None else None
    if repository is None:
        return None
    kind, _, name = ref.partition(":")
    number = int(name) if kind == "pr" else None
    pull_request = None if number is None else _fact(conn, FactKind.PULL_REQUEST, repository.id, name)
    head = _fact(conn, FactKind.HEAD, repository.id, name) if number is None else None
    app = apps.get(conn, review.app_id) if review is not None and review.app_id else None
    pull = pull_request.value if pull_request is not None else None
    queued = review if review is not None and review.state not in OVER else None
    return ReviewView(
        now=now,
        pipeline=pipeline,
        repository=repository,
        ref=ref,
        number=number,
        pull_request=pull_request,
        ci=_ci(conn, repository.id, _sha(pull_request, "head_sha") or _sha(head, "sha")),
        review=review,
        app=app,
        queue=() if app is None else tuple(requests.open_of(conn, app.id)),
        last_deploy=None if app is None else _newest_deploy(conn, app.id, _NOT_REPLACED),
        live_review_apps=reviews.live_count(conn, pipeline.id),
        waiting_ahead=reviews.waiting_ahead(conn, pipeline_id=pipeline.id, reason=OVER_CAP, of=queued),
        asked=asked,
        name=_name(pipeline, ref),
        head=head,
        our_app_id=our_app_id,
        required=_required(conn, pipeline.toggles, repository.id, _base(pull_request)),
        approved=_approved(conn, pipeline, pull_request),
        leaving_review_apps=reviews.leaving_count(conn, pipeline.id),
        inferred_this_hour=reviews.inferred_since(conn, pipeline_id=pipeline.id, since=now - timedelta(hours=1)),
        changes=_changes(conn, pipeline.toggles, repository.id, pull.base_sha, pull.head_sha) if pull else None,
    )


def _name(pipeline: Pipeline, ref: str) -> str:
    base = pipeline.toggles.base_name
    return review_app_name(pipeline_id=pipeline.id, pipeline_name=pipeline.name, base_name=base, ref=ref)


def _approved(conn: Connection, pipeline: Pipeline, pull_request: Fact[Any] | None) -> frozenset[Sha]:
    value: PullRequest | None = pull_request.value if pull_request is not None else None
    if value is None or trust_of(value) is Trust.OWN:
        return frozenset()
    return approvals.shas(conn, pipeline_id=pipeline.id, repository_id=value.base_repository_id, number=value.number)


def auto_deploy_view(
    conn: Connection, *, subject_key: str, now: datetime, our_app_id: int = 0
) -> AutoDeployView | None:
    """An app that may follow a branch, by its id; None when there is none."""
    app = apps.get(conn, subject_key)
    if app is None or app.state is AppState.GONE:
        return None
    coupling = pipelines.coupling_of(conn, app.id)
    pipeline = pipelines.get(conn, coupling.pipeline_id) if coupling else None
    repository = repositories.get(conn, app.repository_id) if app.repository_id is not None else None
    branch = app.auto_deploy_branch or (repository.default_branch if repository else "")
    head = _fact(conn, FactKind.HEAD, repository.id, branch) if repository else None
    toggles = pipeline.toggles if pipeline else Toggles()
    doubted = head is not None and head.doubted(now=now)
    runs = serving(conn, app) if toggles.paths or doubted else None
    sha = _sha(head, "sha")
    return AutoDeployView(
        now=now,
        app=app,
        repository=repository,
        branch=branch,
        head=head,
        ci=_ci(conn, repository.id, sha) if repository else None,
        queue=tuple(requests.open_of(conn, app.id)),
        last_deploy=requests.last_deploy(conn, app.id),
        last_auto_deploy=_newest_deploy(conn, app.id, request_rows.c.by_person.is_(False)),
        stage=coupling.stage if coupling else None,
        toggles=toggles,
        held=held(conn, app.id),
        our_app_id=our_app_id,
        required=_required(conn, pipeline.toggles, repository.id, branch) if pipeline and repository else None,
        serving=runs,
        changes=_changes(conn, toggles, repository.id, runs, sha) if repository and runs and sha else None,
        apart=_apart(conn, repository.id, runs, sha) if repository and doubted and runs and sha else None,
        locks=deploy_locks.of_app(conn, app.id),
        right_lost=right_lost(pipeline, repository) if pipeline and repository else "",
    )


def held(conn: Connection, app_id: str) -> str:
    """Say "held at vN" once a rollback, a promotion into the app or a deploy of no branch is asked for, else empty.

    One that fails holds nothing any more. A deploy of a branch ends it, and so does a person who switches automatic
    deploys on (again).
    """
    query = (
        select(request_rows.c.kind, request_rows.c.work, request_rows.c.created_at, release_rows.c.version)
        .outerjoin(release_rows, release_rows.c.request_id == request_rows.c.id)
        .where(
            request_rows.c.app_id == app_id,
            request_rows.c.state.in_([RequestState.SUCCEEDED, *requests.OPEN]),
            request_rows.c.kind.in_(_HOLDING),
        )
        .order_by(request_rows.c.seq.desc())
        .limit(1)
    )
    last = conn.execute(query).first()
    wanted = json.loads(last.work) if last is not None else {}
    if last is None or wanted.get("branch"):
        return ""
    resumed = select(activity.c.id).where(
        activity.c.app_id == app_id, activity.c.action == RESUMED, activity.c.at > last.created_at
    )
    if conn.execute(resumed.limit(1)).first():
        return ""
    called = str(wanted.get("sha") or "")[:7] or wanted.get("version") or "the source that was sent"
    return f"held at v{last.version}" if last.version else f"held at {called}"


_HOLDING = tuple(kind.__name__ for kind in (Deploy, DeployArchive, ReleaseSlug, Rollback))
_NOT_REPLACED = request_rows.c.state.in_([RequestState.SUCCEEDED, RequestState.FAILED, RequestState.CANCELLED])
"""What is cancelled has no successor: a destroy takes the app with it, and a person wants no other."""


def _review(conn: Connection, pipeline: Pipeline, ref: str) -> ReviewApp | None:
    """The review app at the pipeline's source; one left from a former source comes first, until it is gone."""
    found = reviews.of_ref(conn, pipeline_id=pipeline.id, ref=ref)
    former = (each for each in found if each.repository_id != pipeline.repository_id and each.state not in OVER)
    current = (each for each in found if each.repository_id == pipeline.repository_id)
    return next(former, None) or next(current, None)


def _newest_deploy(conn: Connection, app_id: str, condition: ColumnElement[bool]) -> QueuedRequest | None:
    query = select(request_rows.c.id).where(
        request_rows.c.app_id == app_id, request_rows.c.kind == Deploy.__name__, condition
    )
    found = conn.execute(query.order_by(request_rows.c.seq.desc()).limit(1)).scalar()
    return requests.get(conn, found) if found is not None else None


def _fact(conn: Connection, kind: FactKind, repository_id: RepositoryId, key: str) -> Fact[Any] | None:
    return facts.load(conn, FactKey(kind, repository_id, key))


def _ci(conn: Connection, repository_id: RepositoryId, sha: Sha | None) -> Fact[Any] | None:
    return None if sha is None else _fact(conn, FactKind.CI, repository_id, sha)


def _required(conn: Connection, toggles: Toggles, repository_id: RepositoryId, branch: str) -> Fact[Any] | None:
    wanted = toggles.ci_counts is CiCounts.PROTECTED and branch
    return _fact(conn, FactKind.REQUIRED, repository_id, branch) if wanted else None


def _base(pull_request: Fact[Any] | None) -> str:
    return pull_request.value.base_ref if pull_request is not None and pull_request.value is not None else ""


def _changes(
    conn: Connection, toggles: Toggles, repository_id: RepositoryId, base: Sha, head: Sha
) -> Fact[ChangedPaths] | None:
    return facts.load(conn, changes_between(repository_id, base, head)) if toggles.paths else None


def _apart(conn: Connection, repository_id: RepositoryId, base: Sha, head: Sha) -> Fact[Any] | None:
    return facts.load(conn, commits_between(repository_id, base, head))


def serving(conn: Connection, app: App) -> Sha | None:
    """The commit that the app runs, unless it is of another repository than the one it follows."""
    release = releases.get(conn, app.current_release_id) if app.current_release_id else None
    return release.commit if release is not None and release.repository_id == app.repository_id else None


def _sha(fact: Fact[Any] | None, field: str) -> Sha | None:
    return None if fact is None or fact.value is None else getattr(fact.value, field)
