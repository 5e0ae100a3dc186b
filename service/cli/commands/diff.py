"""`towpath pipelines:diff`: what a promotion would bring, commit by commit, and how config vars differ by name."""

import time

import typer

from service.cli import following, output, target
from service.cli.client import Client, Json, path
from service.cli.options import AppOption, JsonOption, RemoteOption
from service.cli.profile import load

_ROUNDS = 6
"""The server waits for some seconds each time."""
_KEYS = {"missing": "only in {source}", "extra": "only in {target}", "different": "with other values"}


def diff(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """Compare an app with those of the next stage: commits, and names of config vars."""
    client = Client(profile=load())
    name = target.app_name(client.profile, app, remote)
    target.coupling_of(client, name)
    found = _compared(client, name)
    if json:
        output.show_json(found)
        return
    if not found:
        output.say(f"There is no app downstream of {name}.")
    for number, it in enumerate(found):
        if number:
            output.say()
        _show(it)


def _compared(client: Client, name: str) -> list[Json]:
    where, rounds = path("apps", name, "pipeline-diffs"), 1
    found = client.everything(where)
    while rounds < _ROUNDS and any(it["relation"] == "pending" for it in found):
        time.sleep(following.POLL_SECONDS)
        found, rounds = client.everything(where), rounds + 1
    return found


def _show(it: Json) -> None:
    output.heading(_title(it))
    if it["reason"]:
        output.say(f"{it['reason'].rstrip('.')}.")
    _list(it["commits"], it["ahead_by"])
    if it["behind_commits"]:
        output.say(f"\nonly in {it['app']['name']}, so that a promotion would take it away:")
        _list(it["behind_commits"], it["behind_by"])
    _show_keys(it)


def _title(it: Json) -> str:
    source, downstream = it["source"]["app"]["name"], it["app"]["name"]
    match it["relation"]:
        case "same":
            return f"{source} is up to date with {downstream}"
        case "ahead":
            return f"{source} is ahead of {downstream} by {_commits(it['ahead_by'])}"
        case "behind":
            return f"{source} is behind {downstream} by {_commits(it['behind_by'])}"
        case "diverged":
            apart = f"{_commits(it['ahead_by'])} ahead, {_commits(it['behind_by'])} behind"
            return f"{source} and {downstream} have diverged: {apart}"
        case "unrelated":
            return f"{source} and {downstream} have no commit in common"
        case _:
            return f"{source} could not be compared with {downstream}"


def _commits(number: int) -> str:
    return f"{number} commit{'' if number == 1 else 's'}"


def _list(commits: list[Json], number: int | None) -> None:
    output.table([[it["sha"][:7], it["date"][:10], it["author"], it["message"]] for it in commits])
    if number is not None and number > len(commits):
        output.say(f"and {number - len(commits)} more")


def _show_keys(it: Json) -> None:
    apart = it["config_vars"]
    if apart is None:
        output.say("\nConfig vars are compared for those who may read them in both apps.")
        return
    names = {"source": it["source"]["app"]["name"], "target": it["app"]["name"]}
    rows = [[f"{words.format(**names)}:", ", ".join(apart[key])] for key, words in _KEYS.items() if apart[key]]
    if rows:
        output.say("\nconfig vars")
        output.table(rows)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("pipelines:diff")(diff)
