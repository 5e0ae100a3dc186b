"""How an answer is sent: JSON with an ETag, and lists in parts.

An unchanged thing costs the client nothing: the ETag is a digest of the body, so it is right whatever changed.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from service.domain.errors import Refused
from service.web.api import ranges

Row = TypeVar("Row")

OF_SECRETS: Final[Mapping[str, str]] = {hdrs.CACHE_CONTROL: "no-store"}
"""The headers of an answer that tells a secret: it is kept nowhere."""

_ACCEPTED = re.compile(r"\*/\*|application/(\*|json)|application/vnd\.heroku\+json(;version=3(\.[\w-]+)*)?|text/.*")
_WEIGHT = re.compile(r";q=[0-9.]+$")


def check_accept(request: web.Request) -> None:
    """Refuse a version of the API that is not spoken here; variants of version 3 all get the same answer."""
    accept = request.headers.get(hdrs.ACCEPT, "")
    wanted = [_WEIGHT.sub("", re.sub(r"\s+", "", part)) for part in accept.split(",") if part.strip()]
    if wanted and not any(_ACCEPTED.fullmatch(part) for part in wanted):
        message = "Only version 3 is spoken here; send Accept: application/vnd.heroku+json; version=3"
        raise Refused(message, code="not_acceptable")


def _matches(if_none_match: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def answer(
    request: web.Request, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Send JSON, or 304 when the client holds the same already."""
    body = msgspec.json.encode(data)
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    sent = {hdrs.ETAG: etag, **(headers or {})}
    if request.method in {"GET", "HEAD"} and _matches(request.headers.get(hdrs.IF_NONE_MATCH, ""), etag):
        return web.Response(status=304, headers=sent)
    return web.Response(status=status, body=body, content_type="application/json", headers=sent)


def wanted_range(request: web.Request, *attributes: str) -> ranges.Range:
    """Read what part of a list the client wants."""
    return ranges.parse(request.headers.get(hdrs.RANGE, ""), attributes=attributes)


def answer_list(
    request: web.Request,
    rows: Sequence[Row],
    shape: Callable[[Row], Any],
    *,
    read_to: int | None = None,
    **keys: ranges.SortKey[Row],
) -> web.Response:
    """Send the part of a list that was asked for; `keys` are what it may be ordered by, the first one by default.

    `read_to` is where reading the list was given up, if it was: the next part begins behind it.
    """
    page = ranges.cut(rows, wanted_range(request, *keys), keys, read_to=read_to)
    headers = {"Accept-Ranges": ", ".join(keys), hdrs.CONTENT_RANGE: page.content_range}
    if page.next_range is not None:
        headers["Next-Range"] = page.next_range
    partial = page.next_range is not None
    return answer(request, [shape(row) for row in page.rows], status=206 if partial else 200, headers=headers)
