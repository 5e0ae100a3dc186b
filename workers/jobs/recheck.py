"""Look up again what whoever connected a repository may do there: it was looked up once, and rights are taken away.

Only what GitHub says is believed. An error, a page that is not there, or a login that belongs to somebody else by now
proves nothing, and nothing is ever taken away for it: automatic deploys and new review apps wait, visibly, until the
right is back or somebody else connects the repository.
"""

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from service.domain.access import Standing, what_is_left
from service.domain.decisions import Subject, SubjectKind
from service.domain.errors import Refused, Transient
from service.domain.model import Repository
from service.enact import Transaction
from service.store import connections, pipelines
from service.store.connections import Connected
from workers.context import Context

log = structlog.get_logger()

EVERY: Final = timedelta(hours=1)
"""Less often than an audit: GitHub answers each time anew, and counts it."""


async def recheck(context: Context, audited: Collection[Repository]) -> None:
    """Look up who is due, of the repositories that are audited now and that we reach."""
    reached = {each.id: each for each in audited if each.accessible}
    before = context.db.now() - EVERY
    for each in await context.db.read(lambda conn: connections.due(conn, list(reached), before=before)):
        standing = await _standing(context, reached[each.repository_id], each)
        if standing is not None:
            await context.commit(partial(_take, who=each, left=what_is_left(each.login, standing.permission)))


async def _standing(context: Context, repository: Repository, who: Connected) -> Standing | None:
    """What the person may do, None when GitHub does not say, or says it of somebody else."""
    try:
        standing = await context.looks.told_standing(repository, who.login)
    except (Transient, Refused) as error:
        log.warning("right not looked up", repository=repository.full_name, error=error.message)
        return None
    if standing is None or who.github_id not in {None, standing.github_id}:
        return None
    return standing


def _take(tx: Transaction, *, who: Connected, left: str) -> None:
    """Note what was told, and let the plans know when it is something else than before."""
    connections.looked_up(tx.conn, who.pipeline_id, tx.now)
    pipeline = pipelines.get(tx.conn, who.pipeline_id)
    same = pipeline is not None and (pipeline.repository_id, pipeline.connected_by) == (who.repository_id, who.user_id)
    if pipeline is None or not same or pipeline.right_lost == left:
        return  # connected anew meanwhile, by whoever may
    pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, right_lost=left)
    if bool(left) is not bool(pipeline.right_lost):
        action = "right of who connected it lost" if left else "right of who connected it is back"
        tx.note(action, pipeline_id=pipeline.id, data={"login": who.login})
    tx.ring([Subject(SubjectKind.REPOSITORY, str(who.repository_id))], cause="the right of who connected it changed")
