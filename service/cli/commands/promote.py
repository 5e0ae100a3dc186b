"""`towpath pipelines:promote`: the code of one app to those downstream, as it is."""

import time
from collections.abc import Mapping
from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, OverrideLockOption, RemoteOption, WaitOption
from service.cli.output import Action
from service.cli.profile import load

ToOption = Annotated[
    str | None, typer.Option("--to", "-t", metavar="APP,APP", help="Promote to these apps instead of the next stage.")
]


def promote(
    app: AppOption = None,
    remote: RemoteOption = None,
    to: ToOption = None,
    release: Annotated[
        str | None, typer.Option("--release", metavar="VERSION", help="Promote this release, not the current one.")
    ] = None,
    override_lock: OverrideLockOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Promote an app's code to the apps of the next stage, without building it again."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    coupling = target.coupling_of(client, name)
    names = _names(to)
    source: Json = {"app": {"id": coupling["app"]["id"]}}
    if release is not None:
        source["release"] = {"id": target.release_of(client, name, release)["id"]}
    body: Json = {"pipeline": {"id": coupling["pipeline"]["id"]}, "source": source}
    if override_lock:
        body["override_lock"] = True
    if names is not None:
        body["targets"] = [{"app": {"id": app_id}} for app_id in _ids_in(client, coupling["pipeline"], names)]
        with output.action(f"Starting promotion to apps: {','.join(names)}", quiet=json):
            promotion = client.call("POST", "/pipeline-promotions", body).data
    else:
        promotion = client.call("POST", "/pipeline-promotions", body).data
    targets = _targets(client, promotion)
    with following.patiently(f"towpath releases -a {targets[0]['app']['name']}"):
        if wait and names is None:
            targets = _show_each(client, coupling, promotion, targets, quiet=json)
        elif wait:
            targets = _show_all(client, promotion, quiet=json)
    if json:
        promotion = client.get(path("pipeline-promotions", promotion["id"]))
    _end(promotion, targets, waited=wait, json=json)


def _names(to: str | None) -> list[str] | None:
    if to is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in to.split(",") if name.strip()))
    if not names:
        raise Stop("--to names no app.", code=ExitCode.USAGE)
    return names


def _ids_in(client: Client, pipeline: Json, names: list[str]) -> list[str]:
    """The ids of apps of the pipeline, which may be given by id too; stops at one that it has not."""
    members = [it["app"] for it in client.everything(path("pipelines", pipeline["id"], "pipeline-couplings"))]
    ids = {app["name"]: app["id"] for app in members} | {app["id"]: app["id"] for app in members}
    for name in names:
        if name not in ids:
            known = ", ".join(sorted(app["name"] for app in members))
            raise Stop(f"Cannot find app {name} in pipeline {pipeline['name']}; it has: {known}.")
    return [ids[name] for name in names]


def _targets(client: Client, promotion: Json) -> list[Json]:
    found = client.everything(path("pipeline-promotions", promotion["id"], "promotion-targets"))
    return sorted(found, key=lambda it: it["app"]["name"])


def _show_each(client: Client, coupling: Json, promotion: Json, targets: list[Json], *, quiet: bool) -> list[Json]:
    """One line for each target, ending with its new release."""
    couplings = client.everything(path("pipelines", coupling["pipeline"]["id"], "pipeline-couplings"))
    stages = {it["app"]["id"]: it["stage"] for it in couplings}
    for app in [it["app"] for it in targets]:
        text = f"Promoting {coupling['app']['name']} to {app['name']} ({stages.get(app['id'], '')})"
        with output.action(text, quiet=quiet) as doing:
            done = _await(client, promotion, app["id"], doing if len(targets) == 1 else None, quiet=quiet)
            doing.end = _ending(client, done)
    return _targets(client, promotion)


def _ending(client: Client, done: Json) -> str:
    if done["status"] == "failed":
        return f"failed, {done['error_message'] or 'the app kept its former release'}"
    release = client.get(path("apps", done["app"]["id"], "releases", done["release"]["id"]))
    return f"done, v{release['version']}"


def _await(client: Client, promotion: Json, app_id: str, doing: Action | None, *, quiet: bool) -> Json:
    """Wait for one target's end; with `doing`, show the output of its release phase meanwhile."""
    while True:
        done = next(it for it in _targets(client, promotion) if it["app"]["id"] == app_id)
        if doing is not None and done["release"] is not None:
            _show_release_phase(client, done, doing, quiet=quiet)
            doing = None
        if done["status"] != "pending":
            return done
        time.sleep(following.POLL_SECONDS)


def _show_release_phase(client: Client, done: Json, doing: Action, *, quiet: bool) -> None:
    release: Mapping[str, str] = client.get(path("apps", done["app"]["id"], "releases", done["release"]["id"]))
    if release["output_stream_url"]:
        doing.interrupt()
        following.write(client.stream(release["output_stream_url"]), quiet=quiet)


def _show_all(client: Client, promotion: Json, *, quiet: bool) -> list[Json]:
    with output.action("Waiting for promotion to complete", quiet=quiet):
        targets = _targets(client, promotion)
        while any(it["status"] == "pending" for it in targets):
            time.sleep(following.POLL_SECONDS)
            targets = _targets(client, promotion)
    if not quiet:
        failed = any(it["status"] == "failed" for it in targets)
        output.say("Promotion to some apps failed" if failed else "Promotion successful")
        for it in targets:
            error = f" {it['error_message']}" if it["error_message"] else ""
            output.say(f"{it['app']['name']}: {output.state(it['status'])}{error}")
    return targets


def _end(promotion: Json, targets: list[Json], *, waited: bool, json: bool) -> None:
    if json:
        output.show_json({"promotion": promotion, "targets": targets})
    elif not waited:
        output.say(f"Promotion {promotion['id']} is on its way to: {', '.join(it['app']['name'] for it in targets)}")
    if failed := [it["app"]["name"] for it in targets if it["status"] == "failed"]:
        raise Stop(f"Promotion to {', '.join(failed)} failed.", code=ExitCode.PROMOTION_FAILED)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("pipelines:promote")(promote)
