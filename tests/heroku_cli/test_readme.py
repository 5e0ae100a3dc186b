"""The README's section about the command line, followed to the letter; and what of the user's own is left alone."""

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.heroku_cli.heroku import SECONDS
from tests.walk.samples import quick
from tests.walk.stage import Stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]


def blocks() -> list[str]:
    """The commands of the section, block by block."""
    section = (ROOT / "README.md").read_text().partition("### Use it with the Heroku CLI\n")[2].partition("\n### ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


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


@pytest.fixture
def person(program: Path, stage: Stage, tmp_path: Path) -> Person:
    """A user of Heroku, logged in there, who has Towpath beside it."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    programs.mkdir()
    home.mkdir()
    (programs / "towpath").write_text(f'#!/bin/sh\nexec {sys.executable} -m service.cli "$@"\n')
    (programs / "heroku").symlink_to(program.parents[2] / ".bin/heroku")
    (programs / "towpath").chmod(0o755)
    (home / ".netrc").write_text("machine api.heroku.com\n  login me@example.com\n  password theirs\n")
    (home / ".netrc").chmod(0o600)
    (home / ".gitconfig").write_text("[user]\n\tname = Me\n")
    for place in (".config/heroku/config.json", ".local/share/heroku/config.json", ".cache/heroku/version"):
        (home / place).parent.mkdir(parents=True)
        (home / place).write_text("{}")
    env = {
        "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), "PYTHONPATH": str(ROOT), "NO_COLOR": "1",
        "TOWPATH_DATA": str(stage.data), "TMPDIR": str(tmp_path / "tmp"), "HEROKU_API_KEY": "theirs",
        "HEROKU_SKIP_NEW_VERSION_CHECK": "true", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    (tmp_path / "tmp").mkdir()
    return Person(home=home, env=env)


async def test_the_section_of_the_readme_is_followed_to_the_letter(stage: Stage, person: Person) -> None:
    repo = await stage.github.create_repo("acme/shop", files=quick("first"), default_branch="master")
    made = await stage.api("POST", "/pipelines", {"name": "shop"})
    for app, where in (("shop-staging", "staging"), ("shop", "production")):
        await stage.api("POST", "/apps", {"name": app})
        await stage.api("POST", "/pipeline-couplings", {"app": app, "pipeline": made["id"], "stage": where})
    await stage.api("POST", f"/pipelines/{made['id']}/repository", {"repository": repo.full_name})
    await stage.api("POST", "/apps/shop-staging/builds", {})
    await stage.says("shop-staging", "first")

    fronted, plain = blocks()
    before = person.belongings()
    install, _, commands = fronted.partition("\n")
    major = re.fullmatch(r"npm install --global heroku@(\d+)", install)
    assert major is not None
    assert f"HEROKU := heroku@{major[1]}." in (ROOT / "Makefile").read_text()
    said = await person.types(commands)
    assert "shop-staging" in said
    assert "=== shop" in said
    assert "Promotion successful" in said
    assert "shop-staging is up to date with shop" in said
    assert person.belongings() == before
    assert list(Path(person.env["TMPDIR"]).glob("towpath-*")) == []

    said = await person.types(plain.replace("5080", str(stage.port)).replace("TOKEN", stage.token))
    assert "Promotion successful" in said


async def test_the_command_ends_as_herokus_does_and_leaves_what_is_the_users(stage: Stage, person: Person) -> None:
    before = person.belongings()
    assert "Couldn't find that app." in await person.types("towpath heroku -- apps:info -a nobody", code=2)
    assert "Logging out... done" in await person.types("towpath heroku -- auth:logout")
    assert (await person.types("towpath heroku -- auth:whoami")).splitlines()[-1] == "admin@localhost"
    assert person.belongings() == before
