"""Ways out of a sandbox, looked at alone: connections that are passed on, addresses that were told, what is missing."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from workers.platforms.process import doctor, egress, reach, redirect
from workers.platforms.process.host import USER, Level


@contextlib.contextmanager
def spliced() -> Iterator[tuple[socket.socket, socket.socket]]:
    """An app's end and a server's end of a connection through the egress."""
    with contextlib.ExitStack() as ends:
        server = ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = [(socket.create_connection(server.getsockname(), timeout=10), server.accept()[0]) for _ in range(2)]
        (app, left), (other, right) = made
        for one in (app, left, other, right):
            ends.enter_context(one)
        splicing = threading.Thread(target=egress._splice, args=(left, right), daemon=True)
        splicing.start()
        yield app, other
        for one in (app, other):
            one.shutdown(socket.SHUT_WR)
        splicing.join(10)
        assert not splicing.is_alive()


def test_a_long_silence_does_not_end_a_connection(monkeypatch):
    monkeypatch.setattr(egress, "_SILENCE", 1)
    with spliced() as (app, other):
        readable, _, _ = select.select([app, other], [], [], 1.5)
        assert readable == []
        app.sendall(b"still here")
        assert other.recv(99) == b"still here"


def test_a_server_that_says_much_more_than_it_is_told_is_heard_to_the_end():
    """A client that reads all the time must not wait for a server that cannot write."""
    piece, pieces, more = bytes(65536), 400, 10

    def answer() -> None:
        with contextlib.suppress(OSError):  # all was heard, and the test over
            while data := other.recv(65536):
                other.sendall(data * more)

    def ask() -> None:
        for _ in range(pieces):
            app.sendall(piece)

    with spliced() as (app, other):
        for job in (answer, ask):
            threading.Thread(target=job, daemon=True).start()
        heard = 0
        while heard < len(piece) * pieces * more:
            heard += len(app.recv(1 << 20))


def test_an_address_that_was_told_long_ago_does_not_count():
    told = reach.Told()
    told.note(["10.0.0.7"], now=1000.0)
    told.note(["10.0.0.8"], now=1200.0)
    assert told.holds("10.0.0.7", now=1299.0)
    assert not told.holds("10.0.0.7", now=1301.0)
    assert told.holds("10.0.0.8", now=1301.0)
    assert not told.holds("10.0.0.9", now=1000.0)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_what_is_refused_before_it_is_asked_for_would_be_refused_anyhow(family):
    for text in redirect.NEVER_PUBLIC[family]:
        network = ip_network(text)
        assert not reach.public(str(network[0]))
        assert not reach.public(str(network[-1]))
        assert not reach.public(str(network[network.num_addresses // 2]))


def test_the_doctor_names_the_package_that_is_missing(monkeypatch):
    monkeypatch.setattr(redirect, "LIBRARY", "libnot-here.so.1")
    found = doctor._network(Level(name=USER, why="being tried"))
    assert not found.ok
    assert "libnot-here.so.1" in found.why
    assert found.advice == "sudo apt-get install nftables"
