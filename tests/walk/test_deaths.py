"""Whatever dies, whenever: the effect comes once, apps go on serving, and GitHub learns the end."""

import asyncio
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from service.demo import remains
from tests.waiting import until
from tests.walk.acting import configured, deployed, pushable
from tests.walk.samples import page, slow
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

AWAY = 20.0
"""Seconds that Redis stands still: longer than any of our requests to it may take."""


async def _building(stage: Stage, app: str) -> bool:
    sql = """SELECT 1 FROM builds b JOIN apps a ON a.id = b.app_id JOIN log_chunks c ON c.log_id = b.log_id
             WHERE a.name = ? AND b.state = 'pending'"""
    return len(await stage.rows(sql, app)) > 2


async def _in_a_build(stage: Stage) -> Pipeline:
    pipeline = await stage.pipeline(files=slow("built once", seconds=5), auto_deploy=True)
    await until(lambda: _building(stage, pipeline.staging), what="the build writes", seconds=20)
    return pipeline


async def _went_live_once(stage: Stage, pipeline: Pipeline) -> None:
    app = pipeline.staging
    sha = await stage.github.head(pipeline.repo)
    await stage.says(app, f"built once commit={sha} release=v1", seconds=30)
    await stage.deployments_are(pipeline, app, "success")
    await stage.check_is(pipeline, sha, "success")
    assert [each["version"] for each in await stage.api("GET", f"/apps/{app}/releases")] == [1]
    [build] = await stage.api("GET", f"/apps/{app}/builds")
    assert build["status"] == "succeeded"
    output = await _output(stage, build["id"])
    assert output.count("tick 1\n") == 1, output
    assert output.count("waited enough") == 1, output


async def _output(stage: Stage, build: str) -> str:
    url = f"http://127.0.0.1:{stage.port}/builds/{build}/output?key={build}"
    async with stage.http.get(url, headers={"Authorization": f"Bearer {stage.token}"}) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_a_worker_killed_in_a_build_is_succeeded_by_one_that_goes_on_with_it(stage: Stage) -> None:
    pipeline = await _in_a_build(stage)
    await stage.kill("worker")
    await _went_live_once(stage, pipeline)


async def test_a_runner_killed_in_a_build_does_not_end_it(stage: Stage) -> None:
    pipeline = await _in_a_build(stage)
    await stage.kill("runner")
    await _went_live_once(stage, pipeline)


async def test_a_redis_that_forgets_everything_in_a_build_delays_nothing_for_long(stage: Stage) -> None:
    pipeline = await _in_a_build(stage)
    redis = stage.redis()
    await redis.flushall()
    await redis.aclose()
    await _went_live_once(stage, pipeline)


