"""Caches change hands by renaming."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.model import Trust
from workers.builds import cache
from workers.builds.cache import CacheStore
from workers.builds.processes import delete_tree

OWN = Trust.OWN


async def test_what_one_build_gives_back_the_next_one_finds(tmp_path: Path) -> None:
    caches = CacheStore(data=tmp_path)
    await caches.take("app", trust=OWN, to=tmp_path / "a")
    (tmp_path / "a/wheel").touch()
    await caches.give_back("app", tmp_path / "a", trust=OWN)
    await caches.take("app", trust=OWN, to=tmp_path / "b")
    assert (tmp_path / "b/wheel").exists()
    await caches.take("app", trust=OWN, to=tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


async def test_the_newest_is_taken_and_old_ones_go(tmp_path: Path) -> None:
    caches = CacheStore(data=tmp_path)
    for number in range(4):
        (tmp_path / "x").mkdir()
        (tmp_path / f"x/{number}").touch()
        await caches.give_back("app", tmp_path / "x", trust=OWN)
    assert len(list((tmp_path / "caches/own").glob("*/*"))) == 2
    await caches.take("app", trust=OWN, to=tmp_path / "y")
    assert [path.name for path in (tmp_path / "y").iterdir()] == ["3"]


async def test_trusts_and_keys_are_apart(tmp_path: Path) -> None:
    caches = CacheStore(data=tmp_path)
    for trust in Trust:
        (tmp_path / "x").mkdir()
        (tmp_path / f"x/{trust.value}").touch()
        await caches.give_back("app", tmp_path / "x", trust=trust)
    await caches.take("../app", trust=OWN, to=tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    await caches.take("app", trust=Trust.FORK, to=tmp_path / "fork")
    assert [path.name for path in (tmp_path / "fork").iterdir()] == ["fork"]
    await caches.take("app", trust=OWN, to=tmp_path / "own")
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["own"]


async def test_giving_back_what_is_gone_is_fine(tmp_path: Path) -> None:
    await CacheStore(data=tmp_path).give_back("app", tmp_path / "absent", trust=OWN)


async def test_a_cache_that_a_build_closed_is_kept_and_goes_like_any_other(ordinary: Path) -> None:
    caches = CacheStore(data=ordinary)
    for _ in range(3):
        (ordinary / "x/shut").mkdir(parents=True)
        (ordinary / "x/shut/in").touch()
        (ordinary / "x/shut").chmod(0o500)  # as package managers leave them
        (ordinary / "x").chmod(0)
        await caches.give_back("app", ordinary / "x", trust=OWN)
    assert len(list((ordinary / "caches/own").glob("*/*"))) == 2
    await caches.take("app", trust=OWN, to=ordinary / "y")
    assert (ordinary / "y/shut/in").exists()
    await asyncio.to_thread(delete_tree, ordinary / "y")
    assert not (ordinary / "y").exists()


async def test_a_build_never_finds_a_cache_whose_deletion_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = CacheStore(data=tmp_path)

    def killed(path: Path) -> None:
        next(path.iterdir()).unlink()
        raise KeyboardInterrupt

    for number in range(2):
        (tmp_path / "x").mkdir()
        (tmp_path / f"x/{number}").touch()
        await caches.give_back("app", tmp_path / "x", trust=OWN)
    (tmp_path / "x").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(cache, "delete_tree", killed)
        with pytest.raises(KeyboardInterrupt):
            await caches.give_back("app", tmp_path / "x", trust=OWN)
    found: list[list[str]] = []
    for number in range(4):
        await caches.take("app", trust=OWN, to=tmp_path / f"taken-{number}")
        found.append([path.name for path in (tmp_path / f"taken-{number}").iterdir()])
    assert found == [[], ["1"], [], []]
    assert len(list((tmp_path / "caches/own").glob("*/.gone-*"))) == 1


async def test_caches_that_no_build_used_for_long_are_tidied_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = CacheStore(data=tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x/kept").touch()
    await caches.give_back("app", tmp_path / "x", trust=OWN)
    (next((tmp_path / "caches/own").iterdir()) / ".gone-0").mkdir()
    await caches.tidy(unused=timedelta(days=30))
    assert len(list((tmp_path / "caches/own").glob("*/*"))) == 2
    later = time.time() + timedelta(days=31).total_seconds()
    monkeypatch.setattr(time, "time", lambda: later)
    await caches.tidy(unused=timedelta(days=30))
    assert list((tmp_path / "caches/own").iterdir()) == []
