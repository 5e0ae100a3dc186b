"""Running git beside the event loop: no settings, hooks or prompts of the machine, ended as a whole group."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service import strays
from service.domain.errors import Refused, Transient

_CONFIG: Final = {
    "core.hooksPath": "/dev/null",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "transfer.hideRefs": "refs/pushed",
    "uploadpack.allowFilter": "true",
    "safe.directory": "*",
    # Larger ones are streamed and not unpacked in memory.
    "core.bigFileThreshold": "16m",
}
_MOST_AT_ONCE: Final = "256m"
"""What git may take of memory for one thing: a few bytes of a pack can say that an object is gigabytes long."""
_SAID: Final = 64 * 1024
_CHUNK: Final = 64 * 1024
_CLOSED: Final = (BrokenPipeError, ConnectionResetError, RuntimeError)
"""What writing to a program raises that has ended; the last is uvloop's word for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How git ended."""

    code: int
    out: bytes
    err: str

    @property
    def cause(self) -> str:
        """The last line it complained with."""
        lines = self.err.strip().splitlines()
        return lines[-1].strip().removeprefix("fatal: ") if lines else f"exit code {self.code}"


@asynccontextmanager
async def running(
    *args: str | Path, at: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`git ARGS` on the repository at `at`, with pipes; whatever is left of it on leaving is killed."""
    process = await asyncio.create_subprocess_exec(
        *("git", "-C", str(at), *map(str, args)),
        env=_environment() | dict(env or {}) | strays.mark(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # git starts programs of its own: only the whole group ends with certainty.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(_over(process))


async def _over(process: asyncio.subprocess.Process) -> None:
    await process.wait()
    if process.stdout is not None:
        await process.stdout.read()  # a pipe that nobody reads to its end stays open


async def run(
    *args: str | Path, at: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, seconds: float = 60.0
) -> Done:
    """Run to the end; raises `Transient` when that takes longer than `seconds`."""
    async with running(*args, at=at, env=env) as process:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                parts = feed(once(stdin), process), process.stdout.read(), complaint(process)
                _, out, err = await asyncio.gather(*parts)
                await process.wait()
        except TimeoutError:
            raise Transient(f"git {args[0]} did not finish within {seconds:.0f} s") from None
    return Done(code=process.returncode or 0, out=out, err=err)


async def once(content: bytes) -> AsyncIterator[bytes]:
    """What is here as a whole, for `feed`."""
    if content:
        yield content


async def complaint(process: asyncio.subprocess.Process) -> str:
    """All that git complains of, to its end; what is too long is left out."""
    assert process.stderr is not None
    said = b""
    while chunk := await process.stderr.read(_CHUNK):
        said = (said + chunk)[-_SAID:]
    return said.decode(errors="replace")


async def feed(chunks: AsyncIterator[bytes], process: asyncio.subprocess.Process) -> None:
    """Give git what comes, no faster than it reads; what it does not want any more is read and dropped."""
    stdin = process.stdin
    assert stdin is not None
    wanted = True
    async for chunk in chunks:
        if not wanted:
            continue
        try:
            stdin.write(chunk)
            await stdin.drain()
        except _CLOSED:
            wanted = False
    with suppress(*_CLOSED):
        stdin.close()


def _environment() -> dict[str, str]:
    found = shutil.which("git")
    if found is None:
        raise Refused("git is not installed on this machine; install it (apt install git)")
    numbered = {"GIT_CONFIG_COUNT": str(len(_CONFIG))}
    for number, (key, value) in enumerate(_CONFIG.items()):
        numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {
        **numbered,
        "PATH": os.pathsep.join(_places(found)),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_ALLOC_LIMIT": _MOST_AT_ONCE,
    }


def _places(git: str) -> Sequence[str]:
    return list(dict.fromkeys((str(Path(git).parent), "/usr/bin", "/bin")))
