"""Lists come in parts that together are the whole list, whatever it is ordered by."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from service.store.tables import couplings, deliveries, requests
from service.web.api import insight
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


@pytest.fixture
async def busy(server: Server) -> Server:
    """An app with five builds, of which three are of one moment, with their releases, and five deliveries likewise."""
    await server.pipeline("shop", staging="example")
    for _ in range(5):
        await server.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    await server.work()
    moments = [DAY + timedelta(microseconds=each) for each in (0, 250_001, 250_001, 250_001, 900_000)]

    def fill(conn: Any) -> None:
        rows = conn.execute(select(requests.c.id).order_by(requests.c.seq)).scalars().all()
        for request, at in zip(rows, moments, strict=True):
            conn.execute(update(requests).where(requests.c.id == request).values(created_at=at))
        for number, at in enumerate(moments):
            conn.execute(
                insert(deliveries).values(
                    guid=f"guid-{number}", event="push", body=b"", state="processed", received_at=at
                )
            )

    await server.db.write(fill)
    return server


async def parts_of(server: Server, path: str, wanted: str) -> list[list[str]]:
    """The ids of each part of a list, in order."""
    parts: list[list[str]] = []
    following: str | None = wanted
    while following is not None:
        part, response = await server.call("GET", path, Range=following)
        following = response.headers.get("Next-Range")
        assert response.status == (200 if following is None else 206), part
        parts.append([it["id"] for it in part])
        assert len(parts) < 99
    return parts


LONG = {
    "/apps/example/builds": ("created_at", "id"),
    "/apps/example/requests": ("seq",),
    "/apps/example/releases": ("version", "id"),
    "/activity": ("id",),
    "/activity?app=example": ("id",),
    "/activity?pipeline=shop": ("id",),
    "/deliveries": ("received_at", "id"),
}


@pytest.mark.parametrize("path", LONG)
async def test_long_lists_are_read_to_their_end_in_either_order(busy: Server, path: str) -> None:
    for attribute in LONG[path]:
        whole = [it["id"] for it in (await busy.get(path))]
        assert len(whole) >= (2 if "pipeline" in path else 5)
        for order in ("asc", "desc"):
            for most in (1, 2, 3, 5, 99):
                parts = await parts_of(busy, path, f"{attribute} ..; max={most}, order={order}")
                seen = [each for part in parts for each in part]
                assert sorted(seen) == sorted(whole), (attribute, order, most)
                ties = 3 if attribute.endswith("_at") else 1
                assert all(len(part) <= most + ties - 1 for part in parts)
        first, last = [
            (await parts_of(busy, path, f"{attribute} ..; max=1, order={each}"))[0] for each in ("asc", "desc")
        ]
        assert set(first).isdisjoint(last)


async def test_bounds_of_long_lists_count_as_they_do_everywhere(busy: Server) -> None:
    async def found(path: str, wanted: str) -> int:
        return len((await busy.call("GET", path, expect=200, Range=wanted))[0])

    assert await found("/apps/example/releases", "version 2..4") == 3
    assert await found("/apps/example/releases", "version ]2..4[") == 2
    assert await found("/apps/example/releases", "version 4..2; order=desc") == 3
    assert await found("/apps/example/releases", f"version {10**30}..") == 0
    assert await found("/apps/example/releases", f"version ..-{10**30}") == 0
    assert await found("/apps/example/builds", "created_at 2026-11-27T09:30:00.5Z..") == 1
    assert await found("/deliveries", "received_at ..2026-11-27T09:30:00.25") == 1
    for path, wanted in (("/apps/example/requests", "seq one.."), ("/deliveries", "received_at then..")):
        await busy.call("GET", path, expect=416, Range=wanted)


async def test_of_a_log_of_others_one_is_told_where_to_read_on(busy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insight, "_PART_OF_LOG", 3)
    monkeypatch.setattr(insight, "_PARTS_OF_LOG", 1)
    made, _ = await busy.call("POST", "/users", {"email": "stranger@example.com"}, expect=201)
    token = {"Authorization": f"Bearer {made['access_token']['token']}"}
    await busy.call("POST", "/apps", {"name": "theirs"}, expect=201, **token)
    seen, parts, following = [], 0, "id ..; max=2"
    while following:
        part, response = await busy.call("GET", "/activity", Range=following, **token)
        seen += [it["action"] for it in part]
        following, parts = response.headers.get("Next-Range"), parts + 1
    assert seen == ["app created"]
    assert parts > 2
