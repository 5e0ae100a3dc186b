"""Deploy locks: one on an app and one on a pipeline, whom they cover, and what they end with."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service.domain.decisions import Destroy
from service.domain.deploy_lock import DeployLock, LockId
from service.domain.model import App, PipelineId, Stage
from service.store import apps, deploy_locks, pipelines, requests
from service.store.database import Database, new_id
from service.store.tables import deploy_locks as lock_rows
from tests.store.making import NOW, make_app, make_pipeline

LATER = NOW + timedelta(hours=1)


def put(
    conn: Connection,
    *,
    app: App | None = None,
    pipeline: PipelineId | None = None,
    actor: str = "user:ada",
    until: datetime | None = None,
    now: datetime = NOW,
) -> LockId:
    return deploy_locks.put(
        conn,
        app_id=app.id if app else None,
        pipeline_id=pipeline,
        actor=actor,
        reason="sale",
        expires_at=until,
        now=now,
    )


def placed(conn: Connection, pipeline: PipelineId, stage: Stage) -> App:
    made = make_app(conn, f"shop-{stage.value}")
    pipelines.couple(conn, app_id=made.id, pipeline_id=pipeline, stage=stage, now=NOW)
    return apps.update(conn, app=made, now=NOW, auto_deploy=True)


async def test_a_pipelines_lock_covers_its_apps_but_those_in_review(database: Database) -> None:
    def make(conn: Connection) -> tuple[DeployLock, dict[Stage, App], App]:
        pipeline = make_pipeline(conn)
        members = {stage: placed(conn, pipeline, stage) for stage in Stage}
        outside = make_app(conn, "outside")
        make_pipeline(conn, "other")
        found = deploy_locks.get(conn, put(conn, pipeline=pipeline))
        assert found is not None
        return found, members, outside

    lock, members, outside = await database.write(make)
    locked = {
        stage
        for stage, app in members.items()
        if await database.read(lambda conn, app=app: of_app(conn, app)) == [lock]
    }
    assert locked == {Stage.DEVELOPMENT, Stage.STAGING, Stage.PRODUCTION}
    assert await database.read(lambda conn: of_app(conn, outside)) == []
    waiting = await database.read(lambda conn: deploy_locks.waiting_apps(conn, lock))
    assert sorted(waiting) == sorted(members[stage].id for stage in locked)
    assert (lock.name, lock.pipeline_id, lock.app_id) == ("shop", lock.pipeline_id, None)


def of_app(conn: Connection, app: App) -> list[DeployLock]:
    return list(deploy_locks.of_app(conn, app.id))


async def test_an_app_has_its_own_lock_and_its_pipelines(database: Database) -> None:
    def make(conn: Connection) -> tuple[App, PipelineId]:
        pipeline = make_pipeline(conn)
        app = placed(conn, pipeline, Stage.PRODUCTION)
        put(conn, app=app)
        put(conn, pipeline=pipeline)
        put(conn, app=make_app(conn, "outside"))
        return app, pipeline

    app, pipeline = await database.write(make)
    assert [each.name for each in await database.read(lambda conn: of_app(conn, app))] == ["shop", "shop-production"]
    listed = await database.read(lambda conn: deploy_locks.of_pipeline(conn, pipeline))
    assert [each.name for each in listed] == ["shop", "shop-production"]
    everything = await database.read(deploy_locks.listing)
    assert [each.name for each in everything] == ["shop", "outside", "shop-production"]


async def test_its_owner_changes_a_lock_and_an_expired_one_is_replaced_by_anybody(database: Database) -> None:
    app = await database.write(make_app)
    first = await database.write(lambda conn: put(conn, app=app))
    changed = await database.write(lambda conn: put(conn, app=app, until=LATER))
    assert changed == first
    assert await database.read(lambda conn: deploy_locks.expired(conn, NOW)) == ()
    assert [each.id for each in await database.read(lambda conn: deploy_locks.expired(conn, LATER))] == [first]
    replaced = await database.write(lambda conn: put(conn, app=app, actor="user:bob", now=LATER))
    assert replaced != first
    (found,) = await database.read(lambda conn: of_app(conn, app))
    assert (found.id, found.actor, found.expires_at, found.created_at) == (replaced, "user:bob", None, LATER)


async def test_the_database_itself_keeps_a_second_lock_out(database: Database) -> None:
    app = await database.write(make_app)
    await database.write(lambda conn: put(conn, app=app))
    values = {"id": new_id(), "app_id": app.id, "actor": "user:bob", "reason": "me too"}
    with pytest.raises(IntegrityError):
        await database.write(
            lambda conn: conn.execute(lock_rows.insert().values(**values, created_at=NOW, updated_at=NOW))
        )


async def test_a_lock_ends_with_what_it_locks(database: Database) -> None:
    def make(conn: Connection) -> None:
        pipeline, app = make_pipeline(conn), make_app(conn)
        put(conn, pipeline=pipeline)
        put(conn, app=app)
        pipelines.delete(conn, pipeline)
        destroy = Destroy(ordered=True, reason="test")
        requests.add(conn, app_id=app.id, work=destroy, actor="test", reason="", by_person=True, now=NOW)
        leaving = apps.get(conn, app.id)
        assert leaving is not None
        apps.forget(conn, app=leaving, now=NOW)

    await database.write(make)
    assert await database.read(deploy_locks.listing) == ()
