"""Commits of a repository: fetched by sha into a bare mirror, read and exported without trusting a word in them.

Every repository has two mirrors, by its numeric id: one for what its own branches reach and a quarantine for objects
of forks. GitHub serves fork objects from the base repository's URL too, so having an object proves nothing: `own` is
what `is_reachable` from a branch head read at that time.

What is pushed to an app itself lies in a repository that the web process fills. Of that one only the objects are used,
lent to a mirror of our own: nothing in its settings or hooks has a say here.
"""

import asyncio
import os
import re
import tempfile
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from service.domain.errors import Refused, Transient
from service.domain.model import NO_REPOSITORY, Sha, Trust
from service.store.redaction import Redactor
from workers.builds import archive
from workers.builds.files import MANIFEST_LIMIT, as_text, check_size
from workers.builds.git import Git
from workers.builds.locks import exclusive
from workers.builds.processes import Finished, delete_tree
from workers.builds.pushes import Pushes

log = structlog.get_logger()

SOURCE_LIMIT = 2 * 1024**3

_SUFFIXES = {Trust.OWN: "", Trust.FORK: "-forks", Trust.SENT: "-sent"}
_BRANCHES = "refs/towpath-branches/"
SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MISSING = ("not our ref", "couldn't find remote ref", "no such remote ref", "unadvertised object")
_MOVED = ("returned error: 301", "returned error: 302", "returned error: 307", "returned error: 308")
_DENIED = ("authentication failed", "could not read username", "' not found", "returned error: 403")
_NO_PATH = ("invalid path", "invalid subdirectory", "corrupt mode", "empty path component")
_DAMAGED = ("is corrupt", "is empty", "inflate:", "unable to read", "packfile", "does not match index")
_CORRUPT = (*_DAMAGED, "not a git repository", "bad object", "bad tree", "bad config", "unable to parse")


Origin = int | str
"""Where commits come from: a repository by its number, or the app that they are pushed to by its id."""


