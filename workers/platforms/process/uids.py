"""Host uids of sandboxes: a pair for each app or command, so that no two of them can touch one another.

The even one is the app's, the odd one its shim's and egress's. Pairs are remembered until their owner is gone.
"""

import errno
import zlib
from pathlib import Path

from workers.platforms.process import files

_FIRST, _PER_INSTALLATION, _INSTALLATIONS = 700_000, 8192, 128


class Uids:
    """The pairs of one installation; `path` survives the runner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Two installations on one machine rarely share a block; the block follows from where the data is.
        self._first = _FIRST + zlib.crc32(str(path.parent).encode()) % _INSTALLATIONS * _PER_INSTALLATION
        self._taken: dict[str, int] = files.read_json(path) or {}

    def take(self, owner: str) -> int:
        """The app's uid of `owner`, the same as long as it is not released; `OSError` when there is none left."""
        if owner not in self._taken:
            used = set(self._taken.values())
            free = range(self._first, self._first + _PER_INSTALLATION, 2)
            uid = next((uid for uid in free if uid not in used), None)
            if uid is None:
                raise OSError(errno.EUSERS, f"all {len(free)} pairs of uids of this installation are taken")
            self._taken[owner] = uid
            files.write_json(self._path, self._taken)
        return self._taken[owner]

    def release(self, owner: str) -> None:
        """Let the pair be used again; nothing of the owner may be left by then."""
        if self._taken.pop(owner, None) is not None:
            files.write_json(self._path, self._taken)
