"""What a user of Heroku types works here as it does there: apps, config, releases, pipelines, review apps."""

import json

import pytest

from tests.heroku_cli.heroku import Heroku, Watched
from tests.waiting import until
from tests.walk.samples import quick
from tests.walk.stage import Pipeline, Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def deployed(stage: Stage, pipeline: Pipeline) -> None:
    """The pipeline's staging app serves the default branch."""
    await stage.api("POST", f"/apps/{pipeline.staging}/builds", {})
    await stage.says(pipeline.staging, "first")


async def test_who_one_is_and_a_wrong_token_are_told(heroku: Heroku) -> None:
    assert (await heroku("auth:whoami")).out.strip() == "admin@localhost"
    wrong = await heroku("auth:whoami", code=2, HEROKU_API_KEY="towpath-wrong")
    assert "Invalid credentials provided." in wrong.all


async def test_apps_are_made_listed_shown_configured_and_destroyed(stage: Stage, heroku: Heroku) -> None:
    name = stage.name("heroku-made")
    made = await heroku("apps:create", name, "--no-remote")
    assert f"http://{name}.localhost:{stage.port}/" in made.all
    assert name in (await heroku("apps")).out
    shown = json.loads((await heroku("apps:info", "-a", name, "--json")).out)
    assert (shown["app"]["name"], shown["dynos"], shown["addons"]) == (name, [], [])
    assert "Owner:" in (await heroku("apps:info", "-a", name)).out

    assert "v1" in (await heroku("config:set", "GREETING=good morning", "-a", name)).all
    assert "good morning" in (await heroku("config", "-a", name)).out
    assert (await heroku("config:get", "GREETING", "-a", name)).out.strip() == "good morning"
    await heroku("config:unset", "GREETING", "-a", name)
    assert "good morning" not in (await heroku("config", "-a", name)).out

    assert "is already taken" in (await heroku("apps:create", name, "--no-remote", code=2)).all
    await heroku("apps:destroy", "-a", name, "-c", name)
    missing = await heroku("apps:info", "-a", stage.name("nobody"), code=2)
    assert "Couldn't find that app." in missing.all


async def test_a_pipeline_is_made_filled_changed_and_destroyed(stage: Stage, heroku: Heroku) -> None:
    name = stage.name("heroku-line")
    for app in (f"{name}-staging", f"{name}-prod"):
        await stage.api("POST", "/apps", {"name": app})
    made = await heroku("pipelines:create", name, "-a", f"{name}-staging", "-s", "staging")
    assert f"Creating {name} pipeline... done" in made.all
    assert f"Adding {name}-staging to {name} pipeline as staging... done" in made.all
    added = await heroku("pipelines:add", name, "-a", f"{name}-prod", "-s", "development")
    assert f"to {name} pipeline as development... done" in added.all
    assert "to production... done" in (await heroku("pipelines:update", "-a", f"{name}-prod", "-s", "production")).all
    assert name in (await heroku("pipelines")).out
    shown = json.loads((await heroku("pipelines:info", name, "--json")).out)
    assert {app["name"]: app["pipelineCoupling"]["stage"] for app in shown["apps"]} == {
        f"{name}-staging": "staging",
        f"{name}-prod": "production",
    }
    assert f"Removing {name}-prod... done" in (await heroku("pipelines:remove", "-a", f"{name}-prod")).all
    assert f"Renaming {name} pipeline to {name}x... done" in (await heroku("pipelines:rename", name, f"{name}x")).all
    assert f"Destroying {name}x pipeline... done" in (await heroku("pipelines:destroy", f"{name}x")).all
    assert f"{name}x" not in (await heroku("pipelines")).out


async def test_code_is_promoted_seen_running_and_rolled_back(stage: Stage, heroku: Heroku) -> None:
    pipeline = await stage.pipeline("heroku-flow")
    await deployed(stage, pipeline)
    promoted = await heroku("pipelines:promote", "-a", pipeline.staging)
    assert "Promotion successful" in promoted.all
    assert f"{pipeline.production}: succeeded" in promoted.all
    await stage.says(pipeline.production, "first")

    running = (await heroku("ps", "-a", pipeline.production)).out
    assert "web.1: up" in running
    await heroku("config:set", "A=1", "-a", pipeline.production)
    listed = json.loads((await heroku("releases", "-a", pipeline.production, "--json")).out)
    assert [it["version"] for it in listed] == [2, 1]

    async def released() -> bool:
        newest = (await stage.api("GET", f"/apps/{pipeline.production}/releases/2"))["status"]
        return bool(newest == "succeeded")

    await until(released, seconds=20, what="the change of config is released")
    assert "v2" in (await heroku("releases:info", "v2", "-a", pipeline.production)).out
    back = await heroku("releases:rollback", "v1", "-a", pipeline.production)
    assert "v3" in back.all
    assert await stage.api("GET", f"/apps/{pipeline.production}/config-vars") == {}
    assert "app[web.1]" in (await heroku("logs", "-a", pipeline.production)).out
    assert "web at 2" in (await heroku("ps:scale", "web=2", "-a", pipeline.production)).all

    async def scaled() -> bool:
        dynos = await stage.api("GET", f"/apps/{pipeline.production}/dynos")
        return [it["state"] for it in dynos] == ["up", "up"]

    await until(scaled, seconds=20, what="a second web process runs")
    assert "web at 1" in (await heroku("ps:scale", "web-1", "-a", pipeline.production)).all
    await heroku("ps:restart", "-a", pipeline.production)
    await heroku("ps:stop", "--dyno-name", "web.1", "-a", pipeline.production)


async def test_review_apps_are_enabled_made_and_disabled(stage: Stage, heroku: Heroku) -> None:
    pipeline = await stage.pipeline("heroku-review", automatic=False)
    enabled = await heroku("reviewapps:enable", "-p", pipeline.name, "-a", pipeline.staging, "--autodestroy")
    assert "Configuring pipeline... done" in enabled.all
    config = await stage.api("GET", f"/pipelines/{pipeline.id}/review-app-config")
    assert (config["destroy_stale_apps"], config["automatic_review_apps"]) == (True, False)
    await stage.github.push(pipeline.repo, "cart", quick("cart"))
    await heroku("reviewapps:create", "-p", pipeline.name, "-b", "cart", "--wait", "--wait-interval", "1")
    (review,) = await stage.api("GET", f"/pipelines/{pipeline.id}/review-apps")
    assert (review["branch"], review["status"]) == ("cart", "created")
    await stage.says(review["app"]["name"], "cart")
    await heroku("reviewapps:wait", review["app"]["name"])
    missing = await heroku("reviewapps:create", "-p", pipeline.name, "-b", "nowhere", code=1)
    assert "The branch nowhere doesn't exist" in missing.all
    disabled = await heroku("reviewapps:disable", "-p", pipeline.name)
    assert "Configuring pipeline... done" in disabled.all
    await stage.api("GET", f"/pipelines/{pipeline.id}/review-app-config", status=404)


async def test_nothing_of_it_asked_for_a_host_of_heroku(heroku: Heroku, watched: Watched) -> None:
    """Runs last in this module: all commands before it had one way out, which was watched."""
    await heroku("apps")
    assert watched.asked == []
