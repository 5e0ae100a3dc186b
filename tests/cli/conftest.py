"""The command line is run as users run it, as a process of its own, against a real server."""

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from service.cli.main import run
from service.store.database import Database
from service.store.secrets import Vault
from tests.store.fixtures import sqlite_database, sqlite_template  # noqa: F401
from tests.web.serving import Server, serving

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Cli:
    """Runs `towpath` in a directory of its own."""

    cwd: Path
    env: dict[str, str]

    async def __call__(self, *args: str, stdin: str = "", code: int | None = 0, **env: str) -> Run:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service.cli", *args,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.cwd, env={**self.env, **env},
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
        done = Run(code=process.returncode or 0, out=out.decode(), err=err.decode())
        assert "Traceback" not in done.err, done.err
        if code is not None:
            assert done.code == code, f"exit {done.code}\n{done.out}\n{done.err}"
        return done

    def git(self, *args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=self.cwd, env=self.env, check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture
async def server(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Server]:  # noqa: F811
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path) as running:
        yield running


@pytest.fixture
def offline(tmp_path: Path) -> Cli:
    """A command line that knows no server."""
    home = tmp_path / "home"
    home.mkdir()
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
    }
    return Cli(cwd=home, env=env)


@pytest.fixture
def towpath(server: Server, offline: Cli) -> Cli:
    """A command line that knows the server."""
    return Cli(cwd=offline.cwd, env=offline.env | {"TOWPATH_URL": server.url, "TOWPATH_TOKEN": server.token})


# What the server, which is in this process too, has logged meanwhile.
_OF_THE_SERVER = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[[a-z]+ *\] .*\n")


class Inside(Protocol):
    """Runs a command without a process of its own: many in the time of one."""

    def __call__(self, *args: str, stdin: str = "", typed: str = "", code: int = 0, **env: str) -> Awaitable[Run]: ...


class Keyboard(io.StringIO):
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


def _inside(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    for name in [*os.environ]:
        if name.startswith("TOWPATH_") or name in {"XDG_CONFIG_HOME", "SSL_CERT_FILE"}:
            monkeypatch.delenv(name)
    for name, value in cli.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(cli.cwd)

    async def call(*args: str, stdin: str = "", typed: str = "", code: int = 0, **env: str) -> Run:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Keyboard(typed) if typed else io.StringIO(stdin))
            for name, value in env.items():
                patch.setenv(name, value)
            ended = await asyncio.to_thread(run, args)
        out, err = capsys.readouterr()
        out = _OF_THE_SERVER.sub("", out)
        assert ended == code, f"exit {ended}\n{out}\n{err}"
        return Run(code=ended, out=out, err=err)

    return call


@pytest.fixture
def inside(towpath: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """A command line that knows the server, within this process."""
    return _inside(towpath, monkeypatch, capsys)


@pytest.fixture
def stranger(offline: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """One that knows no server."""
    return _inside(offline, monkeypatch, capsys)


@pytest.fixture
async def worker(server: Server) -> AsyncIterator[dict[str, Any]]:
    """A hand that works every request soon after it is made; how it works can be changed by the test."""
    options: dict[str, Any] = {}
    stop = asyncio.Event()

    async def go_on() -> None:
        while not stop.is_set():
            await server.work(**options)
            try:
                await asyncio.wait_for(stop.wait(), 0.05)
            except TimeoutError:
                continue

    task = asyncio.create_task(go_on())
    yield options
    stop.set()
    await task
