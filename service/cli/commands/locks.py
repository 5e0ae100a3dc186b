"""`towpath locks`: what keeps new code out of an app or of a pipeline's apps, and how that begins and ends."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer

from service.cli import output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, PipelineOption, RemoteOption
from service.cli.profile import load

_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:\d{1,5}[mhd])+")


def listing(pipeline: PipelineOption = None, app: AppOption = None, json: JsonOption = False) -> None:
    """List the locks that keep new code out."""
    client = Client(profile=load())
    if pipeline is not None and app is not None:
        raise Stop("Say either --app or --pipeline, not both.", code=ExitCode.USAGE)
    kind, name = ("apps", app) if app is not None else ("pipelines", pipeline)
    found = client.everything(path(kind, name, "deploy-locks") if name is not None else "/deploy-locks")
    if json:
        output.show_json(found)
    elif not found:
        output.say(f"{name or 'Nothing'} is {'not ' if name else ''}locked.")
    else:
        rows = [
            [_label(it), it["owner"]["email"], output.ago(it["expires_at"]) or "unlocked", it["reason"]] for it in found
        ]
        output.table(rows, header=["locked", "by", "until", "because"])


def show(locks: Sequence[Json]) -> None:
    """Say beside other things what keeps new code out."""
    for it in locks:
        output.say(f"{_label(it)} is {it['message']}")


def _label(lock: Json) -> str:
    return f"pipeline {lock['pipeline']['name']}" if lock["pipeline"] else str(lock["app"]["name"])


def lock(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", "-m", metavar="TEXT", help="Why, for those who find it locked.")
    ] = None,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, such as 30m, 2h, 1d or 1h30m.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Until when, such as 2026-12-24T18:00.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep new code out of an app, or of a pipeline's apps.

    Automatic deploys wait, deploys by hand and promotions are refused; rollbacks, config and restarts go on, and so do
    review apps. Without a time the lock stays until `towpath unlock`.
    """
    if not (reason or "").strip():
        raise Stop("Why? Say --reason TEXT.", code=ExitCode.USAGE)
    if lasts is not None and until is not None:
        raise Stop("Say either --for or --until, not both.", code=ExitCode.USAGE)
    client = Client(profile=load())
    where, name = _target(client, app, remote, pipeline)
    terms = {
        "reason": reason,
        "expires_in": None if lasts is None else _seconds(lasts),
        "expires_at": None if until is None else _moment(until),
    }
    with output.action(f"Locking {name}", quiet=json):
        body = {key: value for key, value in terms.items() if value is not None}
        made = client.call("POST", where, body).data
    if json:
        output.show_json(made)
    else:
        show([made])


def unlock(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    force: Annotated[bool, typer.Option("--force", help="Although somebody else has locked it.")] = False,
    json: JsonOption = False,
) -> None:
    """Let new code in again; what has waited goes on at once."""
    client = Client(profile=load())
    where, name = _target(client, app, remote, pipeline)
    found = client.everything(where)
    kind = "app" if pipeline is None else "pipeline"
    own = next((it for it in found if it[kind] is not None), None)
    if own is None:
        others = "".join(f" But {_label(it)} is: towpath unlock {_option(it)}" for it in found)
        raise Stop(f"{name} is not locked.{others}")
    with output.action(f"Unlocking {name}", quiet=json):
        query = "?force=true" if force else ""
        taken = client.call("DELETE", path("deploy-locks", own["id"]) + query).data
    if json:
        output.show_json(taken)


def _option(lock: Json) -> str:
    return f"-p {lock['pipeline']['name']}" if lock["pipeline"] else f"-a {lock['app']['name']}"


def _target(client: Client, app: str | None, remote: str | None, pipeline: str | None) -> tuple[str, str]:
    """The path of the locks of what is meant, and its name."""
    if (found := target.pipeline_instead(client, pipeline, app, remote)) is not None:
        return path("pipelines", found["id"], "deploy-locks"), f"pipeline {found['name']}"
    name = target.app_name(client.profile, app, remote)
    return path("apps", name, "deploy-locks"), name


def _seconds(text: str) -> int:
    if not _DURATION.fullmatch(text):
        raise Stop(f"--for {text!r} is no length of time: say 30m, 2h, 1d or 1h30m.", code=ExitCode.USAGE)
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([mhd])", text))


def _moment(text: str) -> str:
    """A time as the server reads it; one without a zone is meant as the reader's own clock says it."""
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise Stop(
            f"--until {text!r} is no time: say a day or a time of a day, such as 2026-12-24T18:00.", code=ExitCode.USAGE
        ) from None


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("locks")(listing)
    cli.command("lock")(lock)
    cli.command("unlock")(unlock)
