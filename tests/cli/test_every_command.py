"""What holds for every command, whichever comes: it is listed, and it ends in one sentence when something is not there."""

import asyncio
import importlib
import re
import subprocess
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from service.cli.index import MODULES
from service.cli.main import build_cli, run
from tests.cli.conftest import ROOT, Cli
from tests.web.serving import Server

GROUP = typer.main.get_command(build_cli())
assert isinstance(GROUP, TyperGroup)
COMMANDS = dict(GROUP.commands)

# Scripts depend on these names.
NAMED = {
    *("up", "web", "worker", "router", "runner", "migrate", "doctor", "demo", "github-sim"),
    *("apps", "apps:create", "apps:info", "apps:destroy", "git:remote", "ps", "logs", "deliveries", "why"),
    *("pipelines", "pipelines:create", "pipelines:add", "pipelines:update", "pipelines:remove", "pipelines:info"),
    *("pipelines:connect", "pipelines:promote", "releases", "releases:rollback", "config", "config:set"),
    *("reviewapps", "reviewapps:create", "reviewapps:destroy", "reviewapps:enable", "reviewapps:disable"),
    *("deploy", "deploy:auto"),
}

# Those that start a server or need none.
OF_THE_MACHINE = {"help", "completion", "login", "logout", "profiles"}
OF_THE_SERVER = {"up", "web", "worker", "router", "runner", "migrate", "secrets:rotate", "doctor", "demo", "github-sim"}

APP, PIPELINE = ("-a", "nowhere"), ("-p", "nowhere")
# Others, asked for what is not there; None where nothing is named that could be missing.
MISSING: dict[str, tuple[str, ...] | None] = {
    "apps": None,
    "apps:create": None,
    "apps:info": APP,
    "apps:rename": ("elsewhere", *APP),
    "apps:destroy": (*APP, "--confirm", "nowhere"),
    "git:remote": APP,
    "pipelines": None,
    "pipelines:create": ("shop", *APP, "-s", "staging"),
    "pipelines:add": ("shop", *APP, "-s", "staging"),
    "pipelines:update": (*APP, "-s", "staging"),
    "pipelines:remove": APP,
    "pipelines:rename": ("nowhere", "elsewhere"),
    "pipelines:destroy": ("nowhere", "--confirm", "nowhere"),
    "pipelines:info": ("nowhere",),
    "pipelines:connect": ("nowhere", "-r", "acme/shop"),
    "pipelines:disconnect": ("nowhere", "--confirm", "nowhere"),
    "pipelines:promote": APP,
    "pipelines:settings": PIPELINE,
    "builds": APP,
    "builds:create": ("--source-url", "https://github.com/acme/tool/archive/main.tar.gz", *APP),
    "builds:info": APP,
    "builds:output": APP,
    "builds:cancel": APP,
    "reviewapps": PIPELINE,
    "reviewapps:create": ("7", *PIPELINE),
    "reviewapps:destroy": ("7", *PIPELINE),
    "reviewapps:pin": ("7", *PIPELINE),
    "reviewapps:unpin": ("7", *PIPELINE),
    "reviewapps:enable": PIPELINE,
    "reviewapps:disable": (*PIPELINE, "--confirm", "nowhere"),
    "reviewapps:approve": ("7", *PIPELINE, "--sha", "a" * 40),
    "deploy": ("main", *APP),
    "deploy:auto": ("on", *APP),
    "releases": APP,
    "releases:info": APP,
    "releases:rollback": APP,
    "releases:retry": APP,
    "releases:output": APP,
    "config": APP,
    "config:get": ("A", *APP),
    "config:set": ("A=1", *APP),
    "config:unset": ("A", *APP),
    "config:build": APP,
    "ps": APP,
    "ps:scale": ("web=1", *APP),
    "ps:restart": APP,
    "ps:stop": ("run.1234", *APP),
    "run": (*APP, "ls"),
    "run:detached": (*APP, "ls"),
    "logs": APP,
    "deliveries": ("nowhere",),
    "why": ("nowhere",),
    "webhooks": APP,
    "webhooks:add": ("-i", "api:app", "-l", "sync", "-u", "https://example.com/", *APP),
    "webhooks:events": APP,
    "webhooks:deliveries": APP,
    "github:setup": None,
    "github:webhook": None,
}
PLAIN = {"github:webhook": ("acme/shop",)}


def words(command: str) -> tuple[str, ...]:
    """How it is asked for; what stands in no table gets what it cannot do without."""
    if command in MISSING:
        return (command, *(MISSING[command] or PLAIN.get(command, ())))
    known = COMMANDS[command].params
    arguments = ["nowhere" for each in known if each.param_type_name == "argument" and each.required]
    options = {option for each in known for option in each.opts}
    of = APP if "--app" in options else PIPELINE if "--pipeline" in options else ()
    return (command, *arguments, *of)


