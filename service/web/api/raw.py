"""A request's body as it came, read once however many ask for it."""

from typing import Final

from aiohttp import web

_MOST: Final = 1024 * 1024
"""Far more than any request here needs; the application's own cap is the webhook receiver's."""

_RAW: web.RequestKey[bytes] = web.RequestKey("raw body", bytes)


async def raw_body(request: web.Request) -> bytes:
    """The body, of at most a megabyte; more is refused with 413."""
    if _RAW not in request:
        request[_RAW] = await request.clone(client_max_size=_MOST).read()
    return request[_RAW]
