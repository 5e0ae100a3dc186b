"""Describe what GitHub should show of a commit or a release, into the outbox; nothing is sent from here."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Connection

from service.domain import reports as describing
from service.domain.decisions import Subject, SubjectKind
from service.domain.model import (
    App,
    AppId,
    AppState,
    Build,
    BuildState,
    Pipeline,
    QueuedRequest,
    Release,
    ReleaseState,
    Repository,
    RequestState,
    ReviewApp,
    ReviewState,
    Sha,
    Stage,
)
from service.domain.report_comment import describe_comment
from service.domain.report_views import CommentRow, CommentView, Step
from service.domain.reports import CheckDeploy, CheckReview, CheckView, DeploymentView
from service.domain.review_rules import AWAITS_APPROVAL, FORK, NO_FORKS, OVER
from service.enact import Transaction
from service.queue import REPORT
from service.settings import Settings
from service.store import (
    apps,
    builds,
    logs,
    pipelines,
    releases,
    reports,
    repositories,
    requests,
    reviews,
    subjects,
)
from service.store.reports import Report
from workers.jobs import check_place
from workers.jobs.again import branch_to_rebuild
from workers.jobs.check_place import Place, followed, heads_at
from workers.jobs.passed_over import reasons as passed_over_reasons

DEPLOYS: Final = 200
"""So many of a commit's deploys are looked at, the newest of each app."""
Deployed = Mapping[AppId, QueuedRequest]
_STRANGE: Final = AWAITS_APPROVAL | {NO_FORKS}
_ENDED: Final = OVER | {ReviewState.DESTROYING}
_DESCRIBED_AS: Final = {
    "check": SubjectKind.CHECK,
    "status": SubjectKind.CHECK,
    "github_deployment": SubjectKind.GITHUB_DEPLOYMENT,
    "comment": SubjectKind.COMMENT,
}
"""By the kind of a report."""


def app_url(settings: Settings, app: App) -> str:
    """Where people reach the app."""
    base = urlsplit(settings.url)
    domain = settings.review_domain if app.is_review else settings.apps_domain
    port = f":{base.port}" if base.port else ""
    return f"{base.scheme}://{app.name}.{domain}{port}"


def check(tx: Transaction, key: str, settings: Settings, *, by_app: bool, awaited: bool = False) -> str:
    """Put the check of (pipeline, commit) into the outbox, as a commit status where we are no App.

    Where nothing is done for the commit there is none, unless it is `awaited`.
    What was begun there ends, whatever becomes of the rest: what was shown under a former name of the pipeline, in the
    repository it had before, or as a status before there was an App.
    """
    pipeline_id, _, sha = key.partition("/")
    kind = "check" if by_app else "status"
    known = reports.get(tx.conn, f"{kind}:{key}")
    formers = reports.formers(tx.conn, key, kind=kind)
    pipeline = pipelines.get(tx.conn, pipeline_id)
    place = check_place.now(tx.conn, pipeline, Sha(sha), shown=known or next(iter(formers), None))
    if place is None:
        return "no repository is connected"
    known, formers = check_place.moved(tx.conn, known, formers, kind=kind, place=place)
    if pipeline is not None:
        concerned, view = _check_view(tx.conn, pipeline, Sha(sha), settings)
        for review in concerned:
            tx.show_comment(review)
    else:
        view = CheckView(pipeline=place.name, sha=Sha(sha), details_url=settings.url)
    there_is = bool(view.review or view.deploys)
    _show_formers(tx, view, formers, place, there_is=there_is)
    if not there_is and not awaited and (known is None or known.terminal):
        return "nothing to show for this commit"
    return _put_check(tx, view, place, key=f"{kind}:{key}", kind=kind)


def _show_formers(tx: Transaction, view: CheckView, formers: Iterable[Report], place: Place, *, there_is: bool) -> None:
    """Let what was shown elsewhere go on being true, and end where the pipeline has left.

    Who reads that repository is told nothing of what is done with another one.
    """
    left = CheckView(pipeline=view.pipeline, sha=view.sha, details_url=view.details_url)
    for former in formers:
        is_left = former.repository_id != place.repository_id
        if not former.terminal or (there_is and not is_left):
            _put_check(tx, left if is_left else view, check_place.of(former), key=former.key, kind=former.kind)


def _put_check(tx: Transaction, view: CheckView, place: Place, *, key: str, kind: str) -> str:
    repository = repositories.get(tx.conn, place.repository_id)
    if repository is None:
        return "the repository is not known"
    view = replace(view, pipeline=place.name)
    content = describing.describe_check(view) if kind == "check" else describing.describe_status(view)
    return _put(tx, key=key, kind=kind, repository=repository, wanted=asdict(content), terminal=content.terminal)


