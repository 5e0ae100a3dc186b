"""What `towpath doctor` says about how much GitHub may still be asked."""

from datetime import timedelta
from pathlib import Path

from service.settings import Settings
from service.store import quotas, repositories
from service.store.quotas import Left
from tests.workers.conftest import Yard
from workers.doctor_limits import limits


async def said(yard: Yard, *left: tuple[int, int], minutes: float = 30) -> list[tuple[bool, str]]:
    resets = yard.clock() + timedelta(minutes=minutes)
    kept = [Left(installation_id=one, granted=5000, remaining=most, resets_at=resets) for one, most in left]

    def keep(conn) -> None:
        repositories.remember_installation(conn, installation_id=3, account="acme", suspended=False, now=yard.clock())
        quotas.keep(conn, kept)

    await yard.db.write(keep)
    settings = Settings(data=yard.context.settings.data, database_url=yard.db.url)
    return [(each.ok, f"{each.why} {each.advice}") for each in await limits(settings)]


async def test_what_is_left_is_told_for_each_account(yard: Yard) -> None:
    found = await said(yard, (3, 4321), (0, 4000), (-1, 4500))
    assert [(ok, text.partition(" of 5000 requests are left until ")[0]) for ok, text in found] == [
        (True, "the App itself: 4500"),
        (True, "the token: 4000"),
        (True, "acme: 4321"),
    ]


async def test_little_that_is_left_is_a_finding_and_what_is_over_is_none(yard: Yard) -> None:
    ((ok, text),) = await said(yard, (3, 999))
    assert not ok
    assert "no webhook is lost" in text
    assert await said(yard, (3, 999), minutes=-1) == []


async def test_before_there_is_a_database_nothing_is_said(tmp_path: Path) -> None:
    assert await limits(Settings(data=tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
