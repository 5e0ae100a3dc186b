"""What a user of Heroku types works here as it does there: apps, config, releases, pipelines, review apps."""

import asyncio
import json
from typing import Any

import pytest

from tests.cli.test_servers import free_port
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
    assert "Unsetting GREETING and restarting" in (await heroku("config:unset", "GREETING", "-a", name)).all
    assert "good morning" not in (await heroku("config", "-a", name)).out

    assert "is already taken" in (await heroku("apps:create", name, "--no-remote", code=2)).all
    destroyed = (await heroku("apps:destroy", "-a", name, "-c", name)).all
    assert f"{name} (including all add-ons)... done" in destroyed

    async def gone() -> bool:
        return name not in {each["name"] for each in await stage.api("GET", "/apps")}

    await until(gone, seconds=30, what="the app is gone")
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


async def test_code_is_promoted_where_it_can_be_seen_running_and_rolled_back(stage: Stage, heroku: Heroku) -> None:
    releasing = {"Procfile": quick("")["Procfile"] + 'release: echo "migrating"; test "$BREAK" != yes\n'}
    pipeline = await stage.pipeline("heroku-flow", files={**quick("first"), **releasing})
    bad = f"{pipeline.name}-bad"
    await stage.api("POST", "/apps", {"name": bad})
    await stage.api("POST", "/pipeline-couplings", {"app": bad, "pipeline": pipeline.id, "stage": "production"})
    await stage.api("PATCH", f"/apps/{bad}/config-vars", {"BREAK": "yes"})
    await deployed(stage, pipeline)
    partly = await heroku("pipelines:promote", "-a", pipeline.staging, code=1)
    assert "Starting promotion to production..." in partly.out
    assert "Promotion to some apps failed" in partly.err
    told = {line.partition(":")[0]: line for line in partly.out.splitlines()}
    assert "succeeded" in told[pipeline.production]
    assert "failed" in told[bad]
    assert "release command failed" in partly.out
    await stage.says(pipeline.production, "first")

    promote = ("pipelines:promote", "-a", pipeline.staging, "--to")
    named, alone, nobody, last = await asyncio.gather(
        heroku(*promote, f"{pipeline.production},"),
        heroku(*promote, bad, code=1),
        heroku(*promote, "nobody", code=1),
        heroku("pipelines:promote", "-a", pipeline.production, code=1),
    )
    assert f"Starting promotion to apps: {pipeline.production}..." in named.out
    assert "Promotion successful" in named.out
    assert "migrating" in alone.out
    assert "Promotion to some apps failed" in alone.err
    assert "Cannot find app nobody" in nobody.err
    assert f"Cannot promote {pipeline.production} from 'production' stage" in last.err

    running = (await heroku("ps", "-a", pipeline.production)).out
    assert "web.1: up" in running
    assert "v3" in (await heroku("config:set", "A=1", "-a", pipeline.production)).all
    listed = json.loads((await heroku("releases", "-a", pipeline.production, "--json")).out)
    assert [it["version"] for it in listed] == [3, 2, 1]

    async def released() -> bool:
        newest = (await stage.api("GET", f"/apps/{pipeline.production}/releases/3"))["status"]
        return bool(newest == "succeeded")

    await until(released, seconds=20, what="the change of config is released")
    assert "v3" in (await heroku("releases:info", "v3", "-a", pipeline.production)).out
    assert "to v2... done, v4" in (await heroku("releases:rollback", "-a", pipeline.production)).all
    assert "to v1... done, v5" in (await heroku("releases:rollback", "v1", "-a", pipeline.production)).all
    assert await stage.api("GET", f"/apps/{pipeline.production}/config-vars") == {}
    assert "app[web.1]" in (await heroku("logs", "-a", pipeline.production)).out
    assert "web at 2" in (await heroku("ps:scale", "web=2", "-a", pipeline.production)).all

    async def scaled() -> bool:
        dynos = await stage.api("GET", f"/apps/{pipeline.production}/dynos")
        return [it["state"] for it in dynos] == ["up", "up"]

    await until(scaled, seconds=20, what="a second web process runs")
    assert "web at 1" in (await heroku("ps:scale", "web-1", "-a", pipeline.production)).all
    before = len(await stage.api("GET", f"/apps/{pipeline.production}/requests"))
    restarted = (await heroku("ps:restart", "-a", pipeline.production)).all
    assert "Restarting all dynos on" in restarted
    assert f"{pipeline.production}... done" in restarted
    stopped = (await heroku("ps:stop", "--dyno-name", "web.1", "-a", pipeline.production)).all
    assert "Stopping dyno web.1 on" in stopped
    assert f"{pipeline.production}... done" in stopped
    asked = await stage.api("GET", f"/apps/{pipeline.production}/requests")
    assert [it["kind"] for it in asked[before:]] == ["Restart", "Restart"]


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


