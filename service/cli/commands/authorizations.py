"""`towpath authorizations`: tokens for scripts and other machines, each shown once."""

from typing import Annotated

import typer

from service.cli import output
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import JsonOption
from service.cli.profile import load

_HOME = "/oauth/authorizations"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As towpath authorizations lists it.")]
ShortOption = Annotated[bool, typer.Option("--short", "-S", help="Print the token alone.")]


def listing(json: JsonOption = False) -> None:
    """List your tokens."""
    found = Client(profile=load()).everything(_HOME)
    if json:
        output.show_json(found)
        return
    output.table(
        [
            [
                it["description"] + (" (in use)" if it["current"] else ""),
                it["id"],
                it["access_token"]["token"],
                ",".join(it["scope"]),
                output.ago(it["expires_at"]) or "never",
                output.ago(it["last_used_at"]) or "never",
            ]
            for it in found
        ],
        header=["description", "id", "token", "scope", "expires", "last used"],
    )


def _show(it: Json) -> None:
    rows = {
        "Description": it["description"],
        "ID": it["id"],
        "Token": it["access_token"]["token"],
        "Scope": ", ".join(it["scope"]),
        "Expires": output.ago(it["expires_at"]) or "never",
        "Last used": output.ago(it["last_used_at"]) or "never",
    }
    output.table([[f"{key}:", value] for key, value in rows.items()])


def _show_secret(it: Json, *, short: bool, json: bool) -> None:
    if json:
        output.show_json(it)
    elif short:
        output.say(it["access_token"]["token"])
    else:
        _show(it)
        output.note("Keep the token: it is not shown again.")


def _seconds(text: str) -> int:
    """A time as `90`, `15m`, `12h`, `30d` or `4w`, in seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isdecimal() or not int(number):
        raise Stop(f"{text!r} is no time: write it as 3600, 15m, 12h, 30d or 4w.", code=ExitCode.USAGE)
    return int(number) * _UNITS[unit]


def create(
    description: Annotated[
        str | None, typer.Option("--description", "-d", metavar="TEXT", help="What it is for.")
    ] = None,
    *,
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope", "-s", metavar="SCOPES", help="global, identity, read, write, read-protected, write-protected."
        ),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", "-e", metavar="TIME", help="As 3600, 12h or 30d; else never.")
    ] = None,
    short: ShortOption = False,
    json: JsonOption = False,
) -> None:
    """Make a token and show it, this once."""
    body = {
        "description": description,
        "scope": None if scope is None else [each.strip() for each in scope.split(",") if each.strip()],
        "expires_in": None if expires_in is None else _seconds(expires_in),
    }
    with output.action("Creating OAuth Authorization", quiet=short or json):
        sent = {key: value for key, value in body.items() if value is not None}
        made = Client(profile=load()).call("POST", _HOME, sent).data
    _show_secret(made, short=short, json=json)


def info(authorization: IdArgument, json: JsonOption = False) -> None:
    """Show a token's scope, age and last use."""
    found = Client(profile=load()).get(_HOME + path(authorization))
    if json:
        output.show_json(found)
    else:
        _show(found)


def revoke(authorization: IdArgument, json: JsonOption = False) -> None:
    """Take a token away: it is good for nothing from now on."""
    with output.action("Revoking OAuth Authorization", quiet=json) as doing:
        revoked = Client(profile=load()).call("DELETE", _HOME + path(authorization)).data
        doing.end = f"done, revoked authorization from {revoked['description']}"
    if json:
        output.show_json(revoked)


def rotate(authorization: IdArgument, short: ShortOption = False, json: JsonOption = False) -> None:
    """Put another token in the place of one, and show it, this once."""
    where = _HOME + path(authorization, "actions", "regenerate-tokens")
    with output.action("Rotating OAuth Authorization", quiet=short or json):
        made = Client(profile=load()).call("POST", where).data
    _show_secret(made, short=short, json=json)


def whoami(json: JsonOption = False) -> None:
    """Say as whom you work here."""
    found = Client(profile=load()).get("/account")
    if json:
        output.show_json(found)
    else:
        output.say(found["email"])


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("authorizations")(listing)
    cli.command("authorizations:create")(create)
    cli.command("authorizations:info")(info)
    cli.command("authorizations:revoke")(revoke)
    cli.command("authorizations:rotate")(rotate)
    cli.command("auth:whoami")(whoami)
