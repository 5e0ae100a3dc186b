"""An app's switches: `towpath maintenance`, and `towpath apps:promotable`."""

from typing import Annotated

import typer

from service.cli import output, target
from service.cli.client import Client, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, RemoteOption
from service.cli.profile import load
from service.domain.toggles import APP_DESCRIPTIONS

_YES = {"yes": True, "on": True, "no": False, "off": False}


def maintenance(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """Say whether visitors of an app get the maintenance page."""
    client = Client(profile=load())
    found = client.get(path("apps", target.app_name(client.profile, app, remote)))
    if json:
        output.show_json({"maintenance": found["maintenance"]})
    else:
        output.say("on" if found["maintenance"] else "off")


def maintenance_on(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """Show visitors the maintenance page; the app runs on behind it."""
    _switch("Enabling maintenance mode for", app, remote, maintenance=True, json=json)


def maintenance_off(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """Let visitors reach an app again."""
    _switch("Disabling maintenance mode for", app, remote, maintenance=False, json=json)


def promotable(
    wanted: Annotated[str | None, typer.Argument(metavar="yes|no", help="Shown if left out.")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether an app's code may be promoted, to others and to it."""
    if wanted is not None and wanted not in _YES:
        raise Stop(f"Say yes or no, not {wanted!r}.", code=ExitCode.USAGE)
    if wanted is not None:
        doing = "Allowing promotions of" if _YES[wanted] else "Refusing promotions of"
        _switch(doing, app, remote, promotable=_YES[wanted], json=json)
        return
    client = Client(profile=load())
    found = client.get(path("apps", target.app_name(client.profile, app, remote)))
    if json:
        output.show_json({"promotable": found["promotable"]})
    else:
        output.say("yes" if found["promotable"] else "no")
        output.note(APP_DESCRIPTIONS["promotable"])


def _switch(doing: str, app: str | None, remote: str | None, *, json: bool, **change: bool) -> None:
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    with output.action(f"{doing} {name}", quiet=json):
        changed = client.call("PATCH", path("apps", name), change).data
    if json:
        output.show_json(changed)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("maintenance")(maintenance)
    cli.command("maintenance:on")(maintenance_on)
    cli.command("maintenance:off")(maintenance_off)
    cli.command("apps:promotable")(promotable)
