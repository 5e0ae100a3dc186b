"""What the runner tells a shim, as JSON on its stdin."""

from typing import TypedDict

from workers.platforms.process.namespaces import Stage


class Bare(TypedDict):
    """What stands for the sandbox at level `none`."""

    env: dict[str, str]
    cwd: str


class Attached(TypedDict):
    """That a client connects to the shim, and what it gets."""

    tty: bool
    lines: int
    columns: int
    seconds: float


class ShimSpec(TypedDict):
    """One sandbox. `uid` and `keeper` are None where the runner is an ordinary user."""

    bwrap: str
    arguments: list[str]  # with the app's environment; handed over where no `ps` shows it
    command: list[str]
    stage: list[Stage]
    room: tuple[str, int] | None  # a directory and the bytes of memory that changes in /app may take there
    uid: int | None
    keeper: int | None
    network: str
    names: list[str]
    port: int | None
    cgroups: list[str]
    own_cgroups: list[str]  # the shim's and its egress's
    limits: dict[str, int]
    seccomp: str
    log_directory: str | None  # None: keep the output as it is, in `out`
    label: str
    peers: list[int]
    bare: Bare | None
    attach: Attached | None  # then `peers` may be its client
