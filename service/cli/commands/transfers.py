"""`towpath apps:transfer` and `apps:transfers`: an app's next owner, at once or once they have accepted it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from service.cli import asking, output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.options import AppOption, ConfirmOption, JsonOption, RemoteOption
from service.cli.profile import load
from service.cli.topics import close

_HOME = "/account/app-transfers"
TransferArgument = Annotated[
    str, typer.Argument(metavar="APP|ID", help="The app that was offered, or the offer's id in towpath apps:transfers.")
]


def transfer(
    recipient: Annotated[str, typer.Argument(metavar="TEAM|EMAIL")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    offer: Annotated[
        bool, typer.Option("--offer", help="Ask them first: a member of the team has it once they accept.")
    ] = False,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Give an app to a team, or a team's app to one of its members.

    A person's app has no collaborators from its team any more.
    """
    client = Client(profile=load())
    found = target.app_named(client, app, remote)
    if offer:
        _offer(client, found["name"], recipient, json=json)
        return
    if "@" in recipient and found["team"] is not None:
        danger = (
            f"All collaborators will be removed from {found['name']}, which leaves the team {found['team']['name']}."
        )
        asking.confirm(found["name"], confirm, danger=danger)
    with output.action(f"Transferring {found['name']} to {recipient}", quiet=json), _known(recipient):
        given = client.call("PATCH", path("teams", "apps", found["name"]), {"owner": recipient}).data
    if json:
        output.show_json(given)


def _offer(client: Client, app: str, recipient: str, *, json: bool) -> None:
    if "@" not in recipient:
        raise Stop(
            f"An app is offered to a person, by their address. A team has it at once: "
            f"towpath apps:transfer {recipient} -a {app}",
            code=ExitCode.USAGE,
        )
    with output.action(f"Offering {app} to {recipient}", quiet=json) as doing:
        with _known(recipient):
            made = client.call("POST", _HOME, {"app": app, "recipient": recipient}).data
        pending = made["state"] == "pending"
        doing.end = (
            f"done, it is theirs once they accept: towpath apps:transfers:accept {app}"
            if pending
            else "done, it is yours"
        )
    if json:
        output.show_json(made)


@contextmanager
def _known(recipient: str) -> Iterator[None]:
    """Name whoever is not found: it may be the app as well that is not."""
    try:
        yield
    except ApiError as error:
        if error.message != "Couldn't find that account.":
            raise
        raise Stop(f"Couldn't find {recipient}: no team of yours and nobody in one is called so.") from None


def listing(json: JsonOption = False) -> None:
    """List the apps that you have offered, and those that you were offered."""
    client = Client(profile=load())
    found = client.everything(_HOME)
    if json:
        output.show_json(found)
        return
    if not found:
        output.say(
            "No app is offered, neither by you nor to you. Offer one: towpath apps:transfer EMAIL --offer -a APP"
        )
        return
    rows = [
        [
            it["app"]["name"],
            it["owner"]["email"],
            it["recipient"]["email"],
            output.state(it["state"]),
            output.ago(it["updated_at"]),
            it["id"],
        ]
        for it in found
    ]
    output.table(rows, header=["app", "from", "to", "state", "since", "id"])
    me = client.get("/account")["id"]
    for it in found:
        if it["state"] == "pending" and it["recipient"]["id"] == me:
            app = it["app"]["name"]
            output.note(
                f"You were offered {app}: towpath apps:transfers:accept {app} or towpath apps:transfers:decline {app}"
            )


def _pending(client: Client, wanted: str) -> Json:
    """The open offer that is named by its id or its app; stops with what became of it when it is over."""
    offers = client.everything(_HOME)
    named = [it for it in offers if wanted in {it["id"], it["app"]["id"], it["app"]["name"]}]
    for it in named:
        if it["state"] == "pending":
            return it
    if named:
        raise Stop(f"The offer of {named[-1]['app']['name']} is over: it was {named[-1]['state']}.")
    known = sorted({it["app"]["name"] for it in offers})
    raise Stop(f"There is no offer of {wanted}.{close(wanted, known)} They are listed by: towpath apps:transfers")


def accept(transfer: TransferArgument, json: JsonOption = False) -> None:
    """Accept an app that you were offered: it is yours at once."""
    _answer(transfer, "accepted", json=json)


def decline(transfer: TransferArgument, json: JsonOption = False) -> None:
    """Decline an app that you were offered."""
    _answer(transfer, "declined", json=json)


def _answer(named: str, state: str, *, json: bool) -> None:
    client = Client(profile=load())
    it = _pending(client, named)
    verb, end = ("Accepting", "done, it is yours") if state == "accepted" else ("Declining", "done")
    with output.action(f"{verb} {it['app']['name']} from {it['owner']['email']}", quiet=json) as doing:
        answered = client.call("PATCH", _HOME + path(it["id"]), {"state": state}).data
        doing.end = end
    if json:
        output.show_json(answered)


def withdraw(transfer: TransferArgument, json: JsonOption = False) -> None:
    """Take an offer of yours back."""
    client = Client(profile=load())
    it = _pending(client, transfer)
    with output.action(f"Withdrawing the offer of {it['app']['name']} to {it['recipient']['email']}", quiet=json):
        withdrawn = client.call("DELETE", _HOME + path(it["id"])).data
    if json:
        output.show_json(withdrawn)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("apps:transfer")(transfer)
    cli.command("apps:transfers")(listing)
    cli.command("apps:transfers:accept")(accept)
    cli.command("apps:transfers:decline")(decline)
    cli.command("apps:transfers:withdraw")(withdraw)
