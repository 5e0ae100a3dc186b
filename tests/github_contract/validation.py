"""Holds the simulated GitHub, and whoever calls it, to GitHub's own descriptions of REST and webhooks."""

import functools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Middleware
from jsonschema import Draft202012Validator, ValidationError
from multidict import MultiDict
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError

from tests.github_contract.exceptions import NULL_IN_PAYLOADS, UNDESCRIBED, mend

HERE = Path(__file__).resolve()
SLICES = sorted((HERE.parents[1] / "data").glob("github-rest-*.json"))
PAGES: Final = ("/_", "/{owner}", "/settings/", "/organizations/{org}/settings/", "/apps/{slug}", "/login/oauth/")
"""What a browser, git and the demo ask for: no REST, so GitHub's description of it says nothing."""
NPM = HERE.parents[2] / "build" / "npm" / "node_modules" / "@octokit"
WEBHOOKS = NPM / "openapi-webhooks" / "generated" / "api.github.com.json"
EXAMPLES = NPM / "webhooks-examples" / "api.github.com" / "index.json"


@dataclass
class Violations:
    """What was wrong, in order; a test that provokes some on purpose says so with `expected`."""

    found: list[str] = field(default_factory=list)

    @contextmanager
    def expected(self) -> Iterator[list[str]]:
        """Violations within this block are the test's own wish: they are handed over and forgotten."""
        before = len(self.found)
        wanted: list[str] = []
        try:
            yield wanted
        finally:
            wanted += self.found[before:]
            del self.found[before:]


class _Request:
    """A request as openapi-core wants to see it."""

    host_url = "https://api.github.com"

    def __init__(self, request: web.Request, template: str, words: dict[str, str], body: bytes) -> None:
        self.path_pattern = None
        self.path = re.sub(r"\{(\w+)\}", lambda word: quote(words[word[1]], safe=""), template)
        self.method = request.method.lower()
        self.parameters = RequestParameters(
            query=MultiDict(request.query), header=MultiDict(request.headers), cookie=MultiDict()
        )
        self.content_type = request.content_type if body else ""
        self.body = body or None


class _Response:
    """A response as openapi-core wants to see it."""

    def __init__(self, response: web.Response) -> None:
        self.data = response.body if isinstance(response.body, bytes) else b""
        self.status_code = response.status
        self.content_type = response.content_type
        self.headers = MultiDict(response.headers)


def _slices() -> dict[str, Any]:
    """GitHub's REST description, cut to what is used here, put together from its files."""
    whole, *more = (json.loads(path.read_text()) for path in reversed(SLICES))
    for one in more:
        whole["paths"] |= one["paths"]
        for kind, parts in one["components"].items():
            whole["components"][kind] = parts | whole["components"].get(kind, {})
    return whole


@functools.cache
def rest_description() -> OpenAPI:
    """GitHub's REST description, read once."""
    return OpenAPI.from_dict(mend(_slices()))


def rest_validation(violations: Violations, *, name_of: Callable[[str], str]) -> Middleware:
    """A middleware that checks every REST request and answer.

    `name_of` gives `owner/name` of a repository id, because the description does not know the
    `/repositories/{id}` that GitHub redirects and pages to.
    """
    description = rest_description()

    @web.middleware
    async def validate(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        where = f"{request.method} {request.path}"
        if request.match_info.http_exception is not None and request.path.startswith("/api/v3/"):
            violations.found.append(f"request {where}: the simulated GitHub has no such operation")
        resource = request.match_info.route.resource
        template = "" if resource is None else resource.canonical.removeprefix("/api/v3")
        if not template or template.startswith(PAGES):
            return await handler(request)
        words = dict(request.match_info)
        if "repository_id" in words:
            words["owner"], _, words["repo"] = name_of(words["repository_id"]).partition("/")
            template = template.replace("/repositories/{repository_id}", "/repos/{owner}/{repo}")
        asked = _Request(request, template, words, await request.read())
        response = await handler(request)
        _check(violations, f"request {where}: {_short(asked.body)}", lambda: description.validate_request(asked))
        assert isinstance(response, web.Response)
        if response.status in UNDESCRIBED and not _described(template, request.method, response.status):
            _check_error(violations, where, response)
        else:
            answered = _Response(response)
            what = f"response {response.status} to {where}: {_short(answered.data)}"
            _check(violations, what, lambda: description.validate_response(asked, answered))
        return response

    return validate


@functools.cache
def _operations() -> dict[tuple[str, str], set[str]]:
    paths = _slices()["paths"]
    return {
        (re.sub(r"\{\w+\}", "{}", path), method.upper()): set(operation["responses"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method != "parameters"
    }


def _described(template: str, method: str, status: int) -> bool:
    return str(status) in _operations().get((re.sub(r"\{\w+\}", "{}", template), method), set())


def _check(violations: Violations, what: str, validate: Callable[[], Any]) -> None:
    try:
        validate()
    except OpenAPIError as error:
        reasons = "; ".join(_reasons(error)) or str(error)
        violations.found.append(f"{what}: {reasons}")


def _reasons(error: BaseException) -> Iterator[str]:
    seen: BaseException | None = error
    while seen is not None:
        for one in getattr(seen, "schema_errors", ()):
            for inner in _innermost(one):
                yield f"{'/'.join(map(str, inner.absolute_path))}: {inner.message[:200]}"
        yield f"{type(seen).__name__} {seen}"[:120]
        seen = seen.__cause__


def _innermost(error: ValidationError) -> Iterator[ValidationError]:
    """Of `anyOf` and its like the reasons why each one failed."""
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from _innermost(inner)


def _check_error(violations: Violations, where: str, response: web.Response) -> None:
    """Errors that the description leaves out still have GitHub's one form."""
    if response.status == 304:
        return
    body = json.loads(response.text or "null")
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        violations.found.append(f"response {response.status} to {where} is not a basic error: {body!r}")


def _short(body: bytes | None) -> str:
    return (body or b"").decode(errors="replace")[:300]


class WebhookDescription:
    """GitHub's description of every payload it sends."""

    def __init__(self, path: Path = WEBHOOKS) -> None:
        self._whole = json.loads(path.read_text())
        self._validators: dict[str, Draft202012Validator] = {}

    def check(self, event: str, payload: dict[str, Any]) -> list[str]:
        """What is wrong with a payload; empty when nothing is."""
        parts = (event, payload.get("action"))
        name = "-".join(part.replace("_", "-") for part in parts if isinstance(part, str))
        if name not in self._whole["webhooks"]:
            return [f"GitHub sends no {name}"]
        return [
            f"{name} {where}: {error.message[:300]}"
            for error in self._validator(name).iter_errors(payload)
            if (where := "/".join(map(str, error.absolute_path))) not in NULL_IN_PAYLOADS or error.instance is not None
        ]

    def _validator(self, name: str) -> Draft202012Validator:
        if name not in self._validators:
            content = self._whole["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
            schema = {"components": self._whole["components"], **content["schema"]}
            self._validators[name] = Draft202012Validator(schema)
        return self._validators[name]


@functools.cache
def webhook_description() -> WebhookDescription:
    """The description, read once."""
    return WebhookDescription()


def webhook_validation(violations: Violations) -> Callable[[str, dict[str, Any]], None]:
    """A watcher for `sim.sender.watchers` that checks every payload before it is sent."""
    description = webhook_description()

    def watch(event: str, payload: dict[str, Any]) -> None:
        violations.found += [f"webhook {wrong}" for wrong in description.check(event, payload)]

    return watch
