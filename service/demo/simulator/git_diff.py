"""What lies between and inside commits: changed files, trees and blobs."""

from service.demo.simulator.git_store import ZERO, Change, GitFailed, GitStore, TreeEntry

_STATUS = {"A": "added", "M": "modified", "D": "removed", "T": "changed"}
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


async def changes(git: GitStore, repository_id: int, before: str, after: str) -> list[Change]:
    """Files that differ between two commits."""
    base = _EMPTY_TREE if before == ZERO else before
    arguments = ("diff-tree", "-r", "-z", "--no-renames", "--raw", "--numstat", "--no-abbrev", base, after)
    fields = (await git.run(repository_id, *arguments)).decode(errors="replace").split("\0")
    raw: dict[str, tuple[str, str]] = {}
    found = []
    while len(fields) > 1:
        head = fields.pop(0)
        if head.startswith(":"):
            _, _, _, blob, letter = head[1:].split(" ")
            raw[fields.pop(0)] = (letter, blob)
            continue
        added, deleted, path = head.split("\t")
        letter, blob = raw[path]
        numbers = [0 if count == "-" else int(count) for count in (added, deleted)]
        found.append(
            Change(path=path, status=_STATUS.get(letter, "changed"), additions=numbers[0],
                   deletions=numbers[1], blob=blob)
        )  # fmt: skip
    return found


async def tree(git: GitStore, repository_id: int, treeish: str, *, recursive: bool) -> list[TreeEntry]:
    """The entries of a tree; recursive as GitHub shows it: with the trees themselves."""
    options = ["-r", "-t"] if recursive else []
    out = await git.run(repository_id, "ls-tree", "-z", "-l", *options, "--end-of-options", treeish)
    entries = []
    for line in filter(None, out.decode(errors="replace").split("\0")):
        meta, _, path = line.partition("\t")
        mode, kind, sha, size = meta.split()
        entries.append(TreeEntry(mode=mode, type=kind, sha=sha, size=None if size == "-" else int(size), path=path))
    return entries


async def entry(git: GitStore, repository_id: int, commit: str, path: str) -> TreeEntry | None:
    """The entry at one path of a commit."""
    out = await git.run(
        repository_id, "--literal-pathspecs", "ls-tree", "-z", "-l", "--end-of-options", commit, "--", path
    )
    line = out.decode(errors="replace").rstrip("\0")
    if not line:
        return None
    mode, kind, sha, size = line.partition("\t")[0].split()
    return TreeEntry(mode=mode, type=kind, sha=sha, size=None if size == "-" else int(size), path=path)


async def blob(git: GitStore, repository_id: int, sha: str) -> bytes:
    """A file's bytes."""
    return await git.run(repository_id, "cat-file", "blob", sha)


async def object_type(git: GitStore, repository_id: int, sha: str) -> str | None:
    """`commit`, `tree`, `blob` or `tag`; None if there is no such object."""
    try:
        return await git.text(repository_id, "cat-file", "-t", sha)
    except GitFailed:
        return None
