"""From the default branch over staging to production: the gate, the unchanged slug, the newest commit."""

import asyncio
from typing import Any

import pytest

from tests.waiting import until
from tests.walk.acting import deployed
from tests.walk.samples import page, quick, slow
from tests.walk.stage import Pipeline, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_staging_waits_for_ci_and_deploys_only_what_is_green(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True, wait_for_ci=True, review={"settle_seconds": 0.5})
    github, repo = stage.github, pipeline.repo
    sha = await github.push(repo, "master", page("to be checked"))
    await github.set_status(repo, sha, "pending", context="test")
    await _why(stage, pipeline.staging, "test")

    await github.set_status(repo, sha, "failure", context="test")
    await stage.check_is(pipeline, sha, "neutral")
    assert (await stage.page(pipeline.staging)).startswith("HTTP ")
    assert await stage.api("GET", f"/apps/{pipeline.staging}/requests") == []

    await github.set_status(repo, sha, "success", context="test")
    await stage.says(pipeline.staging, f"to be checked commit={sha}")
    await stage.check_is(pipeline, sha, "success")
    await stage.deployments_are(pipeline, pipeline.staging, "success")


async def _why(stage: Stage, app: str, text: str) -> None:
    await until(lambda: _told(stage, app, text), what=f"why {app} says {text}", seconds=20)


async def _told(stage: Stage, app: str, text: str) -> bool:
    return text in await stage.cli("why", app)


async def test_a_merged_pull_request_reaches_staging_unbuilt_and_production_in_another_space_with_the_same_slug(
    stage: Stage,
) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    space = stage.name("island")
    await stage.api("POST", "/spaces", {"name": space, "driver": "process"})
    island = f"{pipeline.name}-island"
    await stage.api("POST", "/apps", {"name": island, "space": space})
    await stage.api("POST", "/pipeline-couplings", {"app": island, "pipeline": pipeline.id, "stage": "production"})
    await stage.api("PATCH", f"/apps/{island}/config-vars", {"SHOW_WHERE": "on the island"})
    await github.push(repo, "topic", page("to be merged"))
    pull = await github.open_pull(repo, "topic")
    await stage.review_is(pipeline, pull.number, "live")

    merged = await github.merge_pull(repo, pull.number)

    await stage.says(pipeline.staging, f"to be merged commit={merged}")
    builds = {
        each["source_blob"]["version"]: each for each in await stage.api("GET", f"/apps/{pipeline.staging}/builds")
    }
    assert builds[merged]["reused"]
    assert builds[merged]["status"] == "succeeded"

    await stage.cli("pipelines:promote", "-a", pipeline.staging)

    for app in (pipeline.production, island):
        await stage.says(app, f"to be merged commit={merged}")
        await stage.deployments_are(pipeline, app, "success")
    assert "SHOW_WHERE=on the island" in await stage.page(island)
    slugs = [await _slug(stage, app) for app in (pipeline.staging, pipeline.production, island)]
    assert len(set(slugs)) == 1
    for app in (pipeline.production, island):
        assert await stage.api("GET", f"/apps/{app}/builds") == []
    await until(lambda: _ended(stage, pipeline), what="every check and deployment has an end", seconds=20)


async def _slug(stage: Stage, app: str) -> str:
    async def newest() -> Any:
        # The page answers a moment before the release is settled.
        found = max(await stage.api("GET", f"/apps/{app}/releases"), key=lambda each: each["version"])
        return found if found["status"] == "succeeded" else None

    return str((await until(newest, seconds=20, what=f"{app} has succeeded"))["slug"]["id"])


def _ended(stage: Stage, pipeline: Pipeline) -> bool:
    shown = stage.github.reported(pipeline.repo)
    return all(each["status"] == "completed" for each in shown["check_runs"]) and all(
        each["state"] in ("success", "inactive", "failure", "error") for each in shown["deployments"]
    )


