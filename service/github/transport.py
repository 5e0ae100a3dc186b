"""One request to GitHub's REST API: bounded in time and size, to its own host only, and its outcome in our words.

gidgethub's sansio layer makes and reads the messages. Its client is not used: it has no time or size limit, follows a
`Link` to any host with our token, keeps one ETag cache for all tenants, and takes a secondary rate limit for a mistake
of ours. What may pass by itself (5xx, HTML from a proxy, resets, rate limits) is `Transient`; every other answer is a
`Reply` for the caller to judge.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlencode

import aiohttp
import msgspec
from gidgethub import sansio
from multidict import CIMultiDictProxy
from yarl import URL

from service.domain.errors import Refused, Transient
from service.github.payloads import clean
from service.waiting import to_its_end

PUBLIC_HOST: Final = "api.github.com"
MAX_REPLY: Final = 16 * 1024 * 1024
MAX_LARGE_REPLY: Final = 64 * 1024 * 1024
"""A delivery of 25 MB, with its headers and escaped as GitHub's API likes it."""
MAX_REDIRECTS: Final = 3
SECONDARY_LIMIT_SECONDS: Final = 60.0
"""GitHub asks for at least a minute when it names no time."""
LONGEST_WAIT: Final = 3600.0
"""GitHub's limits are by the hour; more than that is a clock that is wrong, ours or a proxy's."""

_LIMITS: Final = (b"rate limit", b"abuse detection mechanism")
"""What a limit calls itself, the second on an Enterprise Server, where no header tells it from a refusal."""

Shape = TypeVar("Shape")

_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=5)
_LARGE_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, connect=5, sock_read=20)
_REQUESTER: Final = "towpath"
_VERSION: Final = {"X-GitHub-Api-Version": "2022-11-28"}


class Limited(Transient):
    """A rate limit; asking again before its time makes it longer. `named` says whether GitHub told for how long."""

    def __init__(self, *, wait: float, named: bool) -> None:
        super().__init__(f"GitHub's rate limit: again in {wait:.0f} s", retry_after=wait)
        self.wait = wait
        self.named = named


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What is left of the hourly limit, as the last answer's headers told; it is whole again in `resets_in` seconds."""

    limit: int
    remaining: int
    resets_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `data` is decoded JSON, or `body` the bytes where those were asked for; `next_url` the next page's.

    `said_at` is GitHub's own time, if it told.
    """

    status: int
    data: Any = None
    body: bytes = field(default=b"", repr=False)
    etag: str = ""
    next_url: str = ""
    quota: Quota | None = None
    said_at: float | None = None

    @property
    def ok(self) -> bool:
        """Whether GitHub did what was asked."""
        return 200 <= self.status < 300

    def read(self, shape: type[Shape]) -> Shape:
        """The data as what it should be; an answer without the promised fields is not an answer."""
        try:
            return msgspec.convert(self.data, shape)
        except (msgspec.ValidationError, RecursionError) as error:
            raise Transient(f"GitHub's answer is incomplete: {error}") from error

    @property
    def message(self) -> str:
        """GitHub's own words on what was wrong, safe to store."""
        match self.data:
            case {"message": str(message), "errors": [*errors]} if errors:
                return clean(f"{message}: {', '.join(map(_detail, errors))}", limit=500)
            case {"message": str(message)}:
                return clean(message, limit=500)
            case _:
                return f"HTTP {self.status}"


