"""Hostile strings in what a repository holds and names: refused, or taken by the letter; and what no text may carry on."""

import asyncio
import json
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from service.domain.manifest import Manifest, parse_app_json, parse_procfile
from service.domain.model import Sha, Trust
from tests.attacks.words import OPTIONS, SHELL, URLS, WORDS, with_canary
from tests.builds.conftest import REPOSITORY, remote, repository, source
from tests.builds.repositories import Repository, git
from workers.builds import addresses, buildpack, foreign
from workers.builds.git import Git
from workers.builds.slug import SlugStore
from workers.builds.source import Remote, Source

__all__ = ["remote", "repository", "source"]


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Beside whoever might execute a word: it never exists."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here/canary"


def words(canary: Path) -> list[str]:
    return [with_canary(word, str(canary)) for word in WORDS]


def test_the_corpus_is_large_and_every_word_is_another() -> None:
    assert len(WORDS) == len(set(WORDS)) > 120


@pytest.mark.parametrize("word", SHELL[:12])
def test_a_shell_does_what_a_word_says(word: str, canary: Path) -> None:
    """Else the canary would prove nothing."""
    subprocess.run(["bash", "-c", f"echo {with_canary(word, str(canary))}"], check=False, capture_output=True)
    assert canary.exists()


def test_git_does_what_an_option_says(canary: Path, repository: Repository) -> None:
    repository.commit({"x": "1"})
    word = with_canary(OPTIONS[0], str(canary))
    subprocess.run(
        ["git", "-C", repository.path, "fetch", str(repository.path), word], check=False, capture_output=True
    )
    assert canary.exists()


def test_every_word_is_a_process_type_by_the_letter_or_refused(canary: Path) -> None:
    for word in words(canary):
        with suppress(Refused):
            # The first colon ends the name.
            assert list(parse_procfile(f"{word}: run")) in ([], [word.partition(":")[0].strip()])
        if "\n" not in word:
            with suppress(Refused):
                assert parse_procfile(f"web: {word}") in ({}, {"web": word.strip()})
    assert not canary.exists()


