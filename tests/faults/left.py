"""What an installation that goes on has on the machine beyond what serves: nothing, once all work is done."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

from service.demo import remains
from tests.walk.stage import Stage

PARTS = ("redis", "runner", "worker", "web", "router")


async def left_behind(stage: Stage) -> list[str]:
    """Processes, mounts, groups and directories that belong to no app that is there, nor to its running release."""
    apps = {app for (app,) in await stage.rows("SELECT id FROM apps WHERE state <> 'gone'")}
    routed = await stage.rows("SELECT endpoints FROM routes")
    serving = set(re.findall(r"/run/i/([^/]+)/s", str(routed)))
    assert len(serving) > 1, routed
    assert stage.process is not None
    server = {stage.process.pid, *map(stage.pid, PARTS)}
    return await asyncio.to_thread(_found, stage.data, apps, serving, server)


def _found(data: Path, apps: set[str], serving: set[str], server: set[int]) -> list[str]:
    found = [
        f"process {pid} in {_groups(pid)}"
        for pid in remains.processes(data)
        if pid not in server and not _groups(pid) & serving
    ]
    found += [
        text for text in remains.of_apps(data) if text.startswith(("cgroup", "mount")) and not _words(text) & serving
    ]
    found += [f"instance {each.name}" for each in (data / "run/i").iterdir() if each.name not in serving]
    found += [f"app {each.name}" for each in (data / "apps").iterdir() if each.name not in apps]
    found += [f"build {each.name}" for each in (data / "work/builds").glob("*")]
    return found + [f"command {each.name}" for each in (data / "run/x").iterdir() if _app_of(each) not in apps]


def _words(text: str) -> set[str]:
    """The parts of paths, a shim's group by its instance's name."""
    return set(re.split(r"[/ ]|\.shim", text))


def _groups(pid: int) -> set[str]:
    with suppress(OSError):
        return _words(Path(f"/proc/{pid}/cgroup").read_text().replace("\n", "/"))
    return set()


def _app_of(command: Path) -> str:
    with suppress(OSError, ValueError):
        return str(json.loads((command / "about").read_text())["app_id"])
    return "nobody's"
