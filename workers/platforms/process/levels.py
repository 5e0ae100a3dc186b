"""How well this machine can isolate apps, found out by doing it."""

import ctypes
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import workers
from workers.platforms.base import AppSpec
from workers.platforms.process import redirect, sandbox
from workers.platforms.process.host import FULL, NONE, USER, Host, Level, Paths
from workers.platforms.process.indexes import Indexes

_PATIENCE = 20.0
_LEAD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from workers.platforms.process import namespaces, redirect; "
    "namespaces.enter_network(maker=sys.argv[2] or None); redirect.lead(public_only=True)"
)
_PROFILE = Path(workers.__file__).parents[1] / "deploy/apparmor/install.sh"
_AS_ROOT = (
    f"start towpath as root: sudo {shlex.quote(str(Path(sys.prefix, 'bin/towpath')))} up"  # sudo has a PATH of its own
)
_SYSCTLS = {
    "kernel.apparmor_restrict_unprivileged_userns": (
        "1", "AppArmor forbids user namespaces to programs without a profile",
        shlex.join(("sudo", "sh", str(_PROFILE), str(sandbox.program()))),
    ),
    "kernel.unprivileged_userns_clone": (
        "0", "this kernel forbids user namespaces to ordinary users",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    "user.max_user_namespaces": (
        "0", "user namespaces are switched off", "sudo sysctl -w user.max_user_namespaces=15000",
    ),
}  # fmt: skip


def probe() -> Level:
    """Start a sandbox of the best kind that may work here and see what happens."""
    candidate = FULL if os.geteuid() == 0 else USER
    try:
        problem = _try(candidate)
    except OSError as error:  # a full disk, above all
        problem = str(error)
    if problem is None and candidate == FULL:
        return Level(name=FULL, why="sandboxes with a host uid of their own work")
    if problem is None:
        return Level(
            name=USER,
            why="user namespaces work, but without root all apps have this user's uid, and no limit on all they use",
            advice=_AS_ROOT,
        )
    return without_sandboxes(problem)


def without_sandboxes(problem: str, *, sysctls: Path = Path("/proc/sys")) -> Level:
    """Level `none`: which of the kernel's settings keeps sandboxes from starting, and the command that changes that."""
    for name, (bad, why, advice) in _SYSCTLS.items():
        path = sysctls.joinpath(*name.split("."))
        if path.exists() and path.read_text().strip() == bad:
            return Level(name=NONE, why=f"{why} ({problem})", advice=advice)
    return Level(
        name=NONE, why=f"no sandbox could be started: {problem}",
        advice="run on a machine or in a container that allows user namespaces",
    )  # fmt: skip


def not_led() -> tuple[str, str] | None:
    """Why only programs that use the proxy get out of a sandbox, and what to do; None where all do."""
    try:
        ctypes.CDLL(redirect.LIBRARY)
    except OSError as error:
        return str(error), "sudo apt-get install nftables"
    root = str(Path(workers.__file__).parent.parent)
    maker = "" if os.geteuid() == 0 else str(sandbox.program())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LEAD, root, maker], capture_output=True, text=True, timeout=_PATIENCE,
        check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    why = done.stderr.strip().rpartition("\n")[2]
    if maker:
        return f"an ordinary user cannot set nftables rules here: {why}", _AS_ROOT
    return f"this kernel takes no nftables rules: {why}", "use a kernel with nf_tables, or let apps use the proxy"


def _try(level: str) -> str | None:
    with tempfile.TemporaryDirectory(prefix="towpath-", ignore_cleanup_errors=True) as directory:
        data = Path(directory)
        slug = data / "slug"
        slug.mkdir()
        nothing = Indexes(hosts=frozenset(), env={}, ca_bundle=None)
        host = Host(
            Paths(data=data), level=Level(name=level, why="being tried"), cgroups=None, found=nothing, peers=frozenset()
        )
        host.prepare()
        spec = AppSpec(
            app_id="probe", app_name="probe", release_id="probe", version=1, slug_dir=slug, config={}, processes=()
        )
        keeper = host.keeper(data / "run/x/probe")
        host.start_command(keeper, spec, "touch /app/written && ! unshare -U true 2>/dev/null", dyno="probe")
        deadline = time.monotonic() + _PATIENCE
        while keeper.exit_code is None and keeper.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        code = keeper.exit_code
        keeper.kill_all()
        keeper.reap()
        if code == 0:
            return None
        output = data / "run/x/probe/out"
        text = output.read_text(errors="replace") if output.exists() else ""
        return (text or keeper.trouble).strip().rpartition("\n")[2][-300:] or f"exit code {code}"
