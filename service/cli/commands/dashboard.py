"""`towpath dashboard`: the way into the dashboard, for whoever the token belongs to."""

from typing import Annotated

import typer

from service.cli import output
from service.cli.client import Client
from service.cli.options import JsonOption
from service.cli.profile import load


def dashboard(
    here: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser.")] = False,
    json: JsonOption = False,
) -> None:
    """Print an address that opens the dashboard in a browser, once, as you."""
    made = Client(profile=load()).call("POST", "/account/sign-in-links").data
    if json:
        output.show_json(made)
        return
    output.note(
        f"Open this in a browser within ten minutes. It signs in {made['user']['email']}, once; show it to nobody."
    )
    output.say(made["url"])
    if here:
        import webbrowser  # only needed here

        if not webbrowser.open(made["url"]):
            output.note("No browser was found here: open it yourself.")


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("dashboard")(dashboard)
