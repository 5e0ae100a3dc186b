"""What is stopped for longer than its lease and then goes on as if nothing had been: the fence keeps it from harm."""

import asyncio

import pytest

from tests.faults.steps import AFTER, STEPS
from tests.waiting import until
from tests.walk.acting import deployed
from tests.walk.samples import page
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNDER_WAY = 20.0
"""Seconds that a request takes to GitHub: enough for a lease to end and a successor to do the work."""


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_that_wakes_up_after_another_has_taken_over_changes_nothing_in(step: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    async with stage.frozen("worker"), stage.another_worker():
        await right()
    await right()


@pytest.mark.parametrize(
    ("part", "step"),
    # A router takes part in what changes routes only.
    [*((part, step) for part in ("redis", "runner") for step in STEPS), ("router", "a boot"), ("router", "a destroy")],
)
async def test_a_part_that_stands_still_for_a_while_only_delays(part: str, step: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    async with stage.frozen(part):
        await asyncio.wait({asyncio.ensure_future(right())}, timeout=4)
    await asyncio.wait_for(right(), AFTER)


async def test_a_report_that_reaches_github_after_its_successor_s_is_put_right(stage: Stage) -> None:
    pipeline = await stage.pipeline("late")
    app = pipeline.staging
    await deployed(stage, app)
    stage.github.chaos.answer("delay", pattern=r"^POST .*/deployments/\d+/statuses$", times=1, seconds=UNDER_WAY)
    await stage.github.push(pipeline.repo, "master", page("second"))
    await stage.api("POST", f"/apps/{app}/builds", {"source_blob": {"version": "master"}})
    await until(
        lambda: not any(rule.times for rule in stage.github.chaos.rules), seconds=AFTER, what="a report is sent"
    )
    async with stage.frozen("worker"), stage.another_worker():
        shown = ["inactive", "success"]
        await until(
            lambda: stage.deployments(pipeline, app) == shown, seconds=UNDER_WAY, what="the successor's is there"
        )
        await until(lambda: stage.deployments(pipeline, app) != shown, seconds=AFTER, what="the late one is there")
    await stage.deployments_are(pipeline, app, *shown)
    stage.github.chaos.calm()
