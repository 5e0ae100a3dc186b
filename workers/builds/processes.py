"""Running git, tar and the like beside the event loop: bounded in time, ended as a whole group when given up."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service import strays
from service.domain.errors import Transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a process ended."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def cause(self) -> str:
        """The last line it complained with."""
        lines = self.stderr.strip().splitlines()
        return lines[-1].strip() if lines else f"exit code {self.code}"


async def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    seconds: float,
    cwd: Path | None = None,
    stdin: bytes | IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> Finished:
    """Run to the end; a process that takes longer than `seconds` is ended and reported as `Transient`."""
    process = await asyncio.create_subprocess_exec(
        *map(str, argv),
        cwd=cwd,
        env={**env, **strays.mark()},
        stdin=_source_of(stdin),
        stdout=asyncio.subprocess.PIPE if stdout is None else stdout,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate(stdin if isinstance(stdin, bytes) else None)
    except TimeoutError:
        raise Transient(f"{Path(argv[0]).name} did not finish within {seconds:.0f} s") from None
    finally:
        # git starts git-remote-https and index-pack: only the whole group ends with certainty.
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
    return Finished(code=process.returncode or 0, stdout=out or b"", stderr=err.decode(errors="replace"))


def _source_of(stdin: bytes | IO[bytes] | None) -> int | IO[bytes]:
    if stdin is None:
        return asyncio.subprocess.DEVNULL
    return asyncio.subprocess.PIPE if isinstance(stdin, bytes) else stdin


def delete_tree(path: Path) -> None:
    """Delete whatever is there; by the program, because code of others can nest folders too deep for Python.

    Folders that it closed, as some package managers do with their caches, stop nobody but root: they are opened first.
    What cannot be deleted is left for the next sweep.
    """
    if _done("rm", "-rf", "--", path) or path.is_symlink():
        return
    _done("chmod", "--recursive", "u+rwX", "--", path)
    _done("rm", "-rf", "--", path)


def _done(*argv: str | Path) -> bool:
    return not subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode
