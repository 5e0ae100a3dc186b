"""Whatever the day was like, its end is what GitHub and people want; and nothing was seen that must never be."""

import random
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from service.domain.errors import Refused
from service.domain.model import AppState, ReleaseState, ReviewState
from service.domain.review_rules import OVER
from service.store import apps, releases, requests, views
from tests.workers.conftest import Yard
from tests.workers.day import Day, new_day
from workers.platforms.base import AppSpec

LIKELY = {
    "deliver": 8, "double": 1, "lose": 1, "begin": 6, "step": 10, "run": 4, "die": 2, "sleep": 1, "flush": 1,
    "push_main": 2, "push_topic": 2, "close": 1, "reopen": 2, "merge": 0.5, "promote": 1, "config": 2, "rollback": 1,
    "resume": 1, "destroy": 0.2, "idle": 2, "wake": 0.5, "lag": 1.5, "catch_up": 1,
}  # fmt: skip
"""What happens on a day, and how often beside the rest."""


async def looked_over(day: Day) -> None:
    """What must be true at the end, whatever the day was like."""
    yard, sim, engine = day.yard, day.yard.edge.sim, day.engine
    pull = day.pull
    review = await day.review()
    alive = {day.staging.id}
    if pull.state == "open":
        assert review is not None
        rests = not processes(engine.running[review.app_id or ""])
        assert review.state is (ReviewState.SUSPENDED if rests else ReviewState.LIVE), review
        assert rests == (review.reason == "no deploy for 1 days"), review
        assert engine.running[review.app_id or ""].config["SOURCE_VERSION"] == pull.head_sha
        alive.add(review.app_id or "")
    else:
        assert review is None or review.state in OVER, review
    head = await sim.head(day.sim_repo, "main")
    held = await yard.see(lambda conn: views.held(conn, day.staging.id))
    serves = engine.running[day.staging.id]
    if held:
        assert held == f"held at v{serves.version}" or serves.version > int(held.removeprefix("held at v"))
    else:
        assert serves.config["SOURCE_VERSION"] == head
    for app in (day.staging, day.production):
        now = await yard.see(lambda conn, app=app: apps.get(conn, app.id))
        assert now is not None
        if now.state is AppState.GONE:
            assert now.id == day.production.id
            continue
        made = await day.releases(app.id)
        assert all(each.state is ReleaseState.SUCCEEDED for each in made), made
        newest = max(made, key=lambda each: each.version, default=None)
        if newest is not None:
            wanted = await yard.see(lambda conn, app=app: apps.config(conn, yard.context.vault, app.id))
            has = await yard.see(lambda conn, newest=newest: releases.config(conn, yard.context.vault, newest.id))
            assert wanted == has
        if newest is not None and newest.slug_id is not None:
            alive.add(app.id)
            assert engine.running[app.id].version == newest.version
            assert now.current_release_id == newest.id
    assert set(engine.running) == alive
    await numbers_follow(day)
    await nothing_is_open(day)
    never_back(day)
    await github_shows(day)


def processes(spec: AppSpec) -> int:
    return sum(each.quantity for each in spec.processes)


async def numbers_follow(day: Day) -> None:
    for app in await day.all_apps():
        numbers = sorted(each.version for each in await day.releases(app.id))
        assert numbers == list(range(1, len(numbers) + 1)), (app.name, numbers)


async def nothing_is_open(day: Day) -> None:
    for app in await day.all_apps():
        assert await day.yard.see(lambda conn, app=app: requests.open_of(conn, app.id)) == []
        made = await day.releases(app.id)
        assert not [each for each in made if each.state is ReleaseState.PENDING]
        # Two commands of one app are never at once: the one that went on was cut off, and what it was for came to nothing.
        cut = [each for each in made if f"release-{each.id}" in day.engine.cut]
        assert all(each.state is ReleaseState.FAILED for each in cut)


def never_back(day: Day) -> None:
    """An older commit follows a newer one only where a person went back."""
    newest: dict[str, int] = {}
    for spec in day.engine.live:
        if spec.app_id == day.production.id:
            continue
        commit, before = day.order.index(spec.config["SOURCE_VERSION"]), newest.get(spec.app_id, -1)
        back = spec.app_id == day.staging.id and spec.release_id.rpartition(".")[0] in day.backward
        assert commit >= before or back, [each.config["SOURCE_VERSION"] for each in day.engine.live]
        newest[spec.app_id] = commit


async def github_shows(day: Day) -> None:
    shown = day.yard.edge.sim.reported(day.sim_repo)
    unfinished = [each for each in shown["check_runs"] if each["status"] != "completed"]
    assert [each["output"]["title"] for each in unfinished] == []
    runs = [(each["name"], each["head_sha"]) for each in shown["check_runs"]]
    assert len(runs) == len(set(runs))
    serving = sorted(
        f"{day.yard.pipeline.name}/{spec.app_name}" for spec in day.engine.running.values() if processes(spec)
    )
    good = sorted(each["environment"] for each in shown["deployments"] if each["state"] == "success")
    assert good == serving
    assert {each["state"] for each in shown["deployments"]} <= {"success", "inactive", "failure", "error"}


pytestmark = pytest.mark.usefixtures("without_runtimes")


DAYS = count(1)


@given(seed=st.integers(min_value=0, max_value=2**32))
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_the_day_was_like_its_end_is_what_github_and_people_want(yard: Yard, seed: int) -> None:
    chance = random.Random(seed)
    day = await new_day(yard, next(DAYS))
    for step in chance.choices(list(LIKELY), list(LIKELY.values()), k=100):
        with suppress(Refused):
            await getattr(day, step)(chance.randrange(16))
    await day.settle()
    await looked_over(day)
