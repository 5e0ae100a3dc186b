"""Whatever of Towpath is killed, whatever is done at that moment: the end is that of a day without the fault."""

import pytest

from tests.faults.steps import STEPS
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", ["worker", "runner", "router", "web", "redis"])
async def test_the_effect_comes_once_when_this_is_killed_in(part: str, step: str, stage: Stage) -> None:
    right = await STEPS[step](stage)
    await stage.kill(part)
    await right()
