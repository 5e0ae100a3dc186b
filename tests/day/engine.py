"""What the machine has of apps, by app: read from /proc, the directories and the table of routes, not asked of our API."""

import asyncio
import json
import re
import sqlite3
from collections import defaultdict
from contextlib import closing, suppress
from pathlib import Path

from service.demo import remains

_INSTANCE = re.compile(rb"run/i/([0-9a-f]{12})\b")
_NOBODY = "of no app"


async def seen(data: Path) -> dict[str, list[str]]:
    """What there is, in words, by the app's id; what belongs to none is under `of no app`."""
    return await asyncio.to_thread(_look, data)


def _look(data: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    owners = {}
    for place in (data / "run/i").glob("*/"):
        with suppress(FileNotFoundError):
            owners[place.name] = json.loads((place / "about").read_text())["app_id"]
        found[owners.get(place.name, _NOBODY)].append(f"directory {place}")
    for place in (data / "apps").glob("*/"):
        found[place.name].append(f"directory {place}")
    for folder in ("work/builds", "run/x"):
        found[_NOBODY] += [f"directory {place}" for place in (data / folder).glob("*")]
    server = set(json.loads((data / "ready.json").read_text())["pids"].values())
    for pid in set(remains.processes(data)) - server:
        found[owners.get(_instance(pid), _NOBODY)].append(f"process {pid}")
    with closing(sqlite3.connect(f"file:{data}/database/towpath.db?mode=ro", uri=True)) as connection:
        for app_id, name in connection.execute("SELECT app_id, name FROM routes"):
            found[app_id].append(f"route {name}")
    return {app_id: what for app_id, what in found.items() if what}


def _instance(pid: int) -> str:
    """The instance that a process is of: what is sandboxed knows nothing of it, but the shim above it does."""
    while pid > 1:
        named = _INSTANCE.search(_told(pid))
        if named:
            return named.group(1).decode()
        pid = _parent(pid)
    return ""


def _told(pid: int) -> bytes:
    place = Path(f"/proc/{pid}")
    told = b""
    with suppress(OSError):
        told += (place / "cmdline").read_bytes()
    with suppress(OSError):
        told += b"".join(b"\0%s" % str(file.readlink()).encode() for file in (place / "fd").iterdir())
    return told


def _parent(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
