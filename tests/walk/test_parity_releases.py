"""Parity with Heroku, row 9: numbers, rollback, retry. Retention needs a month: see tests/workers."""

import pytest

from tests.waiting import until
from tests.walk.acting import configured, current, deployed, ended, promoted
from tests.walk.samples import page, quick
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def shown(stage: Stage, app: str) -> list[tuple[int, str, str]]:
    """An app's releases, oldest first."""
    listed = await stage.api("GET", f"/apps/{app}/releases")
    return [
        (each["version"], each["description"], each["status"])
        for each in sorted(listed, key=lambda each: each["version"])
    ]


async def test_v_numbers_across_config_deploy_rollback_and_promotion(stage: Stage) -> None:
    pipeline = await stage.pipeline("number")
    app = pipeline.staging
    await configured(stage, app, SHOW_A="1")
    first = await deployed(stage, app)
    await configured(stage, app, SHOW_A="2", SHOW_B="3")
    sha = await stage.github.push(pipeline.repo, "master", page("second"))
    await deployed(stage, app)
    await stage.says(app, f"second commit={sha} release=v4 SHOW_A=2 SHOW_B=3")

    back = await stage.api("POST", f"/apps/{app}/releases", {"release": first["release"]["id"]})
    assert (await ended(stage, back["request"]["id"]))["state"] == "succeeded"

    told = await stage.says(app, "first commit=")
    assert "release=v5 SHOW_A=1" in told
    assert "SHOW_B" not in told
    assert await stage.api("GET", f"/apps/{app}/config-vars") == {"SHOW_A": "1"}
    second = await stage.api("GET", f"/apps/{app}/releases/4")
    assert (await current(stage, app))["slug"] != second["slug"]
    await configured(stage, pipeline.production, SHOW_P="own")
    await promoted(stage, pipeline.id, app)
    await stage.says(pipeline.production, "release=v2 SHOW_P=own")
    await promoted(stage, pipeline.id, pipeline.production, to=[app])
    assert await shown(stage, app) == [
        (1, "Set SHOW_A config vars", "succeeded"),
        (2, f"Deploy {first['commit'][:8]}", "succeeded"),
        (3, "Set SHOW_A, SHOW_B config vars", "succeeded"),
        (4, f"Deploy {sha[:8]}", "succeeded"),
        (5, "Rollback to v2", "succeeded"),
        (6, f"Promote {pipeline.production} v2 {first['commit'][:8]}", "succeeded"),
    ]


async def test_a_failed_build_takes_no_number_and_a_failed_release_keeps_the_old_one(stage: Stage) -> None:
    breaking = f'{quick("")["Procfile"]}release: test "$SHOW_BREAK" != yes\n'
    pipeline = await stage.pipeline("gap", files={**quick("good"), "Procfile": breaking})
    app = pipeline.staging
    await deployed(stage, app)
    await stage.github.push(pipeline.repo, "broken", {"package.json": "{"})
    await deployed(stage, app, "broken", state="failed")
    await configured(stage, app, SHOW_BREAK="yes", state="failed")

    assert [(version, status) for version, _, status in await shown(stage, app)] == [(1, "succeeded"), (2, "failed")]
    assert (await current(stage, app))["version"] == 1
    assert await stage.api("GET", f"/apps/{app}/config-vars") == {"SHOW_BREAK": "yes"}
    assert "Not running like this: SHOW_BREAK" in await stage.cli_says("config", "-a", app)
    assert "SHOW_BREAK" not in await stage.says(app, "release=v1")
    await configured(stage, app, SHOW_BREAK="no")
    assert "Not running" not in await stage.cli_says("config", "-a", app)


async def test_a_rollback_asked_for_before_a_config_change_is_what_the_change_builds_on(stage: Stage) -> None:
    pipeline = await stage.pipeline("order")
    app = pipeline.staging
    await configured(stage, app, SHOW_A="1")
    old = await deployed(stage, app)
    await configured(stage, app, SHOW_A="2")

    await stage.api("POST", f"/apps/{app}/releases", {"release": old["release"]["id"]})
    await configured(stage, app, SHOW_B="1")

    await stage.says(app, "release=v5 SHOW_A=1 SHOW_B=1")


async def test_retry(stage: Stage) -> None:
    """What failed for want of a config var is released again, as the same code, by `towpath releases:retry`."""
    needing = f'{quick("")["Procfile"]}release: test -n "$SHOW_KEY"\n'
    pipeline = await stage.pipeline("retry", automatic=False, files=quick("before"), auto_deploy=True)
    app = pipeline.staging
    await stage.says(app, "before")
    sha = await stage.github.push(pipeline.repo, "master", {**page("after"), "Procfile": needing})
    await stage.check_is(pipeline, sha, "failure")
    failed = await stage.api("GET", f"/apps/{app}/releases/2")
    assert failed["status"] == "failed"
    await configured(stage, app, SHOW_KEY="here")

    printed = await stage.cli("releases:retry", "v2", "-a", app)

    assert "v4" in printed
    assert (await shown(stage, app))[-1] == (4, f"Retry of v2: Deploy {sha[:8]}", "succeeded")
    assert (await current(stage, app))["slug"] == failed["slug"]
    assert "held" not in await stage.cli("why", app)
    await stage.says(app, f"after commit={sha} release=v4 SHOW_KEY=here")
    await until(lambda: stage.deployments(pipeline, app)[-1] == "success", what="a deployment that succeeded")
    refused = await stage.api(
        "POST", f"/apps/{pipeline.production}/releases", {"slug": failed["slug"]["id"]}, status=404
    )
    assert refused["message"] == "Couldn't find that slug."
