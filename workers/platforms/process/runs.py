"""Commands: scripts of a release, one-offs and build steps. Named, detached, found again, started once.

A command's directory is made before it is started and stays until it is forgotten, so that its name answers with the
recorded exit code for as long as anyone may ask.
"""

import asyncio
import hashlib
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from service.domain.errors import Refused, Transient
from service.waiting import set_within
from workers.platforms.base import AppSpec, Endpoint, Instance, InstanceState, Lost, OneOffSpec, SandboxRun
from workers.platforms.process import disk, files
from workers.platforms.process.host import Host, boot_id, boottime
from workers.platforms.process.keeper import Keeper

log = structlog.get_logger()
TIMED_OUT = 124
STOP_SECONDS = 10.0
_KEPT = 7 * 86_400.0
_GRACE = 5.0
_RECORD_AGAIN = 1.0
_KILL_AGAIN = 0.5
_LOOK_AGAIN = 0.3
_LINE_SECONDS, _LINE_POLL = 20.0, 0.02
_RUN, _ONE_OFF, _BUILD = "run", "one-off", "build"
_BARRED = 10_000


@dataclass(slots=True, kw_only=True)
class Command:
    """One command, running or ended."""

    keeper: Keeper
    about: dict[str, Any]
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    trouble: str = ""
    why: str = ""

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

    async def wait(self) -> None:
        """Return when it has ended and that is recorded."""
        await self.ended.wait()


