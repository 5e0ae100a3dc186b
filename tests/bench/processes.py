"""Programs that are measured: started, looked at from outside, and ended by their ids whatever happens."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from service.cli.parts import redis_program
from tests.waiting import until

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def running(argv: Sequence[str], env: Mapping[str, str], *, log: Path) -> AsyncIterator[int]:
    """A program with its process id, killed at the end; it writes to `log`."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def run(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Run a program to its end, which must be a good one; what it prints is not looked at."""
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}")


@asynccontextmanager
async def redis(place: Path) -> AsyncIterator[tuple[int, Path]]:
    """A Redis for peers, which keeps things as ours does; with its process id and socket."""
    place.mkdir()
    address = place / "r.sock"
    argv = (str(redis_program()), "--port", "0", "--unixsocket", str(address), "--dir", str(place), "--save", "")
    async with running([*argv, "--appendonly", "yes", "--appendfsync", "everysec"], {}, log=place / "log") as pid:
        await until(address.exists, what="a Redis for peers")
        yield pid, address


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int, *, seconds: float = 20.0) -> None:
    """Wait until somebody listens."""

    def look() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await until(look, seconds=seconds, what=f"somebody listens on port {port}")


def cpu(*pids: int) -> float:
    """Seconds of CPU that these processes have used together."""
    return sum(_cpu(pid) for pid in pids)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> float:
    """MiB of memory that a process holds and shares with none: its proportional set."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    (kilobytes,) = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")]
    return int(kilobytes) / 1024


async def seconds(act: Callable[[], Awaitable[object]]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began
