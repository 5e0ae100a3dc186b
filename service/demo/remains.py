"""What an installation has left on the machine: in /proc, in its directories and in its database, as anybody may look.

A sandboxed app knows nothing of the data directory but what is mounted, and its shim nothing but its files: the words
of a process alone would show neither.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

APP_DIRECTORIES = ("apps", "work/builds", "run/i", "run/x")
UNFINISHED = {
    "apps": "state <> 'gone'",
    "routes": "1",
    "review_apps": "state NOT IN ('destroyed', 'skipped')",
    "requests": "state IN ('queued', 'running')",
    "builds": "state = 'pending'",
    "releases": "state = 'pending'",
    "promotion_targets": "state = 'pending'",
    "reports": "pending",
    "deliveries": "state = 'received'",
}


def of_apps(data: Path) -> list[str]:
    """Return what of apps is there while the server runs: processes, mounts, cgroups, directories."""
    server = _server(data)
    found = [f"process {pid} ({_words(pid)})" for pid in processes(data) if pid not in server]
    found += [f"mount {place}" for place in mounts(data)]
    found += [f"cgroup {each}" for parent in _groups(data) for each in parent.glob("*/")]
    return found + [f"directory {place}" for name in APP_DIRECTORIES for place in (data / name).glob("*")]


def of_all(data: Path) -> list[str]:
    """Return what of the server or its apps is there when all of it has been told to stop."""
    found = [f"process {pid} ({_words(pid)})" for pid in processes(data)]
    found += [f"mount {place}" for place in mounts(data)]
    return found + [f"cgroup {parent}" for parent in _groups(data)]


def processes(data: Path) -> list[int]:
    """Return the processes, but for ours, that have the data directory in any way that can be seen."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return sorted(pid for pid in pids if pid != os.getpid() and any(_traces(pid, data)))


def _traces(pid: int, data: Path) -> Iterator[bool]:
    place, inside = Path(f"/proc/{pid}"), f"{data}/"
    # Each may be gone or not ours to read, whatever the others are.
    with suppress(OSError):
        yield str(data).encode() in (place / "cmdline").read_bytes()
    with suppress(OSError):
        yield f"TOWPATH_DATA={data}\0".encode() in (place / "environ").read_bytes()
    with suppress(OSError):
        yield f"{(place / 'cwd').readlink()}/".startswith(inside)
    with suppress(OSError):
        elsewhere = (place / "ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
        yield elsewhere and any(inside in _source(line) for line in (place / "mountinfo").read_text().splitlines())
    with suppress(OSError):
        for file in (place / "fd").iterdir():
            with suppress(OSError):
                yield str(file.readlink()).startswith(inside)


def _source(line: str) -> str:
    """A line of `mountinfo` without its place: sandboxes of others have that, too, of what the machine has mounted."""
    fields = line.split()
    return " ".join(fields[:4] + fields[5:])


def mounts(data: Path) -> list[str]:
    """Return what is mounted below the data directory, or from it, for everybody to see."""
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if str(data) in line]


def unfinished_rows(data: Path) -> list[str]:
    """Return the rows that are not final, and the routes, as the database file itself tells."""
    found = []
    with closing(sqlite3.connect(f"file:{data}/database/towpath.db?mode=ro", uri=True)) as connection:
        for table, unfinished in UNFINISHED.items():
            count = connection.execute(f"SELECT count(*) FROM {table} WHERE {unfinished}").fetchone()[0]  # noqa: S608
            if count:
                found.append(f"{count} {table} {unfinished}")
    return found


def built_at(data: Path, sha: str) -> datetime:
    """Return when the newest build of a commit was over."""
    with closing(sqlite3.connect(f"file:{data}/database/towpath.db?mode=ro", uri=True)) as connection:
        query = "SELECT updated_at FROM builds WHERE sha = ? ORDER BY updated_at DESC LIMIT 1"
        (microseconds,) = connection.execute(query, (sha,)).fetchone()
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _server(data: Path) -> set[int]:
    with suppress(OSError, ValueError):
        return set(json.loads((data / "ready.json").read_text())["pids"].values())
    return set()


def _groups(data: Path) -> list[Path]:
    """Return the cgroups that the runner noted as its own, where they still are."""
    with suppress(OSError, ValueError):
        noted = json.loads((data / "run/cgroups").read_text())
        return [Path(place) for place in noted.values() if Path(place).is_dir()]
    return []


def _words(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80].strip()
    return "gone"
