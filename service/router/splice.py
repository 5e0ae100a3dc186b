"""Two connections joined after an upgrade: bytes pass both ways, untouched, with back-pressure."""

import asyncio

from aiohttp.base_protocol import BaseProtocol


class Spliceable(BaseProtocol):
    """A connection that can be joined to another one; until then its subclass reads it.

    `patience` is how many seconds it may take, once the other has gone, to receive what was written to it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, patience: float) -> None:
        super().__init__(loop)
        self._patience = patience
        self.peer: Spliceable | None = None
        self.touched = 0.0  # when bytes last passed

    def join(self, other: "Spliceable", *, tail: bytes, other_tail: bytes) -> None:
        """Pass on everything from now on, first what either side has sent already."""
        self.peer, other.peer = other, self
        self._upgraded = other._upgraded = True  # noqa: SLF001
        for side in (self, other):
            side.touched = self._loop.time()
            if side.transport is not None:
                side._reading_paused = False  # noqa: SLF001
                side._resume_transport_reading()  # noqa: SLF001
        other.pass_on(other_tail)
        self.pass_on(tail)

    def pass_on(self, data: bytes) -> None:
        """Write what came from this side to the other."""
        peer = self.peer
        if data and peer is not None and peer.transport is not None:
            self.touched = peer.touched = self._loop.time()
            peer.transport.write(data)

    def pause_writing(self) -> None:
        """Too much is waiting to go out here, so stop reading on the other side."""
        super().pause_writing()
        if self.peer is not None:
            self.peer._pause_transport_reading()  # noqa: SLF001

    def resume_writing(self) -> None:
        """Room again."""
        super().resume_writing()
        if self.peer is not None:
            self.peer._resume_transport_reading()  # noqa: SLF001

    def connection_lost(self, exc: BaseException | None) -> None:
        """The other side goes with this one, after what is written to it has left.

        The end of one direction ends both: half-closed connections have no meaning to WebSockets, and an app that
        died looks just like one that closed its half.
        """
        super().connection_lost(exc)
        peer = self.peer
        if peer is not None and peer.transport is not None:
            peer.transport.close()
            self._loop.call_later(peer._patience, peer.transport.abort)  # noqa: SLF001
