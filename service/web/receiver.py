"""POST /github/webhooks: whatever GitHub sent and signed is in the database before it is answered. Decides nothing.

The caller is anonymous until the signature is checked, so everything before that is cheap and bounded: headers by
pattern, the body by size and time, the memory of all bodies together. The signature is checked on the raw bytes before
anything parses them. The library's own check is not used: it takes SHA-1, and raises for a header that is not ASCII.
"""

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from aiohttp import hdrs, web

from service.domain.errors import Transient
from service.store.deliveries import Inbox
from service.store.inbox import LARGE, State
from service.web import rights

PATH: Final = "/github/webhooks"
MAX_BODY: Final = 25 * 1024 * 1024
"""GitHub never sends more."""
CLIENT_MAX_SIZE: Final = 26 * 1024 * 1024
"""For the application that holds this handler: its own cap must not come before ours."""
MAX_BUFFERED: Final = 256 * 1024 * 1024
MAX_RUNG: Final = 1000
RETRY_SECONDS: Final = 5

_SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ACTION = re.compile(r"[!-~]{1,64}")  # whoever sends a `repository_dispatch` chooses the word
_GUID = re.compile(r"[A-Za-z0-9-]{8,64}")
_JSON = re.compile(r'application/json(\s*;\s*charset="?utf-8"?)?\s*', re.IGNORECASE)

log = structlog.get_logger()


class _Id(msgspec.Struct, frozen=True):
    id: int | None = None


class _Routing(msgspec.Struct, frozen=True):
    action: str | None = None
    repository: _Id | None = None
    installation: _Id | None = None


_ROUTING: Final = msgspec.json.Decoder(_Routing)
_MAX_ID: Final = 2**63 - 1


