"""Whatever of us is killed or stands still, whatever is done then: the end is that of a day without it.

One installation bears all of it, step by step: so no part is killed twice within half a minute, which `up` would take
for a part that does not work and start anew only after a rest.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from service.demo.remains import UNFINISHED
from tests.faults.left import left_behind
from tests.faults.steps import AFTER, STEPS, Right
from tests.faults.takeover import goes_on, held_by
from tests.waiting import until
from tests.walk.acting import deployed
from tests.walk.samples import page
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

Fault = Callable[[Stage, Right], Awaitable[None]]

STILL = 3.5
"""Seconds that a part stands still: longer than a lease, and than a ring to Redis may take."""
UNDER_WAY = 14.0
"""Seconds that a request takes to GitHub: enough for a lease to end and a successor to do the work."""


def killed(part: str) -> Fault:
    async def fault(stage: Stage, right: Right) -> None:
        await stage.kill(part)
        await right()

    return fault


async def worker_killed(stage: Stage, right: Right) -> None:
    dead = stage.pid("worker")
    held = await held_by(stage, dead)
    running = await stage.rows("SELECT 1 FROM requests WHERE state = 'running'")
    assert bool(held) is bool(running)  # a report is nobody's work on an app
    await stage.kill("worker")
    await goes_on(stage, dead, held)
    await right()


async def router_killed(stage: Stage, right: Right) -> None:
    """Two that know nothing of one another: of what is rung the router hears only that routes have changed."""
    redis = stage.redis()
    await redis.flushall()
    await redis.aclose()
    await stage.kill("router")
    await right()


def still(part: str) -> Fault:
    async def fault(stage: Stage, right: Right) -> None:
        async with stage.frozen(part):
            seen = asyncio.ensure_future(right())
            await asyncio.wait({seen}, timeout=STILL)
        await seen

    return fault


async def overtaken(stage: Stage, right: Right) -> None:
    """The fence keeps a worker from harm that wakes up when another has done its work."""
    async with stage.frozen("worker"), stage.another_worker():
        await right()
    await right()


ROUTER_STILL = "the router stands still"
FAULTS: dict[str, Fault] = {
    "the worker is killed": worker_killed,
    **{f"the {part} is killed": killed(part) for part in ("runner", "web", "redis")},
    "the router is killed, and redis forgets everything": router_killed,
    "a worker sleeps past its lease and wakes up after another has taken over": overtaken,
    "the redis stands still": still("redis"),
    "the runner stands still": still("runner"),
    ROUTER_STILL: still("router"),
}
# A router that stands still takes part in what changes routes only.
CASES = [
    (step, fault) for step in STEPS for fault in FAULTS if fault != ROUTER_STILL or step in {"a boot", "a destroy"}
]


@pytest.mark.parametrize(("step", "fault"), CASES, ids=[f"{step} while {fault}" for step, fault in CASES])
async def test_the_effect_comes_once_of(step: str, fault: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    await FAULTS[fault](stage, right)


@pytest.mark.parametrize("asleep", [True, False], ids=["its sender sleeps", "its sender is cut off"])
async def test_a_report_that_reaches_github_after_its_successor_s_is_put_right(asleep: bool, stage: Stage) -> None:
    pipeline = await stage.pipeline("late")
    app = pipeline.staging
    await deployed(stage, app)
    stage.github.chaos.answer("delay", pattern=r"^POST .*/deployments/\d+/statuses$", times=1, seconds=UNDER_WAY)
    await stage.github.push(pipeline.repo, "master", page("second"))
    await stage.api("POST", f"/apps/{app}/builds", {"source_blob": {"version": "master"}})
    await until(
        lambda: not any(rule.times for rule in stage.github.chaos.rules), seconds=AFTER, what="a report is sent"
    )
    shown = ["inactive", "success"]

    async def late() -> None:
        await until(lambda: stage.deployments(pipeline, app) != shown, seconds=AFTER, what="the late one is there")

    async with stage.another_worker():
        async with stage.frozen("worker"):
            await until(
                lambda: stage.deployments(pipeline, app) == shown, seconds=UNDER_WAY, what="the successor's is there"
            )
            if asleep:
                await late()
        if not asleep:
            await late()
        await stage.deployments_are(pipeline, app, *shown)
    stage.github.chaos.calm()


@pytest.mark.parametrize("table", ["requests", "builds", "releases", "promotion_targets", "reports", "deliveries"])
async def test_after_all_of_it_nothing_is_left_undone_in(table: str, stage: Stage) -> None:
    sql = f"SELECT count(*) FROM {table} WHERE {UNFINISHED[table]}"  # noqa: S608  (our own table names)

    async def done() -> bool:
        return await stage.rows(sql) == [(0,)]

    await until(done, seconds=AFTER, what=f"{table}: none {UNFINISHED[table]}")


@pytest.mark.skipif(os.geteuid() != 0, reason="without root there are no groups to tell whose a process is")
async def test_after_all_of_it_nothing_is_on_the_machine_but_what_serves(stage: Stage) -> None:
    found: list[str] = []

    async def nothing() -> bool:
        found[:] = await left_behind(stage)
        return not found

    try:
        await until(nothing, seconds=AFTER)
    except AssertionError:
        raise AssertionError(f"left behind: {found}") from None
