"""The runner: the only privileged process. Keeps apps alive as wanted and takes commands on a unix socket.

It holds nothing that it could not find again: what is wanted is on disk, what runs is found by its shims. Killing it
leaves every app serving; the next one takes up where it was.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import structlog

from service import ending
from service.domain.errors import Refused, Transient
from service.domain.model import Position
from service.log import configure
from workers.platforms.base import Fenced, Lost, Unhealthy
from workers.platforms.process import cgroups, indexes, levels, reading, wire
from workers.platforms.process.apps import Apps
from workers.platforms.process.host import FULL, Host, Paths, Timing
from workers.platforms.process.runs import Command, Runs
from workers.platforms.process.stopping import label

log = structlog.get_logger()
Send = Callable[[wire.Reply], Awaitable[None]]
_PEER = struct.Struct("3i")
_KINDS = {Fenced: "fenced", Lost: "lost", Unhealthy: "unhealthy", Refused: "refused", Transient: "transient"}


class Runner:
    """Answers the driver's commands."""

    def __init__(self, host: Host, timing: Timing, peers: frozenset[int]) -> None:
        self._host = host
        self._peers = peers
        self._apps = Apps(host, timing)
        self._runs = Runs(host)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    async def resume(self) -> None:
        """Take up what runs and start what is wanted."""
        await self._apps.resume()
        self._runs.resume()

    async def close(self) -> None:
        """Let everything go on without us."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(self._apps.let_go(), self._runs.let_go())

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one command."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            sock: socket.socket = writer.get_extra_info("socket")
            uid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
            if uid not in self._peers:
                log.warning("peer refused", uid=uid)
                return
            with contextlib.suppress(ConnectionError):
                request = await wire.read_request(reader)
                if request is not None:
                    await self._answer(request, reader, writer)

    async def _answer(self, request: wire.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        send = _sender(writer)
        try:
            self._check(request)
            reply = await self._do(request, reader, send)
        except (Fenced, Lost, Unhealthy, Refused, Transient) as error:
            reply = wire.Failed(kind=_KINDS[type(error)], text=str(error))
        except asyncio.CancelledError:
            if self._ending:
                raise  # whoever asked sees us go; one that does not read would keep us for ever
            # Not the connection but the command was cancelled: another one for the same app has come.
            reply = wire.Failed(kind="transient", text="a later command for this app has taken over")
        except ConnectionError:
            return
        except OSError as error:
            log.exception("command failed", command=type(request).__name__)
            reply = wire.Failed(kind="transient", text=f"the runner could not do it: {error}")
        await send(reply)

    def _check(self, request: wire.Request) -> None:
        """Refuse what this machine cannot isolate well enough, and what is no business of apps and builds."""
        match request:
            case wire.Prepare(spec=spec) | wire.Run(spec=spec) | wire.OneOff(spec=spec):
                self._host.check()
                self._host.check_slug(spec.slug_dir)
            case wire.Build(run=run):
                self._host.check()
                self._host.check_trust(run.trust)
                self._host.check_binds(run.binds)
            case _:
                pass

    async def _do(self, request: wire.Request, reader: asyncio.StreamReader, send: Send) -> wire.Reply:
        match request:
            case wire.Prepare(spec, fence):
                app = self._apps.get(spec.app_id)
                return wire.Done(endpoints=await app.prepare(spec, fence, _progress(send)))
            case wire.Activate(spec, fence):
                await self._apps.get(spec.app_id).activate(spec, fence)
            case wire.Discard(app_id, release_id, fence):
                await self._apps.get(app_id).discard(release_id, fence)
            case wire.Remove(app_id, fence):
                await self._apps.remove(app_id, fence, lambda: self._runs.end_of_app(app_id))
            case wire.Restart(app_id, process, fence):
                await self._apps.get(app_id).restart(process, fence)
            case wire.Run() | wire.Build() | wire.OneOff():
                return await self._command(request, reader, send)
            case wire.StopOneOff() | wire.ForgetOneOff() | wire.FindLine() | wire.Forget():
                return await self._about_command(request)
            case wire.Observe():
                await self._runs.tidy()
                return wire.Done(instances=(*self._apps.instances(), *self._runs.one_offs()))
            case wire.Logs():
                await self._logs(request, reader, send)
            case _:
                assert_never(request)
        return wire.Done()

    async def _command(
        self, request: wire.Run | wire.Build | wire.OneOff, reader: asyncio.StreamReader, send: Send
    ) -> wire.Reply:
        match request:
            case wire.Run():
                return await self._stream(await self._run(request), request.known, reader, send)
            case wire.Build(name, run, known):
                command = self._runs.attach(
                    "build", name, seconds=run.seconds, build=run,
                    start=lambda keeper, owner: self._host.start_build(keeper, run, owner=owner),
                )  # fmt: skip
                return await self._stream(command, known, reader, send)
            case wire.OneOff():
                return await self._one_off(request, reader, send)
            case _:
                assert_never(request)

    async def _about_command(
        self, request: wire.StopOneOff | wire.ForgetOneOff | wire.FindLine | wire.Forget
    ) -> wire.Reply:
        match request:
            case wire.StopOneOff(app_id, one_off_id):
                await self._runs.stop(app_id, one_off_id)
            case wire.ForgetOneOff(app_id, one_off_id):
                await self._runs.forget_one_off(app_id, one_off_id)
            case wire.FindLine(app_id, one_off_id):
                return wire.Done(endpoints=(await self._runs.line(app_id, one_off_id),))
            case wire.Forget(name):
                await self._runs.forget("build", name)
            case _:
                assert_never(request)
        return wire.Done()

    async def _logs(self, request: wire.Logs, reader: asyncio.StreamReader, send: Send) -> None:
        async def lines() -> None:
            path = self._apps.get(request.app_id).log
            wanted = reading.log_lines(path, follow=request.follow, lines=request.lines, process=request.process)
            async for line in wanted:
                await send(wire.Said(text=line))

        await _unless_hung_up(reader, lines())

    async def _run(self, request: wire.Run) -> Command:
        """Start or find it. One of another name is left from a request that was cancelled: never two at once."""
        spec = request.spec
        await self._apps.get(spec.app_id).accept(request.fence)
        await self._runs.end_others(spec.app_id, request.name)
        await self._apps.get(spec.app_id).accept(request.fence)  # somebody newer may have come meanwhile
        return self._runs.attach(
            "run", request.name, app_id=spec.app_id, seconds=request.seconds,
            start=lambda keeper, _: self._host.start_command(keeper, spec, request.command, dyno=request.name),
        )  # fmt: skip

    async def _one_off(self, request: wire.OneOff, reader: asyncio.StreamReader, send: Send) -> wire.Reply:
        """Start it if the app is wanted here, between two looks at which nobody else has a turn; tell its end."""
        spec, wanted = request.spec, request.wanted
        command = self._runs.find(spec.app_id, wanted.id)
        if command is None and not (request.begin and self._runs.may_begin(spec.app_id, wanted.id)):
            self._runs.bar(spec.app_id, wanted.id)
            raise Lost(f"{wanted.name} is not known here: nobody knows how it ended")
        if command is None and self._apps.get(spec.app_id).wanted is None:
            raise Refused(f"{spec.app_name} does not run here (any more), and nothing beside it.")
        if command is None:
            command = self._runs.begin_one_off(
                spec, wanted, seconds=request.seconds,
                start=lambda keeper, _: self._host.start_one_off(keeper, spec, wanted),
            )  # fmt: skip
        await command.started.wait()
        await send(wire.Said(text=""))
        await _unless_hung_up(reader, command.wait())
        return wire.Done(code=self._runs.result(command))

    async def _stream(
        self, command: Command, known: Position | None, reader: asyncio.StreamReader, send: Send
    ) -> wire.Reply:
        """Pass on what the driver has not got of the output, and at last the exit code."""
        begin = known.offset if known is not None and known.run == command.run else 0

        async def tell() -> None:
            async for text, offset in reading.command_output(command, begin):
                await send(wire.Said(text=text, to=Position(run=command.run, offset=offset)))

        await _unless_hung_up(reader, tell())
        return wire.Done(code=self._runs.result(command))


async def _unless_hung_up(reader: asyncio.StreamReader, telling: Coroutine[None, None, None]) -> None:
    """Tell, for as long as there is a driver who listens; raises `ConnectionError` when there is none any more."""
    told, hung_up = asyncio.create_task(telling), asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({told, hung_up}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hung_up.cancel()
        told.cancel()
        await asyncio.wait({told, hung_up})
    if told.cancelled():
        raise ConnectionAbortedError("the driver has hung up")
    told.result()


def _sender(writer: asyncio.StreamWriter) -> Send:
    async def send(reply: wire.Reply) -> None:
        writer.write(wire.encode(reply))
        await writer.drain()

    return send


def _progress(send: Send) -> Callable[[str], Awaitable[None]]:
    """A boot goes on when its driver has hung up: a successor will ask again."""

    async def say(text: str) -> None:
        with contextlib.suppress(ConnectionError):
            await send(wire.Said(text=text))

    return say


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o666)  # who may command is told by the peer's uid
    return sock


async def serve(
    data: Path, path: Path, *, timing: Timing | None = None, worker: int | None = None, router: int | None = None,
    ready: asyncio.Event | None = None, hosts: frozenset[str] = frozenset(), weak: bool = False,
) -> None:  # fmt: skip
    """Serve until cancelled; raises `Refused` where another runner serves.

    `worker` is the uid that may give commands and `router` the one that may connect to apps, besides root and our own;
    `hosts` are reached by builds besides the indexes. With `weak`, apps run even where no sandbox can be had.
    """
    with _only_one(data):
        await _serve(data, path, timing=timing, worker=worker, router=router, ready=ready, hosts=hosts, weak=weak)


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Two that keep the same apps would each start what the other has ended."""
    place = data / "run/runner.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"a runner keeps the apps in {data} already") from None
        yield


