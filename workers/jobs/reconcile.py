"""Reconcile a subject: load a view of it from one snapshot, ask its plan what should be, enact that."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from service.domain import auto_deploy, review_apps
from service.domain.decisions import Decision, Look, Nothing, Subject, SubjectKind, Wait
from service.domain.model import Repository, RepositoryId
from service.enact import Transaction, enact
from service.enacting import undoing
from service.store import subjects, views
from service.store.subjects import TakenSubject
from workers.context import Context
from workers.jobs import describe, survey

log = structlog.get_logger()

# A subject that is rung while it is reconciled goes round again; past this many rounds another job takes over.
ROUNDS = 8
_POLL_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a reconcile came to."""

    outcome: str
    reason: str
    due_at: datetime | None = None


async def reconcile(context: Context, kind: str, key: str) -> None:
    """Bring one subject to rest; a second worker that is rung for it meanwhile finds it taken."""
    subject = Subject(SubjectKind(kind), key)
    for _ in range(ROUNDS):
        taken = await context.db.write(
            lambda conn: subjects.take(conn, subject, terms=context.terms, now=context.db.now())
        )
        if taken is None or not await _round(context, taken):
            return


async def _round(context: Context, taken: TakenSubject) -> bool:
    """Plan and enact in one transaction, so that what is decided is what is true; True to go round again."""

    def write(tx: Transaction) -> tuple[Outcome, bool]:
        outcome = _decide(tx, taken.subject, context)
        again = subjects.settle(
            tx.conn,
            taken,
            holder=context.terms.holder,
            outcome=outcome.outcome,
            reason=outcome.reason[:2000],
            due_at=outcome.due_at,
            now=tx.now,
        )
        return outcome, again

    try:
        outcome, again = await context.commit(write)
    except BaseException:
        await _put_back(context, taken)
        raise
    log.info(
        "reconciled",
        subject=f"{taken.subject.kind.value} {taken.subject.key}",
        cause=taken.cause,
        outcome=outcome.outcome,
        reason=outcome.reason,
    )
    return again


async def _put_back(context: Context, taken: TakenSubject) -> None:
    def write(tx: Transaction) -> None:
        retry_at = tx.now + timedelta(seconds=min(2.0**taken.attempts, 300.0))
        subjects.settle(
            tx.conn,
            taken,
            holder=context.terms.holder,
            outcome="failed",
            reason="internal error; it is tried again",
            due_at=retry_at,
            now=tx.now,
            failed=True,
        )

    await context.commit(write)


def _decide(tx: Transaction, subject: Subject, context: Context) -> Outcome:
    match subject.kind:
        case SubjectKind.REVIEW_APP:
            return _review_app(tx, subject, context)
        case SubjectKind.AUTO_DEPLOY:
            return _auto_deploy(tx, subject, context)
        case SubjectKind.REPOSITORY:
            return Outcome(outcome="rang", reason=survey.survey(tx, RepositoryId(int(subject.key))))
        case SubjectKind.CHECK:
            shown = describe.check(tx, subject.key, context.settings, by_app=context.github.app_id != 0)
            return Outcome(outcome="described", reason=shown)
        case SubjectKind.GITHUB_DEPLOYMENT | SubjectKind.COMMENT:
            return Outcome(outcome="described", reason=_DESCRIBED[subject.kind](tx, subject.key, context.settings))
        case SubjectKind.PROMOTION:
            outcome, reason = undoing.settle(tx, subject.key)
            return Outcome(outcome=outcome, reason=reason)


_DESCRIBED = {
    SubjectKind.GITHUB_DEPLOYMENT: describe.github_deployment,
    SubjectKind.COMMENT: describe.comment,
}
_GONE = Nothing(reason="it is gone")


def _review_app(tx: Transaction, subject: Subject, context: Context) -> Outcome:
    view = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, our_app_id=context.github.app_id)
    if view is None:
        return _enacted(tx, subject, [_GONE])
    return _enacted(tx, subject, _spared(tx, context, view.repository, review_apps.plan(view)))


def _auto_deploy(tx: Transaction, subject: Subject, context: Context) -> Outcome:
    view = views.auto_deploy_view(tx.conn, subject_key=subject.key, now=tx.now, our_app_id=context.github.app_id)
    if view is None:
        return _enacted(tx, subject, [_GONE])
    if view.head is not None and view.head.value is not None and view.head.value.sha:
        tx.show_commit(view.app.id, view.head.value.sha)
    return _enacted(tx, subject, _spared(tx, context, view.repository, auto_deploy.plan(view)))


def _spared(
    tx: Transaction, context: Context, repository: Repository | None, decisions: Sequence[Decision]
) -> Sequence[Decision]:
    """What was decided, without polls while little is left of GitHub's hourly limit."""
    if repository is None or not context.github.is_low(repository.installation_id):
        return decisions
    later = Wait(reason="GitHub's hourly limit is nearly used up: not polled", until=tx.now + _POLL_AGAIN)
    return [later if isinstance(each, Look) and each.poll else each for each in decisions]


def _enacted(tx: Transaction, subject: Subject, decisions: Sequence[Decision]) -> Outcome:
    outcome, reason, due_at = enact(tx, subject, decisions)
    return Outcome(outcome=outcome, reason=reason, due_at=due_at)
