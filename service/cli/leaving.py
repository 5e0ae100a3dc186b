"""Review apps that a change of a pipeline's settings takes away: whoever changes it is told which, and asked first."""

from typing import Any

from service.cli import asking
from service.cli.client import Client, Json, path

_THERE = frozenset({"creating", "live", "failed", "suspended"})


def confirm(client: Client, pipeline: Json, changes: Json, given: str | None) -> None:
    """Ask for the pipeline's name if review apps go by these changes of its settings; `given` is what was given."""
    going = _going(client, pipeline, changes)
    if going:
        count = f"{len(going)} review app{'' if len(going) == 1 else 's'}"
        danger = f"This destroys {count} of {pipeline['name']}: {', '.join(going)}."
        asking.confirm(pipeline["name"], given, danger=danger)
    elif given is not None:
        asking.confirm(pipeline["name"], given, danger="")


def _going(client: Client, pipeline: Json, changes: dict[str, Any]) -> list[str]:
    """The names of their apps; pull requests that nobody has looked at yet may be of forks, and count as such."""
    off, never = changes.get("review_apps") is False, changes.get("forks") == "never"
    if not off and not never:
        return []
    there = [
        each
        for each in client.everything(path("pipelines", pipeline["id"], "review-apps"))
        if each["app"] and each["state"] in _THERE
    ]
    return sorted(each["app"]["name"] for each in there if off or each["trust"] != "own")
