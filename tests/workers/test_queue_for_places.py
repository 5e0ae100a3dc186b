"""Review apps over the cap: a queue in which everybody sees their place, oldest first, whoever leaves it."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind
from service.domain.model import ReviewApp
from service.enact import Transaction
from service.store import facts, pipelines, reviews
from service.web.api import trail
from tests.workers.conftest import ADMINISTRATOR, Yard
from workers.jobs.work import work

pytestmark = pytest.mark.usefixtures("without_runtimes")


@dataclass(frozen=True, kw_only=True)
class Cap:
    """A pipeline with two places, and five pull requests that want one."""

    yard: Yard
    shas: dict[int, str] = field(default_factory=dict)

    async def opened(self) -> int:
        branch = f"topic-{len(self.shas)}"
        sha = await self.yard.edge.sim.push("acme/shop", branch, {"page": branch})
        pull = await self.yard.edge.sim.open_pull("acme/shop", branch, by="ann")
        self.shas[pull.number] = sha
        await self.told(pull.number)
        return int(pull.number)

    async def told(self, number: int) -> None:
        """A webhook about a pull request, and everything it rings for."""
        subject = Subject(SubjectKind.REVIEW_APP, f"{self.yard.pipeline.id}/pr:{number}")

        def ring(tx: Transaction) -> None:
            key = FactKey(FactKind.PULL_REQUEST, self.yard.repository.id, str(number))
            facts.mark_stale(tx.conn, [key], now=tx.now)
            tx.ring([subject], cause="pull_request")

        await self.yard.do(ring)
        await self.yard.calm()

    async def closed(self, number: int) -> None:
        self.yard.edge.sim.close_pull("acme/shop", number)
        await self.told(number)
        review = await self.review(number)
        if review.app_id is not None:
            await work(self.yard.context, review.app_id)
            await self.yard.calm()

    async def toggle(self, **changes: Any) -> None:
        def change(tx: Transaction) -> None:
            pipeline = pipelines.get(tx.conn, self.yard.pipeline.id)
            assert pipeline is not None
            pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, toggles=replace(pipeline.toggles, **changes))

        await self.yard.do(change)

    async def review(self, number: int) -> ReviewApp:
        of = {"pipeline_id": self.yard.pipeline.id, "repository_id": self.yard.repository.id}
        found = await self.yard.see(lambda conn: reviews.latest(conn, ref=f"pr:{number}", **of))  # type: ignore[arg-type]
        assert found is not None
        return found

    async def places(self) -> dict[int, str]:
        """Each pull request's place; the same in the list, in the check and in `why`, or it is none."""
        seen = {}
        for number, sha in self.shas.items():
            review = await self.review(number)
            shown = (await self.yard.check(sha)).wanted["title"]
            _, told = await self.yard.see(
                lambda conn, n=number: trail.of(conn, f"#{n}", ADMINISTRATOR, self.yard.clock())
            )
            place = review.reason.partition("over the cap of 2 review apps: number ")[2]
            assert not place or (review.reason in shown and any(review.reason in each.text for each in told))
            seen[number] = place.removesuffix(" in the queue") or review.state.value
        return seen


@pytest.fixture
async def cap(yard: Yard) -> Cap:
    made = Cap(yard=yard)
    await made.toggle(max_review_apps=2, drafts=False)
    for _ in range(5):
        await made.opened()
    return made


async def test_everybody_over_the_cap_sees_their_place(cap: Cap) -> None:
    first, second, *waiting = cap.shas
    assert await cap.places() == {
        first: "creating",
        second: "creating",
        **{number: str(place) for place, number in enumerate(waiting, 1)},
    }


async def test_the_oldest_gets_the_place_of_one_that_closes_and_all_behind_it_move_up_at_once(cap: Cap) -> None:
    first, _, third, fourth, fifth = cap.shas
    await cap.closed(first)
    places = await cap.places()
    assert places[first] == "destroyed"
    assert (places[third], places[fourth], places[fifth]) == ("creating", "1", "2")


async def test_those_behind_one_that_gives_up_waiting_move_up_at_once(cap: Cap) -> None:
    _, _, third, fourth, fifth = cap.shas
    await cap.closed(third)
    places = await cap.places()
    assert (places[third], places[fourth], places[fifth]) == ("skipped", "1", "2")


async def test_one_that_waits_for_something_else_lets_others_pass_and_comes_back_to_its_place(cap: Cap) -> None:
    _, _, third, fourth, fifth = cap.shas
    cap.yard.edge.sim.set_draft("acme/shop", third)
    await cap.told(third)
    places = await cap.places()
    assert (places[third], places[fourth], places[fifth]) == ("waiting", "1", "2")
    cap.yard.edge.sim.set_draft("acme/shop", third, draft=False)
    await cap.told(third)
    places = await cap.places()
    assert (places[third], places[fourth], places[fifth]) == ("1", "2", "3")


async def test_a_raised_cap_lets_as_many_in_as_there_are_places(cap: Cap) -> None:
    _, _, third, fourth, fifth = cap.shas
    await cap.toggle(max_review_apps=4)
    for number in (fifth, fourth, third):
        await cap.told(number)
    places = {number: (await cap.review(number)).state.value for number in (third, fourth, fifth)}
    assert places == {third: "creating", fourth: "creating", fifth: "waiting"}
