"""In the shim: the terminal or the pipes of an attached command, joined with its client. Standard library only.

The client connects to the socket `a` and is the only one there ever is: the name is taken away when it has come. Until
then the command does not start. Bytes pass as they are, and only as fast as the slower side takes them. When the client
goes the terminal is hung up, and a file `gone` tells the runner, which sends SIGHUP: it may, we may not any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from workers.platforms.process.spec import Attached

LONGEST = 1024 * 1024
"""In bytes, of one message."""
_PEER = struct.Struct("3i")
HEAD = struct.Struct(">cI")
"""What each message begins with: its letter, and the length of what follows."""
_SIZE = struct.Struct(">HH")
_PIECE = 32 * 1024
_MOST = 256 * 1024  # so much is held for a side that does not take it
_LEFT_OVER = 32  # pieces that are taken of what a process left behind still prints
_END_OF_TRANSMISSION = b"\4"  # by which a program that reads a terminal learns that nothing more comes
_PATIENCE = 30.0  # in seconds, for a client to take the end of the output
_LAST_WORDS = 2.0  # and then to go


class Attachment:
    """What is between a command and its client."""

    def __init__(self, wanted: Attached, *, peers: frozenset[int], owner: int | None) -> None:
        self._peers = peers
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink("a")  # noqa: PTH108  (to import pathlib would take its time at every start)
        self._server.bind("a")
        os.chmod("a", 0o666)  # noqa: PTH101, S103  (the peer's uid tells who may connect)
        self._server.listen(8)
        self._until = time.monotonic() + wanted["seconds"]
        self.tty = wanted["tty"]
        if self.tty:
            master, slave = os.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", wanted["lines"], wanted["columns"], 0, 0))
            if owner is not None:
                os.fchown(slave, owner, owner)
            self.inside = (slave, slave, slave)
            feed = master
            self._sources = {master: b"o"}
        else:
            (stdin, feed), (out, stdout), (err, stderr) = os.pipe(), os.pipe(), os.pipe()
            self.inside = (stdin, stdout, stderr)
            self._sources = {out: b"o", err: b"r"}
        self._feed: int | None = feed
        for number in {feed, *self._sources}:
            os.set_blocking(number, False)
        self._client: socket.socket | None = None
        self._in = bytearray()  # from the client, not yet read
        self._given = bytearray()  # for the command
        self._said = bytearray()  # for the client
        self._input_ends = False

    def take_inside(self) -> None:
        """In the child: these become its standard streams, and the terminal is nobody else's."""
        for number, stream in enumerate(self.inside):
            os.dup2(stream, number)

    def take_terminal(self) -> None:
        """In the child, which leads a session: be the one whom the terminal's signals reach."""
        if self.tty:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def be_outside(self) -> None:
        """In the shim: let the command alone hold its ends."""
        for number in set(self.inside):
            os.close(number)

    def wait(self, ended: int) -> bool:
        """Wait for the client; False if it does not come in time or the command is ended before it has begun."""
        poll = select.poll()
        poll.register(self._server, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while self._client is None and (left := self._until - time.monotonic()) > 0:
            ready = {number for number, _ in poll.poll(left * 1000)}
            if ended in ready:
                break
            if ready:
                self._accept()
        with contextlib.suppress(OSError):
            os.unlink("a")  # noqa: PTH108  (to import pathlib would take its time at every start)
        self._server.close()
        return self._client is not None

    def _accept(self) -> None:
        client = self._server.accept()[0]
        uid = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
        if uid in self._peers:
            client.setblocking(False)
            self._client = client
        else:
            client.close()

    def pass_on(self, watched: set[int]) -> set[int]:
        """Pass bytes both ways until some of the `watched` descriptors are ready; returns which."""
        while True:
            ready = self._poll(watched)
            if found := watched.intersection(ready):
                return found
            if self._client is not None and (events := ready.get(self._client.fileno())):
                self._talk(events)
            for number in [each for each in self._sources if each in ready and ready[each] & ~select.POLLOUT]:
                self._take(number)
            if self._given and self._feed is not None and self._feed in ready:
                self._give()

    def _poll(self, watched: set[int]) -> dict[int, int]:
        wanted = dict.fromkeys(watched, int(select.POLLIN))
        if self._client is not None:
            room = select.POLLIN if len(self._given) < _MOST else 0
            wanted[self._client.fileno()] = room | (select.POLLOUT if self._said else 0)
        if len(self._said) < _MOST:
            wanted |= dict.fromkeys(self._sources, select.POLLIN)
        if self._given and self._feed is not None:
            wanted[self._feed] = wanted.get(self._feed, 0) | select.POLLOUT
        poll = select.poll()
        for number, events in wanted.items():
            poll.register(number, events)
        return dict(poll.poll())

    def _talk(self, events: int) -> None:
        """With the client. One that breaks off and one that says nonsense have gone."""
        assert self._client is not None
        try:
            if events & select.POLLOUT:
                del self._said[: self._client.send(memoryview(self._said)[:_PIECE])]
            if events & ~select.POLLOUT:
                data = self._client.recv(_PIECE)
                if not data:
                    self._hang_up()
                self._in += data
                self._listen()
        except BlockingIOError:
            pass
        except OSError:
            self._hang_up()

    def _listen(self) -> None:
        while self._client is not None and len(self._in) >= HEAD.size:
            kind, size = HEAD.unpack_from(self._in)
            if size > LONGEST:
                self._hang_up()
            if len(self._in) < HEAD.size + size:
                return
            content = bytes(self._in[HEAD.size : HEAD.size + size])
            del self._in[: HEAD.size + size]
            self._obey(kind, content)

    def _obey(self, kind: bytes, content: bytes) -> None:
        if kind == b"i" and not self._input_ends:
            self._given += content
            self._give()
        elif kind == b"e":
            self._input_ends = True
            self._given += _END_OF_TRANSMISSION if self.tty else b""
            self._give()
        elif kind == b"w" and self.tty and len(content) == _SIZE.size:
            for number in self._sources:  # the kernel tells the command by SIGWINCH
                fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("4H", *_SIZE.unpack(content), 0, 0))
        elif kind == b"h":
            self._hang_up()

    def _give(self) -> None:
        """Input for the command, as much as it takes now; one that has closed its input needs none."""
        if self._feed is None:
            self._given.clear()
            return
        try:
            while self._given:
                del self._given[: os.write(self._feed, memoryview(self._given)[:_PIECE])]
        except BlockingIOError:
            return
        except OSError:
            self._given.clear()
        if self._input_ends and not self.tty:
            self._end_input()

    def _end_input(self) -> None:
        if self._feed is not None and not self.tty:
            os.close(self._feed)
        self._feed = None
        self._given.clear()

    def _take(self, number: int) -> bool:
        """Output of the command; False when there is none now or any more."""
        try:
            data = os.read(number, _PIECE)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # what a terminal says when nobody has it open any more
                raise
            data = b""
        if not data:
            self._lose(number)
            return False
        if self._client is not None:
            self._said += HEAD.pack(self._sources[number], len(data)) + data
        return True

    def _lose(self, number: int) -> None:
        del self._sources[number]
        if self._feed == number:
            self._feed = None
        os.close(number)

    def _hang_up(self) -> None:
        """The client has gone: so does the terminal, and whoever reads the input is told of its end."""
        if self._client is None:
            return
        self._client.close()
        self._client = None
        self._said.clear()
        self._in.clear()
        with contextlib.suppress(OSError):
            os.close(os.open("gone", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if self.tty:
            for number in list(self._sources):
                self._lose(number)
        else:
            self._end_input()

    def drain(self) -> None:
        """The command has ended: take what it has printed, and little of what it left behind goes on to print."""
        for number in list(self._sources):
            for _ in range(_LEFT_OVER):
                if number not in self._sources or not self._take(number):
                    break

    def finish(self, code: int) -> None:
        """Tell the client the end, and the exit code last; one that does not listen is not waited for for ever."""
        if self._client is None:
            return
        digits = str(code).encode()
        self._said += HEAD.pack(b"x", len(digits)) + digits
        with contextlib.suppress(OSError):
            self._client.settimeout(_PATIENCE)
            while self._said:
                del self._said[: self._client.send(memoryview(self._said)[:_PIECE])]
            self._client.shutdown(socket.SHUT_WR)
            self._client.settimeout(_LAST_WORDS)
            while self._client.recv(_PIECE):  # until it goes: to close on what it has sent would break it off
                continue
        self._client.close()
