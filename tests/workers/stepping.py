"""Workers that go on from one transaction, or command of the engine, to the next only when they are told to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, cast

from service.domain.errors import Refused, Transient
from service.queue import Ring
from tests.workers.memory_platform import MemoryPlatform
from workers.context import Context
from workers.jobs.look import look
from workers.jobs.react import react
from workers.jobs.reconcile import reconcile
from workers.jobs.report import report
from workers.jobs.work import work
from workers.platforms.base import AppSpec, Endpoint, Fence, Fenced, GoLive, Log, Lost

JOBS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "look": look,
    "react": react,
    "reconcile": reconcile,
    "work": work,
    "report": report,
}


class Killed(BaseException):
    """What ends a dead worker's coroutines: nothing of ours catches it, as nothing outlives SIGKILL."""


@dataclass
class Worker:
    """A worker whose every step waits to be allowed; `free` lets it run as it will."""

    name: str
    free: bool = False
    dead: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    context: Context = field(init=False)

    async def turn(self) -> None:
        if self.dead:
            raise Killed
        if not self.free:
            allowed = asyncio.get_running_loop().create_future()
            self.waiting.append(allowed)
            self.moved.set()
            await allowed

    def begin(self, ring: Ring) -> None:
        own = copy_context()
        own.run(AT_WORK.set, self)
        task = asyncio.get_running_loop().create_task(done(self.context, ring), context=own)
        task.add_done_callback(lambda _: self.moved.set())
        self.tasks.append(task)

    async def go(self, steps: int) -> None:
        """Do so many steps, or as many as there are to do."""
        for _ in range(steps):
            await self.stands()
            if not self.waiting:
                return
            self.waiting.pop(0).set_result(None)
        await self.stands()

    async def stands(self) -> None:
        """Wait until each of its jobs stands before its next step, or is over."""
        while len(self.waiting) < len(self.running):
            self.moved.clear()
            await asyncio.wait_for(self.moved.wait(), 30)

    @property
    def running(self) -> list[asyncio.Task[None]]:
        for task in [each for each in self.tasks if each.done()]:
            self.tasks.remove(task)
            task.result()
        return self.tasks

    async def end(self) -> None:
        """Let it do all it has begun."""
        self.free = True
        while self.waiting:
            self.waiting.pop().set_result(None)
        for task in [*self.tasks]:
            await asyncio.wait_for(asyncio.shield(task), 30)
        assert self.running == []

    async def die(self) -> None:
        self.dead = True
        while self.waiting:
            self.waiting.pop().set_exception(Killed())
        await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), 30)
        self.tasks.clear()


AT_WORK: ContextVar[Worker | None] = ContextVar("AT_WORK", default=None)
"""Whose job runs."""


async def done(context: Context, ring: Ring) -> None:
    """A job as the worker runs it: what may pass or will not work is over with it."""
    with suppress(Transient, Refused):
        await JOBS[ring.job](context, *ring.args)


class Doors:
    """A part of a worker: each call waits for the worker's turn."""

    def __init__(self, part: Any, worker: Worker, verbs: set[str]) -> None:
        self._part, self._worker, self._verbs = part, worker, verbs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in self._verbs:
            return found

        async def call(*args: Any, **options: Any) -> Any:
            await self._worker.turn()
            return await found(*args, **options)

        return call


class Engine(MemoryPlatform):
    """Notes what goes live and looks out for two commands of one app at once; commands outlive their worker."""

    def __init__(self) -> None:
        super().__init__()
        self.live: list[AppSpec] = []
        self.commands: dict[str, str] = {}
        self.cut: set[str] = set()

    async def _lasts(self) -> None:
        worker = AT_WORK.get()
        if worker is not None:
            await worker.turn()

    async def apply(self, spec: AppSpec, *, fence: Fence, log: Log, go_live: GoLive) -> None:
        async def switched(endpoints: list[Endpoint]) -> None:
            await go_live(endpoints)
            self.live.append(spec)
            await self._lasts()

        await super().apply(spec, fence=fence, log=log, go_live=cast("GoLive", switched))

    async def run(self, name: str, spec: AppSpec, command: str, *, fence: Fence, log: Log, seconds: float) -> int:  # noqa: ARG002
        if name in self.exit_codes:
            return self.exit_codes[name]
        if fence < self.fences.get(spec.app_id, fence):
            raise Fenced(spec.app_id)
        self.fences[spec.app_id] = fence
        if self.commands.get(spec.app_id, name) != name:
            self.cut.add(self.commands[spec.app_id])  # as the runner does: nobody waits for it any more
        self.commands[spec.app_id] = name
        await self._lasts()
        if name in self.cut:
            raise Lost(f"{name} was cut off")
        if self.commands.get(spec.app_id) == name:
            del self.commands[spec.app_id]
        self.exit_codes[name] = 0
        return 0

    async def remove(self, app_id: str, *, fence: Fence) -> None:
        await super().remove(app_id, fence=fence)
        if app_id in self.commands:
            self.cut.add(self.commands.pop(app_id))