async def test_a_push_that_redis_forgot_before_a_worker_heard_of_it_is_deployed(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    await stage.says(pipeline.staging, "first")
    async with stage.frozen("worker"):
        sha = await stage.github.push(pipeline.repo, "master", page("forgotten"))
        await until(lambda: _is_stored(stage, sha), what="the push is stored")
        redis = stage.redis()
        await redis.flushall()
        await redis.aclose()
    await stage.says(pipeline.staging, f"forgotten commit={sha}")


async def test_a_push_while_redis_is_away_is_stored_said_to_be_late_and_deployed_once_it_is_back(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    await stage.says(pipeline.staging, "first")
    assert await _readiness(stage) == "ready\n"
    async with stage.frozen("redis"):
        back_at = time.monotonic() + AWAY
        sha = await stage.github.push(pipeline.repo, "master", page("without redis"))
        await until(lambda: _is_stored(stage, sha), what="the push is stored")
        assert await _readiness(stage) == "degraded: Redis does not answer: nothing new is begun until it does\n"
        await until(lambda: time.monotonic() > back_at, seconds=2 * AWAY)
        await stage.says(pipeline.staging, "first")
    await stage.says(pipeline.staging, f"without redis commit={sha}")
    assert await _readiness(stage) == "ready\n"


async def _is_stored(stage: Stage, sha: str) -> bool:
    listed = await stage.api("GET", "/deliveries")
    pushes = [await stage.api("GET", f"/deliveries/{each['id']}") for each in listed if each["event"] == "push"]
    return sha in {each["payload"]["after"] for each in pushes}


async def _readiness(stage: Stage) -> str:
    async with stage.http.get(f"http://127.0.0.1:{stage.port}/readyz") as answer:
        assert answer.status == 200
        return await answer.text()


@pytest.mark.parametrize("part", ["web", "router", "worker", "runner", "redis"])
async def test_apps_outlive_the_death_of(part: str, stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    app = pipeline.staging
    await stage.says(app, "first")
    [before] = await stage.rows("SELECT endpoints FROM routes WHERE name = ?", app)
    await stage.kill(part)
    if part == "router":
        await stage.says(app, "first")
    else:
        for _ in range(20):
            assert "first" in await stage.page(app)
    sha = await stage.github.push(pipeline.repo, "master", page("afterwards"))
    await stage.says(app, f"afterwards commit={sha}")
    [after] = await stage.rows("SELECT endpoints FROM routes WHERE name = ?", app)
    assert after != before


async def test_after_a_sudden_end_of_up_the_next_one_takes_over_what_runs(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    app = pipeline.staging
    await stage.says(app, "first")
    [before] = await stage.rows("SELECT endpoints FROM routes WHERE name = ?", app)
    await stage.stop(signal.SIGKILL)
    assert "first" in await stage.page(app)

    await stage.start()

    await stage.says(app, "first")
    # The very same process answers, not a new one of the same release.
    assert await stage.rows("SELECT endpoints FROM routes WHERE name = ?", app) == [before]
    sha = await stage.github.push(pipeline.repo, "master", page("under the next"))
    await stage.says(app, f"under the next commit={sha} release=v2")


async def test_a_one_off_outlives_all_of_us_at_once_and_its_end_is_told_once(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    app = pipeline.staging
    await deployed(stage, app)
    command = "trap 'exit 7' TERM; echo begun; while :; do sleep 0.1; done"
    made = await stage.api("POST", f"/apps/{app}/dynos", {"command": command})
    where = f"/apps/{app}/dynos/{made['id']}"

    async def is_in(state: str) -> bool:
        return bool((await stage.api("GET", where))["state"] == state)

    await until(lambda: is_in("up"), seconds=STEP_SECONDS, what="it runs")
    await asyncio.gather(*(stage.kill(part) for part in ("worker", "runner", "web", "router", "redis")))
    assert await is_in("up")
    await stage.api("POST", f"{where}/actions/stop")
    await until(lambda: is_in("crashed"), seconds=STEP_SECONDS, what="its end is recorded")
    ended = await stage.api("GET", where)
    assert (ended["exit_code"], ended["reason"]) == (7, "stopped by user:admin@localhost")
    told = await stage.cli("logs", "-a", app, "-n", "200")
    assert (told.count(": begun"), told.count(f"[{made['name']}]: exited with status 7")) == (1, 1), told
    noted = await stage.rows("SELECT count(*) FROM activity WHERE action = 'one-off dyno ended'")
    assert noted == [(1,)]


async def test_apps_that_an_old_backup_does_not_know_are_listed_and_ended_one_by_one(stage: Stage) -> None:
    known = await stage.pipeline(auto_deploy=True)
    await stage.says(known.staging, "first")
    backup = stage.data.parent / "backup.db"
    await asyncio.to_thread(_copy, stage.data / "database/towpath.db", backup)
    lost = await stage.pipeline(auto_deploy=True)
    await stage.says(lost.staging, "first")
    # The engine has seen more of the known one, too, than the backup has.
    for number in range(3):
        await configured(stage, known.staging, NUMBER=str(number))
    app_id = (await stage.api("GET", f"/apps/{lost.staging}"))["id"]
    await stage.lose_power()
    for file in (stage.data / "database").glob("towpath.db*"):
        file.unlink()
    await asyncio.to_thread(_copy, backup, stage.data / "database/towpath.db")

    await stage.start()

    await stage.says(known.staging, "first")
    await until(lambda: _is_listed(stage, app_id), seconds=STEP_SECONDS, what="it is listed")
    assert "web.1" in await stage.cli("orphans")
    assert [each["id"] for each in await stage.api("GET", "/orphans")] == [app_id]
    assert [text for text in remains.of_apps(stage.data) if app_id in text], remains.of_apps(stage.data)
    await stage.cli("orphans:destroy", app_id, "--confirm", app_id)
    await until(lambda: _is_listed(stage, app_id, there=False), seconds=STEP_SECONDS, what="it is gone")
    assert "first" in await stage.page(known.staging)
    assert [text for text in remains.of_apps(stage.data) if app_id in text] == []
    sha = await stage.github.push(known.repo, "master", page("after the backup"))
    await stage.says(known.staging, f"after the backup commit={sha}")


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


async def _is_listed(stage: Stage, app_id: str, *, there: bool = True) -> bool:
    return (app_id in {each["id"] for each in await stage.api("GET", "/orphans")}) is there


async def test_a_push_is_built_on_when_the_web_process_is_killed_and_the_push_is_taken_up_again(
    stage: Stage, tmp_path: Path
) -> None:
    app, clone = await pushable(stage, tmp_path, slow("survivor", seconds=2.5))
    process = await clone.start("push", "towpath", "main")
    assert process.stdout is not None
    seen = b""
    while b"tick 2" not in seen:
        seen += await asyncio.wait_for(process.stdout.read(4096), STEP_SECONDS)
    await stage.kill("web")
    await asyncio.wait_for(process.wait(), STEP_SECONDS)
    assert process.returncode != 0

    async def answers() -> bool:
        return (await clone.says("ls-remote", "towpath")).code == 0

    await until(answers, seconds=STEP_SECONDS, what="web is back")
    said = await clone.says("push", "towpath", "main")
    assert said.code == 0, said.text
    assert "Verifying deploy... done." in said.remote or "Everything up-to-date" in said.text
    assert "survivor" in await stage.says(app, "survivor")
    assert len(await stage.api("GET", f"/apps/{app}/requests")) == 1
    assert list((stage.data / "pushes").glob("*/incoming-*")) == []
