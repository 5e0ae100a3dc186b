"""Slugs: a built tree packed the same way every time, named by the sha256 of its bytes, unpacked once.

`data/slugs/TRUST/SHA256.tar.zst` is the truth, checked before it is unpacked; `data/slugs/TRUST/SHA256/` is what apps
run from, made by renaming a complete tree into place.
"""

import asyncio
import errno
import hashlib
import os
import re
import secrets
import stat
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog
import zstandard

from service.domain.errors import Refused
from service.domain.model import Trust
from workers.builds.archive import LONGEST_PATH
from workers.builds.files import check_room, raise_if_full, scatter
from workers.builds.processes import delete_tree

log = structlog.get_logger()

_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB = ".tar.zst"
_CHUNK = 1 << 20
_LEFT_OVER = 24 * 3600
_PACK = (
    *("tar", "--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"),
    *("--format=posix", "--hard-dereference", "--no-xattrs", "--no-acls", "--no-selinux"),
    # Without a fixed name a pax header carries tar's process id.
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime,delete=mtime",
)
_UNPACK = ("tar", "--extract", "--no-same-owner", "--preserve-permissions", "--delay-directory-restore")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A packed slug."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlugStore:
    """The slugs under `data`."""

    data: Path
    max_bytes: int = 1 << 30

    def blob(self, trust: Trust, sha256: str) -> Path:
        """Where the packed slug is."""
        return self._shelf(trust) / f"{_digest(sha256)}{_BLOB}"

    async def add(self, tree: Path, *, trust: Trust) -> Blob:
        """Pack `tree`, which becomes the store's and is gone from its old place. Adding equal content twice is fine."""
        ours = await asyncio.to_thread(_settle, tree, self.max_bytes)
        shelf = self._shelf(trust)
        blob = await asyncio.to_thread(_pack, tree, shelf)
        log.info("slug packed", sha256=blob.sha256, size=blob.size, trust=trust.value)
        # What another user's process may have written is unpacked anew, so that nobody but us can change it.
        await asyncio.to_thread(_put if ours else _discard, tree, shelf / blob.sha256)
        return blob

    async def unpacked(self, trust: Trust, sha256: str) -> Path:
        """Return the directory to run from, made on first use; a blob that is not what its name says is refused.

        Raises `Transient` while the disk is full.
        """
        place = self._shelf(trust) / _digest(sha256)
        if not await asyncio.to_thread(place.is_dir):
            try:
                await asyncio.to_thread(_unpack, self.blob(trust, sha256), place)
            except OSError as error:
                raise_if_full(error)
                raise
            log.info("slug unpacked", sha256=sha256, trust=trust.value)
        return place

    async def usable(self, trust: Trust, sha256: str) -> bool:
        """Whether `unpacked` would succeed: what a release is promised must not turn out gone or changed later."""
        place = self._shelf(trust) / _digest(sha256)
        return await asyncio.to_thread(lambda: place.is_dir() or _is_whole(self.blob(trust, sha256), sha256))

    async def delete(self, trust: Trust, sha256: str) -> None:
        """Remove both forms; gone already is fine. Only the caller knows whether a slug is still needed."""
        await asyncio.to_thread(self.blob(trust, sha256).unlink, missing_ok=True)
        await asyncio.to_thread(_discard, self._shelf(trust) / sha256)

    async def stored(self, *, older_than: timedelta) -> list[tuple[Trust, str]]:
        """What is stored, but for what was written just now."""
        return await asyncio.to_thread(self._stored, older_than.total_seconds())

    def _stored(self, seconds: float) -> list[tuple[Trust, str]]:
        return [
            (trust, blob.name.removesuffix(_BLOB))
            for trust in Trust
            for blob in self._shelf(trust).glob(f"*{_BLOB}")
            if time.time() - blob.stat().st_mtime > seconds
        ]

    async def tidy(self) -> None:
        """Delete what killed processes left half-made or half-deleted a day ago or longer."""
        for trust in Trust:
            await asyncio.to_thread(_tidy, self._shelf(trust))

    def _shelf(self, trust: Trust) -> Path:
        return self.data / "slugs" / trust.value


