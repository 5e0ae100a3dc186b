"""Level `none`: no namespaces, so whatever a sandbox would show at a fixed path lies somewhere else on the host.

Programs know where they are: shebangs, links and `.profile.d` name /app and the runtimes. So our words and the texts of
that kind are translated to where things really are, and back again in what a build leaves, so that its slug and its
cache are of use elsewhere too. What a release writes goes to a copy of its slug.
"""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from workers.platforms.base import Bind
from workers.platforms.process import files
from workers.platforms.process.sandbox import RUNTIMES

_NOTE = "places"
_COPIES = "copies"
_LONGEST = 256 * 1024
_SAID_BY_NAME = (".pth", "pyvenv.cfg")
_SAID_BY_PLACE = frozenset({".profile.d", ".towpath"})


@dataclass(frozen=True, slots=True)
class Places:
    """Where on the host the paths of a sandbox are: pairs of inside and host, all absolute."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, pairs: Mapping[str, Path]) -> Self:
        """Paths as the kernel shows them: programs resolve links before they write a path down."""
        return cls(tuple((inside, str(host.resolve())) for inside, host in pairs.items()))

    def outward(self, text: str) -> str:
        """What programs on the host must be told. `/app` as the end of a longer path is none of ours."""
        return _replace(text, dict(self.pairs), before=r"(?<![\w./~})-])")

    def inward(self, text: str) -> str:
        """The reverse, for what they wrote."""
        return _replace(text, {host: inside for inside, host in self.pairs}, before="")


def _replace(text: str, names: Mapping[str, str], *, before: str) -> str:
    longest_first = sorted(names, key=len, reverse=True)
    pattern = f"{before}({'|'.join(map(re.escape, longest_first))})(?![\\w.-])"
    return re.sub(pattern, lambda found: names[found[1]], text)


def release(directory: Path, *, slug: Path, runtimes: Path) -> Places:
    """Copy a slug to where its process may write, with a directory for temporary files beside it."""
    copies = _emptied(directory)
    temporary(directory).mkdir()
    app = copies / "app"
    shutil.copytree(slug, app, symlinks=True)
    for path in (app, *files.walk(app)):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
    places = Places.of({"/app": app, RUNTIMES: runtimes})
    _translate(app, places.outward)
    return places


def temporary(directory: Path) -> Path:
    """Where its temporary files go, so that they end with it."""
    return directory / _COPIES / "tmp"


def build(directory: Path, binds: Sequence[Bind], *, runtimes: Path) -> Places:
    """Lay a build step out: what it may write is used in place until `settle`; all else but runtimes is copied."""
    copies = _emptied(directory)
    temporary(directory).mkdir()
    hosts = {"/tmp": temporary(directory), RUNTIMES: runtimes}  # noqa: S108  (our own in place of the machine's)
    for number, bind in enumerate(binds):
        if bind.writable or bind.host == runtimes:
            hosts[bind.inside] = bind.host
        else:
            hosts[bind.inside] = Path(shutil.copytree(bind.host, copies / str(number), symlinks=True))
    places = Places.of(hosts)
    files.write_plain(directory / _NOTE, places.pairs)
    for bind in binds:
        if bind.host != runtimes:
            _translate(hosts[bind.inside], places.outward, every=not bind.writable)
    return places


def settle(directory: Path, writable: Sequence[str]) -> None:
    """After the end: what the step wrote names paths as in a sandbox again, and the copies are gone."""
    pairs = files.read_json(directory / _NOTE)
    if pairs:
        places = Places(tuple((inside, host) for inside, host in pairs))
        for tree in map(Path, writable):
            if tree.is_dir():
                _translate(tree, places.inward)
    files.delete(directory / _COPIES)


def _emptied(directory: Path) -> Path:
    copies = directory / _COPIES
    files.delete(copies)
    copies.mkdir(parents=True)
    return copies


def _translate(tree: Path, translated: Callable[[str], str], *, every: bool = False) -> None:
    for path in files.walk(tree):
        if path.is_symlink():
            _link_again(path, translated)
        elif _readable(path) and (every or _says_where(path, tree)):
            _write_again(path, translated)


def _readable(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _LONGEST and os.access(path, os.R_OK)


def _says_where(path: Path, tree: Path) -> bool:
    """Scripts, and the few other files by which programs find their parts. Sources stay as they are."""
    if path.name.endswith(_SAID_BY_NAME) or _SAID_BY_PLACE.intersection(path.relative_to(tree).parts):
        return True
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _link_again(path: Path, translated: Callable[[str], str]) -> None:
    target = str(path.readlink())
    if (other := translated(target)) != target:
        path.unlink()
        path.symlink_to(other)


def _write_again(path: Path, translated: Callable[[str], str]) -> None:
    content = path.read_bytes()
    try:
        other = translated(content.decode()).encode()
    except UnicodeDecodeError:
        return
    if other != content:
        # A new file: a cache may hold hard links to the old one. Written bytes keep line ends as they are.
        descriptor, new = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(other)
        shutil.copystat(path, new)
        Path(new).replace(path)
