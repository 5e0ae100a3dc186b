"""Writes go out no faster than GitHub takes them, and what follows one push does not wait."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.github.app_auth import Purpose
from service.github.client import GitHub
from service.github.pace import BURST, Pace
from service.github.transport import Transport, new_session

A_MINUTE = 80
"""What GitHub grants."""


@dataclass
class Time:
    """Goes on while somebody sleeps, and when it is told to."""

    now: float = 1000.0
    turns: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pace(self) -> Pace:
        return Pace(clock=lambda: self.now, sleep=self.sleep)


async def test_what_follows_one_push_goes_at_once_and_a_flood_once_a_second() -> None:
    time = Time()
    pace = time.pace()
    for _ in range(BURST + 5):
        await pace.turn(7)
        time.turns.append(time.now - 1000)
    assert time.turns == [0.0] * BURST + [1.0, 2.0, 3.0, 4.0, 5.0]
    await pace.turn(8)
    assert time.now == 1005.0, "another installation has a pace of its own"


@given(rests=st.lists(st.floats(min_value=0, max_value=40), max_size=300))
async def test_no_minute_has_more_writes_than_github_grants(rests: list[float]) -> None:
    time = Time()
    pace = time.pace()
    for rest in rests:
        await pace.turn(7)
        time.turns.append(time.now)
        time.now += rest if rest > 20 else 0.0
    for first, turn in enumerate(time.turns):
        in_a_minute = [each for each in time.turns[first:] if each < turn + 60]
        assert len(in_a_minute) <= A_MINUTE


async def test_only_writes_wait(edge, shop) -> None:
    time = Time()
    client = GitHub(transport=edge.transport, credentials=edge.tokens, clock=edge.clock, pace=time.pace())
    for _ in range(BURST + 2):
        await client.get(shop, "")
    assert time.now == 1000.0
    path, body = f"/statuses/{await edge.sim.head('acme/shop')}", {"state": "pending"}
    for _ in range(BURST + 2):
        assert (await client.request("POST", shop, path, purpose=Purpose.STATUSES, body=body)).ok
    assert time.now == 1002.0


@pytest.mark.parametrize(
    ("url", "public"), [("https://api.github.com", True), ("https://github.example/api/v3", False)]
)
async def test_only_githubs_own_server_is_written_to_with_patience(url: str, public: bool) -> None:
    async with new_session() as session:
        assert Transport(session=session, api_url=url).is_public is public
