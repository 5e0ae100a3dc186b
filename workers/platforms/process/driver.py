"""The driver of the embedded platform: passes the five verbs to the runner over its unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from service.domain.errors import Refused, Transient
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
    SandboxRun,
    Unhealthy,
)
from workers.platforms.process import wire


class ProcessPlatform:
    """A `Platform` and a `SandboxRunner`. Each call has a connection of its own, so a new runner is simply found."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def apply(self, spec: AppSpec, *, fence: Fence, log: Log, go_live: GoLive) -> None:
        """See `Platform`."""
        prepared = await self._ask(wire.Prepare(spec=spec, fence=fence), log=log)
        try:
            await go_live(_sorted(prepared.endpoints))
        except Fenced:
            # Only then it is sure that no route leads there. After any other failure the transaction may have been
            # committed: what is prepared stays for a successor to adopt, and ends by itself if none comes.
            with contextlib.suppress(Transient, Fenced):
                await self._ask(wire.Discard(app_id=spec.app_id, release_id=spec.release_id, fence=fence))
            raise
        await self._ask(wire.Activate(spec=spec, fence=fence))

    async def remove(self, app_id: str, *, fence: Fence) -> None:
        """See `Platform`."""
        await self._ask(wire.Remove(app_id=app_id, fence=fence))

    async def run(self, name: str, spec: AppSpec, command: str, *, fence: Fence, log: Log, seconds: float) -> int:
        """See `Platform`."""
        request = wire.Run(name=name, spec=spec, command=command, seconds=seconds, fence=fence)
        return _code(await self._ask(request, log=log))

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
        return _code(await self._ask(wire.Build(name=name, run=run), log=log))

    async def forget(self, name: str) -> None:
        """See `SandboxRunner`."""
        await self._ask(wire.Forget(name=name))

    async def _ask(self, request: wire.Request, *, log: Log | None = None) -> wire.Done:
        async with self._connection() as (reader, writer):
            writer.write(wire.encode(request))
            acks = _Acks(writer)
            while isinstance(reply := await _next(reader), wire.Said):
                if log and reply.to is not None:
                    await acks.pass_on(reply.text, reply.to, log)
                elif log:
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


class _Acks:
    """Tells the runner what of a command's output need not be told to a successor."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._kept = 0

    async def pass_on(self, text: str, to: int, log: Log) -> None:
        """Write a piece that ends at the offset `to`, and acknowledge it once it is kept; no text means the end."""
        if not isinstance(log, KeepingLog):
            await log.write(text)
            self._keep(to)
        elif text:
            await log.write_then(text, lambda: self._keep(to))
        else:
            await log.settle()
        if not text:
            self._tell(last=True)

    def _keep(self, to: int) -> None:
        self._kept = to
        self._tell()

    def _tell(self, *, last: bool = False) -> None:
        if not self._writer.is_closing():
            self._writer.write(wire.encode(wire.Ack(to=self._kept, last=last)))


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
