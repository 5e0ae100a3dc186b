"""Behind the front Heroku's command line works over TLS, with all that it would ask of GitHub and of Heroku's side of it."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.cli.heroku.front import Front
from tests.heroku_cli.heroku import NODE, SECONDS, SIZE, Heroku
from tests.heroku_cli.person import ROOT, Person, section
from tests.walk.samples import quick
from tests.walk.stage import Pipeline, Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

RELEASING = {
    "Procfile": "release: echo migrating the tables\nweb: /opt/towpath/runtimes/python/bin/python3 -I server.py\n"
}


@pytest.fixture
def person(program: Path, stage: Stage, tmp_path: Path) -> Person:
    return Person.at(tmp_path, program=program, data=stage.data)


def blocks() -> list[str]:
    """The commands of the README's section, block by block."""
    return re.findall(r"```sh\n(.*?)```", section(), re.DOTALL)


async def each(over: Heroku, says: Mapping[tuple[str, ...], str], *, code: int = 0) -> None:
    """Run commands that have nothing to do with one another side by side, two at a time."""
    turn = asyncio.Semaphore(2)

    async def one(words: tuple[str, ...], text: str) -> str:
        async with turn:
            said = await over(*words, code=code)
        return "" if text in said.all else f"heroku {' '.join(words)} does not say {text!r}:\n{said.all}"

    assert [wrong for wrong in await asyncio.gather(*(one(*row) for row in says.items())) if wrong] == []


async def test_who_one_is_and_the_tokens_one_has(stage: Stage, over: Heroku) -> None:
    made = (await over("authorizations:create", "-d", "For CI", "-s", "read", "--json")).out
    token = json.loads(made)
    await each(
        over,
        {
            ("auth:whoami",): "admin@localhost",
            ("auth:token",): stage.token,
            ("authorizations",): "For CI",
            ("authorizations:info", token["id"]): "read",
            ("auth:logout",): "Logging out... done",
        },
    )
    rotated = (await over("authorizations:rotate", token["id"])).all
    assert "Rotating OAuth Authorization... done" in rotated
    assert "For CI" in rotated
    assert token["access_token"]["token"] not in rotated
    assert "revoked" in (await over("authorizations:revoke", token["id"])).all
    await stage.api("GET", f"/oauth/authorizations/{token['id']}", status=404)
    # A logout forgets what is on this machine; the token that the front was given is still good.
    assert (await over("auth:whoami")).out.strip() == "admin@localhost"


async def test_an_app_shows_all_that_it_has_and_has_not(stage: Stage, over: Heroku) -> None:
    name = stage.name("tls-app")
    await over("apps:create", name, "--remote", "staging")
    assert f"https://localhost:{stage.port}/{name}.git" in await over.git("remote", "-v")
    await each(
        over,
        {
            ("apps:info", "-r", "staging"): name,
            ("domains", "-a", name): f"{name}.localhost",
            ("access", "-a", name): "admin@localhost",
            ("addons", "-a", name): "No add-ons",
            ("features", "-a", name): "App Features",
            ("buildpacks", "-a", name): "has no Buildpacks.",
            ("drains", "-a", name): "",
            ("maintenance", "-a", name): "off",
            ("regions",): "common",
            ("apps:stacks", "-a", name): "host",
            ("apps:open", "-a", name): f"Opening http://{name}.localhost",
            ("certs", "-a", name): "no SSL certificates",
            ("domains:info", f"{name}.localhost", "-a", name): name,
            ("labs",): "User Features admin@localhost",
            ("labs:info", "dashboard-repositories-api"): "Repositories",
            ("git:remote", "-a", name, "-r", "again"): name,
            ("maintenance:on", "-a", name): "Enabling maintenance mode for",
        },
    )
    assert (await stage.api("GET", f"/apps/{name}"))["maintenance"] is True
    assert "Disabling maintenance mode for" in (await over("maintenance:off", "-a", name)).all
    assert (await stage.api("GET", f"/apps/{name}"))["maintenance"] is False
    assert "done" in (await over("apps:rename", f"{name}x", "-a", name)).all
    await stage.api("GET", f"/apps/{name}", status=404)
    assert (await stage.api("GET", f"/apps/{name}x"))["maintenance"] is False


