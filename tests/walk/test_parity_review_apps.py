"""Parity with Heroku, row 6, beside tests/walk/test_review_apps.py: merging, scripts that run once, a delete by hand."""

import json
from typing import Any

import pytest

from tests.waiting import until
from tests.walk.acting import configured, output
from tests.walk.samples import page, quick
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTS = {"scripts": {"postdeploy": "echo seeding the database", "pr-predestroy": "echo saying goodbye"}}


async def opened(stage: Stage, base: str, **settings: Any) -> tuple[Pipeline, Any, Any]:
    """A pull request with its live review app."""
    pipeline = await stage.pipeline(base, files=quick("first", app_json=SCRIPTS), review=settings)
    await stage.github.push(pipeline.repo, "topic", page("opened"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    return pipeline, pull, (await stage.review_is(pipeline, pull.number, "live"))["app"]


async def goodbyes(stage: Stage, app_id: str) -> list[tuple[Any, ...]]:
    """How the app's `pr-predestroy` ended, for every time that it ran."""
    said = await stage.rows(
        "SELECT c.text FROM log_chunks c JOIN releases r ON r.log_id = c.log_id WHERE r.app_id = ?", app_id
    )
    ended = await stage.rows("SELECT exit_code FROM commands WHERE app_id = ? AND step = 'predestroy'", app_id)
    return ended * "".join(text for (text,) in said).count("saying goodbye")


async def test_postdeploy_once_over_opened_synchronize_and_predestroy_exactly_once_when_merged(stage: Stage) -> None:
    pipeline, pull, app = await opened(stage, "merge")
    name = app["name"]
    sha = await stage.github.push(pipeline.repo, "topic", page("synchronized"))
    await stage.says(name, f"synchronized commit={sha} release=v2")
    releases = {each["version"]: each["id"] for each in await stage.api("GET", f"/apps/{name}/releases")}
    assert "seeding the database" in await output(stage, releases[1])
    assert "seeding the database" not in await output(stage, releases[2])

    await stage.github.merge_pull(pipeline.repo, pull.number, delete_branch=True)

    await stage.says(name, "HTTP 404")
    await stage.deployments_are(pipeline, name, "inactive", "inactive")
    assert await goodbyes(stage, app["id"]) == [(0,)]


async def test_delete_by_hand_runs_predestroy_once_and_the_next_push_brings_it_back(stage: Stage) -> None:
    pipeline, pull, app = await opened(stage, "hand")
    listed = await stage.review(pipeline, pull.number)

    await stage.api("DELETE", f"/review-apps/{listed['id']}")

    await stage.says(app["name"], "HTTP 404")
    await stage.deployments_are(pipeline, app["name"], "inactive")
    await stage.check_is(pipeline, pull.head_sha, "neutral")
    assert await goodbyes(stage, app["id"]) == [(0,)]
    stage.github.label_pull(pipeline.repo, pull.number, "any event")
    await stage.github.settled()
    assert app["name"] not in json.dumps(await stage.api("GET", "/apps"))

    sha = await stage.github.push(pipeline.repo, "topic", page("back again"))
    await stage.says(app["name"], f"back again commit={sha} release=v1")
    again = (await stage.review_is(pipeline, pull.number, "live"))["app"]
    assert again["id"] != app["id"]
    first = (await stage.api("GET", f"/apps/{app['name']}/releases"))[0]["id"]
    assert "seeding the database" in await output(stage, first)


async def test_delete_of_the_app_itself_is_shown_as_the_end_of_its_review_app(stage: Stage) -> None:
    pipeline, pull, app = await opened(stage, "itself")

    await stage.api("DELETE", f"/apps/{app['name']}")

    await stage.says(app["name"], "HTTP 404")
    await stage.deployments_are(pipeline, app["name"], "inactive")
    await stage.check_is(pipeline, pull.head_sha, "neutral")

    async def over() -> bool:
        found = await stage.review(pipeline, pull.number)
        return found is None or found["state"] == "destroyed"

    await until(over, seconds=STEP_SECONDS, what="the review app is over")


async def test_app_json_is_read_again_at_each_push_but_for_what_a_person_has_set(stage: Stage) -> None:
    env = {"SHOW_FILE": "first", "SHOW_HAND": "first", "SHOW_MADE": {"generator": "secret"}}
    several = {"Procfile": quick("")["Procfile"] + "worker: sleep 600\nclock: sleep 600\n"}
    manifest = {"env": env, "formation": {"web": {"quantity": 2}, "worker": {"quantity": 1}}}
    pipeline = await stage.pipeline("again")
    await stage.github.push(pipeline.repo, "topic", {**several, "app.json": json.dumps(manifest)})
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    name = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]
    told = await stage.says(name, "SHOW_FILE=first SHOW_HAND=first SHOW_MADE=")
    made = told.partition("SHOW_MADE=")[2].split()[0]
    assert len(made) == 64
    assert await processes(stage, name) == ["web.1", "web.2", "worker.1"]
    await configured(stage, name, SHOW_HAND="by hand")
    await stage.cli("ps:scale", "web=1", "-a", name)

    env |= {"SHOW_FILE": "second", "SHOW_HAND": "second", "SHOW_NEW": "new"}
    manifest["formation"] = {"web": {"quantity": 3}, "clock": {"quantity": 1}}
    sha = await stage.github.push(pipeline.repo, "topic", {"app.json": json.dumps(manifest)})

    await stage.says(name, f"commit={sha}")
    await stage.check_is(pipeline, sha, "success")
    told = await stage.page(name)
    assert f"SHOW_FILE=second SHOW_HAND=by hand SHOW_MADE={made} SHOW_NEW=new" in told
    assert await processes(stage, name) == ["clock.1", "web.1"]


async def processes(stage: Stage, app: str) -> list[str]:
    return sorted(each["name"] for each in await stage.api("GET", f"/apps/{app}/dynos"))


async def test_a_config_var_that_nobody_gave_is_named(stage: Stage) -> None:
    pipeline = await stage.pipeline("lacking", files=quick("first", app_json={"env": {"SHOW_KEY": {"required": True}}}))
    await stage.github.push(pipeline.repo, "topic", page("lacking"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    check = await stage.check_is(pipeline, pull.head_sha, "failure")
    assert 'config var "SHOW_KEY" is required' in check["output"]["title"] + check["output"]["summary"]
    assert 'config var "SHOW_KEY" is required' in await stage.cli("reviewapps", "-p", pipeline.name)


async def test_switching_review_apps_off_takes_them_all_away(stage: Stage) -> None:
    pipeline, pull, app = await opened(stage, "off")

    await stage.api("DELETE", f"/pipelines/{pipeline.id}/review-app-config")

    await stage.says(app["name"], "HTTP 404")
    await stage.deployments_are(pipeline, app["name"], "inactive")
    check = await stage.check_is(pipeline, pull.head_sha, "neutral")
    assert "switched off" in check["output"]["title"]
