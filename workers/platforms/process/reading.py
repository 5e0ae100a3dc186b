"""Reading what sandboxes write: output of commands by offset, an app's log by lines."""

import asyncio
import codecs
from collections import deque
from collections.abc import AsyncIterator
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
    """The last `lines` lines of a log that is turned over to `.1` (those of a process, if named), then new ones."""
    last, inode, offset = await asyncio.to_thread(_last, path, lines, process.encode())
    for line in last:
        yield line
    rest = b""
    while follow:
        await asyncio.sleep(_PAUSE)
        data, inode, offset = await asyncio.to_thread(_more, path, inode, offset)
        *whole, rest = (rest + data).split(b"\n")
        for one in whole:
            if _is_of(one, process.encode()):
                yield one.decode("utf-8", "replace")


def _is_of(line: bytes, process: bytes) -> bool:
    """Whether `TIME app[web.1]: text` is a line of `web.1` or of all of `web`; without a name any line is."""
    name = line.partition(b"[")[2].partition(b"]")[0]
    return not process or process in {name, name.partition(b".")[0]}


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _last(path: Path, lines: int, process: bytes) -> tuple[list[str], int, int]:
    found: deque[str] = deque(maxlen=lines)
    inode = offset = 0
    for one in (_older(path), path):
        try:
            with one.open("rb") as file:
                text = file.read()
                inode, offset = file.fileno() and one.stat().st_ino, len(text)
        except FileNotFoundError:
            inode = offset = 0
            continue
        # Only where the shim ends lines: an app may print what Python also divides at, and a name of ours behind it.
        whole = text.removesuffix(b"\n").split(b"\n") if text else []
        found.extend(line.decode("utf-8", "replace") for line in whole if _is_of(line, process))
    return list(found), inode, offset


def _more(path: Path, inode: int, offset: int) -> tuple[bytes, int, int]:
    """What was appended; when the file was turned over, first the end of the older one."""
    try:
        current = path.stat().st_ino
    except FileNotFoundError:
        return b"", inode, offset
    if inode and current != inode:
        older = _older(path)
        rest = _read(older, offset) if older.exists() and older.stat().st_ino == inode else b""
        if rest:
            return rest, inode, offset + len(rest)
        offset = 0
    data = _read(path, offset)
    return data, current, offset + len(data)
