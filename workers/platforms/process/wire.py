"""What driver and runner say to one another: one JSON object per line, each a type of this module."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from service.domain.model import Position
from workers.platforms.base import AppSpec, Endpoint, Fence, Instance, OneOffSpec, SandboxRun

LINE_MOST = 16 * 1024 * 1024


class Prepare(Struct, tag=True, frozen=True):
    """Bring up a release beside what runs. Answer: `Done.endpoints`."""

    spec: AppSpec
    fence: Fence


class Activate(Struct, tag=True, frozen=True):
    """Want this release from now on and drain every other."""

    spec: AppSpec
    fence: Fence


class Discard(Struct, tag=True, frozen=True):
    """End what was prepared of a release and never activated."""

    app_id: str
    release_id: str
    fence: Fence


class Remove(Struct, tag=True, frozen=True):
    """End and delete everything of an app."""

    app_id: str
    fence: Fence


class Restart(Struct, tag=True, frozen=True):
    """Start one wanted process anew; answered when it has come up."""

    app_id: str
    process: str
    fence: Fence


class Run(Struct, tag=True, frozen=True):
    """Run a command of a release, or attach to it. Answer: its output behind `known`, at last `Done.code`."""

    name: str
    spec: AppSpec
    command: str
    seconds: float
    fence: Fence
    known: Position | None = None


class Build(Struct, tag=True, frozen=True):
    """Run a build step, or attach to it, likewise."""

    name: str
    run: SandboxRun
    known: Position | None = None


class OneOff(Struct, tag=True, frozen=True):
    """Run a one-off, or attach to it. Answer: an empty `Said` once it runs or has run, at last `Done.code`."""

    spec: AppSpec
    wanted: OneOffSpec
    seconds: float
    begin: bool


class StopOneOff(Struct, tag=True, frozen=True):
    """End a one-off; answered when it has ended."""

    app_id: str
    one_off_id: str


class ForgetOneOff(Struct, tag=True, frozen=True):
    """End a one-off and delete its traces."""

    app_id: str
    one_off_id: str


class FindLine(Struct, tag=True, frozen=True):
    """Where the client of a one-off connects to. Answer: `Done.endpoints`, of which there is one."""

    app_id: str
    one_off_id: str


class Forget(Struct, tag=True, frozen=True):
    """End a build step and delete its traces."""

    name: str


class Observe(Struct, tag=True, frozen=True):
    """Answer: `Done.instances`."""


class Logs(Struct, tag=True, frozen=True):
    """Answer: one `Said` per line, and `Done` unless it follows."""

    app_id: str
    follow: bool
    lines: int
    process: str = ""


class Said(Struct, tag=True, frozen=True):
    """Output or progress. A command's output says how far it reaches."""

    text: str
    to: Position | None = None


class Done(Struct, tag=True, frozen=True):
    """The command has succeeded."""

    endpoints: tuple[Endpoint, ...] = ()
    instances: tuple[Instance, ...] = ()
    code: int | None = None


class Failed(Struct, tag=True, frozen=True):
    """The command has failed; `kind` names the exception the driver raises."""

    kind: str
    text: str


Request = (
    Prepare
    | Activate
    | Discard
    | Remove
    | Restart
    | Run
    | Build
    | OneOff
    | StopOneOff
    | ForgetOneOff
    | FindLine
    | Forget
    | Observe
    | Logs
)
Reply = Said | Done | Failed


def _from_text(kind: type[Any], value: Any) -> Any:
    return kind(value)


_REQUEST = msgspec.json.Decoder(Request, dec_hook=_from_text)
_REPLY = msgspec.json.Decoder(Reply, dec_hook=_from_text)
_SPEC = msgspec.json.Decoder(AppSpec, dec_hook=_from_text)


def encode(message: Request | Reply) -> bytes:
    """One line."""
    return msgspec.json.encode(message, enc_hook=_to_text) + b"\n"


def _to_text(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def spec_to_text(spec: AppSpec) -> str:
    """For the wanted-state file."""
    return msgspec.json.encode(spec, enc_hook=_to_text).decode()


def spec_from_text(text: str) -> AppSpec:
    """From the wanted-state file."""
    return _SPEC.decode(text)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request, or None when the driver has hung up."""
    line = await reader.readline()
    return _REQUEST.decode(line) if line.endswith(b"\n") else None


async def read_reply(reader: asyncio.StreamReader) -> Reply | None:
    """The next reply, or None when the runner has hung up."""
    line = await reader.readline()
    return _REPLY.decode(line) if line.endswith(b"\n") else None
