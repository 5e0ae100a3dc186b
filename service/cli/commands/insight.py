"""`towpath deliveries` and `towpath why`: what GitHub sent, and why Towpath did what it did."""

from typing import Annotated
from urllib.parse import urlencode

import typer

from service.cli import output
from service.cli.client import Client, path
from service.cli.options import JsonOption
from service.cli.profile import load

_STATES = {"nothing": "nothing to do", "described": "shown"}
"""What a decision came to, where the API's word says little to people."""


def deliveries(
    delivery: Annotated[str | None, typer.Argument(metavar="ID", help="One delivery, with its payload.")] = None,
    *,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=200, help="How many.")] = 25,
    json: JsonOption = False,
) -> None:
    """List GitHub's webhooks, sent or fetched, newest first, and what came of each."""
    client = Client(profile=load())
    if delivery is not None:
        output.show_json(client.get(path("deliveries", delivery)))
        return
    found = client.newest("/deliveries", by="received_at", limit=number)
    if json:
        output.show_json(found)
    elif not found:
        output.say("GitHub has sent nothing yet.")
    else:
        output.table(
            [
                [
                    output.ago(it["received_at"]),
                    f"{it['event']}{'.' + it['action'] if it['action'] else ''}",
                    output.state(it["state"]),
                    it["id"],
                    it["verdict"] or "",
                ]
                for it in found
            ]
        )
    _note_sources(client)


def _note_sources(client: Client) -> None:
    """Say what stands between GitHub and us where deliveries are fetched rather than sent."""
    for it in client.get("/delivery-sources"):
        if it["reason"]:
            again = f" (asked again at {output.ago(it['retry_at'])})" if it["retry_at"] else ""
            about = it["repository"]["name"] or it["name"] if it["repository"] else "the GitHub App"
            mark = " !   " if it["state"] == "waiting" else "     "
            output.note(f"{mark} {about}: {it['reason']}{again}")


def why(
    question: Annotated[
        str, typer.Argument(metavar="SHA|PR|APP", help="A commit, the number of a pull request, or an app's name.")
    ],
    json: JsonOption = False,
) -> None:
    """Tell what was decided about a commit, a pull request or an app, and for what reason."""
    answer = Client(profile=load()).call("GET", f"/why?{urlencode({'q': question}, errors='surrogateescape')}").data
    if json:
        output.show_json(answer)
        return
    output.heading(answer["about"])
    if not answer["trail"]:
        output.say("Nothing is on record about it: no delivery, request or decision has named it.")
    for it in answer["trail"]:
        state = f" [{output.state(_STATES.get(it['state'], it['state']))}]" if it["state"] else ""
        output.say(f"{output.ago(it['at'])}  {it['about']}{state}  {it['text']}")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("deliveries")(deliveries)
    cli.command("why")(why)
