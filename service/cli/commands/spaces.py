"""`towpath spaces`: the named places that apps run in."""

from typing import Annotated

import typer

from service.cli import output
from service.cli.client import Client
from service.cli.options import JsonOption
from service.cli.profile import load


def listing(json: JsonOption = False) -> None:
    """List the spaces that apps can run in."""
    found = Client(profile=load()).everything("/spaces")
    if json:
        output.show_json(found)
    else:
        output.table([[it["name"], it["driver"]] for it in found], header=["space", "driver"])


def create(name: Annotated[str, typer.Argument(metavar="NAME")], json: JsonOption = False) -> None:
    """Make a space, as an administrator."""
    with output.action(f"Creating space {name}", quiet=json):
        made = Client(profile=load()).call("POST", "/spaces", {"name": name, "driver": "process"}).data
    if json:
        output.show_json(made)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("spaces")(listing)
    cli.command("spaces:create")(create)
