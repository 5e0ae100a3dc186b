"""Waiting for what was asked: the output as it is written, then how it ended, as an exit code."""

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.output import Waiting, note, waiting

POLL_SECONDS = 0.4
_LOG_LINE = re.compile(r"(\S+) (\w+)\[([^\]]*)\]: (.*)", re.DOTALL)


@contextmanager
def patiently(look: str) -> Iterator[None]:
    """Let Ctrl-C end the waiting and say that the work goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stop(f"Stopped waiting; Towpath goes on. Look with: {look}", code=ExitCode.INTERRUPTED) from None


def is_open(found: Json) -> bool:
    """Whether a request has not come to its end."""
    return found["state"] in {"queued", "running"}


def request(client: Client, request_id: str) -> Json:
    """Read how far a request has come."""
    found: Json = client.get(path("requests", request_id))
    return found


def write(texts: Iterable[str], *, quiet: bool) -> bool:
    """Show output; beside the answer when that is for programs. True when there was any."""
    stream, said = (sys.stderr if quiet else sys.stdout), False
    for text in texts:
        stream.write(text)
        stream.flush()
        said = True
    return said


def logs(client: Client, app: str, *, lines: int, tail: bool, process: str | None, as_json: bool) -> None:
    """Show what an app has written, and go on with `tail` until Ctrl-C."""
    body = {"lines": lines, "tail": tail, "dyno": process}
    session = client.call("POST", path("apps", app, "log-sessions"), body).data
    texts = client.stream(session["logplex_url"])
    try:
        said = write(_as_json(texts) if as_json else texts, quiet=False)
    except KeyboardInterrupt:
        raise Stop("", code=ExitCode.INTERRUPTED) from None
    if not said:
        note(f"{process or app} has written nothing.")


def _as_json(texts: Iterator[str]) -> Iterator[str]:
    """Each line of a log as an object: when, who (`app`), which of its processes, and what it said."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from (_line_as_json(each) for each in whole)
    if rest:
        yield _line_as_json(rest)


def _line_as_json(line: str) -> str:
    known = _LOG_LINE.fullmatch(line)
    at, source, dyno, message = known.groups() if known else (None, None, None, line)
    return json.dumps({"at": at, "source": source, "dyno": dyno, "message": message}) + "\n"


def follow(client: Client, app: str, request_id: str, *, output: bool, quiet: bool = False) -> Json:
    """Wait for the end of an app's request, showing build and release phase; returns it, or stops with its reason."""
    found = watch(client, app, request_id, output=output, quiet=quiet)
    check(found)
    return found


def watch(client: Client, app: str, request_id: str, *, output: bool, quiet: bool) -> Json:
    """The same, but returns it however it ended."""
    with patiently(f"towpath releases -a {app}"), waiting(f"Waiting for {app}") as sign:
        shown: set[str] = set()
        while is_open(found := request(client, request_id)):
            if not (output and _show_next(client, found, shown, sign, quiet=quiet)):
                if output:
                    sign.show()
                time.sleep(POLL_SECONDS)
        while output and _show_next(client, found, shown, sign, quiet=quiet):
            pass
    return found


def _show_next(client: Client, found: Json, shown: set[str], sign: Waiting, *, quiet: bool) -> bool:
    """Show the next of the request's outputs to its end; False when none has begun."""
    for what in ("build", "release"):
        if found[what] is not None and what not in shown:
            shown.add(what)
            source = found["id"] if what == "build" else found["release"]["id"]
            sign.hide()
            write(client.stream(path(f"{what}s", source, "output")), quiet=quiet)
            return True
    return False


def check(found: Json) -> None:
    """Stop with the reason and its exit code unless the request succeeded."""
    if found["state"] == "succeeded":
        return
    reason = found["reason"] or found["state"]
    app, build, release = found["app"]["name"], found["build"], found["release"]
    if build is not None and build["status"] == "failed":
        raise Stop(f"The build for {app} failed: {build['error'] or reason}", code=ExitCode.BUILD_FAILED)
    if release is not None and release["status"] == "failed":
        text = f"Release v{release['version']} of {app} failed: {release['error'] or reason}"
        served = " The former release still serves." if release["version"] > 1 else ""
        raise Stop(f"{text}.{served}", code=ExitCode.RELEASE_FAILED)
    raise Stop(f"{_plain(found['kind'])} of {app} is {found['state']}: {reason}")


def _plain(kind: str) -> str:
    """The API's word for a kind of work as people say it: `ChangeConfig` is "Change config"."""
    return re.sub(r"\B(?=[A-Z])", " ", kind).capitalize()
