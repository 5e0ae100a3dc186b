"""`towpath builds`: what was built for an app, a build from a packed source, and the end of one that is not wanted."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, OverrideLockOption, RemoteOption, WaitOption
from service.cli.profile import load

_BuildArgument = Annotated[str | None, typer.Argument(metavar="BUILD", help="Its id; the newest if left out.")]
_SHOWN = 12


def listing(
    app: AppOption = None,
    remote: RemoteOption = None,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=1000, help="How many.")] = 15,
    json: JsonOption = False,
) -> None:
    """List an app's builds, newest first."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    builds = client.newest(path("apps", name, "builds"), by="created_at", limit=number)
    if json:
        output.show_json(builds)
        return
    if not builds:
        output.say(f"{name} has no builds.")
        return
    output.heading(f"{name} Builds")
    output.table(
        [
            [it["id"], output.state(it["status"]), _version(it), it["user"]["email"], output.ago(it["created_at"])]
            for it in builds
        ],
    )


def _version(build: Json) -> str:
    version = str(build["source_blob"]["version"] or "")
    return version[:_SHOWN] if len(version) == 40 else version


def info(
    build: _BuildArgument = None, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Show one build: what it was built from, how it ended, and the release that it gave."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    shown = _find(client, name, build)
    if json:
        output.show_json(shown)
        return
    source, release = shown["source_blob"], shown["release"]
    output.heading(f"Build {shown['id']}")
    rows = [
        ("Status", output.state(shown["status"])),
        ("Why", shown["error"] or ""),
        ("Version", source["version"] or ""),
        ("Source", source["url"] or ""),
        ("Asked for", source["version_description"] or ""),
        ("Release", _release(client, name, release) if release else ""),
        ("Stack", shown["stack"]),
        ("By", shown["user"]["email"]),
        ("When", output.ago(shown["created_at"])),
    ]
    output.table([[f"{what}:", text] for what, text in rows if text])


def _release(client: Client, app: str, release: Json) -> str:
    return f"v{client.get(path('apps', app, 'releases', release['id']))['version']}"


def output_of(
    build: _BuildArgument = None, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Show the output of a build, while it runs and afterwards."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    shown = _find(client, name, build)
    texts = client.stream(path("builds", shown["id"], "output"))
    if json:
        output.show_json({"build": {"id": shown["id"]}, "output": "".join(texts)})
    else:
        following.write(texts, quiet=False)


def cancel(
    build: _BuildArgument = None, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Cancel a build that is not over; what runs goes on running.

    Without an id it is the newest that is pending.
    """
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    chosen = _find(client, name, build) if target.given(build) else _pending(client, name)
    with output.action(f"Cancelling build {chosen['id']} of {name}", quiet=json):
        ended = client.call("DELETE", path("apps", name, "builds", chosen["id"])).data
    if json:
        output.show_json(ended)


def create(
    *,
    tar: Annotated[
        str | None, typer.Option("--source-tar", metavar="FILE", help="A tar.gz here, which is sent to the server.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--source-url", metavar="URL", help="A tar.gz that the server fetches by https.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--source-version", metavar="VERSION", help="What to call it in the list of releases.")
    ] = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    override_lock: OverrideLockOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Build a packed source and release it, whatever is in the connected repository."""
    if (tar is None) is (url is None):
        raise Stop("Say either --source-tar FILE or --source-url URL.", code=ExitCode.USAGE)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    blob = {"url": url if tar is None else _send(client, Path(tar), quiet=json), "version": version}
    body: Json = {"source_blob": {key: value for key, value in blob.items() if value is not None}}
    if override_lock:
        body["override_lock"] = True
    build = client.call("POST", path("apps", name, "builds"), body).data
    output.note(f"Deploying {build['source_blob']['version'] or 'the source'} to {name}")
    done: Json = following.follow(client, name, build["id"], output=True, quiet=json) if wait else build
    if json:
        output.show_json(done)
    elif not wait:
        output.say(f"Build {build['id']} is queued. Look with: towpath builds:info {build['id']} -a {name}")
    elif done["release"]:
        output.say(f"Released v{done['release']['version']} of {name}: {client.get(path('apps', name))['web_url']}")


def _send(client: Client, file: Path, *, quiet: bool) -> str:
    """Send a file to a place of its own and return the address by which it is built."""
    try:
        opened = file.open("rb")
    except OSError as error:
        raise Stop(f"{file} cannot be read: {error.strerror}", code=ExitCode.USAGE) from None
    with opened, output.action(f"Sending {file.name}", quiet=quiet):
        place = client.call("POST", "/sources").data["source_blob"]
        client.send(place["put_url"], opened, size=file.stat().st_size)
    return str(place["get_url"])


def _find(client: Client, app: str, build: str | None) -> Json:
    if target.given(build):
        found: Json = client.get(path("apps", app, "builds", str(build)))
        return found
    newest = client.newest(path("apps", app, "builds"), by="created_at", limit=1)
    if not newest:
        raise Stop(f"{app} has no builds.")
    return newest[0]


def _pending(client: Client, app: str) -> Json:
    for it in client.newest(path("apps", app, "builds"), by="created_at", limit=20):
        if it["status"] == "pending":
            return it
    raise Stop(f"No build of {app} is pending.")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("builds")(listing)
    cli.command("builds:create")(create)
    cli.command("builds:info")(info)
    cli.command("builds:output")(output_of)
    cli.command("builds:cancel")(cancel)
