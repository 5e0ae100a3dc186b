"""A worker that was overtaken may wake up at any step: it changes nothing and leaves all to its successor."""

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, select

from service.domain.decisions import ChangeConfig, Deploy, Destroy, Restart, Scale, Work
from service.domain.model import BuildState, RepositoryId, Sha, Trust
from service.store import builds, logs, routes
from service.store.secrets import request_context
from service.store.tables import apps, commands, releases, requests, review_apps
from service.store.tables import builds as build_rows
from service.store.tables import routes as route_rows
from tests.workers.conftest import Yard
from workers.jobs import deploy
from workers.jobs.work import _do
from workers.platforms.base import Fenced

DEPLOY = Deploy(repository_id=RepositoryId(1), sha=Sha("a" * 40), trust=Trust.OWN, branch="master")


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """Work of a worker that comes too late."""

    work: Work
    review: bool = False


LATE = {
    "a deploy that begins to build": Late(work=DEPLOY),
    "a change of config": Late(work=ChangeConfig(set_keys=("A",), unset_keys=())),
    "a restart": Late(work=Restart()),
    "a scaling": Late(work=Scale(formation={"web": 3})),
    "a destroy": Late(work=Destroy(ordered=True, reason="closed"), review=True),
}


def everything(conn: Connection) -> list[Any]:
    """All rows that a request's work may change."""
    tables = (apps, requests, build_rows, releases, route_rows, commands, review_apps)
    return [conn.execute(select(table)).all() for table in tables]


@pytest.mark.parametrize("what", LATE)
async def test_an_overtaken_worker_changes_nothing(yard: Yard, what: str) -> None:
    late = LATE[what]
    review = await yard.review() if late.review else None
    app = await yard.app("served")
    app_id = (review.app_id if review else None) or app.id
    await yard.released(app, await yard.slug())

    def asked(tx):
        routes.put(tx.conn, app_id=app_id, name="n", review=False, state="live", endpoints=["e"], release_id=None)
        sealed = tx.vault.seal_vars({"A": "1"}, request_context(app_id))
        tx.request(app_id, late.work, reason="test", by_person=True, sealed=sealed)

    await yard.do(asked)
    taken = await yard.overtaken(app_id)
    before = await yard.see(everything)
    with pytest.raises(Fenced):
        await _do(yard.context, taken)
    assert await yard.see(everything) == before
    assert yard.platform.running == {}


async def test_the_slug_of_an_overtaken_worker_does_not_end_its_successors_build(yard: Yard) -> None:
    app = await yard.app()
    await yard.do(lambda tx: tx.request(app.id, DEPLOY, reason="test", by_person=True))
    late = await yard.overtaken(app.id)
    slug = await yard.slug()

    def begin(tx):
        log_id = logs.open_log(tx.conn, tx.now)
        return builds.create(
            tx.conn,
            app_id=app.id,
            request_id=late.request.id,
            repository_id=1,
            sha=DEPLOY.sha,
            log_id=log_id,
            now=tx.now,
        )

    build = await yard.do(begin)
    with pytest.raises(Fenced):
        await deploy._succeeded(yard.context, late, DEPLOY, build, slug, build_key="k", reused=False)
    kept = await yard.see(lambda conn: builds.get(conn, build.id))
    assert kept is not None
    assert kept.state is BuildState.PENDING
