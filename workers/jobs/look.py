"""Look something up at GitHub that a plan lacked, and ring whoever waits for it."""

from datetime import timedelta
from typing import Any

import structlog

from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Transient
from service.domain.facts import Fact, FactKey, FactKind, PullRequest
from service.domain.model import Repository, RepositoryId
from service.enact import Transaction
from service.enacting import moved
from service.queue import REPORT
from service.store import facts, pipelines, reports, repositories
from service.store.facts import TakenLook
from workers.context import Context
from workers.jobs.compare import compare
from workers.jobs.passed_over import head_of, pass_over

log = structlog.get_logger()

_PATIENCE = 5
"""After so many answers in a row that are older than what is known, in half a minute, they are believed."""


async def look(context: Context, kind: str, repository_id: str, key: str) -> None:
    """Fetch a wanted fact once; a failure is tried again later, what was known stays."""
    fact = FactKey(FactKind(kind), RepositoryId(int(repository_id)), key)
    taken = await context.db.write(lambda conn: facts.take_look(conn, fact, terms=context.terms, now=context.db.now()))
    if taken is None:
        return
    try:
        await _answer(context, taken)
    except Transient as error:
        await _again_later(context, taken, error)
    except Exception:
        await _again_later(context, taken, Transient("internal error"))
        raise


async def fresh(context: Context, fact: FactKey) -> Fact[Any]:
    """Read a fact now, in the middle of a job; raises `Transient` when GitHub does not answer."""

    def begin(tx: Transaction) -> TakenLook:
        known = facts.load(tx.conn, fact)
        if known is None:
            facts.mark_stale(tx.conn, [fact], now=tx.now)
        return TakenLook(key=fact, asked=facts.next_asked(tx.conn), etag="", attempts=0)

    await _answer(context, await context.commit(begin))
    known = await context.db.read(lambda conn: facts.load(conn, fact))
    assert known is not None
    if known.error:
        raise Transient(known.error)
    return known


async def _answer(context: Context, taken: TakenLook) -> None:
    repository = await context.db.read(lambda conn: repositories.get(conn, taken.key.repository_id))
    if repository is None:
        raise Transient(f"repository {taken.key.repository_id} is not known")
    began = context.db.now()
    from_git = taken.key.kind is FactKind.COMMITS
    if from_git:
        answer = await compare(context, taken.key, repository)
    else:
        answer = await context.looks.look(taken.key, repository, etag=taken.etag)
    await _check_order(context, taken, answer.value)
    # An event may be lost. Only the audit asks, and only GitHub's own word counts: an error alone proves nothing.
    audits = taken.key.kind is FactKind.OPEN_PULL_REQUESTS and repository.accessible
    lost = audits and answer.error != "" and await context.looks.suspended(repository)

    def write(tx: Transaction) -> None:
        former = head_of(tx.conn, taken.key)
        taken_over = True
        if isinstance(answer.value, Repository):
            taken_over = moved.take_looked_up(tx, answer.value, began=began)
        if answer.not_modified:
            waiting = facts.learn_unchanged(tx.conn, taken.key, asked=taken.asked, etag=taken.etag, now=tx.now)
        else:
            waiting = facts.learn(
                tx.conn,
                taken.key,
                asked=taken.asked,
                value=answer.value,
                error=answer.error,
                etag=answer.etag if taken_over else "",  # else nobody would be told again what was not taken
                now=tx.now,
            )
        pass_over(tx, taken.key, former)
        _look_again(tx, taken.key)
        tx.ring(waiting, cause=f"looked up {taken.key.kind.value} {taken.key.key}".rstrip())
        if not answer.error and not repository.accessible and not from_git:
            repositories.set_accessible(tx.conn, repository.id, True, tx.now)
            tx.ring([Subject(SubjectKind.REPOSITORY, str(repository.id))], cause="the repository can be read again")
            if reports.revive(tx.conn, repository.id):
                tx.rings.append(REPORT)
        if lost:
            repositories.set_accessible(tx.conn, repository.id, False, tx.now)
            tx.ring([Subject(SubjectKind.REPOSITORY, str(repository.id))], cause="the installation is suspended")

    await context.commit(write)


def _look_again(tx: Transaction, key: FactKey) -> None:
    """Soon, where GitHub shows a branch elsewhere than it told: as it was before the push, or as a later one left it.

    Whoever follows the branch need not wait for the audit then.
    """
    if key.kind is not FactKind.HEAD or not facts.is_doubtful(tx.conn, key, now=tx.now):
        return
    followers = pipelines.auto_deploys(tx.conn, repository_id=key.repository_id, branch=key.key)
    waiters = [Subject(SubjectKind.AUTO_DEPLOY, app.id) for app in followers]
    facts.want_later(tx.conn, key, waiters=waiters, now=tx.now)


async def _check_order(context: Context, taken: TakenLook, value: object) -> None:
    """Raise `Transient` for a pull request as it was before what is known of it.

    GitHub answers from copies that lag behind its webhooks: what was closed may be shown as open for a moment. An
    answer that stays older is taken in the end: a server that was restored from a backup has no other.
    """
    if not isinstance(value, PullRequest) or taken.attempts >= _PATIENCE:
        return
    known = await context.db.read(lambda conn: facts.load(conn, taken.key))
    if known is not None and known.value is not None and value.updated_at < known.value.updated_at:
        raise Transient(f"GitHub shows pull request {value.number} as it was before what it told last")


async def _again_later(context: Context, taken: TakenLook, error: Transient) -> None:
    wait = max(error.retry_after or 0.0, min(2.0 ** min(taken.attempts, 9), 300.0))
    retry_at = context.db.now() + timedelta(seconds=wait)

    def write(tx: Transaction) -> None:
        waiting = facts.look_failed(tx.conn, taken, error=error.message, retry_at=retry_at)
        tx.ring(waiting, cause=f"could not look up {taken.key.kind.value} {taken.key.key}".rstrip())

    await context.commit(write)
    log.warning("look failed", fact=taken.key.kind.value, key=taken.key.key, error=error.message, retry_seconds=wait)
