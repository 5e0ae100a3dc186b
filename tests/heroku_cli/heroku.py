"""Runs Heroku's command line in an environment of its own, and watches what it wants of the internet."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PROGRAM = Path(__file__).resolve().parents[2] / "build/heroku/node_modules/heroku/bin/run.js"
SECONDS = 90.0


@dataclass(slots=True, kw_only=True)
class Watched:
    """A proxy that lets nobody through: hosts that were asked for."""

    url: str
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def watching() -> AsyncIterator[Watched]:
    """Listen for as long as the block lasts."""
    door = Watched(url="")

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door.asked.append((await reader.readline()).decode(errors="replace").strip())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        door.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield door


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command answered, and what it said beside that."""

    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass(frozen=True, slots=True, kw_only=True)
class Heroku:
    """The command line."""

    program: Path
    env: Mapping[str, str]
    cwd: Path

    @classmethod
    def at(cls, program: Path, *, home: Path, url: str, token: str, door: Watched) -> Self:
        """Make it speak to the server at `url`, plain HTTP on loopback."""
        terms = home / ".cache/heroku/terms-of-service"
        terms.parent.mkdir(parents=True)
        terms.touch()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            "HEROKU_HOST": url,
            "HEROKU_API_KEY": token,
            "HEROKU_PARTICLEBOARD_URL": url,
            "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
            "HEROKU_DISABLE_AUTOUPDATE": "1",
            "DISABLE_TELEMETRY": "true",
            "HTTPS_PROXY": door.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "NO_COLOR": "1",
            "BROWSER": "/bin/true",
        }
        return cls(program=program, env=env, cwd=home)

    async def __call__(self, *args: str, code: int = 0, **env: str) -> Said:
        """Run a command to its end, which must be `code`."""
        process = await asyncio.create_subprocess_exec(
            "node",
            str(self.program),
            *args,
            env={**self.env, **env},
            cwd=self.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"heroku {' '.join(args)} does not end") from None
        said = Said(out=out.decode(), err=err.decode())
        assert process.returncode == code, f"heroku {' '.join(args)}: {process.returncode}\n{said.out}\n{said.err}"
        return said
