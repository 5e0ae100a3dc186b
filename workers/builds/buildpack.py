"""Buildpacks: which ones build an app, under which version, and what they said in the end.

A buildpack is a directory of the classic contract: `bin/detect BUILD`, `bin/compile BUILD CACHE ENV`, `bin/release
BUILD`. Ours lie beside this file; any other is named by an https git URL and runs in the same sandbox.
"""

import asyncio
import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from service.domain.addresses import is_public
from service.domain.errors import Refused
from workers.builds import foreign
from workers.builds.source import Source

DIRECTORY = Path(__file__).parent / "buildpacks"
DRIVER = DIRECTORY / "driver.sh"

OURS = ("nodejs", "python", "static", "procfile")
"""In the order of detection, which is Heroku's: package.json counts before requirements.txt."""

_SHORTHAND = re.compile(r"(?:heroku/|towpath/|urn:buildpack:heroku/)([a-z]+)")
_HEROKUS = re.compile(r"https://github\.com/heroku/heroku-buildpack-(python|nodejs|static)(?:\.git)?")
_PROCESS = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_BUILDPACKS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildpack:
    """One buildpack: ours when `url` is empty. `version` changes whenever it may build something else."""

    name: str
    version: str
    url: str = ""

    @property
    def directory(self) -> Path:
        """Where ours lies."""
        return DIRECTORY / self.name.rpartition("/")[2]


async def resolve(names: Sequence[str], *, source: Source) -> tuple[Buildpack, ...]:
    """Return the buildpacks an app names, each with its version of this moment; nothing named means detection."""
    if len(names) > _MOST_BUILDPACKS:
        raise Refused(f"{len(names)} buildpacks are named; at most {_MOST_BUILDPACKS} can be used")
    return tuple([await _resolved(name.strip(), source) for name in names])


def candidates() -> tuple[Buildpack, ...]:
    """Return our own, in the order of detection."""
    return tuple(Buildpack(name=f"towpath/{name}", version=_own_version(name)) for name in OURS)


async def _resolved(name: str, source: Source) -> Buildpack:
    found = _SHORTHAND.fullmatch(name)
    if found and found[1] in OURS:
        return Buildpack(name=name, version=await asyncio.to_thread(_own_version, found[1]))
    if found or not name.startswith("https://"):
        raise Refused(
            f"the buildpack {name!r} is not known; use one of {', '.join(f'heroku/{own}' for own in OURS)}, "
            "or the https URL of a git repository"
        )
    # Heroku's own fetch from places only Heroku's stacks have; ours do their work under the same name.
    heroku = _HEROKUS.fullmatch(name)
    if heroku:
        return Buildpack(name=f"heroku/{heroku[1]}", version=await asyncio.to_thread(_own_version, heroku[1]))
    _check_url(name)
    return Buildpack(name=name, url=name.partition("#")[0], version=await foreign.resolve(name, git=source.git))


def _check_url(url: str) -> None:
    """Refuse at once what is no place in the public internet; that its name leads to one is seen when it is fetched."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise Refused(f"the buildpack's URL {url!r} cannot be understood") from None
    if parts.username or parts.password:
        raise Refused("a buildpack's URL must not contain a password")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise Refused(f"the buildpack's URL {url!r} holds characters that no URL has")
    try:
        public = is_public(host)
    except ValueError:
        # What ends in a number is an address in one of its older spellings, such as 127.1.
        number = re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2])
        public = "." in host and not number and not host.endswith((".localhost", ".local", ".internal"))
    if not public:
        raise Refused(f"the buildpack's host {host!r} is not a public name")


@functools.cache
def driver_version() -> str:
    """Digest what runs buildpacks, ours and others alike."""
    return hashlib.sha256(DRIVER.read_bytes()).hexdigest()[:16]


@functools.cache
def _own_version(name: str) -> str:
    """Digest everything that decides what our buildpack does."""
    digest = hashlib.sha256(DRIVER.read_bytes())
    for path in sorted((DIRECTORY / name).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"\0{path.relative_to(DIRECTORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def default_process_types(release: str) -> dict[str, str]:
    """Read `default_process_types` of a bin/release answer: the one part of YAML that buildpacks write."""
    types: dict[str, str] = {}
    inside = False
    for line in release.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            inside = line.rstrip() == "default_process_types:"
        elif inside:
            name, _, command = line.strip().partition(":")
            command = command.strip()
            if len(command) > 1 and command[0] == command[-1] and command[0] in "'\"":
                command = command[1:-1]
            if _PROCESS.fullmatch(name.strip("'\"")) and command.isprintable() and command:
                types[name.strip("'\"")] = command
    return types
