"""Ending everything of an installation without a runner: what `towpath up` does last."""

import asyncio
import zlib
from pathlib import Path

from workers.platforms.process import cgroups, files
from workers.platforms.process.cgroups import Cgroups
from workers.platforms.process.host import Paths, forget_other_boots
from workers.platforms.process.keeper import Keeper


def label(data: Path) -> str:
    """What the installation's cgroups are called."""
    return f"towpath-{zlib.crc32(str(data.absolute()).encode()):08x}"


async def stop_all(data: Path, *, seconds: float = 4.0) -> None:
    """End every instance and command; the runner must have ended before, or it starts them again.

    What is wanted stays on disk: the next runner brings it back. Leaves no process, mount, namespace or cgroup.
    """
    paths = Paths(data=data)
    await asyncio.to_thread(forget_other_boots, paths)
    groups = await asyncio.to_thread(cgroups.find_again, label(data), paths.groups)
    instances, commands = (list(path.iterdir()) if path.is_dir() else [] for path in (paths.instances, paths.runs))
    ends = await asyncio.gather(
        *(_stop(Keeper(path, cgroups=groups), seconds=seconds, keep=False) for path in instances),
        *(_stop(Keeper(path, cgroups=groups), seconds=seconds, keep=True) for path in commands),
        return_exceptions=True,
    )
    # One that cannot be ended keeps no other from its end.
    if failed := [end for end in ends if isinstance(end, Exception)]:
        raise ExceptionGroup(f"{len(failed)} of {len(ends)} apps and commands were not ended", failed)
    if groups:
        await asyncio.to_thread(_close, groups)


async def _stop(keeper: Keeper, *, seconds: float, keep: bool) -> None:
    running = keeper.alive
    if running or files.read_json(keeper.directory / "pids"):
        await keeper.stop(seconds)
    if not keep:
        await asyncio.to_thread(keeper.delete)
    elif running:
        # Not the command's own end: whoever asks for it later must learn that it was lost.
        (keeper.directory / "exit").unlink(missing_ok=True)


def _close(groups: Cgroups) -> None:
    for name in groups.names():
        groups.destroy(name)
    groups.close()
