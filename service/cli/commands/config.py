"""`towpath config`: config vars, of an app or of all new apps of a stage."""

import shlex
from typing import Annotated

import typer

from service.cli import asking, following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, PipelineOption, RemoteOption, WaitOption
from service.cli.profile import load
from service.cli.topics import close

StageOption = Annotated[
    str | None,
    typer.Option("--stage", "-s", metavar="STAGE", help="Those that new apps of this stage get: review, staging ..."),
]

ForkOption = Annotated[
    bool, typer.Option("--fork", help="Those that review apps of forks get, and nothing else of the pipeline's.")
]


def _of_stage(
    client: Client, app: str | None, remote: str | None, pipeline: str | None, stage: str | None, *, fork: bool
) -> tuple[str, str] | None:
    """Where a stage's or the forks' config vars are and how to call it; None when an app's are meant."""
    if fork:
        if app is not None or remote is not None or stage is not None:
            raise Stop("Say --fork with a pipeline only.", code=ExitCode.USAGE)
        found = target.pipeline(client, pipeline)
        return path("pipelines", found["id"], "forks", "config-vars"), f"{found['name']} (forks)"
    if stage is None:
        if pipeline is not None:
            known = ", ".join(asking.CONFIG_STAGES)
            raise Stop(
                f"Which stage of the pipeline? Say --stage STAGE, one of: {known}; or --fork.", code=ExitCode.USAGE
            )
        return None
    if app is not None or remote is not None:
        raise Stop("Say either an app or a stage, not both.", code=ExitCode.USAGE)
    asking.check_stage(stage, asking.CONFIG_STAGES)
    found = target.pipeline(client, pipeline)
    return path("pipelines", found["id"], "stage", stage, "config-vars"), f"{found['name']} ({stage})"


def listing(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    fork: ForkOption = False,
    shell: Annotated[bool, typer.Option("--shell", help="Print lines a shell understands.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the config vars of an app, or those that new apps of a stage get."""
    client = Client(profile=load())
    of_stage = _of_stage(client, app, remote, pipeline, stage, fork=fork)
    if of_stage is not None:
        where, name = of_stage
    else:
        name = target.app_name(client.profile, app, remote)
        where = path("apps", name, "config-vars")
    answer = client.call("GET", where)
    variables: dict[str, str] = answer.data
    if json:
        output.show_json(variables)
    elif shell:
        for key, value in sorted(variables.items()):
            output.say(f"{key}={shlex.quote(value)}")
    else:
        output.heading(f"{name} Config Vars")
        output.table([[f"{key}:", value] for key, value in sorted(variables.items())])
        if others := answer.headers.get("towpath-not-running"):
            output.note(f" !    Not running like this: {others}. See why: towpath releases -a {name}")


def get(
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    fork: ForkOption = False,
    json: JsonOption = False,
) -> None:
    """Print the value of one config var."""
    client = Client(profile=load())
    of_stage = _of_stage(client, app, remote, pipeline, stage, fork=fork)
    name = of_stage[1] if of_stage else target.app_name(client.profile, app, remote)
    variables: dict[str, str] = client.get(of_stage[0] if of_stage else path("apps", name, "config-vars"))
    if key not in variables:
        raise Stop(f"{name} has no config var {key}.{close(key, sorted(variables))}")
    if json:
        output.show_json({key: variables[key]})
    else:
        output.say(variables[key])


def set_(
    pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    fork: ForkOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Set config vars and restart the app."""
    wanted = asking.split_pairs(pairs)
    after = _change("Setting", dict(wanted), app, remote, pipeline, stage, fork=fork, wait=wait, quiet=json)
    if json:
        output.show_json(after)
    else:
        output.table([[f"{key}:", value] for key, value in wanted.items()])


def unset(
    keys: Annotated[list[str], typer.Argument(metavar="KEY")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    fork: ForkOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Unset config vars and restart the app."""
    after = _change("Unsetting", dict.fromkeys(keys), app, remote, pipeline, stage, fork=fork, wait=wait, quiet=json)
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
    fork: bool,
    wait: bool,
    quiet: bool,
) -> Json:
    client = Client(profile=load())
    keys = ", ".join(changes)
    of_stage = _of_stage(client, app, remote, pipeline, stage, fork=fork)
    if of_stage is not None:
        where, name = of_stage
        with output.action(f"{verb} {keys} for {name}", quiet=quiet):
            changed: Json = client.call("PATCH", where, changes).data
        return changed
    name = target.app_name(client.profile, app, remote)
    with output.action(f"{verb} {keys} and restarting {name}", quiet=quiet) as doing:
        answer = client.call("PATCH", path("apps", name, "config-vars"), changes)
        if wait and answer.request_id is not None:
            done = following.follow(client, name, answer.request_id, output=False)
            doing.end = f"done, v{done['release']['version']}" if done["release"] else "done"
    after: Json = answer.data
    return after


def build(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="All that builds are to see.")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    none: Annotated[bool, typer.Option("--none", help="Show builds no config vars any more.")] = False,
    json: JsonOption = False,
) -> None:
    """Name the config vars that builds see, or show them.

    All apps of a pipeline have the same.
    """
    if names and none:
        raise Stop("Say either names or --none, not both.", code=ExitCode.USAGE)
    client = Client(profile=load())
    if (found := target.pipeline_instead(client, pipeline, app, remote)) is not None:
        name, where = found["name"], path("pipelines", found["id"], "build-config")
    else:
        name = target.app_name(client.profile, app, remote)
        where = path("apps", name, "build-config")
    if names or none:
        with output.action(f"Setting what builds of {name} see", quiet=json):
            answer = client.call("PUT", where, {"names": names or []}).data
    else:
        answer = client.get(where)
    if json:
        output.show_json(answer)
        return
    of = answer["pipeline"]["name"] if answer["pipeline"] else name
    output.say(f"Builds of {of} see: {', '.join(answer['names']) or 'no config vars'}")
    if names or none:
        output.say("It counts from the next deploy on.")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("config")(listing)
    cli.command("config:get")(get)
    cli.command("config:set")(set_)
    cli.command("config:unset")(unset)
    cli.command("config:build")(build)