async def _serve(
    data: Path, path: Path, *, timing: Timing | None, worker: int | None, router: int | None,
    ready: asyncio.Event | None, hosts: frozenset[str], weak: bool,
) -> None:  # fmt: skip
    level = replace(await asyncio.to_thread(levels.probe), weak=weak)
    found = indexes.find(os.environ, home=Path.home())
    found = indexes.Indexes(hosts=found.hosts | hosts, env=found.env, ca_bundle=found.ca_bundle)
    allowed = cgroups.find_again(label(data), Paths(data=data).groups) if level.name == FULL else None
    dialers = frozenset({0, os.getuid(), *([] if router is None else [router])})
    commanders = frozenset({0, os.getuid(), *([] if worker is None else [worker])})
    host = Host(Paths(data=data), level=level, cgroups=allowed, found=found, peers=dialers, clients=commanders)
    await asyncio.to_thread(host.prepare)
    runner = Runner(host, timing or Timing(), commanders)
    await runner.resume()
    server = await asyncio.start_unix_server(runner.connected, sock=_listen(path), limit=wire.LINE_MOST)
    log.info("runner ready", isolation=level.name, why=level.why, cgroups=type(allowed).__name__)
    if ready:
        ready.set()
    try:
        await server.serve_forever()
    finally:
        server.close()
        await runner.close()


async def _until_told(serving: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(serving)
    ending.when_told(task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    """`python -m workers.platforms.process.runner --data DIR`."""
    parser = argparse.ArgumentParser(description="Keeps the apps of the embedded platform running.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--socket", type=Path, help="default: DATA/run/runner.sock")
    parser.add_argument("--worker-uid", type=int, help="who may give commands")
    parser.add_argument("--router-uid", type=int, help="who may connect to apps")
    parser.add_argument("--allow-host", action="append", default=[], help="a host that builds may reach")
    parser.add_argument("--allow-weak-isolation", action="store_true", help="run apps where there are no sandboxes")
    parser.add_argument("--log", default="console", choices=["console", "json"], help="how to log")
    given = parser.parse_args()
    configure(given.log)
    data: Path = given.data.absolute()
    path = given.socket or data / "run/runner.sock"
    serving = serve(
        data, path, worker=given.worker_uid, router=given.router_uid, hosts=frozenset(given.allow_host),
        weak=given.allow_weak_isolation,
    )  # fmt: skip
    try:
        asyncio.run(_until_told(serving))
    except Refused as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
