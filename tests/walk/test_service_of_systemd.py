"""The unit in `deploy/`: systemd takes it, and what it takes away from us is not what we need."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.demo import remains
from tests.cli.test_servers import free_port
from tests.platforms.conftest import FENCE, Collected
from workers.platforms.base import AppSpec
from workers.platforms.process.driver import ProcessPlatform

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/towpath.service"
# As the unit's ProtectSystem=full and ProtectKernelModules=yes would have it.
READ_ONLY = "for place in /usr /etc; do mount --bind $place $place && mount -o remount,bind,ro $place; done"


def setting(name: str) -> str:
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return found


def test_systemd_has_nothing_to_say_about_the_unit(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here (apt-get install systemd)")
    unit = tmp_path / UNIT.name
    program = Path(sys.executable).with_name("towpath")
    unit.write_text(UNIT.read_text().replace("/opt/towpath/.venv/bin/towpath", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@contextmanager
def notified(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.setblocking(False)
        yield told


async def test_started_as_by_the_unit_it_says_when_it_is_ready_runs_apps_and_leaves_nothing(runtimes, short_tmp):
    if os.geteuid() != 0:
        pytest.skip("the unit's service is root's")
    """The first time in the way of a careful administrator: nothing is for others, and all of it through a link."""
    data = short_tmp / "a b/d"
    (short_tmp / "link").symlink_to("a b")
    await asyncio.to_thread(
        shutil.copytree, runtimes, data / "work/runtimes", symlinks=True, copy_function=os.link
    )  # the interpreters, as after a first start
    slug = data / "work/slugs/own/one"
    slug.mkdir(parents=True)
    given = dict(word.split("=", 1) for word in setting("Environment").split())
    # All that systemd gives: no HOME, no terminal, its own PATH.
    env = given | {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "NOTIFY_SOCKET": str(short_tmp / "notify"),
        "TOWPATH_DATA": str(short_tmp / "link/d"),
        "TOWPATH_PORT": free_port(),
    }
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in setting("CapabilityBoundingSet").split())
    limited = ["setpriv", f"--bounding-set=-all,{kept}", "--inh-caps=-all"]
    program = shlex.join([*limited, sys.executable, "-m", "service.cli.main", "up"])
    loop = asyncio.get_running_loop()
    with notified(short_tmp / "notify") as told:
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "/bin/sh", "-c", f"{READ_ONLY}; exec {program}"),
            env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            cwd="/", umask=0o077,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                assert await loop.sock_recv(told, 99) == b"READY=1"
            spec = AppSpec(app_id="a", app_name="a", release_id="r", version=1, slug_dir=slug, config={}, processes=())
            log = Collected()
            platform = ProcessPlatform(data / "run/runner.sock")
            code = await platform.run("one", spec, "touch /app/x && id -u", fence=FENCE, log=log, seconds=30)
            assert (code, log.text) == (0, "1000\n")
            assert '"isolation": "full"' in (data / "log/runner.log").read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = await asyncio.wait_for(process.communicate(), 20)
        assert await loop.sock_recv(told, 99) == b"STOPPING=1"
    assert process.returncode == 0
    assert b"they run as root" not in said
    assert [each for each in remains.of_all(data) if "requests" not in each] == []
