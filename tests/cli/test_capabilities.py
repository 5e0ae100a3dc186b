"""Commands that are no more than a word for something the server can do, each used once; and everything by its id."""

import json

from tests.cli.conftest import Cli, Inside
from tests.web.serving import Server


async def test_an_app_is_renamed_with_the_remotes_that_lead_to_it(inside: Inside, towpath: Cli, server: Server) -> None:
    await server.app("example")
    towpath.git("init", "-q")
    await inside("git:remote", "-a", "example", "-r", "staging")
    done = await inside("apps:rename", "renamed", "-r", "staging")
    assert done.out.startswith("Renaming example to renamed... done\nhttp://renamed.localhost")
    assert f"Git remote staging set to {server.url}/renamed.git" in done.err
    assert json.loads((await inside("apps:info", "--json")).out)["app"]["name"] == "renamed"
    linked = json.loads((await inside("git:remote", "-a", "renamed", "--json")).out)
    assert linked == {"remote": "towpath", "url": f"{server.url}/renamed.git"}


async def test_a_config_var_and_a_release_are_looked_at_by_themselves(inside: Inside, server: Server) -> None:
    await server.pipeline(staging="example")
    await inside("config:set", "SITE=a b", "-a", "example", "--no-wait")
    await server.work()
    assert (await inside("config:get", "SITE", "-a", "example")).out == "a b\n"
    assert json.loads((await inside("config:get", "SITE", "-a", "example", "--json")).out) == {"SITE": "a b"}
    assert "Did you mean SITE?" in (await inside("config:get", "SIET", "-a", "example", code=1)).err
    shown = (await inside("releases:info", "-a", "example")).out
    assert shown.startswith("=== Release v1 of example\n")
    assert "By:        admin@localhost" in shown
    assert json.loads((await inside("releases:info", "v1", "-a", "example", "--json")).out)["version"] == 1
    put_out = json.loads((await inside("releases:output", "v1", "-a", "example", "--json")).out)
    assert (put_out["release"]["version"], put_out["output"]) == (1, "migrating\n")


async def test_an_app_without_processes_says_so_when_asked_how_many(inside: Inside, server: Server) -> None:
    await server.app("example")
    assert (
        await inside("ps:scale", "-a", "example")
    ).out == "example has no process types yet: deploy something first.\n"


async def test_logs_are_for_programs_line_by_line(inside: Inside, server: Server) -> None:
    await server.app("example")
    lines = [json.loads(line) for line in (await inside("logs", "-a", "example", "--json")).out.splitlines()]
    assert lines[0] == {
        "at": "2026-11-24T09:30:00+00:00",
        "source": "app",
        "dyno": "web.1",
        "message": "line 0 of [web.2]",
    }
    assert len(lines) == 4


async def test_what_happened_is_listed_with_who_did_it(inside: Inside, server: Server) -> None:
    await server.pipeline(staging="example")
    await server.app("other")
    everything = (await inside("activity")).out
    assert "user:admin@localhost" in everything
    assert "other" in everything
    of_app = json.loads((await inside("activity", "-a", "example", "--json")).out)
    assert of_app
    of_pipeline = json.loads((await inside("activity", "-p", "shop", "--json")).out)
    assert any(it["action"] == "repository connected" for it in of_pipeline)
    await server.app("newest")
    newest = json.loads((await inside("activity", "-n", "2", "--json")).out)
    assert newest[0]["app"]["id"] == (await server.get("/apps/newest"))["id"]
    assert [it["id"] for it in newest] == sorted((it["id"] for it in newest), reverse=True)
    await inside("activity", "-p", "shop", "-a", "example", code=2)


async def test_spaces_are_listed_and_made(inside: Inside, server: Server) -> None:
    assert (await inside("spaces:create", "far-away")).out == "Creating space far-away... done\n"
    assert (await inside("spaces")).out == "space     driver\ncommon    process\nfar-away  process\n"


