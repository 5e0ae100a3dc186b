"""What this machine has of what the embedded platform needs: one row each, for `towpath doctor`."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from workers.platforms.process import cgroups, levels, seccomp
from workers.platforms.process.host import FULL, NONE, Level
from workers.platforms.process.stopping import label

_LEAST_DISK = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding. `advice` says what to do if it is not ok."""

    name: str
    ok: bool
    why: str
    advice: str = ""
    weak: bool = False  # `towpath up` then starts only with --allow-weak-isolation


def checks(data: Path) -> list[Check]:
    """All of them; takes about a second."""
    level = levels.probe()
    return [
        Check(
            name="isolation", ok=level.name == FULL, why=f"{level.name}: {level.why}", advice=level.advice,
            weak=level.name == NONE,
        ),
        _network(level),
        _limits(data),
        _seccomp(data),
        _program("git", "--version", advice="sudo apt-get install git"),
        _program("bash", "--version", advice="sudo apt-get install bash"),
        _runtime(data),
        _disk(data),
    ]  # fmt: skip


def _network(level: Level) -> Check:
    if level.name == NONE:
        return Check(name="network", ok=True, why="apps and builds use this machine's own network")
    reach = "apps reach public addresses, and builds their package indexes"
    lacking = levels.not_led()
    if lacking is None:
        return Check(name="network", ok=True, why=f"{reach}, by TCP; also programs that know of no proxy")
    return Check(
        name="network", ok=False,
        why=f"{reach}, only through the proxy (HTTP and SOCKS5) that HTTPS_PROXY names; programs that do not use it, "
        f"like most database clients, reach nothing: {lacking[0]}",
        advice=lacking[1],
    )  # fmt: skip


def _limits(data: Path) -> Check:
    if os.geteuid() != 0:
        return Check(
            name="limits", ok=False, why="cgroups are root's: memory and CPU of apps are not limited",
            advice="start towpath as root",
        )  # fmt: skip
    name = f"{label(data)}-doctor"
    found = cgroups.find(name)
    if found is None:
        return Check(
            name="limits", ok=False, why="no cgroup controllers for memory, cpu and pids can be used",
            advice="in a container: run it with --cgroupns=private and a writable /sys/fs/cgroup",
        )  # fmt: skip
    found.close()
    return Check(name="limits", ok=True, why=f"cgroup {type(found).__name__.lower()} limits memory, CPU and processes")


def _seccomp(data: Path) -> Check:
    path = data / "run/doctor.bpf"
    try:
        seccomp.write_filter(path)
    except (OSError, RuntimeError) as error:
        return Check(
            name="seccomp", ok=False, why=f"no filter can be made: {error}",
            advice="sudo apt-get install libseccomp2",
        )  # fmt: skip
    path.unlink(missing_ok=True)
    return Check(name="seccomp", ok=True, why="dangerous system calls are filtered")


def _program(name: str, flag: str, *, advice: str) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(name=name, ok=False, why=f"{name} is not on PATH", advice=advice)
    done = subprocess.run([path, flag], capture_output=True, text=True, timeout=10, check=False)
    return Check(name=name, ok=done.returncode == 0, why=(done.stdout or done.stderr).partition("\n")[0])


def _runtime(data: Path) -> Check:
    python = data / "work/runtimes/python/bin/python3"
    why = f"{python} is there for apps" if python.exists() else "copied for apps by the first `towpath up`"
    return Check(name="python runtime", ok=True, why=why)


def _disk(data: Path) -> Check:
    there = next(path for path in (data, *data.parents) if path.exists())
    free = shutil.disk_usage(there).free
    return Check(
        name="disk", ok=free >= _LEAST_DISK, why=f"{free // 1024**2} MiB are free at {there}",
        advice="free some space, or put TOWPATH_DATA on a larger disk",
    )  # fmt: skip
