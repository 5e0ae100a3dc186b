"""Commands: one-off ones of a release and build steps. Named, detached, found again, started once.

A command's directory is made before it is started and stays until it is forgotten, so that its name answers with the
recorded exit code for as long as anyone may ask.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from service.domain.errors import Transient
from workers.platforms.base import Lost, SandboxRun
from workers.platforms.process import disk, files
from workers.platforms.process.host import Host, boot_id, boottime
from workers.platforms.process.keeper import Keeper

log = structlog.get_logger()
TIMED_OUT = 124
_KEPT = 7 * 86_400.0
_GRACE = 5.0
_RECORD_AGAIN = 1.0
_KILL_AGAIN = 0.5


@dataclass(slots=True, kw_only=True)
class Command:
    """One command, running or ended."""

    keeper: Keeper
    about: dict[str, Any]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def code(self) -> int | None:
        """The recorded exit code; None if it was lost with the machine or its shim."""
        record = files.read_json(self.keeper.directory / "result") or {}
        return record.get("code")

    @property
    def output(self) -> Path:
        """All it printed."""
        return self.keeper.directory / "out"

    @property
    def run(self) -> str:
        """Tells this run of the command from an earlier one of the same name."""
        return str(self.about.get("run", ""))


class Runs:
    """All commands of the installation."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._commands: dict[str, Command] = {}

    def resume(self) -> None:
        """Take up what an earlier runner left; forget what it had no time to begin, and what a week ago was over."""
        for path in sorted(self._host.paths.runs.iterdir()):
            about = files.read_json(path / "about")
            keeper = self._host.keeper(path)
            if not keeper.alive and (_old(about) or _never_began(keeper, about)):  # in this order: it may be starting
                keeper.delete()
            elif about is not None:
                self._commands[path.name] = command = Command(keeper=keeper, about=about)
                self._follow(command)

    def attach(
        self, kind: str, name: str, *, app_id: str = "", seconds: float, start: Callable[[Keeper, str], None],
        build: SandboxRun | None = None,
    ) -> Command:  # fmt: skip
        """The command of that name; it is started only if there is none."""
        identity = _directory_name(kind, app_id, name)
        if identity in self._commands:
            return self._commands[identity]
        keeper = self._host.keeper(self._host.paths.runs / identity)
        writable = [str(bind.host) for bind in build.binds if bind.writable] if build else []
        about = {
            "kind": kind, "app_id": app_id, "name": name, "owner": f"app:{app_id}" if app_id else f"run:{identity}",
            "run": uuid.uuid4().hex, "until": boottime() + seconds, "at": time.time(), "writable": writable,
            "disk_mb": build.limits.disk_mb if build else None, "boot": boot_id(),
        }  # fmt: skip
        command = self._commands[identity] = Command(keeper=keeper, about=about)
        command.task = asyncio.create_task(self._run(command, start), name=f"{kind} {name}")
        return command

    def _follow(self, command: Command) -> None:
        if (command.keeper.directory / "result").exists():
            command.ended.set()
        else:
            command.task = asyncio.create_task(self._finish(command))

    async def _run(self, command: Command, start: Callable[[Keeper, str], None]) -> None:
        try:
            await asyncio.to_thread(self._start, command, start)
        except OSError as error:
            log.exception("command not started", name=command.about["name"])
            files.append(command.output, f"towpath: the command could not be started: {error}\n")
        await self._finish(command)

    def _start(self, command: Command, start: Callable[[Keeper, str], None]) -> None:
        owner = command.about["owner"]
        files.write_json(command.keeper.directory / "about", command.about)
        command.keeper.directory.chmod(0o711)
        if uid := self._host.uid(owner):
            for path in command.about["writable"]:
                files.give_away(Path(path), uid)
        start(command.keeper, owner)

    async def _finish(self, command: Command) -> None:
        """Wait for the end or the time-out, clear up, and only then record the result."""
        keeper, about = command.keeper, command.about
        late = False
        watch = asyncio.create_task(self._end_when_too_large(command))
        try:
            await asyncio.wait_for(keeper.ended(), max(0.0, about["until"] - boottime()))
        except TimeoutError:
            late = keeper.alive
            await keeper.stop(_GRACE)
        finally:
            watch.cancel()
            await asyncio.wait({watch})
        if keeper.trouble:
            log.error("shim failed", name=about["name"], text=keeper.trouble)
        memory = keeper.out_of_memory
        await keeper.clear()
        if memory:
            files.append(command.output, "[the command exceeded its memory limit]\n")
        code = TIMED_OUT if late else keeper.exit_code
        while not await asyncio.to_thread(self._recorded, command, code):  # noqa: ASYNC110  (no disk tells of room)
            await asyncio.sleep(_RECORD_AGAIN)
        command.ended.set()

    async def _end_when_too_large(self, command: Command) -> None:
        """A build writes on the disk of the machine; apps write in memory, which their group bounds."""
        most = command.about.get("disk_mb")
        if most is None:
            return
        places = [command.keeper.directory / "tmp", *map(Path, command.about["writable"])]
        await disk.exceeded(places, most=most * 1024 * 1024)
        files.append(command.output, f"\n[the build took more than its {most} MB of disk and was ended]\n")
        while True:  # until the end, at which this is cancelled
            command.keeper.kill()
            await asyncio.sleep(_KILL_AGAIN)

    def _recorded(self, command: Command, code: int | None) -> bool:
        """False while the disk does not take it: until it does, the command has not ended for whoever waits."""
        try:
            self._record(command, code)
        except OSError:
            log.exception("end of a command not recorded", name=command.about["name"])
            return False
        return True

    def _record(self, command: Command, code: int | None) -> None:
        try:
            self._host.settle(command.keeper, command.about["writable"])
        except (OSError, RecursionError):  # whatever a command left behind, it has ended
            log.exception("what a command wrote could not be taken back", name=command.about["name"])
        files.write_json(command.keeper.directory / "result", {"code": code})
        if not command.about["app_id"]:
            self._host.release(command.about["owner"])

    def result(self, command: Command) -> int:
        """The exit code. A lost build may simply be tried again; of a lost command of an app the caller decides."""
        if command.code is not None:
            return command.code
        if command.about["kind"] == "run":
            raise Lost(f"{command.about['name']} was cut off: nobody knows how it ended")
        self._commands.pop(command.keeper.name, None)
        command.keeper.delete()
        raise Transient(f"the sandbox of {command.about['name']} was lost before it ended")

    async def forget(self, kind: str, name: str) -> None:
        """End the command if it runs and delete its traces."""
        command = self._commands.get(_directory_name(kind, "", name))
        if command:
            await self._end(command)

    async def end_of_app(self, app_id: str) -> None:
        """The same for every command of an app."""
        await asyncio.gather(*(self._end(command) for command in self._of_app(app_id)))

    async def end_others(self, app_id: str, name: str) -> None:
        """End what else runs for an app; how that ended stays recorded."""
        others = [each for each in self._of_app(app_id) if each.about["name"] != name]
        await asyncio.gather(*(self._kill(command) for command in others))

    def _of_app(self, app_id: str) -> list[Command]:
        return [command for command in self._commands.values() if command.about["app_id"] == app_id]

    async def _end(self, command: Command) -> None:
        await self._kill(command)
        await asyncio.to_thread(command.keeper.delete)
        self._commands.pop(command.keeper.name, None)

    async def _kill(self, command: Command) -> None:
        while not command.ended.is_set():
            command.keeper.kill()
            try:
                await asyncio.wait_for(command.ended.wait(), 0.5)
            except TimeoutError:
                continue

    async def let_go(self) -> None:
        """The runner ends; the commands go on."""
        tasks = [command.task for command in self._commands.values() if command.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _old(about: dict[str, Any] | None) -> bool:
    """Nobody has asked for it in a week."""
    return about is None or time.time() - about["at"] > _KEPT


def _never_began(keeper: Keeper, about: dict[str, Any] | None) -> bool:
    """The runner died between noting the command down and starting it: whoever asks for it has it started."""
    over = (keeper.directory / "result").exists()
    return about is not None and about.get("boot") == boot_id() and not over and not keeper.begun


def _directory_name(kind: str, app_id: str, name: str) -> str:
    return hashlib.blake2b(f"{kind}\0{app_id}\0{name}".encode(), digest_size=8).hexdigest()
