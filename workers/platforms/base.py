"""The door to an engine that runs apps. Read this file to write a driver.

A driver makes its engine look like what it is told and says what it sees; it decides nothing. The database says what
is wanted, `observe` only what is. Every call that changes the engine carries a `Fence`; a driver remembers, inside the
engine, the highest one it has seen per app and refuses a lower one with `Fenced`, so that a worker that lost its lease
can do no harm.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from pathlib import Path
from typing import Protocol, runtime_checkable

from service.domain.model import Position, Trust


class Log(Protocol):
    """Where output of a build, a release command or an app's start goes."""

    async def write(self, text: str) -> None:
        """Append text, whole lines or parts of them. Redaction happens on the other side."""


@runtime_checkable
class KeepingLog(Log, Protocol):
    """A log that keeps, with the output of a command, how far that reaches: none of it is lost or told twice."""

    async def position(self, source: str) -> Position | None:
        """How far the output of the command of that name is kept: it is to be told from there on."""

    async def write_from(self, text: str, *, source: str, position: Position) -> None:
        """Append output of the command of that name, which ends at `position`; it is kept a moment later."""

    async def settle(self) -> None:
        """Keep all that was given, also a line that has no end."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Fence:
    """Who may change an app in the engine: compared as a pair, higher wins."""

    generation: int
    token: int


class Fenced(Exception):
    """A newer worker has taken over this app; the caller must stop at once and leave everything as it is."""


class Lost(Exception):
    """A command's machine or keeper died before its exit code was recorded: nobody will ever know how it ended."""


class Unhealthy(Exception):
    """The new release did not come up. Its text names the cause for the user; the old release still serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process of an app, or a whole build, may use.

    `disk_mb` bounds each file, what is in an app's temporary directories, and all together that a build writes.
    """

    memory_mb: int = 512
    cpus: float = 1.0
    pids: int = 256
    disk_mb: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One line of the Procfile with how many of it are wanted."""

    type: str
    command: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSpec:
    """Everything an engine needs to run one release of one app.

    `slug_dir` is the unpacked slug, read-only for the app; `config` its whole environment except what the engine adds
    (PORT, DYNO, HOME, PATH).
    """

    app_id: str
    app_name: str
    release_id: str
    version: int
    slug_dir: Path
    config: Mapping[str, str] = field(repr=False)
    processes: tuple[ProcessSpec, ...]
    limits: Limits = Limits()
    health_path: str | None = None
    boot_seconds: float = 60.0
    stop_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the router reaches one healthy `web` process.

    `address` is `unix:PATH` of a hand-over socket that answers every connection with one connected TCP descriptor (the
    router's `dial` says how), or `tcp:HOST:PORT`.
    """

    process: str
    address: str


GoLive = Callable[[Sequence[Endpoint]], Awaitable[None]]
"""Writes routes and current release in one transaction that checks the fence.

Raises `Fenced` if it is not ours and `Refused` if nobody wants it any more; then nothing was written.
"""


@unique
class InstanceState(StrEnum):
    """What the engine says of one instance."""

    STARTING = "starting"
    UP = "up"
    CRASHED = "crashed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running (or crashed) process of an app, as seen in the engine; `one_off` is the id of one beside it."""

    app_id: str
    release_id: str
    process: str
    state: InstanceState
    since: datetime
    endpoint: Endpoint | None = None
    exit_code: int | None = None
    restarts: int = 0
    one_off: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """That a one-off's input and output are a client's: it starts when the client has come, and ends when it goes.

    With `tty` they are a terminal of so many lines and columns. `seconds` is how long the client is waited for.
    """

    tty: bool
    lines: int = 24
    columns: int = 80
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOffSpec:
    """A command that runs beside what is wanted of an app. `name` is its process's (`run.1234`), `id` its own for ever.

    Without `attach` what it prints goes to the app's log.
    """

    id: str
    name: str
    command: str = field(repr=False)
    attach: Attach | None = None


