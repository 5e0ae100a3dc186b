"""Reconcile a subject: load a view of it from one snapshot, ask its plan what should be, enact that."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from service.domain import auto_deploy, review_apps
from service.domain.decisions import Decision, Nothing, Subject, SubjectKind
from service.domain.model import RepositoryId
from service.enact import Transaction, enact
from service.store import subjects, views
from service.store.subjects import TakenSubject
from workers.context import Context
from workers.jobs import describe, survey

log = structlog.get_logger()

# A subject that is rung while it is reconciled goes round again; past this many rounds another job takes over.
ROUNDS = 8


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
            review = views.review_view(
                tx.conn, subject_key=subject.key, now=tx.now, our_app_id=int(context.settings.github_app_id or 0)
            )
            return _enacted(tx, subject, [_GONE] if review is None else review_apps.plan(review))
        case SubjectKind.AUTO_DEPLOY:
            app = views.auto_deploy_view(
                tx.conn, subject_key=subject.key, now=tx.now, our_app_id=int(context.settings.github_app_id or 0)
            )
            if app is not None and app.head is not None and app.head.value is not None and app.head.value.sha:
                tx.show_commit(app.app.id, app.head.value.sha)
            return _enacted(tx, subject, [_GONE] if app is None else auto_deploy.plan(app))
        case SubjectKind.REPOSITORY:
            return Outcome(outcome="rang", reason=survey.survey(tx, RepositoryId(int(subject.key))))
        case SubjectKind.CHECK:
            return Outcome(outcome="described", reason=describe.check(tx, subject.key, context.settings))
        case SubjectKind.GITHUB_DEPLOYMENT:
            return Outcome(outcome="described", reason=describe.github_deployment(tx, subject.key, context.settings))
        case SubjectKind.PROMOTION:
            return Outcome(outcome="nothing", reason="promotions are settled by their targets' requests")


_GONE = Nothing(reason="it is gone")


def _enacted(tx: Transaction, subject: Subject, decisions: Sequence[Decision]) -> Outcome:
    outcome, reason, due_at = enact(tx, subject, decisions)
    return Outcome(outcome=outcome, reason=reason, due_at=due_at)
