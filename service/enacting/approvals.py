"""Approving one commit of a fork's or bot's pull request: the same for every door, once it is known who asks."""

from typing import Literal

from service.domain import review_apps
from service.domain.approval import check_approvable, commit_named
from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind, PullRequest
from service.domain.model import Pipeline, Sha
from service.enact import Transaction, enact
from service.store import approvals, facts, reports, reviews, views
from service.store.approvals import Approval

Door = Literal["api", "check", "comment"]


def approve(
    tx: Transaction, *, pipeline: Pipeline, pull: PullRequest, word: str, how: Door, our_app_id: int = 0
) -> tuple[Sha, str]:
    """Approve the commit that `word` names and ask for its app; returns the commit and what came of it, for people.

    `pull` was read from GitHub just now. GitHub's doors are as late as webhooks are: what they name may be a former
    head, which then is approved and not deployed. Raises `Refused` in the user's words.
    """
    check_approvable(pipeline, pull)
    former = () if how == "api" else _former(tx, pipeline, pull)
    seen = reports.commits(tx.conn, pipeline_id=pipeline.id, beginning=word)
    sha = commit_named(word, pull, former=former, seen=seen)
    approval = Approval(
        pipeline_id=pipeline.id,
        repository_id=pull.base_repository_id,
        number=pull.number,
        sha=sha,
        actor=tx.actor,
        how=how,
        created_at=tx.now,
    )
    new = approvals.add(tx.conn, approval)
    ref = f"pr:{pull.number}"
    if new:
        tx.note("commit approved", pipeline_id=pipeline.id, ref=ref, sha=sha, data={"how": how})
    if sha != pull.head_sha:
        return sha, f"{sha} of #{pull.number} is approved, and not deployed: it is at {pull.head_sha} by now"
    if not new and how != "api":
        return sha, f"{sha} of #{pull.number} was approved before"  # a webhook may be heard again and again
    _ask(tx, Subject(SubjectKind.REVIEW_APP, f"{pipeline.id}/{ref}"), pull, new=new, our_app_id=our_app_id)
    return sha, f"{sha} of #{pull.number} is approved"


def _former(tx: Transaction, pipeline: Pipeline, pull: PullRequest) -> set[Sha]:
    """Heads of the pull request that we know of: what people see on GitHub was one of them a moment ago."""
    found = reviews.of_ref(tx.conn, pipeline_id=pipeline.id, ref=f"pr:{pull.number}")
    return {each.sha for each in found if each.repository_id == pull.base_repository_id}


def _ask(tx: Transaction, subject: Subject, pull: PullRequest, *, new: bool, our_app_id: int) -> None:
    """An approval is a person's wish to see the commit run, like "Create review app"."""
    key = FactKey(FactKind.PULL_REQUEST, pull.base_repository_id, str(pull.number))
    known = facts.load(tx.conn, key)
    if known is None or known.value is None or known.value.head_sha != pull.head_sha:
        facts.mark_stale(tx.conn, [key], now=tx.now)
    view = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, our_app_id=our_app_id, asked="create")
    if view is None or (view.has_app and not new):
        return
    tx.ring([subject], cause=f"approved by {tx.actor}")
    enact(tx, subject, review_apps.plan(view))
