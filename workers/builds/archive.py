"""Strict tar archives: everything in them is looked at before a single file is written.

The standard library's `data` filter can be made to write outside (CVE-2025-4517), so nothing is left to it: names,
links and kinds are checked here on the list of members, and only then GNU tar, which is several times faster than
`tarfile` and refuses `..` itself, writes into a fresh directory.
"""

import asyncio
import posixpath
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.errors import Refused
from workers.builds.files import check_room
from workers.builds.processes import run

LONGEST_PATH = 2048
"""In characters, within a tree: what is longer is no app, and few programs reach the bottom of it."""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
_KINDS = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a named pipe"}


async def unpack(archive: Path, dest: Path, *, max_bytes: int, seconds: float = 300.0) -> None:
    """Check all of `archive` (an uncompressed tar) and write it into the new directory `dest`.

    Raises `Refused` for what is wrong with it, `OSError` while the disk is full.
    """
    await asyncio.to_thread(check, archive, max_bytes=max_bytes)
    await asyncio.to_thread(dest.mkdir, parents=True)
    argv = (
        *("tar", "--extract", "--file", archive, "--directory", dest),
        *("--no-same-owner", "--no-same-permissions", "--delay-directory-restore", "--touch"),
    )
    done = await run(argv, env=_ENVIRONMENT, seconds=seconds)
    if done.code:
        check_room(done.stderr)
        raise Refused(f"the source archive could not be unpacked: {done.cause}")


def check(archive: Path, *, max_bytes: int) -> None:
    """Raise `Refused` naming the first member that could reach outside, or is neither file, directory nor link."""
    rules = Rules(max_bytes=max_bytes)
    try:
        with tarfile.open(archive, "r:", errorlevel=2) as tar:
            for member in tar:
                rules.admit(member)
    except (tarfile.TarError, UnicodeError, ValueError) as error:
        raise Refused(f"the source archive is damaged: {error}") from None


@dataclass(slots=True, kw_only=True)
class Rules:
    """What the members of one archive may be, asked in their order."""

    max_bytes: int
    _links: set[str] = field(default_factory=set)
    _total: int = 0

    def admit(self, member: tarfile.TarInfo) -> str:
        """Return the path of a file, directory or symbolic link inside; raises `Refused` for anything else."""
        name = _inside(member.name)
        _no_link_above(name, self._links)
        if member.issym():
            self._links.add(name)
            check_link(name, member.linkname)
        elif not (member.isreg() or member.isdir()) or member.issparse():
            kind = "a hard link" if member.islnk() else _KINDS.get(member.type, "of an unknown kind")
            raise Refused(f"{name} is {kind}; only files, directories and symbolic links can be built")
        self._total += member.size
        if self._total > self.max_bytes:
            raise Refused(f"the source is larger than {self.max_bytes >> 20} MB unpacked")
        return name


def check_link(name: str, target: str) -> None:
    """Raise `Refused` unless the symbolic link `name` with `target` stays inside by its words alone."""
    if posixpath.isabs(target):
        raise Refused(f"{name} is a symbolic link to the absolute path {target}; make it relative")
    where = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if where == ".." or where.startswith("../"):
        raise Refused(f"{name} is a symbolic link to {target}, outside of the source; remove it")


def _inside(name: str) -> str:
    if not name or "\0" in name or posixpath.isabs(name) or ".." in name.split("/"):
        raise Refused(f"the source holds a file named {name!r}, which lies outside of it")
    if len(name) > LONGEST_PATH:
        raise Refused(f"the source holds a path of {len(name)} characters: {name[:60]}...; the limit is {LONGEST_PATH}")
    return posixpath.normpath(name)


def _no_link_above(name: str, links: set[str]) -> None:
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        above = "/".join(parts[:depth])
        if above in links:
            raise Refused(f"the source holds {name} in the place of the symbolic link {above}")
