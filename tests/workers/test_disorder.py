"""Deliveries of GitHub many times, late and in the wrong order: what they lead to is what one of each would."""

import asyncio
import random
from collections import Counter

import pytest
from sqlalchemy import Connection

from service.domain.model import RequestState, ReviewState, Stage
from service.store import pipelines, requests
from tests.waiting import until
from tests.workers.conftest import Yard
from tests.workers.day import ADA, Day, new_day
from tests.workers.stepping import done

pytestmark = pytest.mark.usefixtures("without_runtimes")


@pytest.fixture
async def day(yard: Yard) -> Day:
    """A staging app that serves main, and a pull request with its review app."""
    return await new_day(yard, 2)


def live(day: Day, app_id: str | None) -> list[str]:
    """The commits that went live in an app, in this order."""
    return [spec.config["SOURCE_VERSION"] for spec in day.engine.live if spec.app_id == app_id]


async def heard(day: Day) -> None:
    """Every delivery that is on its way arrives, in the order that it is in."""
    while day.post:
        await day.deliver(0)


def many_times(day: Day, times: int, seed: int) -> None:
    """As many copies, each with a number of its own: who replays one may give it another."""
    told = [each for each in day.post if each[1] in {"push", "pull_request"}]
    day.post = [(f"{guid}-{copy}", event, body) for guid, event, body in told for copy in range(times)]
    random.Random(seed).shuffle(day.post)


async def test_a_hundred_deliveries_of_a_push_in_any_order_lead_to_one_deploy(day: Day) -> None:
    await day.push_main(1)
    await day.push_topic(1)
    before = Counter({app.id: len(await day.releases(app.id)) for app in await day.all_apps()})
    many_times(day, 100, seed=7)
    while day.post:
        for _ in range(25):
            await day.deliver(0)
        await day.calm()
    await day.calm()
    made = Counter({app.id: len(await day.releases(app.id)) for app in await day.all_apps()}) - before
    review = await day.review()
    assert review is not None
    assert made == {day.staging.id: 1, review.app_id: 1}
    assert live(day, day.staging.id)[-1] == await day.yard.edge.sim.head(day.sim_repo, "main")
    assert live(day, review.app_id)[-1] == day.pull.head_sha


async def test_of_two_pushes_that_arrive_the_other_way_round_only_the_newer_is_deployed(day: Day) -> None:
    await day.push_main(1)
    older = await day.yard.edge.sim.head(day.sim_repo, "main")
    await day.push_main(2)
    newer = await day.yard.edge.sim.head(day.sim_repo, "main")
    day.post.reverse()
    while day.post:
        await day.deliver(0)
        await day.calm()
    assert live(day, day.staging.id)[-1] == newer
    assert older not in live(day, day.staging.id)


async def test_what_arrives_after_the_close_makes_no_review_app(day: Day) -> None:
    await day.push_topic(1)
    day.yard.edge.sim.label_pull(day.sim_repo, day.number, "preview")
    late, day.post = day.post, []
    await day.close(0)
    await heard(day)
    await day.calm()
    assert {event for _, event, _ in late} >= {"pull_request"}
    day.post = late
    await heard(day)
    await day.calm()
    review = await day.review()
    assert review is not None
    assert (review.state, review.generation) == (ReviewState.DESTROYED, 1)
    assert review.app_id not in day.engine.running


async def test_a_close_that_comes_during_the_update_ends_with_no_app(day: Day) -> None:
    review = await day.review()
    assert review is not None
    await day.push_topic(1)
    await heard(day)

    async def under_way() -> list[tuple[str, RequestState]]:
        found = await day.yard.see(lambda conn: requests.open_of(conn, review.app_id or ""))
        return [(each.kind, each.state) for each in found]

    for _ in range(300):
        if await under_way() == [("Deploy", RequestState.RUNNING)]:
            break
        await day.begin(0)
        await day.step(0)
    assert await under_way() == [("Deploy", RequestState.RUNNING)]
    await day.close(0)
    await heard(day)
    await day.settle()
    after = await day.review()
    assert after is not None
    assert after.state is ReviewState.DESTROYED
    assert review.app_id not in day.engine.running


async def test_a_commit_costs_few_writes_and_what_github_shows_already_is_not_written_again(day: Day) -> None:
    lines = day.yard.edge.lines
    lines.clear()
    await day.push_topic(1)
    told = list(day.post)
    await heard(day)
    await day.calm()
    written = [line for line in lines if not line.startswith("GET") and "access_tokens" not in line]
    assert Counter("check-runs" in line for line in written)[True] in range(1, 10), written
    assert len(written) < 15, written
    lines.clear()
    day.post = told
    many_times(day, 3, seed=1)
    assert len(day.post) >= 6
    await heard(day)
    await day.settle()
    assert [line for line in lines if not line.startswith("GET") and "access_tokens" not in line] == []


