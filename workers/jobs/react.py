"""React to a stored delivery: take what has a real order, mark the rest stale, ring the subjects it touches."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import structlog
from sqlalchemy import Connection

from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Transient
from service.domain.facts import FactKind
from service.domain.model import RepositoryId
from service.enact import Transaction
from service.enacting import moved
from service.github.events import (
    ApprovalAsked,
    BranchTouched,
    CheckRunRequested,
    CommitTouched,
    Hint,
    Ignored,
    InstallationChange,
    InstallationState,
    InstallationTouched,
    MergeQueueWaits,
    PullRequestTouched,
    RepositoryTouched,
    RequirementsTouched,
    Seen,
    Touched,
    parse,
)
from service.github.payloads import clean
from service.queue import REPORT
from service.store import deliveries, facts, pipelines, pushers, reports, repositories, reviews
from service.store.deliveries import Delivery
from workers.context import Context
from workers.jobs import approve, confirm, describe, press

log = structlog.get_logger()

MAX_ATTEMPTS = 5
PROMPT = timedelta(hours=1)
"""What an event says of something for the first time counts for so long, by GitHub's word of when it was so."""


async def react(context: Context, *guids: str) -> None:
    """Turn the deliveries of these ids into facts and rings, each once; a second call finds them processed.

    None of them waits for another. Of what goes wrong with several one is raised, a bug before what passes.
    """
    coming = await context.db.read(lambda conn: deliveries.open_among(conn, guids))
    ends = await asyncio.gather(*(_react(context, each) for each in coming), return_exceptions=True)
    failures = [each for each in ends if isinstance(each, BaseException)]
    if failures:
        raise next((each for each in failures if not isinstance(each, Transient)), failures[0])


async def _react(context: Context, delivery: Delivery) -> None:
    guid = delivery.guid
    try:
        await _process(context, delivery)
    except Transient as error:
        # Tried again for as long as it takes.
        text, wait = clean(error.message, limit=500), error.retry_after or 0.0
        await context.db.write(
            lambda conn: deliveries.put_off(conn, guid=guid, error=text, now=context.db.now(), at_least=wait)
        )
        raise
    except Exception as error:
        text = clean(f"{type(error).__name__}: {error}", limit=500)
        await context.db.write(
            lambda conn: deliveries.broken(conn, guid=guid, error=text, most=MAX_ATTEMPTS, now=context.db.now())
        )
        raise


async def _process(context: Context, delivery: Delivery) -> None:
    guid, our_app_id = delivery.guid, context.github.app_id
    read = partial(_read, delivery, our_app_id)
    payload, hint = await asyncio.to_thread(read) if delivery.is_large else read()
    presses: list[press.Press] = []
    approvals: list[approve.Asked] = []
    if isinstance(hint, Hint):
        hint = await confirm.confirmed(context, hint, received_at=delivery.received_at)
        presses = await press.permitted(context, hint)
        approvals = await approve.permitted(context, hint)

    def write(tx: Transaction) -> str:
        if not deliveries.is_open(tx.conn, guid):
            return "already processed"
        match hint:
            case Ignored(reason=reason):
                deliveries.finish(tx.conn, guid=guid, state="ignored", verdict=reason, now=tx.now)
                return f"ignored: {reason}"
            case Hint():
                rung = _take_in(tx, hint, told_at=delivery.told_at)
                done = [press.act(tx, each, our_app_id=our_app_id, payload=payload) for each in presses]
                done += [approve.act(tx, each, our_app_id=our_app_id) for each in approvals]
                done += _answer_merge_queue(context, tx, hint)
                tx.ring(rung, cause=f"delivery {guid}")
                done += [f"rang {', '.join(f'{s.kind.value} {s.key}' for s in sorted(rung))}"] if rung else []
                verdict = "; ".join(done) or _why_nothing(tx.conn, hint)
                deliveries.finish(tx.conn, guid=guid, state="processed", verdict=verdict[:500], now=tx.now)
                return verdict

    verdict = await context.commit(write)
    log.info("delivery processed", delivery=guid, kind=delivery.event, verdict=verdict)


def _read(delivery: Delivery, our_app_id: int) -> tuple[str, Hint | Ignored]:
    """The digest of what was sent, and what it tells."""
    body = delivery.body
    return sha256(body).hexdigest(), parse(event=delivery.event, payload=body, our_app_id=our_app_id)


def _answer_merge_queue(context: Context, tx: Transaction, hint: Hint) -> Iterator[str]:
    """Tell a merge queue at once that nothing is to be done for what it tries: it would wait for our check for ever.

    What is merged is deployed as the branch's head, like any other.
    """
    for touched in hint.touched:
        if isinstance(touched, MergeQueueWaits):
            for pipeline in pipelines.of_repository(tx.conn, touched.repository_id):
                key, by_app = f"{pipeline.id}/{touched.sha}", context.github.app_id != 0
                said = describe.check(tx, key, context.settings, by_app=by_app, awaited=True)
                yield f"merge queue: check of {pipeline.name} {said}"


def _take_in(tx: Transaction, hint: Hint, *, told_at: datetime) -> set[Subject]:
    if hint.repository is not None:
        moved.take(tx, hint.repository)
        if hint.pushed is not None:
            by = hint.pushed
            pushers.note(tx.conn, repository_id=hint.repository.id, ref=by.ref, sha=by.sha, login=by.login, now=tx.now)
    if hint.installation is not None:
        _take_installation(tx.conn, hint.installation, tx.now)
    for touched in hint.touched:
        _take_access(tx, touched)
        if isinstance(touched, RequirementsTouched):
            facts.mark_all_stale(tx.conn, FactKind.REQUIRED, touched.repository_id)
    stale = [*hint.stale, *(seen.fact for seen in hint.values if not _newer(tx, seen))]
    facts.mark_stale(tx.conn, stale, now=tx.now)
    for each in hint.announced:
        facts.announce(tx.conn, each.fact, before=each.before, after=each.after, told_at=told_at, now=tx.now)
    rung: set[Subject] = set()
    for touched in hint.touched:
        rung.update(subjects_of(tx.conn, touched))
    return rung