class Moved(Transient):
    """The remote leads to another address. It is not followed there: GitHub's API says where the repository is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a repository is fetched from, and as whom."""

    repository_id: int
    url: str
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The mirrors under `data`, and what is pushed to apps, which lies there too unless `pushes_dir` is given."""

    data: Path
    pushes_dir: Path | None = None
    git: Git = field(default_factory=Git)
    fetch_seconds: float = 600.0
    frozen_after: float = 30.0

    @property
    def pushes(self) -> Pushes:
        """The repositories of apps that are pushed to."""
        return Pushes(directory=self.pushes_dir or self.data / "pushes")

    def mirror(self, repository_id: Origin, trust: Trust) -> Path:
        """Where the objects of that trust are."""
        name = f"app-{uuid.UUID(repository_id)}" if isinstance(repository_id, str) else f"{repository_id:d}"
        return self.data / "mirrors" / f"{name}{_SUFFIXES[trust]}.git"

    def _alone(self, mirror: Path) -> AbstractAsyncContextManager[None]:
        """Be the only one who changes a mirror.

        A worker that stands still in the middle keeps nobody from building: git itself bears two at a time, and what a
        mirror lacks or has lost is fetched again.
        """
        return exclusive(mirror.with_suffix(".lock"), frozen_after=self.frozen_after)

    async def fetch(self, remote: Remote, sha: Sha, *, trust: Trust, pull: int | None = None) -> None:
        """Have the commit `sha`; `pull` names a pull request whose head it may be, where a server hides shas.

        Raises `Refused` when the remote does not have it or denies access, `Moved` when it is somewhere else by now,
        `Transient` when it cannot be reached.
        """
        mirror = self.mirror(remote.repository_id, _checked(sha, trust))
        async with self._alone(mirror):
            if await self._has(mirror, sha):
                return
            done = await self._fetched(mirror, remote, f"+{sha}:refs/towpath/{sha}")
            if done.code and _says(done, _MISSING) and pull is not None:
                done = await self._fetched_head(mirror, remote, sha, pull)
            _raise_for(done, remote, f"commit {sha[:7]}")
            if not await self._has(mirror, sha):
                raise Refused(f"{sha[:7]} is not a commit of the repository", code="not_found")
        log.info("commit fetched", repository=remote.repository_id, sha=sha, trust=trust.value)

    async def take_in(self, stream: Path) -> Sha:
        """Have the commit that a stream for `git fast-import` makes, and whose id it ends with asking for.

        It belongs to no repository and is found by its id alone, whichever app it is for. Raises `Refused` when git
        does not take what is in it.
        """
        mirror = self.mirror(NO_REPOSITORY, Trust.SENT)
        # Compressed it was already, and it is read once.
        quick = ("-c", "core.compression=0", "fast-import", "--quiet", "--force", "--done", "--depth=0")
        async with self._alone(mirror):
            await self._ready(mirror)
            with await asyncio.to_thread(stream.open, "rb") as file:
                done = await self.git(*quick, at=mirror, stdin=file, seconds=self.fetch_seconds)
            await asyncio.to_thread(os.utime, mirror)  # so `keep` sees that it is needed
        if done.code and _says(done, _NO_PATH):
            raise Refused(f"the source cannot be built: {done.cause.removeprefix('fatal: ')}")
        if done.code:
            raise Transient(f"the source could not be taken in: {done.cause}")
        sha = Sha(done.stdout.decode().strip())
        _checked(sha, Trust.SENT)
        return sha

    async def fetch_branches(self, remote: Remote) -> list[Sha]:
        """Have every branch as it stands now and return their heads. Raises as `fetch` does."""
        mirror = self.mirror(remote.repository_id, Trust.OWN)
        async with self._alone(mirror):
            done = await self._fetched(mirror, remote, f"+refs/heads/*:{_BRANCHES}*", "--prune")
            _raise_for(done, remote, "the branches")
            listed = await self.git("for-each-ref", "--format=%(objectname)", _BRANCHES, at=mirror)
        return list(dict.fromkeys(map(Sha, listed.stdout.decode().split())))

    async def is_reachable(self, repository_id: int, sha: Sha, heads: Iterable[Sha]) -> bool:
        """Whether one of the branch `heads`, fetched before as own, contains `sha`."""
        mirror = self.mirror(repository_id, _checked(sha, Trust.OWN))
        known = [head for head in heads if SHA.fullmatch(head)]
        wanted = "\n".join((sha, *(f"^{head}" for head in known)))
        # Lists what `sha` has beyond the heads: nothing when one of them contains it.
        done = await self.git("rev-list", "--max-count=1", "--stdin", at=mirror, stdin=wanted.encode())
        if done.code and sha in done.stderr:
            return False  # not even there
        if done.code:
            raise Transient(f"the branches of the repository could not be compared: {done.cause}")
        return bool(known) and not done.stdout.strip()

    async def have_pushed(self, app_id: str, sha: Sha, *, trust: Trust) -> None:
        """Have the commit that was pushed to an app; `Refused` when it is not kept any more."""
        mirror = self.mirror(app_id, _checked(sha, trust))
        async with self._alone(mirror):
            await self._ready(mirror)
            await asyncio.to_thread(_borrow, mirror, self.pushes.of(app_id))
            done = await self.git("cat-file", "-e", f"{sha}^{{commit}}", at=mirror)
        if done.code:
            raise Refused(f"{sha[:7]} was pushed and is not here any more: push it again", code="not_found")

    async def keep(self, repository_ids: Collection[Origin], *, listed_at: float) -> list[str]:
        """Delete the mirrors of all other repositories; returns their names. Who still builds fetches anew.

        What was taken in is nowhere else: what has changed since `listed_at`, in seconds since the epoch, stays.
        """
        kept = {self.mirror(number, trust).name for number in repository_ids for trust in Trust}
        others = [mirror for mirror in (self.data / "mirrors").glob("*.git") if mirror.name not in kept]
        deleted = []
        for mirror in others:
            async with self._alone(mirror):
                if await asyncio.to_thread(_delete_older, mirror, listed_at):
                    deleted.append(mirror.name)
        return deleted

    async def tree_of(self, repository_id: Origin, sha: Sha, *, trust: Trust, root: str = "") -> str:
        """Name the content of the root directory at that commit: equal trees hold equal files."""
        mirror = self.mirror(repository_id, _checked(sha, trust))
        root = _root(root)
        if not root:
            done = await self.git("rev-parse", "--verify", "--end-of-options", f"{sha}^{{tree}}", at=mirror)
        else:
            done = await self.git("ls-tree", "-z", "--full-tree", sha, "--", root, at=mirror)
        await self._require(done, mirror, sha)
        fields = done.stdout.partition(b"\t")[0].split()
        if root and (len(fields) != 3 or fields[1] != b"tree"):
            raise Refused(f"the root directory {root} is not a directory at {sha[:7]}")
        return fields[-1].decode()

    async def read_file(
        self, repository_id: Origin, sha: Sha, path: str, *, trust: Trust, limit: int = MANIFEST_LIMIT
    ) -> str | None:
        """Return the text of a regular file of the commit, None if there is none; anything odd is `Refused`."""
        mirror = self.mirror(repository_id, _checked(sha, trust))
        done = await self.git("ls-tree", "-z", "-l", "--full-tree", sha, "--", _root(path), at=mirror)
        await self._require(done, mirror, sha)
        if not done.stdout:
            return None
        mode, kind, blob, size = done.stdout.partition(b"\t")[0].decode().split()
        if mode == "120000":
            raise Refused(f"{path} is a symbolic link; it must be a file of its own")
        if kind != "blob":
            raise Refused(f"{path} is not a file")
        check_size(path, int(size), limit)
        content = await self.git("cat-file", "blob", blob, at=mirror)
        await self._require(content, mirror, sha)
        return as_text(path, content.stdout)

    async def export(self, repository_id: Origin, sha: Sha, dest: Path, *, trust: Trust, root: str = "") -> None:
        """Write the files of the root directory at that commit into the new directory `dest`."""
        tree = await self.tree_of(repository_id, sha, trust=trust, root=root)
        mirror = self.mirror(repository_id, trust)
        with tempfile.NamedTemporaryFile(dir=dest.parent, suffix=".tar") as tar:
            done = await self.git("archive", "--format=tar", tree, at=mirror, stdout=tar, seconds=300)
            await self._require(done, mirror, sha)
            await archive.unpack(Path(tar.name), dest, max_bytes=SOURCE_LIMIT)

    async def _has(self, mirror: Path, sha: str) -> bool:
        if not await asyncio.to_thread(mirror.exists):
            return False
        done = await self.git("rev-parse", "--quiet", "--verify", f"refs/towpath/{sha}^{{commit}}", at=mirror)
        return not done.code

    async def _fetched_head(self, mirror: Path, remote: Remote, sha: Sha, pull: int) -> Finished:
        """Fetch the head of a pull request, and name it by its sha if it is the one wanted."""
        head = f"refs/towpath/pull-{int(pull)}"
        done = await self._fetched(mirror, remote, f"+refs/pull/{int(pull)}/head:{head}")
        if done.code:
            return done
        found = await self.git("rev-parse", "--verify", head, at=mirror)
        if found.stdout.decode().strip() != sha:
            raise Refused(f"{sha[:7]} is not the head of pull request #{pull} any more", code="not_found")
        return await self.git("update-ref", f"refs/towpath/{sha}", sha, at=mirror)

    async def _fetched(self, mirror: Path, remote: Remote, refspec: str, *options: str) -> Finished:
        """Fetch one refspec; a mirror that turns out damaged is thrown away and begun anew, once."""
        await self._ready(mirror)
        done = await self._fetch_once(mirror, remote, refspec, options)
        if done.code and _says(done, _CORRUPT) and not _says(done, _DENIED):
            log.warning("mirror damaged, fetched anew", mirror=mirror.name, cause=done.cause)
            await asyncio.to_thread(delete_tree, mirror)
            await self._ready(mirror)
            done = await self._fetch_once(mirror, remote, refspec, options)
        return done

    async def _fetch_once(self, mirror: Path, remote: Remote, refspec: str, options: Sequence[str]) -> Finished:
        done = await self.git(
            *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
            *(*options, "--end-of-options", remote.url, refspec),
            at=mirror,
            url=remote.url,
            token=remote.token,
            seconds=self.fetch_seconds,
        )
        # A server may say what it was sent.
        return replace(done, stderr=Redactor((remote.token,)).redact(done.stderr))

    async def _ready(self, mirror: Path) -> None:
        if (mirror / "info/attributes").exists():
            await asyncio.to_thread(_remove_leftovers, mirror)
            return
        await asyncio.to_thread(delete_tree, mirror)
        await asyncio.to_thread(_new_mirror, mirror)
        done = await self.git("init", "--quiet", "--bare", "--template=", at=mirror)
        if done.code:
            raise Transient(f"no mirror could be made: {done.cause}")
        await asyncio.to_thread(_deploy_everything, mirror)

    async def _require(self, done: Finished, mirror: Path, sha: Sha) -> None:
        """Raise `Transient` unless git could read; a damaged mirror is put away, so that the next fetch is whole."""
        if not done.code:
            return
        if _says(done, _DAMAGED):
            async with self._alone(mirror):
                await asyncio.to_thread(delete_tree, mirror)
            log.warning("mirror damaged, put away", mirror=mirror.name, cause=done.cause)
        raise Transient(f"commit {sha[:7]} could not be read: {done.cause}")


def _checked(sha: str, trust: Trust) -> Trust:
    if not SHA.fullmatch(sha):
        raise Refused(f"{sha[:60]!r} is not a full commit id")
    return trust


def _root(root: str) -> str:
    root = root.strip("/")
    if ".." in root.split("/") or "\0" in root:
        raise Refused(f"the path {root!r} lies outside of the repository")
    return root


def _new_mirror(mirror: Path) -> None:
    mirror.mkdir(parents=True, mode=0o700)


def _deploy_everything(mirror: Path) -> None:
    # `git archive` leaves out `export-ignore`d files; a deployed tree is the whole tree, as in a checkout.
    info = mirror / "info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text("* -export-ignore -export-subst\n")


def _borrow(mirror: Path, pushed: Path) -> None:
    (mirror / "objects/info").mkdir(exist_ok=True)
    (mirror / "objects/info/alternates").write_text(f"{pushed.absolute()}/objects\n")


def _delete_older(mirror: Path, moment: float) -> bool:
    if older := mirror.exists() and mirror.stat().st_mtime < moment:
        delete_tree(mirror)
    return older


def _remove_leftovers(mirror: Path) -> None:
    """Delete what a killed git left in the way or as half a pack: whoever holds our own lock is alone at work."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*"):
        for left in mirror.glob(pattern):
            left.unlink(missing_ok=True)


def _says(done: Finished, signs: Sequence[str]) -> bool:
    text = done.stderr.lower()
    return any(sign in text for sign in signs)


def _raise_for(done: Finished, remote: Remote, wanted: str) -> None:
    if not done.code:
        return
    if _says(done, _MISSING):
        raise Refused(f"{wanted} is not in the repository (any more)", code="not_found")
    if _says(done, _DENIED):
        raise Refused("the repository cannot be read; check that Towpath still has access to it", code="forbidden")
    if _says(done, _MOVED):
        raise Moved(f"the repository has another address than {remote.url} by now")
    raise Transient(f"the repository could not be fetched: {done.cause}")
