"""`towpath config`: config vars, of an app or of all new apps of a stage."""

import shlex
from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, PipelineOption, RemoteOption, StageOption, WaitOption
from service.cli.profile import load


def _of_stage(client: Client, pipeline: str | None, stage: str) -> tuple[str, str]:
    found = target.pipeline(client, pipeline)
    return path("pipelines", found["id"], "stage", stage, "config-vars"), f"{found['name']} ({stage})"


def listing(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    shell: Annotated[bool, typer.Option("--shell", help="Print lines a shell understands.")] = False,
    json: JsonOption = False,
) -> None:
    """Show config vars: an app's, or with --pipeline and --stage those that new apps of a stage get."""
    client = Client(profile=load())
    if stage is not None:
        where, name = _of_stage(client, pipeline, stage)
    else:
        name = target.app_name(client.profile, app, remote)
        where = path("apps", name, "config-vars")
    variables: dict[str, str] = client.get(where)
    if json:
        output.show_json(variables)
    elif shell:
        for key, value in sorted(variables.items()):
            output.say(f"{key}={shlex.quote(value)}")
    else:
        output.heading(f"{name} Config Vars")
        output.table([[f"{key}:", value] for key, value in sorted(variables.items())])


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Stop(f"{word!r} is not of the form KEY=VALUE.", code=ExitCode.USAGE)
        pairs[key] = value
    return pairs


def set_(
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE ...")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Set config vars and restart the app."""
    wanted = _pairs(pairs)
    after = _change("Setting", dict(wanted), app, remote, pipeline, stage, wait=wait, quiet=json)
    if json:
        output.show_json(after)
    else:
        output.table([[f"{key}:", value] for key, value in wanted.items()])


def unset(
    keys: Annotated[list[str], typer.Argument(metavar="KEY ...")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Unset config vars and restart the app."""
    after = _change("Unsetting", dict.fromkeys(keys), app, remote, pipeline, stage, wait=wait, quiet=json)
    if json:
        output.show_json(after)


def _change(
    verb: str,
    changes: dict[str, str] | dict[str, None],
    app: str | None,
    remote: str | None,
    pipeline: str | None,
    stage: str | None,
    *,
    wait: bool,
    quiet: bool,
) -> Json:
    client = Client(profile=load())
    keys = ", ".join(changes)
    if stage is not None:
        where, name = _of_stage(client, pipeline, stage)
        with output.action(f"{verb} {keys} for {name}", quiet=quiet):
            changed: Json = client.call("PATCH", where, changes).data
        return changed
    name = target.app_name(client.profile, app, remote)
    with output.action(f"{verb} {keys} and restarting {name}", quiet=quiet) as doing:
        answer = client.call("PATCH", path("apps", name, "config-vars"), changes)
        if wait and answer.request_id is not None:
            done = following.follow(client, answer.request_id, output=False)
            doing.end = f"done, v{done['release']['version']}" if done["release"] else "done"
    after: Json = answer.data
    return after


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("config")(listing)
    cli.command("config:set")(set_)
    cli.command("config:unset")(unset)
