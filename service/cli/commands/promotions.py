"""`towpath pipelines:promotions`: what was promoted, whence and whereto, and how each target fared."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import typer

from service.cli import output, target
from service.cli.client import Client, Json, path
from service.cli.commands.promote import targets_of
from service.cli.options import AppOption, JsonOption, RemoteOption
from service.cli.profile import load

_AT_ONCE = 8
"""How many promotions are looked up side by side: the server may be far."""


def listing(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=100, help="How many.")] = 10,
    json: JsonOption = False,
) -> None:
    """List a pipeline's promotions, newest first, with what became of each target."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app, remote=remote)
    listed = client.newest(path("pipelines", found["id"], "pipeline-promotions"), by="created_at", limit=number)
    told = _told(client, found, listed)
    if json:
        output.show_json(told)
    elif not told:
        output.say(f"Nothing was promoted in {found['name']} yet. Promote: towpath pipelines:promote -a APP")
    else:
        output.heading(f"{found['name']} Promotions")
        output.table([row for it in told for row in _rows(it)], header=["when", "from", "to", "state", ""])


def _told(client: Client, pipeline: Json, listed: Sequence[Json]) -> list[Json]:
    """Promotions with their targets, and what ids stand for in words."""
    if not listed:
        return []
    from concurrent.futures import ThreadPoolExecutor  # only needed here

    inside = client.everything(path("pipelines", pipeline["id"], "pipeline-couplings"))
    names = {it["app"]["id"]: it["app"]["name"] for it in inside}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(partial(_one, client, names), listed))


def _one(client: Client, names: Mapping[str, str], promotion: Json) -> Json:
    app, release = promotion["source"]["app"], promotion["source"]["release"]
    # It may have left the pipeline since.
    known = {"name": names[app["id"]]} if app["id"] in names else client.get_if_any(path("apps", app["id"]))
    source = {"app": app | {"name": known and known["name"]}, "release": _numbered(client, app, release)}
    targets = [it | {"release": _numbered(client, it["app"], it["release"])} for it in targets_of(client, promotion)]
    return promotion | {"source": source, "targets": targets}


def _numbered(client: Client, app: Json, release: Json | None) -> Json | None:
    """A release with its number; None for one that there is not, or not any more."""
    if release is None:
        return None
    found = client.get_if_any(path("apps", app["id"], "releases", release["id"]))
    return None if found is None else {"id": found["id"], "version": found["version"]}


def _rows(promotion: Json) -> list[list[str]]:
    """A line for each target; when and whence stands in the first."""
    first = [output.ago(promotion["created_at"]), _at(promotion["source"])]
    return [
        [*(["", ""] if number else first), _at(it), output.state(it["status"]), it["error_message"] or ""]
        for number, it in enumerate(promotion["targets"])
    ]


def _at(it: Json) -> str:
    """An app with the number of its release."""
    name = it["app"]["name"] or "(an app that is gone)"
    return f"{name} v{it['release']['version']}" if it["release"] else str(name)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("pipelines:promotions")(listing)