class Runs:
    """All commands of the installation."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._commands: dict[str, Command] = {}
        self._barred: dict[str, None] = {}  # in the order in which they were

    def resume(self) -> None:
        """Take up what an earlier runner left; forget what it had no time to begin, and what a week ago was over."""
        for path in sorted(self._host.paths.runs.iterdir()):
            about = files.read_json(path / "about")
            keeper = self._host.keeper(path)
            if not keeper.alive and (_old(about) or _never_began(keeper, about)):  # in this order: it may be starting
                keeper.delete()
            elif about is not None:
                self._commands[path.name] = command = Command(keeper=keeper, about=about)
                command.started.set()
                self._follow(command)

    def attach(
        self, kind: str, name: str, *, app_id: str = "", seconds: float, start: Callable[[Keeper, str], None],
        build: SandboxRun | None = None,
    ) -> Command:  # fmt: skip
        """The command of that name; it is started only if there is none."""
        identity = _directory_name(kind, app_id, name)
        if identity in self._commands:
            return self._commands[identity]
        writable = [str(bind.host) for bind in build.binds if bind.writable] if build else []
        about = {
            "kind": kind, "app_id": app_id, "name": name, "owner": f"app:{app_id}" if app_id else f"run:{identity}",
            "run": uuid.uuid4().hex, "until": boottime() + seconds, "at": time.time(), "writable": writable,
            "disk_mb": build.limits.disk_mb if build else None, "boot": boot_id(),
        }  # fmt: skip
        return self._begin(identity, about, start)

    def _begin(self, identity: str, about: dict[str, Any], start: Callable[[Keeper, str], None]) -> Command:
        keeper = self._host.keeper(self._host.paths.runs / identity)
        command = self._commands[identity] = Command(keeper=keeper, about=about)
        command.task = asyncio.create_task(self._run(command, start), name=f"{about['kind']} {about['name']}")
        return command

    def find(self, app_id: str, one_off_id: str) -> Command | None:
        """A one-off that was begun here, running or ended."""
        return self._commands.get(_directory_name(_ONE_OFF, app_id, one_off_id))

    def may_begin(self, app_id: str, one_off_id: str) -> bool:
        """Whether nobody has barred it."""
        return _directory_name(_ONE_OFF, app_id, one_off_id) not in self._barred

    def bar(self, app_id: str, one_off_id: str) -> None:
        """Never begin that one-off (again): somebody was told that it is over while another may be about to ask for it.

        Not for ever: whoever asks looks before whether it is still wanted, so it is a matter of moments.
        """
        self._barred[_directory_name(_ONE_OFF, app_id, one_off_id)] = None
        while len(self._barred) > _BARRED:
            del self._barred[next(iter(self._barred))]

    def begin_one_off(
        self, spec: AppSpec, wanted: OneOffSpec, *, seconds: float, start: Callable[[Keeper, str], None]
    ) -> Command:
        """Start a one-off that `find` does not know."""
        about = {
            "kind": _ONE_OFF, "app_id": spec.app_id, "name": wanted.id, "owner": f"app:{spec.app_id}",
            "run": uuid.uuid4().hex, "until": boottime() + seconds, "at": time.time(), "writable": [], "disk_mb": None,
            "process": wanted.name, "release_id": spec.release_id, "attached": wanted.attach is not None,
            "boot": boot_id(),
        }  # fmt: skip
        return self._begin(_directory_name(_ONE_OFF, spec.app_id, wanted.id), about, start)

    def one_offs(self) -> list[Instance]:
        """Those that run, of all apps."""
        return [
            Instance(
                app_id=each.about["app_id"], release_id=each.about["release_id"], process=each.about["process"],
                state=InstanceState.UP, since=datetime.fromtimestamp(each.about["at"], UTC), one_off=each.about["name"],
            )
            for each in self._commands.values()
            if each.about["kind"] == _ONE_OFF and not each.ended.is_set()
        ]  # fmt: skip

    async def line(self, app_id: str, one_off_id: str) -> Endpoint:
        """Where the client of a one-off connects to, once it is there; raises `Refused` if it waits for none."""
        until = boottime() + _LINE_SECONDS
        while (command := self.find(app_id, one_off_id)) and not command.ended.is_set() and boottime() < until:
            if command.keeper.line.exists():
                return Endpoint(process=command.about["process"], address=f"unix:{command.keeper.line}")
            if command.started.is_set() and "sandbox" in command.keeper.known:
                break  # its client has come, or it never waited for one
            await asyncio.sleep(_LINE_POLL)
        raise Refused("Somebody is attached to it already, or it has ended.", code="conflict")

    async def stop(self, app_id: str, one_off_id: str) -> None:
        """SIGTERM to every process of a one-off, then SIGKILL; returns when it has ended. It is not begun any more."""
        self.bar(app_id, one_off_id)
        command = self.find(app_id, one_off_id)
        if command is None:
            return
        if not command.ended.is_set() and command.keeper.send(signal.SIGTERM):
            await set_within(command.ended, STOP_SECONDS)
        await self._kill(command)

    async def forget_one_off(self, app_id: str, one_off_id: str) -> None:
        """Stop it if it runs and delete its traces; it is not begun again."""
        await self.stop(app_id, one_off_id)
        if command := self.find(app_id, one_off_id):
            await self._end(command)

    async def tidy(self) -> None:
        """Forget what was over a week ago: nobody asks for it any more."""
        for command in list(self._commands.values()):
            if command.ended.is_set() and _old(command.about):
                await self._end(command)

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
            command.trouble = f"the command could not be started: {error}"
            files.append(command.output, f"towpath: {command.trouble}\n")
        command.started.set()
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
        watch = asyncio.create_task(self._watch(command))
        try:
            async with asyncio.timeout(max(0.0, about["until"] - boottime())):
                await keeper.ended()
        except TimeoutError:
            late = keeper.alive and keeper.exit_code is None
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
            command.why = "; it exceeded its memory limit"
        code = TIMED_OUT if late else keeper.exit_code
        while not await asyncio.to_thread(self._recorded, command, code):  # noqa: ASYNC110  (no disk tells of room)
            await asyncio.sleep(_RECORD_AGAIN)
        command.ended.set()

    async def _watch(self, command: Command) -> None:
        """What may end it before it ends by itself."""
        if (most := command.about.get("disk_mb")) is not None:
            await self._end_when_too_large(command, most)
        elif command.about.get("attached"):
            keeper = command.keeper
            while not (keeper.client_gone and keeper.send(signal.SIGHUP)):  # noqa: ASYNC110  (its shim has no other way to tell)
                await asyncio.sleep(_LOOK_AGAIN)

    async def _end_when_too_large(self, command: Command, most: int) -> None:
        """A build writes on the disk of the machine; apps write in memory, which their group bounds."""
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
        if command.about["kind"] == _ONE_OFF:
            self._host.tell(command.about["app_id"], command.about["process"], _end_of(code) + command.why)
        if not command.about["app_id"]:
            self._host.release(command.about["owner"])

    def result(self, command: Command) -> int:
        """The exit code. A lost build may simply be tried again; of a lost command of an app the caller decides."""
        if command.code is not None:
            return command.code
        if command.about["kind"] != _BUILD:
            name = command.about.get("process", command.about["name"])
            raise Lost(command.trouble or f"{name} was cut off: nobody knows how it ended")
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
        """End what other scripts run for an app; how they ended stays recorded. One-offs are nobody's concern."""
        scripts = [each for each in self._of_app(app_id) if each.about["kind"] == _RUN]
        others = [each for each in scripts if each.about["name"] != name]
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
            await set_within(command.ended, 0.5)

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


def _end_of(code: int | None) -> str:
    return "was cut off" if code is None else f"exited with status {code}"


def _directory_name(kind: str, app_id: str, name: str) -> str:
    return hashlib.blake2b(f"{kind}\0{app_id}\0{name}".encode(), digest_size=8).hexdigest()