async def test_teams_members_and_what_is_given_to_them(stage: Stage, over: Heroku) -> None:
    team, name = stage.name("tls-team"), stage.name("tls-given")
    await stage.api("POST", "/users", {"email": f"ada@{team}.example.com"})
    await stage.api("POST", "/teams", {"name": team})
    await stage.api("POST", "/apps", {"name": name})
    ada = f"ada@{team}.example.com"
    assert f"Adding {ada} to" in (await over("members:add", ada, "-t", team, "-r", "member")).all
    await each(
        over, {("teams",): team, ("orgs",): team, ("members", "-t", team): ada, ("access:add", ada, "-a", name): "done"}
    )
    await each(over, {("access", "-a", name): ada, ("members:set", ada, "-t", team, "-r", "admin"): "done"})
    await each(over, {("access:remove", ada, "-a", name): "done", ("apps:transfer", team, "-a", name): "done"})
    assert (await stage.api("GET", f"/apps/{name}"))["team"]["name"] == team
    assert "done" in (await over("access:add", ada, "-a", name, "-p", "deploy")).all
    await each(over, {("access:update", ada, "-a", name, "-p", "operate"): "done"})
    granted = {it["user"]["email"]: it for it in await stage.api("GET", f"/apps/{name}/collaborators")}[ada]
    assert {it["name"] for it in granted["permissions"]} == {"view", "operate"}
    await each(over, {("apps:join", "-a", name): "done", ("members:remove", ada, "-t", team): "done"})
    assert "Leaving" in (await over("apps:leave", "-a", name)).all
    await stage.api("POST", "/apps", {"name": f"{name}-own"})
    made, refused = await asyncio.gather(
        over("pipelines:create", name, "-a", name, "-s", "production", "-t", team),
        over("apps:transfer", ada, "-a", f"{name}-own", code=2),
    )
    assert f"Creating {name} pipeline... done" in made.all
    assert "cannot be transferred from one user to another" in refused.all
    pipeline = await stage.api("GET", f"/pipelines/{name}")
    assert pipeline["owner"]["type"] == "team"
    coupling = {"app": f"{name}-own", "pipeline": pipeline["id"], "stage": "staging"}
    await stage.api("POST", "/pipeline-couplings", coupling)
    await each(
        over,
        {
            ("pipelines:info", name): f"Some apps in this pipeline do not belong to {team} (team).",
            ("apps:transfer", "admin@localhost", "-a", name, "-c", name): "done",
        },
    )
    assert (await stage.api("GET", f"/apps/{name}"))["owner"]["email"] == "admin@localhost"


async def test_a_pipeline_is_made_by_answering_on_a_terminal_and_given_away_and_back(
    stage: Stage, over: Heroku
) -> None:
    name = stage.name("tls-line")
    await stage.api("POST", "/apps", {"name": f"{name}-staging"})
    team = await stage.api("POST", "/teams", {"name": stage.name("tls-owners")})
    shown = await over.typing(
        "pipelines:create", "-a", f"{name}-staging", answers={"Pipeline name": "\r", f"Stage of {name}-staging": "\r"}
    )
    assert f"Creating {name} pipeline... done" in shown
    assert f"to {name} pipeline as staging... done" in shown
    shown = await over.typing("pipelines:transfer", team["name"], "-p", name, answers={"?\x1b": f"{name}\r"})
    assert f"to the {team['name']} team... done" in shown
    assert (await stage.api("GET", f"/pipelines/{name}"))["owner"] == {"id": team["id"], "type": "team"}
    await each(
        over,
        {
            ("pipelines:transfer", "admin@localhost", "-p", name, "-c", name): "account... done",
            ("pipelines:open", name): "Opening https://dashboard.heroku.com/pipelines/",
        },
    )
    assert (await stage.api("GET", f"/pipelines/{name}"))["owner"]["type"] == "user"