def github_deployment(tx: Transaction, release_id: str, settings: Settings) -> str:
    """Put the GitHub deployment of a release into the outbox."""
    release = releases.get(tx.conn, release_id)
    if release is None or release.commit is None or release.repository_id is None:
        return "the release has no commit to show"
    repository = repositories.get(tx.conn, release.repository_id)
    app = apps.get(tx.conn, release.app_id)
    known = reports.get(tx.conn, f"github_deployment:{release_id}")
    if repository is None or app is None:
        return "the repository is not known"
    coupling = pipelines.coupling_of(tx.conn, app.id)
    pipeline = pipelines.get(tx.conn, coupling.pipeline_id) if coupling else None
    gone = app.state.value == "gone"
    if pipeline is None and known is None:
        return "the app is in no pipeline"
    if pipeline is not None and coupling is not None:
        view = DeploymentView(
            release=release,
            app=app,
            pipeline=pipeline.name,
            stage=coupling.stage,
            url=app_url(settings, app),
            log_url=f"{settings.url}/releases/{release.id}/output",
            started=releases.is_fixed(tx.conn, release.id),
            current=app.current_release_id in (None, release.id) or release.state is ReleaseState.PENDING,
            crashed=app.current_release_id == release.id and apps.engine_state(tx.conn, app.id) == "crashed",
            gone=gone,
            suspended=app.state is AppState.SUSPENDED,
        )
        content = asdict(describing.describe_github_deployment(view))
        if known is not None:  # it stays where it was made: by the place it is found again
            content["environment"] = known.wanted.get("environment", content["environment"])
    else:
        assert known is not None
        if known.wanted.get("state") in ("failure", "error"):
            return "it failed and is gone"
        content = {**known.wanted, "state": "inactive", "environment_url": "", "terminal": True}
    return _put(
        tx,
        key=f"github_deployment:{release_id}",
        kind="github_deployment",
        repository=repository,
        wanted=content,
        terminal=bool(content["terminal"]),
    )


def comment(tx: Transaction, key: str, settings: Settings) -> str:
    """Put the comment on (repository, pull request) into the outbox. It begins with the pull request's first app.

    With a fork it begins before: it says who may approve what waits, and how. None begins where all apps are gone:
    nobody waits for news on what was closed long ago.
    """
    repository_id, _, number = key.partition("/")
    known = reports.get(tx.conn, f"comment:{key}")
    repository = repositories.get(tx.conn, int(repository_id))
    if repository is None:
        return "the repository is not known"
    rows, begins = [], known is not None
    for review in reviews.of_pull_request(tx.conn, repository.id, f"pr:{number}"):
        pipeline = pipelines.get(tx.conn, review.pipeline_id)
        if pipeline is None or not pipeline.toggles.comment:
            continue
        if review.app_id is not None or known is not None or review.reason == FORK:
            shown = _review(tx.conn, review, review.sha, _deployed(tx.conn, review.sha), settings)
            rows.append(CommentRow(pipeline=pipeline.check_name, sha=review.sha, review=shown))
            begins = begins or review.state not in OVER
    if not begins:
        return "no pipeline has something to say in a comment"
    content = describe_comment(CommentView(repository_id=repository.id, number=int(number), rows=tuple(rows)))
    return _put(
        tx,
        key=f"comment:{key}",
        kind="comment",
        repository=repository,
        wanted=asdict(content),
        terminal=content.terminal,
        unhurried=not content.terminal and known is not None,
    )


def subject_of(report_key: str) -> Subject:
    """Whom to ring so that an object of the outbox is described anew."""
    kind, _, key = report_key.partition(":")
    return Subject(_DESCRIBED_AS[kind], key.partition(reports.ASIDE)[0])


def _put(
    tx: Transaction,
    *,
    key: str,
    kind: str,
    repository: Repository,
    wanted: dict[str, object],
    terminal: bool,
    unhurried: bool = False,
) -> str:
    changed = reports.put(
        tx.conn,
        key=key,
        kind=kind,
        repository_id=repository.id,
        installation_id=repository.installation_id,
        wanted=wanted,
        terminal=terminal,
        unhurried=unhurried,
        now=tx.now,
    )
    if changed:
        tx.rings.append(REPORT)
    return "to be shown" if changed else "shown already"


def _deployed(conn: Connection, sha: Sha) -> Deployed:
    return {each.app_id: each for each in reversed(requests.of_commit(conn, sha, limit=DEPLOYS, pushed_too=False))}


def _check_view(
    conn: Connection, pipeline: Pipeline, sha: Sha, settings: Settings
) -> tuple[list[ReviewApp], CheckView]:
    """All that the pipeline does with the commit, and the review apps concerned.

    The check tells of one. Anybody may open a pull request at a commit of ours: one that is not allowed to run takes
    no other's place, and none that is over that of one which runs.
    """
    deployed = _deployed(conn, sha)
    concerned = reviews.of_commit(conn, pipeline_id=pipeline.id, sha=sha, app_ids=deployed)
    concerned.sort(key=lambda each: (each.reason in _STRANGE, each.state in _ENDED, each.app_id not in deployed))
    shown = [_review(conn, each, sha, deployed, settings) for each in concerned[:1]]
    others = [each for each in concerned[1:] if each.sha == sha and each.app_id and each.state not in OVER]
    return concerned, CheckView(
        pipeline=pipeline.check_name,
        sha=sha,
        review=next(iter(shown), None),
        others=tuple(_review(conn, each, sha, deployed, settings) for each in others),
        deploys=tuple(_deploys(conn, pipeline, sha, deployed, settings)),
        details_url=settings.url,
        approval_blocks=pipeline.toggles.approval_blocks,
    )


