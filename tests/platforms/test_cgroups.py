"""Limits by cgroup: what is written for version 2 on a file tree, and what its kernel makes of it where there is one."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until
from workers.platforms.base import Limits
from workers.platforms.process import cgroups


def v2_tree(root: Path, *, own: str = "/") -> tuple[Path, Path]:
    """A file tree like that of cgroup version 2."""
    mounts = root / "cgroup"
    group = mounts / own.lstrip("/")
    group.mkdir(parents=True)
    for path in {mounts, group}:
        (path / "cgroup.controllers").write_text("cpu memory pids")
        (path / "cgroup.subtree_control").write_text("")
    if group != mounts:
        (group / "cgroup.type").write_text("domain")
        (group / "cgroup.procs").write_text("")
    proc = root / "own"
    proc.write_text(f"0::{own}\n")
    return mounts, proc


def test_version_2_writes_the_limits_where_the_kernel_reads_them(tmp_path):
    mounts, own = v2_tree(tmp_path)
    found = cgroups.find("towpath-x", mounts=mounts, own=own)
    assert isinstance(found, cgroups.V2)
    joined = found.create("one", Limits(memory_mb=64, cpus=0.5, pids=20))
    group = mounts / "towpath-x/one"
    assert joined == [str(group / "cgroup.procs")]
    assert (group / "memory.max").read_text() == str(64 * 1024 * 1024)
    assert (group / "cpu.max").read_text() == "50000 100000"
    assert (group / "pids.max").read_text() == "20"
    assert (mounts / "towpath-x/cgroup.subtree_control").read_text() == "+memory +cpu +pids"
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert found.out_of_memory("one")
    assert found.names() == ["one"]


def test_in_a_delegated_unit_of_version_2_the_runner_moves_to_a_leaf_and_divides_the_unit(tmp_path):
    mounts, own = v2_tree(tmp_path, own="/system.slice/towpath.service")
    unit = mounts / "system.slice/towpath.service"
    (unit / "cgroup.procs").write_text("4242\n")
    delegate(unit)
    found = cgroups.find("towpath-x", mounts=mounts, own=own)
    assert found == cgroups.V2(parent=unit / "towpath-x")
    assert (unit / "towpath-services/cgroup.procs").read_text() == "4242"
    assert (unit / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"


def test_in_a_container_of_version_2_its_processes_leave_the_top_so_that_it_can_be_divided(tmp_path):
    mounts, own = v2_tree(tmp_path)
    (mounts / "cgroup.type").write_text("domain")
    (mounts / "cgroup.procs").write_text("4242\n")
    assert cgroups.find("towpath-x", mounts=mounts, own=own) == cgroups.V2(parent=mounts / "towpath-x")
    assert (mounts / "towpath-services/cgroup.procs").read_text() == "4242"


def test_on_the_machine_itself_no_process_is_moved_from_the_top_of_version_2(tmp_path):
    mounts, own = v2_tree(tmp_path)
    (mounts / "cgroup.procs").write_text("4242\n")
    assert cgroups.find("towpath-x", mounts=mounts, own=own) == cgroups.V2(parent=mounts / "towpath-x")
    assert not (mounts / "towpath-services").exists()


def test_a_successor_finds_the_groups_that_were_chosen_from_elsewhere(tmp_path):
    chosen = {name: tmp_path / name / "towpath-x" for name in ("memory", "cpu", "pids")}
    for path in chosen.values():
        path.mkdir(parents=True)
    note = tmp_path / "note"
    note.write_text(json.dumps({name: str(path) for name, path in chosen.items()}))
    assert cgroups.find_again("towpath-x", note) == cgroups.V1(parents=chosen)


def test_where_no_cgroup_can_be_made_there_are_none(tmp_path):
    (tmp_path / "own").write_text("")
    assert cgroups.find("x", mounts=tmp_path / "nothing", own=tmp_path / "own") is None


def delegate(unit: Path) -> None:
    """Mark it as systemd does for Delegate=yes."""
    try:
        os.setxattr(unit, "trusted.delegate" if os.geteuid() == 0 else "user.delegate", b"1")
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EPERM}:
            raise
        pytest.skip(f"no extended attributes here: {error}")


UNITS = {
    "a login session": "/user.slice/user-0.slice/session-3.scope",
    "a unit that is not delegated": "/system.slice/ssh.service",
    "a group that is not to be seen here": "/../../elsewhere",
}


@pytest.mark.parametrize("path", UNITS.values(), ids=UNITS)
def test_started_from(path, tmp_path):
    """Its processes stay where they are, and ours get a group at the top."""
    mounts, own = v2_tree(tmp_path, own=path if "elsewhere" not in path else "/")
    own.write_text(f"0::{path}\n")
    unit = mounts / path.lstrip("/")
    if unit.exists():
        (unit / "cgroup.procs").write_text("4242\n")
    assert cgroups.find("towpath-x", mounts=mounts, own=own) == cgroups.V2(parent=mounts / "towpath-x")
    assert not (unit / "towpath-services").exists()


def test_who_was_moved_to_the_leaf_divides_the_unit_and_not_the_leaf(tmp_path):
    mounts, own = v2_tree(tmp_path, own="/system.slice/towpath.service/towpath-services")
    unit = mounts / "system.slice/towpath.service"
    for name in ("cgroup.controllers", "cgroup.subtree_control", "cgroup.type", "cgroup.procs"):
        (unit / name).write_text("")
    delegate(unit)
    assert cgroups.find("towpath-x", mounts=mounts, own=own) == cgroups.V2(parent=unit / "towpath-x")
    assert not (unit / "towpath-services/towpath-services").exists()


REAL = next(
    (path for path in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")) if (path / "cgroup.procs").exists()), None
)
DIVIDE = """
import os, sys
from pathlib import Path
from workers.platforms.process import cgroups
controllers = sys.argv[3].split()
print(cgroups.find(sys.argv[2], mounts=Path(sys.argv[1]), controllers=controllers), flush=True)
os.execvp("sleep", ["sleep", "60"])
"""


@pytest.fixture
def unit() -> Iterator[Path]:
    """A group of the kernel's own, as systemd would make it for a delegated unit."""
    if os.geteuid() or REAL is None or not os.access(REAL / "cgroup.procs", os.W_OK):
        pytest.skip("there is no cgroup version 2 to be written to")
    made = REAL / f"tp-{os.getpid()}.service"
    made.mkdir()
    delegate(made)
    yield made
    cgroups.V2(parent=made.parent).destroy(made.name)


