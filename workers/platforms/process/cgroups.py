"""Limits by cgroup, version 2 or the older version 1 with one tree per controller.

Both keep one group per sandbox under a parent of this installation's own, so that everything of it can be found and
ended. `under` and `mounts` make the trees arguments: the files are the whole contract, and a test can read them.
"""

import contextlib
import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workers.platforms.base import Limits
from workers.platforms.process import files

_PERIOD = 100_000
_CONTROLLERS = ("memory", "cpu", "pids")
_LEAF = "towpath-services"
_PATIENCE = 3.0


class Cgroups(Protocol):
    """One group per sandbox; `name` is the instance's."""

    def create(self, name: str, limits: Limits, *, whole: bool = True) -> Sequence[str]:
        """Make the group with its limits; returns the files into which a process writes 0 to join.

        A `whole` one ends as one when it is out of memory, where the kernel can do that.
        """

    def pids(self, name: str) -> Sequence[int]:
        """Every process in the group."""

    def out_of_memory(self, name: str) -> bool:
        """Whether the kernel killed something in the group because of its memory limit."""

    def destroy(self, name: str) -> None:
        """Kill what is left and remove the group; gone already is fine."""

    def names(self) -> Sequence[str]:
        """The groups that exist."""

    def close(self) -> None:
        """Remove the installation's parent group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class V2:
    """The unified tree."""

    parent: Path

    def create(self, name: str, limits: Limits, *, whole: bool = True) -> Sequence[str]:
        """See `Cgroups`."""
        group = self.parent / name
        group.mkdir(parents=True, exist_ok=True)
        _write(group / "memory.max", limits.memory_mb * 1024 * 1024)
        _write(group / "memory.swap.max", 0, needed=False)
        _write(group / "memory.oom.group", int(whole), needed=False)
        _write(group / "cpu.max", f"{int(limits.cpus * _PERIOD)} {_PERIOD}")
        _write(group / "pids.max", limits.pids)
        return [str(group / "cgroup.procs")]

    def pids(self, name: str) -> Sequence[int]:
        """See `Cgroups`."""
        return _pids(self.parent / name)

    def out_of_memory(self, name: str) -> bool:
        """See `Cgroups`."""
        return _counter(self.parent / name / "memory.events", "oom_kill") > 0

    def destroy(self, name: str) -> None:
        """See `Cgroups`."""
        with contextlib.suppress(OSError):
            _write(self.parent / name / "cgroup.kill", 1, needed=False)
        _remove(self.parent / name)

    def names(self) -> Sequence[str]:
        """See `Cgroups`."""
        return _children(self.parent)

    def close(self) -> None:
        """See `Cgroups`."""
        _remove(self.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class V1:
    """One tree per controller; `parents` says where ours is in each."""

    parents: Mapping[str, Path]

    def create(self, name: str, limits: Limits, *, whole: bool = True) -> Sequence[str]:  # noqa: ARG002  (V2's only)
        """See `Cgroups`."""
        for parent in self.parents.values():
            (parent / name).mkdir(parents=True, exist_ok=True)
        memory, cpu, pids = (self.parents[one] / name for one in _CONTROLLERS)
        most = limits.memory_mb * 1024 * 1024
        _write(memory / "memory.limit_in_bytes", most)
        _write(memory / "memory.memsw.limit_in_bytes", most, needed=False)
        _write(cpu / "cpu.cfs_period_us", _PERIOD)
        _write(cpu / "cpu.cfs_quota_us", int(limits.cpus * _PERIOD))
        _write(pids / "pids.max", limits.pids)
        return [str(parent / name / "cgroup.procs") for parent in self.parents.values()]

    def pids(self, name: str) -> Sequence[int]:
        """See `Cgroups`."""
        return _pids(self.parents["pids"] / name)

    def out_of_memory(self, name: str) -> bool:
        """See `Cgroups`."""
        return _counter(self.parents["memory"] / name / "memory.oom_control", "oom_kill") > 0

    def destroy(self, name: str) -> None:
        """See `Cgroups`."""
        for parent in self.parents.values():
            _remove(parent / name)

    def names(self) -> Sequence[str]:
        """See `Cgroups`."""
        return sorted({name for parent in self.parents.values() for name in _children(parent)})

    def close(self) -> None:
        """See `Cgroups`."""
        for parent in self.parents.values():
            _remove(parent)


def find_again(label: str, note: Path) -> Cgroups | None:
    """The groups an earlier runner chose, noted in a file, if they are still there; else new ones.

    Where new ones go depends on the group of who asks, and a successor may be started from elsewhere.
    """
    record: dict[str, str] = files.read_json(note) or {}
    parents = {name: Path(path) for name, path in record.items()}
    if parents and all(path.is_dir() for path in parents.values()):
        return V2(parent=parents["unified"]) if "unified" in parents else V1(parents=parents)
    match find(label):
        case V2(parent=parent) as found:
            parents = {"unified": parent}
        case V1(parents=chosen) as found:
            parents = dict(chosen)
        case found:
            return found
    note.parent.mkdir(parents=True, exist_ok=True)
    files.write_plain(note, {name: str(path) for name, path in parents.items()})
    return found


def find(
    label: str, *, mounts: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup"),
    controllers: Sequence[str] = _CONTROLLERS,
) -> Cgroups | None:  # fmt: skip
    """The cgroups this process may use, or None. `label` names the installation."""
    lines = (line.split(":", 2) for line in own.read_text().splitlines()) if own.exists() else ()
    paths = {controllers: path for _, controllers, path in lines}
    if (mounts / "cgroup.controllers").exists():
        return _find_v2(label, mounts, paths.get("", "/"), controllers)
    parents = {}
    for controller in _CONTROLLERS:
        path = next((path for names, path in paths.items() if controller in names.split(",")), "/")
        tree = mounts / controller
        base = tree / path.lstrip("/")
        # In a container the path is the host's and does not exist here: then the visible root is our own group.
        parents[controller] = (base if base.is_dir() else tree) / label
    try:
        for parent in parents.values():
            parent.mkdir(exist_ok=True)
    except OSError:
        for parent in parents.values():
            with contextlib.suppress(OSError):
                parent.rmdir()
        return None
    return V1(parents=parents)


def _find_v2(label: str, mounts: Path, path: str, controllers: Sequence[str]) -> Cgroups | None:
    own = mounts / path.lstrip("/")
    if own.name == _LEAF:  # where an earlier one of ours has moved us
        own = own.parent
    # A delegated unit (Delegate=yes) is ours to divide; root elsewhere takes a group of its own at the top.
    for base in (own, mounts):
        parent = base / label
        try:
            if base == own:
                _check_ours(own, top=own == mounts)
            _divide(base, controllers, emptied=base == own and (own / "cgroup.type").exists())
            parent.mkdir(exist_ok=True)
            _divide(parent, controllers)
        except OSError:
            with contextlib.suppress(OSError):
                parent.rmdir()
            continue
        return V2(parent=parent)
    return None


def _check_ours(own: Path, *, top: bool) -> None:
    """Raise `OSError` if the group we are in is not ours to divide.

    At the visible top it is: in a container that is the container's own group. Only the machine's root has no type. A
    unit of systemd is, if systemd has marked it so; else, like a login session, it may hold processes of others.
    """
    if not os.access(own / "cgroup.subtree_control", os.W_OK):
        raise PermissionError(own)
    if not (own / "cgroup.type").exists() and not top:
        raise PermissionError(own)
    if own.suffix in {".service", ".scope"} and not _delegated(own):
        raise PermissionError(own)


def _delegated(unit: Path) -> bool:
    for name in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(unit, name) == b"1"
    return False


def _divide(group: Path, controllers: Sequence[str], *, emptied: bool = False) -> None:
    """Let the group's children have limits.

    Such a group may hold no process itself (but for the machine's root): those in it move one level down, and again as
    long as one of them forks meanwhile.
    """
    patience = time.monotonic() + _PATIENCE
    while True:
        if emptied:
            _empty(group)
        try:
            _write(group / "cgroup.subtree_control", " ".join(f"+{one}" for one in controllers))
        except OSError as error:
            if error.errno != errno.EBUSY or not emptied or time.monotonic() > patience:
                raise
        else:
            return


def _empty(group: Path) -> None:
    leaf = group / _LEAF
    leaf.mkdir(exist_ok=True)
    for pid in _pids(group):
        with contextlib.suppress(ProcessLookupError):
            _write(leaf / "cgroup.procs", pid)


def _write(path: Path, value: object, *, needed: bool = True) -> None:
    if needed or path.exists():
        path.write_text(str(value))


def _pids(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _counter(path: Path, key: str) -> int:
    try:
        rows = dict(line.split() for line in path.read_text().splitlines())
    except OSError:
        return 0
    return int(rows.get(key, "0"))


def _children(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _remove(group: Path) -> None:
    """A group can only be removed when its last process is reaped, which takes the kernel a moment after the kill."""
    deadline = time.monotonic() + _PATIENCE
    while group.is_dir():
        for pid in _pids(group):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
