"""Whom a deploy goes back to that a plan asks for by itself."""

from typing import Final

from sqlalchemy import Connection, select

from service.domain.decisions import CreateReviewApp, Decision, Deploy, Request, Subject, SubjectKind
from service.domain.model import RepositoryId, Trust
from service.store import pushers
from service.store.tables import activity, fork_approvals
from service.store.telling import SYSTEM

ASKED_FOR: Final = "review app create asked for"
"""What the activity log calls it when somebody asks for a review app."""


def of(conn: Connection, subject: Subject, decision: Decision) -> str:
    """Return who asked for the app, approved the commit or brought it there, as the activity log names them.

    What is no deploy, or of which nobody knows, is done by the system itself.
    """
    match decision:
        case Request(work=Deploy() as wanted, by_person=by_person):
            pass
        case CreateReviewApp(deploy=wanted, by_person=by_person):
            pass
        case _:
            return SYSTEM
    pipeline_id, ref = "", wanted.branch
    if subject.kind is SubjectKind.REVIEW_APP:
        pipeline_id, _, ref = subject.key.partition("/")
    asked = _asked(conn, pipeline_id, ref) if by_person else ""
    approved = _approved(conn, pipeline_id, wanted) if wanted.trust is Trust.FORK else ""
    return asked or approved or _brought(conn, wanted.repository_id, ref.removeprefix("branch:"), wanted) or SYSTEM


def _asked(conn: Connection, pipeline_id: str, ref: str) -> str:
    of_ref = (activity.c.pipeline_id == pipeline_id, activity.c.ref == ref, activity.c.action == ASKED_FOR)
    query = select(activity.c.actor).where(*of_ref).order_by(activity.c.id.desc()).limit(1)
    return conn.execute(query).scalar() or ""


def _approved(conn: Connection, pipeline_id: str, wanted: Deploy) -> str:
    of_commit = (
        fork_approvals.c.pipeline_id == pipeline_id,
        fork_approvals.c.repository_id == wanted.repository_id,
        fork_approvals.c.number == wanted.pull_request,
        fork_approvals.c.sha == wanted.sha,
    )
    return conn.execute(select(fork_approvals.c.actor).where(*of_commit)).scalar() or ""


def _brought(conn: Connection, repository_id: RepositoryId, ref: str, wanted: Deploy) -> str:
    login = pushers.find(conn, repository_id=repository_id, ref=ref, sha=wanted.sha)
    return f"github:{login}" if login else ""
