"""Holds every answer that the API's tests get to the API's own description."""

import functools
import json
from typing import Any

from multidict import CIMultiDictProxy, MultiDict
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from yarl import URL

HOST = "http://towpath.example"
NOT_DESCRIBED = (
    *("/openapi.json", "/github/webhooks", "/github/setup", "/dashboard", "/static", "/no/such/path"),
    "/sources/",  # where the addresses of a source lead: a file
)


class _Request:
    """A request as openapi-core wants to see it."""

    host_url = HOST

    def __init__(self, method: str, path: str) -> None:
        # A branch may be written with its slashes, which no pattern of a description can say.
        before, branches, branch = path.partition("/repo/branches/")
        url = URL(HOST + before + branches + branch.replace("/", "%2F"), encoded=True)
        self.path_pattern = None
        self.path = url.raw_path
        self.method = method.lower()
        self.parameters = RequestParameters(query=MultiDict(url.query), header=MultiDict(), cookie=MultiDict())
        self.content_type = ""
        self.body = None


class _Response:
    """An answer as openapi-core wants to see it."""

    def __init__(self, status: int, headers: CIMultiDictProxy[str], content_type: str, body: bytes) -> None:
        self.data = body
        self.status_code = status
        self.content_type = content_type
        self.headers = MultiDict(headers)


@functools.cache
def _description(document: bytes) -> OpenAPI:
    return OpenAPI.from_dict(json.loads(document) | {"servers": [{"url": HOST}]})


def description(document: dict[str, Any]) -> OpenAPI:
    """The description of a server, read once for all of them: they differ in their address only."""
    return _description(json.dumps(document | {"servers": []}, sort_keys=True).encode())


def check(
    described: OpenAPI,
    method: str,
    path: str,
    *,
    status: int,
    headers: CIMultiDictProxy[str],
    content_type: str,
    body: bytes,
) -> None:
    """Fail when an answer is not as it is described."""
    if path == "/" or path.startswith(NOT_DESCRIBED) or ".git/" in path or status == 405:
        return
    try:
        described.validate_response(_Request(method, path), _Response(status, headers, content_type, body))
    except OpenAPIError as error:
        reasons, seen = [], error
        while seen is not None:
            reasons.append(f"{type(seen).__name__} {seen}"[:300])
            reasons += [f"{list(one.absolute_path)}: {one.message}"[:400] for one in getattr(seen, "schema_errors", ())]
            seen = seen.__cause__
        raise AssertionError(
            f"{method} {path} is not as described: {status} {body[:300]!r}\n" + "\n".join(reasons)
        ) from None