@pytest.mark.parametrize("divider", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"])
def test_what_looks_like_one_line_of_a_procfile_is_one(divider: str) -> None:
    text = f"web: run{divider}release: other"
    with suppress(Refused):
        assert parse_procfile(text) == {"web": text.removeprefix("web: ")}


def test_every_word_is_in_an_app_json_by_the_letter_or_refused(canary: Path) -> None:
    def read(document: object) -> Manifest | None:
        with suppress(Refused):
            return parse_app_json(json.dumps(document))
        return None

    for word in words(canary):
        for document, told in (
            ({"name": word}, lambda found: found.name),
            ({"stack": word}, lambda found: found.stack),
            ({"env": {"X": word}}, lambda found: found.env["X"].value),
            ({"env": {word: "x"}}, lambda found: next(iter(found.env))),
            ({"scripts": {"postdeploy": word}}, lambda found: found.scripts["postdeploy"]),
            ({"buildpacks": [{"url": word}]}, lambda found: found.buildpacks[0]),
            ({"formation": {word: {"quantity": 1}}}, lambda found: next(iter(found.formation))),
            ({"addons": [word]}, lambda found: found.addons[0].plan),
        ):
            found = read(document)
            assert found is None or told(found) == word
    assert not canary.exists()


async def test_every_word_is_a_commit_path_or_root_directory_of_git_s_own_or_refused(
    canary: Path, source: Source, remote: Remote, repository: Repository
) -> None:
    sha = repository.commit({"app.json": "{}"})
    await source.fetch(remote, sha, trust=Trust.OWN)
    for word in words(canary):
        with pytest.raises(Refused):
            await source.fetch(remote, Sha(word), trust=Trust.OWN)
        if "\0" in word or any(0xD800 <= ord(each) < 0xE000 for each in word):
            continue  # no argument of a process: see the doors that refuse them
        if word.strip("/"):
            with pytest.raises(Refused):
                await source.tree_of(REPOSITORY, sha, trust=Trust.OWN, root=word)
        with suppress(Refused):
            assert await source.read_file(REPOSITORY, sha, f"x/{word}", trust=Trust.OWN) is None
        with pytest.raises(Refused):
            await foreign.resolve(f"{repository.url}#{word}#", git=source.git)
    assert not canary.exists()


async def test_no_word_is_a_buildpack(canary: Path, source: Source) -> None:
    for word in words(canary):
        with pytest.raises(Refused):
            await buildpack.resolve([word], source=source)
    assert not canary.exists()


@pytest.mark.parametrize("url", [url for url in URLS if url.startswith("https://")])
async def test_no_buildpack_is_fetched_from_this_machine_or_its_network(url: str, source: Source) -> None:
    with pytest.raises(Refused):
        await buildpack.resolve([url], source=source)


@pytest.mark.parametrize("found", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:10.0.0.1"], ["fec0::1"]])
async def test_a_public_name_that_leads_to_a_private_address_is_refused(
    found: list[str], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(self: object, host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    with pytest.raises(Refused, match="not in the public internet"):
        await buildpack.resolve(["https://buildpack.example.com/x.git"], source=source)


async def test_git_is_held_to_the_address_that_was_looked_at_and_follows_no_redirect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(self: object, host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    url = "https://buildpack.example.com/x.git"
    env = Git().environment(url=url, token="", pinned=await addresses.pinned(url))
    config = {env[f"GIT_CONFIG_KEY_{n}"]: env[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(env["GIT_CONFIG_COUNT"]))}
    assert config["http.curloptResolve"] == "buildpack.example.com:443:93.184.216.34"
    assert config["http.followRedirects"] == "false"


FILES = [
    os.fsencode(with_canary(word, "canary"))
    for word in WORDS
    if not set(word) & set("/\0\ud800") and 0 < len(word.encode()) < 255
]
FILES += [b"\xff\xfe", b"a\nb", b"-C", b"\xed\xa0\x80"]  # fmt: skip


async def test_files_of_any_name_are_packed_and_unpacked_by_the_letter(canary: Path, tmp_path: Path) -> None:
    names = {name for name in FILES if name not in {b".", b".."}}
    (tmp_path / "tree").mkdir()
    for name in names:
        (tmp_path / "tree" / os.fsdecode(name)).write_bytes(name)
    store = SlugStore(data=tmp_path / "data")
    blob = await store.add(tmp_path / "tree", trust=Trust.OWN)
    subprocess.run(["rm", "-rf", tmp_path / "data/slugs/own" / blob.sha256], check=True)
    place = await store.unpacked(Trust.OWN, blob.sha256)
    assert {os.fsencode(path.name) for path in place.iterdir()} == names
    assert not canary.exists()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\x1b[31mred", b"a\rb", b"\x07"])
async def test_a_refusal_quotes_no_name_that_cannot_be_stored_or_steers_a_terminal(name: bytes, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / os.fsdecode(name)).write_bytes(b"x" * (2 << 20))
    with pytest.raises(Refused) as refused:
        await SlugStore(data=tmp_path / "data", max_bytes=1 << 20).add(tmp_path / "tree", trust=Trust.OWN)
    assert refused.value.message.encode()
    assert refused.value.message.isprintable()
    assert str(refused.value) == refused.value.message


LISTINGS = {
    "a directory named .git": "040000 tree {tree}\t.git\n",
    "a file named .git": "100644 blob {blob}\t.git\n",
    "a directory named .GIT": "040000 tree {tree}\t.GIT\n",
    "a directory named git~1": "040000 tree {tree}\tgit~1\n",
    "submodules that fetch by a command": "100644 blob {modules}\t.gitmodules\n160000 commit {commit}\tsub\n",
    "attributes with a filter": "100644 blob {attributes}\t.gitattributes\n100644 blob {blob}\tx\n",
    "the same name twice": "100644 blob {blob}\tx\n100644 blob {blob}\tx\n",
    "a link to an absolute path": "120000 blob {absolute}\tlink\n",
    "a link to the directory above": "120000 blob {above}\tlink\n",
    "a link with an end in its middle": "120000 blob {ended}\tlink\n",
    "a file with the set-user-id bit": "104755 blob {blob}\tx\n",
    "a link and a file behind it": "120000 blob {above}\ta\n040000 tree {tree}\ta\n",
}


@pytest.mark.parametrize("case", list(LISTINGS), ids=list(LISTINGS))
async def test_a_tree_from_git_stays_inside_and_runs_nothing_with(
    case: str, canary: Path, source: Source, remote: Remote, repository: Repository, tmp_path: Path
) -> None:
    inner = git(repository.path, "mktree", stdin=f"100755 blob {repository.blob(f'touch {canary}')}\tconfig\n".encode())
    words = {
        "tree": inner,
        "blob": repository.blob("x"),
        "commit": repository.commit({"z": "1"}),
        "modules": repository.blob(
            f'[submodule "sub"]\npath = sub\nurl = "ext::touch {canary}"\nupdate = "!touch {canary}"\n'
        ),
        "attributes": repository.blob("* filter=evil export-subst diff=evil\n"),
        "absolute": repository.blob("/etc/passwd"),
        "above": repository.blob("../../x"),
        "ended": repository.blob("in\0/../../../etc"),
    }
    (tmp_path / "outer").mkdir()
    dest = tmp_path / "outer/app"
    sha = repository.commit_tree(LISTINGS[case].format(**words))
    with suppress(Refused, Transient):
        await source.fetch(remote, sha, trust=Trust.OWN)
        await source.export(REPOSITORY, sha, dest, trust=Trust.OWN)
    assert {path.name for path in (tmp_path / "outer").iterdir()} <= {"app"}
    for path in dest.rglob("*"):
        assert path.resolve().is_relative_to(dest), path
        assert not path.lstat().st_mode & 0o7000
    assert not canary.exists()
