"""What a sandbox may reach: names and addresses are judged here, whatever way they are asked for.

A name is resolved once, the answer is judged, and exactly that address is connected to, so that a name cannot change
its mind in between. Standard library only: it runs in a fork of the shim.
"""

import ipaddress
import socket
from typing import NamedTuple

_CONNECT = 15.0
_EMBEDDED_V4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))


class Policy(NamedTuple):
    """What may be reached: everything public, or only `names` (wherever those live)."""

    public: bool
    names: frozenset[str]


class Denied(Exception):
    """The address or name is not for this sandbox; the text is sent to the app."""


def public(address: str) -> bool:
    """Whether an address is in the public internet and not this machine's own."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return public(str(ip.ipv4_mapped))
        if any(ip in network for network in _EMBEDDED_V4):
            return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    return not _own(ip)


def _own(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Only an address of this machine can be bound, so binding tells without a list of interfaces."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((str(ip), 0))
        except OSError:
            return False
        return True


def resolve(host: str, policy: Policy) -> list[str]:
    """Addresses of `host` that may be connected to; raises `Denied`."""
    name = host.rstrip(".").lower()
    named = name in policy.names
    if not named and not policy.public:
        raise Denied(f"{host} is not among the hosts that this sandbox may reach")
    try:
        # As bytes: a str would need the idna codec, whose files cannot be read any more after the change of uid.
        found = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Denied(f"{host} cannot be resolved: {error}") from None
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    allowed = addresses if named else [address for address in addresses if public(address)]
    if not allowed:
        raise Denied(f"{host} is not in the public internet; sandboxes reach only public addresses")
    return allowed


def connect(host: str, port: int, policy: Policy) -> socket.socket:
    """A connection to the first address of `host` that takes one; raises `Denied`."""
    problem: OSError | None = None
    for address in resolve(host, policy):
        # Not create_connection: it looks the address up once more, through the idna codec (see `resolve`).
        upstream = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        upstream.settimeout(_CONNECT)
        try:
            upstream.connect((address, port))
        except OSError as error:
            upstream.close()
            problem = error
        else:
            return upstream
    raise Denied(f"{host}:{port} does not answer: {problem}")
