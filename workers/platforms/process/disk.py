"""How much of the disk a command takes. Its limits on single files do not bound how many files there are."""

import asyncio
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_BLOCK = 4096  # an empty file takes room too: of the inodes, which run out as well
_PAUSE = 0.5
_SHARE = 20.0  # at most this part of the time is spent on looking


async def exceeded(places: Sequence[Path], *, most: int) -> None:
    """Return when what lies in `places` takes more than `most` bytes, at 4 KiB for each file at least."""
    pause = _PAUSE
    while True:
        await asyncio.sleep(pause)
        begun = time.monotonic()
        if await asyncio.to_thread(taken, places) > most:
            return
        pause = max(_PAUSE, _SHARE * (time.monotonic() - begun))


def taken(places: Sequence[Path]) -> int:
    """Bytes in `places`, which code of others changes meanwhile: by the program, which follows no link at any depth."""
    return max(_total(places, "--block-size=1"), _BLOCK * _total(places, "--inodes"))


def _total(places: Sequence[Path], unit: str) -> int:
    argv = ["du", "--summarize", "--total", "--one-file-system", unit, "--", *map(str, places)]
    # What is deleted while it looks makes it complain, not stop.
    done = subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    total = done.stdout.splitlines()[-1:]
    return int(total[0].split()[0]) if total else 0
