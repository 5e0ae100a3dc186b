"""Puts the description together from the routes that are served, and serves it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import hdrs, web

from service.web import rights
from service.web.api.bodies import AnyBody
from service.web.openapi.notation import Schema
from service.web.openapi.operation import Operation
from service.web.openapi.operations import OPERATIONS
from service.web.openapi.things import THINGS

_FOR_BROWSERS: Final = ("/dashboard", "/static", "/github/setup")
_FOR_GIT: Final = "/{app}.git/"
_OUTSIDE: Final = frozenset({"/", "/openapi.json", "/github/webhooks", "/sources/{source}"})
"""Pages, this description, what only GitHub sends to, and where the addresses of a source lead."""
_PLACE: Final = re.compile(r"{(\w+)}")
_VERBS: Final = {"GET": "Show", "POST": "Create", "PUT": "Set", "PATCH": "Change", "DELETE": "Delete"}
_WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ABOUT: Final = (
    "Heroku's Platform API, version 3, and Towpath's own resources in the same manner. Send `Accept: "
    "application/vnd.heroku+json; version=3`. Things are named by id or name. Lists come in parts: `Range: name ..; "
    "max=200, order=desc` asks for one and `Next-Range` is what to ask for next. An unchanged thing is 304 by its "
    "`ETag`. A change that is sent with an `Idempotency-Key` is carried out once, however often it is sent that day."
)
_HEADERS: Final[Mapping[str, str]] = {
    "Request-Id": "The id of this answer.",
    "RateLimit-Remaining": "How many requests the token may still make now.",
    "ETag": "A digest of the answer, for If-None-Match.",
    "Content-Range": "Which part of the list this is.",
    "Next-Range": "The Range to ask for the next part; not there at the list's end.",
    "Accept-Ranges": "What the list may be ordered by.",
    "Heroku-Webhook-Secret": "What a webhook signs with, when it was made up; it is not shown again.",
    "Towpath-Request": "The id of the request in the app's queue that the change became.",
    "Idempotency-Replayed": "That this answer was given before.",
}

DOCUMENT: web.AppKey[bytes] = web.AppKey("openapi", bytes)


def paths(routes: Iterable[web.AbstractRoute]) -> Iterator[tuple[str, str, web.AbstractRoute]]:
    """The (method, path) of every route that is an operation of the API, with the route."""
    for route in routes:
        path = route.resource.canonical if route.resource is not None else ""
        browsers = any(path == tree or path.startswith(f"{tree}/") for tree in _FOR_BROWSERS)
        other = browsers or path.startswith(_FOR_GIT)
        if path and path not in _OUTSIDE and not other and route.method != hdrs.METH_HEAD:
            yield route.method, path, route


def document(routes: Iterable[web.AbstractRoute], *, url: str) -> Schema:
    """Describe the routes; what is served and not described in `operations` is left out, and a test says so."""
    schemas: Schema = dict(THINGS)
    described: dict[str, Schema] = {}
    for method, path, route in sorted(paths(routes), key=lambda it: (it[1], it[0])):
        operation = OPERATIONS.get(f"{method} {path}")
        if operation is not None:
            described.setdefault(path, {})[method.lower()] = _operation(method, path, route, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Towpath", "version": "3", "description": _ABOUT},
        "servers": [{"url": url}],
        "security": [{"bearer": []}, {"basic": []}],
        "paths": described,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API token."},
                "basic": {"type": "http", "scheme": "basic", "description": "An API token as the password."},
            },
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
            "responses": {_name(status): _error(status) for status in _ERRORS},
        },
    }


_FOLLOWED: Final = frozenset({"/log-sessions/{key}", "/dyno-attachments/{key}"})
"""Without a token, yet counted for the account that they were opened for."""
_ERRORS: Final = (400, 401, 403, 404, 406, 409, 413, 416, 422, 429, 503)


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _error(status: int) -> Schema:
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _headers("Request-Id", *(["RateLimit-Remaining"] if status == 429 else [])),
        "content": {"application/json": {"schema": _ref("error")}},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _operation(method: str, path: str, route: web.AbstractRoute, it: Operation, schemas: Schema) -> Schema:
    writes = method in _WRITING
    pages = it.is_list and method == hdrs.METH_GET
    shown: Schema = {
        "operationId": _id(method, path),
        "summary": _summary(route) or _plainly(method, it),
        "parameters": [
            *_in_path(path),
            *_in_query(it),
            *_in_headers(writes=writes, pages=pages, text=it.thing is None),
        ],
        "responses": _answers(method, path, it),
    }
    if it.is_open:
        shown["security"] = []
    if it.body is not None:
        content = {"application/json": {"schema": _body(it.body, schemas)}}
        shown["requestBody"] = {"required": _needs_body(it.body), "content": content}
    return shown


def _id(method: str, path: str) -> str:
    return "_".join([method.lower(), *re.findall(r"\w+", path)])


def _summary(route: web.AbstractRoute) -> str:
    """What the handler says of itself, without the routes it begins with."""
    line = (route.handler.__doc__ or "").partition("\n")[0]
    return line.partition(": ")[2].strip()


def _plainly(method: str, it: Operation) -> str:
    thing = (it.thing or "").replace("-", " ")
    verb = "List" if it.is_list else _VERBS[method]
    return f"{verb}: {thing}"


def _in_path(path: str) -> Iterator[Schema]:
    for name in _PLACE.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(it: Operation) -> Iterator[Schema]:
    for name, text in it.query.items():
        yield {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


def _in_headers(*, writes: bool, pages: bool, text: bool) -> Iterator[Schema]:
    if pages:
        about = "Which part of the list, like `id ]LAST..; max=200, order=desc`."
        yield {"name": "Range", "in": "header", "description": about, "schema": {"type": "string"}}
    if writes:
        about = "A text of your own, up to 255 characters, by which repetitions are known for 24 hours."
        key = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        yield {"name": "Idempotency-Key", "in": "header", "description": about, "schema": key}
    elif not text:
        about = "The ETag of an answer that is held already."
        yield {"name": "If-None-Match", "in": "header", "description": about, "schema": {"type": "string"}}


def _answers(method: str, path: str, it: Operation) -> Schema:
    answers: Schema = {}
    if it.status is not None:
        answers[str(it.status)] = _well(method, it)
    if method == hdrs.METH_GET and it.is_list:
        answers["206"] = _well(method, it) | {"description": "A part of the list"}
    if method == hdrs.METH_GET and it.thing is not None:
        answers["304"] = {"description": "Unchanged", "headers": _headers("Request-Id", "ETag")}
    for status in _errors(method, path, it):
        answers[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    return answers


def _well(method: str, it: Operation) -> Schema:
    if it.thing is None:
        words = {"text/plain": {"schema": {"type": "string"}}}
        events = {"text/event-stream": {"schema": {"type": "string"}}}
        return {"description": "Text", "headers": _headers("Request-Id"), "content": words | events}
    schema = {"type": "array", "items": _ref(it.thing)} if it.is_list else _ref(it.thing)
    names = ["Request-Id", "RateLimit-Remaining", "ETag"]
    names += ["Content-Range", "Next-Range", "Accept-Ranges"] if it.is_list and method == hdrs.METH_GET else []
    names += ["Towpath-Request", "Idempotency-Replayed"] if method in _WRITING else []
    return {
        "description": HTTPStatus(it.status or 200).phrase,
        "headers": _headers(*names),
        "content": {"application/json": {"schema": schema}},
    }


def _errors(method: str, path: str, it: Operation) -> list[int]:
    """Which errors an operation may answer with."""
    places = "{" in path
    if it.is_open:
        followed = [429] if path in _FOLLOWED else []
        return [400, 404, *followed, 503] if places else [400, 503]
    found = {400, 401, 403, 406, 429, 503}
    found |= {404} if places or it.body is not None or it.query else set()
    # A name that several things have is refused wherever it is used.
    found |= {422} if places or it.body is not None or it.query else set()
    found |= {416} if it.is_list else set()
    found |= {409, 413, 422} if method in _WRITING else set()
    return sorted(found)


def _needs_body(model: AnyBody) -> bool:
    return bool(model.model_json_schema().get("required"))


def _body(model: AnyBody, schemas: Schema) -> Schema:
    """The schema of a body; the models inside it become components of their own."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return _ref(model.__name__)


async def describe(request: web.Request) -> web.Response:
    """GET /openapi.json: what this server serves."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


def add_description(app: web.Application, *, url: str) -> None:
    """Serve the description of all routes that the application has by now."""
    app[DOCUMENT] = msgspec.json.encode(document(app.router.routes(), url=url))
    rights.add(app, [rights.get("/openapi.json", describe, rights.OPEN)])
