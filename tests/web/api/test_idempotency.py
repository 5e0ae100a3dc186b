"""A client that says something twice with the same key is obeyed once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from service.store import idempotency, tokens, users
from service.store.database import Database, new_id
from service.store.secrets import Vault
from service.store.tables import idempotent_requests
from tests.web.serving import Server, serving

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


async def names(server: Server) -> list[str]:
    return [app["name"] for app in await server.get("/apps")]


async def kept(server: Server) -> list[Any]:
    return await server.db.read(lambda conn: list(conn.execute(select(idempotent_requests)).mappings()))


async def test_a_repetition_gets_the_first_answer_and_does_nothing(server: Server) -> None:
    first, once = await server.call("POST", "/apps", {}, expect=201, Idempotency_Key=KEY)
    again, twice = await server.call("POST", "/apps", {}, expect=201, Idempotency_Key=KEY)
    assert again == first
    assert await names(server) == [first["name"]]
    assert "Idempotency-Replayed" not in once.headers
    assert twice.headers["Idempotency-Replayed"] == "true"
    assert (twice.headers["ETag"], twice.headers["Content-Type"]) == (
        once.headers["ETag"],
        once.headers["Content-Type"],
    )


async def test_a_repeated_change_of_config_is_one_release_and_names_the_same_request(server: Server) -> None:
    await server.app("example")
    answers = [
        await server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200, Idempotency_Key=KEY)
        for _ in range(2)
    ]
    assert len({response.headers["Towpath-Request"] for _, response in answers}) == 1
    assert len(await server.get("/apps/example/releases")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/apps", {"name": "other"}),
        ("POST", "/pipelines", {"name": "example"}),
        ("DELETE", "/apps/example", None),
    ],
    ids=["another body", "another path", "another method"],
)
async def test_the_key_of_another_request_is_refused_and_nothing_is_done(
    server: Server, method: str, path: str, body: Any
) -> None:
    await server.call("POST", "/apps", {"name": "example"}, expect=201, Idempotency_Key=KEY)
    error, _ = await server.call(method, path, body, expect=422, Idempotency_Key=KEY)
    assert error["message"].startswith("Idempotency-Key: this key was given to another request")
    assert await names(server) == ["example"]
    assert await server.get("/pipelines") == []


async def test_of_two_at_once_one_is_carried_out(server: Server) -> None:
    calls = [server.call("POST", "/apps", {}, Idempotency_Key=KEY) for _ in range(5)]
    answers = await asyncio.gather(*calls)
    assert {response.status for _, response in answers} <= {201, 409}
    (name,) = await names(server)
    assert {made["name"] for made, response in answers if response.status == 201} == {name}
    assert {error["id"] for error, response in answers if response.status == 409} <= {"conflict"}


async def test_what_was_refused_was_not_done_and_its_key_is_free(server: Server) -> None:
    await server.call("POST", "/apps", {"name": "No"}, expect=422, Idempotency_Key=KEY)
    await server.call("PATCH", "/apps/nobody", {}, expect=404, Idempotency_Key=KEY)
    await server.call("POST", "/apps", b"{", expect=400, Idempotency_Key=KEY)
    made, _ = await server.call("POST", "/apps", {"name": "example"}, expect=201, Idempotency_Key=KEY)
    assert made["name"] == "example"


async def test_a_request_that_was_cut_off_is_not_carried_out_again(server: Server) -> None:
    user_id = (await server.get("/account"))["id"]
    await server.call("POST", "/apps", {"name": "example"}, expect=201, Idempotency_Key=KEY)
    # As a process that dies after it has done what was asked leaves it.
    await server.db.write(lambda conn: conn.execute(update(idempotent_requests).values(sealed=None)))
    error, _ = await server.call("POST", "/apps", {"name": "example"}, expect=409, Idempotency_Key=KEY)
    assert "look whether it was carried out" in error["message"]
    assert [row["user_id"] for row in await kept(server)] == [user_id]


async def test_answers_survive_a_restart_and_are_kept_sealed(sqlite_database: Database, tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path) as running:
        await running.app("example")
        body = {"SECRET": "open sesame"}
        first, _ = await running.call("PATCH", "/apps/example/config-vars", body, expect=200, Idempotency_Key=KEY)
        (row,) = await kept(running)
        assert b"open sesame" not in row["sealed"]
        token = running.token
    async with serving(sqlite_database, Vault.open(tmp_path / "secret.keys", create=False), tmp_path) as running:
        running.token = token
        again, response = await running.call(
            "PATCH", "/apps/example/config-vars", body, expect=200, Idempotency_Key=KEY
        )
        assert (again, response.headers["Idempotency-Replayed"]) == (first, "true")


async def test_a_key_is_its_users_own(server: Server) -> None:
    user_id = new_id()

    def other_user(conn: Any) -> str:
        now = server.db.now()
        values = {"id": user_id, "email": "other@example.com", "name": "", "created_at": now, "updated_at": now}
        conn.execute(users.users.insert().values(values))
        return tokens.create(conn, user_id=user_id, description="", now=now)[1]

    await server.call("POST", "/apps", {}, expect=201, Idempotency_Key=KEY)
    token = await server.db.write(other_user)
    theirs, response = await server.call(
        "POST", "/apps", {}, expect=201, Idempotency_Key=KEY, Authorization=f"Bearer {token}"
    )
    assert "Idempotency-Replayed" not in response.headers
    assert theirs["name"] not in await names(server)


async def test_a_key_is_free_after_a_day_and_its_answer_is_deleted(server: Server) -> None:
    first, _ = await server.call("POST", "/apps", {}, expect=201, Idempotency_Key=KEY)
    now = server.db.now()
    before, after = (now + timedelta(hours=hours) for hours in (23, 25))
    await server.db.write(lambda conn: idempotency.forget(conn, now=before))
    assert len(await kept(server)) == 1
    await server.db.write(
        lambda conn: conn.execute(update(idempotent_requests).values(created_at=now - timedelta(hours=25)))
    )
    second, _ = await server.call("POST", "/apps", {}, expect=201, Idempotency_Key=KEY)
    assert first["name"] != second["name"]
    await server.db.write(lambda conn: idempotency.forget(conn, now=after))
    assert await kept(server) == []


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "kä"], ids=["empty", "a space", "too long", "an umlaut"])
async def test_a_key_that_cannot_be_kept_is_refused(server: Server, key: str) -> None:
    error, _ = await server.call("POST", "/apps", {}, expect=400, Idempotency_Key=key)
    assert error["message"].startswith("Idempotency-Key: ")
    assert await names(server) == []


async def test_reading_takes_no_key(server: Server) -> None:
    for path in ("/apps", "/account"):
        await server.call("GET", path, expect=200, Idempotency_Key=KEY)
    assert await kept(server) == []


async def test_an_answer_that_tells_a_secret_is_not_kept(server: Server) -> None:
    body = {"description": "for a script"}
    made, _ = await server.call("POST", "/oauth/authorizations", body, expect=201, Idempotency_Key=KEY)
    assert made["access_token"]["token"]
    assert [row["sealed"] for row in await kept(server)] == [None]
    again, _ = await server.call("POST", "/oauth/authorizations", body, expect=409, Idempotency_Key=KEY)
    assert again["id"] == "conflict"
