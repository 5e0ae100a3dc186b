"""Approvals: which commits of a fork's or bot's pull request may run, by whose word and through which door."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, select

from service.domain.model import Sha
from service.store import rows
from service.store.tables import fork_approvals


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One commit that may run. `how` is the door: api, check or comment."""

    pipeline_id: str
    repository_id: int
    number: int
    sha: Sha
    actor: str
    how: str
    created_at: datetime


def add(conn: Connection, approval: Approval) -> bool:
    """Remember an approval; False when that commit had one already, which stays as it was."""
    of = _of(approval.pipeline_id, approval.repository_id, approval.number)
    if rows.one(conn, select(fork_approvals.c.sha).where(of, fork_approvals.c.sha == approval.sha)) is not None:
        return False
    values = {
        "pipeline_id": approval.pipeline_id,
        "repository_id": approval.repository_id,
        "number": approval.number,
        "sha": approval.sha,
        "actor": approval.actor,
        "how": approval.how,
        "created_at": approval.created_at,
    }
    conn.execute(fork_approvals.insert().values(values))
    return True


def of_pull_request(conn: Connection, *, pipeline_id: str, repository_id: int, number: int) -> list[Approval]:
    """The approvals of a pull request in a pipeline, oldest first."""
    query = select(fork_approvals).where(_of(pipeline_id, repository_id, number))
    found = conn.execute(query.order_by(fork_approvals.c.created_at, fork_approvals.c.sha)).mappings()
    return [Approval(**{**row, "sha": Sha(row["sha"])}) for row in found]


def shas(conn: Connection, *, pipeline_id: str, repository_id: int, number: int) -> frozenset[Sha]:
    """The approved commits of a pull request in a pipeline."""
    of = _of(pipeline_id, repository_id, number)
    return frozenset(map(Sha, conn.execute(select(fork_approvals.c.sha).where(of)).scalars()))


def _of(pipeline_id: str, repository_id: int, number: int) -> ColumnElement[bool]:
    return and_(
        fork_approvals.c.pipeline_id == pipeline_id,
        fork_approvals.c.repository_id == repository_id,
        fork_approvals.c.number == number,
    )
