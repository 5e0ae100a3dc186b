"""`towpath pipelines:promote --undo`: each target of an app's last promotion back to what it ran before."""

import time
from collections.abc import Collection

from service.cli import following, output
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop


def undo(client: Client, coupling: Json, ids: Collection[str] | None, *, wait: bool, json: bool) -> None:
    """Undo the last promotion from an app, on all of its targets or on those of these ids."""
    promotion = _last(client, coupling)
    body: Json = {} if ids is None else {"targets": [{"app": {"id": app_id}} for app_id in ids]}
    where = path("pipeline-promotions", promotion["id"], "actions", "undo")
    undone: Json = client.call("POST", where, body).data
    failed: list[str] = []
    with following.patiently(f"towpath pipelines:info {coupling['pipeline']['name']}"):
        for it in undone["targets"]:
            if it["request"] is None:
                _say_why_not(it, quiet=json)
            elif not _followed(client, it, wait=wait, quiet=json):
                failed.append(it["app"]["name"])
    if json:
        output.show_json(undone)
    stayed = [it["app"]["name"] for it in undone["targets"] if it["refused"]]
    if failed or stayed:
        raise Stop(f"Not undone: {', '.join(failed + stayed)}.", code=ExitCode.PROMOTION_FAILED)


def _last(client: Client, coupling: Json) -> Json:
    name, pipeline = coupling["app"]["name"], coupling["pipeline"]
    listed = client.newest(path("pipelines", pipeline["id"], "pipeline-promotions"), by="created_at", limit=100)
    for it in listed:
        if it["source"]["app"]["id"] == coupling["app"]["id"]:
            return it
    raise Stop(f"There is no promotion from {name} to undo: name the app whose code was promoted.")


def _say_why_not(it: Json, *, quiet: bool) -> None:
    say = output.note if quiet else output.say
    say(f"{it['app']['name']} stays as it is: {it['error_message']}")


def _followed(client: Client, it: Json, *, wait: bool, quiet: bool) -> bool:
    """Say what a target goes back to and, unless nobody waits, whether it did."""
    with output.action(f"Rolling {it['app']['name']} back to v{it['to']['version']}", quiet=quiet) as doing:
        done = following.request(client, it["request"]["id"])
        while wait and following.is_open(done):
            time.sleep(following.POLL_SECONDS)
            done = following.request(client, it["request"]["id"])
        it["request"]["state"] = done["state"]
        if done["state"] == "succeeded" or not wait:
            doing.end = f"done, v{it['release']['version']}" if wait else f"asked for, v{it['release']['version']}"
            return True
        doing.end = f"failed, {done['reason'] or done['state']}"
        return False
