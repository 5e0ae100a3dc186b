"""Processes named so that a reused pid is never mistaken: by pid and start time."""

import contextlib
import errno
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this boot."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now."""
        start = _start(pid)
        return None if start is None else cls(pid, start)

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _start(self.pid) == self.start

    def send(self, number: signal.Signals) -> None:
        """Signal exactly this process: the descriptor pins it between the check and the signal."""
        descriptor = pinned(self.pid)
        if descriptor is None:
            return
        with contextlib.suppress(ProcessLookupError):
            try:
                if self.alive:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)

    def descendants(self) -> list[int]:
        """Pids of everything below it."""
        found: list[int] = []
        wanted = [self.pid] if self.alive else []
        while wanted:
            children = _children(wanted.pop())
            found += children
            wanted += children
        return found


def pinned(pid: int) -> int | None:
    """A descriptor that stays with the process of that pid; None if there is none, which kernels say in three ways."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in {errno.ESRCH, errno.EINVAL, errno.ENOENT}:
            return None
        raise


def _start(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
