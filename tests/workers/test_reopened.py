"""A pull request that is opened again while the app that it had is still being taken away."""

from service.domain.model import ReviewState
from service.store import apps
from tests.workers.conftest import Yard
from tests.workers.test_moved import LOST, Ears, opened, review_of
from workers.jobs.work import work


@LOST
async def test_the_next_app_waits_for_the_former_ones_end_and_has_its_name(yard: Yard, told: bool) -> None:
    ears, sim = Ears(yard), yard.edge.sim

    async def name_of(app_id: str) -> str:
        found = await yard.see(lambda conn: apps.get(conn, app_id))
        return found.name if found is not None else ""

    await opened(yard)
    await ears.hear(told=told)
    sim.close_pull("acme/shop", 1)
    await ears.hear(told=told)
    await sim.reopen_pull("acme/shop", 1)
    await ears.hear(told=told)
    former = await review_of(yard)
    assert (former.generation, former.state) == (1, ReviewState.DESTROYING)

    await work(yard.context, former.app_id)
    await ears.hear(told=told)
    again = await review_of(yard)
    assert (again.generation, again.state) == (2, ReviewState.CREATING)
    assert again.app_id != former.app_id
    assert await name_of(again.app_id) == await name_of(former.app_id) != ""
