"""Review apps that a change takes away: the server says which, and whoever changes it is asked before they go."""

from typing import Final
from urllib.parse import quote

from service.cli import asking, output
from service.cli.client import Client, Json, path
from service.cli.errors import ApiError, Stop
from service.domain.review_rules import digest_of

_WOULD_GO: Final = "review_apps_would_go"
_LONGEST: Final = 2000
"""Servers and proxies take 8190 bytes of an address, some of them less."""
_GONE: Final = frozenset({"destroying", "destroyed", "skipped"})


def change(
    client: Client,
    method: str,
    where: str,
    body: Json | None = None,
    *,
    pipeline: Json,
    given: str | None,
    doing: str,
    quiet: bool,
    ends: str = "",
) -> Json:
    """Make a change of a pipeline, and ask for its name first if review apps go by it; returns the answer.

    Without a name that was `given` nothing goes but what the question has named: what has come up since is asked about
    anew. What else `ends` by it, as all its review apps do then, is asked about in any case.
    """
    name = str(pipeline["name"])
    if given is not None:
        asking.confirm(name, given, danger="")
        with output.action(doing, quiet=quiet):
            answer: Json = client.call(method, where, body).data
        return answer
    _check_asks(client, pipeline)
    told = _there(client, pipeline) if ends else []
    if ends:
        _ask(name, told, ends)
    while True:
        try:
            answer = client.call(method, f"{where}?told={_in_an_address(told)}", body).data
        except ApiError as refused:
            if refused.id != _WOULD_GO:
                raise
            told = refused.review_apps
        else:
            with output.action(doing, quiet=quiet):
                return answer
        _ask(name, told, ends)


def _in_an_address(names: list[str]) -> str:
    """The names, or the digest that stands for them where they are too many."""
    text = quote(",".join(names), safe=",")
    return text if len(text) <= _LONGEST else digest_of(names)


def _ask(name: str, going: list[str], ends: str) -> None:
    count = f"{len(going)} review app{'' if len(going) == 1 else 's'}"
    goes = f"destroys {count} of {name}: {', '.join(going)}" if going else ""
    asking.confirm(name, None, danger=f"This {', and '.join(filter(None, (ends, goes)))}.")


def _there(client: Client, pipeline: Json) -> list[str]:
    """The names of all its review apps, as far as we see: the server refuses if it knows of others."""
    listed = client.everything(path("pipelines", pipeline["id"], "review-apps"))
    return sorted(it["app"]["name"] for it in listed if it["app"] and it["state"] not in _GONE)


def _check_asks(client: Client, pipeline: Json) -> None:
    """Stop at a server from before it was asked there: it would take away everything at the first call."""
    answer = client.call("GET", path("pipelines", pipeline["id"], "settings"))
    if answer.headers.get("towpath-takes") != "told":
        raise Stop(
            f"The server at {client.profile.url} is older than this command line and would not ask before review apps "
            f"go. Update it, or say --confirm {pipeline['name']}. Nothing was done."
        )
