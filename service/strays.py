"""Programs that a part of us has running, like git: whoever killed that part has not ended them.

They lead sessions of their own and may wait for a server for ever. Each is marked with the part that it belongs to, and
so is all that it starts.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

_MARK: Final = "TOWPATH_PROGRAM_OF"


def mark() -> dict[str, str]:
    """What is added to the environment of a program that this process starts."""
    return {_MARK: str(os.getpid())}


def end(pid: int) -> None:
    """End what a process that is no more had running."""
    wanted = f"{_MARK}={pid}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
