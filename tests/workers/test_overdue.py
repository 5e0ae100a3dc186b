"""What lasts longer than its lifecycle allows is ended, whichever part of a request it is."""

from datetime import timedelta

import pytest
from sqlalchemy import Table

from service.domain.decisions import ChangeConfig
from service.domain.lifecycle import AnyState, limit
from service.domain.model import App, BuildState, QueuedRequest, ReleaseState, RequestState, TargetState
from service.enact import Transaction
from service.store import builds, promotions, releases
from service.store.secrets import request_context
from service.store.tables import builds as build_rows
from service.store.tables import promotion_targets
from service.store.tables import promotions as promotion_rows
from service.store.tables import releases as release_rows
from service.store.tables import requests as request_rows
from tests.workers.conftest import Yard
from workers.jobs.overdue import overdue

# What is too old, by which of its times, and how it stands in its table.
LATE: dict[str, tuple[AnyState, Table, str]] = {
    "a request that waits": (RequestState.QUEUED, request_rows, "created_at"),
    "a request that runs": (RequestState.RUNNING, request_rows, "started_at"),
    "a build": (BuildState.PENDING, build_rows, "created_at"),
    "a release": (ReleaseState.PENDING, release_rows, "created_at"),
    "a target of a promotion": (TargetState.PENDING, promotion_rows, "created_at"),
}


async def asked_for(yard: Yard, app: App) -> QueuedRequest:
    """A request with all that a request can have: a build, a release and a promotion whose target it is."""
    slug = await yard.slug()
    source = await yard.released(app, slug)

    def ask(tx: Transaction) -> QueuedRequest:
        sealed = tx.vault.seal_vars({"A": "1"}, request_context(app.id))
        work = ChangeConfig(set_keys=("A",), unset_keys=())
        asked = tx.request(app.id, work, reason="Set A config vars", by_person=True, sealed=sealed)
        builds.create(tx.conn, app_id=app.id, request_id=asked.id, repository_id=1, sha="a" * 40, log_id="", now=tx.now)
        promotions.create(
            tx.conn,
            pipeline_id=yard.pipeline.id,
            source_app_id=app.id,
            source_release_id=source.id,
            slug_id=slug.id,
            actor="user:ada",
            targets=[(app.id, asked.id, None)],
            now=tx.now,
        )
        return asked

    return await yard.do(ask)


@pytest.mark.parametrize("what", list(LATE))
async def test_too_old_is(yard: Yard, what: str) -> None:
    state, table, column = LATE[what]
    bound = limit(state)
    assert bound is not None
    app = await yard.app()
    asked = await asked_for(yard, app)
    if state is not RequestState.QUEUED:
        await yard.take(app.id)

    async def aged(by: timedelta) -> RequestState:
        values = {column: yard.clock() - bound.age - by}
        await yard.db.write(lambda conn: conn.execute(table.update().values(values)))
        await overdue(yard.context)
        return (await yard.request(asked.id)).state

    assert await aged(timedelta(minutes=-1)) is (
        RequestState.QUEUED if state is RequestState.QUEUED else RequestState.RUNNING
    )
    assert await aged(timedelta(minutes=1)) is RequestState.FAILED

    found = await yard.see(lambda conn: (builds.of_request(conn, asked.id), releases.of_request(conn, asked.id)))
    assert [each and each.state for each in found] == [BuildState.FAILED, ReleaseState.FAILED]
    target = await yard.see(lambda conn: conn.execute(promotion_targets.select()).one())
    assert target.state == TargetState.FAILED.value
    assert "too long" in (await yard.request(asked.id)).reason