async def test_a_repository_is_taken_from_a_pipeline_once_that_is_confirmed(inside: Inside, server: Server) -> None:
    await server.pipeline()
    refused = await inside("pipelines:disconnect", "shop", code=2)
    assert "If that is meant, say --confirm shop" in refused.err
    done = await inside("pipelines:disconnect", "shop", "--confirm", "shop")
    assert done.out == "Unlinking shop from its repository... done\n"
    assert "repository: not connected" in (await inside("pipelines:info", "shop")).out


async def test_piped_words_confirm_nothing(inside: Inside, server: Server) -> None:
    await server.app("example")
    refused = await inside("apps:destroy", "example", stdin="example\n", code=2)
    assert "This destroys example for good. If that is meant, say --confirm example" in refused.err


async def test_apps_and_pipelines_are_called_by_their_ids_too(inside: Inside, server: Server) -> None:
    pipeline = (await server.pipeline(staging="example", production="shop-live"))["id"]
    app = (await server.get("/apps/example"))["id"]
    await server.call("POST", f"/apps/{app}/builds", {"source_blob": {}}, expect=201)
    await server.work()
    by_app = [
        ["apps:info"], ["apps:info", "--json"], ["ps"], ["ps:scale"], ["config"], ["config:build"], ["releases"], ["logs"], ["locks"],
        ["access"], ["activity"], ["config:set", "A=1", "--no-wait"], ["ps:restart", "--no-wait"],
        ["lock", "-m", "why"], ["unlock"], ["deploy:auto", "on"], ["pipelines:info"], ["pipelines:update", "-s", "development"],
    ]  # fmt: skip
    for args in by_app:
        await inside(*args, "-a", app)
    by_pipeline = [
        ["reviewapps"], ["pipelines:settings"], ["locks"], ["activity"], ["config", "--stage", "review"], ["config:build"],
        ["reviewapps:enable"], ["lock", "-m", "why"], ["unlock"],
    ]  # fmt: skip
    for args in by_pipeline:
        await inside(*args, "-p", pipeline)
    await inside("pipelines:info", pipeline)
    await inside("pipelines:rename", pipeline, "other")
    await inside("why", app)
    await inside("pipelines:remove", "-a", app)
    await inside("pipelines:destroy", pipeline, "--confirm", "other")
    await inside("apps:destroy", "-a", app, "--confirm", "example")


MEANT = [
    ("a command without its topic", ["promote"], 2, "Did you mean pipelines:promote?"),
    ("a command in two words", ["pipelines", "promote", "-a", "example"], 2, "Did you mean pipelines:promote?"),
    ("a topic that is none, in two words", ["app", "create", "x"], 2, "There is no command app. Did you mean apps?"),
    ("a word for an option", ["version"], 2, "There is no command version. Did you mean --version?"),
    ("a process that is not there", ["ps:stop", "web.9", "-a", "example"], 1, "Couldn't find the dyno web.9."),
    ("a build that is not there", ["builds:info", "x", "-a", "example"], 1, "Couldn't find the build x."),
    ("a team that is not there", ["members", "-t", "crwe"], 1, "Couldn't find the team crwe. Did you mean crew?"),
    ("a user that is not there", ["users:update", "admin@localhos", "--name", "x"], 1, "Did you mean admin@localhost?"),
    ("an address that is none", ["users:create", "nonsense"], 2, "'nonsense' is not an address such as ada@example.com"),
    ("somebody who is in no team", ["members:remove", "a@b.c", "-t", "crew"], 1, "a@b.c is neither in crew nor invited"),
    ("an empty name", ["pipelines:info", ""], 2, "A name is empty"),
    ("a name that leads up", ["pipelines:info", ".."], 2, "Nothing is named '..'"),
    ("a config var that is not there", ["config:get", "A", "-a", "example"], 1, "example has no config var A."),
]  # fmt: skip


async def test_what_is_wrong_is_named_with_what_is_probably_meant(inside: Inside, server: Server) -> None:
    await server.pipeline(production="example")
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    for name, args, code, words in MEANT:
        assert words in (await inside(*args, code=code)).err, name
