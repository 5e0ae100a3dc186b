"""Names stay reserved, states change only for whoever read them last."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service.domain.errors import Refused
from service.domain.model import App, AppState, PipelineId, Stage
from service.store import apps, pipelines, routes
from service.store.database import Conflict, Database, new_id
from service.store.secrets import Vault
from service.store.tables import couplings
from tests.store.making import NOW, make_app, make_pipeline


async def test_an_app_is_found_by_id_and_by_name(database: Database) -> None:
    app = await database.write(make_app)
    assert await database.read(lambda conn: apps.find(conn, "shop")) == app
    assert await database.read(lambda conn: apps.find(conn, app.id)) == app
    assert await database.read(apps.listing) == [app]


async def test_of_many_who_want_a_name_one_gets_it_and_the_others_are_told(database: Database) -> None:
    results = await asyncio.gather(*(database.write(make_app) for _ in range(8)), return_exceptions=True)
    refused = [str(result) for result in results if isinstance(result, Refused)]
    assert refused == ["Name shop is already taken"] * 7
    assert len(await database.read(apps.listing)) == 1


def destroyed(conn: Connection, app: App) -> App:
    leaving = apps.set_state(conn, app=app, state=AppState.DESTROYING, now=NOW)
    return apps.forget(conn, app=leaving, now=NOW)


async def test_the_name_of_an_app_that_is_gone_is_kept_for_its_pipeline(database: Database) -> None:
    pipeline = await database.write(make_pipeline)

    def once(conn: Connection) -> App:
        return make_app(conn, "shop-pr-7", pipeline)

    first = await database.write(once)
    gone = await database.write(lambda conn: destroyed(conn, first))
    assert gone.state is AppState.GONE
    assert await database.read(lambda conn: apps.find(conn, "shop-pr-7")) is None
    with pytest.raises(Refused, match="Name shop-pr-7 is already taken"):
        await database.write(lambda conn: make_app(conn, "shop-pr-7"))
    assert (await database.write(once)).id != first.id


async def test_the_name_of_an_app_without_pipeline_becomes_free(database: Database) -> None:
    first = await database.write(make_app)
    await database.write(lambda conn: destroyed(conn, first))
    assert (await database.write(make_app)).id != first.id


async def test_a_renamed_app_frees_its_old_name_and_is_routed_by_the_new_one(database: Database) -> None:
    app = await database.write(make_app)

    def route(conn: Connection) -> None:
        routes.put(conn, app_id=app.id, name="shop", review=False, state="up", endpoints=["a:1"], release_id=None)

    await database.write(route)
    renamed = await database.write(lambda conn: apps.rename(conn, app=app, name="store", now=NOW))
    route_now = await database.read(lambda conn: routes.of_app(conn, app.id))
    assert renamed.name == "store"
    assert route_now is not None
    assert route_now.name == "store"
    assert (await database.write(make_app)).name == "shop"


async def test_a_change_based_on_an_old_reading_is_a_conflict(database: Database) -> None:
    app = await database.write(make_app)
    changed = await database.write(
        lambda conn: apps.update(conn, app=app, now=NOW, formation={"web": 2}, auto_deploy_branch="main")
    )
    assert changed.formation == {"web": 2}
    with pytest.raises(Conflict):
        await database.write(lambda conn: apps.set_state(conn, app=app, state=AppState.SUSPENDED, now=NOW))
    await database.write(lambda conn: apps.set_state(conn, app=changed, state=AppState.SUSPENDED, now=NOW))


async def test_config_is_sealed_and_bound_to_its_app(database: Database, tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "keys", create=True)
    app = await database.write(make_app)
    await database.write(lambda conn: apps.set_config(conn, vault, app_id=app.id, vars={"A": "é"}, now=NOW))
    assert await database.read(lambda conn: apps.config(conn, vault, app.id)) == {"A": "é"}


async def test_the_route_version_grows_only_when_a_route_changes(database: Database) -> None:
    app = await database.write(make_app)

    def route(conn: Connection, endpoint: str) -> int:
        routes.put(conn, app_id=app.id, name="shop", review=False, state="up", endpoints=[endpoint], release_id=None)
        return routes.version(conn)

    first = await database.write(lambda conn: route(conn, "a:1"))
    assert await database.write(lambda conn: route(conn, "a:1")) == first
    assert await database.write(lambda conn: route(conn, "a:2")) == first + 1
    await database.write(lambda conn: routes.delete(conn, app.id))
    await database.write(lambda conn: routes.delete(conn, app.id))
    assert await database.read(routes.version) == first + 2
    assert await database.read(routes.load) == []


async def test_an_app_is_coupled_once_however_many_try(database: Database) -> None:
    app = await database.write(make_app)
    mine = [await database.write(lambda conn, name=name: make_pipeline(conn, name)) for name in ("one", "two")]

    def couple(conn: Connection, pipeline: PipelineId) -> str:
        return pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline, stage=Stage.STAGING, now=NOW).pipeline_id

    tries = [database.write(lambda conn, pipeline=pipeline: couple(conn, pipeline)) for pipeline in mine * 4]
    results = await asyncio.gather(*tries, return_exceptions=True)
    won = [result for result in results if isinstance(result, str)]
    refused = {str(result) for result in results if isinstance(result, Refused)}
    names = dict(zip(mine, ("one", "two"), strict=True))
    assert len(won) == 1
    assert refused == {f"App shop is already in pipeline {names[won[0]]} (staging)"}
    assert len(await database.read(pipelines.all_couplings)) == 1


async def test_an_announced_app_is_starting_until_it_is_live_or_withdrawn_also_through_maintenance(
    database: Database,
) -> None:
    app = await database.write(make_app)

    def state() -> Callable[[Connection], str | None]:
        return lambda conn: found.state if (found := routes.of_app(conn, app.id)) else None

    async def maintained(*, on: bool) -> str | None:
        def switch(conn: Connection) -> None:
            now = apps.get(conn, app.id)
            assert now is not None
            apps.update(conn, app=now, now=NOW, maintenance=on)
            routes.refresh(conn, app_id=app.id)

        await database.write(switch)
        return await database.read(state())

    await database.write(lambda conn: routes.announce(conn, app=app))
    assert await database.read(state()) == "starting"
    assert [await maintained(on=True), await maintained(on=False)] == ["maintenance", "starting"]
    await database.write(lambda conn: routes.withdraw(conn, app_id=app.id))
    assert await database.read(state()) is None

    def live(conn: Connection) -> None:
        routes.put(conn, app_id=app.id, name="shop", review=False, state="live", endpoints=["a:1"], release_id="r1")
        routes.announce(conn, app=app)
        routes.withdraw(conn, app_id=app.id)

    await database.write(live)
    assert await database.read(state()) == "live"
    assert [await maintained(on=True), await maintained(on=False)] == ["maintenance", "live"]


@pytest.mark.parametrize("what", ["a second coupling", "a stage that there is not", "a pipeline that there is not"])
async def test_the_database_itself_refuses(what: str, database: Database) -> None:
    """Whatever code asks for it."""
    app, pipeline = await database.write(make_app), await database.write(make_pipeline)
    row = {
        "id": new_id(),
        "app_id": app.id,
        "pipeline_id": pipeline,
        "stage": "staging",
        "created_at": NOW,
        "updated_at": NOW,
    }
    if what == "a second coupling":
        await database.write(lambda conn: conn.execute(couplings.insert().values(row)))
    elif what == "a stage that there is not":
        row["stage"] = "prod"
    else:
        row["pipeline_id"] = new_id()
    with pytest.raises(IntegrityError):
        await database.write(lambda conn: conn.execute(couplings.insert().values(row | {"id": new_id()})))