async def test_what_is_reported_is_what_runs_although_the_branch_goes_on_while_it_is_built(day: Day) -> None:
    engine, sim, app = day.engine, day.yard.edge.sim, day.staging
    await day.push_main(1)
    first = await sim.head(day.sim_repo, "main")
    await day.verbs.deploy(app_id=app.id, repository_id=day.yard.repository.id, sha=first, branch="main", actor=ADA)
    engine.hold["sandboxed"] = asyncio.Event()
    building = asyncio.ensure_future(day.calm())
    await until(lambda: engine.building, what="a build")
    await day.push_main(2)
    second = await sim.head(day.sim_repo, "main")
    engine.hold["sandboxed"].set()
    await building
    assert live(day, app.id)[-1] == first
    await heard(day)
    await day.calm()
    ran = [spec for spec in engine.live if spec.app_id == app.id][-2:]
    assert [spec.config["SOURCE_VERSION"] for spec in ran] == [first, second]
    assert [(spec.slug_dir / "page").read_text() for spec in ran] == ["1", "2"]
    assert [each.commit for each in await day.releases(app.id)][:2] == [second, first]
    shown = sim.reported(day.sim_repo)
    environment = f"{day.yard.pipeline.name}/{app.name}"
    deployed = [(each["sha"], each["state"]) for each in shown["deployments"] if each["environment"] == environment]
    assert deployed[-2:] == [(first, "inactive"), (second, "success")]
    checks = {each["head_sha"]: each["conclusion"] for each in shown["check_runs"]}
    assert (checks[first], checks[second]) == ("success", "success")


async def test_a_commit_that_is_left_while_it_is_built_never_goes_live_and_what_served_serves_on(day: Day) -> None:
    engine, review = day.engine, await day.review()
    assert review is not None
    app_id = review.app_id or ""
    former = engine.running[app_id].config["SOURCE_VERSION"]
    await day.push_topic(1)
    left = day.pull.head_sha
    await heard(day)
    engine.hold["sandboxed"] = asyncio.Event()
    building = asyncio.ensure_future(day.calm())
    await until(lambda: engine.building, what="a build")
    await day.push_topic(2)
    assert engine.running[app_id].config["SOURCE_VERSION"] == former
    engine.hold["sandboxed"].set()
    await building
    assert live(day, app_id) == [former, day.pull.head_sha]
    ends = await day.yard.see(lambda conn: requests.of_commit(conn, left, limit=9))
    assert [each.state for each in ends] == [RequestState.SUPERSEDED]
    (check,) = [each for each in day.yard.edge.sim.reported(day.sim_repo)["check_runs"] if each["head_sha"] == left]
    assert (check["status"], check["conclusion"]) == ("completed", "neutral")


async def test_github_hears_of_success_only_after_the_health_check(day: Day) -> None:
    engine, sim = day.engine, day.yard.edge.sim
    await day.push_topic(1)
    await heard(day)
    engine.calls.clear()
    engine.hold["apply"] = asyncio.Event()
    starting = asyncio.ensure_future(day.calm())
    await until(lambda: "apply" in engine.calls, what="the new release starts")
    for _ in range(5):  # all that may be told meanwhile is told
        rung, day.yard.bell.rung[:] = list(day.yard.bell.rung), []
        for ring in [each for each in rung if each.job != "work"]:
            await done(day.yard.context, ring)

    def told() -> tuple[set[str], list[str | None]]:
        shown = sim.reported(day.sim_repo)
        sha = day.pull.head_sha
        states = {each["state"] for each in shown["deployments"] if each["sha"] == sha}
        return states, [each["conclusion"] for each in shown["check_runs"] if each["head_sha"] == sha]

    assert told() == ({"in_progress"}, [None])
    engine.hold["apply"].set()
    await starting
    await day.calm()
    assert told() == ({"success"}, ["success"])


async def test_a_review_app_has_the_config_of_review_apps_and_of_no_other_stage(day: Day) -> None:
    def set_all(conn: Connection) -> None:
        for stage in (Stage.REVIEW, Stage.STAGING, Stage.PRODUCTION):
            pipelines.set_stage_config(
                conn,
                day.yard.context.vault,
                pipeline_id=day.yard.pipeline.id,
                stage=stage,
                variables={f"OF_{stage.name}": "x"},
                now=day.yard.clock(),
            )

    await day.yard.db.write(set_all)
    for app in (day.staging, day.production):
        await day.verbs.change_config(app_id=app.id, changes={"OF_AN_APP": "x"}, actor=ADA)
    await day.close(0)
    await heard(day)
    await day.calm()
    await day.reopen(0)
    await heard(day)
    await day.calm()
    review = await day.review()
    assert review is not None
    config = day.engine.running[review.app_id or ""].config
    assert {name for name in config if name.startswith("OF_")} == {"OF_REVIEW"}
