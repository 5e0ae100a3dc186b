"""The simulated GitHub's git side: bare repositories on disk and the plumbing that its rules need."""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

ZERO = "0" * 40
_SHA = re.compile(r"[0-9a-f]{40}")
_SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
_NOT_IN_REFS = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{")
_CONFIG = {
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    # GitHub serves any commit it still has by its sha, also after a forced push.
    "uploadpack.allowAnySHA1InWant": "true",
    "gc.auto": "0",
    "receive.autogc": "false",
}


class GitFailed(Exception):
    """A git command ended with an error; the text is git's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit as git tells it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    name: str
    email: str
    date: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file between two commits."""

    path: str
    status: str
    additions: int
    deletions: int
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One line of a git tree."""

    mode: str
    type: str
    sha: str
    size: int | None
    path: str


def environment(root: Path) -> dict[str, str]:
    """What git may see of this machine: no user's configuration, no prompts."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "GitHub",
        "GIT_AUTHOR_EMAIL": "noreply@github.com",
        "GIT_COMMITTER_NAME": "GitHub",
        "GIT_COMMITTER_EMAIL": "noreply@github.com",
    }


class GitStore:
    """Bare repositories under one directory, named by repository id so that a rename moves nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._commits: dict[str, Commit] = {}

    def path(self, repository_id: int) -> Path:
        """The bare repository's directory."""
        return self.root / f"{repository_id}.git"

    async def run(self, repository_id: int, *arguments: str, stdin: bytes = b"", **extra: str) -> bytes:
        """Run git in a repository; raises `GitFailed`."""
        process = await asyncio.create_subprocess_exec(
            "git", *arguments,
            cwd=self.path(repository_id),
            env=environment(self.root) | {"GIT_DIR": "."} | extra,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(stdin)
        if process.returncode:
            raise GitFailed(f"git {arguments[0]}: {err.decode(errors='replace').strip() or process.returncode}")
        return out

    async def text(self, repository_id: int, *arguments: str) -> str:
        """Run git and return what it printed."""
        return (await self.run(repository_id, *arguments)).decode(errors="replace").strip()

    async def create(self, repository_id: int, default_branch: str) -> None:
        """Make an empty repository."""
        path = self.path(repository_id)
        await asyncio.to_thread(path.mkdir, parents=True)
        await self.run(repository_id, "init", "-q", "--bare", f"--initial-branch={default_branch}", ".")
        lines = [f"[{key.split('.')[0]}]\n\t{key.split('.')[1]} = {value}\n" for key, value in _CONFIG.items()]
        config = path / "config"
        before = await asyncio.to_thread(config.read_text)
        await asyncio.to_thread(config.write_text, before + "".join(lines))

    async def refs(self, repository_id: int, prefix: str = "refs/") -> dict[str, str]:
        """All refs under a prefix with their shas."""
        out = await self.text(repository_id, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
        return {name: sha for name, _, sha in (line.partition(" ") for line in out.splitlines())}

    async def branches(self, repository_id: int) -> dict[str, str]:
        """Branch names with their heads."""
        refs = await self.refs(repository_id, "refs/heads/")
        return {name.removeprefix("refs/heads/"): sha for name, sha in refs.items()}

    async def resolve(self, repository_id: int, ref: str) -> str | None:
        """The commit a branch, tag, full ref or sha names, a sha by its beginning too; None if there is none."""
        if not ref or _NOT_IN_REFS.search(ref):
            return None
        name = ref.removeprefix("refs/")
        tries = [f"refs/{name}", f"refs/heads/{ref}", f"refs/tags/{ref}"]
        if _SHORT_SHA.fullmatch(ref):
            tries.append(ref)
        for name in [ref] if _SHA.fullmatch(ref) else tries:
            try:
                return await self.text(
                    repository_id, "rev-parse", "-q", "--verify", "--end-of-options", name + "^{commit}"
                )
            except GitFailed:
                continue
        return None

    async def commit(
        self,
        repository_id: int,
        *,
        branch: str,
        files: Mapping[str, str | bytes | None],
        message: str,
        author: str,
        when: datetime,
        parent: str | None,
        executable: frozenset[str] = frozenset(),
    ) -> str:
        """Commit files on top of `parent` (None value deletes one) and point the branch at it."""
        ident = f"{author} <{author}@users.noreply.github.com> {int(when.timestamp())} +0000".encode()
        text = message.encode()
        lines = [b"feature done", b"commit refs/heads/" + branch.encode(), b"author " + ident, b"committer " + ident]
        lines += [b"data %d\n%b" % (len(text), text)]
        lines += [b"from " + parent.encode()] if parent else []
        for path, content in files.items():
            if content is None:
                lines.append(b"D " + path.encode())
                continue
            data = content.encode() if isinstance(content, str) else content
            mode = b"100755" if path in executable else b"100644"
            lines += [b"M " + mode + b" inline " + path.encode(), b"data %d\n%b" % (len(data), data)]
        stream = b"\n".join([*lines, b"", b"done", b""])
        await self.run(repository_id, "fast-import", "--quiet", "--force", stdin=stream)
        sha = await self.resolve(repository_id, f"refs/heads/{branch}")
        if sha is None:
            raise GitFailed(f"fast-import left no branch {branch}")
        return sha

    async def merge(self, repository_id: int, *, base: str, head: str, message: str, when: datetime) -> str | None:
        """A real merge commit of `head` into `base`, not yet on any branch; None when they conflict."""
        try:
            out = await self.text(repository_id, "merge-tree", "--write-tree", base, head)
        except GitFailed:
            return None
        date = f"{int(when.timestamp())} +0000"
        commit = ["commit-tree", out.splitlines()[0], "-p", base, "-p", head, "-m", message]
        made = await self.run(repository_id, *commit, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
        return made.decode().strip()

    async def point(self, repository_id: int, ref: str, sha: str | None) -> None:
        """Set a full ref, or delete it with None."""
        await self.run(repository_id, "update-ref", *(["-d", ref] if sha is None else [ref, sha]))

    async def take(self, repository_id: int, *, source: int, refspec: str) -> None:
        """Fetch refs from another repository of this store."""
        await self.run(repository_id, "fetch", "-q", "--no-tags", str(self.path(source)), refspec)

    async def read(self, repository_id: int, sha: str) -> Commit:
        """One commit; immutable, so read once."""
        if sha not in self._commits:
            (self._commits[sha],) = await self.log(repository_id, "-1", sha)
        return self._commits[sha]

    async def log(self, repository_id: int, *arguments: str) -> list[Commit]:
        """Commits, newest first."""
        layout = "%H%x00%T%x00%P%x00%an%x00%ae%x00%cI%x00%B%x01"
        out = await self.text(repository_id, "log", f"--format={layout}", *arguments)
        commits = []
        for block in filter(None, (part.lstrip("\n") for part in out.split("\x01"))):
            sha, tree, parents, name, email, date, message = block.split("\x00")
            commits.append(
                Commit(sha=sha, tree=tree, parents=tuple(parents.split()), name=name, email=email,
                       date=date.replace("+00:00", "Z"), message=message.rstrip("\n"))
            )  # fmt: skip
        return commits

    async def merge_base(self, repository_id: int, one: str, other: str) -> str | None:
        """Where two commits last were the same."""
        try:
            return await self.text(repository_id, "merge-base", one, other)
        except GitFailed:
            return None
