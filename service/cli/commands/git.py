"""`towpath git:credentials`: lets git push to this server with the token that the command line has."""

import shlex
import sys
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import typer

from service.cli import output, target
from service.cli.profile import LOCAL, Profile, from_environment, load_for, wanted

_HELPER = "!towpath git:credentials"


def know_token(profile: Profile, url: str) -> None:
    """Have git, in this clone, ask the command line for the token of an app's server: it is written nowhere.

    `profile` is what the app was asked of: git asks for the same one, whichever is used for commands by then.
    """
    parts = urlsplit(url)
    helper = f"credential.{parts.scheme}://{parts.netloc}.helper"
    name = profile.name or (LOCAL if wanted() == LOCAL and not from_environment() else "")
    # The empty one lets go of the helpers that the user has for everything: git would have them store the token.
    target.git("config", "--replace-all", helper, "")
    target.git("config", "--add", helper, f"{_HELPER} --profile {shlex.quote(name)}" if name else _HELPER)


def credentials(
    action: Annotated[str, typer.Argument(metavar="get|store|erase", help="What git wants.")],
) -> None:
    """Tell git the token for this server; git calls it by itself."""
    if action != "get":
        return  # there is nothing to keep, and nothing to forget
    asked = dict(line.rstrip("\n").partition("=")[::2] for line in sys.stdin)
    profile = load_for(lambda found: _is_for(asked, found))
    if profile is not None:
        output.say("username=towpath")
        output.say(f"password={profile.token}")


def _is_for(asked: Mapping[str, str], profile: Profile) -> bool:
    """The token goes nowhere but where it belongs, and never in the open to a server that is reached by TLS."""
    scheme = urlsplit(profile.url).scheme
    return asked.get("protocol") == scheme and target.same_host(asked.get("host", ""), profile.host)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("git:credentials")(credentials)
