"""`towpath users`: who has an account here, for administrators."""

from typing import Annotated

import typer

from service.cli import asking, output
from service.cli.client import Client, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import ConfirmOption, JsonOption
from service.cli.profile import load

EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL")]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="What people call them.")]
GitHubOption = Annotated[
    str | None, typer.Option("--github", metavar="LOGIN", help="Who they are on GitHub; their rights there count.")
]


def listing(json: JsonOption = False) -> None:
    """List the users of this installation."""
    found = Client(profile=load()).everything("/users")
    if json:
        output.show_json(found)
        return
    output.table(
        [[it["email"], it["name"] or "", it["github"] or "", "admin" if it["admin"] else ""] for it in found],
        header=["email", "name", "github", ""],
    )


def create(
    email: EmailArgument,
    *,
    name: NameOption = None,
    github: GitHubOption = None,
    admin: Annotated[bool, typer.Option("--admin", help="An administrator of this installation.")] = False,
    json: JsonOption = False,
) -> None:
    """Add a user, and show the token they begin with, this once."""
    body = {"email": asking.check_email(email), "name": name or "", "github": github, "admin": admin}
    client = Client(profile=load())
    with output.action(f"Creating user {email}", quiet=json):
        made = client.call("POST", "/users", body).data
    if json:
        output.show_json(made)
        return
    output.say(f"Token: {made['access_token']['token']}")
    output.note(f"Give it to them: it is not shown again. They log in with it: towpath login {client.profile.url}")


def update(
    email: EmailArgument,
    *,
    name: NameOption = None,
    github: GitHubOption = None,
    admin: Annotated[
        bool | None, typer.Option("--admin/--no-admin", help="An administrator of this installation, or not.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Change a user's name, GitHub login or administrator's right."""
    body = {key: value for key, value in {"name": name, "github": github, "admin": admin}.items() if value is not None}
    if not body:
        raise Stop("Nothing is to be changed: say --name, --github, --admin or --no-admin.", code=ExitCode.USAGE)
    with output.action(f"Changing user {email}", quiet=json):
        changed = Client(profile=load()).call("PATCH", path("users", email), body).data
    if json:
        output.show_json(changed)


def remove(email: EmailArgument, confirm: ConfirmOption = None, json: JsonOption = False) -> None:
    """Remove a user with their tokens; what they own is left to you."""
    client = Client(profile=load())
    found = client.get(path("users", email))
    asking.confirm(found["email"], confirm, danger=f"This removes {found['email']}; their tokens end at once.")
    with output.action(f"Removing user {found['email']}", quiet=json):
        removed = client.call("DELETE", path("users", found["id"])).data
    if json:
        output.show_json(removed)
    elif removed["left"]:
        output.note(f"Left to the administrators: {', '.join(removed['left'])}. Give it away: towpath apps:transfer")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("users")(listing)
    cli.command("users:create")(create)
    cli.command("users:update")(update)
    cli.command("users:remove")(remove)
