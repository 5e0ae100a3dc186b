"""The driver of the embedded platform: passes the five verbs to the runner over its unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from service.domain.errors import Refused, Transient
from service.domain.model import Position
from workers.platforms.base import (
    AppSpec,
    Endpoint,
    Fence,
    Fenced,
    GoLive,
    Instance,
    KeepingLog,
    Log,
    Lost,
    OneOffSpec,
    SandboxRun,
    Unhealthy,
)
from workers.platforms.process import wire
from workers.platforms.process.line import SocketLine


class ProcessPlatform:
    """A `Platform` with all further abilities. Each call has its own connection, so a new runner is simply found."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def apply(self, spec: AppSpec, *, fence: Fence, log: Log, go_live: GoLive) -> None:
        """See `Platform`."""
        prepared = await self._ask(wire.Prepare(spec=spec, fence=fence), log=log)
        try:
            await go_live(_sorted(prepared.endpoints))
        except (Fenced, Refused):
            # Only then it is sure that no route leads there. After any other failure the transaction may have been
            # committed: what is prepared stays for a successor to adopt, and ends by itself if none comes.
            with contextlib.suppress(Transient, Fenced):
                await self._ask(wire.Discard(app_id=spec.app_id, release_id=spec.release_id, fence=fence))
            raise
        await self._ask(wire.Activate(spec=spec, fence=fence))

    async def remove(self, app_id: str, *, fence: Fence) -> None:
        """See `Platform`."""
        await self._ask(wire.Remove(app_id=app_id, fence=fence))

    async def restart(self, app_id: str, process: str, *, fence: Fence) -> None:
        """See `Restarts`."""
        await self._ask(wire.Restart(app_id=app_id, process=process, fence=fence))

    async def run(self, name: str, spec: AppSpec, command: str, *, fence: Fence, log: Log, seconds: float) -> int:
        """See `Platform`."""
        known = await _known(log, name)
        request = wire.Run(name=name, spec=spec, command=command, seconds=seconds, fence=fence, known=known)
        return await self._follow(request, name, log)

    async def observe(self) -> Sequence[Instance]:
        """See `Platform`."""
        return (await self._ask(wire.Observe())).instances

    async def logs(self, app_id: str, *, follow: bool, lines: int, process: str = "") -> AsyncIterator[str]:
        """See `Platform`."""
        async with self._connection() as (reader, writer):
            wanted = wire.Logs(app_id=app_id, follow=follow, lines=lines, process=process)
            writer.write(wire.encode(wanted))
            while isinstance(reply := await _next(reader), wire.Said):
                yield reply.text
            _done(reply)

    async def sandboxed(self, name: str, run: SandboxRun, *, log: Log) -> int:
        """See `SandboxRunner`."""
        return await self._follow(wire.Build(name=name, run=run, known=await _known(log, name)), name, log)

    async def one_off(
        self, spec: AppSpec, wanted: OneOffSpec, *, seconds: float, begin: bool, begun: Callable[[], Awaitable[None]]
    ) -> int:
        """See `OneOffs`."""
        async with self._connection() as (reader, writer):
            writer.write(wire.encode(wire.OneOff(spec=spec, wanted=wanted, seconds=seconds, begin=begin)))
            while isinstance(reply := await _next(reader), wire.Said):
                await begun()
        return _code(_done(reply))

    async def stop_one_off(self, app_id: str, one_off_id: str) -> None:
        """See `OneOffs`."""
        await self._ask(wire.StopOneOff(app_id=app_id, one_off_id=one_off_id))

    async def forget_one_off(self, app_id: str, one_off_id: str) -> None:
        """See `OneOffs`."""
        await self._ask(wire.ForgetOneOff(app_id=app_id, one_off_id=one_off_id))

    async def line(self, app_id: str, one_off_id: str) -> SocketLine:
        """See `OneOffs`."""
        found = await self._ask(wire.FindLine(app_id=app_id, one_off_id=one_off_id))
        return await SocketLine.connect(Path(found.endpoints[0].address.removeprefix("unix:")))

    async def forget(self, name: str) -> None:
        """See `SandboxRunner`."""
        await self._ask(wire.Forget(name=name))

    async def _follow(self, request: wire.Run | wire.Build, name: str, log: Log) -> int:
        """Have a command run, its output passed on and kept, and return its exit code."""
        async with self._connection() as (reader, writer):
            writer.write(wire.encode(request))
            while isinstance(reply := await _next(reader), wire.Said):
                if isinstance(log, KeepingLog) and reply.to is not None:
                    await log.write_from(reply.text, source=name, position=reply.to)
                else:
                    await log.write(reply.text)
        if isinstance(log, KeepingLog):
            await log.settle()
        return _code(_done(reply))

    async def _ask(self, request: wire.Request, *, log: Log | None = None) -> wire.Done:
        async with self._connection() as (reader, writer):
            writer.write(wire.encode(request))
            while isinstance(reply := await _next(reader), wire.Said):
                if log:
                    await log.write(reply.text)
            return _done(reply)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=wire.LINE_MOST)
        except OSError as error:
            raise Transient(f"the runner does not answer: {error}", retry_after=1.0) from error
        try:
            yield reader, writer
        except ConnectionError as error:
            raise Transient("the runner went away in the middle", retry_after=1.0) from error
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _known(log: Log, name: str) -> Position | None:
    """How far the log has the command's output already: whoever asked for it before may have died since."""
    return await log.position(name) if isinstance(log, KeepingLog) else None


async def _next(reader: asyncio.StreamReader) -> wire.Reply:
    reply = await wire.read_reply(reader)
    if reply is None:
        raise Transient("the runner went away in the middle", retry_after=1.0)
    return reply


def _done(reply: wire.Reply) -> wire.Done:
    match reply:
        case wire.Done():
            return reply
        case wire.Failed(kind="fenced", text=text):
            raise Fenced(text)
        case wire.Failed(kind="unhealthy", text=text):
            raise Unhealthy(text)
        case wire.Failed(kind="lost", text=text):
            raise Lost(text)
        case wire.Failed(kind="refused", text=text):
            raise Refused(text)
        case _:
            raise Transient(reply.text, retry_after=1.0)


def _code(done: wire.Done) -> int:
    if done.code is None:
        raise Transient("the runner told no exit code")
    return done.code


def _sorted(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(sorted(endpoints, key=lambda one: one.process))
