"""Lists come in parts that together are the whole list, whatever it is ordered by."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from service.store.tables import couplings
from tests.web.serving import Server

DAY = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)


@pytest.fixture
async def coupled(server: Server) -> Server:
    """Five couplings: one, three of one moment within a second, and one in the same second."""
    await server.pipeline("shop", **{stage: f"app-{stage}" for stage in ("development", "staging", "production")})
    await server.pipeline("club", **{stage: f"club-{stage}" for stage in ("staging", "production")})
    made = [it["id"] for it in await server.get("/pipeline-couplings")]
    moments = [0, 250_001, 250_001, 250_001, 900_000]

    def date(conn: Any) -> None:
        for coupling, microseconds in zip(made, moments, strict=True):
            at = DAY + timedelta(microseconds=microseconds)
            conn.execute(update(couplings).where(couplings.c.id == coupling).values(created_at=at))

    await server.db.write(date)
    return server


@pytest.mark.parametrize("most", [1, 2, 3, 9])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("attribute", ["created_at", "id"])
async def test_the_parts_of_a_list_are_the_whole_of_it_each_row_once(
    coupled: Server, attribute: str, order: str, most: int
) -> None:
    wanted = f"{attribute} ..; max={most}, order={order}"
    whole = await coupled.get("/pipeline-couplings")
    seen, parts = [], 0
    following: str | None = wanted
    while following is not None:
        part, response = await coupled.call("GET", "/pipeline-couplings", Range=following)
        following = response.headers.get("Next-Range")
        assert response.status == (200 if following is None else 206), part
        seen += [it["id"] for it in part]
        parts += 1
        assert parts < 9
    assert sorted(seen) == sorted(it["id"] for it in whole)
    assert parts == (1 if most == 9 else parts)


@pytest.mark.parametrize(
    ("bound", "rows"),
    [("2026-11-27", 5), ("2026-11-27T09:30:00.5", 1), ("2026-11-27T09:30:00.25Z", 4), ("2026-11-28T00:00:00+05:00", 0)],
    ids=["a day", "a time without a zone", "a time", "a time elsewhere"],
)
async def test_a_list_begins_at_a_time_however_it_is_written(coupled: Server, bound: str, rows: int) -> None:
    found, _ = await coupled.call("GET", "/pipeline-couplings", expect=200, Range=f"created_at {bound}..")
    assert len(found) == rows


async def test_lists_that_are_empty_here_take_a_range_all_the_same(server: Server) -> None:
    await server.app("example")
    found, response = await server.call("GET", "/apps/example/addons", expect=200, Range="id ..; max=1000;")
    assert (found, response.headers["Content-Range"]) == ([], "id ..")
    await server.call("GET", "/apps/example/addons", expect=416, Range="color ..")
