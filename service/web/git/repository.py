"""The repository of an app that is pushed to: its objects, and refs that follow what the database says.

What is pushed is taken in beside it, checked there as a whole, and only then moved in: whatever happens before leaves
nothing. Every commit that came in is held by a ref of its own until it is built or its push is over.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.domain.errors import Refused, Transient
from service.domain.model import NO_SHA, AppId, Sha
from service.domain.pushing import RefChange
from service.web.git import program
from service.web.git.room import Room, too_long

_HELD: Final = "refs/pushed/"
INCOMING: Final = "incoming-"
_SETTLE_SECONDS: Final = 900.0
_PACKS: Final = 20
"""How many packs there may be before they are made into one."""
_SOON: Final = 0.1
_PATIENCE_SECONDS: Final = 5.0
"""How long a push waits in silence for the repository to be tidied; making one pack of many may take minutes."""
# Old histories of honest projects have these.
_FORGIVEN: Final = "badTimezone=ignore,missingSpaceBeforeDate=ignore,zeroPaddedFilemode=ignore"
_ORDER: Final = (".pack", ".rev", ".idx")
"""A pack is found by its index, which comes last."""


class BadPack(Refused):
    """The objects that were pushed are not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Of one app, below `root`; a push may bring at most `most` bytes. `who` has git work here takes of `room`."""

    root: Path
    app_id: AppId
    most: int
    room: Room
    who: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.root / f"{self.app_id}.git"

    async def ready(self) -> None:
        """Make it, unless it is there."""
        if await asyncio.to_thread((self.path / "HEAD").exists):
            return
        await asyncio.to_thread(self.root.mkdir, mode=0o700, parents=True, exist_ok=True)
        new = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".new-", dir=self.root))
        try:
            done = await program.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", at=new)
            if done.code:
                raise Transient(f"no repository could be made: {done.cause}")
            with suppress(OSError):  # another was quicker
                await asyncio.to_thread(new.rename, self.path)
        finally:
            await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)

    async def refs(self) -> dict[str, Sha]:
        """The branches and tags that are there."""
        listed = await self._git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/", "refs/tags/")
        lines = (each.partition(" ") for each in listed.out.decode(errors="surrogateescape").splitlines())
        return {ref: Sha(sha) for sha, _, ref in lines}

    async def follow(self, heads: Mapping[str, Sha]) -> dict[str, Sha]:
        """Bring the branches to what the database says and return all refs; `heads` ends with the newest.

        What is not here any more, in a repository that was lost, is not shown.
        """
        await self.ready()
        refs, newest = await self.refs(), list(heads)[-1:]
        for branch, sha in heads.items():
            if refs.get(f"refs/heads/{branch}") != sha:
                done = await program.run("update-ref", f"refs/heads/{branch}", sha, at=self.path)
                if done.code == 0:
                    refs[f"refs/heads/{branch}"] = sha
                else:
                    refs.pop(f"refs/heads/{branch}", None)
            if branch in newest and await asyncio.to_thread((self.path / "HEAD").read_text) != _head(branch):
                await self._git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        return dict(sorted(refs.items()))

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator["Incoming"]:
        """Take a push in, beside what is there; on leaving nothing is left of what was not kept."""
        await self.ready()
        async with self.busy(), _lock(self.path, fcntl.LOCK_SH):
            directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=INCOMING, dir=self.path))
            try:
                yield Incoming(repository=self, directory=directory)
            finally:
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True))

    def busy(self) -> AbstractAsyncContextManager[None]:
        """While git works hard for somebody; raises `Transient` when it does for too many."""
        return self.room.place(self.who)

    async def tidy(self, wanted: Callable[[AppId], Awaitable[Collection[str]]]) -> None:
        """Let go of commits that nobody wants, and of what killed processes left; not while a push comes in."""
        with suppress(BlockingIOError, FileNotFoundError):
            async with _lock(self.path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                for left in await asyncio.to_thread(lambda: list(self.path.glob(f"{INCOMING}*"))):
                    await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)
                held = await self._git("for-each-ref", "--format=%(refname)", _HELD)
                kept = await wanted(self.app_id)
                over = [ref for ref in held.out.decode().split() if ref.removeprefix(_HELD) not in kept]
                if over:
                    await self._git("update-ref", "--stdin", stdin="".join(f"delete {ref}\n" for ref in over).encode())
                if len(await asyncio.to_thread(lambda: list(self.path.glob("objects/pack/*.pack")))) > _PACKS:
                    await self._git("repack", "-a", "-d", "-q", seconds=_SETTLE_SECONDS)

    async def _git(self, *args: str, stdin: bytes = b"", seconds: float = 60.0) -> program.Done:
        done = await program.run(*args, at=self.path, stdin=stdin, seconds=seconds)
        if done.code:
            raise Transient(f"the repository could not be used: {done.cause}")
        return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """The objects of one push, where nothing else sees them."""

    repository: Repository
    directory: Path

    @property
    def _env(self) -> dict[str, str]:
        return {
            "GIT_OBJECT_DIRECTORY": str(self.directory),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.repository.path / "objects"),
            "GIT_QUARANTINE_PATH": str(self.directory),
        }

    async def take(
        self, chunks: AsyncIterator[bytes], then: Callable[[Awaitable[str]], Awaitable[str]], *, until: float
    ) -> None:
        """Feed git a pack as it comes: every object is looked at, and nothing odd passes; raises `BadPack`.

        It has to come `until` that time of the loop. Once all of it has, `then` waits for what git says in the end.
        """
        (self.directory / "pack").mkdir()
        limit = f"--max-input-size={self.repository.most}"
        args = ("index-pack", "--stdin", "--fix-thin", f"--strict={_FORGIVEN}", limit)
        async with program.running(*args, at=self.repository.path, env=self._env) as process:
            # Read from the beginning: git stands still when nobody hears its complaints.
            complaint = asyncio.create_task(program.complaint(process))
            try:
                await _fed(chunks, process, until)
                said = await then(_ended(process, complaint))
            finally:
                complaint.cancel()
        if process.returncode:
            raise BadPack(_why(said, self.repository.most))

    async def check(self, changes: Iterable[RefChange]) -> None:
        """Make sure that all that is pushed is here, and that branches are at commits; raises `BadPack`."""
        wanted = [each for each in changes if not each.deletes]
        for each in wanted:
            if each.branch:
                kind = await program.run("cat-file", "-t", each.after, at=self.repository.path, env=self._env)
                if kind.out.strip() not in {b"commit", b""}:
                    raise BadPack(f"{each.branch} is to be at a {kind.out.strip().decode()}, which is no commit")
        listed = "".join(f"{each.after}\n" for each in wanted)
        args = ("rev-list", "--objects", "--quiet", "--stdin", "--not", "--all")
        done = await program.run(
            *args, at=self.repository.path, env=self._env, stdin=listed.encode(), seconds=_SETTLE_SECONDS
        )
        if done.code:
            raise BadPack("objects are missing from what was pushed")

    async def keep(self, changes: Iterable[RefChange]) -> None:
        """Make the objects part of the repository, its tags and the commits held at once."""
        await asyncio.to_thread(self._move)
        wanted = "".join(_updates(changes))
        done = await program.run("update-ref", "--stdin", "-z", at=self.repository.path, stdin=_raw(wanted))
        if done.code:
            raise BadPack(f"a tag cannot be set: {done.cause}")

    def _move(self) -> None:
        place = self.repository.path / "objects/pack"
        place.mkdir(parents=True, exist_ok=True)
        found = [each for each in (self.directory / "pack").glob("pack-*") if each.suffix in _ORDER]
        for file in sorted(found, key=lambda each: _ORDER.index(each.suffix)):
            if not (place / file.name).exists():
                file.rename(place / file.name)


async def _fed(chunks: AsyncIterator[bytes], process: asyncio.subprocess.Process, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await program.feed(chunks, process)
    except TimeoutError:
        raise BadPack(
            f"{too_long('send')}. Over a slow line, push a part of the history first (git push REMOTE COMMIT:main)"
        ) from None


async def _ended(process: asyncio.subprocess.Process, complaint: asyncio.Task[str]) -> str:
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            said = await complaint
            await process.wait()
    except TimeoutError:
        raise BadPack("the objects take too long to unpack") from None
    return said


def _head(branch: str) -> str:
    return f"ref: refs/heads/{branch}\n"


def _updates(changes: Iterable[RefChange]) -> Iterable[str]:
    for each in changes:
        if each.branch:
            yield f"update {_HELD}{each.after}\0{each.after}\0\0"
        elif each.deletes:
            yield f"delete {each.ref}\0{each.before if each.before != NO_SHA else ''}\0"
        else:
            yield f"update {each.ref}\0{each.after}\0{each.before}\0"


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _why(said: str, most: int) -> str:
    """Why a pack is not taken, in words that help."""
    text = said.lower()
    if "exceeds maximum allowed size" in text:
        return (
            f"it is larger than {most >> 20} MB, which is the most that is taken at once. What an app does not run, "
            "like data and builds, does not belong in its history; an administrator can allow more by "
            "TOWPATH_PUSH_LIMIT_MB"
        )
    if "no space left" in text or "disk quota" in text:
        return "the disk of the server is full"
    if "over limit" in text:
        return "it has an object that is too large to be unpacked"
    lines = (each.strip() for each in said.splitlines())
    first = next((each for each in lines if each and not each.startswith("warning:")), "git ended without a word")
    return first.removeprefix("fatal: ").removeprefix("error: ")


@asynccontextmanager
async def _lock(path: Path, how: int) -> AsyncIterator[None]:
    """Hold the repository with others (`LOCK_SH`) or alone; the kernel lets go when a holder is killed.

    Raises `Transient` when somebody else holds it for long; with `LOCK_NB`, `BlockingIOError` at once.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE_SECONDS
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if how & fcntl.LOCK_NB:
                    raise
            if loop.time() >= until:
                raise Transient("the app's repository is being tidied, which takes a minute or a few", retry_after=60.0)
            await asyncio.sleep(_SOON)
        yield
    finally:
        os.close(descriptor)
