"""`towpath pipelines:settings`: all of a pipeline's settings, by name."""

import textwrap
from typing import Annotated, Any

import typer

from service.cli import leaving, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, ConfirmOption, JsonOption, PipelineOption, RemoteOption
from service.cli.profile import load

_SWITCH = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
ChangesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=VALUE]...", help="What to change, such as labels=preview,demo or wait_for_ci=on."),
]


def settings(
    changes: ChangesArgument = None,
    *,
    pipeline: PipelineOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Show a pipeline's settings and what they mean, or change some. What takes review apps away asks first."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app, remote=remote)
    where = path("pipelines", found["id"], "settings")
    known = client.get(where)
    body: Json = {}
    if changes:
        body = _body(changes, {each["name"]: each["value"] for each in known["settings"]})
        doing = f"Changing {', '.join(body)} of {found['name']}"
        known = leaving.change(client, "PATCH", where, body, pipeline=found, given=confirm, doing=doing, quiet=json)
    if json:
        output.show_json(known)
    elif changes:
        output.table([[each["name"], _shown(each["value"])] for each in known["settings"] if each["name"] in body])
    else:
        _explain(known)


def _explain(known: Json) -> None:
    output.heading(f"Settings of {known['pipeline']['name']}")
    for each in known["settings"]:
        output.say(f"{each['name']}: {_shown(each['value'])}")
        output.say(textwrap.fill(each["description"], width=100, initial_indent="    ", subsequent_indent="    "))


def _body(changes: list[str], known: dict[str, Any]) -> Json:
    body: Json = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name:
            raise Stop(f"{change!r} is not of the form NAME=VALUE.", code=ExitCode.USAGE)
        name = name.strip().replace("-", "_")
        body[name] = _value(text.strip(), known.get(name))
    return body


def _value(text: str, former: Any) -> Any:
    """Read a value as the setting's kind is; what cannot be read is left to the server, which says what it expects."""
    match former:
        case bool():
            return _SWITCH.get(text.lower(), text)
        case int() | float():
            return int(text) if text.isdecimal() else _number(text)
        case list():
            return [each for each in map(str.strip, text.split(",")) if each]
        case _:
            return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case list():
            return ", ".join(value) or "any"
        case float():
            return f"{value:g}"
        case _:
            return str(value) or "-"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("pipelines:settings")(settings)
