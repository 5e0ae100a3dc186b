"""Take over what GitHub says a repository is now: its name, its owner, its default branch, whether it is archived.

Everything here goes by a repository's number, so that review apps and deploys go on whatever it is called.
"""

from datetime import datetime

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind
from service.domain.model import Repository
from service.enact import Transaction
from service.queue import REPORT
from service.store import apps, facts, pipelines, reports, repositories


def take(tx: Transaction, said: Repository) -> None:
    """Bring a repository that is known up to what GitHub said, with all that follows from it."""
    known = repositories.see(tx.conn, said, tx.now)
    if known is None:
        return
    for about, before, now in (
        ("repository renamed", known.full_name, said.full_name),
        ("default branch changed", known.default_branch, said.default_branch),
    ):
        if before != now:
            _note(tx, said, about, {"from": before, "to": now})
    if known.default_branch != said.default_branch:
        _follow(tx, said)
    if known.archived is not said.archived:
        _note(tx, said, "repository archived" if said.archived else "repository unarchived", {})
        tx.ring([Subject(SubjectKind.REPOSITORY, str(said.id))], cause="the repository was archived or is no longer")
        if not said.archived and reports.revive(tx.conn, said.id):
            tx.rings.append(REPORT)


def _note(tx: Transaction, said: Repository, action: str, data: dict[str, str]) -> None:
    for pipeline in pipelines.of_repository(tx.conn, said.id):
        tx.note(action, pipeline_id=pipeline.id, data={"repository": said.full_name, **data})


def _follow(tx: Transaction, said: Repository) -> None:
    """Who named no branch follows the default branch; who named one keeps to it, whatever became of it."""
    for app in pipelines.following_default(tx.conn, said.id):
        apps.update(tx.conn, app=app, now=tx.now, auto_deploy_branch=said.default_branch)
        branches = {"from": app.auto_deploy_branch, "to": said.default_branch}
        tx.note("auto-deploy follows the default branch", app_id=app.id, data=branches)
        tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app.id)], cause="the default branch is another one")


def take_looked_up(tx: Transaction, said: Repository, *, began: datetime) -> bool:
    """Take over an answer to a question asked at `began`; False when the repository has changed here meanwhile.

    An event that came in between was confirmed later than this answer was given.
    """
    if repositories.changed_since(tx.conn, said.id, began):
        facts.mark_stale(tx.conn, [FactKey(FactKind.REPOSITORY, said.id, "")], now=tx.now)
        return False
    take(tx, said)
    return True
