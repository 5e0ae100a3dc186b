"""Survey a repository: ring every subject that it concerns, whatever was missed before."""

from collections.abc import Iterable

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind, PullRequest
from service.domain.model import Repository, RepositoryId
from service.domain.review_rules import OVER
from service.enact import Transaction
from service.queue import look
from service.store import facts, pipelines, reviews


def survey(tx: Transaction, repository_id: RepositoryId) -> str:
    """Ring the review apps, the auto-deployed apps and each open pull request that was last listed."""
    listed = facts.load(tx.conn, FactKey(FactKind.OPEN_PULL_REQUESTS, repository_id, ""))
    pulls: dict[int, PullRequest] = {pull.number: pull for pull in listed.value} if listed and listed.value else {}
    believed = listed is not None and not listed.stale and not listed.error
    doubtful = _news(tx, repository_id, pulls.values()) if believed else set()
    rung = {
        Subject(SubjectKind.REVIEW_APP, f"{pipeline.id}/pr:{number}")
        for pipeline in pipelines.of_repository(tx.conn, repository_id)
        for number in pulls
    }
    for review in reviews.of_repository(tx.conn, repository_id):
        number = int(review.ref[3:]) if review.ref.startswith("pr:") else None
        if number is not None and number not in pulls:
            if review.state in OVER:
                continue  # most pull requests are: when one is opened again it is listed
            # Not listed is no proof that it is closed: its own state is read before anything is done.
            doubtful.add(_pull_key(repository_id, number))
        rung.add(Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}"))
    rung.update(
        Subject(SubjectKind.AUTO_DEPLOY, app.id)
        for app in pipelines.auto_deploys(tx.conn, repository_id=repository_id, branch=None)
    )
    facts.mark_stale(tx.conn, doubtful, now=tx.now)
    tx.ring(rung, cause="survey of the repository")
    return f"{len(rung)} subjects"


def _pull_key(repository_id: RepositoryId, number: int) -> FactKey:
    return FactKey(FactKind.PULL_REQUEST, repository_id, str(number))


def _news(tx: Transaction, repository_id: RepositoryId, pulls: Iterable[PullRequest]) -> set[FactKey]:
    """Which listed pull requests are other than what is known of them."""
    listed = {_pull_key(repository_id, pull.number): pull for pull in pulls}
    known = facts.load_all(tx.conn, listed)
    return {key for key, pull in listed.items() if key not in known or known[key].value != pull}


def begin_audit(tx: Transaction, audited: Iterable[Repository]) -> None:
    """Ask GitHub anew for the open pull requests, the followed heads and what the repository is called by now.

    Of one that is out of reach only whether it is back.
    """
    accessible = {repository.id: repository.accessible for repository in audited}
    keys = {FactKey(FactKind.OPEN_PULL_REQUESTS, repository_id, "") for repository_id in accessible}
    keys |= {
        FactKey(FactKind.HEAD, app.repository_id, app.auto_deploy_branch)
        for app in pipelines.all_auto_deploys(tx.conn)
        if app.repository_id is not None and accessible.get(app.repository_id)
    }
    themselves = {FactKey(FactKind.REPOSITORY, number, "") for number, reached in accessible.items() if reached}
    facts.mark_stale(tx.conn, keys | themselves, now=tx.now)
    wanted: dict[FactKey, Subject | None] = dict.fromkeys(sorted(themselves))  # first: it has the name for the others
    wanted |= {key: Subject(SubjectKind.REPOSITORY, str(key.repository_id)) for key in sorted(keys)}
    facts.want_all(tx.conn, wanted, now=tx.now)
    tx.rings += map(look, wanted)
