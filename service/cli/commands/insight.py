"""`towpath deliveries` and `towpath why`: what GitHub sent, what came of it, and why Towpath did what it did."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

import typer

from service.cli import output
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import JsonOption
from service.cli.profile import load

_STATES = {"nothing": "nothing to do", "described": "shown"}
"""What a decision came to, where the API's word says little to people."""
_AGO = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def deliveries(
    delivery: Annotated[str | None, typer.Argument(metavar="ID", help="One delivery, and what came of it.")] = None,
    *,
    number: Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=200, help="How many.")] = 25,
    json: JsonOption = False,
) -> None:
    """List GitHub's webhooks and what came of each.

    Newest first, sent or fetched. --json has the payload of one.
    """
    client = Client(profile=load())
    if delivery is not None:
        _show(client.get(path("deliveries", delivery)), json=json)
        return
    found = client.newest("/deliveries", by="received_at", limit=number)
    if json:
        output.show_json(found)
    elif not found:
        output.say("GitHub has sent nothing yet.")
    else:
        _list(found)
    _note_sources(client)


def _named(it: Json) -> str:
    return f"{it['event']}{'.' + it['action'] if it['action'] else ''}"


def _list(found: list[Json]) -> None:
    output.table(
        [
            [output.ago(it["received_at"]), _named(it), output.state(it["state"]), it["id"], it["verdict"] or ""]
            for it in found
        ]
    )


def _show(it: Json, *, json: bool) -> None:
    """One delivery: what it was, what came of it, and what was decided about each subject that it rang."""
    if json:
        output.show_json(it)
        return
    output.heading(f"{_named(it)} {it['id']}")
    rows = {
        "X-GitHub-Event": it["event"],
        "X-GitHub-Delivery": it["id"],
        "Repository": _said(it["payload"].get("repository"), "full_name"),
        "Sender": _said(it["payload"].get("sender"), "login"),
        "Size": f"{it['size']} bytes",
        "Received": output.ago(it["received_at"]),
        "Processed": output.ago(it["processed_at"]),
        "Attempts": str(it["attempts"]),
        "State": output.state(it["state"]),
        "Verdict": it["verdict"] or "",
    }
    output.table([[f"{key}:", value] for key, value in rows.items() if value])
    for each in it["decisions"]:
        outcome = output.state(_STATES.get(each["outcome"], each["outcome"] or "waits for its turn"))
        at = output.ago(each["decided_at"])
        output.say(f"  {' '.join(filter(None, (at, each['subject'], f'[{outcome}]', each['reason'])))}")


def _said(part: object, name: str) -> str:
    """A word of a payload, which may be of any form."""
    word = part.get(name) if isinstance(part, dict) else None
    return "".join(filter(str.isprintable, word)) if isinstance(word, str) else ""


def replay(
    delivery: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Deliveries by their ids.")] = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="All received since then: 90m, 2h, 3d or 2026-05-01T12:00."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Process stored deliveries once more.

    As if GitHub sent them again; nothing is deployed twice by it.

    Buttons that people pressed and comments that they wrote are done again by their ids only.
    """
    if bool(delivery) is (failed or since is not None):
        raise Stop("Name deliveries by their ids, or say --failed, --since TIME or both.", code=ExitCode.USAGE)
    body: Json = {"deliveries": delivery} if delivery else {"failed": failed}
    if since is not None:
        body["since"] = _moment(since).isoformat()
    done = Client(profile=load()).call("POST", "/delivery-replays", body).data
    if json:
        output.show_json(done)
    elif not done["deliveries"]:
        output.say("No delivery is like that: towpath deliveries")
    else:
        _list(done["deliveries"])
        left = done["count"] - len(done["deliveries"])
        told = "1 delivery is" if done["count"] == 1 else f"{done['count']} deliveries are"
        output.note(f"{told} processed again{f', {left} of them not listed' * (left > 0)}.")


def _moment(text: str) -> datetime:
    """A time, by this machine's clock where it names no zone, or so long ago."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Stop(
            f"--since {text!r} is no time: write 90m, 2h, 3d or a date as 2026-05-01T12:00.", code=ExitCode.USAGE
        ) from None


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
    """Tell why a commit, a pull request or an app is as it is.

    With what was decided about it, and for what reason.
    """
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
    cli.command("deliveries:replay")(replay)
    cli.command("why")(why)
