"""Keeps a sandbox's egress: outside of the sandbox's network, unprivileged, and for exactly as long as its shim lives.

The egress itself talks to the app and to the internet, so it may die. What watches over it here does nothing but fork
it anew: it holds the listening sockets, which nobody outside of the sandbox's network could make a second time. For the
same reason there are two of these, and each is replaced by the other.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import time

from workers.platforms.process import namespaces

TYPE_CHECKING = False  # `typing` would cost 5 ms at every start; type checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from workers.platforms.process.spec import ShimSpec

_COMPLAINTS_MOST = 1024 * 1024  # an app must not fill the disk by what its egress says of it
_PAUSE = 0.1  # an egress that cannot live must not use up a CPU in dying
_SOCKETS_MOST = 4


def fork(spec: ShimSpec) -> tuple[int, socket.socket]:
    """Fork the watcher before the shim enters the sandbox's network; returns its pid and where it takes the sockets."""
    shim = os.getpid()
    inside, outside = socket.socketpair()
    pid = os.fork()
    if pid:
        outside.close()
        return pid, inside
    try:
        inside.close()
        _, numbers, _, _ = socket.recv_fds(outside, 1, _SOCKETS_MOST)
        outside.close()
        _close_all_but({0, 1, 2, *numbers})
        os.chdir("/")
        namespaces.limit(resource.RLIMIT_FSIZE, _COMPLAINTS_MOST)
        _watch(spec, [socket.socket(fileno=number) for number in numbers], shim)
    finally:
        os._exit(1)


def hand(inside: socket.socket, made: list[socket.socket]) -> None:
    """Give the watcher the sockets that were made inside."""
    socket.send_fds(inside, [b"+"], [one.fileno() for one in made])
    inside.close()
    for one in made:
        one.close()


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the list's own
                os.close(int(name))


def _watch(spec: ShimSpec, made: list[socket.socket], shim: int) -> NoReturn:
    from workers.platforms.process import egress, reach  # here, beside bubblewrap's start: it takes its time to import

    namespaces.join(spec["own_cgroups"])
    if spec["keeper"] is not None:
        namespaces.become(spec["keeper"])
    policy = reach.Policy(spec["network"] == "public", frozenset(spec["names"]))

    def serve() -> None:
        egress.serve(made[0], made[1], made[2:], policy)

    keeper = os.pidfd_open(shim)
    while True:
        _let_out(serve, keeper)


def _let_out(serve: Callable[[], None], shim: int) -> None:
    """Keep one that serves and one that takes our place when we die; returns in that one, which then does the same."""
    ourselves = os.pidfd_open(os.getpid())
    second, egress = -1, -1  # their pidfds
    while True:
        if second < 0:
            pid = os.fork()
            if pid == 0:
                if egress >= 0:
                    os.close(egress)
                _wait_for(ourselves, shim)
                os.close(ourselves)
                return
            second = os.pidfd_open(pid)
        if egress < 0:
            egress = os.pidfd_open(_fork_egress(serve, second))
        if _wait_for(second, egress, shim) == second:
            second = _reaped(second)
        else:
            egress = _reaped(egress)
            time.sleep(_PAUSE)


def _fork_egress(serve: Callable[[], None], *not_its_own: int) -> int:
    watcher = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        for number in not_its_own:
            os.close(number)
        namespaces.die_with_parent(watcher)
        serve()
    finally:
        os._exit(1)


def _wait_for(*pidfds: int) -> int:
    """Which of them has ended. The last is the shim's: with it, everything here ends."""
    poll = select.poll()
    for number in pidfds:
        poll.register(number, select.POLLIN)
    ended = {number for number, _ in poll.poll()}
    if pidfds[-1] in ended:
        os._exit(0)
    return next(iter(ended))


def _reaped(pidfd: int) -> int:
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)
    return -1
