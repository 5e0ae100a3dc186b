"""Files that code of others wrote: opened without following links, read up to a limit, deleted by pattern."""

import errno
import fcntl
import fnmatch
import os
import re
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import Refused, Transient
from workers.builds.processes import delete_tree

MANIFEST_LIMIT = 64 * 1024
"""Bytes of a file that people write by hand."""
_MOST_RULES = 500
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
# Of the file that fills the disk tar says just how much it wrote. Names stand before that, their line breaks escaped.
_FULL = re.compile(rf": (?:Wrote only \d+ of \d+ bytes?|{'|'.join(sorted(map(os.strerror, _NO_ROOM)))})\n")
_GET_FLAGS, _SET_FLAGS, _TOP_DIRECTORY = 0x80086601, 0x40086602, 0x20000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A line of `.slugignore`, one matcher per folder of the path; None stands for any number of folders.

    Matched folder by folder, because one expression over the whole path can be made to take years.
    """

    parts: tuple[re.Pattern[str] | None, ...]
    only_folders: bool

    def names(self, path: Sequence[str], *, folder: bool) -> bool:
        """Whether the rule means `path` itself, given as its parts."""
        if self.only_folders and not folder:
            return False
        reached = self._skipped({0})
        for part in path:
            reached = self._skipped({after for at in reached for after in self._after(at, part)})
        return len(self.parts) in reached

    def _after(self, at: int, part: str) -> Sequence[int]:
        matcher = self.parts[at] if at < len(self.parts) else _NOTHING
        if matcher is None:
            return (at,)
        return (at + 1,) if matcher.fullmatch(part) else ()

    def _skipped(self, reached: set[int]) -> set[int]:
        """Add the places behind a `**`, which may stand for no folder at all."""
        for at in sorted(reached):
            while at < len(self.parts) and self.parts[at] is None:
                at += 1  # noqa: PLW2901
                reached.add(at)
        return reached


_NOTHING = re.compile(r"(?!)")


def raise_if_full(error: OSError) -> None:
    """Raise `Transient` for an error that passes once there is room on the disk again."""
    if error.errno in _NO_ROOM:
        raise Transient("the disk of the server is full") from error


def check_room(said: str) -> None:
    """Raise the `OSError` that tar failed with, if what it said in English is that there was no room."""
    if _FULL.search(said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def scatter(directory: Path) -> None:
    """Have ext4 give every folder made in `directory` a part of the disk of its own; others need not be asked.

    It takes no number of a file that was deleted seconds ago, and passes over them one by one: beside thousands, as
    each build leaves them, unpacking a tree took several times as long.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # another file system, or a folder of another user
            (flags,) = struct.unpack("L", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("L", 0)))
            if not flags & _TOP_DIRECTORY:
                fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("L", flags | _TOP_DIRECTORY))
    finally:
        os.close(descriptor)


def read_regular(directory: Path, name: str, *, limit: int = MANIFEST_LIMIT) -> str | None:
    """Return the text of the regular file `name` right in `directory`, None if there is none; else `Refused`."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        what = (
            "is a symbolic link; it must be a file of its own" if (directory / name).is_symlink() else "cannot be read"
        )
        raise Refused(f"{name} {what}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{name} is not a file")
        check_size(name, status.st_size, limit)
        return as_text(name, file.read(limit + 1))


def as_text(path: str, content: bytes) -> str:
    """Decode what a person wrote, or say what is wrong with it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{path} is not UTF-8 text") from None
    if "\0" in text:
        raise Refused(f"{path} is a binary file")
    return text


def check_size(path: str, size: int, limit: int) -> None:
    """Raise `Refused` when a file is larger than anyone writes by hand."""
    if size > limit:
        shown = f"{size / 2**20:.0f} MB" if size >= 2**20 else f"{size / 2**10:.0f} kB"
        raise Refused(f"{path} is {shown}; the limit is {limit >> 10} kB")


def drop_ignored(tree: Path) -> int:
    """Delete what `.slugignore` names, as on Heroku before anything is compiled; return how many entries went.

    Raises `Refused` when it has more patterns than anyone writes by hand.
    """
    text = read_regular(tree, ".slugignore")
    patterns = [line.strip() for line in (text or "").splitlines()]
    rules = [_rule(pattern) for pattern in patterns if pattern and not pattern.startswith(("#", "!"))]
    if len(rules) > _MOST_RULES:
        raise Refused(f".slugignore has {len(rules)} patterns; the limit is {_MOST_RULES}")
    return _drop(tree, (), rules) if rules else 0


def _drop(directory: Path, above: tuple[str, ...], rules: Sequence[_Rule]) -> int:
    dropped = 0
    for entry in list(os.scandir(directory)):
        folder, parts = entry.is_dir(follow_symlinks=False), (*above, entry.name)
        if any(rule.names(parts, folder=folder) for rule in rules):
            if folder:
                delete_tree(Path(entry.path))
            else:
                Path(entry.path).unlink()
            dropped += 1
        elif folder:
            dropped += _drop(Path(entry.path), parts, rules)
    return dropped


def _rule(pattern: str) -> _Rule:
    """Understand one gitignore-like line."""
    body = pattern.strip("/")
    anchored = pattern.startswith("/") or "/" in body
    parts = body.split("/") if anchored else ["**", body]
    matchers = tuple(None if part == "**" else re.compile(fnmatch.translate(part)) for part in parts)
    return _Rule(parts=matchers, only_folders=pattern.endswith("/"))
