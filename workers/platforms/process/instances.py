"""One wanted process of a release: booted, watched, restarted with back-off, stopped."""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum, unique

import structlog

from workers.platforms.base import AppSpec, Endpoint, Instance, InstanceState
from workers.platforms.process import files, health
from workers.platforms.process.host import Host, Timing, boottime
from workers.platforms.process.keeper import Keeper

log = structlog.get_logger()
_GROWTH = 1.6  # from 1 s: the tenth restart comes after about three minutes, well within the ten that are judged


@unique
class Role(StrEnum):
    """What an instance is there for."""

    SPARE = "spare"  # prepared, without traffic
    LIVE = "live"
    DRAINING = "draining"


def directory_name(app_id: str, release_id: str, process: str) -> str:
    """The same for every restart of it, so that routes stay true."""
    return hashlib.blake2b(f"{app_id}\0{release_id}\0{process}".encode(), digest_size=6).hexdigest()


class Supervised:
    """An instance and the task that keeps it alive. `spec` is unknown for what an earlier runner left to be ended."""

    def __init__(
        self, *, app_id: str, release_id: str, process: str, role: Role, host: Host, timing: Timing,
        spec: AppSpec | None,
    ) -> None:  # fmt: skip
        self.app_id = app_id
        self.release_id = release_id
        self.process = process
        self.role = role
        self.spec = spec
        self.state = InstanceState.STARTING
        self.restarts = 0
        self.exit_code: int | None = None
        self.booted: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._since = datetime.now(UTC)
        self._host = host
        self._timing = timing
        self._crashes: deque[float] = deque()
        self._task: asyncio.Task[None] | None = None
        name = directory_name(app_id, release_id, process)
        self.keeper: Keeper = host.keeper(host.paths.instances / name)

    @property
    def web(self) -> bool:
        """Whether it gets a port and traffic."""
        return self.process.partition(".")[0] == "web"

    @property
    def watched(self) -> bool:
        """Whether this runner has taken it up."""
        return self._task is not None

    @property
    def failed(self) -> bool:
        """Whether it ended and is not restarted: a spare that crashed."""
        return self._task is not None and self._task.done()

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the router reaches it."""
        return Endpoint(process=self.process, address=f"unix:{self.keeper.socket}") if self.web else None

    def describe(self) -> Instance:
        """As `observe` reports it."""
        return Instance(
            app_id=self.app_id, release_id=self.release_id, process=self.process, state=self.state,
            since=self._since, endpoint=self.endpoint, exit_code=self.exit_code, restarts=self.restarts,
        )  # fmt: skip

    def become(self, role: Role) -> None:
        """Change what it is there for, and note it for the next runner."""
        self.role = role
        self.note()

    def note(self) -> None:
        """Write down what this directory is, so that a later runner knows."""
        about = {"app_id": self.app_id, "release_id": self.release_id, "process": self.process}
        path = self.keeper.directory
        path.mkdir(parents=True, exist_ok=True, mode=0o711)
        files.write_plain(path / "about", about | {"role": self.role.value, "at": boottime()})

    def watch(self) -> None:
        """Start the process unless it runs, and keep it so."""
        self._task = asyncio.create_task(self._watch(), name=f"{self.app_id} {self.process}")

    async def first_boot(self) -> str | None:
        """None when it came up, else why it did not, with the end of its output."""
        assert self._task is not None
        await asyncio.wait((self.booted, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not self.booted.done():
            self._task.result()  # raises what kept it from starting
        problem = self.booted.result()
        tail = health.last_lines(self.keeper.tail) if problem else ""
        return f"{problem}\n{tail}" if tail else problem

    async def _watch(self) -> None:
        while True:
            problem = await self._life()
            self._settle(problem)
            await self._say(problem)
            if self.role is not Role.LIVE:
                self._enter(InstanceState.CRASHED)
                return
            await self._back_off()

    async def _life(self) -> str:
        """From a start to the end; why it ended. A full disk or process table passes: what is live is tried again."""
        try:
            return await self._live()
        except OSError as error:
            if self.role is not Role.LIVE:
                raise
            log.exception("instance not kept", app=self.app_id, process=self.process)
            return f"{self.process} could not be started: {error}"

    async def _live(self) -> str:
        if not self.keeper.alive:
            await _to_the_end(self._start)
        self._enter(InstanceState.STARTING if self.state is not InstanceState.CRASHED else self.state)
        problem = await self._boot()
        if problem is None:
            self._enter(InstanceState.UP)
            self._settle(None)
            await self.keeper.ended()
            problem = self._why_ended()
        memory = self.keeper.out_of_memory
        await self.keeper.stop(0.0)
        self.exit_code = self.keeper.exit_code
        if memory and self.spec:
            problem += f"; it exceeded its memory limit of {self.spec.limits.memory_mb} MB"
        return problem

    def _settle(self, problem: str | None) -> None:
        if not self.booted.done():
            self.booted.set_result(problem)

    def _start(self) -> None:
        assert self.spec is not None
        command = next(one.command for one in self.spec.processes if one.type == self.process.partition(".")[0])
        self._host.start_instance(self.keeper, self.spec, command, process=self.process, web=self.web)

    async def _boot(self) -> str | None:
        """None when it is healthy, else why not."""
        assert self.spec is not None
        ended = asyncio.create_task(self.keeper.ended())
        healthy = asyncio.create_task(self._healthy(self.spec))
        limit = self.spec.boot_seconds if self.web else self._timing.steady + 1.0
        try:
            done, _ = await asyncio.wait({ended, healthy}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, healthy):
                task.cancel()
            await asyncio.wait({ended, healthy})
        if ended in done:
            return self._why_ended()
        if healthy in done:
            return None
        if self.spec.health_path and await self._listens():
            return f"{self.process} did not answer GET {self.spec.health_path} with 2xx or 3xx within {limit:g} s"
        return f"{self.process} did not listen on $PORT within {limit:g} s"

    async def _healthy(self, spec: AppSpec) -> None:
        path, poll = self.keeper.socket, self._timing.poll
        if not self.web:
            await asyncio.sleep(self._timing.steady)
        elif spec.health_path:
            await health.answers(path, spec.health_path, host=spec.app_name, poll=poll)
        else:
            await health.accepts(path, poll=poll)

    async def _listens(self) -> bool:
        connection = await health.connect(self.keeper.socket)
        if connection:
            connection.close()
        return connection is not None

    def _why_ended(self) -> str:
        code = self.keeper.exit_code
        if trouble := self.keeper.trouble:
            log.error("shim failed", app=self.app_id, process=self.process, text=trouble)
        return f"{self.process} " + ("was killed" if code is None else f"exited with status {code}")

    async def _back_off(self) -> None:
        now = time.monotonic()
        self._crashes.append(now)
        while self._crashes[0] < now - self._timing.crash_window:
            self._crashes.popleft()
        self.restarts += 1
        crashed = len(self._crashes) >= self._timing.crashes
        self._enter(InstanceState.CRASHED if crashed else InstanceState.STARTING)
        delay = self._timing.backoff * _GROWTH ** (len(self._crashes) - 1)
        delay = self._timing.backoff_most if crashed else min(delay, self._timing.backoff_most)
        log.info("instance restarts", app=self.app_id, process=self.process, after=delay, code=self.exit_code)
        await asyncio.sleep(delay)

    def _enter(self, state: InstanceState) -> None:
        if state is not self.state:
            self.state = state
            self._since = datetime.now(UTC)

    async def _say(self, text: str) -> None:
        await asyncio.to_thread(self._host.tell, self.app_id, self.process, text)

    async def stop(self, seconds: float) -> None:
        """End it for good; returns when nothing of it is left."""
        self._enter(InstanceState.STOPPING)
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._settle("it was stopped")
        await self.keeper.stop(seconds)
        await asyncio.to_thread(self.keeper.delete)

    async def let_go(self) -> None:
        """Stop watching; the process lives on."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})


async def _to_the_end(act: Callable[[], None]) -> None:
    """Run `act` in a thread, also if we are cancelled meanwhile: what it starts must be there to be ended."""
    running = asyncio.create_task(asyncio.to_thread(act))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
