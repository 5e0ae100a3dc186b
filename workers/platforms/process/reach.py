"""What a sandbox may reach: names and addresses are judged here, whatever way they are asked for.

A name is resolved once, the answer is judged, and exactly that address is connected to, so that a name cannot change
its mind in between. Standard library only: it runs in a fork of the shim.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable
from typing import NamedTuple

from service.domain.addresses import is_public

_CONNECT = 15.0
_TOLD = 300.0


class Policy(NamedTuple):
    """What may be reached: everything public, or only `names` (wherever those live)."""

    public: bool
    names: frozenset[str]

    def named(self, host: str) -> bool:
        """Whether a host is one of `names`, however it is written."""
        return host.rstrip(".").lower() in self.names


class Denied(Exception):
    """The address or name is not for this sandbox; the text is sent to the app."""


def public(address: str) -> bool:
    """Whether an address is in the public internet and not this machine's own."""
    return is_public(address) and not _own(ipaddress.ip_address(address.partition("%")[0]))


def _own(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Only an address of this machine can be bound, so binding tells without a list of interfaces."""
    with socket.socket(_family(str(ip)), socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((str(ip), 0))
        except OSError:
            return False
        return True


def resolve(host: str, policy: Policy) -> list[str]:
    """Addresses of `host` that may be connected to; raises `Denied`."""
    named = policy.named(host)
    if not named and not policy.public:
        raise Denied(f"{host} is not among the hosts that this sandbox may reach")
    try:
        # As bytes: a str would need the idna codec, whose files cannot be read any more after the change of uid.
        found = socket.getaddrinfo(host.rstrip(".").lower().encode("ascii"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Denied(f"{host} cannot be resolved: {error}") from None
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    allowed = addresses if named else [address for address in addresses if public(address)]
    if not allowed:
        raise Denied(f"{host} is not in the public internet; sandboxes reach only public addresses")
    return allowed


class Told:
    """Addresses of named hosts, as the name server has told them: a connection by address counts as one by name.

    Kept for longer than the answer says, because programs keep them longer too; yet not for ever, because an address
    may belong to somebody else by then.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, addresses: Iterable[str], *, now: float) -> None:
        """Remember what was told just now (`now` in seconds of a clock that only goes on)."""
        lasting = {address: until for address, until in self._until.items() if until > now}
        self._until = lasting | dict.fromkeys(addresses, now + _TOLD)

    def holds(self, address: str, *, now: float) -> bool:
        """Whether it was told lately."""
        return self._until.get(address, 0.0) > now


def connect(host: str, port: int, policy: Policy) -> socket.socket:
    """A connection to the first address of `host` that takes one; raises `Denied`."""
    problem: OSError | None = None
    for address in resolve(host, policy):
        try:
            return _dial(address, port)
        except OSError as error:
            problem = error
    raise Denied(f"{host}:{port} does not answer: {problem}")


def connect_to(address: str, port: int, policy: Policy, told: Told) -> socket.socket:
    """A connection to exactly this address, asked for without a name; raises `Denied`."""
    if not (policy.public and public(address)) and not told.holds(address, now=time.monotonic()):
        raise Denied(f"{address} is not among the addresses that this sandbox may reach")
    try:
        return _dial(address, port)
    except OSError as error:
        raise Denied(f"{address}:{port} does not answer: {error}") from None


def routed(address: str) -> bool:
    """Whether this machine knows a way to an address. Nothing is sent."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((address, 9))
        except OSError:
            return False
        return True


def _dial(address: str, port: int) -> socket.socket:
    # Not create_connection: it looks the address up once more, through the idna codec (see `resolve`).
    upstream = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        upstream.settimeout(_CONNECT)
        upstream.connect((address, port))
    except OSError:
        upstream.close()
        raise
    return upstream


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
