"""Packing, keeping and unpacking of slugs."""

import asyncio
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from service.domain.model import Trust
from workers.builds import archive
from workers.builds.slug import SlugStore

LONG = "x" * 120


def tree(at: Path, *, when: int = 1_700_000_000, umask: int = 0o022) -> Path:
    """A tree with everything a pax header could carry: long names, links, modes, times."""
    old = os.umask(umask)
    (at / "bin").mkdir(parents=True)
    (at / "empty").mkdir()
    (at / f"{LONG}/{LONG}").mkdir(parents=True)
    (at / f"{LONG}/{LONG}/ü.txt").write_text("long")
    (at / "bin/run").write_text("#!/bin/sh\n")
    (at / "bin/run").chmod(0o700)
    (at / "bin/python").symlink_to("/opt/towpath/runtimes/python/bin/python3")
    (at / "dangling").symlink_to("nowhere")
    os.link(at / "bin/run", at / "bin/same")
    for path in at.rglob("*"):
        os.utime(path, (when, when + 0.5), follow_symlinks=False)
    os.umask(old)
    return at


@pytest.fixture
def store(tmp_path: Path) -> SlugStore:
    return SlugStore(data=tmp_path / "data")


async def test_equal_content_packs_to_equal_bytes(store: SlugStore, tmp_path: Path) -> None:
    first = await store.add(tree(tmp_path / "a"), trust=Trust.OWN)
    second = await store.add(tree(tmp_path / "b", when=1, umask=0o077), trust=Trust.OWN)
    assert first == second
    assert store.blob(Trust.OWN, first.sha256).stat().st_size == first.size
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


async def test_a_slug_is_readable_for_all_writable_for_its_owner_only(store: SlugStore, tmp_path: Path) -> None:
    blob = await store.add(tree(tmp_path / "a", umask=0o077), trust=Trust.OWN)
    for _ in range(2):
        place = await store.unpacked(Trust.OWN, blob.sha256)
        modes = {
            path.relative_to(place).as_posix(): path.lstat().st_mode & 0o777
            for path in place.rglob("*")
            if not path.is_symlink()
        }
        assert modes["bin/run"] == 0o755
        assert modes[f"{LONG}/{LONG}/ü.txt"] == 0o644
        assert place.stat().st_mode & 0o777 == 0o755
        assert (place / "bin/python").readlink() == Path("/opt/towpath/runtimes/python/bin/python3")
        # The second time it comes from the blob.
        shutil.rmtree(place)


async def test_many_at_once_unpack_to_one_place(store: SlugStore, tmp_path: Path) -> None:
    blob = await store.add(tree(tmp_path / "a"), trust=Trust.OWN)
    place = await store.unpacked(Trust.OWN, blob.sha256)
    place.rename(tmp_path / "away")
    places = await asyncio.gather(*(store.unpacked(Trust.OWN, blob.sha256) for _ in range(5)))
    assert set(places) == {place}
    assert sorted(path.name for path in place.parent.iterdir()) == sorted([place.name, f"{place.name}.tar.zst"])


async def test_a_changed_blob_is_refused(store: SlugStore, tmp_path: Path) -> None:
    blob = await store.add(tree(tmp_path / "a"), trust=Trust.OWN)
    (await store.unpacked(Trust.OWN, blob.sha256)).rename(tmp_path / "away")
    path = store.blob(Trust.OWN, blob.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Refused, match="was changed after it was built"):
        await store.unpacked(Trust.OWN, blob.sha256)
    assert not (path.parent / blob.sha256).exists()


async def test_slugs_of_forks_are_not_found_as_own(store: SlugStore, tmp_path: Path) -> None:
    blob = await store.add(tree(tmp_path / "a"), trust=Trust.FORK)
    with pytest.raises(Refused, match="no longer stored"):
        await store.unpacked(Trust.OWN, blob.sha256)


async def test_a_deleted_slug_is_gone_and_deleting_again_is_fine(store: SlugStore, tmp_path: Path) -> None:
    blob = await store.add(tree(tmp_path / "a"), trust=Trust.OWN)
    for _ in range(2):
        await store.delete(Trust.OWN, blob.sha256)
    assert list((tmp_path / "data/slugs/own").iterdir()) == []