def _why(review: ReviewApp, sha: Sha) -> str:
    """The reason of what the review app does, which is about its newest commit."""
    if review.sha != sha and review.reason in AWAITS_APPROVAL:
        return f"the pull request is at {review.sha[:7]}, which waits for approval"
    return review.reason


def _found_by(conn: Connection, review: ReviewApp) -> str:
    """What names the review app's pipeline in a command: its name, unless others have it too."""
    pipeline = pipelines.get(conn, review.pipeline_id)
    alone = pipeline is not None and len(pipelines.find(conn, pipeline.name)) == 1
    return pipeline.name if pipeline is not None and alone else review.pipeline_id


def _review(conn: Connection, review: ReviewApp, sha: Sha, deployed: Deployed, settings: Settings) -> CheckReview:
    app = apps.get(conn, review.app_id) if review.app_id else None
    deploy = deployed.get(app.id) if app else None
    build = builds.of_request(conn, deploy.id) if deploy else None
    release = releases.of_request(conn, deploy.id) if deploy else None
    error = _error(deploy)
    return CheckReview(
        app_name=app.name if app else "",
        state=review.state,
        reason=_why(review, sha),
        url=app_url(settings, app) if app else "",
        request=deploy.state if deploy else None,
        build=build.state if build else None,
        release=release.state if release else None,
        error=error,
        log_tail=_log_tail(conn, build, release) if error else "",
        steps=_steps(build, release),
        number=int(ref) if (ref := review.ref.removeprefix("pr:")).isdecimal() else None,
        pipeline=_found_by(conn, review) if review.reason in AWAITS_APPROVAL and deploy is None else "",
    )


def _ended(deploy: QueuedRequest | None) -> bool:
    return deploy is not None and deploy.state in {RequestState.SUCCEEDED, RequestState.FAILED}


def _error(deploy: QueuedRequest | None) -> str:
    return deploy.reason if deploy and deploy.state is RequestState.FAILED else ""


def _log_tail(conn: Connection, build: Build | None, release: Release | None) -> str:
    """The end of what the step said that a deploy failed in."""
    log_id = release.log_id if release else build.log_id if build else ""
    return logs.tail(conn, log_id) if log_id else ""


def _steps(build: Build | None, release: Release | None) -> tuple[Step, ...]:
    """The parts of a deploy that have ended; without a build its slug was there already."""
    ended: list[tuple[str, Build | Release]] = []
    if build is not None and build.state is not BuildState.PENDING:
        ended.append(("build", build))
    if release is not None and release.state in (ReleaseState.SUCCEEDED, ReleaseState.FAILED):
        ended.append(("release", release))
    return tuple(Step(name=name, seconds=(row.updated_at - row.created_at).total_seconds()) for name, row in ended)


def _deploys(
    conn: Connection, pipeline: Pipeline, sha: Sha, deployed: Deployed, settings: Settings
) -> Iterable[CheckDeploy]:
    members = [(app, stage) for app, stage in pipelines.members(conn, pipeline.id) if stage is not Stage.REVIEW]
    waiting = heads_at(conn, [app for app, _ in members], sha)
    asked = [Subject(SubjectKind.AUTO_DEPLOY, app.id) for app, _ in members]
    reasons = {verdict.subject.key: verdict.reason for verdict in subjects.verdicts(conn, asked)}
    passed_over = passed_over_reasons(conn, sha)
    for app, stage in members:
        deploy, waits = deployed.get(app.id), followed(app) in waiting
        if deploy is not None and deploy.state is RequestState.SUPERSEDED and (waits or app.id in passed_over):
            deploy = None  # the head was put off: what it waits for now, or waited for, is what the plan says
        if deploy is None and not waits:
            if reason := passed_over.get(app.id):
                yield CheckDeploy(app_name=app.name, stage=stage, state=RequestState.SUPERSEDED, reason=reason, url="")
            continue
        build = builds.of_request(conn, deploy.id) if deploy else None
        release = releases.of_request(conn, deploy.id) if deploy else None
        error = _error(deploy)
        yield CheckDeploy(
            app_name=app.name,
            stage=stage,
            state=deploy.state if deploy else None,
            reason=deploy.reason if deploy else reasons.get(app.id, ""),
            url=app_url(settings, app),
            error=error,
            log_tail=_log_tail(conn, build, release) if error else "",
            steps=_steps(build, release),
            again=waits and _ended(deploy) and branch_to_rebuild(conn, app, stage, sha) != "",
        )
