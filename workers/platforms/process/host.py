"""This installation on this machine: its directories, its isolation level, and how a sandbox is put together."""

import os
import shutil
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

import workers
from service.domain.errors import Refused
from service.domain.model import Trust
from workers.platforms.base import AppSpec, Bind, Limits, Network, OneOffSpec, SandboxRun
from workers.platforms.process import bare, files, indexes, namespaces, sandbox, seccomp
from workers.platforms.process.cgroups import Cgroups
from workers.platforms.process.indexes import Indexes
from workers.platforms.process.keeper import Keeper
from workers.platforms.process.spec import Attached, Bare, ShimSpec
from workers.platforms.process.uids import Uids

log = structlog.get_logger()
_OUR_CODE = Path(workers.__file__).parent  # holds the buildpacks
_SPACE_PER_MEMORY = 4
# A shim and its egress work as much as an app makes them: by what it prints, and by its connections, up to 800 at once.
_OWN = Limits(memory_mb=256, cpus=0.5, pids=2048)
PORT = 5000  # every instance has a network of its own


FULL, USER, NONE = "full", "user", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How well apps are isolated: `full`, `user` or `none`; why; and the one thing that would improve it.

    At `none` nothing runs unless `weak` says that this is wanted.
    """

    name: str
    why: str
    advice: str = ""
    weak: bool = False

    @property
    def refusal(self) -> str:
        """Why nothing of a fork runs here; empty at `full`."""
        if self.name == FULL:
            return ""
        return f"code of forks runs only at isolation level full; this machine has {self.name}: {self.why}." + (
            f" To change that: {self.advice}" if self.advice else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the runner waits for what."""

    steady: float = 5.0  # a process without a port is healthy when it stays up so long
    drain: float = 1.5  # routers switch within this time, then the old release gets SIGTERM
    spare: float = 180.0  # a prepared release that is never activated is removed
    backoff: float = 1.0
    backoff_most: float = 300.0
    crashes: int = 10
    crash_window: float = 600.0
    poll: float = 0.008


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the runner keeps things below the data directory."""

    data: Path

    @property
    def instances(self) -> Path:
        """One directory per instance, with short names: they hold the hand-over sockets."""
        return self.data / "run/i"

    @property
    def runs(self) -> Path:
        """One directory per command."""
        return self.data / "run/x"

    @property
    def apps(self) -> Path:
        """What is wanted of each app, and its log."""
        return self.data / "apps"

    @property
    def work(self) -> Path:
        """The workers' slugs, builds and runtimes: all that commands may name."""
        return self.data / "work"

    @property
    def slugs(self) -> Path:
        """The unpacked slugs."""
        return self.work / "slugs"

    @property
    def etc(self) -> Path:
        """The sandboxes' /etc."""
        return self.data / "run/etc"

    @property
    def groups(self) -> Path:
        """Which cgroups were chosen."""
        return self.data / "run/cgroups"

    @property
    def filter(self) -> Path:
        """The compiled seccomp filter."""
        return self.data / "run/seccomp.bpf"


def forget_other_boots(paths: Paths) -> None:
    """Drop the pids of processes that a reboot has ended: pid and start time name a process only within one boot."""
    boot = boot_id()
    note = paths.data / "run/boot"
    if note.exists() and note.read_text() == boot:
        return
    for directory in (paths.instances, paths.runs):
        for pids in directory.glob("*/pids"):
            pids.unlink()
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(boot)


