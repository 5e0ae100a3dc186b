"""Review apps that a change takes away: the server says which, and whoever changes it is asked before they go."""

from typing import Final
from urllib.parse import quote

from service.cli import asking, output
from service.cli.client import Client, Json, path
from service.cli.errors import ApiError, Stop

_WOULD_GO: Final = "review_apps_would_go"


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
) -> Json:
    """Make a change of a pipeline, and ask for its name first if review apps go by it; returns the answer.

    Without a name that was `given` nothing goes but what the question has named: what has come up since is asked about
    anew.
    """
    name, told = str(pipeline["name"]), list[str]()
    if given is not None:
        asking.confirm(name, given, danger="")
        with output.action(doing, quiet=quiet):
            answer: Json = client.call(method, where, body).data
        return answer
    _check_asks(client, pipeline)
    while True:
        try:
            answer = client.call(method, f"{where}?told={quote(','.join(told), safe=',')}", body).data
        except ApiError as refused:
            if refused.id != _WOULD_GO:
                raise
            told = refused.review_apps
        else:
            with output.action(doing, quiet=quiet):
                return answer
        count = f"{len(told)} review app{'' if len(told) == 1 else 's'}"
        asking.confirm(name, None, danger=f"This destroys {count} of {name}: {', '.join(told)}.")


def _check_asks(client: Client, pipeline: Json) -> None:
    """Stop at a server from before it was asked there: it would take away everything at the first call."""
    answer = client.call("GET", path("pipelines", pipeline["id"], "settings"))
    if answer.headers.get("towpath-takes") != "told":
        raise Stop(
            f"The server at {client.profile.url} is older than this command line and would not ask before review apps "
            f"go. Update it, or say --confirm {pipeline['name']}. Nothing was done."
        )
