"""Logging in, profiles of several servers, and which of all that a command goes by."""

import json
import os
import stat
from pathlib import Path

import pytest

from service.cli import profile
from service.cli.errors import Stop
from tests.cli.conftest import Cli, Inside
from tests.web.serving import Server


def kept(home: Path) -> Path:
    return home / ".config/towpath/profiles.json"


async def test_a_login_is_checked_and_kept_for_its_owner_alone(stranger: Inside, offline: Cli, server: Server) -> None:
    done = await stranger("login", server.url, "--token-stdin", stdin=f"{server.token}\n")
    assert done.out == f"Logging in to {server.url}... done, as admin@localhost\n"
    assert done.err == ""
    place = kept(offline.cwd)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert [each.name for each in place.parent.iterdir()] == ["profiles.json"]
    assert (await stranger("auth:whoami")).out == "admin@localhost\n"
    assert (await stranger("auth:token")).out == f"{server.token}\n"
    shown = await stranger("profiles")
    assert (
        shown.out
        == f"   profile  server{' ' * (len(server.url) - 6)}  user\n*  default  {server.url}  admin@localhost\n"
    )
    assert server.token not in (await stranger("profiles", "--json")).out
    out = await stranger("logout")
    assert out.out == f"Logging out of {server.url}... done\n"
    assert "towpath login URL" in (await stranger("apps", code=1)).err


async def test_several_servers_are_told_apart_by_their_profiles(stranger: Inside, server: Server) -> None:
    for name in ("staging", "prod"):
        done = await stranger("login", server.url, "--token-stdin", "--profile", name, stdin=server.token)
        assert f"Use it with --profile {name}, or TOWPATH_PROFILE={name}." in done.out
    unclear = await stranger("apps", code=2)
    assert "There are profiles: prod, staging. Say --profile NAME, or set TOWPATH_PROFILE." in unclear.err
    for args in (["--profile", "prod", "apps"], ["apps", "--profile", "prod"], ["apps", "--profile=prod"]):
        assert "There is no app yet" in (await stranger(*args)).out, args
    assert "There is no app yet" in (await stranger("apps", TOWPATH_PROFILE="staging")).out
    listed = json.loads((await stranger("profiles", "--json", TOWPATH_PROFILE="prod")).out)
    assert [(it["name"], it["current"]) for it in listed] == [("prod", True), ("staging", False)]
    missing = await stranger("apps", "--profile", "prd", code=2)
    assert "There is no profile prd; there are: prod, staging, local." in missing.err
    both = await stranger("apps", "--profile", "prod", code=2, TOWPATH_URL=server.url)
    assert "TOWPATH_URL is set, which goes before --profile prod: unset that" in both.err
    await stranger("logout", code=2)
    await stranger("logout", "--profile", "prod")
    assert "There is no app yet" in (await stranger("apps")).out
    assert "--profile is empty" in (await stranger("apps", "--profile", "", code=2)).err


REFUSED = [
    ("a token that the server does not know", ["URL", "--token-stdin"], "towpath-wrong", 1, "does not know this token"),
    ("no token", ["URL", "--token-stdin"], "", 2, "No token was given"),
    ("two lines", ["URL", "--token-stdin"], "one\ntwo", 2, "That is no token"),
    ("nobody to ask for the token", ["URL"], "secret", 2, "give it with --token-stdin"),
    ("nobody to ask for the server", ["--token-stdin"], "secret", 2, "Which server?"),
    ("an unencrypted way", ["http://towpath.example.com", "--token-stdin"], "secret", 2, "is not encrypted"),
    ("an address that is none", ["ftp://host", "--token-stdin"], "secret", 2, "is not a URL such as"),
    ("a password in the address", ["https://me:hidden@host", "--token-stdin"], "secret", 2, "The address holds a user"),
    ("the name of this machine's own", ["URL", "--token-stdin", "--profile", "local"], "secret", 2, "needs no login"),
    ("a name with a slash", ["URL", "--token-stdin", "--profile", "a/b"], "secret", 2, "cannot be a profile's name"),
]  # fmt: skip


async def test_what_does_not_let_us_in_is_not_kept_and_never_shown(
    stranger: Inside, server: Server, offline: Cli
) -> None:
    for name, args, stdin, code, words in REFUSED:
        words_of = [server.url if each == "URL" else each for each in args]
        done = await stranger("login", *words_of, stdin=stdin, code=code)
        assert words in done.err, name
        assert "secret" not in done.out + done.err, name
        assert "hidden" not in done.out + done.err, name
    assert not kept(offline.cwd).exists()


