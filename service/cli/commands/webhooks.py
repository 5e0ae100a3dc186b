"""`towpath webhooks`: addresses that hear what happens to an app, or in a pipeline, and what became of telling them."""

import json as json_
from typing import Annotated

import typer

from service.cli import output, target
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, JsonOption, PipelineOption, RemoteOption
from service.cli.profile import load

Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, as the list shows it.")]
IncludeOption = Annotated[
    str | None,
    typer.Option("--include", "-i", metavar="ENTITIES", help="What it hears of: api:release,api:build ..."),
]
LevelOption = Annotated[
    str | None, typer.Option("--level", "-l", metavar="LEVEL", help="notify tries once, sync for three days, in order.")
]
UrlOption = Annotated[str | None, typer.Option("--url", "-u", metavar="URL", help="Where it is sent.")]
SecretOption = Annotated[
    str | None, typer.Option("--secret", "-s", metavar="TEXT", help="What deliveries are signed with.")
]
AuthorizationOption = Annotated[
    str | None, typer.Option("--authorization", "-t", metavar="TEXT", help="Sent as the Authorization header.")
]
StatusOption = Annotated[
    str | None, typer.Option("--status", "-s", metavar="STATUS", help="pending, retrying, succeeded or failed.")
]


def listing(
    app: AppOption = None, remote: RemoteOption = None, pipeline: PipelineOption = None, json: JsonOption = False
) -> None:
    """List the webhooks of an app or a pipeline."""
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    found = client.everything(f"{home}/webhooks")
    if json:
        output.show_json(found)
    elif not found:
        output.say(f"{name} has no webhooks\nUse towpath webhooks:add to add one.")
    else:
        found.sort(key=lambda it: str(it["created_at"]))
        rows = [[it["id"], it["url"], ",".join(it["include"]), it["level"]] for it in found]
        output.table(rows, header=["Webhook ID", "URL", "Include", "Level"])
        for it in found:
            if it["reason"]:
                output.note(
                    f" !    {it['id']} is stopped: {it['reason']}. Start it: towpath webhooks:update {it['id']}"
                )


def add(
    include: IncludeOption = None,
    level: LevelOption = None,
    url: UrlOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    secret: SecretOption = None,
    authorization: AuthorizationOption = None,
    json: JsonOption = False,
) -> None:
    """Let an address hear what happens to an app, or in a pipeline.

    Without --secret one is made up and shown, once.
    """
    wanted = _terms(include, level, url, secret, authorization)
    for option in ("include", "level", "url"):
        if option not in wanted:
            raise Stop(f"Say --{option}: towpath webhooks:add -i api:release -l sync -u URL", code=ExitCode.USAGE)
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    with output.action(f"Adding webhook to {name}", quiet=json):
        answer = client.call("POST", f"{home}/webhooks", wanted)
    made_up = answer.headers.get("heroku-webhook-secret")
    if json:
        output.show_json(answer.data | ({} if made_up is None else {"secret": made_up}))
    elif made_up is not None:
        output.heading("Webhooks Signing Secret")
        output.say(made_up)


def info(
    webhook: Id,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    json: JsonOption = False,
) -> None:
    """Show a webhook."""
    client = Client(profile=load())
    home, _ = _home(client, app, remote, pipeline)
    found = client.get(f"{home}/webhooks{path(webhook)}")
    if json:
        output.show_json(found)
        return
    output.heading(found["id"])
    shown = {"Include": ",".join(found["include"]), "Level": found["level"], "URL": found["url"]}
    if found["reason"]:
        shown["Stopped"] = found["reason"]
    _object({**shown, "Webhook ID": found["id"]})


def update(
    webhook: Id,
    include: IncludeOption = None,
    level: LevelOption = None,
    url: UrlOption = None,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    secret: SecretOption = None,
    authorization: AuthorizationOption = None,
    json: JsonOption = False,
) -> None:
    """Change what is said of a webhook; one that was stopped starts again."""
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    wanted = _terms(include, level, url, secret, authorization)
    with output.action(f"Updating webhook {webhook} for {name}", quiet=json):
        changed = client.call("PATCH", f"{home}/webhooks{path(webhook)}", wanted).data
    if json:
        output.show_json(changed)


def remove(
    webhook: Id,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    json: JsonOption = False,
) -> None:
    """Take a webhook away, and what it was still to be told."""
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    with output.action(f"Removing webhook {webhook} from {name}", quiet=json):
        removed = client.call("DELETE", f"{home}/webhooks{path(webhook)}").data
    if json:
        output.show_json(removed)


def events(
    app: AppOption = None, remote: RemoteOption = None, pipeline: PipelineOption = None, json: JsonOption = False
) -> None:
    """List what webhooks heard of, the oldest first."""
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    found = client.newest(f"{home}/webhook-events", by="seq", limit=1000)[::-1]
    if json:
        output.show_json(found)
    elif not found:
        output.say(f"{name} has no events")
    else:
        told = [it["payload"] for it in found]
        rows = [[it["id"], it["resource"], it["action"], output.ago(it["published_at"])] for it in told]
        output.table(rows, header=["Event ID", "Resource", "Action", "Published At"])


