"""Locks that are held no longer than their holder lives, or lets itself be seen to."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.waiting import until
from workers.builds.locks import exclusive

HOLD = """
import asyncio, pathlib, sys
from workers.builds.locks import exclusive
async def hold():
    async with exclusive(pathlib.Path(sys.argv[1]), frozen_after=1.0):
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print("given back", flush=True)
asyncio.run(hold())
"""


@pytest.fixture
async def holder(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has the lock until its input ends."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(tmp_path / "lock")), stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate(b"")


async def test_a_holder_that_goes_on_keeps_the_lock_for_as_long_as_it_likes(
    tmp_path: Path, holder: asyncio.subprocess.Process
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5), exclusive(tmp_path / "lock", frozen_after=1.0):
            pass
    holder.kill()
    async with asyncio.timeout(5), exclusive(tmp_path / "lock", frozen_after=1.0):
        pass


async def test_a_holder_that_stands_still_loses_the_lock_to_one_of_those_who_wait(
    tmp_path: Path, holder: asyncio.subprocess.Process
) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    inside, most = 0, 0

    async def one_of_many() -> None:
        nonlocal inside, most
        async with exclusive(tmp_path / "lock", frozen_after=1.0):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async with asyncio.timeout(10):
        await asyncio.gather(*(one_of_many() for _ in range(8)))
    assert most == 1
    async with exclusive(tmp_path / "lock", frozen_after=1.0):
        os.kill(holder.pid, signal.SIGCONT)
        out, _ = await holder.communicate(b"")
        assert out == b"given back\n"
        trying = asyncio.create_task(one_of_many())
        await asyncio.wait({trying}, timeout=0.3)
        assert not trying.done()
    await until(trying.done)


async def test_a_lock_that_is_never_taken_away_waits_for_its_holder(
    tmp_path: Path, holder: asyncio.subprocess.Process
) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2), exclusive(tmp_path / "lock"):
            pass