def _digest(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise Refused(f"{sha256[:80]!r} does not name a slug")
    return sha256


def _settle(tree: Path, max_bytes: int) -> bool:
    """Give everything plain modes, so that equal content packs to equal bytes, and say whether all of it is ours."""
    sizes: Counter[str] = Counter()
    ours = True
    tree.chmod(0o755)  # before it is read: the build may have closed even this one
    for entry, status in _entries(tree):
        ours = ours and status.st_uid == os.geteuid()
        sizes[entry.relative_to(tree).parts[0]] += status.st_size
        if stat.S_ISDIR(status.st_mode):
            entry.chmod(0o755)
        elif stat.S_ISREG(status.st_mode):
            entry.chmod(0o755 if status.st_mode & 0o100 else 0o644)
        elif not stat.S_ISLNK(status.st_mode):
            entry.unlink()  # a socket or pipe that a build left: nothing listens on it any more
    if sizes.total() > max_bytes:
        largest = ", ".join(f"{name} {size >> 20} MB" for name, size in sizes.most_common(3))
        raise Refused(
            f"the slug is {sizes.total() >> 20} MB unpacked; the limit is {max_bytes >> 20} MB. "
            f"The largest parts are {largest}; leave files out with a .slugignore"
        )
    return ours


def _entries(tree: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Walk without recursion, each folder before what is in it: the build decides how deep the tree is."""
    folders = [tree]
    while folders:
        with os.scandir(folders.pop()) as entries:
            found = [(Path(entry.path), entry.stat(follow_symlinks=False)) for entry in entries]
        for path, status in found:
            if len(str(path)) - len(str(tree)) > LONGEST_PATH:
                where = str(path.relative_to(tree))[:60]
                raise Refused(f"the build left a path of more than {LONGEST_PATH} characters: {where}...")
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                folders.append(path)


def _pack(tree: Path, shelf: Path) -> Blob:
    shelf.mkdir(parents=True, exist_ok=True)
    argv = [*_PACK, "--directory", str(tree), "."]
    with tempfile.NamedTemporaryFile(dir=shelf, prefix=".new-", delete=False) as file:
        new = Path(file.name)
        try:
            with subprocess.Popen(argv, stdout=subprocess.PIPE, env=_ENVIRONMENT) as tar:
                assert tar.stdout is not None
                zstandard.ZstdCompressor(level=3, threads=2).copy_stream(tar.stdout, file, read_size=_CHUNK)
            if tar.returncode:
                raise Refused(f"the slug could not be packed (tar ended with {tar.returncode})")
            file.flush()
            os.fsync(file.fileno())
            with new.open("rb") as packed:
                sha256 = hashlib.file_digest(packed, "sha256").hexdigest()
            blob = Blob(sha256=sha256, size=new.stat().st_size)
            new.chmod(0o644)
            new.replace(shelf / f"{sha256}{_BLOB}")
        finally:
            new.unlink(missing_ok=True)
    return blob


def _is_whole(blob: Path, sha256: str) -> bool:
    try:
        with blob.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _unpack(blob: Path, place: Path) -> None:
    try:
        file = blob.open("rb")
    except FileNotFoundError:
        raise Refused(f"slug {place.name[:12]} is no longer stored; deploy again", code="not_found") from None
    with file:
        if hashlib.file_digest(file, "sha256").hexdigest() != place.name:
            raise Refused(f"slug {place.name[:12]} was changed after it was built and is not used; deploy again")
        file.seek(0)
        scatter(place.parent)
        new = Path(tempfile.mkdtemp(dir=place.parent, prefix=".new-"))
        argv = [*_UNPACK, "--directory", str(new)]
        # In memory: it says a line for every file that it has no room for.
        with os.fdopen(os.memfd_create("tar"), "w+b") as said:
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=said, env=_ENVIRONMENT) as tar:
                assert tar.stdin is not None
                with suppress(BrokenPipeError):  # tar has given up; its exit code says so
                    zstandard.ZstdDecompressor().copy_stream(file, tar.stdin, write_size=_CHUNK)
            said.seek(0)
            cause = said.read(_CHUNK).decode(errors="replace")
        if tar.returncode:
            delete_tree(new)
            check_room(cause)
            raise Refused(f"slug {place.name[:12]} could not be unpacked (tar ended with {tar.returncode})")
    _put(new, place)


def _put(tree: Path, place: Path) -> None:
    """Put a complete tree in its place; whoever was first there wins, as the content is the same."""
    try:
        tree.rename(place)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        delete_tree(tree)


def _discard(tree: Path, _place: Path | None = None) -> None:
    """Delete a tree in a way that never shows a half of it under its name."""
    gone = tree.with_name(f".gone-{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):
        tree.rename(gone)
        delete_tree(gone)


def _tidy(shelf: Path) -> None:
    for path in (*shelf.glob(".new-*"), *shelf.glob(".gone-*")):
        if time.time() - path.lstat().st_ctime > _LEFT_OVER:
            delete_tree(path)