def test_every_command_that_scripts_depend_on_is_there() -> None:
    assert COMMANDS.keys() >= NAMED


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of somebody who has a clone and no server."""
    for name in ("TOWPATH_URL", "TOWPATH_TOKEN", "TOWPATH_DATA", "TOWPATH_PROFILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)


# git:credentials is asked by git, which asks a person where it says nothing.
@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - OF_THE_SERVER - OF_THE_MACHINE - {"git:credentials"}))
def test_without_a_server_it_is_said_how_to_start_one(
    command: str, alone: None, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(words(command))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if command in MISSING or code == 1:
        assert code == 1, err
        assert "No Towpath server is known here: start one with `towpath up`" in err
    else:  # it wants to know more than its own help requires
        assert (code, bool(err)) == (2, True)


# Those that print what is for no program: scripts, help, and the words of processes that they become.
FOR_PEOPLE = {"completion", "help", "up", "web", "worker", "router", "runner", "migrate", "secrets:rotate", "demo"}
FOR_PEOPLE |= {"github-sim"}
# What other programs speak with, or that speaks for itself.
FOR_PEOPLE |= {"run", "run:detached", "heroku", "heroku-env", "git:credentials"}


def test_every_command_that_shows_something_shows_it_to_programs_too() -> None:
    shown = {name for name, each in COMMANDS.items() if any("--json" in one.opts for one in each.params)}
    assert COMMANDS.keys() - shown - FOR_PEOPLE == set()


def test_every_command_that_asks_a_server_may_be_told_which() -> None:
    told = {name for name, each in COMMANDS.items() if any("--profile" in one.opts for one in each.params)}
    assert COMMANDS.keys() - told == OF_THE_SERVER | {"completion", "help"}


def test_every_command_that_destroys_asks_first() -> None:
    destroying = re.compile(r":(destroy|disable|disconnect)$|^users:remove$|^pipelines:transfer$")
    asking = {name for name, each in COMMANDS.items() if any("--confirm" in one.opts for one in each.params)}
    assert {name for name in COMMANDS if destroying.search(name)} - asking == set()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_an_option_that_there_is_not_is_wrong_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run((command, "--no-such-option")) == 2
    assert "--no-such-option" in capsys.readouterr().err


async def test_what_is_not_there_is_named_by_each(
    towpath: Cli, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in towpath.env.items():
        monkeypatch.setenv(name, value)
    await server.pipeline()
    for command in (each for each, missing in MISSING.items() if missing is not None):
        code = await asyncio.to_thread(run, words(command))
        out, err = capsys.readouterr()
        assert (code, command) == (1, command), out + err
        assert "nowhere" in err or "delivery" in err, (command, err)
        assert "Traceback" not in err, command


# What we tell people to run

_TOLD = re.compile(r"`towpath ([a-z][a-z:-]*)([^`\n\"]*)|^(?:> )?towpath ([a-z][a-z:-]*)([^#\n]*)", re.MULTILINE)
_WITH_TOPIC = re.compile(r"towpath ([a-z]+:[a-z]+)()")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-z])(?![\w-])")
_SAID_IN = (*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py"), *(ROOT / "service").rglob("*.html"))
_SAID_IN += (*(ROOT / "workers").rglob("*.cjs"), *ROOT.glob("*.md"), *(ROOT / "deploy").glob("*.md"))


def told(text: str) -> list[tuple[str, str]]:
    """The commands that a text names, each with its options."""
    found = [(one or two, more or rest) for one, more, two, rest in _TOLD.findall(text)]
    return found + [(command, "") for command, _ in _WITH_TOPIC.findall(text)]


def test_every_command_that_people_are_told_of_is_there_with_its_options() -> None:
    wrong, seen = [], 0
    for path in _SAID_IN:
        for command, words in told(path.read_text()):
            seen += 1
            rest = words.partition(" -- ")[0]  # what follows is another program's
            known = COMMANDS.get(command)
            options = {each for one in known.params for each in (*one.opts, *one.secondary_opts)} if known else set()
            missing = [each for each in _OPTION.findall(rest) if each not in options | {"--help"}]
            if known is None or missing:
                wrong.append(f"{path.relative_to(ROOT)}: towpath {command} {' '.join(missing)}")
    assert wrong == []
    assert seen > 100


def test_the_index_says_of_every_command_where_it_is_and_what_it_does() -> None:
    places = [*Path(ROOT, "service/cli/commands").glob("*.py"), Path(ROOT, "service/cli/servers.py")]
    found: dict[str, dict[str, str]] = {}
    for place in places:
        name = ".".join(place.relative_to(Path(ROOT, "service/cli")).with_suffix("").parts)
        part = importlib.import_module(f"service.cli.{name}")
        if hasattr(part, "register"):
            cli = typer.Typer()
            part.register(cli)
            commands = typer.main.get_group(cli).commands.items()
            found[name] = {word: command.get_short_help_str(90) for word, command in commands}
    assert found == MODULES
    assert all(list(found[module]) == list(MODULES[module]) for module in found), "and in their order"
