"""`towpath access` and `pipelines:transfer`: who may do what to an app, and whose pipelines are."""

from typing import Annotated

import typer

from service.cli import asking, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.options import AppOption, ConfirmOption, JsonOption, PipelineOption, RemoteOption
from service.cli.profile import load

PERMISSIONS = ("view", "deploy", "operate", "manage", "promote")
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL")]
PermissionsOption = Annotated[
    str | None,
    typer.Option("--permissions", "-p", metavar="LIST", help="Of view, deploy, operate, manage and promote."),
]


def _permissions(text: str) -> list[str]:
    wanted = [each.strip() for each in text.split(",") if each.strip()]
    if unknown := [each for each in wanted if each not in PERMISSIONS]:
        known = ", ".join(PERMISSIONS)
        raise Stop(f"There is no permission {', '.join(unknown)}; there are: {known}.", code=ExitCode.USAGE)
    if not wanted:
        raise Stop("Which permissions? Say -p view,deploy.", code=ExitCode.USAGE)
    return wanted


def listing(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """List who may do what to an app."""
    client = Client(profile=load())
    found = client.everything(path("apps", target.app_name(client.profile, app, remote), "collaborators"))
    if json:
        output.show_json(found)
        return
    rows = [[it["user"]["email"], it["role"], ", ".join(each["name"] for each in it["permissions"])] for it in found]
    output.table(rows, header=["who", "role", "permissions"])


def add(
    email: EmailArgument,
    *,
    permissions: PermissionsOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    json: JsonOption = False,
) -> None:
    """Give somebody access to an app: view, deploy and operate unless said."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    body: Json = {"user": email} | ({} if permissions is None else {"permissions": _permissions(permissions)})
    with output.action(f"Adding {email} access to the app {name}", quiet=json):
        added = client.call("POST", path("apps", name, "collaborators"), body).data
    if json:
        output.show_json(added)


def update(
    email: EmailArgument,
    *,
    permissions: PermissionsOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    json: JsonOption = False,
) -> None:
    """Change what somebody may do to an app, to exactly these permissions."""
    wanted = _permissions(permissions or "")
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    with output.action(f"Updating {email} in application {name} with {','.join(wanted)} permissions", quiet=json):
        where = path("apps", name, "collaborators", email)
        changed = client.call("PATCH", where, {"permissions": wanted}).data
    if json:
        output.show_json(changed)


def remove(
    email: EmailArgument, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Take somebody's access to an app away."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    with output.action(f"Removing {email} access from the app {name}", quiet=json):
        removed = client.call("DELETE", path("apps", name, "collaborators", email)).data
    if json:
        output.show_json(removed)


def _owner(client: Client, named: str) -> Json:
    try:
        return {"id": client.get(path("teams", named))["id"], "type": "team"}
    except ApiError as error:
        if error.id != "not_found":
            raise
    return {"id": client.get(path("users", named))["id"], "type": "user"}


def transfer_pipeline(
    owner: Annotated[str, typer.Argument(metavar="TEAM|EMAIL")],
    *,
    pipeline: PipelineOption = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Give a pipeline and its owner's apps in it to another owner."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline)
    to = _owner(client, owner)
    danger = f"This transfers {found['name']} and all its owner's apps in it to {owner}."
    asking.confirm(found["name"], confirm, danger=danger)
    kind = "team" if to["type"] == "team" else "account"
    with output.action(f"Transferring {found['name']} pipeline to the {owner} {kind}", quiet=json):
        body = {"pipeline": {"id": found["id"]}, "new_owner": to}
        given = client.call("POST", "/pipeline-transfers", body).data
    if json:
        output.show_json(given)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("access")(listing)
    cli.command("access:add")(add)
    cli.command("access:update")(update)
    cli.command("access:remove")(remove)
    cli.command("pipelines:transfer")(transfer_pipeline)
