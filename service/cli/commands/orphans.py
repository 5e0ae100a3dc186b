"""`towpath orphans`: what runs without being known, as after a database was brought back from an old backup."""

from typing import Annotated

import typer

from service.cli import asking, output
from service.cli.client import Client, path
from service.cli.options import ConfirmOption, JsonOption
from service.cli.profile import load


def listing(json: JsonOption = False) -> None:
    """List what runs of apps that Towpath does not know."""
    found = Client(profile=load()).everything("/orphans")
    if json:
        output.show_json(found)
    elif not found:
        output.say("Nothing runs that is not known.")
    else:
        rows = [[it["id"], it["processes"], it["state"], output.ago(it["created_at"])] for it in found]
        output.table(rows, header=["id", "processes", "state", "found"])
        output.note("To take one away: towpath orphans:destroy ID")


def destroy(
    orphan: Annotated[str, typer.Argument(metavar="ID", help="As towpath orphans lists it.")],
    *,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Take away what runs of an app that is not known."""
    client = Client(profile=load())
    asking.confirm(orphan, confirm, danger=f"This ends the processes of {orphan} and deletes their files.")
    with output.action(f"Destroying {orphan}", quiet=json):
        gone = client.call("DELETE", path("orphans", orphan)).data
    if json:
        output.show_json(gone)
    else:
        output.say("It goes at the next look at the engine, within half a minute.")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("orphans")(listing)
    cli.command("orphans:destroy")(destroy)
