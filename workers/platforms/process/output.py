"""Where the shim writes what a process prints: bounded files, whole lines. Standard library only.

A disk that is full costs output, not the process: its shim would take it along.
"""

import contextlib
import fcntl
import os
import time
from collections import deque

_LONGEST_LINE = 16 * 1024


class AppLog:
    """Appends `TIMESTAMP app[web.1]: text` to the log that all instances of an app share, and turns it over in time."""

    def __init__(self, directory: int, label: str, *, most: int) -> None:
        self._directory = directory
        self._label = label
        self._most = most // 2  # two files: the current one and the one before
        self._file = self._open()
        self._rest = b""
        self.tail: deque[bytes] = deque(maxlen=40)

    def write(self, data: bytes) -> None:
        """Take output in any pieces; whole lines are written at once so that instances never mix within a line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        self._lines(lines)

    def close(self) -> None:
        """Write what has no line end yet."""
        self._lines([self._rest] if self._rest else [])
        self._rest = b""

    def _lines(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self.tail.extend(lines)
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}+00:00"
        start = f"{stamp} app[{self._label}]: ".encode()
        with contextlib.suppress(OSError):
            self._turn_over()
            os.write(self._file, b"".join(start + line.rstrip(b"\r") + b"\n" for line in lines))

    def _turn_over(self) -> None:
        try:
            current = os.stat("app.log", dir_fd=self._directory).st_ino == os.fstat(self._file).st_ino
        except FileNotFoundError:
            current = False
        if current and os.fstat(self._file).st_size > self._most:
            # Another instance may be turning the same file over: the lock and the second look make it once.
            fcntl.flock(self._directory, fcntl.LOCK_EX)
            try:
                if os.stat("app.log", dir_fd=self._directory).st_ino == os.fstat(self._file).st_ino:
                    os.rename("app.log", "app.log.1", src_dir_fd=self._directory, dst_dir_fd=self._directory)
            finally:
                fcntl.flock(self._directory, fcntl.LOCK_UN)
            current = False
        if not current:
            os.close(self._file)
            self._file = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open("app.log", flags, 0o600, dir_fd=self._directory)


class RunOutput:
    """Keeps the output of a command as it is, up to `most` bytes, for readers that remember an offset."""

    def __init__(self, *, most: int) -> None:
        self._left = most
        self._file = os.open("out", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.tail: deque[bytes] = deque(maxlen=1)

    def write(self, data: bytes) -> None:
        """Append; what exceeds the bound is dropped, with one line that says so."""
        if self._left <= 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._file, data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            with contextlib.suppress(OSError):
                os.write(self._file, b"\n[output is cut here: it is too long]\n")

    def close(self) -> None:
        """Nothing is held back."""
