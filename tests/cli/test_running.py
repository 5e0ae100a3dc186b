"""`towpath run` as people use it, from their terminal to the sandbox: what they type, what they see, and how it ends."""

import asyncio
import fcntl
import hashlib
import os
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from tests.waiting import until
from tests.walk.acting import configured, deployed
from tests.walk.conftest import octokit, runtimes, stage
from tests.walk.stage import Stage

__all__ = ["octokit", "runtimes", "stage"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(stage: Stage) -> str:
    """An app that runs, with a secret."""
    pipeline = await stage.pipeline(automatic=False)
    await deployed(stage, pipeline.staging)
    await configured(stage, pipeline.staging, API_KEY="s3cr3t-of-the-app")
    return pipeline.staging


def _env(stage: Stage) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TOWPATH_DATA": str(stage.data), "TERM": "xterm", "NO_COLOR": "1"}


def _command(*args: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "service.cli", *args)


async def run(stage: Stage, *args: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    """Run a command without a terminal; returns exit code, output and errors."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *_command(*args), env=_env(stage), stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 40)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out, err.decode()


@dataclass
class Typist:
    """Somebody at a terminal."""

    process: asyncio.subprocess.Process
    master: int
    seen: bytearray = field(default_factory=bytearray)

    def read(self) -> None:
        try:
            self.seen += os.read(self.master, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self.master)

    def types(self, text: bytes) -> None:
        os.write(self.master, text)

    def resizes(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    async def sees(self, text: bytes) -> None:
        await until(lambda: text in self.seen, seconds=20, what=f"{text!r}, after {bytes(self.seen[-300:])!r}")


@asynccontextmanager
async def terminal(stage: Stage, *args: str) -> AsyncIterator[Typist]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 33, 99, 0, 0))
    before = termios.tcgetattr(slave)
    process = await asyncio.create_subprocess_exec(
        *_command(*args), env=_env(stage), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    typist = Typist(process, master)
    asyncio.get_running_loop().add_reader(master, typist.read)
    try:
        yield typist
        await asyncio.wait_for(process.wait(), 20)
        assert termios.tcgetattr(slave) == before, "the terminal is not as it was"
    finally:
        asyncio.get_running_loop().remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(slave)
        os.close(master)


async def dynos(stage: Stage, app: str) -> list[Any]:
    return [each for each in await stage.api("GET", f"/apps/{app}/dynos") if each["type"] != "web"]


async def dyno(stage: Stage, app: str) -> Any:
    """The one one-off that runs."""

    async def look() -> Any:
        return next((each for each in await dynos(stage, app) if each["state"] == "up"), None)

    return await until(look, what="a one-off dyno is up")


async def ended(stage: Stage, app: str, name: str) -> Any:
    async def look() -> Any:
        found = await stage.api("GET", f"/apps/{app}/dynos/{name}")
        return found if found["state"] not in ("starting", "up") else None

    return await until(look, seconds=20, what=f"{name} has ended")


async def test_a_shell_in_a_terminal_is_like_one_at_home(stage: Stage, app: str) -> None:
    async with terminal(stage, "run", "-a", app, "--env", "MORE=more of it", "--", "bash", "--norc", "-i") as typist:
        await typist.sees(b"bash-")
        assert f"Running bash --norc -i on {app}... up, run.".encode() in typist.seen
        typist.types(b"stty size; echo $API_KEY $MORE $DYNO $TERM\n")
        await typist.sees(b"33 99\r\ns3cr3t-of-the-app more of it run.")
        (listed,) = await dynos(stage, app)
        assert (listed["state"], listed["command"]) == ("up", "bash --norc -i")
        typist.resizes(44, 111)
        typist.types(b"sleep 0.2; stty size\n")
        await typist.sees(b"44 111\r\n")
        typist.types(b"sleep 100\n")
        await typist.sees(b"sleep 100\r\n")
        typist.types(b"\x03")
        typist.types(b"exit 42\n")
    assert typist.process.returncode == 42
    assert (await ended(stage, app, listed["name"]))["exit_code"] == 42


async def test_without_a_terminal_bytes_come_and_go_as_they_are(stage: Stage, app: str) -> None:
    data = os.urandom(2 * 1024 * 1024)
    code, out, err = await run(stage, "run", "-a", app, "cat; echo trouble >&2; exit 3", stdin=data)
    assert (code, hashlib.sha256(out).digest()) == (3, hashlib.sha256(data).digest())
    assert err.splitlines()[-1] == "trouble"
    code, out, _ = await run(stage, "run", "-a", app, "--exit-code", "--no-tty", "--", "sh", "-c", "tty; echo 'a  b'")
    assert (code, out) == (0, b"not a tty\na  b\n")


async def test_a_detached_one_writes_to_the_logs_and_ends_when_it_is_stopped(stage: Stage, app: str) -> None:
    said = await stage.cli("run:detached", "-a", app, "echo begun; exec sleep 100")
    (found,) = await dynos(stage, app)
    name = found["name"]
    assert said == (
        f"Running echo begun; exec sleep 100 on {app}... done, {name}\n"
        f"Run towpath logs --app {app} --dyno {name} to view the output.\n"
    )
    await dyno(stage, app)
    assert name in await stage.cli("ps", "-a", app)

    async def written() -> bool:
        return f"app[{name}]: begun" in await stage.cli("logs", "-a", app, "-d", name)

    await until(written, what="its output is in the log")
    assert await stage.cli("ps:stop", name, "-a", app) == f"Stopping {name} on {app}... done\n"
    over = await ended(stage, app, name)
    assert (over["exit_code"], over["reason"]) == (143, "stopped by user:admin@localhost")
    assert f"towpath[{name}]: exited with status 143" in await stage.cli("logs", "-a", app, "-d", name)
    assert f"Couldn't find the dyno {name}." in await stage.cli_fails("ps:stop", name, "-a", app)


async def test_who_is_attached_is_told_what_ended_it(stage: Stage, app: str) -> None:
    running = asyncio.create_task(run(stage, "run", "-a", app, "--time-to-live", "600", "sleep 100"))
    name = (await dyno(stage, app))["name"]
    await stage.cli("ps:stop", name, "-a", app)
    code, _, err = await running
    assert (code, err.splitlines()[-1]) == (143, f"{name} has ended: stopped by user:admin@localhost.")


async def test_a_client_that_is_killed_hangs_its_command_up(stage: Stage, app: str) -> None:
    async with terminal(stage, "run", "-a", app, "echo rea''dy; sleep 100") as typist:
        await typist.sees(b"ready")
        name = (await dyno(stage, app))["name"]
        typist.process.send_signal(signal.SIGTERM)
    assert typist.process.returncode == 130
    over = await ended(stage, app, name)
    assert (over["exit_code"], over["reason"]) == (129, "its client has gone")


async def test_what_runs_outlives_a_worker_and_its_end_is_told_all_the_same(stage: Stage, app: str) -> None:
    await stage.cli("run:detached", "-a", app, "echo $$; sleep 4; exit 5")
    name = (await dyno(stage, app))["name"]
    async with terminal(stage, "run", "-a", app, "echo rea''dy; sleep 100") as typist:
        await typist.sees(b"ready")
        (other,) = [each["name"] for each in await dynos(stage, app) if each["name"] != name]
        await stage.kill("worker")
        await typist.sees(b"No worker answers (any more)")
    assert typist.process.returncode == 1
    assert (await ended(stage, app, name))["exit_code"] == 5
    assert (await ended(stage, app, other))["exit_code"] == 129


async def test_no_secret_of_the_app_is_in_our_own_logs_or_lists(stage: Stage, app: str) -> None:
    code, out, _ = await run(stage, "run", "-a", app, "--env", "TOKEN=value-of-token", "echo s3cr3t-of-the-app $TOKEN")
    assert (code, out) == (0, b"s3cr3t-of-the-app value-of-token\n")
    told = str(await stage.api("GET", "/activity")) + stage.output.read_text()
    assert "echo [redacted] $TOKEN" in told
    for secret in ("s3cr3t-of-the-app", "value-of-token"):
        assert secret not in told


async def test_it_ends_with_its_app(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    await deployed(stage, pipeline.staging)
    await stage.cli("run:detached", "-a", pipeline.staging, "sleep 1000")
    name = (await dyno(stage, pipeline.staging))["name"]
    query = "SELECT one_offs.state, one_offs.reason FROM one_offs JOIN apps ON apps.id = app_id WHERE apps.name = ?"
    await stage.cli("apps:destroy", "-a", pipeline.staging, "--confirm", pipeline.staging)

    async def over() -> bool:
        return all(state in ("ended", "failed") for state, _ in await stage.rows(query, pipeline.staging))

    await until(over, seconds=20)
    assert [reason for _, reason in await stage.rows(query, pipeline.staging)] == ["its app was destroyed"], name
