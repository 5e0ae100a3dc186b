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


_Vars = tuple[str, str, bool]
"""Where config vars are, what to call whose they are, and whether that is an app, which a change restarts."""


def _vars_of(
    client: Client, app: str | None, remote: str | None, pipeline: str | None, stage: str | None, *, fork: bool
) -> _Vars:
    of_stage = _of_stage(client, app, remote, pipeline, stage, fork=fork)
    if of_stage is not None:
        where, name = of_stage
        return where, name, False
    name = target.app_name(client.profile, app, remote)
    return path("apps", name, "config-vars"), name, True


def listing(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    stage: StageOption = None,
    fork: ForkOption = False,
    release: Annotated[
        str | None, typer.Option("--release", metavar="VERSION", help="Those that this release of the app has.")
    ] = None,
    shell: Annotated[bool, typer.Option("--shell", help="Print lines a shell understands.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the config vars of an app, or those that new apps of a stage get."""
    client = Client(profile=load())
    where, name, of_app = _vars_of(client, app, remote, pipeline, stage, fork=fork)
    heading = f"{name} Config Vars"
    if target.given(release) and release is not None:
        if not of_app:
            raise Stop("Releases are of an app: say --release with -a APP.", code=ExitCode.USAGE)
        chosen = target.release_of(client, name, release)
        where, heading = (
            path("apps", name, "releases", chosen["id"], "config-vars"),
            f"v{chosen['version']} of {heading}",
        )
    answer = client.call("GET", where)
    variables: dict[str, str] = answer.data
    if json:
        output.show_json(variables)
    elif shell:
        for key, value in sorted(variables.items()):
            output.say(f"{key}={shlex.quote(value)}")
    else:
        output.heading(heading)
        output.table([[f"{key}:", value] for key, value in sorted(variables.items())])
        if not variables:
            hint = f" Set one: towpath config:set KEY=VALUE -a {name}" if of_app and release is None else ""
            output.say(f"There are none.{hint}")
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
    where, name, _ = _vars_of(client, app, remote, pipeline, stage, fork=fork)
    variables: dict[str, str] = client.get(where)
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
    client = Client(profile=load())
    of = _vars_of(client, app, remote, pipeline, stage, fork=fork)
    after = _change(client, of, "Setting", dict(wanted), wait=wait, quiet=json)
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
    client = Client(profile=load())
    of = _vars_of(client, app, remote, pipeline, stage, fork=fork)
    where, name, _ = of
    after: Json = client.get(where)
    there = [key for key in dict.fromkeys(keys) if key in after]
    for key in dict.fromkeys(keys):
        if key not in after:
            output.note(f" !    {name} has no config var {key}.{close(key, sorted(after))}")
    if there:
        after = _change(client, of, "Unsetting", dict.fromkeys(there), wait=wait, quiet=json)
    if json:
        output.show_json(after)
    elif not there:
        output.say("Nothing was changed.")


def _change(
    client: Client, of: _Vars, verb: str, changes: dict[str, str] | dict[str, None], *, wait: bool, quiet: bool
) -> Json:
    where, name, of_app = of
    what = f"and restarting {name}" if of_app else f"for {name}"
    with output.action(f"{verb} {', '.join(changes)} {what}", quiet=quiet) as doing:
        answer = client.call("PATCH", where, changes)
        if of_app and answer.request_id is None:
            doing.end = "done, it was so already"
        elif wait and answer.request_id is not None:
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
