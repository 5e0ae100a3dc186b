"""One shim seen from the runner: start it, find it again, wait for it, end it, clear up behind it."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import workers
from workers.platforms.process import files
from workers.platforms.process.cgroups import Cgroups
from workers.platforms.process.procs import Process, pinned
from workers.platforms.process.spec import ShimSpec

_ROOT = Path(workers.__file__).parent.parent
_MAIN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from workers.platforms.process import shim; shim.main()"
_SHIM_FILES = ("pids", "exit", "tail", "s", "a", "gone", "lock", "pids.new", "exit.new")


class Keeper:
    """The shim of one directory, whether it lives, has ended or was never started."""

    def __init__(self, directory: Path, *, cgroups: Cgroups | None) -> None:
        self.directory = directory
        self.name = directory.name
        self.own_group = f"{self.name}.shim"
        self._cgroups = cgroups
        self._child: subprocess.Popen[bytes] | None = None  # None: started by an earlier runner

    @property
    def socket(self) -> Path:
        """The hand-over socket."""
        return self.directory / "s"

    @property
    def line(self) -> Path:
        """Where the client of an attached command connects to."""
        return self.directory / "a"

    @property
    def client_gone(self) -> bool:
        """Whether the client of an attached command has hung up."""
        return (self.directory / "gone").exists()

    @property
    def alive(self) -> bool:
        """Whether the shim lives: it holds the lock as long, whatever its pid."""
        try:
            descriptor = os.open(self.directory / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @property
    def begun(self) -> bool:
        """Whether the command may have begun: it waits until it can be found again. Known in the boot of its start."""
        return (self.directory / "pids").exists()

    @property
    def exit_code(self) -> int | None:
        """What the shim wrote down as the command's end."""
        record = files.read_json(self.directory / "exit")
        return None if record is None else int(record["code"])

    @property
    def tail(self) -> str:
        """The last lines of output, known after the end."""
        return str(files.read_json(self.directory / "tail") or "")

    @property
    def trouble(self) -> str:
        """What the shim itself complained about: a bug, or a machine in a bad state."""
        path = self.directory / "shim.err"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel killed something of it for its memory limit."""
        return bool(self._cgroups and self._cgroups.out_of_memory(self.name))

    def start(self, spec: ShimSpec) -> None:
        """Start the shim, in a session of its own; takes some milliseconds."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        for name in _SHIM_FILES:
            (self.directory / name).unlink(missing_ok=True)
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        given = os.memfd_create("spec")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if spec["keeper"] is not None:
                os.chown(self.directory, spec["keeper"], spec["keeper"])
            os.write(given, json.dumps(spec).encode())
            os.lseek(given, 0, os.SEEK_SET)
            with contextlib.suppress(OSError):
                (self.directory / "shim.err").unlink()
            with (self.directory / "shim.err").open("wb") as errors:
                self._child = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _MAIN, str(_ROOT), str(lock)],
                    stdin=given, stdout=errors, stderr=errors, cwd=self.directory,
                    env={"LANG": "C.UTF-8"}, pass_fds=[lock], start_new_session=True,
                )  # fmt: skip
        finally:
            os.close(given)
            os.close(lock)

    async def ended(self) -> None:
        """Return when the shim has ended; by then its exit code is on disk, if it came so far."""
        while self.alive:
            shim = await self._shim()
            if shim is None:
                continue
            descriptor = pinned(shim.pid)
            try:
                if descriptor is not None and shim.alive:
                    await readable(descriptor)
                else:
                    await asyncio.sleep(0.005)  # its last descriptors are being closed
            finally:
                if descriptor is not None:
                    os.close(descriptor)
        self.reap()

    def reap(self) -> None:
        """Wait for a shim that is about to be gone; one of an earlier runner is reaped by init."""
        if self._child:
            self._child.wait()

    async def _shim(self) -> Process | None:
        """The shim's process; it writes its pid down within milliseconds of its start."""
        found = self._processes().get("shim")
        if found is None:
            await asyncio.sleep(0.005)
        return found

    @property
    def known(self) -> frozenset[str]:
        """Which processes of its own the shim has told of: `shim`, `sandbox`, `init`, `egress`."""
        return frozenset(self._processes())

    def _processes(self) -> dict[str, Process]:
        pids: dict[str, Any] = files.read_json(self.directory / "pids") or {}
        return {name: Process(pid, start) for name, (pid, start) in pids.items()}

    def send(self, number: signal.Signals) -> bool:
        """Signal every process of the app, as Heroku does; bubblewrap's own two would not pass it on.

        False while there is none yet.
        """
        known = self._processes()
        if "init" not in known:
            return False
        sandbox, init = known["sandbox"], known["init"]
        # At level `none` both are the app's own first process.
        own = set() if init == sandbox else {sandbox.pid, init.pid}
        targets = [pid for pid in [sandbox.pid, *sandbox.descendants()] if pid not in own]
        for process in filter(None, map(Process.of, targets)):
            process.send(number)
        return bool(targets)

    def kill(self) -> None:
        """End everything inside at once. The shim then writes the exit code and goes."""
        known = self._processes()
        for name in ("init", "sandbox"):
            if name in known:
                known[name].send(signal.SIGKILL)
        if self._cgroups:
            for pid in self._cgroups.pids(self.name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """`kill`, and the shim and its egress with it."""
        known = self._processes()
        leftovers = [pid for name in ("shim", "sandbox") if name in known for pid in known[name].descendants()]
        strays = [process for pid in leftovers if (process := Process.of(pid))]
        for name in ("shim", "egress"):
            if name in known:
                known[name].send(signal.SIGKILL)
        self.kill()
        for process in strays:
            process.send(signal.SIGKILL)

    async def stop(self, seconds: float) -> None:
        """SIGTERM, up to `seconds` to end, SIGKILL; returns when nothing of it runs."""
        try:
            async with asyncio.timeout(seconds):
                await self._terminate()
                await self.ended()
        except TimeoutError:
            self.kill()
            try:
                async with asyncio.timeout(3.0):
                    await self.ended()
            except TimeoutError:
                self.kill_all()
                await self.ended()
        await self.clear()

    async def _terminate(self) -> None:
        """A signal sent before the app's first process exists would be lost."""
        while self.alive:
            if self.send(signal.SIGTERM):
                return
            await asyncio.sleep(0.005)

    async def clear(self) -> None:
        """End what the command left behind in the background and remove its group. The directory stays."""
        self.kill_all()
        if self._cgroups:
            for group in (self.name, self.own_group):
                await asyncio.to_thread(self._cgroups.destroy, group)

    def delete(self) -> None:
        """Remove the directory."""
        files.delete(self.directory)


async def readable(descriptor: int) -> None:
    """Return when a descriptor can be read; of a pidfd that means that the process has ended."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, future.set_result, None)  # removed before it could be called twice
    try:
        await future
    finally:
        loop.remove_reader(descriptor)
