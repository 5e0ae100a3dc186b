"""One-off dynos: begun once, ended with their app, and their end told truthfully, whatever dies in between."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from service.domain.model import App, RequestState, Trust
from service.domain.one_offs import OneOff, OneOffState
from service.store import apps, one_offs, requests, routes
from tests.waiting import until
from tests.workers.conftest import Yard
from tests.workers.test_releases import serving, verbs
from workers.builds.slug import SlugStore
from workers.jobs import loops
from workers.jobs.one_off import one_off
from workers.jobs.overdue import overdue
from workers.jobs.work import work
from workers.platforms.base import Lost, Unhealthy


@dataclass(frozen=True, kw_only=True)
class SlowSlugs(SlugStore):
    """They are unpacked when the test says so."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    unpack: asyncio.Event = field(default_factory=asyncio.Event)

    async def unpacked(self, trust: Trust, sha256: str) -> Path:
        self.asked.set()
        await self.unpack.wait()
        return await super().unpacked(trust, sha256)


async def asked(yard: Yard, app: App, command: str = "rake", **changes) -> OneOff:
    options = {
        "app_id": app.id, "command": command, "process_type": "run", "env": {"MORE": "of it"}, "attached": False,
        "tty": False, "seconds": 600, "actor": "user:ada",
    }  # fmt: skip
    return await verbs(yard).run_one_off(**options | changes)


async def seen(yard: Yard, wanted: OneOff) -> tuple[OneOffState, int | None, str]:
    found = await yard.see(lambda conn: one_offs.get(conn, wanted.id))
    assert found is not None
    return found.state, found.exit_code, found.reason


async def begun(yard: Yard, wanted: OneOff) -> asyncio.Task[None]:
    """A worker that has started it and waits for its end."""
    job = asyncio.create_task(one_off(yard.context, wanted.id))

    async def up() -> bool:
        return (await seen(yard, wanted))[0] is OneOffState.UP

    await until(up)
    return job


async def routed(yard: Yard, app: App) -> list[str]:
    """The last part of each address that the app's visitors are led to."""
    route = await yard.see(lambda conn: routes.of_app(conn, app.id))
    return [] if route is None else [each.rpartition(":")[2] for each in route.endpoints]


