"""`towpath git:credentials`: lets git push to this server with the token that the command line has."""

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from service.cli import output, target
from service.cli.profile import load

_HELPER = "!towpath git:credentials"


def know_token(url: str) -> None:
    """Have git, in this clone, ask the command line for the token of an app's server: it is written nowhere."""
    parts = urlsplit(url)
    helper = f"credential.{parts.scheme}://{parts.netloc}.helper"
    # The empty one lets go of the helpers that the user has for everything: git would have them store the token.
    target.git("config", "--replace-all", helper, "")
    target.git("config", "--add", helper, _HELPER)


def credentials(
    action: Annotated[str, typer.Argument(metavar="get|store|erase", help="What git wants.")],
) -> None:
    """Tell git the token for this server; git calls it by itself."""
    profile = load()
    if action != "get":
        return  # there is nothing to keep, and nothing to forget
    asked = dict(line.rstrip("\n").partition("=")[::2] for line in sys.stdin)
    scheme = urlsplit(profile.url).scheme
    # The token goes nowhere but where it belongs, and never in the open to a server that is reached by TLS.
    if asked.get("protocol") == scheme and target.same_host(asked.get("host", ""), profile.host):
        output.say("username=towpath")
        output.say(f"password={profile.token}")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("git:credentials")(credentials)
