"""The sandbox's only way out: a proxy (HTTP and SOCKS5) and a name server that the app finds on its own 127.0.0.1.

Where there are nftables, whatever else the app connects to ends here as well (see `redirect`). The listening sockets
were made inside the app's network namespace and are served from outside of it, without any privilege. What may be
reached, `reach` says. Standard library only: it runs in a fork of the shim.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from functools import partial

from workers.platforms.process import nameserver
from workers.platforms.process.reach import Denied, Policy, Told, connect, connect_to
from workers.platforms.process.rooms import for_ever

_HEAD = 32 * 1024
_SILENCE = 600  # seconds
_AT_ONCE = 256
_SO_ORIGINAL_DST = 80  # of IPv4 and, by the same number, of IPv6
_RESET, _NO_RESET = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
_SOCKS, _SOCKS_CONNECT = 5, 1
_SOCKS_DONE, _SOCKS_FORBIDDEN, _SOCKS_NO_SUCH_COMMAND, _SOCKS_NO_SUCH_ADDRESS = 0, 2, 7, 8


def serve(proxy: socket.socket, dns: socket.socket, led: Sequence[socket.socket], policy: Policy) -> None:
    """Serve for ever; each connection has its thread, at most so many at once of each kind.

    At `led`, if there is any, connections arrive that were asked for elsewhere.
    """
    told = Told()
    threading.Thread(target=nameserver.serve, args=(dns, policy, told), daemon=True).start()
    for one in led:
        lead = partial(_answer_led, policy=policy, told=told)
        threading.Thread(target=_accept, args=(one, lead), daemon=True).start()
    _accept(proxy, partial(_answer_proxied, policy=policy))


def _accept(server: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    def accept(room: threading.BoundedSemaphore) -> None:
        client, _ = server.accept()
        threading.Thread(target=_client, args=(client, answer, room), daemon=True).start()

    for_ever(accept, at_once=_AT_ONCE)


def _client(client: socket.socket, answer: Callable[[socket.socket], None], room: threading.BoundedSemaphore) -> None:
    try:
        with client:
            answer(client)
    except (OSError, RuntimeError):
        pass  # the app hung up, or there is no room for a thread
    finally:
        room.release()


def _answer_led(client: socket.socket, policy: Policy, told: Told) -> None:
    """Take it to where the app wanted to; a refusal can only be a reset, because the app is connected by now."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    try:
        upstream = connect_to(*_asked_for(client), policy, told)
    except Denied:
        return
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_RESET)
    with upstream:
        _splice(client, upstream)


def _asked_for(client: socket.socket) -> tuple[str, int]:
    """The address and port that the app named, which the kernel's rules have changed to ours."""
    if client.family == socket.AF_INET:
        port, packed = struct.unpack("!2xH4s8x", client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16))
    else:
        port, packed = struct.unpack("!2xH4x16s4x", client.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28))
    return socket.inet_ntop(client.family, packed), port


def _answer_proxied(client: socket.socket, policy: Policy) -> None:
    client.settimeout(30.0)
    if client.recv(1, socket.MSG_PEEK) == bytes([_SOCKS]):
        _answer_socks(client, policy)
    else:
        _answer(client, policy)


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
        upstream = connect(host, port, policy)
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
        upstream = connect(host, int.from_bytes(_exactly(client, 2), "big"), policy)
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
    """Copy both ways, neither waiting for the other, until both sides are done or one of them is gone.

    Silence ends nothing, because programs keep idle connections for hours; the kernel asks whether the peer is there.
    """
    for sock in (left, right):
        sock.settimeout(None)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what comes in small pieces goes on so
    back = threading.Thread(target=_copy, args=(right, left), daemon=True)
    back.start()
    _copy(left, right)
    back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, sink):  # wakes the other direction
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
