"""Being let in to the dashboard, and out: links that open it once, and what ends a session."""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from sqlalchemy import select
from yarl import URL

from service.domain.errors import Transient
from service.enacting.sessions import SessionVerbs
from service.store.database import Database
from service.store.secrets import Vault
from service.store.tables import sessions as session_rows
from service.web.pages import rendering
from tests.waiting import until
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.visiting import link, sign_in, somebody
from tests.web.serving import Server, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOME, SIGN_IN, OVER = "Apps and pipelines", "Sign in", "This link has been used or has expired"
COOKIE = "towpath_session"


def session_in(browser: Browser) -> str:
    return next(each.value for each in browser.session.cookie_jar if each.key == COOKIE)


async def seen(server: Server, browser: Browser) -> str:
    """The title of the first page, which says whether one is signed in."""
    return (await browser.get(f"{server.url}/dashboard")).title


async def post(browser: Browser, url: str, data: dict[str, str], **headers: str) -> Page:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with browser.session.post(url, data=data, headers=sent, allow_redirects=False) as answer:
        return Page(url=url, status=answer.status, text=await answer.text(), headers=answer.headers)


async def test_a_link_says_as_whom_it_lets_one_in_and_its_button_does(server: Server, browser: Browser) -> None:
    asking = await browser.get(await link(server))
    assert (asking.status, asking.title) == (200, SIGN_IN)
    assert "admin@localhost" in asking.text
    assert await seen(server, browser) == SIGN_IN
    page = await browser.press(asking)
    assert (page.url, page.title) == (f"{server.url}/dashboard", HOME)
    used = await browser.get(asking.url)
    assert (used.status, used.title) == (410, OVER)


async def test_everybody_is_let_in_as_themselves(server: Server, browser: Browser) -> None:
    page = await sign_in(server, browser, await somebody(server, "ada"))
    assert "ada@example.com" in page.text
    assert "admin@localhost" not in page.text


async def test_whoever_is_not_signed_in_is_told_how_to(server: Server, browser: Browser) -> None:
    for path, status in (("/dashboard", 401), ("/dashboard/pipelines/any", 401), ("/dashboard/sign-in", 200)):
        page = await browser.get(server.url + path)
        assert (page.status, page.title) == (status, SIGN_IN), path
        assert "<pre>towpath dashboard</pre>" in page.text


async def test_looking_at_a_link_does_not_use_it_up(server: Server, browser: Browser, another: Browser) -> None:
    url = await link(server)
    for _ in range(3):
        await another.get(url)
    async with another.session.head(url) as answer:
        assert answer.status == 200
    assert (await browser.press(await browser.get(url))).title == HOME


async def test_a_link_lets_in_one_browser_however_many_press_at_once(
    server: Server, browser: Browser, another: Browser
) -> None:
    asking = await browser.get(await link(server))
    pages = await asyncio.gather(*(each.press(asking) for each in (browser, another)))
    assert sorted(page.title for page in pages) == [HOME, OVER]
    assert sorted([await seen(server, browser), await seen(server, another)]) == [HOME, SIGN_IN]


Ending = Callable[[Server, Clock, str], Awaitable[None]]


async def tokens_of(server: Server, token: str) -> str:
    listed, _ = await server.call("GET", "/oauth/authorizations", Authorization=f"Bearer {token}")
    return str(listed[0]["id"])


async def revoked(server: Server, _clock: Clock, token: str) -> None:
    one = await tokens_of(server, token)
    await server.call("DELETE", f"/oauth/authorizations/{one}", Authorization=f"Bearer {token}", expect=200)


async def rotated(server: Server, clock: Clock, token: str) -> None:
    clock.pass_by(seconds=1)
    path = f"/oauth/authorizations/{await tokens_of(server, token)}/actions/regenerate-tokens"
    await server.call("POST", path, Authorization=f"Bearer {token}", expect=200)


async def removed(server: Server, _clock: Clock, _token: str) -> None:
    await server.call("DELETE", "/users/ada@example.com", expect=200)


def after(**time: float) -> Ending:
    async def wait(_server: Server, clock: Clock, _token: str) -> None:
        clock.pass_by(**time)

    return wait


LINK_ENDS: dict[str, Ending] = {
    "ten minutes are over": after(minutes=10),
    "its token is taken away": revoked,
    "its token is given another secret": rotated,
    "its person is removed": removed,
}