class _Refusal(Exception):
    """The answer to a request that is not taken."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Headers:
    """What the headers claim; only the body is signed, so nothing here is more than a claim."""

    event: str
    guid: str
    signature: bytes


def _headers(request: web.BaseRequest) -> _Headers:
    """Read the headers that GitHub always sends, each exactly once."""

    def only(name: str, pattern: re.Pattern[str], status: HTTPStatus) -> str:
        values = request.headers.getall(name, [])
        if len(values) != 1 or not pattern.fullmatch(values[0]):
            raise _Refusal(status, f"{name} is {'not as GitHub sends it' if values else 'missing'}")
        return values[0]

    only(hdrs.CONTENT_TYPE, _JSON, HTTPStatus.BAD_REQUEST)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise _Refusal(HTTPStatus.BAD_REQUEST, "GitHub sends webhooks uncompressed")
    event = only("X-GitHub-Event", _EVENT, HTTPStatus.BAD_REQUEST)
    guid = only("X-GitHub-Delivery", _GUID, HTTPStatus.BAD_REQUEST)
    signature = only("X-Hub-Signature-256", _SIGNATURE, HTTPStatus.UNAUTHORIZED)
    return _Headers(event=event, guid=guid, signature=signature.encode())


class _Body:
    """A body on its way in. Its signature is made part by part: nobody's large body may hold up the others."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.size = 0
        self._parts: list[bytes] = []
        self._macs = [hmac.new(secret.encode(), digestmod="sha256") for secret in secrets if secret]

    def add(self, part: bytes) -> None:
        """Take the next part."""
        self.size += len(part)
        self._parts.append(part)
        for mac in self._macs:
            mac.update(part)

    def is_signed(self, signature: bytes) -> bool:
        """Whether one of the current secrets made the signature; all are tried, so that time tells nothing."""
        matches = [hmac.compare_digest(b"sha256=" + mac.hexdigest().encode(), signature) for mac in self._macs]
        return any(matches)

    async def read(self) -> "_Signed":
        """Read what is needed of it, a large one beside the event loop."""
        return await asyncio.to_thread(self._read) if self.size > LARGE else self._read()

    def _read(self) -> "_Signed":
        raw = b"".join(self._parts)
        self._parts = []
        return _Signed(raw=raw, routing=_routing(raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """A body that GitHub signed."""

    raw: bytes
    routing: _Routing


def _routing(body: bytes) -> _Routing:
    """The few fields that deliveries are listed by. One of a wrong type is left out: the body is kept as sent."""
    try:
        return _ROUTING.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        # The slow way takes what the quick one is too strict for: other types, texts cut within a character.
        return _routing_of(body)


def _routing_of(body: bytes) -> _Routing:
    try:
        payload = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise _Refusal(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")

    def identity(name: str) -> _Id | None:
        match payload.get(name):
            case {"id": int(number)} if not isinstance(number, bool):
                return _Id(id=number)
            case _:
                return None

    action = payload.get("action")
    return _Routing(
        action=action if isinstance(action, str) else None,
        repository=identity("repository"),
        installation=identity("installation"),
    )


def _no_constant(name: str) -> Any:
    """Python reads NaN and Infinity, which are not JSON."""
    raise ValueError(name)


def _id(of: _Id | None) -> int | None:
    """An id that the database takes, or none."""
    return of.id if of is not None and of.id is not None and 0 < of.id <= _MAX_ID else None


class Receiver:
    """The door for GitHub's webhooks. `ring` may fail or hang: the delivery is stored, and the due loop finds it."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        secrets: Callable[[], Sequence[str]],
        ring: Callable[[Sequence[str]], Awaitable[None]],
        now: Callable[[], datetime],
        read_seconds: float = 8.0,  # GitHub itself gives up after 10
        ring_seconds: float = 5.0,
    ) -> None:
        self._inbox = inbox
        self._secrets = secrets
        self._ring = ring
        self._now = now
        self._read_seconds = read_seconds
        self._ring_seconds = ring_seconds
        self._buffered = 0
        self._unrung: list[str] = []
        self._ringing: asyncio.Task[None] | None = None

    def add_to(self, app: web.Application) -> None:
        """Serve at `PATH`; the application needs `client_max_size=CLIENT_MAX_SIZE`."""
        # It proves itself by its signature.
        rights.add(app, [rights.post(PATH, self.post, rights.OPEN)])
        app.on_cleanup.append(self._close)

    async def post(self, request: web.Request) -> web.Response:
        """Take one delivery."""
        try:
            return await self._receive(request)
        except _Refusal as refusal:
            log.info("webhook refused", status=int(refusal.status), reason=refusal.reason, remote=request.remote)
            response = _answer({"message": refusal.reason}, refusal.status)
            if refusal.status is HTTPStatus.SERVICE_UNAVAILABLE:
                response.headers[hdrs.RETRY_AFTER] = str(RETRY_SECONDS)
            if not request.content.at_eof():
                response.force_close()  # the rest of the body is not worth reading
            return response

    async def _receive(self, request: web.Request) -> web.Response:
        headers = _headers(request)
        body = _Body(self._secrets())
        try:
            await self._read(request, body)
            if not body.is_signed(headers.signature):
                raise _Refusal(HTTPStatus.UNAUTHORIZED, "X-Hub-Signature-256 does not match the body")
            state = await self._store(headers, await body.read())
        finally:
            self._buffered -= body.size
        if state == "processed":
            return _answer({"delivery": headers.guid, "state": state}, HTTPStatus.OK)
        self._start_ring(headers.guid)
        return _answer({"delivery": headers.guid, "state": state}, HTTPStatus.ACCEPTED)

    async def _store(self, headers: _Headers, body: _Signed) -> State:
        try:
            return await self._inbox.put(
                guid=headers.guid,
                event=headers.event,
                action=_action(body.routing.action),
                repository_id=_id(body.routing.repository),
                installation_id=_id(body.routing.installation),
                body=body.raw,
                received_at=self._now(),
            )
        except Transient as error:
            log.warning("delivery not stored", delivery=headers.guid, error=error.message)
            raise _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the delivery could not be stored") from error

    async def _read(self, request: web.Request, body: _Body) -> None:
        """Read the body within size, time and the memory left for bodies, which it keeps until it is stored."""
        if (request.content_length or 0) > MAX_BODY:
            raise _too_large()
        try:
            async with asyncio.timeout(self._read_seconds):
                while part := await request.content.readany():
                    body.add(part)
                    self._buffered += len(part)
                    self._check_size(body.size)
        except TimeoutError:
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
        except (web.RequestPayloadError, ConnectionError):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "the body broke off") from None

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY:
            raise _too_large()
        if self._buffered > MAX_BUFFERED:
            raise _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many large bodies at once")

    def _start_ring(self, guid: str) -> None:
        """Wake a worker without waiting for it. What comes while it is being rung is rung for together.

        Nobody is to be woken by a queue of rings that do not get through: beyond `MAX_RUNG` they are left out.
        """
        if len(self._unrung) < MAX_RUNG:
            self._unrung.append(guid)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring_all())

    async def _ring_all(self) -> None:
        while self._unrung:
            guids, self._unrung = self._unrung, []
            try:
                async with asyncio.timeout(self._ring_seconds):
                    await self._ring(guids)
            except Exception as error:  # noqa: BLE001  (whatever it is, the delivery is stored)
                log.warning("ring failed, the due loop will find it", error=repr(error))

    async def _close(self, _app: web.Application) -> None:
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.gather(self._ringing, return_exceptions=True)


def _action(action: str | None) -> str:
    """An action as the table takes it; an odd one is left to the body."""
    return action if action is not None and _ACTION.fullmatch(action) else ""


def _too_large() -> _Refusal:
    return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY} bytes")


def _answer(content: dict[str, str], status: HTTPStatus) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
