"""A branch went on before its commit was deployed: what that commit waited for is over, and GitHub is told by what."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection

from service.domain.decisions import Subject, SubjectKind
from service.domain.deploys import UNTOUCHED
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import App, AppId, RequestState, Sha
from service.enact import Transaction
from service.store import activity, facts, pipelines, reports, requests, subjects

PASSED_OVER: Final = "commit passed over"
_ENTRIES: Final = 200
_DEPLOYS: Final = 200


def head_of(conn: Connection, key: FactKey) -> Sha | None:
    """The commit that a branch is known to be at; None for other facts."""
    fact = facts.load(conn, key) if key.kind is FactKind.HEAD else None
    return fact.value.sha if fact is not None and isinstance(fact.value, Head) else None


def pass_over(tx: Transaction, key: FactKey, former: Sha | None) -> None:
    """Say of the commit that the branch has left that it is not deployed any more, where people were shown it would.

    Whoever deploys it by hand is told otherwise.
    """
    sha = head_of(tx.conn, key)
    if former is None or former == sha:
        return
    reason = f"superseded by {sha[:7]}" if sha is not None else f"{key.key} is not there any more"
    asked = requests.of_commit(tx.conn, former, limit=_DEPLOYS)
    deployed = {each.app_id for each in asked if each.state is not RequestState.SUPERSEDED}
    for app in _shown(tx.conn, key, former):
        if app.id in deployed:
            tx.show_commit(app.id, former)  # from there it cannot be built again
        elif not _is_skipped(tx.conn, app):
            tx.note(PASSED_OVER, app_id=app.id, sha=former, data={"reason": reason})
            tx.show_commit(app.id, former)


def _shown(conn: Connection, key: FactKey, sha: Sha) -> Iterable[App]:
    """The apps that follow the branch and whose pipeline shows on GitHub what it does with the commit."""
    for app in pipelines.auto_deploys(conn, repository_id=key.repository_id, branch=key.key):
        coupling = pipelines.coupling_of(conn, app.id)
        if coupling is None:
            continue
        shown = (f"{kind}:{coupling.pipeline_id}/{sha}" for kind in ("check", "status"))
        if any(reports.get(conn, each) is not None for each in shown):
            yield app


def _is_skipped(conn: Connection, app: App) -> bool:
    verdicts = subjects.verdicts(conn, [Subject(SubjectKind.AUTO_DEPLOY, app.id)])
    return any(each.reason.startswith(UNTOUCHED) for each in verdicts)


def reasons(conn: Connection, sha: Sha) -> Mapping[AppId, str]:
    """Why apps do not deploy a commit that they waited with."""
    return {
        AppId(entry.app_id): str(entry.data["reason"])
        for entry in reversed(activity.listing(conn, sha=sha, limit=_ENTRIES))
        if entry.action == PASSED_OVER and entry.app_id is not None
    }
