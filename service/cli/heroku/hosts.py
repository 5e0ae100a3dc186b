"""The hosts that Heroku's command line has written into itself, and how a call to each reads in our server's words.

kolkrabbi is Heroku's side of GitHub: its paths are those of our API. Of GitHub's own API it is asked what a repository
is and how two commits differ, which our server answers by its own access; the "token of GitHub" that the child is given
for that is the one it came with, and nobody's at GitHub.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

KOLKRABBI: Final = "kolkrabbi.heroku.com"
GITHUB: Final = "api.github.com"
PARTICLEBOARD: Final = "particleboard.heroku.com"
LISTED: Final = (KOLKRABBI, GITHUB, PARTICLEBOARD)
"""Whom the front takes the place of."""
LOCAL: Final = ("127.0.0.1", "localhost")
DYNOS: Final = re.compile(r"/apps/[^/?]+/dynos")
"""Where a command is asked for that somebody attaches to."""

_TOKEN: Final = "/account/github/token"  # noqa: S105 - a path
_REPOSITORY: Final = re.compile(r"/repos/[^/?]+/[^/?]+(?:/compare/[^/?]+)?")
_LINK: Final = re.compile(r"/pipelines/[^/?]+/repository")
_ADDRESSES: Final = frozenset({"output_stream_url", "setup_stream_url", "logplex_url", "put_url"})
_NO_TEST_RUNS: Final = (
    "Automatic test runs were not switched on: Towpath has none yet. What GitHub Actions reports counts as CI."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request of the child, as far as it says what is meant; `path` is without its query."""

    host: str
    method: str
    path: str
    authorization: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer that needs no server."""

    status: int
    data: Any


@dataclass(slots=True, kw_only=True)
class Hosts:
    """What was learned during one child's life: repositories by their number, and what the user should know."""

    notes: list[str] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)

    def answered(self, call: Call) -> Said | None:
        """What is answered at once; None where our server is to be asked."""
        if call.host == KOLKRABBI and (call.method, call.path) == ("GET", _TOKEN):
            return Said(status=200, data={"github": {"token": call.authorization.partition(" ")[2]}})
        if call.host == GITHUB and not (call.method == "GET" and _REPOSITORY.fullmatch(call.path)):
            message = f"Towpath does not answer {call.method} {call.path} for GitHub."
            return Said(status=404, data={"id": "not_found", "message": message})
        return None

    def asked(self, call: Call, body: bytes) -> bytes:
        """The body for our server."""
        if call.host != KOLKRABBI or not _LINK.fullmatch(call.path):
            return body
        match call.method, _read(body):
            case "POST", {"repository": int(number)} if number in self._names:
                # Our server knows by their number those that it has seen; this one it may never have heard of.
                return json.dumps({"repository": self._names[number]}).encode()
            case "PATCH", {"ci": True, **others}:
                self.note(_NO_TEST_RUNS)
                return json.dumps(others).encode()
            case _:
                return body

    def heard(self, call: Call, status: int, body: bytes, *, front: str) -> bytes:
        """The answer for the child: addresses of our server lead to `front`, the only one that the child is let to."""
        data = _read(body)
        match data:
            case {"id": int(number), "full_name": str(name)} if call.host == GITHUB:
                self._names[number] = name
            case {"message": str(message)} if call.host == GITHUB and status >= 400:
                self.note(message)  # the child says that something is amiss, and not what
        return body if data is None else json.dumps(_moved(data, front)).encode()

    def note(self, text: str) -> None:
        """Tell the user when the child is done, once."""
        if text not in self.notes:
            self.notes.append(text)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _moved(data: Any, front: str) -> Any:
    match data:
        case dict():
            return {
                key: _at(value, front) if key in _ADDRESSES and isinstance(value, str) else _moved(value, front)
                for key, value in data.items()
            }
        case list():
            return [_moved(each, front) for each in data]
        case _:
            return data


def _at(address: str, front: str) -> str:
    parts = urlsplit(address)
    return f"{front}{parts.path}?{parts.query}" if parts.query else f"{front}{parts.path}"
