"""What is wanted of each app and the instances that make it so.

One command at a time works an app. A preparing one gives way to whatever comes after it (destroy wins over a boot that
takes a minute); the fence keeps commands of workers that have lost their lease out.
"""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from service.domain.errors import Refused
from workers.platforms.base import AppSpec, Endpoint, Fence, Fenced, Instance, InstanceState, Unhealthy
from workers.platforms.process import files, wire
from workers.platforms.process.host import Host, Timing, boottime
from workers.platforms.process.instances import Role, Supervised

Progress = Callable[[str], Awaitable[None]]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOMBSTONES = 10_000


class Apps:
    """All apps of the installation."""

    def __init__(self, host: Host, timing: Timing) -> None:
        self._host = host
        self._timing = timing
        self._apps: dict[str, App] = {}
        self._gone_file = host.paths.data / "run/removed.json"
        self._gone: dict[str, list[int]] = files.read_json(self._gone_file) or {}

    def get(self, app_id: str) -> "App":
        """The app, known or new."""
        if not _NAME.fullmatch(app_id):
            raise Refused(f"{app_id!r} cannot name an app here: letters, digits, dot, dash and underscore only")
        if app_id not in self._apps:
            seen = Fence(generation=0, token=0)
            if app_id in self._gone:
                generation, token = self._gone[app_id]
                seen = Fence(generation=generation, token=token)
            self._apps[app_id] = App(app_id, seen=seen, host=self._host, timing=self._timing)
        return self._apps[app_id]

    async def remove(self, app_id: str, fence: Fence, end_commands: Callable[[], Awaitable[None]]) -> None:
        """End everything of the app and leave nothing but its fence."""
        app = self.get(app_id)
        async with app.turn(fence):
            await app.end(end_commands)
            self._gone.pop(app_id, None)
            self._gone[app_id] = [fence.generation, fence.token]
            while len(self._gone) > _TOMBSTONES:
                del self._gone[next(iter(self._gone))]
            await asyncio.to_thread(files.write_json, self._gone_file, self._gone)
            await app.erase()

    async def resume(self) -> None:
        """Take up what an earlier runner left: attach to what lives, start what is wanted, end what is not."""
        for path in sorted(self._host.paths.apps.iterdir()):
            if record := files.read_json(path / "wanted.json"):
                self.get(path.name).restore(record)
        for path in sorted(self._host.paths.instances.iterdir()):
            about = files.read_json(path / "about")
            if about is None:
                keeper = self._host.keeper(path)
                await keeper.clear()
                keeper.delete()
            else:
                self.get(about["app_id"]).find(about)
        for app in list(self._apps.values()):
            app.keep_wanted()

    def instances(self) -> list[Instance]:
        """Of all apps."""
        return [one.describe() for app in self._apps.values() for one in app.instances.values()]

    async def let_go(self) -> None:
        """The runner ends; the apps go on."""
        await asyncio.gather(*(app.let_go() for app in self._apps.values()))


