"""`towpath deploy`: a branch or commit by hand, or a branch by itself."""

from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, OverrideLockOption, RemoteOption, WaitOption
from service.cli.profile import load


def deploy(
    version: Annotated[str | None, typer.Argument(metavar="BRANCH|SHA", help="The default branch if left out.")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build from nothing: without former slugs and caches of the same files.")
    ] = False,
    override_lock: OverrideLockOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Deploy a branch or commit of the connected repository now, whatever CI says."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    body: Json = {"source_blob": {"version": version} if target.given(version) else {}}
    if rebuild:
        body["rebuild"] = True
    if override_lock:
        body["override_lock"] = True
    build = client.call("POST", path("apps", name, "builds"), body).data
    commit = build["source_blob"]["version"][:7]
    what = f"{version} ({commit})" if version and not version.startswith(commit) else commit
    output.note(f"Deploying {what} to {name}")
    done: Json = build
    if wait:
        done = following.follow(client, name, build["id"], output=True, quiet=json)
    if json:
        output.show_json(done)
    elif not wait:
        output.say(f"Deploy {build['id']} is queued. Look with: towpath releases -a {name}")
    elif done["release"]:
        url = client.get(path("apps", name))["web_url"]
        output.say(f"Released v{done['release']['version']} of {name}: {url}")


def auto(
    switch: Annotated[str, typer.Argument(metavar="on|off")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    branch: Annotated[
        str | None, typer.Option("--branch", "-b", metavar="BRANCH", help="The branch to follow.")
    ] = None,
    default_branch: Annotated[
        bool, typer.Option("--default-branch", help="Follow the repository's default branch, whichever that is.")
    ] = False,
    wait_for_ci: Annotated[
        bool | None, typer.Option("--wait-for-ci/--no-wait-for-ci", help="Deploy after CI has passed.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Deploy a branch whenever it changes, or stop doing so."""
    if switch not in {"on", "off"}:
        raise Stop(f"Say on or off, not {switch!r}.", code=ExitCode.USAGE)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    wanted = {"auto_deploy": switch == "on", "branch": branch, "wait_for_ci": wait_for_ci}
    body = {key: value for key, value in wanted.items() if value is not None}
    if default_branch:
        body["follow_default_branch"] = True
    with output.action(f"Switching automatic deploys of {name} {switch}", quiet=json):
        changed = client.call("PATCH", path("apps", name, "github"), body).data
    if json:
        output.show_json(changed)
    elif changed["auto_deploy"]:
        after = " after CI has passed" if changed["wait_for_ci"] else ""
        output.say(f"{changed['repo']} {changed['branch']} is deployed to {name}{after}.")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("deploy")(deploy)
    cli.command("deploy:auto")(auto)
