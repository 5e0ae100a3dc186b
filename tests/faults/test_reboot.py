"""A machine that loses power: started again, it ends what it had begun."""

import pytest

from tests.faults.steps import STEPS
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("step", STEPS)
async def test_after_a_reboot_the_end_is_the_same_of(step: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    await stage.lose_power()
    await stage.start()
    await right(machine_died=True)
