"""The article's transcripts, and every command on its way from a new app to production."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from service.store import pipelines, pull_sources, views
from service.store.pull_sources import APP, PullSource, PullState
from tests.cli.conftest import Cli
from tests.web.serving import HEADS, Server


async def test_creating_a_pipeline_asks_as_in_the_article(towpath: Cli, server: Server) -> None:
    await server.app("example-app")
    done = await towpath("pipelines:create", "-a", "example-app", stdin="example-pipeline\nproduction\n")
    assert done.out.replace("? Pipeline name: (example-app) ", "").replace(
        "? Stage of example-app: (production) ", ""
    ) == (
        "Creating example-pipeline pipeline... done\n"
        "Adding example-app to example-pipeline pipeline as production... done\n"
    )


async def test_adding_an_app_asks_for_its_stage(towpath: Cli, server: Server) -> None:
    await server.app("example-staging")
    await server.pipeline("example-pipeline", connected=False)
    done = await towpath("pipelines:add", "example-pipeline", "-a", "example-staging", stdin="staging\n")
    assert done.out.endswith("Adding example-staging to example-pipeline pipeline as staging... done\n")


async def test_promoting_prints_each_target_with_its_release(
    towpath: Cli, server: Server, worker: dict[str, Any]
) -> None:
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await server.app("example-admin")
    body = {"app": "example-admin", "pipeline": pipeline["id"], "stage": "production"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)
    await towpath("deploy", "-a", "example-staging", "main")
    await towpath("config:set", "A=1", "-a", "example-admin")
    towpath.git("init", "-q")
    towpath.git("remote", "add", "staging", f"{server.url}/example-staging.git")
    done = await towpath("pipelines:promote", "-r", "staging")
    assert done.out == (
        "Promoting example-staging to example (production)... done, v1\n"
        "Promoting example-staging to example-admin (production)... done, v2\n"
    )


async def test_promoting_to_chosen_apps_prints_as_in_the_article(
    towpath: Cli, server: Server, worker: dict[str, Any]
) -> None:
    await server.pipeline(staging="example-staging", production="my-production-app1", development="my-production-app2")
    await towpath("deploy", "-a", "example-staging")
    done = await towpath("pipelines:promote", "-a", "example-staging", "--to", "my-production-app1,my-production-app2")
    assert done.out == (
        "Starting promotion to apps: my-production-app1,my-production-app2... done\n"
        "Waiting for promotion to complete... done\n"
        "Promotion successful\n"
        "my-production-app1: succeeded\n"
        "my-production-app2: succeeded\n"
    )


async def test_one_target_shows_its_release_phase(towpath: Cli, server: Server, worker: dict[str, Any]) -> None:
    worker["release_phase"] = True
    await server.pipeline(staging="example-staging", production="example")
    await towpath("deploy", "-a", "example-staging")
    done = await towpath("pipelines:promote", "-a", "example-staging")
    assert "migrating\n" in done.out
    assert done.out.endswith("Promoting example-staging to example (production)... done, v1\n")


async def test_the_whole_way(towpath: Cli, server: Server, worker: dict[str, Any]) -> None:
    created = await towpath("apps:create", "example-staging")
    assert created.out.startswith("Creating example-staging... done\nhttp://example-staging.localhost:")
    await towpath("apps:create", "example", "--no-remote")
    await towpath("pipelines:create", "shop", "-a", "example-staging", "-s", "staging")
    await towpath("pipelines:add", "shop", "-a", "example", "-s", "production")
    assert (await towpath("pipelines:connect", "-r", "acme/shop")).out == "Linking shop to acme/shop... done\n"
    await towpath("reviewapps:enable", "-p", "shop", "--automatic", "--wait-for-ci", "--destroy-stale-days", "3")
    config = await server.get("/pipelines/shop/review-app-config")
    assert (config["automatic_review_apps"], config["wait_for_ci"], config["stale_days"]) == (True, True, 3)
    assert config["destroy_stale_apps"] is True
    gated = await towpath("reviewapps:enable", "-p", "shop", "--ci-counts", "protected", "--ignored-context", "slow")
    assert "what the branch's protection and rulesets require, but for slow, after 30 s" in gated.out
    unknown = await towpath("reviewapps:enable", "-p", "shop", "--ci-counts", "some", code=None)
    assert unknown.code != 0
    assert "ci_counts" in unknown.err
    await towpath("deploy:auto", "on", "-a", "example-staging", "--branch", "main", "--wait-for-ci")
    assert (await server.get("/apps/example-staging/github"))["auto_deploy"] is True
    deployed = await towpath("deploy", "-a", "example-staging", "main")
    assert "-----> done\n" in deployed.out
    assert "Released v1 of example-staging: http://example-staging.localhost" in deployed.out
    assert (await towpath("config:set", "A=1", "B=x=y", "-a", "example-staging")).out.startswith(
        "Setting A, B and restarting example-staging... done, v2\n"
    )
    assert (await towpath("config", "-a", "example-staging", "--json")).json == {"A": "1", "B": "x=y"}
    await towpath("config:unset", "B", "-a", "example-staging")
    assert (await towpath("releases:rollback", "v1", "-a", "example-staging")).out.endswith("done, v4\n")
    assert (await towpath("ps:scale", "web=2", "worker+1", "-a", "example-staging")).out.endswith(
        "done, now running web=2, worker=1\n"
    )
    assert "worker.1:" in (await towpath("ps", "-a", "example-staging")).out
    await towpath("ps:restart", "-a", "example-staging")
    of_type = await towpath("ps:restart", "worker", "-a", "example-staging")
    assert of_type.out == "Restarting worker of example-staging... done\n"
    assert "Couldn't find that process type" in (await towpath("ps:restart", "clock", "-a", "example", code=1)).err
    await towpath("pipelines:promote", "-a", "example-staging")
    releases = (await towpath("releases", "-a", "example", "--json")).json
    assert [(it["version"], it["commit"]) for it in releases] == [(1, HEADS["main"])]
    info = (await towpath("pipelines:info", "shop", "--json")).json
    assert [(it["name"], it["stage"]) for it in info["apps"]] == [
        ("example-staging", "staging"),
        ("example", "production"),
    ]
    assert "line 0" in (await towpath("logs", "-a", "example")).out
    assert "asked for release slug" in (await towpath("why", "example")).out
    await towpath("pipelines:update", "-a", "example", "-s", "development")
    await towpath("pipelines:remove", "-a", "example")
    await towpath("reviewapps:disable", "-p", "shop", "--confirm", "shop")
    await towpath("apps:destroy", "example", "--confirm", "example")
    for listing in (["apps"], ["pipelines"], ["reviewapps"], ["deliveries"], ["apps:info", "-a", "example-staging"]):
        assert (await towpath(*listing)).out
        if listing != ["deliveries"]:
            assert (await towpath(*listing, "--json")).json is not None


async def test_deliveries_say_what_keeps_them_from_being_fetched(towpath: Cli, server: Server) -> None:
    retry_at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    source = PullSource(name=APP, state=PullState.WAITING, reason="GitHub answered 502", retry_at=retry_at)
    await server.db.write(lambda conn: pull_sources.keep(conn, source))
    said = (await towpath("deliveries")).err
    assert "the GitHub App: GitHub answered 502 (asked again at 2026-05-01" in said


async def test_a_new_app_in_a_clone_says_what_became_of_its_remote(towpath: Cli, server: Server) -> None:
    towpath.git("init", "-q")
    assert "Git remote towpath added" in (await towpath("apps:create", "example")).err
    assert "is there already" in (await towpath("apps:create", "other")).err
    assert (await towpath("apps:info", "--json")).json["app"]["name"] == "example"


async def test_config_vars_of_a_stage_are_set_and_shown(towpath: Cli, server: Server) -> None:
    await server.pipeline()
    await towpath("config:set", "A=1", "-p", "shop", "--stage", "review")
    assert (await towpath("config", "--stage", "review", "--json")).json == {"A": "1"}
    await towpath("config:unset", "A", "--stage", "review")
    assert (await towpath("config", "--stage", "review", "--json")).json == {}


async def test_config_vars_are_named_for_builds_and_shown(towpath: Cli, server: Server) -> None:
    await server.pipeline(staging="example")
    done = await towpath("config:build", "SITE", "SECRET_KEY", "-p", "shop")
    assert done.out == (
        "Setting what builds of shop see... done\n"
        "Builds of shop see: SECRET_KEY, SITE\n"
        "It counts from the next deploy on.\n"
    )
    assert (await towpath("config:build", "-a", "example")).out == "Builds of shop see: SECRET_KEY, SITE\n"
    assert "-p shop" in (await towpath("config:build", "OTHER", "-a", "example", code=1)).err
    await towpath("config:build", "--none", "-p", "shop")
    assert (await towpath("config:build", "-p", "shop", "--json")).json["names"] == []
    await towpath("config:build", "SITE", "--none", "-p", "shop", code=2)
    await towpath("config:build", "-a", "example", "-p", "shop", code=2)


async def test_a_deploy_can_be_asked_to_build_from_nothing(
    towpath: Cli, server: Server, worker: dict[str, Any]
) -> None:
    await server.pipeline(staging="example")
    await towpath("deploy", "-a", "example", "main", "--rebuild")
    await towpath("deploy", "-a", "example", "main")
    said = [it["source_blob"]["version_description"] for it in await server.get("/apps/example/builds")]
    assert said == ["rebuild of main", "deploy of main"]


async def test_a_retry_takes_the_newest_release_that_is_over_and_holds_nothing_up(towpath: Cli, server: Server) -> None:
    await server.pipeline(staging="example")
    app = await server.get("/apps/example")
    assert (await towpath("releases:retry", "-a", "example", code=1)).err.endswith("no release to try again.\n")
    await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    await server.work()
    await server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    assert [it["status"] for it in await server.get("/apps/example/releases")] == ["succeeded", "pending"]
    done = await towpath("releases:retry", "-a", "example", "--no-wait")
    assert done.out == "Retrying v1 on example... done\n"
    assert await server.db.read(lambda conn: views.held(conn, app["id"])) == ""
    await server.work()
    await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "bbbbbbb"}}, expect=201)
    await server.work()
    await towpath("releases:retry", "v1", "-a", "example", "--no-wait")
    assert await server.db.read(lambda conn: views.held(conn, app["id"])) == "held at v5"


async def test_the_only_remote_names_the_app(towpath: Cli, server: Server) -> None:
    await server.app("example")
    towpath.git("init", "-q")
    done = await towpath("git:remote", "-a", "example")
    assert done.out == f"set git remote towpath to {server.url}/example.git\n"
    assert (await towpath("apps:info", "--json")).json["app"]["name"] == "example"
    towpath.git("remote", "add", "github", "https://github.com/acme/shop.git")
    assert (await towpath("apps:info", "--json")).json["app"]["name"] == "example"


async def test_several_remotes_must_be_told_apart(towpath: Cli, server: Server) -> None:
    towpath.git("init", "-q")
    for app in ("example", "example-staging"):
        await server.app(app)
        await towpath("git:remote", "-a", app, "-r", app)
    unclear = await towpath("apps:info", code=2)
    assert "example, example-staging" in unclear.err
    assert (await towpath("apps:info", "-r", "example-staging", "--json")).json["app"]["name"] == "example-staging"
    await towpath("apps:info", "-r", "nowhere", code=2)
    await towpath("apps:info", "-r", "example", "-a", "example", code=2)


async def test_json_alone_is_on_standard_output(towpath: Cli, server: Server, worker: dict[str, Any]) -> None:
    await server.app("example")
    made = await towpath("pipelines:create", "shop", "-a", "example", "-s", "staging", "--json")
    assert made.json["pipeline_coupling"]["stage"] == "staging"
    assert (await towpath("apps:create", "other", "--json")).json["name"] == "other"
    added = await towpath("pipelines:add", "shop", "-a", "other", "-s", "production", "--json")
    assert added.json["app"]["name"] == "other"
    moved = await towpath("pipelines:update", "-a", "other", "-s", "development", "--json")
    assert moved.json["stage"] == "development"
    assert (await towpath("pipelines:update", "-a", "other", "-s", "production", "--json")).code == 0
    assert (await towpath("pipelines:connect", "-r", "acme/shop", "--json")).json["full_name"] == "acme/shop"
    deployed = await towpath("deploy", "-a", "example", "--json")
    assert deployed.json["release"]["version"] == 1
    assert "-----> done" in deployed.err
    promoted = (await towpath("pipelines:promote", "-a", "example", "--json")).json
    assert (promoted["promotion"]["status"], promoted["promotion"]["outcome"]) == ("completed", "completed")
    assert [it["status"] for it in promoted["targets"]] == ["succeeded"]
    assert (await towpath("config:set", "A=1", "-a", "example", "--json")).json == {"A": "1"}
    assert (await towpath("releases:rollback", "v1", "-a", "example", "--json")).json["release"]["version"] == 3
    assert (await towpath("ps:restart", "-a", "example", "--json")).json["state"] == "succeeded"
    assert (await towpath("pipelines:remove", "-a", "other", "--json")).json["app"]["name"] == "other"
    assert (await towpath("apps:destroy", "other", "--confirm", "other", "--json")).json["state"] == "destroying"


async def test_settings_are_changed_by_name_and_shown_with_what_they_mean(towpath: Cli, server: Server) -> None:
    await server.pipeline()
    done = await towpath("pipelines:settings", "labels=demo, preview", "idle-action=suspend", "settle_seconds=1.5")
    assert done.out == (
        "Changing labels, idle_action, settle_seconds of shop... done\n"
        "idle_action     suspend\n"
        "labels          demo, preview\n"
        "settle_seconds  1.5\n"
    )
    enabled = (await towpath("reviewapps:enable", "--destroy-stale-days", "9")).out
    assert "suspend stale:   after 9 days\n" in enabled
    assert "labels:          demo, preview\n" in enabled
    await towpath("pipelines:settings", "drafts=off", "stale_days=7", "labels=", "-p", "shop")
    shown = (await towpath("pipelines:settings", "-p", "shop")).out
    assert shown.startswith("=== Settings of shop\n\nroot_directory: -\n    The directory of the repository that")
    assert "\nlabels: any\n    Only pull requests with one of these labels" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100
    listed = (await towpath("pipelines:settings", "-p", "shop", "--json")).json["settings"]
    values = {each["name"]: each["value"] for each in listed}
    assert (values["drafts"], values["stale_days"], values["settle_seconds"]) == (False, 7, 1.5)


async def test_a_pipeline_whose_name_is_taken_on_the_repository_says_what_its_checks_are_called(
    towpath: Cli, server: Server
) -> None:
    first = await server.pipeline()

    def give_away(conn: Connection) -> None:
        now = pipelines.get(conn, first["id"])
        assert now is not None
        pipelines.update(conn, pipeline=now, now=server.db.now(), owner_id=str(uuid.uuid4()), owner_type="user")

    await server.db.write(give_away)
    second = await server.pipeline()
    source = await server.get(f"/pipelines/{second['id']}/repository")
    assert source["check"] == f"towpath/shop-{second['id'][:4]}"
    shown = (await towpath("pipelines:info", second["id"])).out
    assert f"repository: acme/shop (its checks are called {source['check']})" in shown
