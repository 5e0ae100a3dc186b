"""What the checks of pipelines are called where several share a repository and a name."""

from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from service.domain.model import Pipeline, Repository, RepositoryId
from service.store import pipelines, repositories, schema
from service.store.database import Database, utc_now
from service.store.tables import pipelines as pipeline_rows

SHOP, OTHER = RepositoryId(7), RepositoryId(8)


@pytest.fixture
async def made(sqlite_database: Database) -> list[Pipeline]:
    """Three pipelines of one name, of different owners."""

    def make(conn: Connection) -> list[Pipeline]:
        for number in (SHOP, OTHER):
            known = Repository(id=number, full_name=f"acme/r{number}", default_branch="main")
            repositories.remember(conn, known, utc_now())
        return [pipelines.create(conn, name="shop", owner_id=None, owner_type=None, now=utc_now()) for _ in range(3)]

    return await sqlite_database.write(make)


class Hand:
    """Changes pipelines, and reads what their checks are called then."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def change(self, pipeline: Pipeline, **values: Any) -> str:
        def change(conn: Connection) -> Pipeline:
            now = pipelines.get(conn, pipeline.id)
            assert now is not None
            return pipelines.update(conn, pipeline=now, now=utc_now(), **values)

        return (await self.database.write(change)).check_name


def with_digits(pipeline: Pipeline, name: str = "shop") -> str:
    return f"{name}-{pipeline.id[:4]}"


async def test_the_second_of_a_name_gets_four_characters_and_the_first_keeps_the_plain_one(
    sqlite_database: Database, made: list[Pipeline]
) -> None:
    hand, (first, second, third) = Hand(sqlite_database), made
    assert await hand.change(second, repository_id=SHOP) == "shop"
    assert await hand.change(first, repository_id=SHOP) == with_digits(first)  # whoever came first, not the older one
    assert await hand.change(third, repository_id=OTHER) == "shop"
    assert await hand.change(second, root_directory="api") == "shop"
    assert await hand.change(first, repository_id=SHOP) == with_digits(first)


async def test_no_name_changes_when_another_pipeline_goes_and_who_comes_back_gets_the_former_one(
    sqlite_database: Database, made: list[Pipeline]
) -> None:
    hand, (first, second, third) = Hand(sqlite_database), made
    await hand.change(first, repository_id=SHOP)
    await hand.change(second, repository_id=SHOP)
    await hand.change(first, repository_id=None)
    assert await hand.change(second, root_directory="api") == with_digits(second)
    await hand.change(second, repository_id=None)
    assert await hand.change(second, repository_id=SHOP) == with_digits(second)
    assert await hand.change(first, repository_id=SHOP) == "shop"
    await hand.change(first, repository_id=None)
    assert await hand.change(third, repository_id=SHOP) == "shop"
    assert await hand.change(first, repository_id=SHOP) == with_digits(first)


async def test_a_new_name_or_repository_is_a_new_choice(sqlite_database: Database, made: list[Pipeline]) -> None:
    hand, (first, second, third) = Hand(sqlite_database), made
    await hand.change(first, repository_id=SHOP)
    assert await hand.change(second, name=with_digits(third), repository_id=SHOP) == with_digits(third)
    assert await hand.change(third, repository_id=SHOP) == f"shop-{third.id.replace('-', '')[:8]}"
    assert await hand.change(third, name="store") == "store"
    assert await hand.change(third, name="shop") == f"shop-{third.id.replace('-', '')[:8]}"
    assert await hand.change(third, repository_id=OTHER) == "shop"


async def test_of_those_that_share_a_name_already_the_oldest_keeps_it(
    sqlite_database: Database, made: list[Pipeline]
) -> None:
    scripts = ScriptDirectory.from_config(schema._config()).walk_revisions()
    migration: Any = next(each.module for each in scripts if each.path.endswith("_check_names.py"))

    def migrate(conn: Connection) -> list[str]:
        two = pipeline_rows.c.id.in_([each.id for each in made[:2]])
        conn.execute(pipeline_rows.update().where(two).values(repository_id=SHOP))
        migration.name_checks(conn)
        return [each.check_name for each in pipelines.of_repository(conn, SHOP)]

    names = await sqlite_database.write(migrate)
    _, younger = sorted(made[:2], key=lambda each: (each.created_at, each.id))
    assert names == ["shop", with_digits(younger)]
