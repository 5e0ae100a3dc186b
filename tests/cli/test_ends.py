"""How commands end badly: one clear sentence, a truthful exit code, never a traceback."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.cli.conftest import ROOT, Cli
from tests.waiting import until
from tests.web.serving import Server

BAD = [
    ("an unknown command", ["aps"], 2, "apps"),
    ("an unknown option", ["apps", "--colour"], 2, "--colour"),
    ("too many arguments", ["apps", "one", "two"], 2, "one"),
    ("no app", ["ps"], 2, "-a APP"),
    ("an app that is not there", ["ps", "-a", "exmple"], 1, "Did you mean example?"),
    ("a pipeline that is not there", ["pipelines:info", "shpo"], 1, "Did you mean shop?"),
    ("an unknown stage", ["pipelines:add", "shop", "-a", "single", "-s", "prod"], 2, "staging"),
    ("nobody who answers", ["pipelines:add", "shop", "-a", "single"], 2, "--stage"),
    ("an app in a pipeline already", ["pipelines:add", "shop", "-a", "example", "-s", "staging"], 1, "already in pipeline shop"),
    ("an app in no pipeline", ["pipelines:promote", "-a", "single"], 1, "pipelines:add"),
    ("a promotion from production", ["pipelines:promote", "-a", "example"], 1, "production"),
    ("a promotion to nobody", ["pipelines:promote", "-a", "example", "--to", ","], 2, "--to"),
    ("a promotion to an unknown app", ["pipelines:promote", "-a", "example", "--to", "exmple"], 1, "exmple"),
    ("a repository of no form", ["pipelines:connect", "shop", "-r", "acme"], 2, "ORG/REPO"),
    ("a repository out of reach", ["pipelines:connect", "shop", "-r", "acme/secret", "-c", "shop"], 1, "Couldn't access that repo"),
    ("a config var of no form", ["config:set", "A", "-a", "example"], 2, "KEY=VALUE"),
    ("a config var of a bad name", ["config:set", "A-B=1", "-a", "example"], 1, "A-B"),
    ("a scale of no form", ["ps:scale", "web", "-a", "example"], 2, "TYPE=N"),
    ("a scale beyond what can run", ["ps:scale", "web=101", "-a", "example"], 2, "At most 100"),
    ("a destroy without confirmation", ["apps:destroy", "-a", "example"], 2, "--confirm example"),
    ("a destroy with the wrong name", ["apps:destroy", "-a", "example", "--confirm", "other"], 1, "does not match"),
    ("a disconnection without confirmation", ["pipelines:disconnect", "shop"], 2, "--confirm shop"),
    ("stale days beyond thirty", ["reviewapps:enable", "-p", "shop", "--destroy-stale-days", "31"], 2, "30"),
    ("a setting of no form", ["pipelines:settings", "labels", "-p", "shop"], 2, "'labels' is not of the form NAME=VALUE"),
    ("a setting that is not there", ["pipelines:settings", "label=a", "-p", "shop"], 1, "label: there is no such setting; there are review_apps,"),
    ("a switch that is neither on nor off", ["pipelines:settings", "drafts=maybe", "-p", "shop"], 1, "drafts: expected true or false"),
    ("a number that is none", ["pipelines:settings", "stale-days=soon", "-p", "shop"], 1, "stale_days: expected a whole number from 1 to 30"),
    ("a pattern that leads out", ["pipelines:settings", "paths=../x", "-p", "shop"], 1, "paths: ../x: a pattern has"),
    ("a review app to pin that is not there", ["reviewapps:pin", "7", "-p", "shop"], 1, "no review app for 7"),
    ("nothing to pin", ["reviewapps:pin", "-p", "shop"], 2, "Name one pull request"),
    ("neither on nor off", ["deploy:auto", "maybe", "-a", "example"], 2, "on or off"),
    ("an unknown branch", ["deploy", "nowhere", "-a", "example"], 1, "nowhere"),
    ("a deploy without a repository", ["deploy", "main", "-a", "single"], 1, "pipelines:connect"),
    ("no former release", ["releases:rollback", "-a", "example"], 1, "no former release"),
    ("a taken name", ["apps:create", "example"], 1, "already taken"),
    ("a name of a bad form", ["apps:create", "Example"], 1, "name"),
    ("two references", ["reviewapps:create", "7", "--branch", "x", "-p", "shop"], 2, "one"),
    ("no such review app", ["reviewapps:destroy", "7", "-p", "shop"], 1, "no review app for 7"),
    ("a review app of no pull request", ["reviewapps:create", "99", "-p", "shop"], 1, "#99"),
    ("a review app of no branch", ["reviewapps:create", "nowhere", "-p", "shop"], 1, "nowhere"),
    ("a process type the app has not", ["ps:scale", "clock=1", "-a", "example-staging"], 1, "deploy something first"),
    ("a release that is not there", ["releases:rollback", "v9", "-a", "example"], 1, "example has no release v9"),
    ("output of a release that is not there", ["releases:output", "v9", "-a", "example"], 1, "example has no release v9"),
    ("a retry of a release that is not there", ["releases:retry", "x", "-a", "example"], 1, "example has no release x"),
    ("a promotion of a release that is not there", ["pipelines:promote", "-a", "example-staging", "--release", "v9"], 1, "example-staging has no release v9"),
    ("config vars of an unknown stage", ["config:set", "A=1", "-p", "shop", "--stage", "prod"], 2, "review"),
    ("config vars of a pipeline without a stage", ["config", "-p", "shop"], 2, "--stage"),
    ("config vars of an app and a stage", ["config:set", "A=1", "-a", "example", "--stage", "review"], 2, "not both"),
    ("two apps", ["apps:destroy", "example", "-a", "single", "--confirm", "single"], 2, "example or single"),
    ("a repository's address", ["pipelines:connect", "shop", "-r", "https://github.com/acme/shop"], 2, "'https://github.com/acme/shop' is not of the form"),
    ("an app of another pipeline", ["pipelines:promote", "-a", "example-staging", "--to", "foreign"], 1, "Cannot find app foreign in pipeline shop; it has: example, example-staging."),
    ("no question", ["why"], 2, "SHA|PR|APP"),
    ("help about nothing", ["help", "pipline"], 2, "pipelines"),
    ("a pull request of more digits than any has", ["reviewapps:create", "1" * 5000, "-p", "shop"], 1, "is not the number of a pull request"),
    ("an empty commit, as of a variable that is not set", ["deploy", "", "-a", "example"], 2, "An argument is empty"),
    ("an empty release, as of a variable that is not set", ["releases:rollback", " ", "-a", "example"], 2, "An argument is empty"),
    ("a name that is no UTF-8", ["apps:info", os.fsdecode(b"sho\xff")], 1, "Couldn't find the app"),
    ("a question that is no UTF-8", ["why", os.fsdecode(b"sho\xff")], 1, "sho"),
    ("a remote outside a repository", ["git:remote", "-a", "example"], 1, "git repository"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "code", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_usage_is_answered_in_one_sentence(
    towpath: Cli, server: Server, args: list[str], code: int, words: str
) -> None:
    await server.pipeline(production="example", staging="example-staging")
    await server.app("single")
    await server.pipeline("other", production="foreign", connected=False)
    done = await towpath(*args, code=code)
    assert words in done.err


async def test_not_waiting_returns_at_once(towpath: Cli, server: Server) -> None:
    await server.pipeline(staging="example")
    assert "is queued" in (await towpath("deploy", "main", "-a", "example", "--no-wait")).out
    await towpath("config:set", "A=1", "-a", "example", "--no-wait")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.localhost:1", "https://127.0.0.1:1"])
async def test_an_unreachable_server_is_one_sentence_with_what_to_do(offline: Cli, url: str) -> None:
    done = await offline("apps", code=6, TOWPATH_URL=url, TOWPATH_TOKEN="x")
    assert done.err.count("\n") == 1
    assert "towpath up" in done.err


async def test_without_any_server_it_says_how_to_start_one(offline: Cli) -> None:
    assert "towpath up" in (await offline("apps", code=1)).err
    await offline("apps", code=1, TOWPATH_URL="http://127.0.0.1:1")
    for nonsense in ("nonsense", "http://[::1", "http://host:99999", "http://host:x", "ftp://host", "http://"):
        assert "not a URL" in (await offline("apps", code=1, TOWPATH_URL=nonsense, TOWPATH_TOKEN="x")).err, nonsense


@pytest.mark.parametrize("token", ["two\nlines", "caf\u20ac"])
async def test_a_token_that_cannot_be_one_is_named_and_not_shown(offline: Cli, token: str) -> None:
    done = await offline("apps", code=1, TOWPATH_URL="http://127.0.0.1:1", TOWPATH_TOKEN=token)
    assert "TOWPATH_TOKEN holds characters that no token has" in done.err
    assert token not in done.err


async def test_the_end_of_the_line_that_a_token_was_read_with_is_no_part_of_it(towpath: Cli) -> None:
    await towpath("apps", TOWPATH_TOKEN=f"{towpath.env['TOWPATH_TOKEN']}\n")


async def test_a_server_that_is_another_is_said_to_be(offline: Cli) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<h1>hello</h1>\n")
        writer.close()

    async with await asyncio.start_server(page, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        done = await offline("apps", code=6, TOWPATH_URL=url, TOWPATH_TOKEN="x")
    assert "what answers there is not Towpath" in done.err


async def test_a_wrong_token_says_where_the_right_one_comes_from(towpath: Cli) -> None:
    assert "TOWPATH_TOKEN" in (await towpath("apps", code=1, TOWPATH_TOKEN="towpath-wrong")).err


async def test_the_running_server_is_found_by_its_ready_file(server: Server, offline: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    url = server.url.replace("127.0.0.1", "anything.localhost")
    (data / "ready.json").write_text(json.dumps({"url": url, "api_token": server.token, "pids": {}}))
    assert (await offline("apps", "--json", TOWPATH_DATA=str(data))).json == []
    (data / "ready.json").write_text("{")
    assert "towpath up" in (await offline("apps", code=1, TOWPATH_DATA=str(data))).err


async def test_help_needs_no_server_and_is_found_by_topic(offline: Cli) -> None:
    assert "Review apps:" in (await offline("--help")).out
    shown = await offline("help", "pipelines")
    assert "pipelines:promote" in shown.out
    assert "Usage: towpath" in (await offline("help", "pipelines:create")).out
    assert "--to" in (await offline("pipelines:promote", "--help")).out


HELP = """\
Usage: towpath pipelines:create [OPTIONS] [NAME]

  Create a pipeline with an app in it, yours or a team's.

