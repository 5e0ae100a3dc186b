"""Whose work is taken next, and that no more is taken than may be, however many take at once."""

import asyncio
from datetime import timedelta

from sqlalchemy import Connection

from service.domain.decisions import Restart
from service.domain.model import Stage
from service.store import pipelines, requests
from service.store.database import Database
from service.store.leases import LeaseTerms
from service.store.requests import TakenWork
from tests.store.making import NOW, make_app, make_pipeline

TERMS = LeaseTerms(holder="one", seconds=20)


def take(conn: Connection, cap: int) -> TakenWork | None:
    return requests.take(conn, terms=TERMS, now=NOW + timedelta(hours=1), cap=cap)


def waiting(conn: Connection, name: str, pipeline: str = "", stage: Stage | None = None, *, minute: int = 0) -> None:
    """An app with one request, asked for at that minute."""
    app = make_app(conn, name)
    at = NOW + timedelta(minutes=minute)
    if stage is not None:
        pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline, stage=stage, now=NOW)  # type: ignore[arg-type]
    requests.add(conn, app_id=app.id, work=Restart(), actor="test", reason=name, by_person=True, now=at)


async def test_production_goes_before_staging_staging_before_review_and_the_older_before_the_newer(
    database: Database,
) -> None:
    def make(conn: Connection) -> None:
        pipeline = make_pipeline(conn)
        for minute, (name, stage) in enumerate(
            (
                ("shop-review-1", Stage.REVIEW),
                ("shop-review-2", Stage.REVIEW),
                ("shop-staging-1", Stage.STAGING),
                ("shop-production-1", Stage.PRODUCTION),
                ("shop-staging-2", Stage.STAGING),
                ("shop-production-2", Stage.PRODUCTION),
            )
        ):
            waiting(conn, name, pipeline, stage, minute=minute)

    await database.write(make)
    taken = [await database.write(lambda conn: take(conn, 9)) for _ in range(7)]
    assert [each and each.request.reason for each in taken] == [
        *("shop-production-1", "shop-production-2", "shop-staging-1", "shop-staging-2"),
        *("shop-review-1", "shop-review-2", None),
    ]


async def test_no_more_are_begun_than_the_cap_however_many_take_at_once(database: Database) -> None:
    def make(conn: Connection) -> None:
        for number in range(8):
            waiting(conn, f"app-{number}", minute=number)

    await database.write(make)
    taken = await asyncio.gather(*(database.write(lambda conn: take(conn, 3)) for _ in range(8)))
    assert sorted(each.request.reason for each in taken if each) == ["app-0", "app-1", "app-2"]
