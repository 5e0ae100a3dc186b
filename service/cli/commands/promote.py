"""`towpath pipelines:promote`: the code of one app to those downstream, as it is; and back."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.commands import undo
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, OverrideLockOption, RemoteOption, WaitOption
from service.cli.output import Action
from service.cli.outputs import Outputs
from service.cli.profile import load

ToOption = Annotated[
    list[str] | None,
    typer.Option("--to", "-t", metavar="APP,APP", help="Promote to these apps instead of the next stage."),
]
WholeOption = Annotated[
    bool,
    typer.Option(
        "--all-or-nothing", help="Let no app have it before all can; if one fails, the others go back to what they ran."
    ),
]
UndoOption = Annotated[
    bool, typer.Option("--undo", help="Take the app's last promotion back, on all its targets or those of --to.")
]


def promote(
    app: AppOption = None,
    remote: RemoteOption = None,
    to: ToOption = None,
    release: Annotated[
        str | None, typer.Option("--release", metavar="VERSION", help="Promote this release, not the current one.")
    ] = None,
    all_or_nothing: WholeOption = False,
    take_back: UndoOption = False,
    override_lock: OverrideLockOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Promote an app's code to the apps of the next stage, without building it again."""
    if take_back and (release is not None or all_or_nothing or override_lock):
        raise Stop("--undo goes with --to, --no-wait and --json only.", code=ExitCode.USAGE)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    coupling = target.coupling_of(client, name)
    names = _names(to)
    ids = None if names is None else _ids_in(client, coupling["pipeline"], names)
    if take_back:
        undo.undo(client, coupling, ids, wait=wait, json=json)
        return
    source: Json = {"app": {"id": coupling["app"]["id"]}}
    if release is not None:
        source["release"] = {"id": target.release_of(client, name, release)["id"]}
    body: Json = {"pipeline": {"id": coupling["pipeline"]["id"]}, "source": source}
    body |= {"override_lock": True} if override_lock else {}
    body |= {"all_or_nothing": True} if all_or_nothing else {}
    body |= {} if ids is None else {"targets": [{"app": {"id": app_id}} for app_id in ids]}
    promotion = _begin(client, body, names, quiet=json)
    targets = targets_of(client, promotion)
    outputs = Outputs(client=client, prefixed=len(targets) > 1)
    watch = Watch(client=client, promotion=promotion, outputs=outputs, quiet=json)
    with following.patiently(f"towpath releases -a {targets[0]['app']['name']}"):
        if wait and names is None:
            targets = _show_each(watch, coupling, targets)
        elif wait:
            targets = _show_all(watch)
    if json:
        promotion = client.get(path("pipeline-promotions", promotion["id"]))
    _end(promotion, targets, waited=wait, json=json)


def _begin(client: Client, body: Json, names: Sequence[str] | None, *, quiet: bool) -> Json:
    starting = output.action(f"Starting promotion to apps: {','.join(names)}", quiet=quiet) if names else nullcontext()
    with starting:
        made: Json = client.call("POST", "/pipeline-promotions", body).data
    return made


def _names(to: list[str] | None) -> list[str] | None:
    if to is None:
        return None
    names = list(dict.fromkeys(name.strip() for each in to for name in each.split(",") if name.strip()))
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


@dataclass(slots=True, kw_only=True)
class Watch:
    """A promotion that is waited for, with what the release commands of its targets print meanwhile."""

    client: Client
    promotion: Json
    outputs: Outputs
    quiet: bool
    _asked: set[str] = field(default_factory=set)

    def until_over(self, doing: Action, app_id: str | None = None) -> list[Json]:
        """Wait for the end of all targets, or of the one of an app, and show what is printed until then."""
        while True:
            targets = targets_of(self.client, self.promotion)
            self._follow(targets)
            awaited = [it for it in targets if app_id in {None, it["app"]["id"]}]
            if all(it["status"] != "pending" for it in awaited):
                for it in awaited:
                    self._show(self.outputs.rest_of(it["app"]["name"]), doing)
                return awaited
            until = time.monotonic() + following.POLL_SECONDS
            while (left := until - time.monotonic()) > 0:
                self._show(self.outputs.coming(left), doing)

    def _follow(self, targets: list[Json]) -> None:
        for it in targets:
            made = it["release"]
            if made is not None and made["id"] not in self._asked:
                self._asked.add(made["id"])
                release = _release_of(self.client, it)
                if release["output_stream_url"]:
                    self.outputs.follow(it["app"]["name"], release["output_stream_url"])

    def _show(self, texts: list[str], doing: Action) -> None:
        if texts:
            doing.interrupt()
            following.write(texts, quiet=self.quiet)


def targets_of(client: Client, promotion: Json) -> list[Json]:
    """A promotion's targets, by the names of their apps."""
    found = client.everything(path("pipeline-promotions", promotion["id"], "promotion-targets"))
    return sorted(found, key=lambda it: it["app"]["name"])


def _release_of(client: Client, it: Json) -> Json:
    found: Json = client.get(path("apps", it["app"]["id"], "releases", it["release"]["id"]))
    return found


def _show_each(watch: Watch, coupling: Json, targets: list[Json]) -> list[Json]:
    """One line for each target, ending with its new release."""
    couplings = watch.client.everything(path("pipelines", coupling["pipeline"]["id"], "pipeline-couplings"))
    stages = {it["app"]["id"]: it["stage"] for it in couplings}
    for app in [it["app"] for it in targets]:
        text = f"Promoting {coupling['app']['name']} to {app['name']} ({stages.get(app['id'], '')})"
        with output.action(text, quiet=watch.quiet) as doing:
            (done,) = watch.until_over(doing, app["id"])
            doing.end = _ending(watch.client, done)
    return targets_of(watch.client, watch.promotion)


def _ending(client: Client, done: Json) -> str:
    if done["status"] == "failed":
        return f"failed, {done['error_message'] or 'the app kept its former release'}"
    return f"done, v{_release_of(client, done)['version']}"


def _show_all(watch: Watch) -> list[Json]:
    with output.action("Waiting for promotion to complete", quiet=watch.quiet) as doing:
        targets = watch.until_over(doing)
    if not watch.quiet:
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