async def test_it_runs_with_code_and_config_of_the_app_and_its_end_is_recorded(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    assert yard.bell.heard("one_off") == [(wanted.id,)]
    job = await begun(yard, wanted)
    spec, order, end = yard.platform.one_offs[wanted.id]
    assert spec.config.items() >= {"A": "1", "MORE": "of it", "HEROKU_APP_NAME": app.name}.items()
    assert (order.name, order.command, yard.platform.begun) == (wanted.name, "rake", ["rake within 600 s"])
    end.set_result(3)
    await job
    assert await seen(yard, wanted) == (OneOffState.ENDED, 3, "")
    assert yard.platform.one_offs == {}
    await one_off(yard.context, wanted.id)
    assert len(yard.platform.begun) == 1


async def test_a_worker_that_dies_leaves_it_running_and_another_reads_its_end(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    job = await begun(yard, wanted)
    job.cancel()
    await asyncio.wait({job})
    yard.clock.ahead += timedelta(seconds=30)
    yard.bell.rung.clear()
    await loops.observe(yard.context)
    assert yard.bell.heard("one_off") == []
    yard.platform.one_offs[wanted.id][2].set_result(0)
    await loops.observe(yard.context)
    assert yard.bell.heard("one_off") == [(wanted.id,)]
    await one_off(yard.context, wanted.id)
    assert await seen(yard, wanted) == (OneOffState.ENDED, 0, "")
    assert len(yard.platform.begun) == 1


async def test_one_that_the_engine_has_forgotten_is_not_begun_again(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    job = await begun(yard, wanted)
    job.cancel()
    await asyncio.wait({job})
    yard.platform.one_offs.clear()
    await one_off(yard.context, wanted.id)
    assert await seen(yard, wanted) == (OneOffState.FAILED, None, f"{wanted.name} is not known here")
    assert len(yard.platform.begun) == 1


@pytest.mark.parametrize("error", [Refused("no room"), Lost("no room")], ids=["it cannot be", "it is cut off"])
async def test_why_it_failed_is_told(yard: Yard, error: Exception) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    yard.platform.script["one_off"] = [error]
    await one_off(yard.context, wanted.id)
    assert await seen(yard, wanted) == (OneOffState.FAILED, None, "no room")


async def test_one_that_could_not_be_started_yet_is_rung_for_again(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    yard.platform.script["one_off"] = [Transient("the runner does not answer")]
    with pytest.raises(Transient):
        await one_off(yard.context, wanted.id)
    yard.bell.rung.clear()
    await loops.observe(yard.context)
    assert yard.bell.heard("one_off") == []
    yard.clock.ahead += timedelta(seconds=6)
    await loops.observe(yard.context)
    assert yard.bell.heard("one_off") == [(wanted.id,)]


async def test_one_that_is_stopped_ends_and_one_that_was_not_begun_never_is(yard: Yard) -> None:
    app, _ = await serving(yard)
    running, waiting = await asked(yard, app), await asked(yard, app)
    job = await begun(yard, running)
    for each in (running, waiting):
        await verbs(yard).stop_one_off(app_id=app.id, one_off_id=each.id, actor="user:bob")
        await one_off(yard.context, each.id)
    await job
    assert await seen(yard, running) == (OneOffState.ENDED, 143, "stopped by user:bob")
    assert await seen(yard, waiting) == (OneOffState.FAILED, None, "stopped by user:bob")
    assert len(yard.platform.begun) == 1


@pytest.mark.parametrize("recorded", [False, True], ids=["and waits for its end", "and is shown as ended"])
async def test_one_that_is_stopped_on_its_way_to_the_engine_ends_as_soon_as_it_is_there(
    yard: Yard, recorded: bool
) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    yard.platform.hold["one_off"] = asyncio.Event()
    job = asyncio.create_task(one_off(yard.context, wanted.id))
    await until(lambda: "one_off" in yard.platform.calls)
    await verbs(yard).stop_one_off(app_id=app.id, one_off_id=wanted.id, actor="user:bob")
    if recorded:
        await one_off(yard.context, wanted.id)
    yard.platform.hold["one_off"].set()
    await asyncio.wait_for(job, 5.0)
    state, _, reason = await seen(yard, wanted)
    assert (state, reason) == (OneOffState.FAILED if recorded else OneOffState.ENDED, "stopped by user:bob")
    assert [each.process for each in await yard.platform.observe()] == ["web.1"]


async def test_one_that_is_stopped_while_its_code_is_unpacked_never_begins(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    slugs = SlowSlugs(data=yard.context.slugs.data)
    slow = replace(yard.context, workshop=replace(yard.context.workshop, slugs=slugs))
    job = asyncio.create_task(one_off(slow, wanted.id))
    await asyncio.wait_for(slugs.asked.wait(), 5.0)
    await verbs(yard).stop_one_off(app_id=app.id, one_off_id=wanted.id, actor="user:bob")
    await one_off(yard.context, wanted.id)
    slugs.unpack.set()
    await asyncio.wait_for(job, 5.0)
    assert await seen(yard, wanted) == (OneOffState.FAILED, None, "stopped by user:bob")
    assert yard.platform.begun == []


async def test_what_runs_beside_an_app_without_being_known_is_ended(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted, strange = await asked(yard, app), await asked(yard, app)
    jobs = [await begun(yard, each) for each in (wanted, strange)]
    await yard.db.write(
        lambda conn: one_offs.finish(
            conn, strange, state=OneOffState.FAILED, exit_code=None, reason="lost", now=yard.clock()
        )
    )
    await loops.observe(yard.context)
    await jobs[1]
    assert await seen(yard, strange) == (OneOffState.FAILED, None, "lost")
    assert await seen(yard, wanted) == (OneOffState.UP, None, "")
    jobs[0].cancel()


async def test_it_counts_as_none_of_the_processes_that_an_app_is_to_have(yard: Yard) -> None:
    app, _ = await serving(yard)
    job = await begun(yard, await asked(yard, app, process_type="web"))
    yard.platform.running[app.id] = replace(yard.platform.running[app.id], processes=())
    await loops.observe(yard.context)
    assert await yard.see(lambda conn: apps.engine_state(conn, app.id)) == "starting"
    job.cancel()


async def test_it_ends_with_its_app_and_none_is_begun_afterwards(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted, late = await asked(yard, app), await asked(yard, app)
    job = await begun(yard, wanted)
    await yard.destroy(app.id)
    await one_off(yard.context, late.id)
    assert await seen(yard, late) == (OneOffState.FAILED, None, "its app was destroyed")
    await work(yard.context, app.id)
    assert await seen(yard, wanted) == (OneOffState.FAILED, None, "its app was destroyed")
    with pytest.raises(Refused, match="Couldn't find that app"):
        await asked(yard, app)
    job.cancel()


async def test_one_that_no_worker_starts_is_given_up(yard: Yard) -> None:
    app, _ = await serving(yard)
    wanted = await asked(yard, app)
    yard.clock.ahead += timedelta(minutes=11)
    await overdue(yard.context)
    assert await seen(yard, wanted) == (OneOffState.FAILED, None, "no worker started it in time")


async def test_one_process_is_restarted_while_the_others_take_its_visitors(yard: Yard) -> None:
    app, _ = await serving(yard)
    await verbs(yard).scale(app_id=app.id, formation={"web": 2}, actor="user:ada")
    await work(yard.context, app.id)
    yard.platform.hold["restart"] = asyncio.Event()
    queued = await verbs(yard).restart(app_id=app.id, process="web.2", actor="user:ada")
    assert queued.reason == "restart of web.2"
    job = asyncio.create_task(work(yard.context, app.id))

    async def led_around() -> bool:
        return await routed(yard, app) == ["0"]

    await until(led_around)
    yard.platform.hold["restart"].set()
    await job
    assert (await routed(yard, app), yard.platform.restarted) == (["0", "1"], ["web.2"])
    found = await yard.see(lambda conn: requests.get(conn, queued.id))
    assert found is not None
    assert found.state is RequestState.SUCCEEDED


async def test_those_of_one_type_are_restarted_in_turn_and_the_others_go_on(yard: Yard) -> None:
    app, _ = await serving(yard)
    await verbs(yard).scale(app_id=app.id, formation={"web": 3}, actor="user:ada")
    await work(yard.context, app.id)
    applied = yard.platform.calls.count("apply")
    queued = await verbs(yard).restart(app_id=app.id, process="web", actor="user:ada")
    yard.platform.script["restart"] = [None, Transient("the engine is away")]
    await work(yard.context, app.id)
    assert yard.platform.restarted == ["web.1"], "it goes on when the engine is back"
    assert await routed(yard, app) == ["0", "1", "2"], "the one that came up serves again"
    yard.clock.ahead += timedelta(minutes=10)
    await work(yard.context, app.id)
    assert yard.platform.restarted == ["web.1", "web.2", "web.3"]
    assert await routed(yard, app) == ["0", "1", "2"]
    found = await yard.see(lambda conn: requests.get(conn, queued.id))
    assert found is not None
    assert (found.state, queued.reason) == (RequestState.SUCCEEDED, "restart of web")
    assert yard.platform.calls.count("apply") == applied


async def test_visitors_are_not_led_around_a_process_when_no_other_is_up(yard: Yard) -> None:
    app, _ = await serving(yard)
    await verbs(yard).scale(app_id=app.id, formation={"web": 2}, actor="user:ada")
    await work(yard.context, app.id)
    yard.platform.crashed.add("web.2")
    yard.platform.hold["restart"] = asyncio.Event()
    await verbs(yard).restart(app_id=app.id, process="web.1", actor="user:ada")
    job = asyncio.create_task(work(yard.context, app.id))
    await until(lambda: "restart" in yard.platform.calls)
    assert await routed(yard, app) == ["0", "1"]
    yard.platform.hold["restart"].set()
    await job
    assert (await routed(yard, app), yard.platform.restarted) == (["0"], ["web.1"])


async def test_visitors_are_led_back_to_a_process_that_did_not_come_up(yard: Yard) -> None:
    app, _ = await serving(yard)
    await verbs(yard).scale(app_id=app.id, formation={"web": 2}, actor="user:ada")
    await work(yard.context, app.id)
    yard.platform.script["restart"] = [Unhealthy("web.2 exited with status 1")]
    queued = await verbs(yard).restart(app_id=app.id, process="web.2", actor="user:ada")
    await work(yard.context, app.id)
    assert await routed(yard, app) == ["0", "1"]
    found = await yard.see(lambda conn: requests.get(conn, queued.id))
    assert found is not None
    assert found.state is RequestState.FAILED


async def test_the_only_web_process_is_restarted_with_all_others_without_a_gap(yard: Yard) -> None:
    app, _ = await serving(yard)
    before = yard.platform.running[app.id].release_id
    queued = await verbs(yard).restart(app_id=app.id, process="web.1", actor="user:ada")
    await work(yard.context, app.id)
    assert (queued.reason, yard.platform.restarted) == ("restart", [])
    assert yard.platform.running[app.id].release_id != before
