"""The sandbox's only way out: a proxy (HTTP and SOCKS5) and a name server that the app finds on its own 127.0.0.1.

The listening sockets were made inside the app's network namespace and are served from outside of it, without any
privilege. A name is resolved once, the answer is judged, and exactly that address is connected to, so that a name
cannot change its mind in between. Standard library only: it runs in a fork of the shim.
"""

import ipaddress
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

_HEAD = 32 * 1024
_IDLE = 600.0
_CONNECT = 15.0
_AT_ONCE = 256
_SOCKS, _SOCKS_CONNECT = 5, 1
_SOCKS_DONE, _SOCKS_FORBIDDEN, _SOCKS_NO_SUCH_COMMAND, _SOCKS_NO_SUCH_ADDRESS = 0, 2, 7, 8
_EMBEDDED_V4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))


class Policy(NamedTuple):
    """What may be reached: everything public, or only `names` (wherever those live)."""

    public: bool
    names: frozenset[str]


class Denied(Exception):
    """The address or name is not for this sandbox; the text is sent to the app."""


def serve(proxy: socket.socket, dns: socket.socket, policy: Policy) -> None:
    """Serve for ever; each connection has its thread, at most so many at once."""
    threading.Thread(target=_serve_dns, args=(dns, policy), daemon=True).start()

    def accept(room: threading.BoundedSemaphore) -> None:
        client, _ = proxy.accept()
        threading.Thread(target=_client, args=(client, policy, room), daemon=True).start()

    _for_ever(accept, at_once=_AT_ONCE)


def _for_ever(serve_one: Callable[[threading.BoundedSemaphore], None], *, at_once: int) -> None:
    """Serve one after another, each in a thread that gives its room back.

    Without descriptors or threads for a moment it goes on when there are some: nobody could take the place of this
    process, whose sockets are in a network that it is not in.
    """
    room = threading.BoundedSemaphore(at_once)
    while True:
        room.acquire()
        try:
            serve_one(room)
        except (OSError, RuntimeError):
            room.release()
            time.sleep(0.05)


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


def _connect(host: str, port: int, policy: Policy) -> socket.socket:
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


def _client(client: socket.socket, policy: Policy, room: threading.BoundedSemaphore) -> None:
    try:
        with client:
            client.settimeout(30.0)
            if client.recv(1, socket.MSG_PEEK) == bytes([_SOCKS]):
                _answer_socks(client, policy)
            else:
                _answer(client, policy)
    except OSError:
        pass  # the app hung up
    finally:
        room.release()


def _answer(client: socket.socket, policy: Policy) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(8192)
        if not data or len(head) > _HEAD:
            return
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    try:
        host, port, onward = _target(head)
        upstream = _connect(host, port, policy)
    except Denied as error:
        text = f"towpath: {error}\n".encode()
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\n")
        client.sendall(f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        return
    with upstream:
        if onward is None:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            upstream.sendall(body)
        else:
            upstream.sendall(onward + b"\r\n\r\n" + body)
        _splice(client, upstream)


def _answer_socks(client: socket.socket, policy: Policy) -> None:
    """RFC 1928 without authentication; of its commands only CONNECT. Names are resolved here."""
    _exactly(client, _exactly(client, 2)[1])  # the ways to authenticate that the app offers
    client.sendall(bytes([_SOCKS, 0]))
    _, command, _, kind = _exactly(client, 4)
    host = _socks_host(client, kind)
    if host is None or command != _SOCKS_CONNECT:
        _answer_socks_with(client, _SOCKS_NO_SUCH_ADDRESS if host is None else _SOCKS_NO_SUCH_COMMAND)
        return
    try:
        upstream = _connect(host, int.from_bytes(_exactly(client, 2), "big"), policy)
    except Denied:
        _answer_socks_with(client, _SOCKS_FORBIDDEN)
        return
    with upstream:
        _answer_socks_with(client, _SOCKS_DONE)
        _splice(client, upstream)


def _socks_host(client: socket.socket, kind: int) -> str | None:
    match kind:
        case 1:
            return socket.inet_ntop(socket.AF_INET, _exactly(client, 4))
        case 3:
            return _exactly(client, _exactly(client, 1)[0]).decode("ascii", "replace")
        case 4:
            return socket.inet_ntop(socket.AF_INET6, _exactly(client, 16))
        case _:
            return None


def _answer_socks_with(client: socket.socket, code: int) -> None:
    client.sendall(bytes([_SOCKS, code, 0, 1, 0, 0, 0, 0, 0, 0]))  # our own address is nobody's business


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data


def _target(head: bytes) -> tuple[str, int, bytes | None]:
    """Host and port of a proxy request, and for plain HTTP the head to send on."""
    first, *headers = head.split(b"\r\n")
    method, _, rest = first.partition(b" ")
    url, _, version = rest.partition(b" ")
    if method == b"CONNECT":
        return *_host_port(url, 443), None
    if not url.lower().startswith(b"http://"):
        raise Denied("this is an HTTP proxy: send CONNECT host:port or an absolute http:// URL")
    authority, _, path = url[7:].partition(b"/")
    dropped = (b"proxy-", b"connection:", b"keep-alive:")
    kept = [line for line in headers if not line.lower().startswith(dropped)]
    onward = b"\r\n".join([method + b" /" + path + b" " + version, *kept, b"Connection: close"])
    return *_host_port(authority.rpartition(b"@")[2], 80), onward


def _host_port(authority: bytes, default: int) -> tuple[str, int]:
    text = authority.decode("ascii", "replace")
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise Denied(f"{text!r} names no host and port")
    return host, int(port) if port else default


def _splice(left: socket.socket, right: socket.socket) -> None:
    """Copy both ways until both sides are done or silent for too long."""
    pairs = {left.fileno(): (left, right), right.fileno(): (right, left)}
    poll = select.poll()
    for number in pairs:
        poll.register(number, select.POLLIN)
    left.settimeout(_IDLE)
    right.settimeout(_IDLE)
    unfinished = 2
    while unfinished and (ready := poll.poll(_IDLE * 1000)):
        for number, _ in ready:
            source, sink = pairs[number]
            if data := source.recv(65536):
                sink.sendall(data)
                continue
            poll.unregister(number)
            unfinished -= 1
            sink.shutdown(socket.SHUT_WR)


def _serve_dns(dns: socket.socket, policy: Policy) -> None:
    def receive(room: threading.BoundedSemaphore) -> None:
        query, peer = dns.recvfrom(4096)
        threading.Thread(target=_resolve_query, args=(dns, query, peer, policy, room), daemon=True).start()

    _for_ever(receive, at_once=32)


def _resolve_query(
    dns: socket.socket, query: bytes, peer: tuple[str, int], policy: Policy, room: threading.BoundedSemaphore
) -> None:
    try:
        answer = dns_answer(query, policy)
        if answer:
            dns.sendto(answer, peer)
    except OSError:
        pass  # the asker is gone
    finally:
        room.release()


def dns_answer(query: bytes, policy: Policy) -> bytes:
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
    family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
    records, status = [], 0
    try:
        addresses = resolve(b".".join(labels).decode("ascii", "replace"), policy)
        wanted = ":" if family == socket.AF_INET6 else "."
        if family:
            packed = [socket.inet_pton(family, one) for one in addresses if wanted in one and "%" not in one]
            records = [struct.pack("!HHHIH", 0xC00C, kind, 1, 30, len(data)) + data for data in packed]
    except Denied as error:
        status = 3 if "cannot be resolved" in str(error) else 5
    flags = 0x8180 | status
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return head + question + b"".join(records)
