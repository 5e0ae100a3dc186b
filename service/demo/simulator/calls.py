"""One request to the simulated REST API: who asks, about what; and the answers, errors and pages."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import Account, Caller, Installation, Repository

DOCS = "https://docs.github.com/rest"


class Problem(Exception):
    """An answer that is an error, in GitHub's form."""

    def __init__(self, status: int, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **extra, "documentation_url": DOCS, "status": str(status)}


def not_found() -> Problem:
    """404: not there, or not for you; GitHub does not say which."""
    return Problem(404, "Not Found")


def forbidden(what: str = "integration") -> Problem:
    """403 for a token that lacks a permission."""
    return Problem(403, f"Resource not accessible by {what}")


def invalid(resource: str, name: str, message: str = "", code: str = "custom") -> Problem:
    """422, with the field it is about."""
    error = {"resource": resource, "field": name, "code": code, "message": message or f"{name} is {code}"}
    return Problem(422, "Validation Failed", errors=[error])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a handler returns: JSON, a status, and headers."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: by whom, about which repository, with what."""

    sim: SignalActions
    request: web.Request
    caller: Caller
    body: dict[str, Any]
    limits: dict[str, int]
    found: Repository | None = None

    @property
    def repo(self) -> Repository:
        """The repository of a `/repos/{owner}/{repo}` route."""
        assert self.found is not None
        return self.found

    @property
    def author(self) -> Account:
        """In whose name things are written: the App's bot, or a person."""
        return self.caller.account or self.sim.app.bot

    def word(self, name: str) -> str:
        """A part of the path."""
        return self.request.match_info[name]

    def number(self, name: str) -> int:
        """A part of the path that must be a number."""
        text = self.word(name)
        if not text.isdigit():
            raise not_found()
        return int(text)

    def installation(self) -> Installation:
        """The installation whose token is used."""
        if self.caller.installation is None:
            raise Problem(403, "You must authenticate with an installation access token.")
        return self.caller.installation

    async def commit(self, ref: str, *, problem: Problem | None = None) -> str:
        """The sha a ref names, or the error that GitHub gives."""
        sha = await self.sim.git.resolve(self.repo.id, ref)
        if sha is None:
            raise problem or Problem(422, f"No commit found for SHA: {ref}")
        return sha

    def paged(self, items: Sequence[Any], wrap: str | None = None, **extra: Any) -> Answer:
        """One page of a list, with Link headers; `wrap` puts it below that key beside `total_count`."""
        query = self.request.query
        size = min(100, max(1, whole(query.get("per_page"), 30)))
        page = max(1, whole(query.get("page"), 1))
        last = max(1, math.ceil(len(items) / size))
        shown = list(items[(page - 1) * size : page * size])
        wanted = {"next": page + 1, "last": last} if page < last else {}
        wanted |= {"prev": page - 1, "first": 1} if page > 1 else {}
        links = [f'<{self._url(page=number)}>; rel="{name}"' for name, number in wanted.items()]
        headers = {"Link": ", ".join(links)} if links else {}
        body = shown if wrap is None else {"total_count": len(items), **extra, wrap: shown}
        return Answer(body=body, headers=headers)

    def _url(self, **query: Any) -> str:
        path = self.request.rel_url.raw_path
        if self.found is not None and "/repos/" in path:
            # GitHub pages by repository id, so that a rename in between breaks nothing.
            before, _, rest = path.partition("/repos/")
            tail = rest.split("/", 2)[2:]
            path = "/".join([f"{before}/repositories/{self.found.id}", *tail])
        return f"{self.sim.url}{path}?" + urlencode(dict(self.request.query) | query)


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A route and what it needs: `app` (the JWT), `client` (the App's id and secret), `token`, `none`, or a permission.

    A permission is `permission:level`.
    """

    method: str
    path: str
    handler: Handler
    needs: str


def whole(text: str | None, default: int) -> int:
    """A number from a query, the default if it is none."""
    return int(text) if text and text.isdigit() else default
