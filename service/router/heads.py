"""Writes the heads of forwarded requests and answers: what goes on, what ends at this hop, what the router adds.

Nothing that frames a body is copied from the other side: the length or the chunking of what is written is stated anew,
so that two readers cannot differ on where a body ends.
"""

import re
import time
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp.http_parser import RawRequestMessage, RawResponseMessage
from aiohttp.http_writer import HttpVersion10, HttpVersion11

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
OURS = HOP_BY_HOP | {
    b"content-length",
    b"host",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-request-id",
    b"x-request-start",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9+/=_-]{20,200}")  # what Heroku's router accepts from a client
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")


class BadRequest(Exception):
    """The request may be read in two ways, or in none. The text is shown to the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes, once it is known to be sound."""

    host: str
    path: str
    upgrade: bool
    chunked: bool
    length: str | None


def target_of(message: RawRequestMessage) -> Target:
    """Check what the parser lets pass and say where the request goes; raises `BadRequest`."""
    headers = message.headers
    if message.version not in {HttpVersion10, HttpVersion11}:
        raise BadRequest("Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if message.method == "CONNECT":
        raise BadRequest("This is not a forward proxy: CONNECT is refused.")
    encoding = headers.get("Transfer-Encoding")
    if encoding is not None and (encoding.lower() != "chunked" or message.version == HttpVersion10):
        raise BadRequest("The only Transfer-Encoding understood is chunked, in HTTP/1.1.")
    host, path = headers.get("Host", ""), message.path
    if not path.startswith("/") and not (path == "*" and message.method == "OPTIONS"):
        host, path = _absolute(host, path)
    if not _HOST.fullmatch(host):
        raise BadRequest("The Host header is missing or not a host name.")
    return Target(
        host=host,
        path=path,
        upgrade=message.upgrade and headers.get("Upgrade", "").lower() == "websocket",
        chunked=message.chunked,
        length=length_of(message),
    )


def length_of(message: RawRequestMessage | RawResponseMessage) -> str | None:
    """The length that the parser has understood, written the one way that everybody reads alike."""
    length = message.headers.get("Content-Length")
    return None if length is None else str(int(length))


def _absolute(host: str, path: str) -> tuple[str, str]:
    """Take `http://host/path` apart; the name in it must be the Host header's, or the request means two apps."""
    try:
        parts = urlsplit(path)
    except ValueError:
        raise BadRequest("The request target is not a URL.") from None
    if parts.scheme not in {"http", "https"} or parts.netloc.lower() != host.lower():
        raise BadRequest("The request target is not a path, or names another host than the Host header.")
    return host, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def request_id_of(message: RawRequestMessage) -> str:
    """The client's request id if it is one, else a new one."""
    given = message.headers.get("X-Request-Id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def request_head(message: RawRequestMessage, target: Target, *, peer: str, trusted: bool, request_id: str) -> bytes:
    """The head to send to the app. `trusted`: the peer is a proxy of ours, whose X-Forwarded-Proto is believed."""
    headers = message.headers
    lines = [f"{message.method} {target.path} HTTP/1.1\r\nHost: {target.host}".encode(errors="surrogateescape")]
    lines += _end_to_end(message.raw_headers, headers.getall("Connection", ()), OURS)
    if target.upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    if target.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif target.length is not None:
        lines.append(b"Content-Length: " + target.length.encode())
    proto, host, port = _seen_as(message, target, trusted=trusted)
    added = (
        f"X-Forwarded-For: {_joined(headers.getall('X-Forwarded-For', ()), peer)}\r\n"
        f"X-Forwarded-Proto: {proto}\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Port: {port}\r\n"
        f"X-Request-Id: {request_id}\r\nX-Request-Start: {time.time_ns() // 1_000_000}\r\n"
        f"Via: {_joined(headers.getall('Via', ()), '1.1 towpath')}\r\n\r\n"
    )
    lines.append(added.encode(errors="surrogateescape"))
    return b"\r\n".join(lines)


def _joined(given: list[str] | tuple[str, ...], own: str) -> str:
    return ", ".join((*given, own))


def _seen_as(message: RawRequestMessage, target: Target, *, trusted: bool) -> tuple[str, str, str]:
    """Scheme, host and port under which the client sees the app."""
    headers = message.headers
    proto, host, port = "http", target.host, ""
    if trusted:
        given = headers.get("X-Forwarded-Proto", "").lower()
        proto = given if given in {"http", "https"} else proto
        forwarded = headers.get("X-Forwarded-Host", "")
        host = forwarded if _HOST.fullmatch(forwarded) else host
        port = headers.get("X-Forwarded-Port", "")
    if not (port.isascii() and port.isdigit()):
        _, colon, written = host.rpartition(":")
        port = written if colon and written.isdigit() else "443" if proto == "https" else "80"
    return proto, host, port


def response_head(
    message: RawResponseMessage,
    *,
    request_id: str,
    framing: bytes,
    connection: bytes,
    noindex: bool,
) -> bytes:
    """The head to send to the client; `framing` and `connection` are whole header lines, or empty."""
    reason = "" if _CONTROL.search(message.reason) else message.reason
    lines = [f"HTTP/1.1 {message.code} {reason}".encode(errors="surrogateescape")]
    lines += _end_to_end(message.raw_headers, message.headers.getall("Connection", ()), _NOT_FROM_APPS)
    if framing:
        lines.append(framing)
    if connection:
        lines.append(connection)
    if noindex:
        lines.append(b"X-Robots-Tag: noindex")
    via = _joined(message.headers.getall("Via", ()), "1.1 towpath")
    lines.append(f"Via: {via}\r\nX-Request-Id: {request_id}\r\n\r\n".encode(errors="surrogateescape"))
    return b"\r\n".join(lines)


_NOT_FROM_APPS = HOP_BY_HOP | {b"content-length", b"via", b"x-request-id"}


def _end_to_end(
    raw: tuple[tuple[bytes, bytes], ...], connection: list[str] | tuple[str, ...], dropped: frozenset[bytes]
) -> list[bytes]:
    """The header lines that pass this hop: not those in `dropped` nor those that `Connection` names."""
    if connection:
        named = {part.strip().lower().encode(errors="surrogateescape") for part in ",".join(connection).split(",")}
        dropped |= named
    lines = []
    for spelled, value in raw:
        # The parser lets an app put a space before the colon, which others after us may read differently.
        name = spelled.rstrip()
        key = name.lower()
        # CGI and WSGI read `X_Forwarded_For` and `X-Forwarded-For` as one variable: the other spelling goes too.
        if b"_" in key:
            key = key.replace(b"_", b"-")
        if key not in dropped and b"\r" not in value:
            lines.append(name + b": " + value)
    return lines
