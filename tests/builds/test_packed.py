"""A packed source becomes a commit, or is refused with what is wrong in it; nothing of it is written by its names."""

import asyncio
import gzip
import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import Refused
from service.domain.model import NO_REPOSITORY, Sha, Trust
from tests.builds.test_archive import HOSTILE, member
from tests.waiting import until
from workers.builds import packed
from workers.builds.source import Source

Members = list[tuple[tarfile.TarInfo, bytes]]
MOST = 1 << 20


def tar_of(members: Members) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


async def taken_in(source: Source, tmp_path: Path, content: bytes, *, most: int = MOST) -> Sha:
    file = tmp_path / "sent.tar.gz"
    file.write_bytes(content)
    try:
        return await packed.commit_of(file, source=source, scratch=tmp_path / "scratch/build-1", most=most)
    finally:
        assert list((tmp_path / "scratch").iterdir()) == []


async def exported(source: Source, sha: Sha, dest: Path) -> dict[str, str]:
    """Every file with its content, and every link with its target."""
    await source.export(NO_REPOSITORY, sha, dest, trust=Trust.SENT)
    found = {path.relative_to(dest).as_posix(): path for path in dest.rglob("*") if not path.is_dir()}
    return {name: f"-> {path.readlink()}" if path.is_symlink() else path.read_text() for name, path in found.items()}


def with_mode(mode: int, info: tuple[tarfile.TarInfo, bytes]) -> tuple[tarfile.TarInfo, bytes]:
    info[0].mode = mode
    return info


async def test_the_files_of_a_packed_source_are_those_that_are_built(source: Source, tmp_path: Path) -> None:
    odd = 'na\\me "with"\nlines \xff'
    members = [
        member("./Procfile", content=b"web: ./serve"),
        with_mode(0o4777, member("serve", content=b"#!/bin/sh")),
        with_mode(0o1600, member("lib/plain", content=b"text")),
        member("lib/link", tarfile.SYMTYPE, "../serve"),
        member("empty", tarfile.DIRTYPE),
        member(odd, content=b"odd"),
        member("lib/again", content=b"first"),
        member("lib/again", content=b"second"),
        member(".git/config", content=b"[core]"),
        member("vendor/.GIT/hooks/x", content=b"evil"),
    ]
    sha = await taken_in(source, tmp_path, gzip.compress(tar_of(members)))
    files = await exported(source, sha, tmp_path / "out")
    assert files == {
        "Procfile": "web: ./serve",
        "serve": "#!/bin/sh",
        "lib/plain": "text",
        "lib/link": "-> ../serve",
        odd: "odd",
        "lib/again": "second",
    }
    modes = {name: (tmp_path / "out" / name).stat().st_mode & 0o7777 for name in ("serve", "lib/plain")}
    assert modes == {"serve": 0o755, "lib/plain": 0o644}


async def test_equal_files_are_one_commit_however_they_are_packed(source: Source, tmp_path: Path) -> None:
    files = [member("Procfile", content=b"web: x"), member("a/b", content=b"c")]
    inside = [
        member("repo-abc", tarfile.DIRTYPE),
        *(member(f"repo-abc/{info.name}", content=raw) for info, raw in files),
    ]
    first = await taken_in(source, tmp_path, gzip.compress(tar_of(files)))
    again = await taken_in(source, tmp_path, gzip.compress(tar_of(list(reversed(inside))), compresslevel=1))
    other = await taken_in(source, tmp_path, gzip.compress(tar_of([member("Procfile", content=b"web: y")])))
    assert first == again
    assert first != other
    assert await source.read_file(NO_REPOSITORY, first, "Procfile", trust=Trust.SENT) == "web: x"


def _stream(name: str) -> bytes:
    """So many files that git makes a pack of them; less lie loose."""
    blobs = [f"blob\nmark :{at}\ndata 8\n{at:08}\n" for at in range(1, 201)]
    files = [f"M 100644 :{at} {name}-{at}\n" for at in range(1, 201)]
    commit = f"commit refs/towpath/sent-{name}\nmark :201\ncommitter T <t> 0 +0000\ndata 0\n"
    return "".join((*blobs, commit, *files, "\nget-mark :201\ndone\n")).encode()