async def test_a_webhook_is_added_hears_of_a_release_and_is_removed(stage: Stage, heroku: Heroku) -> None:
    name = stage.name("heroku-hooks")
    await stage.api("POST", "/apps", {"name": name})
    nowhere = f"http://127.0.0.1:{free_port()}/hooks"
    added = await heroku("webhooks:add", "-i", "api:release", "-l", "notify", "-u", nowhere, "-a", name)
    assert "Webhooks Signing Secret" in added.all
    (made,) = await stage.api("GET", f"/apps/{name}/webhooks")
    await stage.api("PATCH", f"/apps/{name}/config-vars", {"GREETING": "hello"})

    async def tried() -> list[dict[str, Any]]:
        deliveries = await stage.api("GET", f"/apps/{name}/webhook-deliveries")
        return [each for each in deliveries if each["num_attempts"]]

    delivery = (await until(tried, seconds=30, what="a delivery was tried"))[0]
    listed, shown, events = await asyncio.gather(
        heroku("webhooks:deliveries", "-a", name),
        heroku("webhooks:deliveries:info", delivery["id"], "-a", name),
        heroku("webhooks:events", "-a", name),
    )
    assert delivery["id"] in listed.out
    assert "api:release" in shown.out
    assert "release" in events.out
    assert delivery["event"]["id"] in (await heroku("webhooks:events:info", delivery["event"]["id"], "-a", name)).out
    updated = await heroku("webhooks:update", made["id"], "-i", "api:build", "-l", "sync", "-u", nowhere, "-a", name)
    assert f"Updating webhook {made['id']} for" in updated.all
    every, one = await asyncio.gather(heroku("webhooks", "-a", name), heroku("webhooks:info", made["id"], "-a", name))
    assert made["id"] in every.out
    assert "api:build" in one.out
    assert f"Removing webhook {made['id']} from" in (await heroku("webhooks:remove", made["id"], "-a", name)).all
    assert await stage.api("GET", f"/apps/{name}/webhooks") == []


async def test_a_command_is_run_beside_an_app_and_what_it_said_is_in_the_log(stage: Stage, heroku: Heroku) -> None:
    pipeline = await stage.pipeline("heroku-run")
    await deployed(stage, pipeline)
    begun = await heroku("run:detached", "-a", pipeline.staging, "echo", "counted")
    assert f"heroku logs --app {pipeline.staging} --dyno run." in begun.all

    async def said() -> bool:
        return "counted" in (await heroku("logs", "-a", pipeline.staging)).out

    await until(said, seconds=30, what="what the command said")
    attached = await heroku("run", "-a", pipeline.staging, "echo", "x", code=2)
    assert "towpath run" in attached.all


async def test_nothing_of_it_asked_for_a_host_of_heroku(heroku: Heroku, watched: Watched) -> None:
    """Runs last in this module: all commands before it had one way out, which was watched."""
    await heroku("apps")
    assert watched.asked == []
