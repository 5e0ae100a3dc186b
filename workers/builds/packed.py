"""A packed source becomes a commit: the one place where what is no commit of a repository is made one to build.

Nothing of the tar.gz is written to the disk by the names in it. It is decompressed up to a limit, looked at member by
member as strictly as what git packs, and goes as a stream of blobs into a bare mirror. From there on it is built as
every commit: its tree names the build, its files are exported with plain modes, and equal files are built once. The
commit has no date and no author, so equal files are one commit, too.
"""

import asyncio
import gzip
import secrets
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from service.domain.errors import Refused
from service.domain.model import Sha
from workers.builds.archive import Rules, check_link
from workers.builds.source import SOURCE_LIMIT, Source

MOST_MEMBERS: Final = 200_000
_HEADERS: Final = 256 * 1024
"""Bytes that the headers of one member may take: `tarfile` reads and searches what a header claims to be, whole."""
_PADDING: Final = 1024
"""Bytes of a tar beside the content of each member, at most: its header and what fills its last block."""
_CHUNK: Final = 1 << 20
_FILE, _PROGRAM, _LINK = "100644", "100755", "120000"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file or link of the tree; `target` is a link's."""

    mode: str
    path: str
    mark: int
    target: str = ""


async def commit_of(packed: Path, *, source: Source, scratch: Path, most: int = SOURCE_LIMIT) -> Sha:
    """Have the files of a tar.gz as a commit in the mirror of what was sent, and return its id.

    It may hold `most` bytes unpacked; so many are written twice beside `scratch`, in files that begin with that name
    and are gone afterwards. Raises `Refused` naming what of it cannot be built.
    """
    await asyncio.to_thread(scratch.parent.mkdir, parents=True, exist_ok=True)
    own = f"{scratch.name}.{secrets.token_hex(8)}"  # a predecessor that was taken for dead may still be writing
    plain, stream = scratch.with_name(f"{own}.tar"), scratch.with_name(f"{own}.stream")
    try:
        await asyncio.to_thread(_decompress, packed, plain, most + MOST_MEMBERS * _PADDING)
        await asyncio.to_thread(_write_stream, plain, stream, most)
        return await source.take_in(stream)
    finally:
        for left in (plain, stream):
            await asyncio.to_thread(left.unlink, missing_ok=True)


def tidy(directory: Path, *, alive: Collection[str]) -> None:
    """Delete what lies in the directory, but for files that begin with one of these names and a dot."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.name.partition(".")[0] not in alive:
            path.unlink(missing_ok=True)


def _decompress(packed: Path, plain: Path, most: int) -> None:
    written = 0
    try:
        with gzip.open(packed) as source, plain.open("xb") as file:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > most:
                    raise Refused(f"the source is larger than {most >> 20} MB unpacked")
                file.write(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Refused(f"the source is not a whole tar.gz: {error}") from None


def _write_stream(plain: Path, stream: Path, most: int) -> None:
    try:
        with plain.open("rb") as headers, plain.open("rb") as content, stream.open("xb") as out:
            entries = list(_blobs(headers, content, out, most))
            if not entries:
                raise Refused("the source is empty: no file is in it")
            _write_commit(_without_top(entries), out)
    except (tarfile.TarError, UnicodeError, ValueError) as error:
        raise Refused(f"the source archive is damaged: {error}") from None


def _blobs(headers: IO[bytes], content: IO[bytes], out: IO[bytes], most: int) -> Iterator[_Entry]:
    """Write each file and link as a blob; a `.git` directory is nobody's source and is left out."""
    rules, mark = Rules(max_bytes=most), 0
    for member in _members(headers):
        path = rules.admit(member)
        if member.isdir() or path == "." or ".git" in path.casefold().split("/"):
            continue
        mark += 1
        if member.issym():
            target = member.linkname.encode(errors="surrogateescape")
            out.write(b"blob\nmark :%d\ndata %d\n%s\n" % (mark, len(target), target))
            yield _Entry(mode=_LINK, path=path, mark=mark, target=member.linkname)
        else:
            out.write(b"blob\nmark :%d\ndata %d\n" % (mark, member.size))
            content.seek(member.offset_data)
            _copy(content, out, member.size)
            yield _Entry(mode=_PROGRAM if member.mode & 0o100 else _FILE, path=path, mark=mark)


def _members(headers: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    sparing, seen = _Sparing(headers), 0
    with tarfile.open(fileobj=cast("IO[bytes]", sparing), mode="r:", errorlevel=2) as tar:
        while True:
            with sparing.at_most(_HEADERS):
                member = tar.next()
            if member is None:
                return
            tar.members.clear()  # type: ignore[attr-defined]  # or it keeps every one
            seen += 1
            if seen > MOST_MEMBERS:
                raise Refused(f"the source holds more than {MOST_MEMBERS} files and directories")
            yield member


@dataclass(slots=True)
class _Sparing:
    """A file of which only so much is read at a time, however much a header says is to be read."""

    file: IO[bytes]
    left: int = _HEADERS

    @contextmanager
    def at_most(self, size: int) -> Iterator[None]:
        """Allow so many bytes until the end of the block."""
        self.left = size
        yield

    def read(self, size: int = -1) -> bytes:
        """Read; raises `Refused` beyond what is allowed."""
        if size < 0 or size > self.left:
            raise Refused("the source archive holds a header that is longer than any of a file's name")
        self.left -= size
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self.file.tell()


def _copy(content: IO[bytes], out: IO[bytes], size: int) -> None:
    left = size
    while left:
        chunk = content.read(min(left, _CHUNK))
        if not chunk:
            raise Refused("the source archive is damaged: it ends in the middle of a file")
        out.write(chunk)
        left -= len(chunk)
    out.write(b"\n")


def _without_top(entries: list[_Entry]) -> list[_Entry]:
    """Take away the one directory that everything is in, as in GitHub's archives; what leads out of it is refused."""
    top, _, _ = entries[0].path.partition("/")
    inside = f"{top}/"
    if not all(entry.path.startswith(inside) for entry in entries):
        return entries
    bare = [
        _Entry(mode=entry.mode, path=entry.path.removeprefix(inside), mark=entry.mark, target=entry.target)
        for entry in entries
    ]
    for entry in bare:
        if entry.mode == _LINK:
            check_link(entry.path, entry.target)
    return bare


def _write_commit(entries: list[_Entry], out: IO[bytes]) -> None:
    mark = len(entries) + 1
    out.write(b"commit refs/towpath/sent-%s\n" % secrets.token_hex(8).encode())
    out.write(b"mark :%d\ncommitter Towpath <towpath> 0 +0000\ndata 0\n" % mark)
    for entry in entries:
        out.write(b"M %s :%d %s\n" % (entry.mode.encode(), entry.mark, _quoted(entry.path)))
    out.write(b"\nget-mark :%d\ndone\n" % mark)


def _quoted(path: str) -> bytes:
    """A path as git reads it, whatever is in it."""
    raw = path.encode(errors="surrogateescape")
    for what, instead in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        raw = raw.replace(what, instead)
    return b'"%s"' % raw
