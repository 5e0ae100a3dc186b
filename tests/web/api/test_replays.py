"""Having deliveries processed once more, on the wire."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from service.store import deliveries
from tests.web.serving import Server

REPLAYS = "/delivery-replays"


async def stored(
    server: Server, guid: str, state: str, *, event: str = "push", action: str = "", hours: float = 0
) -> None:
    """A delivery that came so many hours ago and ended so."""
    body, now = b'{"zen": "Design for failure."}', server.db.now()
    await server.inbox.put(
        guid=guid, event=event, action=action, repository_id=None, installation_id=None, body=body,
        received_at=now - timedelta(hours=hours),
    )  # fmt: skip
    if state != "received":
        await server.db.write(
            lambda conn: deliveries.finish(conn, guid=guid, state=state, verdict="as it was", now=now)
        )


async def state_of(server: Server, guid: str) -> str:
    return str((await server.get(f"/deliveries/{guid}"))["state"])


async def replay(server: Server, expect: int = 202, **body: Any) -> Any:
    return (await server.call("POST", REPLAYS, body, expect=expect))[0]


async def test_named_deliveries_wait_to_be_processed_again_and_it_is_on_record_who_asked(server: Server) -> None:
    for guid, state in (("processed-1", "processed"), ("failed-01", "failed"), ("another-1", "processed")):
        await stored(server, guid, state)
    done = await replay(server, deliveries=["processed-1", "failed-01"])
    assert done["count"] == 2
    assert [(it["id"], it["state"], it["attempts"]) for it in done["deliveries"]] == [
        ("processed-1", "received", 0),
        ("failed-01", "received", 0),
    ]
    assert "user:admin@localhost" in done["deliveries"][0]["verdict"]
    assert await server.db.read(lambda conn: deliveries.open_guids(conn, limit=9)) == ["processed-1", "failed-01"]
    assert await state_of(server, "another-1") == "processed"
    (noted,) = [it for it in await server.get("/activity") if it["action"] == "deliveries replayed"]
    assert (noted["actor"], noted["data"]["ids"]) == ("user:admin@localhost", ["processed-1", "failed-01"])


async def test_of_two_replays_at_once_one_is_counted_and_what_waits_already_is_left_to_wait(server: Server) -> None:
    await stored(server, "processed-1", "processed")
    both = await asyncio.gather(*(replay(server, deliveries=["processed-1"]) for _ in range(2)))
    assert sorted(each["count"] for each in both) == [0, 1]
    assert [each["deliveries"][0]["state"] for each in both] == ["received", "received"]
    assert len([it for it in await server.get("/activity") if it["action"] == "deliveries replayed"]) == 1


FITTING = [
    ({"failed": True}, {"failed-new", "failed-old", "failed-press"}),
    ({"hours": 2}, {"failed-new", "failed-press", "processed-new", "ignored-new"}),
    ({"failed": True, "hours": 2}, {"failed-new", "failed-press"}),
    ({"hours": 0}, set()),
]


@pytest.mark.parametrize(
    ("asked", "expected"), FITTING, ids=["all that failed", "since a time", "that failed since a time", "since now"]
)
async def test_deliveries_are_chosen_by_how_and_when_they_ended(
    server: Server, asked: dict[str, Any], expected: set[str]
) -> None:
    for guid in ("failed-new", "processed-new", "ignored-new"):
        await stored(server, guid, guid.partition("-")[0], hours=1)
    for guid in ("failed-old", "processed-old"):
        await stored(server, guid, guid.partition("-")[0], hours=5)
    await stored(server, "received-new", "received", hours=1)
    for guid in ("failed-press", "processed-press"):  # a person wanted something then, not now
        await stored(server, guid, guid.partition("-")[0], event="check_run", action="requested_action", hours=1)
    body = {name: value for name, value in asked.items() if name == "failed"}
    if "hours" in asked:
        body["since"] = (server.db.now() - timedelta(hours=asked["hours"])).isoformat()
    done = await replay(server, **body)
    assert ({it["id"] for it in done["deliveries"]}, done["count"]) == (expected, len(expected))


REFUSED = [
    ({}, 422, "name them by their ids"),
    ({"deliveries": []}, 422, "name them by their ids"),
    ({"failed": False}, 422, "name them by their ids"),
    ({"deliveries": ["processed-1"], "failed": True}, 422, "name them by their ids"),
    ({"deliveries": ["processed-1", "nobody-knows", "nor-this-one"]}, 404, "nobody-knows, nor-this-one"),
    ({"deliveries": ["nobody-knows"]}, 404, "8 days ago"),
    ({"deliveries": ["x" * 8] * 201}, 422, "deliveries"),
    ({"deliveries": "processed-1"}, 422, "deliveries"),
    ({"deliveries": ["short"]}, 422, "8 to 64 letters, digits and dashes"),
    ({"deliveries": ["nul\0nul\0nul"]}, 422, "8 to 64 letters, digits and dashes"),
    ({"since": "yesterday"}, 422, "since"),
    ({"since": "2026-05-01T12:00:00"}, 422, "timezone"),
    ({"until": "2026-05-01T12:00:00Z"}, 422, "until: unknown field"),
]


@pytest.mark.parametrize(("body", "status", "text"), REFUSED)
async def test_what_cannot_be_replayed_is_refused_as_a_whole_and_says_why(
    server: Server, body: dict[str, Any], status: int, text: str
) -> None:
    await stored(server, "processed-1", "processed")
    refused = await replay(server, expect=status, **body)
    assert text in refused["message"]
    assert await state_of(server, "processed-1") == "processed"


async def test_a_delivery_that_is_forgotten_cannot_be_replayed(server: Server) -> None:
    await stored(server, "processed-1", "processed", hours=8 * 24 + 1)
    before = server.db.now() - deliveries.KEPT_FOR
    await server.db.write(lambda conn: deliveries.delete_older(conn, before, most=10))
    assert "8 days" in (await replay(server, expect=404, deliveries=["processed-1"]))["message"]
    gone, _ = await server.call("GET", "/deliveries/processed-1", expect=404)
    assert "8 days" in gone["message"]