def _newer(tx: Transaction, seen: Seen) -> bool:
    """Take a value that is strictly newer than what is known; GitHub's times have a grain of one second.

    Of what nothing is known, or not any more, one that came late is looked up: what followed it may be forgotten.
    """
    known = facts.load(tx.conn, seen.fact)
    if known is None or known.value is None:
        if tx.now - seen.ordered_at > PROMPT:
            return False
    elif known.value.updated_at >= seen.ordered_at:
        return False
    asked = facts.next_asked(tx.conn)
    waiting = facts.learn(tx.conn, seen.fact, asked=asked, value=seen.value, error="", etag="", now=tx.now)
    tx.ring(waiting, cause="fact learned")
    return True


def _take_installation(conn: Connection, change: InstallationChange, now: datetime) -> None:
    active = change.state is InstallationState.ACTIVE
    turned = repositories.remember_installation(
        conn, installation_id=change.id, account=change.account, suspended=not active, now=now
    )
    if turned:
        repositories.set_reach(conn, installation_id=change.id, accessible=active, now=now)
    if active:
        for repository_id, _ in change.added:
            repositories.granted(conn, repository_id, installation_id=change.id, now=now)
    for repository_id in change.removed:
        repositories.set_accessible(conn, repository_id, False, now)


def _take_access(tx: Transaction, touched: Touched) -> None:
    """What GitHub refused for good may be shown once a repository is unarchived or an installation unsuspended."""
    match touched:
        case RepositoryTouched(repository_id=repository_id, gone=True):
            repositories.set_accessible(tx.conn, repository_id, False, tx.now)
        case RepositoryTouched(repository_id=repository_id):
            _revive(tx, [repository_id])
        case InstallationTouched(installation_id=installation_id):
            _revive(tx, [each.id for each in repositories.listing(tx.conn) if each.installation_id == installation_id])
        case _:
            pass


def _revive(tx: Transaction, repository_ids: Iterable[RepositoryId]) -> None:
    if sum(reports.revive(tx.conn, each) for each in repository_ids):
        tx.rings.append(REPORT)


def subjects_of(conn: Connection, touched: Touched) -> Iterable[Subject]:
    """Find the subjects that what a delivery touched concerns."""
    match touched:
        case PullRequestTouched(repository_id=repository_id, number=number):
            return [
                Subject(SubjectKind.REVIEW_APP, f"{pipeline.id}/pr:{number}")
                for pipeline in pipelines.of_repository(conn, repository_id)
            ]
        case BranchTouched(repository_id=repository_id, branch=branch):
            return [
                Subject(SubjectKind.AUTO_DEPLOY, app.id)
                for app in pipelines.auto_deploys(conn, repository_id=repository_id, branch=branch)
            ]
        case CommitTouched(repository_id=number, sha=sha) | CheckRunRequested(repository_id=number, sha=sha):
            return _of_commit(conn, number, sha)
        case ApprovalAsked() | MergeQueueWaits():
            return []  # what is approved rings, a merge queue is answered at once; nothing else came of it
        case RepositoryTouched(repository_id=repository_id) | RequirementsTouched(repository_id=repository_id):
            return [Subject(SubjectKind.REPOSITORY, str(repository_id))]
        case InstallationTouched(installation_id=installation_id):
            return [
                Subject(SubjectKind.REPOSITORY, str(repository.id))
                for repository in repositories.listing(conn)
                if repository.installation_id == installation_id
            ]


def _why_nothing(conn: Connection, hint: Hint) -> str:
    """Why a delivery concerns nothing here: people look there first when they expected an app."""
    reasons = dict.fromkeys(_missing(conn, touched) for touched in hint.touched)
    return f"matched no app: {'; '.join(reasons) or 'it names nothing that an app could follow'}"


def _missing(conn: Connection, touched: Touched) -> str:
    if isinstance(touched, InstallationTouched):
        return "no repository of the installation is connected to a pipeline"
    repository_id = touched.repository_id
    followers = pipelines.auto_deploys(conn, repository_id=repository_id, branch=None)
    if not followers and not pipelines.of_repository(conn, repository_id):
        return "no pipeline is connected to the repository"
    match touched:
        case BranchTouched(branch=branch):
            return f"no app deploys {branch} by itself"
        case CommitTouched(sha=sha) | CheckRunRequested(sha=sha):
            return f"no review app and no branch that an app deploys is at {sha[:7]}"
        case ApprovalAsked(number=number):
            return f"#{number} needs no approval here"
        case PullRequestTouched() | MergeQueueWaits() | RepositoryTouched() | RequirementsTouched():
            return "only branches of the repository are deployed: no pipeline has it for its review apps"


def _of_commit(conn: Connection, repository_id: RepositoryId, sha: str) -> Iterable[Subject]:
    for review in reviews.of_repository(conn, repository_id):
        if review.sha == sha:
            yield Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")
    heads = {
        head.value.branch
        for head in facts.known(conn, kind=FactKind.HEAD, repository_id=repository_id)
        if head.value is not None and (head.stale or head.value.sha == sha)
    }
    for app in pipelines.auto_deploys(conn, repository_id=repository_id, branch=None):
        if app.auto_deploy_branch in heads:
            yield Subject(SubjectKind.AUTO_DEPLOY, app.id)