async def test_a_slug_over_the_limit_is_refused_naming_what_is_large(tmp_path: Path) -> None:
    store = SlugStore(data=tmp_path / "data", max_bytes=2 << 20)
    (tmp_path / "a/media").mkdir(parents=True)
    (tmp_path / "a/media/film").write_bytes(b"x" * (3 << 20))
    with pytest.raises(Refused, match=r"3 MB unpacked; the limit is 2 MB. The largest parts are media 3 MB"):
        await store.add(tmp_path / "a", trust=Trust.OWN)


async def test_sockets_and_pipes_are_left_out(store: SlugStore, short_tmp: Path) -> None:
    (short_tmp / "a").mkdir()
    os.mkfifo(short_tmp / "a/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_tmp / "a/socket"))
    blob = await store.add(short_tmp / "a", trust=Trust.OWN)
    assert list((await store.unpacked(Trust.OWN, blob.sha256)).iterdir()) == []


async def test_what_a_build_closed_is_packed_readable_also_by_an_ordinary_user(ordinary: Path) -> None:
    store, left = SlugStore(data=ordinary / "data"), ordinary / "a"
    (left / "shut").mkdir(parents=True)
    (left / "shut/in").write_text("x")
    for path in (left / "shut/in", left / "shut", left):
        path.chmod(0)
    blob = await store.add(left, trust=Trust.OWN)
    assert ((await store.unpacked(Trust.OWN, blob.sha256)) / "shut/in").read_text() == "x"
    await store.delete(Trust.OWN, blob.sha256)
    assert list((ordinary / "data/slugs/own").iterdir()) == []


@pytest.mark.parametrize("sha256", ["../../etc", "", "A" * 64, "a" * 63])
async def test_only_digests_name_slugs(store: SlugStore, sha256: str) -> None:
    with pytest.raises(Refused):
        await store.unpacked(Trust.OWN, sha256)


async def test_the_loop_goes_on_while_a_slug_is_packed(store: SlugStore, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/noise").write_bytes(os.urandom(40 << 20))
    packing = asyncio.create_task(store.add(tmp_path / "a", trust=Trust.OWN))
    longest, last = 0.0, time.monotonic()
    while not packing.done():
        await asyncio.sleep(0)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await packing
    assert longest < 1.0


async def test_what_killed_processes_left_is_tidied_away_when_it_is_old(
    store: SlugStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await store.add(tree(tmp_path / "a"), trust=Trust.OWN)
    shelf = tmp_path / "data/slugs/own"
    (shelf / ".new-tree/x").mkdir(parents=True)
    (shelf / ".new-blob").touch()
    await store.tidy()
    assert len(list(shelf.iterdir())) == 4
    later = time.time() + 2 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    await store.tidy()
    assert {path.name for path in shelf.iterdir()} == {blob.sha256, f"{blob.sha256}.tar.zst"}


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A disk of 8 MB."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "towpath-test", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(disk: Path, *, but: int) -> Iterator[None]:
    """Room for `but` bytes more."""
    filler = disk / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(disk).free - but, 0)))
    try:
        yield
    finally:
        filler.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_is_said_to_be_one_leaves_nothing_half_made_and_does_no_harm_once_there_is_room(
    tmp_path: Path,
) -> None:
    disk = tmp_path / "data"
    store, shelf, size = SlugStore(data=disk), disk / "slugs/own", 2_000_000
    with small_disk(disk):
        (disk / "tree").mkdir()
        (disk / "tree/noise").write_bytes(os.urandom(size))
        with filled(disk, but=size // 2), pytest.raises(OSError, match="No space left on device"):
            await store.add(disk / "tree", trust=Trust.OWN)
        assert list(shelf.iterdir()) == []
        blob = await store.add(disk / "tree", trust=Trust.OWN)
        shutil.rmtree(shelf / blob.sha256)  # as on a machine that has not run it yet
        with filled(disk, but=size // 2), pytest.raises(Transient, match="the disk of the server is full"):
            await store.unpacked(Trust.OWN, blob.sha256)
        assert list(shelf.iterdir()) == [store.blob(Trust.OWN, blob.sha256)]
        place = await store.unpacked(Trust.OWN, blob.sha256)
        assert (place / "noise").stat().st_size == size
        with tarfile.open(tmp_path / "source.tar", "w") as source:
            source.add(place / "noise", "noise")
        with filled(disk, but=size // 2), pytest.raises(OSError, match="No space left on device"):
            await archive.unpack(tmp_path / "source.tar", disk / "source", max_bytes=2 * size)