@pytest.mark.parametrize("end", LINK_ENDS.values(), ids=LINK_ENDS)
async def test_a_link_opens_nothing_any_more_when(server: Server, clock: Clock, browser: Browser, end: Ending) -> None:
    token = await somebody(server, "ada")
    asking = await browser.get(await link(server, token))
    await end(server, clock, token)
    for page in (await browser.get(asking.url), await browser.press(asking)):
        assert (page.status, page.title) == (410, OVER)
        assert "<pre>towpath dashboard</pre>" in page.text
    assert await seen(server, browser) == SIGN_IN


async def test_a_link_is_good_to_its_last_second(server: Server, clock: Clock, browser: Browser) -> None:
    asking = await browser.get(await link(server))
    clock.pass_by(minutes=9, seconds=59)
    assert (await browser.press(asking)).title == HOME


async def test_a_link_that_nobody_made_opens_nothing(server: Server, browser: Browser) -> None:
    page = await browser.get(f"{server.url}/dashboard/sign-in/nonsense")
    assert (page.status, page.title) == (410, OVER)


SESSION_ENDS: dict[str, Ending] = {
    "nothing was asked for in a day": after(days=1),
    "its token is taken away": revoked,
    "its token is given another secret": rotated,
    "its person is removed": removed,
}


@pytest.mark.parametrize("end", SESSION_ENDS.values(), ids=SESSION_ENDS)
async def test_a_session_ends_when(server: Server, clock: Clock, browser: Browser, end: Ending) -> None:
    token = await somebody(server, "ada")
    assert (await sign_in(server, browser, token)).title == HOME
    await end(server, clock, token)
    assert await seen(server, browser) == SIGN_IN


async def test_a_session_ends_with_the_token_that_expires(server: Server, clock: Clock, browser: Browser) -> None:
    made, _ = await server.call("POST", "/oauth/authorizations", {"expires_in": 3600}, expect=201)
    await sign_in(server, browser, made["access_token"]["token"])
    clock.pass_by(minutes=59)
    assert await seen(server, browser) == HOME
    clock.pass_by(minutes=2)
    assert await seen(server, browser) == SIGN_IN


async def test_a_session_that_is_used_lasts_a_week_and_no_longer(
    server: Server, clock: Clock, browser: Browser
) -> None:
    async def is_noted() -> bool:
        assert await seen(server, browser) == HOME  # a use is left out while one before it is being noted
        times = await server.db.read(lambda conn: conn.execute(select(session_rows.c.seen_at)).scalars().all())
        return times == [clock.now]

    await sign_in(server, browser)
    for _ in range(8):
        clock.pass_by(hours=20)
        await until(is_noted)
    clock.pass_by(hours=8)
    assert await seen(server, browser) == SIGN_IN


async def test_signing_out_ends_the_session_and_not_only_its_cookie(
    server: Server, browser: Browser, another: Browser
) -> None:
    home = await sign_in(server, browser)
    another.session.cookie_jar.update_cookies({COOKIE: session_in(browser)}, URL(server.url))
    assert await seen(server, another) == HOME
    left = await browser.press(home)
    assert (left.url, left.title) == (f"{server.url}/dashboard/sign-in", SIGN_IN)
    assert [each.key for each in browser.session.cookie_jar] == []
    assert await seen(server, another) == SIGN_IN


async def test_signing_in_anew_ends_the_session_that_was(server: Server, browser: Browser, another: Browser) -> None:
    await sign_in(server, browser)
    former = session_in(browser)
    await sign_in(server, browser)
    assert session_in(browser) != former
    another.session.cookie_jar.update_cookies({COOKIE: former}, URL(server.url))
    assert await seen(server, another) == SIGN_IN


async def test_of_link_and_session_only_digests_are_kept(server: Server, browser: Browser) -> None:
    url = await link(server)
    await browser.press(await browser.get(url))
    for secret in (url.rpartition("/")[2], session_in(browser)):
        assert len(secret) > 40
        with sqlite3.connect(server.db.url.removeprefix("sqlite:///")) as conn:
            assert secret not in "\n".join(conn.iterdump())
        conn.close()


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [
        pytest.param("https://towpath.example.com", "__Host-towpath_session", True, id="by https"),
        pytest.param("http://localhost:5080", COOKIE, False, id="on this machine"),
    ],
)
async def test_the_cookie_is_kept_from_scripts_and_from_other_sites(
    sqlite_database: Database, tmp_path: Path, browser: Browser, public_url: str, name: str, secure: bool
) -> None:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, public_url=public_url) as server:
        made = await link(server)
        assert made.startswith(f"{public_url}/dashboard/sign-in/")
        answer = await post(browser, server.url + URL(made).path, {})
        assert answer.status == 303
        cookie = SimpleCookie(answer.headers["Set-Cookie"])[name]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
        assert bool(cookie["secure"]) is secure