async def test_of_many_pushes_during_a_build_only_the_newest_is_built(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=slow("A", seconds=4), auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    first = await github.head(repo)
    await until(lambda: _running(stage, pipeline.staging, first), what="A is being built", seconds=20)

    shas = [await github.push(repo, "master", page(text)) for text in "BCD"]
    await until(lambda: _asked(stage, pipeline.staging, shas[-1]), what="D is asked for", seconds=20)

    await stage.says(pipeline.staging, f"D commit={shas[-1]}")

    async def settled() -> Any:
        # The page answers a moment before the request is settled.
        found = {each["commit"]: each for each in await stage.api("GET", f"/apps/{pipeline.staging}/requests")}
        return found if found[shas[-1]]["state"] == "succeeded" else None

    listed = await until(settled, seconds=20, what="D has succeeded")
    assert listed[first]["state"] == "superseded"
    for sha in shas[:-1]:
        if sha in listed:
            assert listed[sha]["state"] == "superseded"
            assert "superseded by" in listed[sha]["reason"]
    built = {sha for (sha,) in await stage.rows(
        "SELECT b.sha FROM builds b JOIN apps a ON a.id = b.app_id WHERE a.name = ?", pipeline.staging
    )}  # fmt: skip
    assert built <= {first, shas[-1]}
    await stage.check_is(pipeline, shas[-1], "success")
    await until(lambda: _ended(stage, pipeline), what="every superseded check has an end", seconds=20)
    await stage.deployments_are(pipeline, pipeline.staging, "success")


async def _running(stage: Stage, app: str, sha: str) -> bool:
    sql = "SELECT 1 FROM builds b JOIN apps a ON a.id = b.app_id WHERE a.name = ? AND b.sha = ? AND b.state = 'pending'"
    return bool(await stage.rows(sql, app, sha))


async def test_visitors_of_a_first_release_see_it_starting_and_nothing_when_it_fails(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=slow("at last", seconds=3), auto_deploy=True)
    app = pipeline.staging
    await until(lambda: _router_says(stage, app, (503, "starting")), what="it is starting", seconds=20)
    await stage.says(app, "at last")

    broken = await stage.pipeline(files={**quick("x"), "package.json": "{ no JSON"}, automatic=False)
    await deployed(stage, broken.staging, state="failed")
    await until(lambda: _router_says(stage, broken.staging, (404, "no-such-app")), what="it is not there")


async def _router_says(stage: Stage, app: str, told: tuple[int, str]) -> bool:
    url, headers = f"http://127.0.0.1:{stage.port}/", {"Host": f"{app}.localhost:{stage.port}"}
    async with stage.http.get(url, headers=headers) as answer:
        return (answer.status, answer.headers.get("Towpath-Router")) == told


async def _asked(stage: Stage, app: str, sha: str) -> bool:
    return any(each["commit"] == sha for each in await stage.api("GET", f"/apps/{app}/requests"))


async def test_no_request_is_lost_while_releases_follow_one_another(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    app = pipeline.staging
    await stage.says(app, "first")
    answers: list[str] = []
    stop = asyncio.Event()

    async def visit() -> None:
        while not stop.is_set():
            answers.append(await stage.page(app))

    visitors = [asyncio.create_task(visit()) for _ in range(4)]
    try:
        sha = await stage.github.push(pipeline.repo, "master", page("next code"))
        await stage.says(app, f"next code commit={sha}")
        await stage.api("PATCH", f"/apps/{app}/config-vars", {"SHOW_COLOR": "blue"})
        await stage.says(app, "SHOW_COLOR=blue")
        await stage.api("DELETE", f"/apps/{app}/dynos")
        await until(lambda: _all_settled(stage, app), what="restarted", seconds=20)
    finally:
        stop.set()
        await asyncio.gather(*visitors)

    assert len(answers) > 50
    assert {text.partition(" commit=")[0] for text in answers} == {"first", "next code"}


async def _all_settled(stage: Stage, app: str) -> bool:
    listed = await stage.api("GET", f"/apps/{app}/requests")
    return all(each["state"] == "succeeded" for each in listed)


async def test_a_rollback_brings_code_and_config_back_and_holds_automatic_deploys(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    app = pipeline.staging
    await stage.says(app, "first")
    await stage.api("PATCH", f"/apps/{app}/config-vars", {"SHOW_COLOR": "blue"})
    await stage.says(app, "SHOW_COLOR=blue")

    await stage.api("POST", f"/apps/{app}/releases", {"release": "v1"})
    await until(lambda: _unblue(stage, app), what="v3 runs what v1 ran", seconds=20)
    await stage.github.push(pipeline.repo, "master", page("must wait"))
    await _why(stage, app, "held")

    assert "first" in await stage.page(app)


async def _unblue(stage: Stage, app: str) -> bool:
    text = await stage.page(app)
    return "first" in text and "release=v3" in text and "SHOW_COLOR" not in text
