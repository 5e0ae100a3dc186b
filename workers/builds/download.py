"""Packed sources by https: from hosts of a list, in the public internet, up to a size and within a time.

It is our own process that connects, from outside of any sandbox. So every address that a name resolves to is judged
when it is resolved, and exactly those are connected to; where a server sends us on to, the same is asked again.
"""

import asyncio
import hashlib
import ipaddress
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver, ResolveResult

from service.domain.addresses import is_public
from service.domain.errors import Refused, Transient
from service.domain.source_hosts import LARGEST, check_address

_REDIRECTS: Final = 5
_CHUNK: Final = 1 << 20
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloads:
    """What may be fetched and how much: `hosts` as in `TOWPATH_SOURCE_HOSTS`, sizes in bytes, times in seconds.

    `allowed` says to which addresses we may connect, `names` resolves names and `tls` says who is believed; they are
    replaced where there is no internet.
    """

    hosts: tuple[str, ...] = ()
    most: int = LARGEST
    seconds: float = 300.0
    allowed: Callable[[str], bool] = is_public
    names: Callable[[], AbstractResolver] = aiohttp.ThreadedResolver
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    async def fetch(self, url: str, dest: Path) -> str:
        """Have what is at the address as the file `dest`, which is there whole or not at all; returns its sha256.

        Raises `Refused` when the address may not be asked, or does not have it; `Transient` when it may pass.
        """
        await asyncio.to_thread(dest.parent.mkdir, parents=True, exist_ok=True)
        part = dest.with_name(f"{dest.name}.{secrets.token_hex(8)}.part")
        connector = aiohttp.TCPConnector(
            resolver=_Judged(self.names(), self.allowed), ssl=self.tls or True, use_dns_cache=False, force_close=True
        )
        timeout = aiohttp.ClientTimeout(total=self.seconds, sock_connect=15, sock_read=60)
        host = urlsplit(url).hostname or ""
        try:
            async with aiohttp.ClientSession(
                connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as session:
                sha256 = await self._follow(session, url, part)
            await asyncio.to_thread(part.replace, dest)
        except TimeoutError:
            raise Transient(f"the source did not come from {host} within {self.seconds:.0f} s") from None
        except aiohttp.ClientError as error:
            # Without its text: an address may hold a secret, and so may what a server says.
            raise Transient(f"the source could not be fetched from {host} ({type(error).__name__})") from None
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        return sha256

    async def _follow(self, session: aiohttp.ClientSession, url: str, part: Path) -> str:
        for _ in range(_REDIRECTS + 1):
            address = check_address(url, self.hosts)
            self._check_literal(address)
            headers = {hdrs.ACCEPT: "*/*", hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "towpath"}
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in _MOVED:
                    return await self._save(response, address, part)
                url = urljoin(url, response.headers.get(hdrs.LOCATION, ""))
        raise Refused(f"the source is not found: its address leads on more than {_REDIRECTS} times")

    def _check_literal(self, address: SplitResult) -> None:
        """Judge an address that is written as such: nobody is asked to resolve it."""
        host = address.hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return
        if not self.allowed(host):
            raise _not_public(host)

    async def _save(self, response: aiohttp.ClientResponse, address: SplitResult, part: Path) -> str:
        host = address.hostname
        if response.status != HTTPStatus.OK:
            text = f"the source could not be fetched: {host} answered {response.status}"
            passing = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in _PASSING
            raise Transient(text) if passing else Refused(text)
        too_large = Refused(f"the source at {host} is larger than {self.most >> 20} MB")
        if (response.content_length or 0) > self.most:
            raise too_large
        digest, size = hashlib.sha256(), 0
        with await asyncio.to_thread(part.open, "wb") as file:
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self.most:
                    raise too_large
                await asyncio.to_thread(_take, file.write, digest.update, chunk)
        return digest.hexdigest()


def _take(write: Callable[[bytes], object], digest: Callable[[bytes], object], chunk: bytes) -> None:
    write(chunk)
    digest(chunk)


class _Judged(AbstractResolver):
    """Resolves names, and refuses those that lead to where we may not connect: the answer is what is connected to."""

    def __init__(self, names: AbstractResolver, allowed: Callable[[str], bool]) -> None:
        self._names = names
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of the name; raises `Refused` when one of them is not public."""
        found = await self._names.resolve(host, port, family)
        if not all(self._allowed(each["host"]) for each in found):
            raise _not_public(host)
        return found

    async def close(self) -> None:
        """Let go of the resolver behind."""
        await self._names.close()


def _not_public(host: str) -> Refused:
    return Refused(f"the source's host {host} is not in the public internet")
