"""Leads all TCP that leaves a sandbox's network to its egress, for programs that know of no proxy. Needs libnftables.

The network has only `lo`, so a default route through it makes every address one that can be asked for, and the rules
change the asked-for address to ours; the kernel tells it to who accepts. Each sandbox has routes and rules of its own,
which go with it: nothing is set on the host. Standard library only: the shim imports this.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable

LIBRARY = "libnftables.so.1"
PORT = 3129

# What is refused by policy anyhow (see `reach`) is refused here already where it can be known beforehand: a program
# then sees "connection refused", not a connection that ends at once.
NEVER_PUBLIC = {
    socket.AF_INET: (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "198.18.0.0/15",
    ),
    socket.AF_INET6: ("64:ff9b::/96", "2002::/16", "fc00::/7", "fe80::/10"),
}  # fmt: skip
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

# Where connections come from: the kernel sends nothing to elsewhere from loopback's own addresses.
_SOURCE = {socket.AF_INET: ("198.18.0.1", 32), socket.AF_INET6: ("fd74:6f77::1", 128)}
_INSIDE = {socket.AF_INET: "127.0.0.0/8", socket.AF_INET6: "::1"}
_TABLE = {socket.AF_INET: "ip", socket.AF_INET6: "ip6"}
# Connections that stay inside are not followed: the kernel follows so many at most and then drops new ones.
_RULES = """table {ip} towpath {{
 chain inside {{
  type filter hook output priority -300
  {ip} saddr {inside} {ip} daddr {inside} notrack
 }}
 chain refuse {{
  type filter hook output priority -150
  {ip} daddr {{ {inside}, {source} }} accept
  meta l4proto != tcp reject
  {refusal}
 }}
 chain lead {{
  type nat hook output priority -100
  {ip} daddr != {{ {inside}, {source} }} meta l4proto tcp redirect to :{port}
 }}
}}
"""
_IFA_F_NODAD = 2  # usable at once: nobody else could have the address
_RTM_NEWADDR, _RTM_NEWROUTE = 20, 24
_IFA_ADDRESS, _IFA_LOCAL, _RTA_OIF, _RTA_PREFSRC = 1, 2, 4, 7
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_CREATE = 0x1, 0x4, 0x100, 0x400
_RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 3, 0, 1


def lead(*, public_only: bool) -> list[socket.socket]:
    """In a network of its own: the listening sockets, one per IP version, at which all TCP to elsewhere arrives.

    With `public_only`, what can never be public is refused without asking. Raises `OSError` where it cannot be had.
    IPv6 may be missing: the kernel then has no way to any such address, and says so.
    """
    try:
        return _lead(socket.AF_INET, socket.AF_INET6, public_only=public_only)
    except OSError:
        return _lead(socket.AF_INET, public_only=public_only)


def _lead(*families: socket.AddressFamily, public_only: bool) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        for family in families:
            made.append(socket.socket(family, socket.SOCK_STREAM))
            made[-1].bind((LOOPBACK[family], PORT))
            made[-1].listen(128)
        apply("".join(_rules(family, public_only=public_only) for family in families))
        for family in families:
            address, bits = _SOURCE[family]
            add_address(family, address, bits)
            add_default_route(family, source=address)
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def apply(rules: str) -> None:
    """Give rules to the kernel, for the network that this thread is in; raises `OSError`."""
    library = ctypes.CDLL(LIBRARY)
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    library.nft_ctx_buffer_error(context)
    try:
        if library.nft_run_cmd_from_buffer(context, rules.encode()):
            raise OSError(errno.EOPNOTSUPP, library.nft_ctx_get_error_buffer(context).decode().strip())
    finally:
        library.nft_ctx_free(context)


def add_address(family: socket.AddressFamily, address: str, bits: int) -> None:
    """Give `lo` one more address."""
    packed = socket.inet_pton(family, address)
    head = struct.pack("BBBBI", family, bits, _IFA_F_NODAD, _RT_SCOPE_UNIVERSE, socket.if_nametoindex("lo"))
    _ask(_RTM_NEWADDR, head, [(_IFA_LOCAL, packed), (_IFA_ADDRESS, packed)])


def add_default_route(family: socket.AddressFamily, *, source: str) -> None:
    """Lead everything through `lo`, coming from one of its addresses."""
    head = struct.pack("BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0)
    device = struct.pack("I", socket.if_nametoindex("lo"))
    _ask(_RTM_NEWROUTE, head, [(_RTA_OIF, device), (_RTA_PREFSRC, socket.inet_pton(family, source))])


def _ask(kind: int, head: bytes, attributes: Iterable[tuple[int, bytes]]) -> None:
    """One message of rtnetlink(7) and the kernel's answer to it; all our attributes fill whole words."""
    body = head + b"".join(struct.pack("HH", 4 + len(data), name) + data for name, data in attributes)
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_REPLACE | _NLM_F_CREATE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        number = -struct.unpack_from("i", kernel.recv(4096), 16)[0]
    if number:
        raise OSError(number, os.strerror(number))


def _rules(family: socket.AddressFamily, *, public_only: bool) -> str:
    ip = _TABLE[family]
    refused = ", ".join(NEVER_PUBLIC[family])
    return _RULES.format(
        ip=ip, inside=_INSIDE[family], source=_SOURCE[family][0], port=PORT,
        refusal=f"{ip} daddr {{ {refused} }} reject with tcp reset" if public_only else "",
    )  # fmt: skip