def controllers_of(unit: Path) -> list[str]:
    """Those of its parent's that children can be given, ours if they are among them."""
    there = (unit.parent / "cgroup.controllers").read_text().split()
    chosen = [one for one in cgroups._CONTROLLERS if one in there] or there
    if not chosen:
        pytest.skip("version 2 has no controllers here")
    (unit.parent / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in chosen))
    return chosen


async def test_the_kernel_lets_a_unit_be_divided_while_its_processes_go_on_forking(unit):
    chosen = controllers_of(unit)
    group = unit / "cgroup.procs"
    forks = subprocess.Popen(["sh", "-c", f"echo 0 > {group}; while :; do sh -c : & sh -c :; done"])
    await until(lambda: group.read_text() != "", what="it is in the unit")
    with pytest.raises(OSError, match="busy"):
        cgroups._divide(unit, chosen)
    divides = subprocess.Popen(
        ["sh", "-c", f'echo 0 > {group}; exec "$@"', "sh", sys.executable, "-c", DIVIDE, unit.parent, "towpath-x", " ".join(chosen)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    try:
        assert divides.stdout is not None
        assert divides.stdout.readline() == f"{cgroups.V2(parent=unit / 'towpath-x')}\n"
        assert (unit / "cgroup.procs").read_text() == ""
        assert str(forks.pid) in (unit / "towpath-services/cgroup.procs").read_text().split()
        assert set(chosen) <= set((unit / "towpath-x/cgroup.subtree_control").read_text().split())
    finally:
        for process in (forks, divides):
            process.kill()
            process.communicate()
        for name in ("towpath-services", "towpath-x"):
            cgroups.V2(parent=unit).destroy(name)


async def test_the_kernel_ends_all_of_a_group_at_once_however_it_forks(unit):
    groups = cgroups.V2(parent=unit)
    (unit / "one").mkdir()
    many = (
        f"echo 0 > {unit}/one/cgroup.procs; for i in $(seq 60); do sleep 60 & done; while :; do sh -c : & sh -c :; done"
    )
    forks = subprocess.Popen(["sh", "-c", many])
    await until(lambda: len(groups.pids("one")) > 50, what="there are many")
    assert groups.names() == ["one"]
    groups.destroy("one")
    assert (groups.names(), groups.pids("one")) == ([], [])
    assert forks.wait() == -9
