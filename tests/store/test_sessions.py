"""Links and sessions of the dashboard, on both databases."""

import asyncio
from datetime import timedelta

from sqlalchemy import Connection, select

from service.store import sessions, users
from service.store.database import Database
from service.store.tables import sessions as session_rows
from service.store.tables import sign_in_links
from tests.store.making import NOW


def begin(conn: Connection) -> str:
    """A user with a link and a session; returns the link."""
    user = users.create(conn, email="ada@example.com", now=NOW)
    sessions.begin(conn, user_id=user.id, token_id=None, now=NOW)
    return sessions.make_link(conn, user_id=user.id, token_id=None, now=NOW)[0]


async def test_of_many_who_use_a_link_at_once_one_has(database: Database) -> None:
    secret = await database.write(begin)

    def use(conn: Connection) -> bool:
        link = sessions.link(conn, secret)
        assert link is not None
        return sessions.use(conn, link, now=NOW)

    used = await asyncio.gather(*(database.write(use) for _ in range(4)))
    assert sorted(used) == [False, False, False, True]


async def test_what_is_over_is_forgotten_and_nothing_else(database: Database) -> None:
    await database.write(begin)

    async def left(after: timedelta) -> tuple[int, ...]:
        await database.write(lambda conn: sessions.forget(conn, now=NOW + after))
        return await database.read(
            lambda conn: tuple(len(conn.execute(select(it)).all()) for it in (session_rows, sign_in_links))
        )

    assert await left(timedelta(hours=23)) == (1, 1)
    assert await left(timedelta(hours=24)) == (0, 1)
    assert await left(timedelta(hours=24, minutes=10)) == (0, 0)
