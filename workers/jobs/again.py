"""Which deploy of a branch's head may be made again by the button of its check."""

from typing import Final

from sqlalchemy import Connection

from service.domain.facts import FactKey, FactKind
from service.domain.model import App, QueuedRequest, RequestState, Sha, Stage
from service.store import facts, releases, requests

_NOT_SO: Final = frozenset({Stage.PRODUCTION, Stage.REVIEW})
"""To write in a repository is no right to what is live in production; a review app has a button of its own."""


def is_head(conn: Connection, app: App, sha: Sha) -> bool:
    """Whether the branch that the app deploys by itself is known to be at the commit."""
    if not app.auto_deploy or app.repository_id is None:
        return False
    head = facts.load(conn, FactKey(FactKind.HEAD, app.repository_id, app.auto_deploy_branch))
    return head is not None and head.value is not None and head.value.sha == sha


def branch_to_rebuild(conn: Connection, app: App, stage: Stage, sha: Sha) -> str:
    """The branch that the app deployed last, as long as its head is this commit and is live or failed; else empty."""
    last = requests.last_deploy(conn, app.id)
    if stage in _NOT_SO or last is None or last.sha != sha or not is_head(conn, app, sha):
        return ""
    return requests.branch_of(conn, last.id) if _is_over(conn, app, last) else ""


def _is_over(conn: Connection, app: App, last: QueuedRequest) -> bool:
    """Whether it has failed, or serves: not where a rollback or promotion has put something else in its place."""
    if last.state is not RequestState.SUCCEEDED:
        return last.state is RequestState.FAILED
    current = releases.get(conn, app.current_release_id) if app.current_release_id else None
    return current is not None and current.commit == last.sha
