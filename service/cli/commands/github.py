"""`towpath github:setup` and `towpath github:webhook`: the two ways to let GitHub and Towpath know each other."""

from typing import Annotated, Any

import typer

from service.cli import output
from service.cli.client import Client
from service.cli.errors import Stop
from service.cli.options import JsonOption
from service.cli.profile import load


def setup(
    organization: Annotated[
        str | None, typer.Option("--org", metavar="ORG", help="Make it for an organization; an owner has to press.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print an address that makes a GitHub App of your own, by a few clicks in a browser."""
    made = Client(profile=load()).call("POST", "/github/setups", {"organization": organization}).data
    if json:
        output.show_json(made)
        return
    if made["unreachable"]:
        raise Stop(
            f"GitHub could not send webhooks here: {made['unreachable']}. Start Towpath with TOWPATH_PUBLIC_URL set to "
            "an address that GitHub reaches, as https://towpath.example.com, and try again."
        )
    who = f"an owner of {organization} has to press the button" if organization else "it is for your own repositories"
    output.note(f"Open this in a browser within an hour; {who}. It makes one GitHub App and is closed then.")
    output.say(made["url"])


def webhook(
    repository: Annotated[str, typer.Argument(metavar="ORG/REPO", help="The repository, without a GitHub App.")],
    json: JsonOption = False,
) -> None:
    """Say how a repository's webhook and a token do without a GitHub App, and check them."""
    told = Client(profile=load()).call("POST", "/github/webhook", {"repository": repository}).data
    if json:
        output.show_json(told)
    else:
        _show(told)
    if any(not each["ok"] for each in told["findings"] or ()):
        raise typer.Exit(1)


def _show(told: dict[str, Any]) -> None:
    output.heading(f"Webhook of {told['repository']}")
    output.table(
        [
            ["Add it at", told["settings_url"]],
            ["Payload URL", told["url"]],
            ["Content type", told["content_type"]],
            ["Secret", told["secret"]],
            ["Events", ", ".join(each["label"] for each in told["events"])],
        ]
    )
    output.say('\nThe events are under "Let me select individual events".\n')
    output.heading("Token")
    output.say(f"A fine-grained token for {told['repository']} alone, made at {told['token_url']}, with at least\n")
    output.table([[f"  {each['label']}", each["level"], each["why"]] for each in told["permissions"]])
    output.say("\nStart Towpath with it as TOWPATH_GITHUB_TOKEN.\n")
    output.heading("Check")
    if told["unreachable"]:
        output.say(f"!!  {told['unreachable']}: GitHub cannot send webhooks here")
    if told["app"]:
        output.say(f"Towpath uses the GitHub App {told['app']}: where that is installed, no webhook is needed.")
    if told["findings"] is None:
        output.say("Not checked: Towpath was started without TOWPATH_GITHUB_TOKEN.")
    for each in told["findings"] or ():
        output.say(f"{'ok' if each['ok'] else '!!'}  {each['what']}")
        if each["advice"]:
            output.say(f"    {each['advice']}")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("github:setup")(setup)
    cli.command("github:webhook")(webhook)
