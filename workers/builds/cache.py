"""Build caches, taken and given back by renaming: no locks, no owner to forget, nothing half-written to be found.

A build moves a cache directory into its own work directory, so nobody else can see it; one that fails to give it back
(killed, timed out) only costs the next build its head start. Builds of one key at the same time each have their own.
"""

import asyncio
import hashlib
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from service.domain.model import Trust
from workers.builds.processes import delete_tree

_KEPT = 2
_LEFT_OVER = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStore:
    """The caches under `data`, by trust and key; those of `fork` are never given to `own` and vice versa."""

    data: Path

    async def take(self, key: str, *, trust: Trust, to: Path) -> None:
        """Move the newest cache to `to`, or make an empty one there."""
        await asyncio.to_thread(_take, self._shelf(key, trust), to)

    async def give_back(self, key: str, cache: Path, *, trust: Trust, alone: bool = False) -> None:
        """Put a cache where the next build finds it, and delete those beyond the newest few, or all others."""
        await asyncio.to_thread(_give_back, self._shelf(key, trust), cache, 1 if alone else _KEPT)

    async def tidy(self, *, unused: timedelta) -> None:
        """Delete the caches that no build gave back for so long, and what killed processes left half-deleted."""
        for trust in Trust:
            await asyncio.to_thread(_tidy, self.data / "caches" / trust.value, unused.total_seconds())

    def _shelf(self, key: str, trust: Trust) -> Path:
        # Keys may be made of names; their digest is always a good file name.
        return self.data / "caches" / trust.value / hashlib.sha256(key.encode()).hexdigest()[:32]


def _newest_first(shelf: Path) -> list[Path]:
    """List by name, which starts with a growing serial number of one width."""
    return sorted(shelf.glob("[0-9]*"), reverse=True)


def _take(shelf: Path, to: Path) -> None:
    for cache in _newest_first(shelf):
        try:
            cache.rename(to)
        except FileNotFoundError:
            continue  # another build was faster
        return
    to.mkdir(parents=True)


def _give_back(shelf: Path, cache: Path, kept: int) -> None:
    shelf.mkdir(parents=True, exist_ok=True)
    newest = _newest_first(shelf)
    serial = int(newest[0].name.partition("-")[0]) + 1 if newest else 1
    with suppress(FileNotFoundError):  # thrown away as untrustworthy, or given back before a kill
        cache.chmod(0o755)  # a folder that a build closed can be moved by nobody but root
        cache.rename(shelf / f"{serial:012d}-{secrets.token_hex(4)}")
    for old in _newest_first(shelf)[kept:]:
        _discard(old)


def _discard(cache: Path) -> None:
    """Delete in a way that never lets a build find a half of it."""
    gone = cache.with_name(f".gone-{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):  # another build has just taken it
        cache.rename(gone)
        delete_tree(gone)


def _tidy(shelves: Path, unused: float) -> None:
    for left in shelves.glob("*/.gone-*"):
        if _age(left) > _LEFT_OVER:
            delete_tree(left)
    for cache in shelves.glob("*/[0-9]*"):
        if _age(cache) > unused:
            _discard(cache)
    for shelf in shelves.glob("*"):
        with suppress(OSError):  # in use
            shelf.rmdir()


def _age(path: Path) -> float:
    """Return the seconds since it was put there: renaming a directory changes that time and nothing else does."""
    try:
        return time.time() - path.lstat().st_ctime
    except FileNotFoundError:
        return 0.0
