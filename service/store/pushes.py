"""What was pushed to apps: the branches of their own repositories, and which pushes are still being deployed.

A branch is at the newest commit that was pushed to it and built, whoever has seen the end of that push. The commits
themselves are files; who keeps them brings their refs to what is said here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from service.domain.decisions import Deploy
from service.domain.model import RequestId, Sha
from service.store.requests import OPEN
from service.store.tables import pushed_heads, requests


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """A push that waits for its deploy or is being deployed."""

    request_id: RequestId
    branch: str
    sha: Sha
    actor: str


def heads(conn: Connection, app_id: str) -> Mapping[str, Sha]:
    """The branches of an app's own repository, the one that was pushed to last at the end."""
    query = select(pushed_heads.c.branch, pushed_heads.c.sha).where(pushed_heads.c.app_id == app_id)
    return {branch: Sha(sha) for branch, sha in conn.execute(query.order_by(pushed_heads.c.updated_at))}


def built(conn: Connection, *, app_id: str, branch: str, sha: str, now: datetime) -> None:
    """The commit that was pushed to a branch was built: the branch is there from now on."""
    own = (pushed_heads.c.app_id == app_id, pushed_heads.c.branch == branch)
    values = {"sha": sha, "updated_at": now}
    if not conn.execute(pushed_heads.update().where(*own).values(values)).rowcount:
        conn.execute(pushed_heads.insert().values(app_id=app_id, branch=branch, **values))


def under_way(conn: Connection, app_id: str) -> list[UnderWay]:
    """The pushes to an app that are not at their end, oldest first; there is never more than one at a time."""
    query = (
        select(requests.c.id, requests.c.work, requests.c.sha, requests.c.actor)
        .where(requests.c.app_id == app_id, requests.c.kind == Deploy.__name__, requests.c.state.in_(OPEN))
        .order_by(requests.c.seq)
    )
    found = ((row, json.loads(row.work).get("pushed_to", "")) for row in conn.execute(query))
    return [
        UnderWay(request_id=RequestId(row.id), branch=branch, sha=Sha(row.sha), actor=row.actor)
        for row, branch in found
        if branch
    ]