async def test_a_pipeline_is_connected_compared_and_promoted_with_its_output_shown(stage: Stage, over: Heroku) -> None:
    name = stage.name("tls-flow")
    repo = await stage.github.create_repo(
        f"acme/{name}", files={**quick("first"), **RELEASING}, default_branch="master"
    )
    staging, production = f"{name}-staging", f"{name}-prod"
    made = await stage.api("POST", "/pipelines", {"name": name})
    for app, where in ((staging, "staging"), (production, "production")):
        await stage.api("POST", "/apps", {"name": app})
        await stage.api("POST", "/pipeline-couplings", {"app": app, "pipeline": made["id"], "stage": where})
    assert "Linking to repo... done" in (await over("pipelines:connect", name, "-r", repo.full_name)).all
    await stage.api("POST", f"/apps/{staging}/builds", {})
    await stage.says(staging, "first")

    promoted = await over("pipelines:promote", "-a", staging)
    assert "Running release command..." in promoted.all
    assert "migrating the tables" in promoted.all
    assert f"{production}: succeeded" in promoted.all
    await stage.github.push(repo, "master", quick("second") | RELEASING, message="Say second\n\nand why")
    await stage.api("POST", f"/apps/{staging}/builds", {})
    await stage.says(staging, "second")
    await each(
        over,
        {
            ("pipelines:diff", "-a", staging): "Say second",
            ("releases:output", "-a", production): "migrating the tables",
            ("logs", "-a", staging): "app[web.1]",
            ("apps:diff", staging, production): "slug (checksum)",
            ("ps:type", "-a", staging): "web",
            ("ps:wait", "-a", staging): "",
            ("releases", "-a", production): "v1",
            ("releases:retry", "-a", production): "Running release command...",
        },
    )
    assert f"{staging} is ahead of {production} by 1 commit" in (await over("pipelines:diff", "-a", staging)).all
    await over.git("remote", "add", "flow", f"https://localhost:{stage.port}/{staging}.git")
    await over("pipelines:promote", "-r", "flow")
    assert f"{staging} is up to date with {production}" in (await over("pipelines:diff", "-a", staging)).all


async def test_what_is_pushed_to_herokus_remote_is_built_and_cloned_and_a_command_runs_beside_it(
    stage: Stage, over: Heroku, front: Front, tmp_path: Path
) -> None:
    name = stage.name("tls-pushed")
    await over("apps:create", name, "--remote", "pushed")
    for path, text in quick("pushed").items():
        (over.cwd / path).write_text(text)
    await over.git("add", ".")
    await over.git("commit", "--quiet", "--message", "Say pushed")
    await over.git("push", "--quiet", "pushed", "HEAD:main")
    await stage.says(name, "pushed")
    assert (await over.git("config", "remote.pushed.url")).strip() == f"https://localhost:{stage.port}/{name}.git"

    (editor := tmp_path / "editor").write_text('#!/bin/sh\necho GREETING=hello > "$1"\n')
    editor.chmod(0o755)
    # Of a terminal the command has the size and what is typed, Ctrl-C too; of a pipe what comes, as it is, and its end.
    script = "stty size; read name; echo hello $name; trap 'echo caught' INT; cat; (exit 5)"
    asked = {"{} {}".format(*SIZE): "ada\r", "hello ada": "\x03"}
    _, piped, typed, missing, _ = await asyncio.gather(
        over("git:clone", "-a", name, str(tmp_path / "clone")),
        over("run", "-a", name, "--no-tty", "-x", "--", "wc -c; seq 1 2000; (exit 7)", given="x" * 100_000, code=7),
        over.typing("run", "-a", name, "-x", script, answers=asked, code=5),
        over("rake", "-a", name, "-x", "db:migrate", code=127),
        over.typing("config:edit", "-a", name, answers={"with these values?": "y\r"}, EDITOR=str(editor)),
    )
    assert (tmp_path / "clone/server.py").read_text() == quick("pushed")["server.py"]
    assert piped.out.split() == ["100000", *map(str, range(1, 2001))]
    assert "caught" in typed
    assert "not found" in missing.out
    assert await stage.api("GET", f"/apps/{name}/config-vars") == {"GREETING": "hello"}
    assert front.hosts.notes == []


async def test_a_pipeline_is_set_up_by_answering_on_a_terminal(stage: Stage, over: Heroku, front: Front) -> None:
    name = stage.name("tls-set")
    repo = await stage.github.create_repo(f"acme/{name}", files=quick("set up"), default_branch="master")
    asked = {
        "Automatically deploy the master branch": "y\r",
        "Wait for CI to pass": "n\r",
        "Enable review apps": "y\r",
        "Automatically create review apps": "y\r",
        "Automatically destroy idle review apps": "y\r",
        "Enable automatic Heroku CI test runs": "y\r",
    }
    shown = await over.typing("pipelines:setup", name, repo.full_name, answers=asked)
    assert f"Creating production and staging apps ({name} and {name}-staging)... done" in shown
    assert "Configuring pipeline... done" in shown
    await stage.says(f"{name}-staging", "set up")
    await stage.says(name, "set up")
    github = await stage.api("GET", f"/apps/{name}-staging/github")
    assert (github["auto_deploy"], github["wait_for_ci"], github["branch"]) == (True, False, "master")
    assert github["pull_requests"] == {"enabled": True, "auto_deploy": True, "auto_destroy": True}
    assert [each for each in front.hosts.notes if "test runs" in each]