FORMS = {
    "without what its page knows": ({"do": "it"}, {}),
    "with something else": ({"csrf": "x"}, {}),
    "from another site": (None, {"Origin": "https://evil.example"}),
    "from an app of the same site": (None, {"Sec_Fetch_Site": "same-site"}),
    "from a page without an address": (None, {"Origin": "null"}),
}


@pytest.mark.parametrize(("data", "headers"), FORMS.values(), ids=FORMS)
async def test_a_form_does_nothing_when_it_comes(
    server: Server, browser: Browser, data: dict[str, str] | None, headers: dict[str, str]
) -> None:
    home = await sign_in(server, browser)
    sent = dict(home.fields()) if data is None else data
    refused = await post(browser, f"{server.url}/dashboard/sign-out", sent, **headers)
    assert (refused.status, refused.title) == (403, "Not allowed")
    assert await seen(server, browser) == HOME


BODIES = {
    "files": ("multipart/form-data; boundary=x", b"--x"),
    "JSON": ("application/json", b"{}"),
    "bytes that are no text": ("application/x-www-form-urlencoded", b"csrf=\xff"),
    "a way of writing that there is not": ("application/x-www-form-urlencoded; charset=klingon", b"csrf=x"),
    "a NUL": ("application/x-www-form-urlencoded", b"csrf=%00"),
}


@pytest.mark.parametrize(("kind", "body"), BODIES.values(), ids=BODIES)
async def test_what_no_form_sends_is_refused(server: Server, browser: Browser, kind: str, body: bytes) -> None:
    await sign_in(server, browser)
    headers = {"Content-Type": kind}
    async with browser.session.post(f"{server.url}/dashboard/sign-out", data=body, headers=headers) as answer:
        assert answer.status == 400
        assert "nothing was done" in await answer.text()
    assert await seen(server, browser) == HOME


async def test_the_form_of_another_session_does_nothing(server: Server, browser: Browser, another: Browser) -> None:
    theirs = await sign_in(server, another, await somebody(server, "ada"))
    await sign_in(server, browser)
    refused = await post(browser, f"{server.url}/dashboard/sign-out", dict(theirs.fields()))
    assert refused.status == 403


async def test_a_session_is_no_token_and_a_token_no_session(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    async with browser.session.get(f"{server.url}/apps") as answer:
        assert answer.status == 401
    headers = {"Authorization": f"Bearer {server.token}"}
    async with server.session.get(f"{server.url}/dashboard", headers=headers) as answer:
        assert answer.status == 401


async def test_whoever_tries_many_links_has_to_wait_and_nobody_else_has(server: Server, browser: Browser) -> None:
    mallory, ada = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.7, 203.0.113.9, 127.0.0.1"}
    for number in range(60):
        page = await browser.get(f"{server.url}/dashboard/sign-in/guess{number}", headers=mallory)
        assert page.status == 410
    good = await link(server)
    page = await browser.get(good, headers=mallory)
    assert (page.status, page.title) == (429, "Too many requests")
    assert (await browser.get(good, headers=ada)).status == 200


async def test_a_link_that_trouble_keeps_from_being_used_stands_in_no_log(
    server: Server, browser: Browser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Transient("the database does not answer")

    asking = await browser.get(await link(server))
    with monkeypatch.context() as trouble:
        trouble.setattr(SessionVerbs, "sign_in", away)
        page = await browser.press(asking)
    assert (page.status, page.title) == (503, "Not now")
    logged = capsys.readouterr().out
    assert "the database does not answer" in logged
    assert asking.url.rpartition("/")[2] not in logged
    assert (await browser.press(asking)).title == HOME


async def test_a_page_that_there_is_not_is_a_page_all_the_same(server: Server, browser: Browser) -> None:
    page = await browser.get(f"{server.url}/dashboard/nowhere")
    assert (page.status, page.title) == (404, "There is no such page")


async def test_pages_load_and_send_to_nothing_but_ourselves(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"


async def test_no_page_holds_scripts_or_styles_of_its_own() -> None:
    pages = [*Path(rendering.__file__).parent.rglob("*.html")]
    assert len(pages) > 10
    for path in pages:
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", text), path
        outside = [each for each in re.findall(r'(?:src|href)="([^"{]*)', text) if "//" in each]
        assert outside == [], path