def new_session(*watchers: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """The one session of a process; whoever makes it closes it. Watchers see every request."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=list(watchers) or None)


class Transport:
    """GitHub's API at one base URL, github.com's or an Enterprise Server's (`https://HOST/api/v3`)."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        api_url: str,
        wall_clock: Callable[[], float] = time.time,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> None:
        self._session = session
        self._timeout = timeout
        self._base = URL(api_url.rstrip("/") + "/")
        self._wall_clock = wall_clock

    def at(self, url: str) -> "Transport":
        """The same at another base URL, such as that of GitHub's pages."""
        return Transport(session=self._session, api_url=url, wall_clock=self._wall_clock, timeout=self._timeout)

    @property
    def is_public(self) -> bool:
        """Whether it is GitHub's own, and not a server of somebody else's."""
        return self._base.host == PUBLIC_HOST

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        token: str = "",
        jwt: str = "",
        client: tuple[str, str] | None = None,
        accept: str = "",
        etag: str = "",
        raw: bool = False,
    ) -> Reply:
        """Ask once, following GitHub's redirects of renamed repositories with the same method.

        `client` is the App's own id and secret, where a request is made in its name. `raw` is for what may be large: a
        success is left as it came, whoever asked reads it.
        """
        url = self.url(path, params or {})
        headers = sansio.create_headers(_REQUESTER, oauth_token=token or None, jwt=jwt or None) | _VERSION
        if client is not None:
            headers["authorization"] = aiohttp.encode_basic_auth(*client)
        if accept:
            headers["accept"] = accept
        if etag:
            headers["if-none-match"] = etag
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["content-type"] = "application/json; charset=utf-8"
        for _ in range(MAX_REDIRECTS):
            exchange = self._exchange(method, url, headers, content, raw=raw)
            # GitHub does what it was sent though nobody waits for the answer; what is said of it next must come after.
            status, answered, read = await (exchange if method == "GET" else to_its_end(exchange))
            location = answered.get("location", "")
            if status not in {301, 302, 307, 308} or not location:
                # An error may quote what was sent; its words are stored and shown.
                read = _without(read, token or jwt) if status >= 400 else read
                return self._reply(url, status, answered, read, raw=raw)
            url = self._ours(_joined(url, location), location)
        raise Transient(f"GitHub redirected {method} {path} more than {MAX_REDIRECTS} times")

    def url(self, path: str, params: Mapping[str, str]) -> URL:
        """An address below the base URL; anything else would get our token."""
        text = sansio.format_url(path, None, base_url=str(self._base))
        return self._ours(_joined(self._base, f"{text}?{urlencode(params)}" if params else text), path)

    def _ours(self, url: URL, said: str) -> URL:
        climbs = {".", ".."} & set(unquote(said.partition("?")[0]).split("/"))
        same = (url.scheme, url.raw_authority) == (self._base.scheme, self._base.raw_authority)
        if climbs or not same or not url.raw_path.startswith(self._base.raw_path):
            raise Refused(f"{said[:200]!r} is not an address of GitHub's API", code="github_address")
        return url

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], content: bytes | None, *, raw: bool
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        timeout, most = (_LARGE_TIMEOUT, MAX_LARGE_REPLY) if raw else (self._timeout, MAX_REPLY)
        try:
            async with self._session.request(
                method, url, headers=headers, data=content, allow_redirects=False, timeout=timeout
            ) as response:
                return response.status, response.headers, await _bounded(response, most)
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise Transient(f"GitHub could not be reached: {type(error).__name__}") from error

    def _reply(self, url: URL, status: int, headers: CIMultiDictProxy[str], body: bytes, *, raw: bool = False) -> Reply:
        self._check_limits(status, headers, body)
        if status >= 500 or status == 408:
            raise Transient(f"GitHub answered {status}", retry_after=_wait(headers))
        etag, quota = headers.get("etag", ""), self._quota(headers)
        if status == 304:
            return Reply(status=status, etag=etag, quota=quota)
        if not 200 <= status < 300:
            return Reply(status=status, data=_json(body), quota=quota, said_at=_date(headers))
        if raw:
            return Reply(status=status, body=body, quota=quota)
        try:
            # Without the limit's headers, which it would stumble over if they are odd.
            telling = {name: headers[name] for name in ("content-type", "link") if name in headers}
            data, _, following = sansio.decipher_response(200, telling, body)
        except (ValueError, LookupError, RecursionError) as error:
            raise Transient(f"GitHub's answer could not be read: {type(error).__name__}") from error
        if status != 204 and not isinstance(data, dict | list):
            raise Transient("GitHub's answer is not JSON")  # a proxy's page, under status 200
        return Reply(
            status=status, data=data, etag=etag, next_url=str(_joined(url, following)) if following else "", quota=quota
        )

    def _check_limits(self, status: int, headers: CIMultiDictProxy[str], body: bytes) -> None:
        """429, and those 403 that mean "later": GitHub's primary and secondary limits."""
        if status not in {403, 429}:
            return
        wait = _wait(headers)
        wait = None if wait is None else max(1.0, wait)
        if wait is None and headers.get("x-ratelimit-remaining") == "0":
            left = self._until(_seconds(headers.get("x-ratelimit-reset")), headers)
            # A reset in the past is no leave to ask at once: the limit is still there.
            wait = min(left + 1, LONGEST_WAIT) if left is not None and left > 0 else None
        if wait is not None:
            raise Limited(wait=wait, named=True)
        used_up = headers.get("x-ratelimit-remaining") == "0"
        said = body[:2000].lower()
        if status == 429 or used_up or any(words in said for words in _LIMITS):
            raise Limited(wait=SECONDARY_LIMIT_SECONDS, named=False)

    def _until(self, moment: float | None, headers: CIMultiDictProxy[str]) -> float | None:
        """In how many seconds a moment of GitHub's comes, by its own clock if it tells that."""
        now = _date(headers)
        return None if moment is None else moment - (self._wall_clock() if now is None else now)

    def _quota(self, headers: CIMultiDictProxy[str]) -> Quota | None:
        try:
            limit = sansio.RateLimit.from_http(headers)
        except (ValueError, OverflowError, OSError):
            return None
        if limit is None:
            return None
        resets_in = self._until(limit.reset_datetime.timestamp(), headers) or 0.0
        return Quota(limit=limit.limit, remaining=limit.remaining, resets_in=min(max(0.0, resets_in), LONGEST_WAIT))


def _detail(error: Any) -> str:
    match error:
        case {"message": str(text)} | {"code": str(text)}:
            return text
        case _:
            return str(error)


def _joined(base: URL, address: str) -> URL:
    """An address seen from another; an empty one when it cannot be read."""
    try:
        return base.join(URL(address, encoded=True))
    except ValueError:
        return URL()


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65536):
        size += len(part)
        if size > most:
            raise Transient(f"GitHub's answer is larger than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def _without(body: bytes, secret: str) -> bytes:
    return body.replace(secret.encode(), b"[redacted]") if secret else body


def _json(body: bytes) -> Any:
    """An error's body; what cannot be read says nothing, its status does."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _wait(headers: CIMultiDictProxy[str]) -> float | None:
    seconds = _seconds(headers.get("retry-after"))
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def _date(headers: CIMultiDictProxy[str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = 0.0 if text is None else float(text)
    except ValueError:
        return None
    return None if text is None or not math.isfinite(seconds) else max(0.0, seconds)