def event_info(
    event: Id,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    json: JsonOption = False,
) -> None:
    """Show an event as receivers are sent it."""
    client = Client(profile=load())
    home, _ = _home(client, app, remote, pipeline)
    found = client.get(f"{home}/webhook-events{path(event)}")
    if json:
        output.show_json(found)
    else:
        _payload(found, found["id"])


def deliveries(
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    status: StatusOption = None,
    json: JsonOption = False,
) -> None:
    """List the deliveries to webhooks, the oldest first."""
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    query = "" if status is None else f"?eq[status]={path(status).removeprefix('/')}"
    found = client.newest(f"{home}/webhook-deliveries{query}", by="seq", limit=1000)[::-1]
    if json:
        output.show_json(found)
    elif not found:
        output.say(f"{name} has no deliveries")
    else:
        header = ["Delivery ID", "Created", "Status", "Include", "Level", "Attempts", "Code", "Error", "Next Attempt"]
        output.table([_row(it) for it in found], header=header)


def _row(it: Json) -> list[str]:
    last = it["last_attempt"] or {}
    return [
        it["id"],
        output.ago(it["created_at"]),
        it["status"],
        it["event"]["include"],
        it["webhook"]["level"],
        str(it["num_attempts"]),
        str(last.get("code") or ""),
        last.get("error_class") or "",
        output.ago(it["next_attempt_at"]),
    ]


def delivery_info(
    delivery: Id,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    json: JsonOption = False,
) -> None:
    """Show a delivery with its last attempt and what was sent."""
    client = Client(profile=load())
    home, _ = _home(client, app, remote, pipeline)
    found = client.get(f"{home}/webhook-deliveries{path(delivery)}")
    event = client.get(f"{home}/webhook-events{path(found['event']['id'])}")
    if json:
        output.show_json(found | {"payload": event["payload"]})
        return
    last = found["last_attempt"] or {}
    output.heading(found["id"])
    _object(
        {
            "Attempts": str(found["num_attempts"]),
            "Code": str(last.get("code") or ""),
            "Created": output.ago(found["created_at"]),
            "Error": last.get("error_class") or "",
            "Event": found["event"]["id"],
            "Include": found["event"]["include"],
            "Level": found["webhook"]["level"],
            "Next Attempt": output.ago(found["next_attempt_at"]),
            "Said": last.get("text") or "",
            "Status": found["status"],
            "Webhook": found["webhook"]["id"],
        }
    )
    output.say()
    _payload(event, "Event Payload")


def retry(
    delivery: Id,
    app: AppOption = None,
    remote: RemoteOption = None,
    pipeline: PipelineOption = None,
    json: JsonOption = False,
) -> None:
    """Deliver once more what has ended, or at once what waits."""
    client = Client(profile=load())
    home, name = _home(client, app, remote, pipeline)
    with output.action(f"Retrying webhook delivery {delivery} of {name}", quiet=json):
        asked = client.call("POST", f"{home}/webhook-deliveries{path(delivery)}/actions/retry").data
    if json:
        output.show_json(asked)


def _home(client: Client, app: str | None, remote: str | None, pipeline: str | None) -> tuple[str, str]:
    """The path of what is meant, and its name."""
    if (found := target.pipeline_instead(client, pipeline, app, remote)) is not None:
        return path("pipelines", found["id"]), str(found["name"])
    name = target.app_name(client.profile, app, remote)
    return path("apps", name), name


def _terms(
    include: str | None, level: str | None, url: str | None, secret: str | None, authorization: str | None
) -> Json:
    """What is said of a webhook."""
    names = None if include is None else [name.strip() for name in include.split(",") if name.strip()]
    said = {"include": names, "level": level, "url": url, "secret": secret, "authorization": authorization}
    return {key: value for key, value in said.items() if value is not None}


def _object(shown: dict[str, str]) -> None:
    width = max(map(len, shown)) + 1
    for name, value in shown.items():
        if value:
            output.say(f"{f'{name}:'.ljust(width)} {value}")


def _payload(event: Json, heading: str) -> None:
    output.heading(heading)
    output.say(json_.dumps(event["payload"], indent=2))


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("webhooks")(listing)
    cli.command("webhooks:add")(add)
    cli.command("webhooks:info")(info)
    cli.command("webhooks:update")(update)
    cli.command("webhooks:remove")(remove)
    cli.command("webhooks:events")(events)
    cli.command("webhooks:events:info")(event_info)
    cli.command("webhooks:deliveries")(deliveries)
    cli.command("webhooks:deliveries:info")(delivery_info)
    cli.command("webhooks:deliveries:retry")(retry)
