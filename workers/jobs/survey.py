"""Survey a repository: ring every subject that it concerns, whatever was missed before."""

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind, PullRequest
from service.domain.model import RepositoryId
from service.enact import Transaction
from service.queue import look
from service.store import facts, pipelines, reviews


def survey(tx: Transaction, repository_id: RepositoryId) -> str:
    """Ring the review apps, the auto-deployed apps and each open pull request that was last listed."""
    rung: set[Subject] = set()
    listed = facts.load(tx.conn, FactKey(FactKind.OPEN_PULL_REQUESTS, repository_id, ""))
    numbers = [pull.number for pull in listed.value] if listed is not None and listed.value else []
    for pull in listed.value if listed is not None and listed.value else ():
        _learn_listed(tx, repository_id, pull, listed_stale=listed is None or listed.stale)
    for pipeline in pipelines.of_repository(tx.conn, repository_id):
        rung.update(Subject(SubjectKind.REVIEW_APP, f"{pipeline.id}/pr:{number}") for number in numbers)
    for review in reviews.of_repository(tx.conn, repository_id):
        if review.ref.startswith("pr:") and int(review.ref[3:]) not in numbers:
            # Not listed is no proof that it is closed: its own state is read before anything is done.
            key = FactKey(FactKind.PULL_REQUEST, repository_id, review.ref[3:])
            facts.mark_stale(tx.conn, [key], now=tx.now)
        rung.add(Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}"))
    rung.update(
        Subject(SubjectKind.AUTO_DEPLOY, app.id)
        for app in pipelines.auto_deploys(tx.conn, repository_id=repository_id, branch=None)
    )
    tx.ring(rung, cause="survey of the repository")
    return f"{len(rung)} subjects"


def _learn_listed(tx: Transaction, repository_id: RepositoryId, pull: PullRequest, *, listed_stale: bool) -> None:
    """Take a listed pull request as its fact when the list is newer than what is known."""
    key = FactKey(FactKind.PULL_REQUEST, repository_id, str(pull.number))
    known = facts.load(tx.conn, key)
    if listed_stale or (known is not None and known.value is not None and known.value == pull):
        return
    facts.mark_stale(tx.conn, [key], now=tx.now)


def begin_audit(tx: Transaction, repository_id: RepositoryId) -> None:
    """Ask GitHub anew for the open pull requests and the followed heads of a repository."""
    subject = Subject(SubjectKind.REPOSITORY, str(repository_id))
    followed = {
        app.auto_deploy_branch for app in pipelines.auto_deploys(tx.conn, repository_id=repository_id, branch=None)
    }
    keys = [FactKey(FactKind.OPEN_PULL_REQUESTS, repository_id, "")]
    keys += [FactKey(FactKind.HEAD, repository_id, branch) for branch in sorted(followed)]
    facts.mark_stale(tx.conn, keys, now=tx.now)
    for key in keys:
        facts.want(tx.conn, key, waiter=subject, now=tx.now)
        tx.rings.append(look(key))