class Host:
    """Puts sandboxes together. One per runner."""

    def __init__(
        self, paths: Paths, *, level: Level, cgroups: Cgroups | None, found: Indexes, peers: frozenset[int],
        clients: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.paths = paths
        self.level = level
        self.cgroups = cgroups
        self.peers = peers
        self.clients = clients  # the uids that may be attached to a one-off
        self._indexes = found
        self._uids = Uids(paths.data / "run/uids.json")

    def prepare(self) -> None:
        """Make the directories and files that sandboxes share."""
        for path in (self.paths.instances, self.paths.runs):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o711)
        self.paths.apps.mkdir(exist_ok=True, mode=0o700)
        forget_other_boots(self.paths)
        shutil.rmtree(self.paths.etc, ignore_errors=True)
        sandbox.build_etc(self.paths.etc, ca_bundle=self._indexes.ca_bundle)
        seccomp.write_filter(self.paths.filter)

    def check(self) -> None:
        """Refuse where no sandbox can be started, unless it was said that none is needed."""
        if self.level.name == NONE and not self.level.weak:
            raise Refused(f"this machine cannot run apps: {self.level.why}. To change that: {self.level.advice}")

    def keeper(self, directory: Path) -> Keeper:
        """The shim of a directory, started or to be started."""
        return Keeper(directory, cgroups=self.cgroups)

    def uid(self, owner: str) -> int | None:
        """The owner's host uid at level full; the runner's own otherwise."""
        return self._uids.take(owner) if self.level.name == FULL else None

    def release(self, owner: str) -> None:
        """Nothing of the owner is left: its uids may be used again."""
        self._uids.release(owner)

    def log_directory(self, app_id: str) -> Path:
        """The app's log, which its shims write as their uid."""
        path = self.paths.apps / app_id / "log"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if uid := self.uid(f"app:{app_id}"):
            os.chown(path, uid + 1, uid + 1)
        return path

    def tell(self, app_id: str, process: str, text: str) -> None:
        """Tell the app's log what no line of the app itself tells."""
        line = f"{datetime.now(UTC).isoformat(timespec='microseconds')} towpath[{process}]: {text}\n"
        try:
            files.append(self.log_directory(app_id) / "app.log", line)
        except OSError as error:
            log.warning("not told to the app's log", app=app_id, text=text, error=str(error))

    def start_instance(self, keeper: Keeper, spec: AppSpec, command: str, *, process: str, web: bool) -> None:
        """Start one process of a release."""
        shim = self._app_spec(keeper, spec, command, dyno=process, web=web)
        shim["log_directory"] = str(self.log_directory(spec.app_id))
        keeper.start(shim)

    def start_command(self, keeper: Keeper, spec: AppSpec, command: str, *, dyno: str) -> None:
        """Start a command of a release's making."""
        keeper.start(self._app_spec(keeper, spec, command, dyno=dyno, web=False))

    def start_one_off(self, keeper: Keeper, spec: AppSpec, wanted: OneOffSpec) -> None:
        """Start what somebody runs beside an app; it waits for its client if it is to have one."""
        shim = self._app_spec(keeper, spec, wanted.command, dyno=wanted.name, web=False)
        shim["peers"] = sorted(self.clients)
        if wanted.attach is None:
            shim["log_directory"] = str(self.log_directory(spec.app_id))
        else:
            given = wanted.attach
            shim["attach"] = Attached(tty=given.tty, lines=given.lines, columns=given.columns, seconds=given.seconds)
            if given.tty and shim["bare"] is None and Path(sandbox.WITH_TERMINAL[0]).exists():
                shim["command"] = [*sandbox.WITH_TERMINAL, *shim["command"]]
        keeper.start(shim)

    def check_binds(self, binds: Sequence[Bind]) -> None:
        """Refuse to show a build what is no business of builds: who may give commands may still not read the host."""
        for bind in binds:
            host = bind.host.resolve()
            allowed = [self.paths.work / "builds"] if bind.writable else [self.paths.work, _OUR_CODE]
            if not any(host.is_relative_to(place.resolve()) for place in allowed):
                raise Refused(f"{bind.host} cannot be shown to a build")

    def check_slug(self, slug: Path) -> None:
        """Refuse what is no slug; below `full` also a fork's, whose slugs are kept apart, so the place tells."""
        place, slugs = slug.resolve(), self.paths.slugs.resolve()
        if not place.is_relative_to(slugs):
            raise Refused(f"{slug} is no slug")
        self.check_trust(Trust.FORK if place.is_relative_to(slugs / Trust.FORK) else Trust.OWN)

    def check_trust(self, trust: Trust) -> None:
        """Refuse code of forks below `full`: it could reach what an app or a build of ours has."""
        if trust is Trust.FORK and self.level.refusal:
            raise Refused(self.level.refusal)

    def start_build(self, keeper: Keeper, run: SandboxRun, *, owner: str) -> None:
        """Start a build step, which sees only its binds; its /tmp is on disk, because builds write much there."""
        if self.level.name == NONE:
            self._start_bare_build(keeper, run)
            return
        temporary = keeper.directory / "tmp"
        temporary.mkdir(exist_ok=True, parents=True)
        temporary.chmod(0o1777)
        env = {"HOME": "/app", "PATH": sandbox.DEFAULT_PATH, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108
        if run.network is not Network.NONE:
            known = indexes.for_strangers(self._indexes) if run.trust is Trust.FORK else self._indexes
            env |= indexes.sandbox_env(known, proxy_port=namespaces.PROXY_PORT, builds=True)
        made = sandbox.Sandbox(
            etc=self.paths.etc, runtimes=self._runtimes, slug=None, binds=run.binds,
            temporary=temporary, disk_mb=run.limits.disk_mb, cwd=run.cwd, env=env | dict(run.env), uid=self.uid(owner),
        )  # fmt: skip
        keeper.start(self._spec(keeper, made, list(run.argv), network=run.network, limits=run.limits, port=None))

    def settle(self, keeper: Keeper, writable: Sequence[str]) -> None:
        """A command has ended: what it was lent belongs to us again, and names paths as in a sandbox."""
        if self.level.name == FULL:
            for path in writable:
                if Path(path).is_dir():
                    files.give_away(Path(path), 0)
        elif self.level.name == NONE:
            bare.settle(keeper.directory, writable)

    def _start_bare_build(self, keeper: Keeper, run: SandboxRun) -> None:
        places = bare.build(keeper.directory, run.binds, runtimes=self._runtimes)
        env = {"HOME": "/tmp/home", "PATH": sandbox.DEFAULT_PATH, "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108
        env |= indexes.bare_env(self._indexes, builds=True) | dict(run.env)
        told = Bare(env={name: places.outward(value) for name, value in env.items()}, cwd=places.outward(run.cwd))
        argv = [places.outward(word) for word in run.argv]
        keeper.start(self._bare_spec(keeper, told, argv, limits=run.limits, port=None))

    def _bare_app_spec(self, keeper: Keeper, spec: AppSpec, command: str, *, dyno: str, web: bool) -> ShimSpec:
        places = bare.release(keeper.directory, slug=spec.slug_dir, runtimes=self._runtimes)
        port = _free_port() if web else None
        env = {"LANG": "C.UTF-8", "PATH": places.outward(sandbox.DEFAULT_PATH)}
        env |= indexes.bare_env(self._indexes, builds=False)
        env["TMPDIR"] = str(bare.temporary(keeper.directory))
        env |= {**spec.config, "HOME": places.outward("/app"), "DYNO": dyno}
        if port:
            env["PORT"] = str(port)
        argv = sandbox.shell(places.outward(command), pids=None)
        shim = self._bare_spec(keeper, Bare(env=env, cwd=env["HOME"]), argv, limits=spec.limits, port=port)
        shim["label"] = dyno
        return shim

    def _bare_spec(self, keeper: Keeper, told: Bare, argv: list[str], *, limits: Limits, port: int | None) -> ShimSpec:
        nothing = sandbox.Launch(bwrap="", arguments=[], stage=[])
        shim = self._shim(keeper, nothing, argv, uid=None, network=Network.NONE, limits=limits, port=port)
        shim["bare"] = told
        return shim

    @property
    def _runtimes(self) -> Path:
        return self.paths.work / "runtimes"

    def _app_spec(self, keeper: Keeper, spec: AppSpec, command: str, *, dyno: str, web: bool) -> ShimSpec:
        if self.level.name == NONE:
            return self._bare_app_spec(keeper, spec, command, dyno=dyno, web=web)
        port = PORT if web else None
        env = {"LANG": "C.UTF-8", "PATH": sandbox.DEFAULT_PATH}
        env |= indexes.sandbox_env(self._indexes, proxy_port=namespaces.PROXY_PORT, builds=False)
        env |= {**spec.config, "HOME": "/app", "DYNO": dyno}
        if port:
            env["PORT"] = str(port)
        made = sandbox.Sandbox(
            etc=self.paths.etc, runtimes=self._runtimes, slug=spec.slug_dir, binds=(),
            temporary=None, disk_mb=spec.limits.disk_mb, cwd="/app", env=env, uid=self.uid(f"app:{spec.app_id}"),
            room=None if self.level.name == FULL else keeper.directory / "room",
        )  # fmt: skip
        argv = sandbox.shell(command, pids=spec.limits.pids)
        shim = self._spec(keeper, made, argv, network=Network.PUBLIC, limits=spec.limits, port=port)
        shim["label"] = dyno
        return shim

    def _spec(
        self, keeper: Keeper, made: sandbox.Sandbox, argv: list[str], *, network: Network, limits: Limits,
        port: int | None,
    ) -> ShimSpec:  # fmt: skip
        launch = sandbox.launch(made)
        return self._shim(keeper, launch, argv, uid=made.uid, network=network, limits=limits, port=port)

    def _shim(
        self, keeper: Keeper, launch: sandbox.Launch, argv: list[str], *, uid: int | None, network: Network,
        limits: Limits, port: int | None,
    ) -> ShimSpec:  # fmt: skip
        return ShimSpec(
            bwrap=launch.bwrap,
            arguments=launch.arguments,
            command=argv,
            stage=launch.stage,
            room=launch.room,
            uid=uid,
            keeper=None if uid is None else uid + 1,
            network=network.value,
            names=sorted(self._indexes.hosts) if network is Network.INDEXES else [],
            port=port,
            cgroups=list(self.cgroups.create(keeper.name, limits)) if self.cgroups else [],
            own_cgroups=list(self.cgroups.create(keeper.own_group, _OWN, whole=False)) if self.cgroups else [],
            limits=_rlimits(limits, grouped=self.cgroups is not None),
            seccomp=str(self.paths.filter),
            log_directory=None,
            label="",
            peers=sorted(self.peers),
            bare=None,
            attach=None,
        )


def _free_port() -> int:
    """A port of the machine's own network: where all share it, each instance needs another one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rlimits(limits: Limits, *, grouped: bool) -> dict[str, int]:
    """Without a group that limits memory, each process gets a bound.

    Of address space that could be written: stacks of threads count whole, so it is far above what may be used.
    """
    alone = {} if grouped else {"RLIMIT_DATA": _SPACE_PER_MEMORY * limits.memory_mb * 1024 * 1024}
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": limits.disk_mb * 1024 * 1024,
        "RLIMIT_NOFILE": 16384,
        **alone,
    }


def boot_id() -> str:
    """Names the time from one start of the machine to the next."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def boottime() -> float:
    """Seconds since the machine started, sleep included: deadlines that no clock change moves."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