@unique
class Network(StrEnum):
    """What a sandboxed run may reach."""

    NONE = "none"
    INDEXES = "indexes"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A host path seen inside the sandbox."""

    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRun:
    """A command in a sandbox without a release: a build step. `trust` says whose code it runs."""

    trust: Trust
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    binds: tuple[Bind, ...]
    cwd: str
    network: Network
    limits: Limits = Limits(memory_mb=2048, cpus=2.0, pids=1024, disk_mb=4096)
    seconds: float = 900.0


class Platform(Protocol):
    """Five verbs. `apply` and `run` return when done; both may be repeated after a crash of the caller."""

    async def apply(self, spec: AppSpec, *, fence: Fence, log: Log, go_live: GoLive) -> None:
        """Bring up `spec` beside what runs, call `go_live` with its healthy endpoints, then drain the old release.

        An empty formation (every quantity 0) stops all processes after `go_live(())`. Instances of the same release
        that already run in the wanted number are kept. Raises `Unhealthy` (nothing has changed), `Fenced`.
        """

    async def remove(self, app_id: str, *, fence: Fence) -> None:
        """Stop and delete everything of the app and return when it is verified gone; gone already is fine."""

    async def run(self, name: str, spec: AppSpec, command: str, *, fence: Fence, log: Log, seconds: float) -> int:
        """Run a one-off command of the release and return its exit code (124 when `seconds` passed).

        Runs detached from the caller under `name` (unique per app). Calling again with the same name re-attaches to
        the run, replaying nothing that was already read, or returns the recorded exit code. Raises `Lost`, then and
        under that name ever after, when there is none to come. One of another name that still runs is ended first: an
        app never runs two at once, and its request has been cancelled.
        """

    async def observe(self) -> Sequence[Instance]:
        """Every instance the engine holds with our label, of all apps."""

    def logs(self, app_id: str, *, follow: bool, lines: int, process: str = "") -> AsyncIterator[str]:
        """The app's last lines, oldest first, as `TIMESTAMP app[web.1]: text`; goes on for ever with `follow`.

        Only those of one `process`, or of all of a type, when `web.1` or `web` is named.
        """


@runtime_checkable
class Restarts(Protocol):
    """The ability to restart one process of what runs of an app while the others go on."""

    async def restart(self, app_id: str, process: str, *, fence: Fence) -> None:
        """End it, once nobody is led to it any more, and return when another has come up in its place.

        Raises `Refused` when no such process is wanted, `Unhealthy` when it does not come up: then it is tried again as
        one that has crashed.
        """


class Line(Protocol):
    """What is said to an attached one-off and by it: messages of a letter and bytes.

    To it: `i` input, `e` the end of the input, `w` the terminal's new size (two big-endian 16-bit numbers: lines,
    columns), `h` hang up. From it: `o` output, `r` what it wrote to stderr where that is apart, at last `x` and its
    exit code in digits.
    """

    async def send(self, message: bytes) -> None:
        """Tell it; returns when there is room for more. Raises `ConnectionError` when it is gone."""

    async def receive(self) -> bytes | None:
        """What it says next; None when it has hung up."""

    async def close(self) -> None:
        """Hang up: the command gets SIGHUP."""


@runtime_checkable
class OneOffs(Protocol):
    """The ability to run commands beside an app. They change nothing of what is wanted of it, so none carries a fence.

    An app that the engine is not to run (any more) has none: they end with it, and none is begun after it.
    """

    async def one_off(
        self, spec: AppSpec, wanted: OneOffSpec, *, seconds: float, begin: bool, begun: Callable[[], Awaitable[None]]
    ) -> int:
        """Run it, or attach to how it goes, and return its exit code (124 when `seconds` passed).

        `begun` is called when it is sure that it runs or has run. Raises `Lost` when nobody will know how it ended, or
        when the engine does not know it although it is not to `begin`: then it is not begun by a call that comes later.
        """

    async def stop_one_off(self, app_id: str, one_off_id: str) -> None:
        """SIGTERM, ten seconds later SIGKILL; returns when it has ended. One that is not there is never begun."""

    async def forget_one_off(self, app_id: str, one_off_id: str) -> None:
        """Stop it if it still runs, and delete its traces: its end is recorded. One that is not there is fine."""

    async def line(self, app_id: str, one_off_id: str) -> Line:
        """Be the client of one that waits for it. Raises `Refused` when it has one, or waits for none."""


class SandboxRunner(Protocol):
    """The ability to run build steps inside the engine's sandbox."""

    async def sandboxed(self, name: str, run: SandboxRun, *, log: Log) -> int:
        """Run to the end and return the exit code (124 on time-out); re-attaches by name like `Platform.run`."""

    async def forget(self, name: str) -> None:
        """End the run of that name if it still goes and delete its traces; unknown names are fine."""
