"""Mirrors, against real repositories; hostile names, trees and refs included."""

import asyncio
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.domain.errors import Refused, Transient
from service.domain.model import Sha, Trust
from tests.builds.conftest import REPOSITORY
from tests.builds.repositories import Repository, git
from workers.builds.git import Git
from workers.builds.source import Moved, Remote, Source

OWN = Trust.OWN
TOKEN = "ghs_canarysecret"


async def test_a_commit_is_fetched_and_exported_whole(
    source: Source, remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    files = {"a.txt": "a", "dir/b.txt": "b", ".gitattributes": "dir export-ignore\na.txt export-subst\n", "run": "x"}
    sha = repository.commit(files, executable=("run",))
    await source.fetch(remote, sha, trust=OWN)
    dest = tmp_path / "out"
    await source.export(REPOSITORY, sha, dest, trust=OWN)
    assert {p.relative_to(dest).as_posix() for p in dest.rglob("*") if p.is_file()} == files.keys()
    assert (dest / "run").stat().st_mode & 0o100
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tar"] == []


async def test_only_the_sha_is_built_however_the_branch_moves(
    source: Source, remote: Remote, repository: Repository
) -> None:
    first = repository.commit({"app.json": "{}"})
    repository.commit({"app.json": '{"name": "later"}'})
    await source.fetch(remote, first, trust=OWN)
    assert await source.read_file(REPOSITORY, first, "app.json", trust=OWN) == "{}"


async def test_equal_trees_have_equal_names_whatever_the_commit(
    source: Source, remote: Remote, repository: Repository
) -> None:
    first = repository.commit({"api/x": "1", "web/y": "1"})
    second = repository.commit({"web/y": "2"})
    for sha in (first, second):
        await source.fetch(remote, sha, trust=OWN)
    names = [await source.tree_of(REPOSITORY, sha, trust=OWN, root="/api/") for sha in (first, second)]
    assert names[0] == names[1]
    assert await source.tree_of(REPOSITORY, first, trust=OWN) != await source.tree_of(REPOSITORY, second, trust=OWN)
    for root in ("missing", "web/y", "../etc"):
        with pytest.raises(Refused):
            await source.tree_of(REPOSITORY, first, trust=OWN, root=root)


async def test_a_commit_is_own_only_while_a_branch_contains_it(
    source: Source, remote: Remote, repository: Repository
) -> None:
    base = repository.commit({"x": "1"})
    master = repository.commit({"x": "2"})
    git(repository.path, "checkout", "--quiet", "-b", "side", base)
    side = repository.commit({"x": "3"})
    for sha in (master, side):
        await source.fetch(remote, sha, trust=OWN)
    assert await source.is_reachable(REPOSITORY, base, [master])
    assert await source.is_reachable(REPOSITORY, side, [master, side])
    assert not await source.is_reachable(REPOSITORY, side, [master])
    assert not await source.is_reachable(REPOSITORY, base, [])
    assert not await source.is_reachable(REPOSITORY, Sha("1" * 40), [master])


async def test_fork_objects_stay_in_their_quarantine(source: Source, remote: Remote, repository: Repository) -> None:
    own = repository.commit({"x": "1"})
    fork = repository.commit({"x": "2"})
    await source.fetch(remote, own, trust=OWN)
    await source.fetch(remote, fork, trust=Trust.FORK)
    assert not await source.is_reachable(REPOSITORY, fork, [own])
    with pytest.raises(Transient):
        await source.read_file(REPOSITORY, fork, "x", trust=OWN)


async def test_the_head_of_a_pull_request_is_taken_only_if_it_is_the_sha(
    source: Source, remote: Remote, repository: Repository
) -> None:
    base = repository.commit({"x": "1"})
    git(repository.path, "checkout", "--quiet", "--detach")
    head = repository.commit({"x": "2"})
    git(repository.path, "update-ref", "refs/pull/7/head", head)
    git(repository.path, "checkout", "--quiet", "master")
    git(repository.path, "config", "uploadpack.allowAnySHA1InWant", "false")
    # Version 2 of the protocol gives out any sha; servers that speak only the old one do not.
    old = {"GIT_CONFIG_PARAMETERS": "'protocol.version=0'"}
    source = replace(source, git=Git(protocols=("file",), network=old))
    await source.fetch(remote, head, trust=Trust.FORK, pull=7)
    assert await source.read_file(REPOSITORY, head, "x", trust=Trust.FORK) == "2"
    git(repository.path, "update-ref", "refs/pull/7/head", base)
    other = Sha(git(repository.path, "commit-tree", f"{head}^{{tree}}", "-m", "hidden"))
    with pytest.raises(Refused):
        await source.fetch(remote, other, trust=Trust.FORK, pull=7)


async def test_a_sha_that_cannot_be_had_is_refused_and_an_unreachable_server_is_not(
    source: Source, remote: Remote, repository: Repository
) -> None:
    repository.commit({"x": "1"})
    with pytest.raises(Refused, match="not in the repository"):
        await source.fetch(remote, Sha("1" * 40), trust=OWN)
    away = Remote(repository_id=8, url="http://127.0.0.1:9/x.git", token=TOKEN)
    with pytest.raises(Transient) as error:
        await replace(source, git=Git()).fetch(away, Sha("1" * 40), trust=OWN)
    assert TOKEN not in error.value.message


@pytest.mark.parametrize(
    "sha", ["HEAD", "--upload-pack=touch x", "a" * 39, "A" * 40, "", "1" * 40 + "\n", "refs/heads/x"]
)
async def test_anything_but_a_full_sha_is_refused(source: Source, remote: Remote, sha: str) -> None:
    with pytest.raises(Refused, match="not a full commit id"):
        await source.fetch(remote, Sha(sha), trust=OWN)


@pytest.mark.parametrize("name", ["--upload-pack=touch${IFS}PWNED;", "a$(id)", "a;b", "a|b", "a'b", "-x", "%2e"])
async def test_branch_names_reach_no_command(source: Source, remote: Remote, repository: Repository, name: str) -> None:
    sha = repository.commit({"x": "1"})
    git(repository.path, "update-ref", f"refs/heads/{name}", sha)
    await source.fetch(remote, sha, trust=OWN)
    mirror = source.mirror(REPOSITORY, OWN)
    assert git(mirror, "for-each-ref", "--format=%(refname)") == f"refs/towpath/{sha}"


@pytest.mark.parametrize("url", ["--upload-pack=touch PWNED", "ext::touch PWNED", "-u", "file:///etc"])
async def test_a_url_is_never_an_option_or_a_command(tmp_path: Path, url: str) -> None:
    source = Source(data=tmp_path / "data")
    with pytest.raises((Refused, Transient)):
        await source.fetch(Remote(repository_id=1, url=url), Sha("1" * 40), trust=OWN)
    assert not any(tmp_path.rglob("PWNED"))


FILES = {
    "a symbolic link": ("link", "is a symbolic link"),
    "too large": ("large", "large is 64 MB; the limit is 64 kB"),
    "binary": ("binary", "binary is a binary file"),
    "Latin 1": ("latin", "not UTF-8"),
    "a directory": ("directory", "is not a file"),
    "outside": ("../x", "outside of the repository"),
}


@pytest.mark.parametrize("case", list(FILES))
async def test_odd_files_are_not_read(source: Source, remote: Remote, repository: Repository, case: str) -> None:
    name, message = FILES[case]
    (repository.path / "link").symlink_to("/etc/passwd")
    sha = repository.commit({"large": b" " * (64 << 20), "binary": b"\0", "latin": b"\xe9", "directory/x": ""})
    await source.fetch(remote, sha, trust=OWN)
    with pytest.raises(Refused, match=message):
        await source.read_file(REPOSITORY, sha, name, trust=OWN)


async def test_a_missing_file_is_none(source: Source, remote: Remote, repository: Repository) -> None:
    sha = repository.commit({"x": ""})
    await source.fetch(remote, sha, trust=OWN)
    assert await source.read_file(REPOSITORY, sha, "app.json", trust=OWN) is None
    assert await source.read_file(REPOSITORY, sha, "*", trust=OWN) is None


async def test_hostile_trees_are_refused(
    source: Source, remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    inner = git(repository.path, "mktree", stdin=f"100644 blob {repository.blob('evil')}\tpasswd\n".encode())
    absolute = repository.blob("/etc/passwd")
    listings = {
        "dots": f"040000 tree {inner}\t..\n",
        "absolute": f"120000 blob {absolute}\tlink\n",
        "outside": f"120000 blob {repository.blob('x/../../..')}\tlink\n",
    }
    (tmp_path / "deep").mkdir()
    for name, listing in listings.items():
        sha = repository.commit_tree(listing)
        await source.fetch(remote, sha, trust=OWN)
        with pytest.raises((Refused, Transient)):
            await source.export(REPOSITORY, sha, tmp_path / "deep" / name, trust=OWN)
        assert list((tmp_path / "deep").rglob("*")) == []


async def test_a_damaged_mirror_is_made_anew(source: Source, remote: Remote, repository: Repository) -> None:
    await source.fetch(remote, repository.commit({"x": "1"}), trust=OWN)
    mirror = source.mirror(REPOSITORY, OWN)
    (mirror / "HEAD").write_text("garbage")
    sha = repository.commit({"x": "2"})
    await source.fetch(remote, sha, trust=OWN)
    for path in mirror.rglob("objects/**/*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"")
    sha = repository.commit({"x": "3"})
    await source.fetch(remote, sha, trust=OWN)
    assert await source.read_file(REPOSITORY, sha, "x", trust=OWN) == "3"


async def test_damage_found_while_reading_heals_with_the_next_fetch(
    source: Source, remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    sha = repository.commit({"x": "1"})
    await source.fetch(remote, sha, trust=OWN)
    blob = git(repository.path, "rev-parse", f"{sha}:x")
    loose = source.mirror(REPOSITORY, OWN) / "objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"")
    with pytest.raises(Transient):
        await source.export(REPOSITORY, sha, tmp_path / "first", trust=OWN)
    await source.fetch(remote, sha, trust=OWN)
    await source.export(REPOSITORY, sha, tmp_path / "second", trust=OWN)
    assert (tmp_path / "second/x").read_text() == "1"


async def test_what_a_killed_git_left_neither_stays_in_the_way_nor_on_the_disk(
    source: Source, remote: Remote, repository: Repository
) -> None:
    await source.fetch(remote, repository.commit({"x": "1"}), trust=OWN)
    sha = repository.commit({"x": "2"})
    mirror = source.mirror(REPOSITORY, OWN)
    left = [mirror / name for name in (f"refs/towpath/{sha}.lock", "packed-refs.lock", "objects/pack/tmp_pack_x")]
    for path in left:
        path.touch()
    await source.fetch(remote, sha, trust=OWN)
    assert await source.read_file(REPOSITORY, sha, "x", trust=OWN) == "2"
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize(("status", "error"), [(404, Refused), (403, Refused), (401, Refused), (500, Transient)])
async def test_a_server_sees_the_token_in_a_header_and_its_answer_is_understood(
    tmp_path: Path, status: int, error: type[Exception]
) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(status=status, headers={"WWW-Authenticate": "Basic"} if status == 401 else {})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        remote = Remote(repository_id=1, url=str(server.make_url("/o/r.git")), token=TOKEN)
        with pytest.raises(error) as raised:
            await Source(data=tmp_path).fetch(remote, Sha("1" * 40), trust=OWN)
    assert seen[0] == "basic eC1hY2Nlc3MtdG9rZW46Z2hzX2NhbmFyeXNlY3JldA=="
    assert TOKEN not in str(raised.value)


def advertisement(line: str) -> web.Response:
    """The first answer of a git server, with one line of it."""
    text = f"001e# service=git-upload-pack\n0000{len(line) + 4:04x}{line}0000"
    return web.Response(text=text, content_type="application/x-git-upload-pack-advertisement")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_server_that_leads_to_another_is_not_followed_there(tmp_path: Path, status: int) -> None:
    """Else git would give the other one our token, with its second request."""
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.headers.get('Authorization', '')}")
        return advertisement(f"{'1' * 40} HEAD\0 multi_ack\n")

    async def lead(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": str(other.make_url(request.path_qs))})

    apps = web.Application(), web.Application()
    for app, handler in zip(apps, (elsewhere, lead), strict=True):
        app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(apps[0]) as other, TestServer(apps[1]) as server:
        remote = Remote(repository_id=1, url=str(server.make_url("/o/r.git")), token=TOKEN)
        with pytest.raises(Moved, match=f"another address than {remote.url}"):
            await Source(data=tmp_path).fetch(remote, Sha("1" * 40), trust=OWN)
    assert seen == []


async def test_a_server_that_says_what_it_was_sent_is_quoted_without_it(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return advertisement(f"ERR you sent {request.headers['Authorization']}\n")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        remote = Remote(repository_id=1, url=str(server.make_url("/o/r.git")), token=TOKEN)
        with pytest.raises(Transient, match=r"you sent basic \S*\[redacted\]") as raised:
            await Source(data=tmp_path).fetch(remote, Sha("1" * 40), trust=OWN)
    assert "Z2hzX2NhbmFyeXNlY3JldA" not in raised.value.message


async def test_a_fetch_that_was_cut_short_is_repeated_whole(
    source: Source, remote: Remote, repository: Repository
) -> None:
    await source.fetch(remote, repository.commit({"x": "1"}), trust=OWN)
    sha = repository.commit({f"noise-{number}": os.urandom(1 << 20) for number in range(20)})
    for seconds in (0.005, 0.02, 0.05, 0.1):
        with suppress(Transient):
            await replace(source, fetch_seconds=seconds).fetch(remote, sha, trust=OWN)
    await source.fetch(remote, sha, trust=OWN)
    assert await source.tree_of(REPOSITORY, sha, trust=OWN)
    mirror = source.mirror(REPOSITORY, OWN)
    assert list(mirror.glob("objects/pack/tmp_*")) == list(mirror.rglob("*.lock")) == []
    git(mirror, "fsck", "--strict")


async def test_many_fetches_at_once_all_succeed(source: Source, remote: Remote, repository: Repository) -> None:
    shas = [repository.commit({"x": str(number)}) for number in range(6)]
    await asyncio.gather(*(source.fetch(remote, sha, trust=OWN) for sha in shas))
    assert [await source.read_file(REPOSITORY, sha, "x", trust=OWN) for sha in shas] == list("012345")


async def test_the_token_is_seen_in_the_environment_only(
    source: Source, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `git` first on the PATH writes down how it is called, then becomes the real one."""
    real = shutil.which("git")
    spy = tmp_path / "bin/git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/argv\nenv >> {tmp_path}/env\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CANARY", "not for git")
    sha = repository.commit({"x": "1"})
    await source.fetch(Remote(repository_id=REPOSITORY, url=repository.url, token=TOKEN), sha, trust=OWN)
    encoded = "eC1hY2Nlc3MtdG9rZW46Z2hzX2NhbmFyeXNlY3JldA=="
    assert encoded in (tmp_path / "env").read_text()
    assert "not for git" not in (tmp_path / "env").read_text()
    stored = subprocess.run(
        ["grep", "-rE", f"{TOKEN}|{encoded}", tmp_path / "data", tmp_path / "argv"], capture_output=True, check=False
    )
    assert stored.stdout == b""
    assert TOKEN not in repr(Remote(repository_id=1, url="x", token=TOKEN))


def test_a_token_is_bound_to_the_host_it_is_for() -> None:
    env = Git().environment(url="https://github.example.test/o/r.git", token=TOKEN)
    keys = [value for name, value in env.items() if name.startswith("GIT_CONFIG_KEY")]
    assert "http.https://github.example.test/.extraHeader" in keys
    assert env["GIT_ALLOW_PROTOCOL"] == "https"
    assert Git().environment(url="http://127.0.0.1:80/x", token="")["GIT_ALLOW_PROTOCOL"] == "https:http"


async def test_a_token_that_has_run_out_costs_no_mirror(
    source: Source, remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    sha = repository.commit({"x": "1"})
    await source.fetch(remote, sha, trust=OWN)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        refusing = replace(remote, url=str(server.make_url("/o/r.git")), token=TOKEN)
        with pytest.raises(Refused):
            await replace(source, git=Git()).fetch(refusing, Sha("1" * 40), trust=OWN)
    assert await source.read_file(REPOSITORY, sha, "x", trust=OWN) == "1"


async def test_the_machine_cannot_change_what_is_deployed(
    source: Source, remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    """Neither a replaced object in the mirror nor the machine's own attributes count."""
    sha = repository.commit({"x": "1"})
    other = repository.commit({"x": "2"})
    for each in (sha, other):
        await source.fetch(remote, each, trust=OWN)
    git(source.mirror(REPOSITORY, OWN), "update-ref", f"refs/replace/{sha}", other)
    await source.export(REPOSITORY, sha, tmp_path / "out", trust=OWN)
    assert (tmp_path / "out/x").read_text() == "1"
    assert Git().environment(url="", token="")["GIT_ATTR_NOSYSTEM"] == "1"


@pytest.mark.parametrize("root", ["two words", "/two words/", "a/b"])
async def test_a_root_directory_is_taken_by_its_words(
    source: Source, remote: Remote, repository: Repository, tmp_path: Path, root: str
) -> None:
    sha = repository.commit({"two words/x": "1", "a/b/x": "1", "x": "2"})
    await source.fetch(remote, sha, trust=OWN)
    await source.export(REPOSITORY, sha, tmp_path / "out", trust=OWN, root=root)
    assert (tmp_path / "out/x").read_text() == "1"


@pytest.mark.parametrize("root", ["link", "link/x", "*", ":(top)a", "a/../a", "x"])
async def test_a_root_directory_that_is_none_is_refused(
    source: Source, remote: Remote, repository: Repository, root: str
) -> None:
    repository.commit({"a/x": "1", "x": "2"})
    (repository.path / "link").symlink_to("a")
    sha = repository.save()
    await source.fetch(remote, sha, trust=OWN)
    with pytest.raises(Refused):
        await source.tree_of(REPOSITORY, sha, trust=OWN, root=root)
