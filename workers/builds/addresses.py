"""Where a buildpack's host is: git fetches from outside of any sandbox, so only from the public internet."""

import asyncio
import socket
from urllib.parse import urlsplit

from service.domain.addresses import is_public
from service.domain.errors import Refused, Transient


async def pinned(url: str) -> str:
    """Resolve the host of an https URL once; returns `HOST:PORT:ADDRESS,...`, to which git is then held.

    Whoever owns a name may answer the next question otherwise. Other schemes have no host to be held to: empty.
    Raises `Refused` when one of its addresses is not public, `Transient` when it has none at the moment.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return ""
    host, port = parts.hostname or "", parts.port or 443
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"the buildpack's host {host!r} cannot be resolved: {error}") from error
    addresses = list(dict.fromkeys(str(row[4][0]) for row in rows))
    if not all(is_public(address) for address in addresses):
        raise Refused(f"the buildpack's host {host!r} is not in the public internet")
    return f"{host}:{port}:{','.join(f'[{one}]' if ':' in one else one for one in addresses)}"
