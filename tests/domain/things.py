"""Records for the tests of the domain: whole and valid, with what matters given by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from service.domain.auto_deploy import AutoDeployView
from service.domain.deploy_lock import DeployLock, LockId
from service.domain.deploys import DEPLOY
from service.domain.facts import (
    ChangedPaths,
    CheckRun,
    CheckSuite,
    CiSignals,
    CommitsApart,
    CommitStatus,
    Fact,
    FactKey,
    FactKind,
    Head,
    PullRequest,
    changes_between,
    commits_between,
)
from service.domain.model import (
    App,
    AppId,
    AppState,
    Pipeline,
    PipelineId,
    QueuedRequest,
    Release,
    ReleaseId,
    ReleaseState,
    Repository,
    RepositoryId,
    RequestId,
    RequestState,
    ReviewApp,
    ReviewAppId,
    ReviewState,
    Sha,
    SlugId,
    SpaceId,
    Stage,
    Toggles,
)
from service.domain.review_apps import ReviewView

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REPO = RepositoryId(7)
A, B, C = Sha("a" * 40), Sha("b" * 40), Sha("c" * 40)
OURS = 4711
ON = Toggles(review_apps=True, automatic_review_apps=True)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def pipeline(**changes: Any) -> Pipeline:
    whole = Pipeline(
        id=PipelineId("0a1b2c3d-0000-0000-0000-000000000000"),
        name="shop",
        owner_id=None,
        owner_type=None,
        repository_id=REPO,
        root_directory="",
        toggles=ON,
        created_at=ago(9e6),
        updated_at=ago(9e6),
        version=1,
    )
    return replace(whole, **changes)


def repository(**changes: Any) -> Repository:
    return replace(Repository(id=REPO, full_name="acme/shop", default_branch="main"), **changes)


def app(name: str = "shop-pr-5", **changes: Any) -> App:
    whole = App(
        id=AppId(f"id-of-{name}"),
        name=name,
        space_id=SpaceId("space"),
        owner_id=None,
        state=AppState.ACTIVE,
        is_review=False,
        generation=1,
        current_release_id=None,
        repository_id=REPO,
        auto_deploy=True,
        auto_deploy_branch="",
        follows_default=False,
        wait_for_ci=False,
        maintenance=False,
        formation={},
        created_at=ago(9e6),
        updated_at=ago(9e6),
        released_at=None,
        version=1,
    )
    return replace(whole, **changes)


def review(**changes: Any) -> ReviewApp:
    whole = ReviewApp(
        id=ReviewAppId("review"),
        pipeline_id=pipeline().id,
        repository_id=REPO,
        ref="pr:5",
        generation=1,
        app_id=app().id,
        state=ReviewState.LIVE,
        reason="",
        sha=A,
        branch="feature",
        pinned=False,
        by_person=False,
        created_at=ago(5000),
        updated_at=ago(5000),
        deployed_at=ago(4000),
        version=1,
    )
    return replace(whole, **changes)


def request(sha: Sha | None = A, state: RequestState = RequestState.SUCCEEDED, **changes: Any) -> QueuedRequest:
    whole = QueuedRequest(
        id=RequestId(f"request-{sha}"),
        app_id=app().id,
        seq=1,
        kind=DEPLOY,
        state=state,
        by_person=False,
        sha=sha,
        reason="",
        created_at=ago(4500),
    )
    return replace(whole, **changes)


def release(**changes: Any) -> Release:
    whole = Release(
        id=ReleaseId("release"),
        app_id=app("shop-staging").id,
        version=12,
        state=ReleaseState.SUCCEEDED,
        request_id=RequestId("request"),
        slug_id=SlugId("slug"),
        commit=A,
        repository_id=REPO,
        description="Deploy aaaaaaaa",
        actor="towpath",
        error="",
        log_id="log",
        created_at=ago(100),
        updated_at=ago(100),
    )
    return replace(whole, **changes)


def pull_request(**changes: Any) -> PullRequest:
    whole = PullRequest(
        number=5,
        state="open",
        merged=False,
        draft=False,
        title="Add a cart",
        author="ada",
        author_is_bot=False,
        head_sha=A,
        head_ref="feature",
        head_repository_id=REPO,
        base_ref="main",
        base_sha=C,
        base_repository_id=REPO,
        labels=(),
        updated_at=ago(60),
    )
    return replace(whole, **changes)


def pr_fact(
    value: PullRequest | None = None, *, age: float = 5, stale: bool = False, error: str = ""
) -> Fact[PullRequest]:
    return Fact(
        key=FactKey(FactKind.PULL_REQUEST, REPO, "5"),
        value=None if error else value or pull_request(),
        error=error,
        stale=stale,
        looked_at=ago(age),
    )


def head_fact(
    sha: Sha | None = A,
    *,
    branch: str = "main",
    age: float = 5,
    stale: bool = False,
    error: str = "",
    doubted_until: datetime | None = None,
) -> Fact[Head]:
    return Fact(
        key=FactKey(FactKind.HEAD, REPO, branch),
        value=None if error else Head(branch=branch, sha=sha),
        error=error,
        stale=stale,
        looked_at=ago(age),
        doubted_until=doubted_until,
    )


def signals(*parts: CommitStatus | CheckRun | CheckSuite, seen: float = 120) -> CiSignals:
    return CiSignals(
        sha=A,
        statuses=tuple(part for part in parts if isinstance(part, CommitStatus)),
        runs=tuple(part for part in parts if isinstance(part, CheckRun)),
        suites=tuple(part for part in parts if isinstance(part, CheckSuite)),
        first_seen=ago(seen),
    )


def changed(
    *paths: str, base: Sha = C, head: Sha = A, whole: bool = True, linear: bool = True, error: str = ""
) -> Fact[ChangedPaths]:
    return Fact(
        key=changes_between(REPO, base, head),
        value=None if error else ChangedPaths(paths=paths, whole=whole, linear=linear),
        error=error,
        stale=False,
        looked_at=ago(5),
    )


def stands(*, ahead: int = 0, behind: int = 0, base: Sha = C, head: Sha = A) -> Fact[CommitsApart]:
    return Fact(
        key=commits_between(REPO, base, head),
        value=CommitsApart(ahead=ahead, behind=behind, ahead_commits=(), behind_commits=(), related=True),
        error="",
        stale=False,
        looked_at=ago(5),
    )


def ci_fact(
    *parts: CommitStatus | CheckRun | CheckSuite,
    sha: Sha = A,
    age: float = 5,
    seen: float = 120,
    stale: bool = False,
    error: str = "",
    unread: str = "",
) -> Fact[CiSignals]:
    return Fact(
        key=FactKey(FactKind.CI, REPO, sha),
        value=None if error else replace(signals(*parts, seen=seen), unread=unread),
        error=error,
        stale=stale,
        looked_at=ago(age),
    )


def status(state: str, context: str = "ci/build") -> CommitStatus:
    return CommitStatus(context=context, state=state)


def run(
    outcome: str | None,
    name: str = "build",
    *,
    app_id: int = 15368,
    app_name: str = "GitHub Actions",
    suite_id: int = 1,
) -> CheckRun:
    """`outcome` is a conclusion, or the status of an unfinished run."""
    unfinished = outcome in {"queued", "in_progress", "waiting", "requested", "pending"}
    return CheckRun(
        name=name,
        app_id=app_id,
        app_name=app_name,
        suite_id=suite_id,
        status=str(outcome) if unfinished else "completed",
        conclusion=None if unfinished else outcome,
    )


def suite(
    outcome: str,
    *,
    runs: int = 1,
    number: int = 1,
    app_id: int = 15368,
    app_name: str = "GitHub Actions",
) -> CheckSuite:
    unfinished = outcome in {"queued", "in_progress", "waiting", "requested", "pending"}
    return CheckSuite(
        id=number,
        app_id=app_id,
        app_name=app_name,
        status=outcome if unfinished else "completed",
        conclusion=None if unfinished else outcome,
        runs=runs,
    )


def review_view(**changes: Any) -> ReviewView:
    """A pull request that is open at A, known just now, without a review app."""
    whole = ReviewView(
        now=NOW,
        pipeline=pipeline(),
        repository=repository(),
        ref="pr:5",
        number=5,
        pull_request=pr_fact(),
        ci=None,
        review=None,
        app=None,
        queue=(),
        last_deploy=None,
        live_review_apps=0,
        waiting_ahead=0,
        asked=None,
        name="shop-pr-5",
    )
    return replace(whole, **changes)


def live_view(**changes: Any) -> ReviewView:
    """The same with a review app that runs A."""
    whole = review_view(review=review(), app=app(is_review=True), last_deploy=request(A), live_review_apps=1)
    return replace(whole, **changes)


def auto_view(**changes: Any) -> AutoDeployView:
    """An app that follows main, which is at A; nothing was deployed yet."""
    whole = AutoDeployView(
        now=NOW,
        app=app("shop-staging"),
        repository=repository(),
        branch="main",
        head=head_fact(),
        ci=None,
        queue=(),
        last_deploy=None,
        last_auto_deploy=None,
        stage=Stage.STAGING,
        toggles=Toggles(),
    )
    return replace(whole, **changes)


def lock(**changes: Any) -> DeployLock:
    whole = DeployLock(
        id=LockId("of-app"),
        app_id=AppId("1"),
        pipeline_id=None,
        name="shop-prod",
        actor="user:ada@acme.example",
        reason="sale",
        expires_at=NOW + timedelta(hours=1),
        created_at=ago(60),
        updated_at=ago(60),
    )
    return replace(whole, **changes)


OF_PIPELINE = lock(id=LockId("of-pipeline"), app_id=None, pipeline_id=PipelineId("2"), name="shop", expires_at=None)
