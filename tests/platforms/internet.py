"""A whole internet for a runner in a test: a network of its own in which every address is answered.

Whatever is connected to on port 80 or 5432 says which address was asked for, be it public, private or the metadata
service's. So nothing but the rules of the platform keeps an app from an address, and no packet leaves the machine.
"""

import os
import socket
import struct
import threading
from pathlib import Path

from workers.platforms.process import namespaces, redirect, sandbox

OWN = "11.0.0.9"  # a public address that is this machine's own
_PORT = 4000
_RULES = """table inet internet {
 chain silence {
  type filter hook output priority -150
  fib daddr type local accept
  meta l4proto != tcp reject
  tcp dport != { 80, 5432 } reject with tcp reset
 }
 chain answers {
  type nat hook output priority -100
  ip daddr != 127.0.0.0/8 tcp dport { 80, 5432 } redirect to :4000
  ip6 daddr != ::1 tcp dport { 80, 5432 } redirect to :4000
 }
}
"""


def enter(hosts: Path, *, nft: bool = True, ipv6: bool = True) -> None:
    """Leave the machine's network for this one, where `hosts` names the addresses.

    Without `nft` nothing finds its library from here on; without `ipv6` there is no way to such addresses.
    """
    namespaces.enter_network(maker=None if os.geteuid() == 0 else str(sandbox.program()))
    for family, address, bits in ((socket.AF_INET, OWN, 32), (socket.AF_INET6, "fd00::9", 128))[: 1 + ipv6]:
        redirect.add_address(family, address, bits)
        redirect.add_default_route(family, source=address)
        server = socket.create_server((redirect.LOOPBACK[family], _PORT), family=family, backlog=64)
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
    redirect.apply(_RULES)
    for address in ("11.0.0.1", "10.0.0.1", "169.254.169.254", *(("2600::1", "fc00::1") if ipv6 else ())):
        with socket.create_connection((address, 5432), timeout=5) as connection:
            assert connection.recv(99) == f"{address} 5432\n".encode()
    namespaces.own_mounts()
    _cover(Path("/etc/hosts"), hosts)
    if not nft:
        library = next(Path(line.split()[-1]) for line in _maps() if "libnftables" in line)
        _cover(library, Path("/dev/null"))


def _cover(path: Path, other: Path) -> None:
    namespaces.put_tree(namespaces.clone_tree(str(other)), str(path), directory=False)


def _maps() -> list[str]:
    return Path("/proc/self/maps").read_text().splitlines()


def _serve(server: socket.socket) -> None:
    while True:
        client, _ = server.accept()
        threading.Thread(target=_answer, args=(client,), daemon=True).start()


def _answer(client: socket.socket) -> None:
    """Say which address was asked for, then everything that is said."""
    with client:
        if client.family == socket.AF_INET:
            port, packed = struct.unpack_from("!2xH4s", client.getsockopt(socket.SOL_IP, 80, 16))
        else:
            port, packed = struct.unpack_from("!2xH4x16s", client.getsockopt(socket.IPPROTO_IPV6, 80, 28))
        client.sendall(f"{socket.inet_ntop(client.family, packed)} {port}\n".encode())
        while data := client.recv(4096):
            client.sendall(data)
