"""`towpath releases`: what an app ran, and back to it."""

from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import Stop
from service.cli.options import AppOption, JsonOption, OverrideLockOption, RemoteOption, WaitOption
from service.cli.profile import load

_ReleaseArgument = Annotated[str | None, typer.Argument(metavar="VERSION", help="The newest if left out.")]
_WORDS = {"pending": "release command executing"}


def listing(
    app: AppOption = None,
    remote: RemoteOption = None,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=1000, help="How many.")] = 15,
    json: JsonOption = False,
) -> None:
    """List an app's releases, newest first."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    releases = client.newest(path("apps", name, "releases"), by="version", limit=number)
    if json:
        output.show_json(releases)
        return
    if not releases:
        output.say(f"{name} has no releases.")
        return
    output.heading(f"{name} Releases")
    output.table(
        [
            [
                f"v{it['version']}{' (current)' if it['current'] else ''}",
                it["description"],
                _WORDS.get(it["status"], "" if it["status"] == "succeeded" else it["status"]),
                it["user"]["email"],
                output.ago(it["created_at"]),
            ]
            for it in releases
        ]
    )


def info(
    release: _ReleaseArgument = None, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Show a release: what it runs, since when, and by whom."""
    target.given(release)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    found = target.release_of(client, name, release) if release is not None else _newest(client, name)
    if json:
        output.show_json(found)
        return
    output.heading(f"Release v{found['version']} of {name}")
    rows = {
        "Change": found["description"],
        "By": found["user"]["email"],
        "When": output.ago(found["created_at"]),
        "Commit": found["commit"] or "",
        "Slug": found["slug"]["id"] if found["slug"] else "",
        "Status": output.state(found["status"]),
        "Current": "yes" if found["current"] else "",
        "Rollback": "" if found["eligible_for_rollback"] else "not to this one",
    }
    output.table([[f"{key}:", value] for key, value in rows.items() if value])


def rollback(
    release: Annotated[str | None, typer.Argument(metavar="VERSION", help="The one before if left out.")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    keep_config: Annotated[bool, typer.Option("--keep-config", help="Bring back the code only.")] = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Release a former release's code and config again."""
    target.given(release)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    chosen = target.release_of(client, name, release) if release is not None else _former(client, name)
    with output.action(f"Rolling back {name} to v{chosen['version']}", quiet=json) as doing:
        body = {"release": chosen["id"], "keep_config": keep_config}
        answer = client.call("POST", path("apps", name, "releases"), body).data
        done = answer["request"]
        if wait:
            done = following.follow(client, name, done["id"], output=False)
            doing.end = f"done, v{done['release']['version']}" if done["release"] else "done"
    if json:
        output.show_json(done)


def _former(client: Client, app: str) -> Json:
    releases = client.newest(path("apps", app, "releases"), by="version", limit=10)
    eligible = [it for it in releases if it["eligible_for_rollback"] and not it["current"]]
    if not eligible:
        raise Stop(f"{app} has no former release to go back to.")
    return eligible[0]


def retry(
    release: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="The newest that is over if left out.")
    ] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    override_lock: OverrideLockOption = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Release the same code once more, with the config vars of now.

    This is for a release command or a start that failed.
    """
    target.given(release)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    chosen = target.release_of(client, name, release) if release is not None else _newest_over(client, name)
    if chosen["slug"] is None:
        raise Stop(f"v{chosen['version']} of {name} has no code to release.")
    with output.action(f"Retrying v{chosen['version']} on {name}", quiet=json) as doing:
        body = {
            "slug": chosen["slug"]["id"],
            "description": f"Retry of v{chosen['version']}: {chosen['description']}",
            "override_lock": override_lock,
        }
        done = client.call("POST", path("apps", name, "releases"), body).data["request"]
        if wait:
            done = following.follow(client, name, done["id"], output=False)
            doing.end = f"done, v{done['release']['version']}" if done["release"] else "done"
    if json:
        output.show_json(done)


def _newest_over(client: Client, app: str) -> Json:
    """The newest release that has code and has come to its end: what is still on its way needs no second try."""
    for it in client.newest(path("apps", app, "releases"), by="version", limit=20):
        if it["slug"] is not None and it["status"] in {"succeeded", "failed"}:
            return it
    raise Stop(f"{app} has no release to try again.")


def _newest(client: Client, app: str) -> Json:
    found = client.newest(path("apps", app, "releases"), by="version", limit=1)
    if not found:
        raise Stop(f"{app} has no releases.")
    return found[0]


def output_of(
    release: _ReleaseArgument = None, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Show the output of a release, while it runs and afterwards."""
    target.given(release)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    shown = target.release_of(client, name, release) if release is not None else _newest(client, name)
    texts = client.stream(path("releases", shown["id"], "output"))
    if json:
        output.show_json({"release": {"id": shown["id"], "version": shown["version"]}, "output": "".join(texts)})
    else:
        following.write(texts, quiet=False)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("releases")(listing)
    cli.command("releases:info")(info)
    cli.command("releases:rollback")(rollback)
    cli.command("releases:retry")(retry)
    cli.command("releases:output")(output_of)