async def test_test_runs_are_an_honest_nothing(stage: Stage, over: Heroku) -> None:
    pipeline: Pipeline = await stage.pipeline("tls-ci", automatic=False)
    p = ("-p", pipeline.name)
    await each(
        over,
        {
            ("ci", *p): f"Showing latest test runs for the {pipeline.name} pipeline",
            ("ci:last", *p): "No Heroku CI runs found",
            ("ci:config:set", *p, "RAILS_ENV=test"): "RAILS_ENV",
        },
    )
    await each(over, {("ci:config", *p): "RAILS_ENV", ("ci:config:get", *p, "RAILS_ENV"): "test"})
    assert "Unsetting RAILS_ENV... done" in (await over("ci:config:unset", *p, "RAILS_ENV")).all
    assert await stage.api("GET", f"/pipelines/{pipeline.id}/stage/test/config-vars") == {}
    await each(over, {("ci:info", *p, "1"): "Couldn't find that test run."}, code=2)
    await each(over, {("ci:run", *p): "not", ("ci:rerun", *p, "1"): "Couldn't find that test run."}, code=2)


async def test_the_section_of_the_readme_is_followed_to_the_letter(stage: Stage, person: Person) -> None:
    repo = await stage.github.create_repo("acme/shop", files=quick("first"), default_branch="master")
    made = await stage.api("POST", "/pipelines", {"name": "shop"})
    for app, where in (("shop-staging", "staging"), ("shop", "production")):
        await stage.api("POST", "/apps", {"name": app})
        await stage.api("POST", "/pipeline-couplings", {"app": app, "pipeline": made["id"], "stage": where})
    await stage.api("POST", f"/pipelines/{made['id']}/repository", {"repository": repo.full_name})
    await stage.api("POST", "/apps/shop-staging/builds", {})
    await stage.says("shop-staging", "first")

    fronted, plain = blocks()
    before = person.belongings()
    install, _, commands = fronted.partition("\n")
    major = re.fullmatch(r"npm install --global heroku@(\d+)", install)
    assert major is not None
    assert f"HEROKU := heroku@{major[1]}." in (ROOT / "Makefile").read_text()
    said = await person.types(commands)
    assert "shop-staging" in said
    assert "=== shop" in said
    assert "Promotion successful" in said
    assert "shop-staging is up to date with shop" in said
    assert person.belongings() == before
    assert list(Path(person.env["TMPDIR"]).glob("towpath-*")) == []

    said = await person.types(plain.replace("5080", str(stage.port)).replace("TOKEN", stage.token))
    assert "Promotion successful" in said


async def test_the_command_ends_as_herokus_does_and_leaves_what_is_the_users(stage: Stage, person: Person) -> None:
    before = person.belongings()
    assert "Couldn't find that app." in await person.types("towpath heroku -- apps:info -a nobody", code=2)
    assert "Logging out... done" in await person.types("towpath heroku -- auth:logout")
    assert (await person.types("towpath heroku -- auth:whoami")).splitlines()[-1] == "admin@localhost"
    assert person.belongings() == before


async def test_watching_test_runs_takes_the_token_nowhere_else(stage: Stage, over: Heroku) -> None:
    """It opens a web socket with the token in its address, past any proxy, and never ends."""
    pipeline = await stage.pipeline("tls-watch", automatic=False)
    process = await asyncio.create_subprocess_exec(
        *(NODE, str(over.program), "ci", "-p", pipeline.name, "--watch"),
        env={**over.env, "DEBUG": "ci"}, cwd=over.cwd,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    seen = ""
    async with asyncio.timeout(SECONDS):
        while "transport" not in seen:
            line = await process.stderr.readline()
            assert line, seen
            seen += line.decode()
    process.kill()
    await process.wait()


async def test_every_socket_of_it_led_to_this_machine_and_no_other_name_was_looked_up(
    stage: Stage, over: Heroku, front: Front, sockets: Path
) -> None:
    """Runs last in this module: all commands before it were watched."""
    await over(
        "pipelines:connect", (await stage.pipeline("tls-last", automatic=False)).name, "-r", "acme/nowhere", code=1
    )
    assert front.refused == []
    api, proxy, terminals = (f"127.0.0.1:{url.rpartition(':')[2]}" for url in (front.url, front.proxy, front.terminals))
    opened = set(sockets.read_text().split())
    assert opened >= {api, proxy}
    assert opened <= {api, proxy, terminals, "name:127.0.0.1"}
