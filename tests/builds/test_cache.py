"""Caches change hands by renaming."""

from pathlib import Path

from service.domain.model import Trust
from workers.builds.cache import CacheStore

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


async def test_trusts_and_keys_are_apart_and_purged_together(tmp_path: Path) -> None:
    caches = CacheStore(data=tmp_path)
    for trust in Trust:
        (tmp_path / "x").mkdir()
        (tmp_path / f"x/{trust.value}").touch()
        await caches.give_back("app", tmp_path / "x", trust=trust)
    await caches.take("../app", trust=OWN, to=tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    await caches.take("app", trust=Trust.FORK, to=tmp_path / "fork")
    assert [path.name for path in (tmp_path / "fork").iterdir()] == ["fork"]
    await caches.purge("app")
    await caches.take("app", trust=OWN, to=tmp_path / "own")
    assert list((tmp_path / "own").iterdir()) == []


async def test_giving_back_what_is_gone_is_fine(tmp_path: Path) -> None:
    await CacheStore(data=tmp_path).give_back("app", tmp_path / "absent", trust=OWN)
