"""`towpath ps` and `towpath logs`: what runs, how much of it, and what it says."""

import re
from typing import Annotated

import typer

from service.cli import following, output, target
from service.cli.client import Client, path
from service.cli.commands import locks
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonLinesOption, JsonOption, RemoteOption, WaitOption
from service.cli.profile import load

_MOST = 100
_SCALE = re.compile(r"([-\w]+?)([=+-])(\d{1,3})")
TailOption = Annotated[bool, typer.Option("--tail", "-t", help="Go on with new lines.")]
LinesOption = Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=1500, help="How many lines.")]
DynoOption = Annotated[str | None, typer.Option("--dyno", "-d", metavar="NAME", help="One process only, as web.1.")]


def listing(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """List an app's processes."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    dynos = client.everything(path("apps", name, "dynos"))
    if json:
        output.show_json(dynos)
        return
    if not dynos:
        output.say(f"No processes on {name}: deploy it first, or scale it up (towpath ps:scale web=1 -a {name}).")
    output.table(
        [[f"{it['name']}:", output.state(it["state"]), output.ago(it["updated_at"]), it["command"]] for it in dynos]
    )
    locks.show(client.everything(path("apps", name, "deploy-locks")))


def scale(
    quantities: Annotated[list[str] | None, typer.Argument(metavar="TYPE=N")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Show or set how many processes of each type run: web=2, worker+1, worker-1."""
    matches = [(word, _SCALE.fullmatch(word)) for word in quantities or ()]
    for word, match in matches:
        if match is None:
            raise Stop(f"{word!r} is not of the form TYPE=N, TYPE+N or TYPE-N.", code=ExitCode.USAGE)
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    formation = {it["type"]: it["quantity"] for it in client.everything(path("apps", name, "formation"))}
    wanted = {}
    for _, match in matches:
        assert match is not None
        type_, sign, number = match[1], match[2], int(match[3])
        now = formation.get(type_, 0)
        wanted[type_] = number if sign == "=" else now + number if sign == "+" else max(0, now - number)
    if any(quantity > _MOST for quantity in wanted.values()):
        raise Stop(f"At most {_MOST} processes of one type can run.", code=ExitCode.USAGE)
    if wanted:
        with output.action(f"Scaling processes of {name}", quiet=json) as doing:
            updates = [{"type": type_, "quantity": quantity} for type_, quantity in wanted.items()]
            answer = client.call("PATCH", path("apps", name, "formation"), {"updates": updates})
            if wait and answer.request_id is not None:
                following.follow(client, name, answer.request_id, output=False)
            running = ", ".join(f"{type_}={quantity}" for type_, quantity in wanted.items())
            doing.end = f"done, now running {running}"
    elif not json and not formation:
        output.say(f"{name} has no process types yet: deploy something first.")
    elif not json:
        output.say(" ".join(f"{type_}={quantity}" for type_, quantity in sorted(formation.items())))
    if json:
        output.show_json(formation | wanted)


def restart(
    dyno: Annotated[
        str | None, typer.Argument(metavar="DYNO", help="One process only, as web.1, or those of a type, as worker.")
    ] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Start an app's processes anew, without a gap."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    one = [dyno] if target.given(dyno) and dyno is not None else []
    of_type = bool(one) and "." not in one[0]
    with output.action(f"Restarting {' of '.join([*one, name])}", quiet=json):
        if of_type:
            answer = client.call("DELETE", path("apps", name, "formations", one[0]))
        else:
            answer = client.call("DELETE", path("apps", name, "dynos", *one))
        request_id = answer.request_id or ""
        if wait and request_id:
            following.follow(client, name, request_id, output=False)
    if json:
        output.show_json(following.request(client, request_id) if request_id else None)


def logs(
    app: AppOption = None,
    remote: RemoteOption = None,
    tail: TailOption = False,
    number: LinesOption = 100,
    dyno: DynoOption = None,
    json: JsonLinesOption = False,
) -> None:
    """Show what an app writes."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    following.logs(client, name, lines=number, tail=tail, process=dyno, as_json=json)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("ps")(listing)
    cli.command("ps:scale")(scale)
    cli.command("ps:restart")(restart)
    cli.command("logs")(logs)