async def test_an_unencrypted_way_is_taken_only_when_asked_for_and_is_warned_of(
    stranger: Inside, server: Server
) -> None:
    url = server.url.replace("127.0.0.1", "0.0.0.0")  # reaches us, and is not known to be this machine
    done = await stranger("login", url, "--token-stdin", "--insecure", stdin=server.token)
    assert f"{url} is not encrypted: others on the way can read your token." in done.err
    assert (await stranger("auth:whoami")).err == ""
    warned = await stranger("auth:whoami", TOWPATH_URL=url, TOWPATH_TOKEN=server.token)
    assert f"{url} is not encrypted" in warned.err
    assert warned.out == "admin@localhost\n"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("{", 0o600, "holds no profiles: mend it, or remove it"),
        ('{"profiles": {"default": {"url": 1}}}', 0o600, "holds no profiles"),
        ('{"profiles": []}', 0o600, "holds no profiles"),
        ('{"profiles": {}}', 0o644, "is open to others, and tokens are in it: chmod 600"),
        ('{"profiles": {}}', 0o620, "is open to others"),
    ],
    ids=["half a file", "half a profile", "a list", "readable by all", "writable by a group"],
)
async def test_a_file_of_profiles_that_cannot_be_used_is_named_with_the_way_out(
    stranger: Inside, offline: Cli, content: str, mode: int, words: str
) -> None:
    place = kept(offline.cwd)
    place.parent.mkdir(parents=True)
    place.write_text(content)
    place.chmod(mode)
    for args in (["apps"], ["profiles"], ["logout"]):
        done = await stranger(*args, code=1)
        assert str(place) in done.err
        assert words in done.err
    # What goes before it does not need it.
    await stranger("apps", code=6, TOWPATH_URL="http://127.0.0.1:1", TOWPATH_TOKEN="x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
async def test_a_file_of_profiles_that_is_somebody_elses_is_not_believed(stranger: Inside, offline: Cli) -> None:
    place = kept(offline.cwd)
    place.parent.mkdir(parents=True)
    place.write_text('{"profiles": {}}')
    place.chmod(0o600)
    os.chown(place, 12345, 12345)
    assert f"{place} belongs to another user" in (await stranger("apps", code=1)).err


A, B, LOCAL = "https://a.example.com", "https://b.example.com", "http://localhost:5080"
FIRST = [
    ("nothing but what `up` wrote down", {}, [], (LOCAL, "of-up")),
    ("a login before what `up` wrote down", {}, ["default"], (A, "of-default")),
    ("the only login, whatever its name", {}, ["other"], (B, "of-other")),
    ("of several logins the default", {}, ["default", "other"], (A, "of-default")),
    ("the login that is named", {"TOWPATH_PROFILE": "other"}, ["default", "other"], (B, "of-other")),
    ("the running `up` by its name", {"TOWPATH_PROFILE": "local"}, ["default"], (LOCAL, "of-up")),
    ("the environment before a login", {"TOWPATH_URL": B, "TOWPATH_TOKEN": "secret-t"}, ["default"], (B, "secret-t")),
    ("also before one that is named there", {"TOWPATH_URL": B, "TOWPATH_TOKEN": "secret-t", "TOWPATH_PROFILE": "default"}, ["default"], (B, "secret-t")),
    ("an address with the token of the login to it", {"TOWPATH_URL": B}, ["default", "other"], (B, "of-other")),
    ("an address with the token that `up` wrote down for it", {"TOWPATH_URL": LOCAL}, ["default"], (LOCAL, "of-up")),
    ("a token with the address of the login", {"TOWPATH_TOKEN": "secret-t"}, ["default"], (A, "secret-t")),
    ("an address whose token is not known", {"TOWPATH_URL": "https://c.example.com"}, ["default"], "but the token at hand is for"),
]  # fmt: skip


@pytest.mark.parametrize(("env", "names", "used"), [row[1:] for row in FIRST], ids=[row[0] for row in FIRST])
def test_which_server_is_used(
    tmp_path: Path, env: dict[str, str], names: list[str], used: tuple[str, str] | str
) -> None:
    known = {name: {"url": url, "token": f"of-{name}", "email": "me"} for name, url in (("default", A), ("other", B))}
    place = tmp_path / "towpath/profiles.json"
    place.parent.mkdir()
    place.touch(mode=0o600)
    place.write_text(json.dumps({"profiles": {name: known[name] for name in names}}))
    (tmp_path / "ready.json").write_text(json.dumps({"url": LOCAL, "api_token": "of-up"}))
    env = {"XDG_CONFIG_HOME": str(tmp_path), "TOWPATH_DATA": str(tmp_path), **env}
    if isinstance(used, str):
        with pytest.raises(Stop, match=used):
            profile.load(env)
    else:
        found = profile.load(env)
        assert (found.url, found.token) == used
        assert found.token not in repr(found)
