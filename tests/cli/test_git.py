"""git, set up by the command line to push to this server."""

import asyncio
import sys

from tests.cli.conftest import ROOT, Cli
from tests.web.serving import Server


def with_towpath(towpath: Cli) -> Cli:
    """The same with the command in the PATH, where git finds it."""
    place = towpath.cwd / "bin"
    place.mkdir()
    (place / "towpath").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m service.cli "$@"\n')
    (place / "towpath").chmod(0o755)
    return Cli(
        cwd=towpath.cwd, env=towpath.env | {"PATH": f"{place}:{towpath.env['PATH']}", "GIT_TERMINAL_PROMPT": "0"}
    )


async def test_a_clone_with_the_remote_of_an_app_reaches_it_with_the_token_at_hand(
    towpath: Cli, server: Server
) -> None:
    await server.app("example")
    towpath = with_towpath(towpath)
    towpath.git("init", "--quiet")
    towpath.git("config", "--global", "credential.helper", "store")
    await towpath("git:remote", "-a", "example")
    answered = await _git(towpath, "ls-remote", "towpath")
    assert answered == (0, ""), answered
    assert server.token not in (towpath.cwd / ".git/config").read_text()
    assert not (towpath.cwd / ".git-credentials").exists(), "the helpers for everything else are not told"
    before = (towpath.cwd / ".git/config").read_text()
    await towpath("git:remote", "-a", "example")
    assert (towpath.cwd / ".git/config").read_text() == before
    await towpath("apps:create", "another", "--remote", "another")
    assert await _git(towpath, "ls-remote", "another") == (0, "")


async def _git(towpath: Cli, *args: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *("git", *args),
        cwd=towpath.cwd,
        env=towpath.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_the_token_is_told_of_its_own_server_only(towpath: Cli, server: Server) -> None:
    host = server.url.removeprefix("http://")
    told = await towpath("git:credentials", "get", stdin=f"protocol=http\nhost={host}\npath=example.git\n\n")
    assert told.out == f"username=towpath\npassword={server.token}\n"
    for asked in (f"protocol=https\nhost={host}\n", "protocol=http\nhost=github.com\n", "protocol=http\n", ""):
        assert (await towpath("git:credentials", "get", stdin=asked)).out == ""
    for action in ("store", "erase"):
        assert (await towpath("git:credentials", action, stdin=f"protocol=http\nhost={host}\n")).out == ""
