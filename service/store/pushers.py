"""Who brought a commit to a branch or a pull request, as GitHub told when it happened."""

from datetime import datetime

from sqlalchemy import Connection, select

from service.domain.model import RepositoryId, Sha
from service.store.tables import pushers


def note(conn: Connection, *, repository_id: RepositoryId, ref: str, sha: Sha, login: str, now: datetime) -> None:
    """Remember it; `ref` is a branch, or `pr:N`. Who brings a commit there again counts from then on."""
    values = {"login": login, "seen_at": now}
    own = (pushers.c.repository_id == repository_id, pushers.c.ref == ref, pushers.c.sha == sha)
    if not conn.execute(pushers.update().where(*own).values(values)).rowcount:
        conn.execute(pushers.insert().values(repository_id=repository_id, ref=ref, sha=sha, **values))


def find(conn: Connection, *, repository_id: RepositoryId, ref: str, sha: Sha) -> str:
    """The login of who did; empty if nobody told."""
    own = (pushers.c.repository_id == repository_id, pushers.c.ref == ref, pushers.c.sha == sha)
    return conn.execute(select(pushers.c.login).where(*own)).scalar() or ""


def forget(conn: Connection, *, before: datetime) -> None:
    """Delete what was told before then: what was to be deployed of it is."""
    conn.execute(pushers.delete().where(pushers.c.seen_at < before))
