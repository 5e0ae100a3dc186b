"""A small engine in memory: it keeps the fence as real ones do, and can be told to fail, to hang or to lie."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from workers.platforms.base import (
    AppSpec,
    Endpoint,
    Fence,
    Fenced,
    GoLive,
    Instance,
    InstanceState,
    Log,
    Lost,
    OneOffSpec,
    SandboxRun,
)


class NoLine:
    """Nobody attaches to anything here."""

    async def send(self, message: bytes) -> None:
        raise NotImplementedError

    async def receive(self) -> bytes | None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


@dataclass
class MemoryPlatform:
    """`told` is the build config of each build, `cached` what it found in its cache, where it leaves a file itself.

    `script` holds what the next calls of a verb raise, if anything, in order; `hold` keeps a verb waiting until it is set.
    """

    running: dict[str, AppSpec] = field(default_factory=dict)
    fences: dict[str, Fence] = field(default_factory=dict)
    script: dict[str, list[Exception | None]] = field(default_factory=lambda: defaultdict(list))
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    exit_codes: dict[str, int] = field(default_factory=dict)
    building: set[str] = field(default_factory=set)
    unlocked: bool = False
    leaves: str = ""
    told: list[dict[str, str]] = field(default_factory=list)
    cached: list[set[str]] = field(default_factory=list)
    one_offs: dict[str, tuple[AppSpec, OneOffSpec, asyncio.Future[int]]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    crashed: set[str] = field(default_factory=set)

    async def _begin(self, verb: str, app_id: str, fence: Fence) -> None:
        self.calls.append(verb)
        if fence < self.fences.get(app_id, fence):
            raise Fenced(app_id)
        self.fences[app_id] = fence
        if verb in self.hold:
            await self.hold[verb].wait()
        if self.script[verb] and (error := self.script[verb].pop(0)):
            raise error

    async def apply(self, spec: AppSpec, *, fence: Fence, log: Log, go_live: GoLive) -> None:
        await self._begin("apply", spec.app_id, fence)
        await log.write("starting\n")
        web = next((each.quantity for each in spec.processes if each.type == "web"), 0)
        await go_live([Endpoint(process=f"web.{n + 1}", address=f"tcp:{spec.app_name}:{n}") for n in range(web)])
        self.running[spec.app_id] = spec

    async def remove(self, app_id: str, *, fence: Fence) -> None:
        await self._begin("remove", app_id, fence)
        self.running.pop(app_id, None)

    async def run(self, name: str, spec: AppSpec, command: str, *, fence: Fence, log: Log, seconds: float) -> int:
        if name not in self.exit_codes:
            await self._begin("run", spec.app_id, fence)
            await log.write(f"{command} within {seconds:.0f} s\n")
            self.exit_codes[name] = 0
        return self.exit_codes[name]

    async def observe(self) -> Sequence[Instance]:
        return [
            Instance(
                app_id=spec.app_id,
                release_id=spec.release_id,
                process=(name := f"{process.type}.{number + 1}"),
                state=InstanceState.CRASHED if name in self.crashed else InstanceState.UP,
                since=datetime.now(UTC),
                endpoint=Endpoint(process=process.type, address=f"tcp:{spec.app_name}:{number}"),
            )
            for spec in self.running.values()
            for process in spec.processes
            for number in range(process.quantity)
        ] + [
            Instance(
                app_id=spec.app_id,
                release_id=spec.release_id,
                process=wanted.name,
                state=InstanceState.UP,
                since=datetime.now(UTC),
                one_off=wanted.id,
            )
            for spec, wanted, end in self.one_offs.values()
            if not end.done()
        ]

    async def restart(self, app_id: str, process: str, *, fence: Fence) -> None:
        await self._begin("restart", app_id, fence)
        self.restarted.append(process)

    async def one_off(
        self, spec: AppSpec, wanted: OneOffSpec, *, seconds: float, begin: bool, begun: Callable[[], Awaitable[None]]
    ) -> int:
        self.calls.append("one_off")
        if self.script["one_off"] and (error := self.script["one_off"].pop(0)):
            raise error
        if begin and "one_off" in self.hold:
            await self.hold["one_off"].wait()
        if wanted.id not in self.one_offs:
            if not begin:
                raise Lost(f"{wanted.name} is not known here")
            self.one_offs[wanted.id] = (spec, wanted, asyncio.get_running_loop().create_future())
            self.begun.append(f"{wanted.command} within {seconds:.0f} s")
        await begun()
        return await asyncio.shield(self.one_offs[wanted.id][2])

    async def stop_one_off(self, app_id: str, one_off_id: str) -> None:
        if one_off_id in self.one_offs and not self.one_offs[one_off_id][2].done():
            assert self.one_offs[one_off_id][0].app_id == app_id
            self.one_offs[one_off_id][2].set_result(143)

    async def forget_one_off(self, app_id: str, one_off_id: str) -> None:
        await self.stop_one_off(app_id, one_off_id)
        self.one_offs.pop(one_off_id, None)

    async def line(self, app_id: str, one_off_id: str) -> "NoLine":
        raise NotImplementedError

    async def logs(self, app_id: str, *, follow: bool, lines: int, process: str = "") -> AsyncIterator[str]:
        for line in [f"{app_id} follow={follow} process={process}"][:lines]:
            yield line

    async def sandboxed(self, name: str, run: SandboxRun, *, log: Log) -> int:
        self.calls.append("sandboxed")
        self.building.add(name)
        places = {bind.inside: bind.host for bind in run.binds}
        self.told.append({file.name: file.read_text() for file in places["/env"].iterdir()})
        self.cached.append({file.name for file in places["/cache"].iterdir()})
        (places["/cache"] / str(len(self.cached))).touch()
        await log.write(f"{name}: {run.argv[0]} with {self.told[-1]}\n")
        if "sandboxed" in self.hold:
            await self.hold["sandboxed"].wait()
        if self.leaves:
            (places["/app"] / "left").write_text(self.leaves)
        if self.unlocked:
            (places["/out"] / "unlocked").touch()
        return 0

    async def forget(self, name: str) -> None:
        self.building.discard(name)
        self.exit_codes.pop(name, None)
