"""One at a time across tasks and processes: a lock on a file, held no longer than its holder lives."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger()

_LONGEST_PAUSE = 0.1
_BEATS = 8.0


@asynccontextmanager
async def exclusive(path: Path, *, frozen_after: float | None = None) -> AsyncIterator[None]:
    """Hold the lock `path` stands for.

    `flock` belongs to the open file, so two tasks of one process exclude each other as two processes do, and the
    kernel lets go of it when a holder is killed. It is tried, not waited for, because waiting would block the loop.

    A holder that lives but has stood still for `frozen_after` seconds loses it, where that is given: then what it does
    when it goes on must harm nobody.
    """
    await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
    descriptor = await _taken(path, frozen_after)
    beating = asyncio.create_task(_beat(descriptor, frozen_after / _BEATS)) if frozen_after else None
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()
            await asyncio.wait({beating})
        os.close(descriptor)


async def _taken(path: Path, frozen_after: float | None) -> int:
    """Wait until the lock is ours; returns the descriptor that holds it."""
    pause, watch = 0.002, _Watch()
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if _locked(descriptor):
                if _same(descriptor, path):
                    return os.dup(descriptor)
                continue  # it was taken away from its holder while we opened it
            if frozen_after is not None and watch.still(descriptor) > frozen_after:
                log.warning("lock taken from a process that stands still", path=str(path))
                _take_away(path, descriptor)
                continue
        finally:
            os.close(descriptor)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _beat(descriptor: int, every: float) -> None:
    """Show that the holder goes on, for as long as its loop does."""
    while True:
        os.utime(descriptor)
        await asyncio.sleep(every)


@dataclass(slots=True)
class _Watch:
    """For how long a holder has shown no sign of life, by our own clock: that of the files may be set."""

    seen: tuple[int, int] = (0, 0)
    since: float = field(default_factory=time.monotonic)

    def still(self, descriptor: int) -> float:
        """Return the seconds for which the file has been the same and untouched."""
        status = os.fstat(descriptor)
        if (status.st_ino, status.st_mtime_ns) != self.seen:
            self.seen, self.since = (status.st_ino, status.st_mtime_ns), time.monotonic()
        return time.monotonic() - self.since


def _take_away(path: Path, descriptor: int) -> None:
    """Let the next who tries begin with a new file; only one of those who wait may do so for the same old one."""
    guard = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _locked(guard) and _same(descriptor, path):
            path.unlink()
    finally:
        os.close(guard)


def _same(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
