"""The name server that a sandbox finds on its own 127.0.0.1; it tells only what may be reached.

Standard library only: it runs in a fork of the shim.
"""

import socket
import struct
import threading
import time

from workers.platforms.process.reach import Denied, Policy, Told, resolve, routed
from workers.platforms.process.rooms import for_ever

_AT_ONCE = 32
_SECONDS = 30
_FAMILIES = {1: socket.AF_INET, 28: socket.AF_INET6}


def serve(dns: socket.socket, policy: Policy, told: Told) -> None:
    """Answer for ever; each question has its thread, at most so many at once."""

    def receive(room: threading.BoundedSemaphore) -> None:
        query, peer = dns.recvfrom(4096)
        threading.Thread(target=_resolve_query, args=(dns, query, peer, policy, told, room), daemon=True).start()

    for_ever(receive, at_once=_AT_ONCE)


def _resolve_query(
    dns: socket.socket, query: bytes, peer: tuple[str, int], policy: Policy, told: Told,
    room: threading.BoundedSemaphore,
) -> None:  # fmt: skip
    try:
        answer = answer_to(query, policy, told)
        if answer:
            dns.sendto(answer, peer)
    except OSError:
        pass  # the asker is gone
    finally:
        room.release()


def answer_to(query: bytes, policy: Policy, told: Told) -> bytes:
    """The answer to one question for A or AAAA; other types get an empty one, denied names "refused"."""
    if len(query) < 17 or query[2] & 0x80 or struct.unpack_from("!H", query, 4)[0] != 1:
        return b""
    labels, position = [], 12
    while position < len(query) and (length := query[position]):
        labels.append(query[position + 1 : position + 1 + length])
        position += 1 + length
    question = query[12 : position + 5]
    if len(question) < position + 5 - 12:
        return b""
    kind = struct.unpack_from("!H", query, position + 1)[0]
    records, status = [], 0
    try:
        packed = _addresses(b".".join(labels).decode("ascii", "replace"), _FAMILIES.get(kind), policy, told)
        records = [struct.pack("!HHHIH", 0xC00C, kind, 1, _SECONDS, len(data)) + data for data in packed]
    except Denied as error:
        status = 3 if "cannot be resolved" in str(error) else 5
    flags = 0x8180 | status
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + question + b"".join(records)


def _addresses(name: str, family: socket.AddressFamily | None, policy: Policy, told: Told) -> list[bytes]:
    """What is told of a name.

    Of its IPv6 addresses only those that this machine knows a way to: a program that knows of no proxy is connected
    before anybody can say that there is none, and would not try the next address any more.
    """
    found = resolve(name, policy)
    if family is None:
        return []
    wanted = ":" if family == socket.AF_INET6 else "."
    found = [one for one in found if wanted in one and "%" not in one and (family == socket.AF_INET or routed(one))]
    if policy.named(name):
        told.note(found, now=time.monotonic())
    return [socket.inet_pton(family, one) for one in found]
