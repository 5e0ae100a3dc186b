"""The API and the pages on PostgreSQL, which takes less than SQLite does: what cannot be stored there is refused, not a bug."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.store.database import Database
from service.store.secrets import Vault
from tests.store.fixtures import postgresql_database, postgresql_server, postgresql_template, postgresql_url
from tests.web.browsing import Browser
from tests.web.pages.visiting import sign_in
from tests.web.serving import Server, serving

__all__ = ["postgresql_database", "postgresql_server", "postgresql_template", "postgresql_url"]


@pytest.fixture
async def on_postgresql(postgresql_database: Database, tmp_path: Path) -> AsyncIterator[Server]:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(postgresql_database, vault, tmp_path) as running:
        await running.pipeline(staging="example")
        yield running


ADDRESSES = (
    *("/apps/{}", "/apps/{}/releases", "/pipelines/{}", "/pipelines?eq[name]={}", "/pipeline-couplings/{}"),
    *(
        "/pipelines/shop/stage/{}/config-vars",
        "/apps/example/releases/{}",
        "/apps/example/builds/{}",
        "/review-apps/{}",
    ),
    *("/requests/{}", "/builds/{}/output", "/log-sessions/{}", "/deliveries/{}", "/why?q={}", "/activity?app={}"),
)
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/apps", {"name": "WORD"}),
    ("POST", "/apps", {"space": "WORD"}),
    ("POST", "/pipeline-couplings", {"app": "WORD", "pipeline": "shop", "stage": "staging"}),
    ("PATCH", "/apps/example/config-vars", {"A": "WORD"}),
    ("POST", "/apps/example/builds", {"source_blob": {"version": "WORD"}}),
    ("POST", "/apps/example/releases", {"release": "WORD"}),
    ("POST", "/apps/example/releases", {"slug": "WORD"}),
    ("POST", "/apps/example/log-sessions", {"dyno": "WORD"}),
    ("POST", "/review-apps", {"pipeline": "shop", "branch": "WORD"}),
    ("PATCH", "/apps/example/github", {"branch": "WORD"}),
    ("PATCH", "/pipelines/shop/settings", {"labels": ["WORD"]}),
    ("PATCH", "/pipelines/shop/settings", {"WORD": 1}),
    ("POST", "/pipelines/shop/repository", {"repository": "WORD"}),
)


def put(word: str, into: Any) -> Any:
    match into:
        case dict():
            return {put(word, key): put(word, value) for key, value in into.items()}
        case list():
            return [put(word, each) for each in into]
        case str():
            return into.replace("WORD", word)
    return into


async def test_a_nul_is_refused_by_name_wherever_it_stands(on_postgresql: Server) -> None:
    for address in ADDRESSES:
        error, answer = await on_postgresql.call("GET", address.format("a%00b"))
        assert answer.status in {400, 404}, (address, error)
        assert "NUL" in error["message"], address
    for method, path, body in BODIES:
        error, answer = await on_postgresql.call(method, path, put("a\0b", body))
        assert answer.status in {400, 422}, (path, body, error)
        assert error["message"], (path, body)


async def test_other_words_are_only_words(on_postgresql: Server) -> None:
    for word in ("%25", "a'b", "%FF%FE", "%F0%9F%98%80", "x" * 300, "%C3%BC"):
        for address in ADDRESSES:
            error, answer = await on_postgresql.call("GET", address.format(word))
            assert answer.status < 500, (address, word, error)
    text = "two characters: \\u0000, \U0001f600"
    after, _ = await on_postgresql.call("PATCH", "/apps/example/config-vars", {"A": text}, expect=200)
    assert after == {"A": text}


async def test_pages_are_shown_and_promote(on_postgresql: Server) -> None:
    await on_postgresql.app("shop")
    body = {"app": "shop", "pipeline": "shop", "stage": "production"}
    await on_postgresql.call("POST", "/pipeline-couplings", body, expect=201)
    await on_postgresql.call("POST", "/apps/example/builds", {"source_blob": {"version": "main"}}, expect=201)
    await on_postgresql.work()
    browser = Browser()
    async with browser.session:
        home = await sign_in(on_postgresql, browser)
        assert (home.status, "example" in home.text) == (200, True)
        confirm = await browser.get(f"{on_postgresql.url}/dashboard/pipelines/shop/promote?app=example")
        assert confirm.status == 200
        done = await browser.press(confirm, number=1)
        assert (done.status, "was promoted by admin@localhost" in done.text) == (200, True)
