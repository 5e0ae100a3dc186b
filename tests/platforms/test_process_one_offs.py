"""What people run beside an app on the embedded platform: once, with or without them, and never longer than the app."""

import asyncio
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from tests.platforms.conftest import FENCE, Collected, Engine
from tests.waiting import until
from workers.platforms.base import Attach, Fence, Line, Lost, OneOffSpec

TTY, PIPES = Attach(tty=True, lines=31, columns=91), Attach(tty=False)


async def _nothing() -> None:
    pass


async def run(engine: Engine, command: str, *, id_: str = "1", name: str = "run.1001", **more) -> int:
    """A one-off from its beginning to its end."""
    options = {"seconds": 30.0, "begin": True, "begun": _nothing} | {
        key: more.pop(key) for key in ("seconds", "begin", "begun") if key in more
    }
    wanted = OneOffSpec(id=id_, name=name, command=command, attach=more.pop("attach", None))
    return await engine.platform.one_off(engine.spec(**more), wanted, **options)


@dataclass
class Client:
    """Whoever is attached, and what they have seen."""

    line: Line
    seen: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    code: int | None = None

    async def read(self) -> None:
        while (message := await self.line.receive()) is not None:
            kind, content = message[:1], message[1:]
            if kind == b"x":
                self.code = int(content)
            else:
                (self.seen if kind == b"o" else self.errors).extend(content)
        await self.line.close()

    async def sees(self, words: bytes) -> None:
        await until(lambda: words in self.seen, what=f"{words!r}, after {bytes(self.seen[-300:])!r}")


