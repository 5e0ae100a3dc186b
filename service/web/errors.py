"""Every refusal as the Platform API's `{"id", "message"}`, with Heroku's ids and status codes.

Heroku may add the `url` of an article: here the message itself says what to do, and there is no article to lead to.

Handlers and what they call raise `Refused`, `Transient` or `Conflict`; this middleware is where those become HTTP.
Anything else is a bug: aiohttp logs its traceback and answers 500.
"""

from collections.abc import Mapping

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from service.domain.errors import Refused, Transient
from service.domain.review_rules import WouldGo
from service.store.database import Conflict

log = structlog.get_logger()

STATUS_OF_ID = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "review_apps_would_go": 409,
    "conflict": 409,
    "request_too_large": 413,
    "requested_range_not_satisfiable": 416,
    "invalid_params": 422,
    "verification_required": 402,
    "rate_limit": 429,
    "service_unavailable": 503,
}
_ID_OF_STATUS = {status: name for name, status in STATUS_OF_ID.items()}
_AGREE = (
    "If that is meant, ask again with ?told= and their names, separated by commas, or what `told` is here. Nothing was "
    "done."
)


def error_response(
    code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> web.Response:
    """Build the error answer for one of Heroku's ids; an id nobody knows is a refusal of what was sent (422)."""
    return web.Response(
        status=STATUS_OF_ID.get(code, 422),
        body=msgspec.json.encode({"id": code, "message": message, **more}),
        content_type="application/json",
        headers=headers,
    )


def not_found(what: str) -> Refused:
    """Say that something is not there, in Heroku's words: foreign and missing things look the same."""
    return Refused(f"Couldn't find that {what}.", code="not_found")


def _of_refusal(refused: Refused) -> web.Response:
    if isinstance(refused, WouldGo):
        return error_response(
            refused.code, f"{refused.message} {_AGREE}", review_apps=refused.going, told=refused.digest
        )
    return error_response(refused.code, refused.message)


def _of_http(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """Give aiohttp's own errors (no such path, body too large ...) the API's form."""
    match error:
        case web.HTTPNotFound():
            return error_response("not_found", f"Couldn't find that resource: {request.method} {request.path}")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"{request.method} is not offered here; {allowed} is"
            return error_response("method_not_allowed", message, headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            return error_response("request_too_large", "The request body is larger than 1 MB.")
        case _:
            return error_response(_ID_OF_STATUS.get(error.status, "bad_request"), error.reason)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn the errors that mean something into answers."""
    if "\0" in request.path or "\0" in request.query_string:  # nothing has it in its name, and PostgreSQL takes none
        return error_response("bad_request", "The address holds a NUL character (%00).")
    try:
        return await handler(request)
    except Refused as refused:
        return _of_refusal(refused)
    except Conflict:
        return error_response("conflict", "Somebody else changed this at the same moment; look at it and try again.")
    except Transient as trouble:
        log.warning("answered unavailable", path=request.path, reason=trouble.message)
        wait = str(max(1, round(trouble.retry_after or 1)))
        return error_response("service_unavailable", trouble.message, headers={"Retry-After": wait})
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _of_http(request, error)