class App:
    """One app."""

    def __init__(self, app_id: str, *, seen: Fence, host: Host, timing: Timing) -> None:
        self.app_id = app_id
        self.seen = seen
        self.wanted: AppSpec | None = None
        self.instances: dict[tuple[str, str], Supervised] = {}
        self._host = host
        self._timing = timing
        self._directory = host.paths.apps / app_id
        self._lock = asyncio.Lock()
        self._giving_way: asyncio.Task[object] | None = None
        self._expiry: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def log(self) -> Path:
        """The app's output."""
        return self._directory / "log/app.log"

    async def accept(self, fence: Fence) -> None:
        """Remember the highest fence, durably, before anything is done for it; refuse a lower one."""
        self._check(fence)
        if fence > self.seen:
            self.seen = fence
            await self._write()

    def _check(self, fence: Fence) -> None:
        if fence < self.seen:
            raise Fenced(f"{self.app_id} is at {self.seen}, this came with {fence}")

    @contextlib.asynccontextmanager
    async def turn(self, fence: Fence, *, gives_way: bool = False) -> AsyncIterator[None]:
        """Be the one command that works the app."""
        await self.accept(fence)
        if self._giving_way:
            self._giving_way.cancel()
        async with self._lock:
            self._check(fence)
            self._giving_way = asyncio.current_task() if gives_way else None
            try:
                yield
            finally:
                self._giving_way = None

    async def prepare(self, spec: AppSpec, fence: Fence, say: Progress) -> tuple[Endpoint, ...]:
        """Bring `spec` up without traffic; raises `Unhealthy` and leaves nothing of it when it does not come up."""
        async with self.turn(fence, gives_way=True):
            names = wanted_names(spec)
            others = [one for one in self._spares() if one.release_id != spec.release_id or one.process not in names]
            await self._stop(others, seconds=0.0)
            for name in names:
                await self._ensure(spec, name, Role.SPARE)
            for one in self._spares():
                one.note()  # adopted ones count from now on, for a later runner too
            self._expire_later(self._timing.spare)
            await self._all_up(spec, say)
            mine = [self.instances[spec.release_id, name] for name in names]
            return tuple(one.endpoint for one in mine if one.endpoint)

    async def _all_up(self, spec: AppSpec, say: Progress) -> None:
        fresh = [one for one in self._spares() if one.release_id == spec.release_id]
        waiting = {asyncio.create_task(one.first_boot()): one for one in fresh}
        try:
            for done in asyncio.as_completed(waiting):
                if problem := await done:
                    await self._stop(fresh, seconds=1.0)
                    raise Unhealthy(problem)
        finally:
            for task in waiting:
                task.cancel()
        for one in fresh:
            await say(f"{one.process} is up\n")

    async def _ensure(self, spec: AppSpec, name: str, role: Role) -> None:
        key = (spec.release_id, name)
        present = self.instances.get(key)
        if present and (present.role is Role.DRAINING or (role is Role.SPARE and present.failed)):
            await self._stop([present], seconds=spec.stop_seconds)
            present = None
        present = present or self._add(spec, name, role)
        present.spec = present.spec or spec
        if not present.watched:
            present.watch()

    def _add(self, spec: AppSpec, name: str, role: Role) -> Supervised:
        one = Supervised(
            app_id=self.app_id, release_id=spec.release_id, process=name, role=role,
            host=self._host, timing=self._timing, spec=spec,
        )  # fmt: skip
        self.instances[spec.release_id, name] = one
        one.note()
        return one

    async def activate(self, spec: AppSpec, fence: Fence) -> None:
        """Want `spec` from now on; everything else is drained in the background."""
        async with self.turn(fence):
            self.wanted = spec
            await self._write()
            for name in wanted_names(spec):
                await self._ensure(spec, name, Role.LIVE)
            self.keep_wanted()

    async def restart(self, process: str, fence: Fence) -> None:
        """Start one wanted process anew, and return when it has come up; whoever comes next need not wait for that."""
        async with self.turn(fence):
            if self.wanted is None or process not in wanted_names(self.wanted):
                raise Refused(f"{process} is none of the processes that run.")
            key = (self.wanted.release_id, process)
            if former := self.instances.get(key):
                if former.web:
                    await asyncio.sleep(self._timing.drain)
                await self._stop([former], seconds=self.wanted.stop_seconds)
            self.keep_wanted()
            fresh = self.instances[key]
        if problem := await fresh.first_boot():
            raise Unhealthy(problem)

    def keep_wanted(self) -> None:
        """Give every instance its role by what is wanted, and start what is missing."""
        names = wanted_names(self.wanted) if self.wanted else ()
        release = self.wanted.release_id if self.wanted else ""
        for name in names:
            assert self.wanted is not None
            one = self.instances.get((release, name)) or self._add(self.wanted, name, Role.LIVE)
            one.become(Role.LIVE)
            if not one.watched or one.failed:
                one.watch()
        for (of_release, name), one in self.instances.items():
            if one.role is Role.LIVE and (of_release != release or name not in names):
                one.become(Role.DRAINING)
        if draining := [one for one in self.instances.values() if one.role is Role.DRAINING]:
            self._later(self._timing.drain, partial(self._drain, draining))

    async def _drain(self, old: list[Supervised]) -> None:
        seconds = self.wanted.stop_seconds if self.wanted else 10.0
        await self._stop([one for one in old if one.state is not InstanceState.STOPPING], seconds=seconds)

    def _expire_later(self, seconds: float) -> None:
        """End what is prepared unless it goes live by then, whatever it was given before."""
        if self._expiry:
            self._expiry.cancel()
        self._expiry = self._later(seconds, self._expire)

    async def _expire(self) -> None:
        async with self._lock:
            await self._stop(self._spares(), seconds=1.0)

    async def discard(self, release_id: str, fence: Fence) -> None:
        """End what was prepared of a release and will not go live."""
        async with self.turn(fence):
            await self._stop([one for one in self._spares() if one.release_id == release_id], seconds=1.0)

    async def end(self, end_commands: Callable[[], Awaitable[None]]) -> None:
        """Within a turn: end every process, and have nothing wanted any more."""
        await self._cancel_background()
        seconds = self.wanted.stop_seconds if self.wanted else 10.0
        self.wanted = None
        await self._write()  # from here on even a new runner ends what it finds
        await asyncio.gather(self._stop(list(self.instances.values()), seconds=seconds), end_commands())

    async def erase(self) -> None:
        """Within a turn, after `end`: no directory and no uid is left."""
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        self._host.release(f"app:{self.app_id}")

    def restore(self, record: dict[str, Any]) -> None:
        """What an earlier runner wrote down."""
        generation, token = record["fence"]
        self.seen = max(self.seen, Fence(generation=generation, token=token))
        self.wanted = wire.spec_from_text(record["spec"]) if record["spec"] else None

    def find(self, about: dict[str, str]) -> None:
        """An instance of an earlier runner, alive or not."""
        wanted = self.wanted if self.wanted and self.wanted.release_id == about["release_id"] else None
        one = Supervised(
            app_id=self.app_id, release_id=about["release_id"], process=about["process"], role=Role(about["role"]),
            host=self._host, timing=self._timing, spec=wanted,
        )  # fmt: skip
        self.instances[one.release_id, one.process] = one
        if wanted and one.process in wanted_names(wanted):
            return
        age = boottime() - float(about["at"])
        if one.role is Role.SPARE and 0 <= age < self._timing.spare and one.keeper.alive:
            self._expire_later(self._timing.spare - age)
        else:
            one.become(Role.DRAINING)

    def _spares(self) -> list[Supervised]:
        return [one for one in self.instances.values() if one.role is Role.SPARE]

    async def _stop(self, some: list[Supervised], *, seconds: float) -> None:
        async def one_by_one(one: Supervised) -> None:
            await one.stop(seconds)
            if self.instances.get((one.release_id, one.process)) is one:
                del self.instances[one.release_id, one.process]

        await asyncio.gather(*(one_by_one(one) for one in some))

    def _later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def wait_and_act() -> None:
            await asyncio.sleep(seconds)
            await act()

        task = asyncio.create_task(wait_and_act())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _write(self) -> None:
        record = {
            "fence": [self.seen.generation, self.seen.token],
            "spec": wire.spec_to_text(self.wanted) if self.wanted else None,
        }
        await asyncio.to_thread(files.write_json, self._directory / "wanted.json", record)

    async def _cancel_background(self) -> None:
        tasks = set(self._background)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def let_go(self) -> None:
        """The runner ends."""
        await self._cancel_background()
        await asyncio.gather(*(one.let_go() for one in self.instances.values()))


def wanted_names(spec: AppSpec) -> tuple[str, ...]:
    """Every process of the formation: `web.1`, `web.2`, `worker.1` and so on."""
    return tuple(f"{one.type}.{number + 1}" for one in spec.processes for number in range(one.quantity))