@asynccontextmanager
async def attached(engine: Engine, command: str, attach: Attach, **more) -> AsyncIterator[tuple[Client, asyncio.Task]]:
    begun = asyncio.Event()

    async def note() -> None:
        begun.set()

    running = asyncio.create_task(run(engine, command, attach=attach, begun=note, **more))
    await asyncio.wait({running, waiting := asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    client = Client(await engine.platform.line("app-1", more.get("id_", "1")))
    reading = asyncio.create_task(client.read())
    try:
        yield client, running
    finally:
        await client.line.close()
        await asyncio.wait({running, reading}, timeout=20)


async def logged(engine: Engine, process: str) -> list[str]:
    lines = engine.platform.logs("app-1", follow=False, lines=100, process=process)
    return [line.partition(" ")[2] async for line in lines]


async def test_one_that_nobody_is_attached_to_writes_to_the_log_of_the_app_and_is_begun_once(engine: Engine) -> None:
    await engine.up(engine.spec())
    command = 'echo "$GREETING from $DYNO"; [ -z "$(head -c 1)" ] && exit 3'
    assert await run(engine, command) == 3
    assert await run(engine, "echo never") == 3
    await engine.restart()
    assert await run(engine, "echo never", begin=False) == 3
    assert await logged(engine, "run.1001") == [
        "app[run.1001]: hello from run.1001",
        "towpath[run.1001]: exited with status 3",
    ]
    with pytest.raises(Lost, match=r"run\.1001 is not known here"):
        await run(engine, "echo never", id_="other", begin=False)
    await engine.platform.stop_one_off("app-1", "late")
    for over in ("other", "late"):
        with pytest.raises(Lost, match="nobody knows how it ended"):
            await run(engine, "echo never", id_=over)


async def test_nothing_is_left_of_one_that_is_forgotten_and_it_is_not_begun_again(engine: Engine) -> None:
    await engine.up(engine.spec())
    assert await run(engine, "exit 3") == 3
    going = asyncio.create_task(run(engine, "sleep 76543", id_="2"))
    await until(lambda: _runs(b"sleep\x0076543"))
    assert len(_kept(engine)) == 2
    for id_ in ("1", "2", "unknown"):
        await engine.platform.forget_one_off("app-1", id_)
    assert _kept(engine) == []
    await asyncio.wait_for(asyncio.gather(going, return_exceptions=True), 5.0)
    assert not _runs(b"sleep\x0076543")
    for id_ in ("1", "2", "unknown"):
        with pytest.raises(Lost, match="nobody knows how it ended"):
            await run(engine, "echo never", id_=id_)


async def test_one_that_nobody_says_to_be_recorded_is_kept_for_a_week(engine: Engine) -> None:
    await engine.up(engine.spec())
    assert await run(engine, "exit 3") == 3
    await engine.platform.observe()
    assert len(_kept(engine)) == 1
    engine.prelude = "from workers.platforms.process import runs; runs._KEPT = 1.0"
    await engine.restart()
    assert await run(engine, "exit 4", id_="2") == 4

    async def gone() -> bool:
        await engine.platform.observe()
        return _kept(engine) == []

    await until(gone)


def _kept(engine: Engine) -> list[Path]:
    """What the runner keeps of commands."""
    return list((engine.data / "run/x").iterdir())


async def test_a_terminal_has_its_size_and_its_keys_and_is_the_commands_own(engine: Engine) -> None:
    await engine.up(engine.spec())
    command = (
        "trap 'echo interrupted' INT; trap 'stty size' WINCH; stty size; test -t 0 && test -t 1 && test -t 2 && "
        'echo all; (echo to the terminal > /dev/tty); while read -r word; do echo "got $word"; done; exit 7'
    )
    async with attached(engine, command, TTY) as (client, running):
        await client.sees(b"31 91\r\nall\r\nto the terminal\r\n")
        await client.line.send(b"i\x03")
        await client.sees(b"interrupted\r\n")
        await client.line.send(b"w" + struct.pack(">HH", 40, 120))
        await client.line.send("iwörd\n".encode())
        await client.sees("40 120\r\ngot wörd\r\n".encode())
        await client.line.send(b"i\x04")
        assert await running == 7
        await until(lambda: client.code == 7)


async def test_an_interactive_shell_controls_its_jobs(engine: Engine) -> None:
    await engine.up(engine.spec())
    async with attached(engine, "PS1='$ ' exec bash --norc -i", TTY) as (client, running):
        await client.line.send(b"isleep 98765\n")
        await until(lambda: _runs(b"sleep\x0098765", in_front=True))
        await client.line.send(b"i\x1a")
        await client.sees(b"Stopped                 sleep 98765\r\n$ ")
        await client.line.send(b"ikill -9 %1; disown %1; exit 5\n")
        assert await running == 5
    assert b"no job control" not in client.seen


def _runs(command: bytes, *, in_front: bool = False) -> bool:
    """Whether it is there, and has the terminal, for which a shell takes a moment."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cmdline").read_bytes().startswith(command):
                _, _, group, _, _, foreground, *_ = (path / "stat").read_text().rpartition(")")[2].split()
                return group == foreground or not in_front
        except OSError:
            continue
    return False


async def test_without_a_terminal_bytes_pass_as_they_are_and_errors_apart(engine: Engine) -> None:
    await engine.up(engine.spec())
    data = os.urandom(3 * 1024 * 1024)
    async with attached(engine, "cat; echo trouble >&2; exit 4", PIPES) as (client, running):
        for start in range(0, len(data), 65536):
            await client.line.send(b"i" + data[start : start + 65536])
        await client.line.send(b"e")
        assert await running == 4
        await until(lambda: client.code == 4)
        assert hashlib.sha256(client.seen).digest() == hashlib.sha256(data).digest()
        assert client.errors == b"trouble\n"
    assert await logged(engine, "run.1001") == ["towpath[run.1001]: exited with status 4"]


@pytest.mark.parametrize("attach", [TTY, PIPES], ids=["with a terminal", "without one"])
async def test_a_client_that_goes_hangs_the_command_up(engine: Engine, attach: Attach) -> None:
    await engine.up(engine.spec())
    command = "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done"
    async with attached(engine, command, attach) as (client, running):
        await client.sees(b"ready")
        with pytest.raises(Refused, match="attached to it already"):
            await engine.platform.line("app-1", "1")
    assert await running == 9
    async with attached(engine, "echo ready; sleep 100", attach, id_="2") as (client, running):
        await client.sees(b"ready")
    assert await running == 129


async def test_one_whose_client_never_comes_does_not_begin(engine: Engine) -> None:
    await engine.up(engine.spec())
    assert await run(engine, "echo begun", attach=Attach(tty=True, seconds=0.3)) == 129
    assert await logged(engine, "run.1001") == ["towpath[run.1001]: exited with status 129"]


async def test_several_run_beside_the_app_until_each_is_stopped_and_no_script_ends_them(engine: Engine) -> None:
    await engine.up(engine.spec())
    running = {
        number: asyncio.create_task(run(engine, "echo up; sleep 100", id_=str(number), name=f"run.{number}"))
        for number in (1001, 1002, 1003)
    }
    brief = run(engine, "echo up; sleep 100", id_="1004", name="run.1004", seconds=2.0)
    running[1004] = asyncio.create_task(brief)

    async def all_up() -> bool:
        return [await logged(engine, f"run.{number}") for number in running] == [
            [f"app[run.{number}]: up"] for number in running
        ]

    await until(all_up)
    assert await engine.run("echo a script") == (0, "a script\n")
    seen = {one.process: one.one_off for one in await engine.platform.observe()}
    assert seen == {"web.1": "", **{f"run.{number}": str(number) for number in running}}
    await engine.platform.stop_one_off("app-1", "1001")
    assert await running[1001] == 143
    assert await running[1004] == 124
    await engine.restart()
    for number in (1002, 1003):
        with pytest.raises(Transient):
            await running[number]
    assert {one.process for one in await engine.platform.observe()} == {"web.1", "run.1002", "run.1003"}
    await engine.platform.remove("app-1", fence=FENCE)
    assert engine.processes() == []
    with pytest.raises(Refused, match="does not run here"):
        await run(engine, "echo never", id_="late")


async def test_one_goes_on_with_its_client_though_the_runner_dies(engine: Engine) -> None:
    await engine.up(engine.spec())
    async with attached(engine, "read word; echo got $word; exit 6", PIPES) as (client, running):
        await engine.end()
        with pytest.raises(Transient):
            await running
        await client.line.send(b"ihello\n")
        await client.sees(b"got hello\n")
        await until(lambda: client.code == 6)
        await engine.start()
        assert await run(engine, "echo never", begin=False) == 6


async def test_a_release_that_is_prepared_or_removed_meanwhile_is_not_held_up(engine: Engine) -> None:
    await engine.up(engine.spec())
    beside = asyncio.create_task(run(engine, "sleep 87654"))
    await until(lambda: _runs(b"sleep\x0087654"))
    routes = await engine.up(engine.spec("r2", greeting="second"), fence=Fence(generation=1, token=2))
    assert await routes.get() == "second"
    await engine.platform.stop_one_off("app-1", "1")
    assert await beside == 143
    log = Collected()
    await engine.platform.apply(
        engine.spec("r2", processes=()), fence=Fence(generation=2, token=2), log=log, go_live=_no_routes
    )
    assert await run(engine, "exit 8", id_="2") == 8


async def _no_routes(_endpoints: object) -> None:
    pass


async def a_terminal_and_pipes(engine: Engine) -> None:
    """What holds whatever the level of isolation; an app runs."""
    command = "trap 'exit 9' HUP; stty size; echo to it > /dev/tty; cat; while :; do sleep 0.05; done"
    async with attached(engine, command, TTY) as (client, running):
        await client.sees(b"31 91\r\nto it\r\n")
        await client.line.send(b"e")
        await client.line.send(b"h")
    assert await running == 9
    async with attached(engine, "cat; exit 4", PIPES, id_="2") as (client, running):
        await client.line.send(b"i\xff\x00")
        await client.line.send(b"e")
        assert await running == 4
        await until(lambda: client.code == 4)
        assert client.seen == b"\xff\x00"
