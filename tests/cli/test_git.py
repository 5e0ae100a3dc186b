"""git, set up by the command line to push to this server."""

import asyncio
import json
import sys

from tests.cli.conftest import ROOT, Cli, Inside
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


def _log_in(towpath: Cli, **profiles: tuple[str, str]) -> Cli:
    """The same with (address, token) of profiles instead of the environment's."""
    place = towpath.cwd / ".config/towpath/profiles.json"
    place.parent.mkdir(parents=True)
    kept = {name: {"url": url, "token": token, "email": "a@b.c"} for name, (url, token) in profiles.items()}
    place.write_text(json.dumps({"profiles": kept}))
    place.chmod(0o600)
    env = {name: value for name, value in towpath.env.items() if not name.startswith("TOWPATH_")}
    return Cli(cwd=towpath.cwd, env=env)


async def test_a_remote_is_reached_by_the_profile_that_made_it(towpath: Cli, server: Server) -> None:
    await server.app("example")
    towpath = _log_in(
        with_towpath(towpath), default=("http://127.0.0.1:9", "other"), **{"a 'work'": (server.url, server.token)}
    )
    towpath.git("init", "--quiet")
    await towpath("git:remote", "-a", "example", "--profile", "a 'work'")
    answered = await _git(towpath, "ls-remote", "towpath")
    assert answered == (0, ""), answered


async def test_the_environment_goes_before_a_clone_s_profile_for_its_own_server_only(
    inside: Inside, towpath: Cli, server: Server
) -> None:
    _log_in(towpath, work=(server.url, "of-work"))
    asked = f"protocol=http\nhost={server.url.removeprefix('http://')}\n"
    get = ("git:credentials", "--profile", "work", "get")
    assert f"password={server.token}\n" in (await inside(*get, stdin=asked)).out
    elsewhere = {"TOWPATH_URL": "http://127.0.0.1:9", "TOWPATH_TOKEN": "other"}
    assert "password=of-work\n" in (await inside(*get, stdin=asked, **elsewhere)).out
    nobody = await inside(*get, stdin="protocol=http\nhost=127.0.0.1:8\n", **elsewhere)
    assert (nobody.out, nobody.err) == ("", "")
    gone = await inside("git:credentials", "--profile", "gone", "get", stdin=asked, code=2, **elsewhere)
    assert (gone.out, "There is no profile gone" in gone.err) == ("", True)
    assert (await inside("git:credentials", "--profile", "gone", "store", stdin=asked)).out == ""
