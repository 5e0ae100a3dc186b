"""Whose turn it is to write to a SQLite file, so that processes alternate.

SQLite itself lets a waiting writer sleep for up to a tenth of a second between two looks at the lock, and gives it to
whoever looks first: a process that writes one transaction after the other keeps everybody else out for seconds. Here
one process at a time looks, every other moment; whoever has just written finds it in front.
"""

import fcntl
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

_LOOK_SECONDS: Final = 0.0002
_SLOWEST_LOOK_SECONDS: Final = 0.005
_IN_FRONT_SECONDS: Final = 1.0
"""After this long nobody is waited for any more but the lock itself: whoever is in front may be stopped."""
_IN_VAIN_SECONDS: Final = 10.0
"""So long nobody is waited for again: a process that is stopped for good must not cost everyone a second a write."""


class Turns:
    """Begins the writing transactions of connections to one file; SQLite's own lock decides, as it always did.

    The lock that stands for being in front is on the directory: closing a file that SQLite has open, or a copy of it,
    would take SQLite's own locks away.
    """

    def __init__(self, path: Path) -> None:
        self._directory: int | None = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._in_vain_until = 0.0

    def close(self) -> None:
        """Leave; again is fine."""
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def begin(self, connection: sqlite3.Connection, *, patience: float) -> None:
        """Begin a writing transaction, which nobody else has then.

        Raises `sqlite3.OperationalError` if that takes more than `patience` seconds. The connection's own busy timeout
        must be 0.
        """
        now = time.monotonic()
        until, directory, in_front = now + patience, self._directory, False
        if directory is not None:
            waits = now >= self._in_vain_until
            in_front = _come_in_front(directory, min(until, now + _IN_FRONT_SECONDS) if waits else now)
            if waits and not in_front:
                self._in_vain_until = time.monotonic() + _IN_VAIN_SECONDS
        try:
            _begin(connection, until)
        finally:
            if directory is not None and in_front:
                fcntl.flock(directory, fcntl.LOCK_UN)


def _come_in_front(directory: int, until: float) -> bool:
    pause = _LOOK_SECONDS
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
        except OSError:
            return False  # a file system without such locks
        else:
            return True
        time.sleep(pause)
        pause = min(pause * 1.5, _SLOWEST_LOOK_SECONDS)


def _begin(connection: sqlite3.Connection, until: float) -> None:
    pause = _LOOK_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(pause * 1.5, _SLOWEST_LOOK_SECONDS)