async def test_a_source_leaves_alone_what_of_another_is_half_here(source: Source, tmp_path: Path) -> None:
    slow, quick, whole = tmp_path / "slow", tmp_path / "quick", _stream("slow")
    os.mkfifo(slow)
    quick.write_bytes(_stream("quick"))
    first = asyncio.ensure_future(source.take_in(slow))
    with await asyncio.to_thread(slow.open, "wb", 0) as file:
        file.write(whole[:4000])
        packs = source.mirror(NO_REPOSITORY, Trust.SENT) / "objects/pack"
        await until(lambda: [*packs.glob("tmp_*")], what="git is at it")
        second = asyncio.ensure_future(source.take_in(quick))
        await asyncio.wait({second}, timeout=0.3)  # it waits for the first, or has done its harm by then
        file.write(whole[4000:])
    for sha, name in ((await first, "slow"), (await second, "quick")):
        assert await source.read_file(NO_REPOSITORY, sha, f"{name}-7", trust=Trust.SENT) == "00000007"


async def test_what_is_taken_in_while_it_is_listed_what_is_needed_stays(source: Source, tmp_path: Path) -> None:
    content = gzip.compress(tar_of([member("Procfile", content=b"web: x")]))
    sha = await taken_in(source, tmp_path, content)
    os.utime(source.mirror(NO_REPOSITORY, Trust.SENT), (0, 0))
    listed_at = time.time()
    assert await taken_in(source, tmp_path, content) == sha
    assert await source.keep(set(), listed_at=listed_at) == []
    assert await source.read_file(NO_REPOSITORY, sha, "Procfile", trust=Trust.SENT) == "web: x"
    assert await source.keep(set(), listed_at=time.time() + 1) == ["0-sent.git"]


@pytest.mark.parametrize("case", [case for case in HOSTILE if case != "too much"])
async def test_what_no_commit_may_hold_no_packed_source_may(source: Source, tmp_path: Path, case: str) -> None:
    members, message = HOSTILE[case]
    with pytest.raises(Refused, match=message):
        await taken_in(source, tmp_path, gzip.compress(tar_of(members())))


async def test_a_link_that_leads_out_of_the_one_directory_is_refused(source: Source, tmp_path: Path) -> None:
    members = [member("repo/file"), member("repo/link", tarfile.SYMTYPE, "../elsewhere")]
    with pytest.raises(Refused, match=r"link is a symbolic link to \.\./elsewhere, outside"):
        await taken_in(source, tmp_path, gzip.compress(tar_of(members)))


def _long_header() -> bytes:
    """A header for the next file that claims to be larger than any: `tarfile` would read all of it at once."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 512 * 1024
    return info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * info.size + tar_of([member("a", content=b"x")])


def _endless_map() -> bytes:
    """A sparse file whose map of holes never ends: `tarfile` would search for its end block by block."""
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "9"}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT, pax_headers={}) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers, info.size = headers, 512 * 1024
        archive.addfile(info, io.BytesIO(b"1" * info.size))
    return raw.getvalue()


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no gzip": (lambda: tar_of([member("a", content=b"x")]), "not a whole tar.gz"),
    "half a gzip": (lambda: gzip.compress(tar_of([member("a", content=bytes(9999))]))[:-20], "not a whole tar.gz"),
    "nothing": (lambda: b"", "damaged: empty file"),
    "no tar": (lambda: gzip.compress(b"not a tar" * 200), "damaged"),
    "a tar without a file": (lambda: gzip.compress(tar_of([member("d", tarfile.DIRTYPE)])), "no file is in it"),
    "half a tar": (lambda: gzip.compress(tar_of([member("a", content=bytes(9999))])[:4096]), "damaged"),
    "a bomb": (lambda: gzip.compress(bytes(300 << 20)), "larger than .* MB unpacked"),
    "too much": (lambda: gzip.compress(tar_of([member("a", content=bytes(MOST + 1))])), "larger than 1 MB unpacked"),
    "a header without end": (lambda: gzip.compress(_long_header()), "longer than any of a file's name"),
    "a map without end": (lambda: gzip.compress(_endless_map()), "longer than any of a file's name|damaged"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_no_packed_source_is_refused_by_name(source: Source, tmp_path: Path, case: str) -> None:
    content, message = BROKEN[case]
    with pytest.raises(Refused, match=message):
        await taken_in(source, tmp_path, content())


async def test_more_members_than_anybody_writes_are_refused(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MOST_MEMBERS", 3)
    with pytest.raises(Refused, match="more than 3 files"):
        await taken_in(source, tmp_path, gzip.compress(tar_of([member(name, content=b"x") for name in "abcd"])))


async def test_what_a_dead_build_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    for name in ("build-1", "build-1.aa.tar", "build-2.fetched", "build-2"):
        (tmp_path / name).touch()
    packed.tidy(tmp_path, alive={"build-1"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build-1", "build-1.aa.tar"]
    packed.tidy(tmp_path / "nowhere", alive=())