Arguments:
  NAME <str>

Options:
  -a, --app APP        The app to act on.
  -r, --remote REMOTE  The git remote of the app to act on.
  -s, --stage STAGE    development, staging or production.
  -t, --team TEAM      The team: its name or id.
  --json               Print JSON for programs.
  --profile PROFILE    The server to use, as towpath profiles lists them.
  -h, --help           Show this message and exit.

Related:
  pipelines             List pipelines.
  pipelines:create      Create a pipeline with an app in it, yours or a
                        team's.
  pipelines:add         Add an app to a pipeline.
"""


async def test_help_for_a_command_says_all_of_it_and_what_is_related(offline: Cli) -> None:
    assert (await offline("help", "pipelines:create", COLUMNS="80")).out.startswith(HELP)


async def test_the_list_of_commands_says_all_of_each_in_eighty_columns(offline: Cli) -> None:
    shown = (await offline("--help", COLUMNS="80")).out
    assert "..." not in shown.replace("ARGS]...", "")
    assert max(map(len, shown.splitlines())) <= 80
    assert "[[" not in (await offline("apps:create", "--help")).out


async def test_a_process_type_that_is_not_there_is_told_with_those_that_are(
    towpath: Cli, server: Server, worker: dict[str, Any]
) -> None:
    await server.pipeline(staging="example")
    await towpath("deploy", "main", "-a", "example")
    assert "(clock); the app has: web, worker" in (await towpath("ps:scale", "clock=1", "-a", "example", code=1)).err


async def test_nothing_is_colored_off_a_terminal(towpath: Cli, server: Server) -> None:
    await server.app("example")
    assert "\x1b" not in (await towpath("apps")).out


async def test_a_reader_that_goes_away_is_no_traceback(towpath: Cli, server: Server) -> None:
    await server.app("example")
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m service.cli apps --json | true",
        cwd=towpath.cwd,
        env=towpath.env,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert err == b""


async def test_ctrl_c_stops_the_waiting_only_and_says_so(towpath: Cli, server: Server) -> None:
    await server.pipeline(staging="example")
    polled: list[str] = []

    def see(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM apps JOIN requests" in statement:
            polled.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.cli", "config:set", "A=1", "-a", "example",
            cwd=towpath.cwd, env=towpath.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await until(lambda: polled, what="the command asks how far its request has come", seconds=30)
    finally:
        event.remove(Engine, "before_cursor_execute", see)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130, err
    assert b"not waited for" in out
    assert b"Stopped waiting; Towpath goes on. Look with: towpath releases -a example\n" in err
    assert (await server.get("/apps/example/requests"))[0]["state"] == "queued"


@pytest.mark.parametrize(
    "program",
    [[sys.executable, "-m", "service.cli"], [str(Path(sys.executable).with_name("towpath"))]],
    ids=["as a module", "as a program"],
)
def test_ctrl_c_while_it_starts_is_one_sentence(offline: Cli, tmp_path: Path, program: list[str]) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\n\nos.kill(os.getpid(), signal.SIGINT)\n")
    env = offline.env | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([*program, "apps"], env=env, cwd=offline.cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_command_starts_without_what_only_servers_need() -> None:
    """Each takes longer to import than most commands to run."""
    look = (
        "import sys, typer.main; from service.cli.main import build_cli; "
        "list(typer.main.get_command(build_cli()).commands.values()); "
        "print(sorted({'asyncio', 'importlib.metadata', 'pydantic', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("words", "imported"),
    [
        (["--help"], []),
        (["help", "apps"], ["apps", "git"]),
        (["apps", "--help"], ["apps", "git"]),
        (["pip"], []),
        (["completion", "bash"], ["completion"]),
        (["completion", "bash", "--line", "towpath "], ["completion"]),
        (["completion", "bash", "--line", "towpath spaces --"], ["completion", "spaces"]),
    ],
)
def test_only_the_commands_that_are_asked_for_are_imported(words: list[str], imported: list[str]) -> None:
    """To import them all takes longer than to run one."""
    look = (
        f"import sys; from service.cli.main import run; run({words}); "
        "import service.cli.index as index; "
        "parts = sorted(each.rpartition('.')[2] for each in index.MODULES if f'service.cli.{each}' in sys.modules); "
        "print(f'imported {parts}', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == f"imported {sorted(imported)}"
