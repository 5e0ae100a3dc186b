"""What packed sources may be: of a size, and by https from hosts of a list that whoever runs Towpath keeps."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from service.domain.errors import Refused

LARGEST: Final = 512 * 1024**2
"""Bytes of one packed source, however it comes."""
NONE: Final = "none"
"""Instead of hosts: none at all."""
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def parse(text: str) -> tuple[str, ...]:
    """Read a list of hosts, parted by commas or spaces; `*.example.com` stands for whatever is below `example.com`.

    Raises `ValueError` naming what is no host.
    """
    words = text.replace(",", " ").lower().split()
    if words == [NONE]:
        return ()
    for word in words:
        if not _HOST.fullmatch(word):
            raise ValueError(word)
    return tuple(dict.fromkeys(words))


def is_listed(host: str, hosts: Iterable[str]) -> bool:
    """Whether a host is one of the list."""
    name = host.rstrip(".").lower()
    return any(name.endswith(each[1:]) if each.startswith("*.") else name == each for each in hosts)


def check_address(url: str, hosts: Iterable[str]) -> SplitResult:
    """Take an address apart that a source may be fetched from; raises `Refused`, with nothing of its query."""
    known = tuple(hosts)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("the address of the source cannot be read") from None
    if parts.scheme != "https" or not host:
        raise Refused("sources are fetched by https alone")
    if parts.username is not None or parts.password is not None:
        raise Refused("the address of a source must hold no user and no password")
    if not is_listed(host, known):
        listed = f"sources are fetched from {', '.join(known)}" if known else "sources are fetched from nowhere"
        raise Refused(f"{host} is not a host that sources are fetched from: {listed}")
    if port not in {None, 443}:
        raise Refused(f"sources are fetched from port 443 alone, not from port {port} of {host}")
    return parts
