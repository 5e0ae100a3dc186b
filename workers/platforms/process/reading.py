"""Reading what sandboxes write: output of commands by offset, an app's log by lines."""

import asyncio
import codecs
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

from service.waiting import set_within
from workers.platforms.process.runs import Command

_CHUNK = 64 * 1024
_PAUSE = 0.03


async def command_output(command: Command, offset: int) -> AsyncIterator[tuple[str, int]]:
    """The output behind `offset`, piece by piece, each with the offset behind it; ends when the command has.

    In whole lines: a reader that keeps only these knows with each how far it has come.
    """
    held = b""
    while True:
        ended = command.ended.is_set()
        data = await asyncio.to_thread(_read, command.output, offset + len(held))
        held += data
        size = len(held) if ended and not data else _whole(held)
        if size:
            offset += size
            yield held[:size].decode("utf-8", "replace"), offset
            held = held[size:]
        elif ended and not data:
            return
        if not data:
            await set_within(command.ended, _PAUSE)


def _whole(output: bytes) -> int:
    """How much of it are whole lines; of a very long one, whole characters."""
    lines = max(output.rfind(b"\n"), output.rfind(b"\r")) + 1
    if lines or len(output) < _CHUNK:
        return lines
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(output)
    return len(output) - len(decoder.getstate()[0])


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK)
    except FileNotFoundError:
        return b""


async def log_lines(path: Path, *, follow: bool, lines: int, process: str = "") -> AsyncIterator[str]:
    """The last `lines` lines of a log that is turned over to `.1` (those of a process, if named), then new ones.

    Of a log that is turned over faster than it is read whole files are left out, never parts of lines.
    """
    last, file = await asyncio.to_thread(_last, path, lines, process.encode())
    tail = _Tail(path, file)
    try:
        for line in last:
            yield line
        rest = b""
        while follow:
            await asyncio.sleep(_PAUSE)
            data, begins = await asyncio.to_thread(tail.more)
            cut, rest = ([rest], b"") if begins and rest else ([], rest)
            *whole, rest = (rest + data).split(b"\n")
            for one in (*cut, *whole):
                if _is_of(one, process.encode()):
                    yield one.decode("utf-8", "replace")
    finally:
        tail.close()


def _is_of(line: bytes, process: bytes) -> bool:
    """Whether `TIME app[web.1]: text` is a line of `web.1` or of all of `web`; without a name any line is."""
    name = line.partition(b"[")[2].partition(b"]")[0]
    return not process or process in {name, name.partition(b".")[0]}


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _last(path: Path, lines: int, process: bytes) -> tuple[list[str], FileIO | None]:
    """The last lines, and the file behind whose end the next one will be; None where there is none yet."""
    found: deque[str] = deque(maxlen=lines)
    file = None
    for one in (_older(path), path):
        if file is not None:
            file.close()
        file = _open(one)
        # Only where the shim ends lines: an app may print what Python also divides at, and a name of ours behind it.
        text = file.readall().removesuffix(b"\n") if file is not None else b""
        whole = text.split(b"\n") if file is not None and file.tell() else []
        found.extend(line.decode("utf-8", "replace") for line in whole if _is_of(line, process))
    return list(found), file


class _Tail:
    """Where somebody who follows a log has come to; the file stays open, so that no later one is taken for it.

    A file system gives the number of one that was deleted to the next that is made.
    """

    def __init__(self, path: Path, file: FileIO | None) -> None:
        self._path, self._file = path, file
        self._turn, self._over = threading.Lock(), False

    def more(self) -> tuple[bytes, bool]:
        """What was appended, and whether that is the beginning of another file."""
        try:
            with self._turn:
                return self._more()
        finally:
            self._let_go()

    def close(self) -> None:
        """Whoever stops to follow may do so in the middle of a look, which a slow disk keeps: then that closes it."""
        self._over = True
        self._let_go()

    def _let_go(self) -> None:
        """Close the file if nobody wants it any more; who has the turn does so after it."""
        if self._over and self._turn.acquire(blocking=False):
            try:
                if self._file is not None:
                    self._file.close()
                    self._file = None
            finally:
                self._turn.release()

    def _more(self) -> tuple[bytes, bool]:
        data = self._read()
        if data or not self._is_turned_over():
            return data, False
        if data := self._read():  # written just before
            return data, False
        begins = self._go_on()
        return self._read(), begins

    def _read(self) -> bytes:
        return self._file.read(_CHUNK) or b"" if self._file is not None else b""

    def _is_turned_over(self) -> bool:
        """For a moment there is no file in its place."""
        return self._path.exists() and not self._is(self._path)

    def _is(self, path: Path) -> bool:
        try:
            return self._file is not None and os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        except FileNotFoundError:
            return False

    def _go_on(self) -> bool:
        """With the next file, or with the oldest one there is if that is gone; false if there is none at the moment."""
        missed = self._file is not None and not self._is(_older(self._path))
        following = (_open(_older(self._path)) if missed else None) or _open(self._path)
        if following is None:
            return False
        if self._file is not None:
            self._file.close()
        self._file = following
        return True


def _open(path: Path) -> FileIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
