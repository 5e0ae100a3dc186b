"""What pushes with git: real clones with the real program, and what no git would send."""

import asyncio
import base64
import hashlib
import os
import signal
import struct
import subprocess
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.web.serving import Server

NOTHING = "0" * 40
TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.test",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.test",
    "GIT_ADVICE": "0",
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What git said and how it ended."""

    code: int
    text: str

    @property
    def remote(self) -> str:
        """What it shows as coming from the server."""
        lines = self.text.replace("\r", "\n").splitlines()
        return "\n".join(line.removeprefix("remote: ").rstrip() for line in lines if line.startswith("remote:"))


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A work tree on somebody's machine."""

    path: Path

    @classmethod
    async def new(cls, path: Path, url: str, files: Mapping[str, str] | None = None) -> "Clone":
        """A repository with one commit on `main`, and the remote `towpath`."""
        path.mkdir()
        made = cls(path=path)
        await made.git("init", "--quiet", "--initial-branch=main")
        await made.git("remote", "add", "towpath", url)
        await made.commit(files or {"Procfile": "web: ./serve\n"})
        return made

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        """git, on its way."""
        return await asyncio.create_subprocess_exec(
            *("git", "-C", str(self.path), *args),
            env=ENVIRONMENT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    async def says(self, *args: str) -> Said:
        """Run git to its end, well or not."""
        process = await self.start(*args)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        return Said(code=process.returncode or 0, text=out.decode())

    async def git(self, *args: str) -> str:
        """Run git, which has to end well."""
        said = await self.says(*args)
        assert said.code == 0, f"git {args}: {said.text}"
        return said.text.strip()

    async def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Commit files; returns the commit."""
        for name, content in files.items():
            (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        await self.git("add", "--all")
        await self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        return await self.head()

    async def head(self) -> str:
        """The commit that it is at."""
        return await self.git("rev-parse", "HEAD")


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill git with all that it started, unless it has ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def address(server: Server, app: str, token: str | None = None) -> str:
    """Where an app is pushed to, with a token as the password."""
    return server.url.replace("//", f"//anybody:{server.token if token is None else token}@") + f"/{app}.git"


def basic(server: Server) -> str:
    """How git says the token."""
    return "Basic " + base64.b64encode(f"anybody:{server.token}".encode()).decode()


async def worked(server: Server, process: asyncio.subprocess.Process, **how: Any) -> Said:
    """Do what a worker does for as long as git runs."""
    ended = asyncio.ensure_future(process.communicate())
    while not (await asyncio.wait({ended}, timeout=0.05))[0]:
        await server.work(**how)
    out, _ = ended.result()
    return Said(code=process.returncode or 0, text=out.decode())


def object_id(kind: str, content: bytes) -> str:
    """What git calls an object."""
    return hashlib.sha1(b"%b %d\0%b" % (kind.encode(), len(content), content), usedforsecurity=False).hexdigest()


def tree(*entries: tuple[str, str, str]) -> bytes:
    """A tree of (mode, name, object), in whatever order."""
    return b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(sha) for mode, name, sha in entries)


def commit(tree_id: str, *, parent: str = "") -> bytes:
    """A commit of a tree."""
    parents = f"parent {parent}\n" if parent else ""
    who = "A <a@example.test> 1700000000 +0000"
    return f"tree {tree_id}\n{parents}author {who}\ncommitter {who}\n\nchange\n".encode()


def _entry(kind: int, size: int, content: bytes) -> bytes:
    first, size = (kind << 4) | (size & 15), size >> 4
    head = bytearray()
    while size:
        head.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    head.append(first)
    return bytes(head) + content


def pack(*objects: tuple[str, bytes], raw: tuple[bytes, ...] = ()) -> bytes:
    """A pack of (kind, content), and of entries that say of themselves what they like."""
    entries = [_entry(TYPES[kind], len(content), zlib.compress(content)) for kind, content in objects]
    body = b"PACK" + struct.pack(">II", 2, len(entries) + len(raw)) + b"".join((*entries, *raw))
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def bomb(base: str, *, size: int) -> bytes:
    """A delta of a few bytes that says it makes an object of so many."""

    def number(value: int) -> bytes:
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        return bytes(out)

    delta = number(1) + number(size) + b"\x01a"
    return _entry(7, len(delta), bytes.fromhex(base) + zlib.compress(delta))


def line(content: bytes) -> bytes:
    """A line of git's protocol."""
    return b"%04x%b" % (len(content) + 4, content)


def asking(*changes: tuple[str, str, str], capabilities: str = "report-status side-band-64k") -> bytes:
    """What a push begins with: (before, after, ref) of each."""
    lines = [f"{before} {after} {ref}" for before, after, ref in changes]
    lines[0] += f"\0 {capabilities}"
    return b"".join(line(each.encode()) for each in lines) + b"0000"


def packs(at: Path) -> list[Path]:
    """What has been taken in of anything."""
    return [*at.glob("*.git/objects/pack/*.pack"), *at.glob("*.git/incoming-*")]


def make_tag(at: Path, name: str) -> None:
    """An annotated tag."""
    subprocess.run(["git", "-C", at, "tag", "-a", name, "-m", name], env=ENVIRONMENT, check=True)
