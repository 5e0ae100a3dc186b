"""Somebody at a terminal who uses Heroku, and Towpath beside it."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.heroku_cli.heroku import SECONDS

ROOT = Path(__file__).resolve().parents[2]


def section() -> str:
    """What the README says of Heroku's command line."""
    return (ROOT / "README.md").read_text().partition("### Use it with the Heroku CLI\n")[2].partition("\n### ")[0]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody at a terminal, with programs on the path and files of their own."""

    home: Path
    env: dict[str, str]

    async def types(self, script: str, *, code: int = 0) -> str:
        """Run lines as a shell does, up to the first that fails; returns all that was shown."""
        process = await asyncio.create_subprocess_exec(
            *("sh", "-e", "-c", script), env=self.env, cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = await asyncio.wait_for(process.communicate(), SECONDS * 2)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == code, f"{process.returncode}\n{out.decode()}"
        return out.decode()

    def belongings(self) -> dict[str, tuple[bytes, int]]:
        """Every file with what is in it and when it was written."""
        files = [path for path in self.home.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.home)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    @classmethod
    def at(cls, place: Path, *, program: Path, data: Path) -> Self:
        """A user of Heroku, logged in there, who has the Towpath of that data as well."""
        programs, home = place / "bin", place / "home"
        programs.mkdir()
        home.mkdir()
        (programs / "towpath").write_text(f'#!/bin/sh\nexec {sys.executable} -m service.cli "$@"\n')
        (programs / "heroku").symlink_to(program.parents[2] / ".bin/heroku")
        (programs / "towpath").chmod(0o755)
        (home / ".netrc").write_text("machine api.heroku.com\n  login me@example.com\n  password theirs\n")
        (home / ".netrc").chmod(0o600)
        (home / ".gitconfig").write_text("[user]\n\tname = Me\n")
        for name in (".config/heroku/config.json", ".local/share/heroku/config.json", ".cache/heroku/version"):
            (home / name).parent.mkdir(parents=True)
            (home / name).write_text("{}")
        env = {
            "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), "PYTHONPATH": str(ROOT), "NO_COLOR": "1",
            "TOWPATH_DATA": str(data), "TMPDIR": str(place / "tmp"), "HEROKU_API_KEY": "theirs",
            "HEROKU_SKIP_NEW_VERSION_CHECK": "true", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        (place / "tmp").mkdir()
        return cls(home=home, env=env)
