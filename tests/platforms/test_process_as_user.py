"""The embedded platform for an ordinary user, and who may command the runner."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534
STORY = """
import asyncio, sys
from pathlib import Path
import pytest
from service.domain.errors import Refused
from service.domain.model import Trust
from tests.platforms.conftest import FENCE, Engine
from tests.platforms.test_process_one_offs import a_terminal_and_pipes
from tests.waiting import until
from workers.platforms.base import Bind, Network
from workers.platforms.process import levels
from workers.platforms.process.stopping import stop_all

async def main():
    assert levels.probe().name == "user", levels.probe()
    engine = Engine(data=Path(sys.argv[1]))
    await engine.start()
    try:
        routes = await engine.up(engine.spec(greeting="as a user"))
        assert await routes.get() == "as a user"
        await engine.restart()
        assert await routes.get() == "as a user"
        assert await engine.run("echo x > app.py; id -u; cat /etc/shadow; exit 4") == (
            4, "1000\\ncat: /etc/shadow: No such file or directory\\n")
        kept = engine.data / "work/builds/kept"
        kept.mkdir(parents=True)
        bind = Bind(host=kept, inside="/kept", writable=True)
        assert (await engine.build("touch /kept/made; unshare -U true", bind))[0] != 0
        assert (kept / "made").exists()
        assert (await engine.build("mkdir -p /tmp/shut/in; chmod 500 /tmp/shut", name="shut"))[0] == 0
        for name in ("build", "shut"):
            await engine.platform.forget(name)
        code, output = await engine.build(
            "python3 -c \\"import urllib.request as r; r.urlopen('http://169.254.169.254/')\\"",
            network=Network.PUBLIC, name="metadata")
        assert "Forbidden" in output, output
        assert (await engine.run("exec sleep 60", name="late", seconds=0.3))[0] == 124
        await a_terminal_and_pipes(engine)
        with pytest.raises(Refused, match="forks"):
            await engine.build("true", name="fork", trust=Trust.FORK)
        routes = await engine.up(engine.spec("r2", greeting="second"))
        assert await routes.get() == "second"
        await engine.platform.forget("metadata")
        await engine.platform.remove("app-1", fence=FENCE)
        assert engine.processes() == [], engine.processes()
        assert [*(engine.data / "run/i").iterdir(), *(engine.data / "run/x").iterdir()] == []
        await engine.up(engine.spec("r3"))
    finally:
        await engine.end()
        await stop_all(engine.data)
    assert engine.processes() == [], engine.processes()
    print("the story is over")

asyncio.run(main())
"""


def interpreter() -> str:
    """A Python that an ordinary user may execute; ours may live in root's home."""
    for path in (sys.executable, "/usr/bin/python3"):
        probe = as_nobody([path, "-c", "import sys; print(sys.version_info[:2])"])
        if probe.returncode == 0 and probe.stdout.strip() == str(sys.version_info[:2]):
            return path
    pytest.skip(f"no Python {sys.version_info[:2]} that an ordinary user may execute")


def as_nobody(command: list[str]) -> subprocess.CompletedProcess[str]:
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environment = {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": f"{ROOT}:{packages}",
        "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8",
    }  # fmt: skip
    # `env` in between: setpriv itself still has root's capabilities when it looks its program up.
    switch = (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "/usr/bin/env"]
        if os.getuid() == 0
        else []
    )
    return subprocess.run(
        [*switch, *command], env=environment, cwd="/", text=True, check=False, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_the_whole_story_works_for_an_ordinary_user(short_tmp):
    if os.getuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("setpriv is not here")
    data = short_tmp / "d"
    data.mkdir()
    if os.getuid() == 0:
        os.chown(data, NOBODY, NOBODY)
    python = interpreter()
    if as_nobody([python, "-c", "import tests.waiting, msgspec"]).returncode:
        pytest.skip("this checkout cannot be read by an ordinary user")
    done = as_nobody([python, "-c", STORY, str(data)])
    assert "the story is over" in done.stdout, done.stdout


async def test_the_runner_hears_only_its_own_user_root_and_configured_peers(engine):
    if os.getuid() != 0:
        pytest.skip("needs root to be someone else")
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        's.sendall(b\'{"type":"Observe"}\\n\'); sys.exit(len(s.recv(100)))'
    )
    command = [interpreter(), "-c", script, str(engine.data / "run/runner.sock")]
    done = await asyncio.to_thread(as_nobody, command)
    hung_up = any(error in done.stdout for error in ("ConnectionResetError", "BrokenPipeError"))
    assert hung_up or done.returncode == 0  # the exit code is the length of the answer
    assert await engine.platform.observe() == ()
