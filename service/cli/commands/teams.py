"""`towpath teams` and `towpath members`: who owns together."""

from typing import Annotated

import typer

from service.cli import asking, output
from service.cli.client import Client, Json, path
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.options import ConfirmOption, JsonOption, TeamOption
from service.cli.profile import load

ROLES = ("admin", "member", "viewer", "collaborator")
NameArgument = Annotated[str, typer.Argument(metavar="TEAM")]
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL")]
RoleOption = Annotated[str, typer.Option("--role", "-r", metavar="ROLE", help="admin, member, viewer or collaborator.")]


def team_of(client: Client, named: str | None) -> Json:
    """The team that is named, else the only one that one is in."""
    if named is not None:
        found: Json = client.get(path("teams", named))
        return found
    match client.everything("/teams"):
        case [only]:
            return only
        case []:
            raise Stop("You are in no team. Make one: towpath teams:create NAME")
        case several:
            names = ", ".join(sorted(each["name"] for each in several))
            raise Stop(f"Which team? There are: {names}. Say -t TEAM.", code=ExitCode.USAGE)


def listing(json: JsonOption = False) -> None:
    """List the teams you are in."""
    found = Client(profile=load()).everything("/teams")
    if json:
        output.show_json(found)
    elif not found:
        output.say("You are in no team. Make one: towpath teams:create NAME")
    else:
        output.table([[it["name"], it["role"] or ""] for it in found], header=["team", "role"])


def create(name: NameArgument, json: JsonOption = False) -> None:
    """Create a team, with you as its admin."""
    with output.action(f"Creating team {name}", quiet=json):
        made = Client(profile=load()).call("POST", "/teams", {"name": name}).data
    if json:
        output.show_json(made)


def rename(
    team: NameArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    json: JsonOption = False,
) -> None:
    """Give a team another name; what it owns stays its own."""
    client = Client(profile=load())
    found = client.get(path("teams", team))
    with output.action(f"Renaming team {found['name']} to {name}", quiet=json):
        renamed = client.call("PATCH", path("teams", found["id"]), {"name": name}).data
    if json:
        output.show_json(renamed)


def destroy(name: NameArgument, confirm: ConfirmOption = None, json: JsonOption = False) -> None:
    """Destroy a team that owns nothing any more."""
    client = Client(profile=load())
    found = client.get(path("teams", name))
    asking.confirm(found["name"], confirm, danger=f"This destroys the team {found['name']}.")
    with output.action(f"Destroying team {found['name']}", quiet=json):
        destroyed = client.call("DELETE", path("teams", found["id"])).data
    if json:
        output.show_json(destroyed)


def members(team: TeamOption = None, json: JsonOption = False) -> None:
    """List who is in a team, and who is invited."""
    client = Client(profile=load())
    found = team_of(client, team)
    listed = client.everything(path("teams", found["id"], "members"))
    if json:
        output.show_json(listed)
        return
    rows = [[it["email"], it["role"], ""] for it in listed]
    output.table(rows + _invited(client, found), header=["email", "role", ""])


def _invited(client: Client, team: Json) -> list[list[str]]:
    try:
        invited = client.everything(path("teams", team["id"], "invitations"))
    except ApiError as error:
        if error.id == "forbidden":
            return []
        raise
    return [[it["user"]["email"], it["role"], "invited"] for it in invited]


def _check_role(role: str) -> str:
    if role not in ROLES:
        raise Stop(f"There is no role {role!r}; there are: {', '.join(ROLES)}.", code=ExitCode.USAGE)
    return role


def add(
    email: EmailArgument, *, role: RoleOption = "member", team: TeamOption = None, json: JsonOption = False
) -> None:
    """Add somebody to a team; who has no account yet is invited."""
    client = Client(profile=load())
    found = team_of(client, team)
    body = {"email": asking.check_email(email), "role": _check_role(role)}
    with output.action(f"Adding {email} to {found['name']} as {role}", quiet=json) as doing:
        try:
            added = client.call("POST", path("teams", found["id"], "members"), body).data
        except ApiError as error:
            if "there is no user" not in error.message:
                raise
            added = client.call("PUT", path("teams", found["id"], "invitations"), body).data
            doing.end = "invited: there is no such user yet"
    if json:
        output.show_json(added)


def set_role(
    email: EmailArgument, *, role: RoleOption = "member", team: TeamOption = None, json: JsonOption = False
) -> None:
    """Change somebody's role in a team."""
    client = Client(profile=load())
    found = team_of(client, team)
    body = {"email": email, "role": _check_role(role)}
    with output.action(f"Setting {email} to {role} in {found['name']}", quiet=json):
        changed = client.call("PATCH", path("teams", found["id"], "members"), body).data
    if json:
        output.show_json(changed)


def remove(email: EmailArgument, *, team: TeamOption = None, json: JsonOption = False) -> None:
    """Remove somebody from a team, or take an invitation back."""
    client = Client(profile=load())
    found = team_of(client, team)
    with output.action(f"Removing {email} from {found['name']}", quiet=json):
        try:
            removed = client.call("DELETE", path("teams", found["id"], "members", email)).data
        except ApiError as error:
            if "team member" not in error.message:
                raise
            removed = _take_back(client, found, email)
    if json:
        output.show_json(removed)


def _take_back(client: Client, team: Json, email: str) -> Json:
    try:
        taken: Json = client.call("DELETE", path("teams", team["id"], "invitations", email)).data
    except ApiError as error:
        if error.id == "not_found":
            raise Stop(f"{email} is neither in {team['name']} nor invited. Who is: towpath members") from None
        raise
    return taken


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("teams")(listing)
    cli.command("teams:create")(create)
    cli.command("teams:rename")(rename)
    cli.command("teams:destroy")(destroy)
    cli.command("members")(members)
    cli.command("members:add")(add)
    cli.command("members:set")(set_role)
    cli.command("members:remove")(remove)
