"""One-off commands and build steps on the embedded platform: once, detached, found again."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from service.domain.model import Position, Trust
from tests.platforms.conftest import FENCE, Collected, Engine
from tests.waiting import until
from workers.platforms.base import Bind, Fence, Log, Lost, Network, SandboxRun
from workers.platforms.process import wire
from workers.platforms.process.files import delete
from workers.platforms.process.stopping import stop_all


async def test_a_command_returns_its_exit_code_and_output_and_the_code_stays_recorded(engine):
    assert await engine.run("echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
    assert await engine.run("echo never run again", name="one") == (3, "out\nerr\n")


async def test_a_command_that_takes_too_long_ends_with_124(engine):
    code, output = await engine.run("echo begun; sleep 100", seconds=0.5)
    assert (code, output) == (124, "begun\n")


async def test_a_command_killed_by_a_signal_tells_it_the_way_shells_do(engine):
    assert (await engine.run("kill -9 $$"))[0] == 137


async def test_a_command_runs_once_though_driver_and_runner_die_in_between(engine):
    kept = engine.data / "work/builds/kept"
    kept.mkdir(mode=0o777, parents=True)
    script = "echo one >> /kept/ran; echo first; until [ -e /kept/go ]; do sleep 0.02; done; echo second; exit 4"
    bind = Bind(host=kept, inside="/kept", writable=True)
    first_log = Collected()
    first = asyncio.create_task(_build(engine, script, bind, first_log))
    await until(lambda: first_log.text == "first\n")
    first.cancel()
    await asyncio.wait({first})
    await engine.restart()
    second_log = Collected()
    second = asyncio.create_task(_build(engine, script, bind, second_log))
    (kept / "go").touch()
    assert await second == 4
    assert second_log.text == "first\nsecond\n"
    assert (kept / "ran").read_text() == "one\n"


@dataclass
class Stored:
    """What outlives a worker."""

    text: str = ""
    positions: dict[str, Position] = field(default_factory=dict)


@dataclass
class Forgetful:
    """A log that stores what it is given when it is told to; before, everything dies with it."""

    stored: Stored
    given: list[tuple[str, str, Position]] = field(default_factory=list)

    async def write(self, text: str) -> None:
        raise AssertionError(f"{text!r} is to be kept")

    async def position(self, source: str) -> Position | None:
        return self.stored.positions.get(source)

    async def write_from(self, text: str, *, source: str, position: Position) -> None:
        self.given.append((text, source, position))

    async def settle(self) -> None:
        self.keep()

    def keep(self) -> None:
        while self.given:
            text, source, position = self.given.pop(0)
            self.stored.text += text
            self.stored.positions[source] = position


async def test_output_that_a_worker_had_not_kept_when_it_died_is_told_to_its_successor(engine):
    kept = engine.data / "work/builds/kept"
    kept.mkdir(mode=0o777, parents=True)
    step = "echo {0}; until [ -e /kept/{0} ]; do sleep 0.01; done; "
    script = step.format("first") + step.format("second") + "printf third"
    bind = Bind(host=kept, inside="/kept", writable=True)
    stored = Stored()
    log = Forgetful(stored)
    task = asyncio.create_task(_build(engine, script, bind, log))
    await until(lambda: log.given)
    log.keep()
    (kept / "first").touch()
    await until(lambda: log.given)
    task.cancel()
    await asyncio.wait({task})
    assert stored.text == "first\n"
    successor = Forgetful(stored)
    task = asyncio.create_task(_build(engine, script, bind, successor))
    await until(lambda: successor.given)
    (kept / "second").touch()
    assert await task == 0
    assert stored.text == "first\nsecond\nthird"
    assert await _build(engine, script, bind, Forgetful(stored)) == 0
    assert stored.text == "first\nsecond\nthird"


async def test_output_is_told_once_though_the_runner_dies_in_between(engine):
    kept = engine.data / "work/builds/kept"
    kept.mkdir(mode=0o777, parents=True)
    script = "echo first; until [ -e /kept/go ]; do sleep 0.01; done; echo second"
    bind = Bind(host=kept, inside="/kept", writable=True)
    stored = Stored()
    log = Forgetful(stored)
    task = asyncio.create_task(_build(engine, script, bind, log))
    await until(lambda: log.given)
    log.keep()
    await engine.restart()
    with pytest.raises(Transient):
        await task
    task = asyncio.create_task(_build(engine, script, bind, Forgetful(stored)))
    (kept / "go").touch()
    assert (await task, stored.text) == (0, "first\nsecond\n")


async def test_all_output_of_a_build_that_is_run_anew_under_its_name_is_told(engine):
    stored = Stored()
    bind = Bind(host=engine.data / "work/builds", inside="/kept", writable=False)
    bind.host.mkdir(parents=True, exist_ok=True)
    assert await _build(engine, "echo first, which is long", bind, Forgetful(stored)) == 0
    await engine.platform.forget("step")
    assert await _build(engine, "echo second", bind, Forgetful(stored)) == 0
    assert stored.text == "first, which is long\nsecond\n"


async def _build(engine: Engine, script: str, bind: Bind, log: Log) -> int:
    argv = ("/bin/bash", "-c", script)
    run = SandboxRun(trust=Trust.OWN, argv=argv, env={}, binds=(bind,), cwd="/", network=Network.NONE)
    return await engine.platform.sandboxed("step", run, log=log)


async def test_a_command_ends_and_is_recorded_while_there_is_no_runner(engine):
    log = Collected()
    spec = engine.spec()
    task = asyncio.create_task(
        engine.platform.run("x", spec, "echo begun; sleep 0.5; echo done; exit 6", fence=FENCE, log=log, seconds=20)
    )
    await until(lambda: log.text)
    await engine.end()
    with pytest.raises(Transient):
        await task
    await until(lambda: engine.processes() == [])
    await engine.start()
    again = Collected()
    assert await engine.platform.run("x", spec, "exit 0", fence=FENCE, log=again, seconds=20) == 6
    assert again.text == "begun\ndone\n"


async def test_a_command_lost_with_the_machine_is_told_as_lost_and_a_lost_build_is_tried_again(engine):
    log = Collected()
    tasks = [
        asyncio.create_task(
            engine.platform.run("x", engine.spec(), "echo on; sleep 100", fence=FENCE, log=log, seconds=90)
        ),
        asyncio.create_task(engine.build("echo on; sleep 100")),
    ]
    await until(lambda: log.text)
    await until(lambda: len(list((engine.data / "run/x").glob("*/out"))) == 2)
    await engine.end(signal.SIGTERM)
    await asyncio.gather(*tasks, return_exceptions=True)
    await stop_all(engine.data, seconds=0.2)
    assert engine.processes() == []
    assert engine.groups() == []
    await engine.start()
    for _ in range(2):
        with pytest.raises(Lost):
            await engine.run("exit 0", name="x")
    with pytest.raises(Transient, match="lost"):
        await engine.build("true")
    assert await engine.build("echo again") == (0, "again\n")


@pytest.mark.parametrize("boot", ["this boot", "an earlier boot"])
async def test_a_command_that_the_runner_had_no_time_to_begin_is_begun_by_the_next_one_if_nothing_else_can_be(
    engine, boot
):
    await engine.run("exit 0", name="x")
    await engine.end()
    (about,) = (engine.data / "run/x").glob("*/about")
    for file in set(about.parent.iterdir()) - {about}:
        delete(file)
    if boot == "an earlier boot":  # whose process ids nobody knows any more
        about.write_text(json.dumps(json.loads(about.read_text()) | {"boot": "another"}))
    await engine.start()
    if boot == "this boot":
        assert await engine.run("echo begun", name="x") == (0, "begun\n")
    else:
        with pytest.raises(Lost):
            await engine.run("echo begun", name="x")


async def test_a_build_writes_only_what_is_bound_writable_and_gives_it_back_to_the_runner(engine):
    source, cache = engine.data / "work/builds/source", engine.data / "work/builds/cache"
    for path in (source, cache):
        path.mkdir(parents=True)
    (source / "package").write_text("x")
    binds = (
        Bind(host=source, inside="/app", writable=True),
        Bind(host=cache, inside="/cache", writable=True),
        Bind(host=engine.slug(), inside="/buildpack"),
        Bind(host=engine.slug() / "app.py", inside="/single/file"),
    )
    script = """
        echo built > /app/built && rm /app/package && mkdir -p /cache/deep/er && ln -s /etc/passwd /app/link
        echo x > /buildpack/app.py || echo read-only
        cmp /single/file /buildpack/app.py && id -u; pwd; touch /tmp/much && echo tmp
    """
    code, output = await engine.build(script, *binds)
    assert code == 0
    assert output.splitlines()[-4:] == ["read-only", "1000", "/", "tmp"]
    assert (source / "built").read_text() == "built\n"
    assert not (source / "package").exists()
    for path in (source / "built", source / "link", cache / "deep/er"):
        assert path.lstat().st_uid == os.getuid()


async def test_an_end_that_cannot_be_recorded_at_once_is_recorded_when_it_can(engine):
    log = Collected()
    spec = engine.spec()
    waiting = asyncio.create_task(
        engine.platform.run("x", spec, "echo on; sleep 1; exit 5", fence=FENCE, log=log, seconds=20)
    )
    await until(lambda: log.text)
    (directory,) = (engine.data / "run/x").iterdir()
    (directory / "result").mkdir()  # as a full disk: nothing can take its place
    await until(lambda: engine.processes() == [])
    tried = asyncio.get_running_loop().time() + 0.5
    await until(lambda: asyncio.get_running_loop().time() > tried)
    (directory / "result").rmdir()
    assert await waiting == 5


async def test_forgetting_ends_a_build_and_frees_its_name(engine):
    task = asyncio.create_task(engine.build("echo on; sleep 100"))
    await until(engine.processes)
    await engine.platform.forget("build")
    assert (await asyncio.gather(task, return_exceptions=True))[0] is not None
    assert await engine.build("echo new") == (0, "new\n")
    await engine.platform.forget("build")
    await engine.platform.forget("unknown")
    assert list((engine.data / "run/x").iterdir()) == []


async def test_output_is_never_cut_within_a_character(engine):
    code, output = await engine.run("for i in $(seq 20000); do printf 'grün — '; done", seconds=60)
    assert (code, output) == (0, "grün — " * 20000)


async def test_a_command_gets_the_profile_scripts_of_its_slug_and_no_shell_words_of_ours(engine):
    profile = engine.slug() / ".profile.d"
    profile.mkdir()
    (profile / "python.sh").write_text('export FROM_PROFILE="yes"\n')
    code, output = await engine.run("echo \"$FROM_PROFILE $0 $# '$DYNO'\"")
    assert (code, output) == (0, "yes /bin/bash 0 'one'\n")


async def test_the_fence_of_a_command_counts(engine):
    await engine.up(engine.spec(), fence=Fence(generation=3, token=1))
    with pytest.raises(Exception, match="is at Fence"):
        await engine.run("true")


async def test_a_command_ends_one_before_it_that_nobody_waits_for_any_more(engine):
    """Its request was cancelled and its worker has gone: two commands of an app are never at once."""
    spec, log = engine.spec(), Collected()
    left = asyncio.create_task(
        engine.platform.run("release", spec, "echo begun; exec sleep 61.73", fence=FENCE, log=log, seconds=90)
    )
    await until(lambda: log.text and _running("sleep", "61.73"))
    left.cancel()
    await asyncio.wait({left})

    newer = Fence(generation=FENCE.generation + 1, token=FENCE.token + 1)
    code = await engine.platform.run("farewell", spec, "exit 7", fence=newer, log=log, seconds=20)

    assert (code, _running("sleep", "61.73")) == (7, False)


def _running(*argv: str) -> bool:
    wanted = "".join(f"{word}\0" for word in argv).encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if process.read_bytes() == wanted:
                return True
    return False


@pytest.mark.parametrize(
    ("place", "writable"),
    [("/etc", False), ("/", True), ("database", False), ("work/slugs", True), ("work/builds/../../secret.keys", False)],
)
async def test_a_build_is_shown_nothing_that_is_no_business_of_builds(engine, place, writable):
    with pytest.raises(Refused, match="cannot be shown to a build"):
        await engine.build("true", Bind(host=engine.data / place, inside="/seen", writable=writable))


async def test_a_link_in_the_place_of_a_build_is_not_followed(engine):
    (engine.data / "work/builds").mkdir(parents=True)
    (engine.data / "work/builds/one").symlink_to("/etc")
    with pytest.raises(Refused, match="cannot be shown to a build"):
        await engine.build("true", Bind(host=engine.data / "work/builds/one", inside="/seen", writable=True))


async def test_what_is_no_slug_is_not_run(engine):
    with pytest.raises(Refused, match="is no slug"):
        await engine.run("true", slug_dir=engine.data / "run")


async def test_a_runner_ends_when_it_is_told_to_though_its_driver_has_stopped_reading(
    short_tmp: Path, level: str
) -> None:
    """What is on its way to a worker that stands still fits nowhere; the command goes on without both."""
    path = short_tmp / "run/runner.sock"
    runner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.platforms.process.runner", "--data", str(short_tmp))
    )
    try:
        await until(path.exists, seconds=30, what="the runner listens")
        _, writer = await asyncio.open_unix_connection(path, limit=4096)
        argv = ("/bin/bash", "-c", "yes | head -c 8M; exec sleep 600")
        run = SandboxRun(trust=Trust.OWN, argv=argv, env={}, binds=(), cwd="/", network=Network.NONE, seconds=600)
        writer.write(wire.encode(wire.Build(name="loud", run=run)))
        await until(lambda: _largest(short_tmp) >= 8 << 20, what="all is printed")
        runner.terminate()
        async with asyncio.timeout(5):
            assert await runner.wait() == 0
        writer.close()
    finally:
        if runner.returncode is None:
            runner.kill()
            await runner.wait()
        await stop_all(short_tmp)


def _largest(data: Path) -> int:
    """In bytes, of what commands have printed."""
    return max((out.stat().st_size for out in data.glob("run/x/*/out")), default=0)
