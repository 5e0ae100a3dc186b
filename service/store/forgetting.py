"""What is deleted of what is over: requests with their builds, releases of apps that are gone, secrets, and reports.

The activity log tells for ever what happened. An app's numbers are never given again: its row counts them.
"""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select

from service.domain.model import AppState, ReleaseState
from service.store.requests import OPEN
from service.store.tables import apps, builds, releases, reports, requests
from service.store.tables import promotion_targets as targets

_DEPLOYMENT = "github_deployment"
_SHOWN_ONCE = ("check", "status")
"""Objects of a commit. Others, such as the comment on a pull request, are edited for as long as that is open."""


def secrets(conn: Connection) -> int:
    """Forget the config vars of what nobody can release again; returns of how many."""
    over = and_(requests.c.sealed.is_not(None), requests.c.state.not_in(OPEN))
    expired = and_(releases.c.sealed_config.is_not(None), releases.c.state == ReleaseState.EXPIRED)
    of_requests = conn.execute(requests.update().where(over).values(sealed=None)).rowcount
    return of_requests + conn.execute(releases.update().where(expired).values(sealed_config=None)).rowcount


def releases_of_gone(conn: Connection, *, before: datetime, most: int) -> int:
    """Delete expired releases of apps that have been gone since before then, so many at a time; returns how many."""
    gone = select(apps.c.id).where(apps.c.state == AppState.GONE, apps.c.updated_at < before)
    expired = select(releases.c.id).where(releases.c.state == ReleaseState.EXPIRED, releases.c.app_id.in_(gone))
    return conn.execute(releases.delete().where(releases.c.id.in_(expired.limit(most)))).rowcount


def finished_requests(conn: Connection, *, before: datetime, most: int) -> int:
    """Delete requests that were over before then, with their builds, so many at a time; returns how many.

    Those with a release or a promotion stay with it. The newest of each kind and end stays as long as its app: plans
    look at it to know what was tried already.
    """
    found = list(conn.execute(_forgettable(before).limit(most)).scalars())
    conn.execute(builds.delete().where(builds.c.request_id.in_(found)))
    conn.execute(requests.delete().where(requests.c.id.in_(found)))
    return len(found)


def _forgettable(before: datetime) -> Select[tuple[str]]:
    newer = requests.alias()
    alike = [newer.c[name] == requests.c[name] for name in ("app_id", "kind", "state", "by_person")]
    gone = exists(select(apps.c.id).where(apps.c.id == requests.c.app_id, apps.c.state == AppState.GONE))
    return select(requests.c.id).where(
        requests.c.state.not_in(OPEN),
        requests.c.finished_at < before,
        ~exists(select(releases.c.id).where(releases.c.request_id == requests.c.id)),
        ~exists(select(targets.c.id).where(targets.c.request_id == requests.c.id)),
        or_(gone, exists(select(newer.c.id).where(*alike, newer.c.seq > requests.c.seq))),
    )


def finished_reports(conn: Connection, *, before: datetime, most: int) -> int:
    """Delete what GitHub has shown as final since before then, so many at a time; returns how many.

    The GitHub deployment of a release that serves stays: it is to be shown as inactive one day.
    """
    over = and_(reports.c.terminal, ~reports.c.pending, reports.c.updated_at < before)
    kinds = or_(reports.c.kind.in_(_SHOWN_ONCE), and_(reports.c.kind == _DEPLOYMENT, ~_serves()))
    old = select(reports.c.key).where(over, kinds).limit(most)
    return conn.execute(reports.delete().where(reports.c.key.in_(old))).rowcount


def _serves() -> ColumnElement[bool]:
    release_id = func.substr(reports.c.key, len(_DEPLOYMENT) + 2)
    return exists(select(apps.c.id).where(apps.c.current_release_id == release_id, apps.c.state != AppState.GONE))
