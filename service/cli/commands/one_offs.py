"""`towpath run` and what else is about commands that run beside an app, once."""

import shlex
import sys
import time
from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, RemoteOption, WaitOption
from service.cli.profile import load

_COMMAND = {"allow_interspersed_args": False}
_OPEN = ("starting", "up")
_ENDED_BY_OTHERS = (124, 129, 137, 143)

CommandArgument = Annotated[
    list[str], typer.Argument(metavar="COMMAND", help="The command; its own options behind `--`.")
]
EnvOption = Annotated[
    list[str] | None, typer.Option("--env", "-e", metavar="NAME=VALUE", help="A variable for it alone; several times.")
]
TypeOption = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="The process type it is shown as.")]
SizeOption = Annotated[str | None, typer.Option("--size", "-s", hidden=True)]
LifeOption = Annotated[
    int | None,
    typer.Option("--time-to-live", metavar="SECONDS", min=10, max=86400, help="End it then; after a day in any case."),
]


def run(
    command: CommandArgument,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    env: EnvOption = None,
    detached: Annotated[bool, typer.Option("--detached", "-d", help="Do not wait: its output is in the logs.")] = False,
    no_tty: Annotated[bool, typer.Option("--no-tty", help="Give it no terminal: bytes pass as they are.")] = False,
    _exit_code: Annotated[bool, typer.Option("--exit-code", "-x", help="Its exit code is ours; always so.")] = False,
    type_: TypeOption = None,
    _size: SizeOption = None,
    time_to_live: LifeOption = None,
) -> None:
    """Run a command once, with an app's code and config, in your terminal."""
    from service.cli import terminal  # takes longer to import than most commands to run

    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    given, words = _variables(env), _line(command)
    if detached:
        _detach(client, name, {"command": words, "env": given, "type": type_, "time_to_live": time_to_live})
        return
    raw = not no_tty and terminal.is_one()
    with output.action(f"Running {words} on {name}", quiet=True) as doing:
        asked = {
            "command": words, "attach": True, "env": {**(terminal.variables() if raw else {}), **given},
            "force_no_tty": not raw, "type": type_, "time_to_live": time_to_live,
        }  # fmt: skip
        dyno = client.call("POST", path("apps", name, "dynos"), asked).data
        doing.end = f"up, {dyno['name']}"
    sys.stderr.flush()
    code = terminal.attach(client.profile, dyno["attach_url"], raw=raw)
    if code in _ENDED_BY_OTHERS and (reason := _ended(client, name, dyno["id"])["reason"]):
        output.note(f"{dyno['name']} has ended: {reason}.")
    raise typer.Exit(code)


def detached(
    command: CommandArgument,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    env: EnvOption = None,
    type_: TypeOption = None,
    _size: SizeOption = None,
    time_to_live: LifeOption = None,
    json: JsonOption = False,
) -> None:
    """Run a command once and do not wait for it: its output is in the logs."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    asked = {"command": _line(command), "env": _variables(env), "type": type_, "time_to_live": time_to_live}
    _detach(client, name, asked, json=json)


def _detach(client: Client, name: str, asked: Json, *, json: bool = False) -> None:
    with output.action(f"Running {asked['command']} on {name}", quiet=json) as doing:
        dyno = client.call("POST", path("apps", name, "dynos"), {"attach": False, **asked}).data
        doing.end = f"done, {dyno['name']}"
    if json:
        output.show_json(dyno)
        return
    output.say(f"Run towpath logs --app {name} --dyno {dyno['name']} to view the output.")


def _line(command: list[str]) -> str:
    """The command as its shell gets it: one word may be a whole line of it, several are quoted where that is needed."""
    return command[0] if len(command) == 1 else shlex.join(command)


def _variables(given: list[str] | None) -> dict[str, str]:
    split = [each.partition("=") for each in given or ()]
    for name, sign, _ in split:
        if not (name and sign):
            raise Stop(f"--env {name}{sign}: say NAME=VALUE.", code=ExitCode.USAGE)
    return {name: value for name, _, value in split}


def _ended(client: Client, app: str, dyno: str, *, seconds: float = 5.0) -> Json:
    """The dyno with its end, or as it is when that is not recorded in time."""
    until = time.monotonic() + seconds
    while True:
        found: Json = client.get(path("apps", app, "dynos", dyno))
        if found["state"] not in _OPEN or time.monotonic() > until:
            return found
        time.sleep(following.POLL_SECONDS)


def stop(
    dyno: Annotated[str, typer.Argument(metavar="DYNO", help="As `towpath ps` shows it: run.1234.")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Stop a one-off dyno. One of the formation is started again at once: to have less of them, scale down."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    with output.action(f"Stopping {dyno} on {name}", quiet=json):
        answer = client.call("POST", path("apps", name, "dynos", dyno, "actions", "stop"))
        if wait and answer.request_id is not None:
            following.follow(client, name, answer.request_id, output=False)
        elif wait:
            _check_ended(_ended(client, name, dyno, seconds=60.0))
    if json:
        output.show_json(client.get_if_any(path("apps", name, "dynos", dyno)))


def _check_ended(dyno: Json) -> None:
    if dyno["state"] in _OPEN:
        raise Stop(
            f"{dyno['name']} has not ended yet; it is killed soon. Look with: towpath ps -a {dyno['app']['name']}"
        )


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("run", context_settings=_COMMAND)(run)
    cli.command("run:detached", context_settings=_COMMAND)(detached)
    cli.command("ps:stop")(stop)
