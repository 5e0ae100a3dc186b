"""What is stopped for longer than its lease and then goes on as if nothing had been: the fence keeps it from harm."""

import asyncio

import pytest

from tests.faults.steps import AFTER, STEPS
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_that_wakes_up_after_another_has_taken_over_changes_nothing_in(step: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    async with stage.frozen("worker"), stage.another_worker():
        await right()
    await right()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", ["redis", "runner", "router"])
async def test_a_part_that_stands_still_for_a_while_only_delays(part: str, step: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    async with stage.frozen(part):
        await asyncio.wait({asyncio.ensure_future(right())}, timeout=4)
    await asyncio.wait_for(right(), AFTER)
