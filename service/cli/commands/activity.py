"""`towpath activity`: who changed what, and when."""

from typing import Annotated
from urllib.parse import urlencode

import typer

from service.cli import output, target
from service.cli.client import Client, Json
from service.cli.options import AppOption, JsonOption, PipelineOption, RemoteOption
from service.cli.profile import load


def listing(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=200, help="How many.")] = 25,
    json: JsonOption = False,
) -> None:
    """List who changed what, newest first."""
    client = Client(profile=load())
    query = {}
    if (of := target.pipeline_instead(client, pipeline, app, remote)) is not None:
        query = {"pipeline": of["id"]}
    elif app is not None or remote is not None:
        query = {"app": target.app_named(client, app, remote)["id"]}
    found = client.newest(f"/activity?{urlencode(query)}" if query else "/activity", by="id", limit=number)
    if json:
        output.show_json(found)
    elif not found:
        output.say("Nothing has happened yet.")
    else:
        names = {} if query else {each["id"]: each["name"] for each in client.everything("/apps")}
        output.table([_row(it, names) for it in found], header=["when", "who", "what", "app", "about"])


def _row(it: Json, names: dict[str, str]) -> list[str]:
    about = [it["ref"] or "", (it["commit"] or "")[:7], *(f"{key}={value}" for key, value in it["data"].items())]
    app = names.get(it["app"]["id"], "") if it["app"] else ""
    return [output.ago(it["at"]), it["actor"], it["action"], app, " ".join(filter(None, about))]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("activity")(listing)
