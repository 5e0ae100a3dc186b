"""Somebody asks on GitHub to let a commit of a fork run: who they are is looked up, and what the pull request is now.

Both are read before anything is decided and neither is believed from the payload. Until GitHub has told both, nothing
is approved and the delivery waits.
"""

from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind, PullRequest
from service.domain.model import PipelineId, RepositoryId, Trust
from service.domain.report_approval import APPROVE
from service.domain.review_rules import trust_of
from service.enact import Transaction
from service.enacting.approvals import Door, approve
from service.github.hints import ApprovalAsked, CheckRunRequested, Hint
from service.store import facts, pipelines, reviews
from workers.context import Context
from workers.jobs.look import fresh
from workers.jobs.press import MAY_PRESS, permission, pipelines_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for, and by whom. `pull` is None for those who may not, whom nothing more is looked up for."""

    pipelines: tuple[PipelineId, ...]
    number: int
    commit: str
    login: str
    how: Door
    permission: str = "none"
    pull: PullRequest | None = None


async def permitted(context: Context, hint: Hint) -> list[Asked]:
    """Look up who asks and what the pull requests are now; raises `Transient` when GitHub does not answer."""
    found: list[Asked] = []
    for touched in hint.touched:
        if isinstance(touched, ApprovalAsked | CheckRunRequested):
            wanted = await context.db.read(partial(_asked, touched=touched))
            found += [await _looked_up(context, touched.repository_id, asked) for asked in wanted]
    return found


def _asked(conn: Connection, touched: ApprovalAsked | CheckRunRequested) -> list[Asked]:
    match touched:
        case ApprovalAsked(repository_id=repository_id, number=number, commit=commit, login=login):
            if not _may_need_it(conn, repository_id, number):
                return []
            found = tuple(each.id for each in pipelines.of_repository(conn, repository_id) if each.toggles.review_apps)
            return [Asked(pipelines=found, number=number, commit=commit, login=login, how="comment")] if found else []
        case CheckRunRequested(identifier=identifier, sha=sha, login=login) if identifier == APPROVE:
            return [
                Asked(pipelines=(pipeline.id,), number=int(ref), commit=sha, login=login, how="check")
                for pipeline in pipelines_of(conn, touched)
                for review in reviews.of_commit(conn, pipeline_id=pipeline.id, sha=sha)
                if (ref := review.ref.removeprefix("pr:")).isdecimal()
            ]
        case _:
            return []


def _may_need_it(conn: Connection, repository_id: RepositoryId, number: int) -> bool:
    """Whether approving means anything there: anybody may comment, and each look-up costs of our hourly limit."""
    known = facts.load(conn, FactKey(FactKind.PULL_REQUEST, repository_id, str(number)))
    return known is None or known.value is None or trust_of(known.value) is Trust.FORK


async def _looked_up(context: Context, repository_id: RepositoryId, asked: Asked) -> Asked:
    may = await permission(context, repository_id, asked.login)
    if may not in MAY_PRESS:
        return replace(asked, permission=may)
    fact = await fresh(context, FactKey(FactKind.PULL_REQUEST, repository_id, str(asked.number)))
    return replace(asked, permission=may, pull=fact.value)


def act(tx: Transaction, asked: Asked, *, our_app_id: int) -> str:
    """Approve, or say why not; returns what came of it, for people."""
    if asked.permission not in MAY_PRESS or asked.pull is None:
        return f"{asked.login} may not approve {asked.commit} of #{asked.number}: has the permission {asked.permission}"
    tx.actor = f"github:{asked.login}"
    done = []
    for pipeline in filter(None, (pipelines.get(tx.conn, each) for each in asked.pipelines)):
        try:
            _, said = approve(
                tx, pipeline=pipeline, pull=asked.pull, word=asked.commit, how=asked.how, our_app_id=our_app_id
            )
        except Refused as refused:
            said = refused.message
        done.append(said)
    return f"{asked.login} asked for approval: {'; '.join(done) or 'the pipeline is gone'}"
