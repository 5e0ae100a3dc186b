"""How often one token may ask."""

from pathlib import Path

import pytest

from service.store import tokens, users
from service.store.database import Database
from service.store.secrets import Vault
from service.web.limits import Allowances
from tests.web.serving import Server, serving


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_a_token_may_ask_is_saved_up_while_it_rests() -> None:
    clock = Clock()
    allowances = Allowances(3600, clock=clock)
    assert [allowances.spend(b"one") for _ in range(3)] == [3599, 3598, 3597]
    clock.now += 2
    assert allowances.spend(b"one") == 3598
    clock.now += 86_400
    assert allowances.spend(b"one") == 3599
    assert allowances.spend(b"two") == 3599


def test_a_token_that_has_spent_all_may_ask_again_after_the_wait_it_was_told() -> None:
    clock = Clock()
    allowances = Allowances(60, clock=clock)
    for _ in range(60):
        assert allowances.spend(b"one") is not None
    assert allowances.spend(b"one") is None
    assert allowances.spend(b"one") is None, "a refusal costs nothing more"
    clock.now += allowances.wait()
    assert allowances.spend(b"one") == 0


def test_tokens_that_have_rested_take_no_memory() -> None:
    clock = Clock()
    allowances = Allowances(3600, clock=clock)
    for number in range(5000):
        allowances.spend(str(number).encode())
        clock.now += 1
    assert len(allowances._spent) <= 1000


@pytest.fixture
async def strict(sqlite_database: Database, tmp_path: Path):
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, api_requests_per_hour=3) as running:
        yield running


async def test_a_token_that_asks_too_often_is_refused_and_another_is_not(strict: Server) -> None:
    remaining = [(await strict.call("GET", "/apps", expect=200))[1].headers["RateLimit-Remaining"] for _ in range(2)]
    assert remaining == ["2", "1"]
    assert await strict.get("/account/rate-limits") == {"remaining": 0}
    error, response = await strict.call("GET", "/apps", expect=429)
    assert error["id"] == "rate_limit"
    assert (response.headers["RateLimit-Remaining"], response.headers["Retry-After"]) == ("0", "1200")
    basic, _ = await strict.call("GET", "/account", expect=429)
    assert basic["id"] == "rate_limit"
    await strict.call("GET", "/healthz", expect=200)

    def another(conn) -> str:
        user_id = users.ensure_embedded_user(conn, now=strict.db.now())
        return tokens.create(conn, user_id=user_id, description="", now=strict.db.now())[1]

    strict.token = await strict.db.write(another)
    await strict.call("GET", "/apps", expect=200)


async def test_who_is_not_known_is_told_so_and_not_counted(strict: Server) -> None:
    for _ in range(5):
        _, response = await strict.call("GET", "/apps", expect=401, Authorization="Bearer towpath-wrong")
        assert "RateLimit-Remaining" not in response.headers


async def test_an_installation_may_leave_it_out(sqlite_database: Database, tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, api_requests_per_hour=0) as running:
        shown, response = await running.call("GET", "/account/rate-limits", expect=200)
        assert shown == {"remaining": None}
        assert "RateLimit-Remaining" not in response.headers
