"""Attacks through the network: directly, and through the sandbox's own door."""

import contextlib
import socket
import struct

from .base import TOKEN, Stopped, attack, nothing


def heard(sock: socket.socket) -> str:
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    text = b""
    while piece := sock.recv(4096):
        text += piece
    if TOKEN.encode() not in text:
        raise Stopped(text.decode(errors="replace").partition("\n")[0].strip() or "no answer")
    return text.decode()


def dialed(host: str, port: int) -> str:
    """Whatever stands in the way of the host's answer is a wall."""
    try:
        with socket.create_connection((host, port), timeout=3) as sock:
            return heard(sock)
    except (OSError, Stopped) as error:
        raise Stopped("no answer") from error


@attack("reaches a server on the host's loopback directly", "no answer", outside=True)
def _loopback(targets):
    return dialed("127.0.0.1", targets["port"])


@attack("reaches a server on the host's loopback by IPv6", "no answer", outside=True)
def _loopback_six(targets):
    return dialed("::1", targets["port"])


@attack("reaches a server on the host's loopback by an IPv4 address within IPv6", "no answer", outside=True)
def _loopback_mapped(targets):
    return dialed("::ffff:127.0.0.1", targets["port"])


@attack("reaches the web and the router of the installation directly", "no answer")
def _own_ports(targets):
    return dialed("127.0.0.1", targets["own_port"])


@attack("reaches the host's own address directly", "no answer", outside=True)
def _own_address(targets):
    return dialed(nothing(targets["address"]), targets["port"])


@attack("reaches the metadata service directly", "no answer")
def _metadata(_):
    return dialed("169.254.169.254", 80)


@attack("reaches private ranges and link-local neighbors directly", "no answer")
def _private(_):
    for host in ("10.0.0.1", "172.16.0.1", "192.168.0.1", "fe80::1%lo", "fd00::1"):
        with contextlib.suppress(Stopped):
            return dialed(host, 80)
    raise Stopped("no answer")


@attack("finds network interfaces besides its own loopback", "nothing is there", outside=True)
def _interfaces(_):
    return nothing([name for _, name in socket.if_nameindex() if name != "lo"])


def through_proxy(host: str, port: int) -> list[str]:
    """Three ways through the sandbox's own door: a request, a tunnel, SOCKS."""
    got = []
    tunnel = f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode()
    plain = f"GET http://{host}:{port}/ HTTP/1.0\r\n\r\n".encode()
    bare = host.strip("[]").encode()
    socks = b"\5\1\0" + b"\5\1\0\3" + bytes([len(bare)]) + bare + struct.pack("!H", port)
    for way, text in (("request", plain), ("tunnel", tunnel), ("SOCKS", socks)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 3128), timeout=5) as proxy:
            proxy.sendall(text)
            if way != "request":
                proxy.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            with contextlib.suppress(OSError):
                while piece := proxy.recv(4096):
                    answer += piece
            got += [way] if TOKEN.encode() in answer or (way == "tunnel" and b" 200 " in answer[:40]) else []
    return got


SPELLINGS = [
    "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "127.1", "127.0.1", "127.127.127.127", "2130706433", "0x7f000001",
    "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]", "[fe80::1%lo]", "[fe80::1]", "127.0.0.1@127.0.0.1", "example.com@127.0.0.1", "127.0.0.1%00.example.com",
    "127.0.0.1.", "%31%32%37.0.0.1", "169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "10.0.0.1", "192.168.0.1",
    "172.16.0.1", "100.64.0.1", "[fd00::1]", "224.0.0.1", "255.255.255.255", "towpath", "ip6-localhost",
]  # fmt: skip


@attack(
    "reaches loopback, link-local and private ranges through the proxy, however they are spelled", "nothing is there"
)
def _spelled(targets):
    hosts = [*SPELLINGS, targets["address"], targets["hostname"]]
    return nothing({host: ways for host in hosts if host and (ways := through_proxy(host, targets["port"]))})


@attack("asks the name server for addresses of the host", "nothing is there")
def _names(_):
    found = {}
    for name in ("localhost.", "localhost.localdomain", "169.254.169.254", "metadata.google.internal"):
        query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
        query += b"".join(bytes([len(part)]) + part.encode() for part in name.strip(".").split(".")) + b"\0\0\1\0\1"
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(query, ("127.0.0.1", 53))
            if struct.unpack_from("!H", sock.recv(4096), 6)[0]:
                found[name] = "answered"
    return nothing(found)
