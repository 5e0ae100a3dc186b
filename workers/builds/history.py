"""What a mirror tells of the history of commits; what authors wrote becomes one line that steers no terminal."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from service.domain.errors import Transient
from service.domain.facts import CommitsApart, ListedCommit
from service.domain.model import Sha, Trust
from workers.builds.processes import Finished
from workers.builds.source import Source

LISTED: Final = 100
"""How many commits are listed, at most; all are counted."""
_LONGEST: Final = 200
_FIELDS: Final = "%H%n%an%n%at%n%s"
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


async def has(source: Source, repository_id: int, sha: Sha) -> bool:
    """Whether the mirror of what our own branches reach holds the commit, with all before it."""
    mirror = source.mirror(repository_id, Trust.OWN)
    if not await asyncio.to_thread(mirror.exists):
        return False
    done = await source.git("cat-file", "-e", f"{sha}^{{commit}}", at=mirror)
    return not done.code


async def apart(source: Source, repository_id: int, *, base: Sha, head: Sha) -> CommitsApart:
    """How two commits that the mirror has stand to each other."""
    mirror = source.mirror(repository_id, Trust.OWN)
    counted = await source.git("rev-list", "--left-right", "--count", f"{base}...{head}", "--", at=mirror)
    behind, ahead = _read(counted, "counted").split()
    common = await source.git("merge-base", base, head, at=mirror)
    if common.code > 1:  # 1 says that there is none
        raise Transient(f"the commits could not be compared: {common.cause}")
    return CommitsApart(
        ahead=int(ahead),
        behind=int(behind),
        ahead_commits=await _listed(source, repository_id, base, head),
        behind_commits=await _listed(source, repository_id, head, base),
        related=common.code == 0,
    )


async def _listed(source: Source, repository_id: int, without: Sha, of: Sha) -> tuple[ListedCommit, ...]:
    mirror = source.mirror(repository_id, Trust.OWN)
    done = await source.git(
        *("log", "-z", f"--max-count={LISTED}", f"--format={_FIELDS}", "--no-show-signature", f"{without}..{of}", "--"),
        at=mirror,
    )
    entries = filter(None, _read(done, "listed").split("\0"))
    return tuple(_commit(*entry.split("\n", 3)) for entry in entries)


def _commit(sha: str, author: str, at: str, subject: str) -> ListedCommit:
    return ListedCommit(sha=Sha(sha), author=_line(author), at=_moment(at), subject=_line(subject))


def _moment(seconds: str) -> datetime:
    """When a commit was made, as its author says, who may say anything."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH


def _line(text: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _read(done: Finished, what: str) -> str:
    if done.code:
        raise Transient(f"the commits could not be {what}: {done.cause}")
    return done.stdout.decode(errors="replace")
