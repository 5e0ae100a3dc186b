"""Sends one signed request to where a webhook leads, and nowhere else.

Addresses are judged when they are connected to, after names were resolved: whoever owns a name may answer one question
so and the next otherwise. Redirects are not followed, as they could lead anywhere.
"""

import base64
import hmac
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from ssl import SSLContext, create_default_context
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.domain.webhooks import Reach
from service.store.redaction import Redactor

SECONDS: Final = 10.0
"""How long a receiver may take, from the name's resolution to the end of its answer."""
READ: Final = 2048
"""Bytes of an answer that are looked at."""
SHOWN: Final = 500
"""Characters of an answer that are kept."""
SIGNATURE: Final = "Heroku-Webhook-Hmac-SHA256"
DELIVERY: Final = "Heroku-Webhook-Id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is sent where, and with what it is signed."""

    url: str
    body: bytes
    delivery_id: str
    secret: str = field(repr=False)
    authorization: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The status that was answered, or in a word what went wrong instead; and what was said, without secrets."""

    code: int | None
    error: str | None
    text: str


class NotAllowed(OSError):
    """An address that webhooks of this installation may not lead to."""


class _Names(AbstractResolver):
    """Names as the system resolves them; those under `localhost`, which it need not know, are this machine."""

    def __init__(self) -> None:
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        name = host.rstrip(".").lower()
        if name != "localhost" and not name.endswith(".localhost"):
            return await self._system.resolve(host, port, family)
        here = ResolveResult(
            hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
        )
        return [here]

    async def close(self) -> None:
        """Nothing is held."""


def signature(secret: str, body: bytes) -> str:
    """How a body is signed."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


async def send(letter: Letter, reach: Reach) -> Answered:
    """Make one attempt; whatever goes wrong is in what is returned."""
    redact = Redactor(filter(None, (letter.secret, letter.authorization))).redact
    try:
        async with (
            _session(letter.url, reach) as session,
            session.post(letter.url, data=letter.body, headers=_headers(letter), allow_redirects=False) as response,
        ):
            said = await _beginning(response)
            return Answered(code=response.status, error=None, text=redact(said)[:SHOWN])
    except TimeoutError:
        return Answered(code=None, error="timeout", text=f"no answer within {SECONDS:.0f} s")
    except aiohttp.ClientError as error:
        return Answered(code=None, error=_word(error), text=redact(str(error))[:SHOWN])
    except (OSError, ValueError) as error:  # a name that no resolver takes, an address that is none
        return Answered(code=None, error="connection_failed", text=redact(str(error))[:SHOWN])


def _headers(letter: Letter) -> dict[str, str]:
    headers = {
        hdrs.CONTENT_TYPE: "application/json",
        hdrs.USER_AGENT: "Towpath-Webhooks",
        hdrs.ACCEPT_ENCODING: "identity",
        SIGNATURE: signature(letter.secret, letter.body),
        DELIVERY: letter.delivery_id,
    }
    return headers | ({hdrs.AUTHORIZATION: letter.authorization} if letter.authorization else {})


def _session(url: str, reach: Reach) -> aiohttp.ClientSession:
    host = URL(url).host or ""
    connector = aiohttp.TCPConnector(
        resolver=_Names(),
        ssl=_trusted(),
        force_close=True,
        use_dns_cache=False,
        socket_factory=partial(_open, host, reach),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        auto_decompress=False,
    )


@cache
def _trusted() -> SSLContext:
    return create_default_context()


def _open(host: str, reach: Reach, found: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for an address that may be connected to; the last word before every connection."""
    family, kind, protocol, _, address = found
    if not reach.allows(host, str(address[0])):
        raise NotAllowed(f"{host} is not in the public internet, and TOWPATH_WEBHOOK_HOSTS does not name it")
    return socket.socket(family=family, type=kind, proto=protocol)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """What an answer begins with, in a line that no terminal takes for more than text; the rest is not read."""
    said = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError):  # the status has told how it went
        async for chunk in response.content.iter_any():
            said += chunk
            if len(said) >= READ:
                break
    text = said[:READ].decode(errors="replace")
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _word(error: aiohttp.ClientError) -> str:
    kinds: tuple[tuple[type[aiohttp.ClientError], str], ...] = (
        (aiohttp.ClientConnectorCertificateError, "tls_failed"),
        (aiohttp.ClientSSLError, "tls_failed"),
        (aiohttp.ClientConnectorDNSError, "name_not_found"),
        (aiohttp.ClientConnectorError, "connection_failed"),
        (aiohttp.InvalidURL, "address_not_usable"),
    )
    match error:
        case aiohttp.ClientConnectorError(os_error=NotAllowed()):
            return "address_not_allowed"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "connection_refused"
        case _:
            return next((word for kind, word in kinds if isinstance(error, kind)), "answer_not_usable")
