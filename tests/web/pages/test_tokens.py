"""One's API tokens by clicking: what there is of them is listed, a new one is shown once, and a revoked one is no good."""

import html
import re

import pytest

from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM, REVOKE = "/account/tokens", "/account/tokens/revoke"


def text(page: Page) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))


def secret_in(page: Page) -> str:
    return re.findall(r'<pre class="whole">(towpath-\S+)</pre>', page.text)[0]


async def status(server: Server, token: str, method: str, path: str, body: object = None) -> int:
    _, answer = await server.call(method, path, body, Authorization=f"Bearer {token}")
    return answer.status


async def tokens_page(server: Server, browser: Browser) -> Page:
    """The page, from where it is linked."""
    page = await browser.get(f"{server.url}/dashboard/account")
    assert 'href="/dashboard/account/tokens"' in page.text
    return await browser.get(f"{server.url}/dashboard/account/tokens")


async def test_a_new_token_is_shown_once_and_good_for_what_was_chosen(
    server: Server, browser: Browser, clock: Clock
) -> None:
    await sign_in(server, browser, await somebody(server, "ada"))
    page = await tokens_page(server, browser)
    assert (page.status, page.title) == (200, "Your API tokens")
    made = await browser.send(page, FORM, description="the <b>build</b> box", scope="read", lasts="30")
    secret = secret_in(made)
    assert made.headers["Cache-Control"] == "no-store"
    assert await status(server, secret, "GET", "/apps") == 200
    assert await status(server, secret, "POST", "/apps", {"name": "more"}) == 403
    again = await browser.get(f"{server.url}/dashboard/account/tokens")
    assert secret not in again.text
    assert re.search(rf"the <b>build</b> box {secret[:14]}… made just now read \d{{4}}-\d\d-\d\d just now", text(again))
    clock.pass_by(days=31)
    assert await status(server, secret, "GET", "/apps") == 401


async def test_of_a_token_that_nobody_used_or_that_has_expired_it_says_so(
    server: Server, browser: Browser, clock: Clock
) -> None:
    await server.call("POST", "/oauth/authorizations", {"description": "short", "expires_in": 60}, expect=201)
    await sign_in(server, browser)
    page = text(await tokens_page(server, browser))
    assert re.search(r"short towpath-\S{6}… made just now global \d{4}-\d\d-\d\d not yet", page)
    clock.pass_by(minutes=2)
    page = text(await tokens_page(server, browser))
    assert re.search(r"short towpath-\S+ made 2 min ago global expired not yet", page)


async def test_a_revoked_token_is_no_good_from_then_on(server: Server, browser: Browser) -> None:
    token = await somebody(server, "ada")
    await sign_in(server, browser, token)
    made = await browser.send(await tokens_page(server, browser), FORM, description="laptop", lasts="")
    assert "Revoke laptop" in text(made)
    id_ = re.findall(r'<summary id="revoke-([\w-]+)">Revoke<span class="unseen"> laptop<', made.text)[0]
    page = await browser.send(made, REVOKE, token=id_)
    assert (page.status, "Revoked: what uses it is refused from now on." in text(page)) == (200, True)
    assert "laptop" not in text(page)
    assert await status(server, secret_in(made), "GET", "/account") == 401
    assert await status(server, token, "GET", "/account") == 200
    twice = await browser.send(made, REVOKE, token=id_)
    assert (twice.status, "no such token of yours, or not any more" in text(twice)) == (404, True)


async def test_the_token_that_signed_this_browser_in_takes_it_along(server: Server, browser: Browser) -> None:
    await sign_in(server, browser, await somebody(server, "ada"))
    page = await tokens_page(server, browser)
    assert "browsers that were signed in by it are signed out: this one, too" in text(page)
    out = await browser.send(page, REVOKE)
    assert (out.status, out.title) == (401, "Sign in")


async def test_one_sees_and_revokes_only_ones_own(server: Server, browser: Browser) -> None:
    ada = await somebody(server, "ada")
    mine = (await server.get("/oauth/authorizations/~"))["id"]
    await sign_in(server, browser, ada)
    page = await tokens_page(server, browser)
    assert page.text.count(f'action="/dashboard{REVOKE}"') == 1
    refused = await browser.send(page, REVOKE, token=mine)
    assert (refused.status, "Nothing was done." in text(refused)) == (404, True)
    assert (await server.get("/oauth/authorizations/~"))["id"] == mine


WRONG = {
    "no name": ({"description": " "}, "Say in up to 255 characters what it is for."),
    "a name without end": ({"description": "x" * 256}, "Say in up to 255 characters what it is for."),
    "no such scope": ({"scope": "everything"}, "Choose what it is good for."),
    "no such time": ({"lasts": "1e9"}, "Choose when it expires."),
}


@pytest.mark.parametrize(("sent", "said"), WRONG.values(), ids=WRONG)
async def test_what_no_token_can_be_made_of_says_why_and_keeps_what_was_entered(
    server: Server, browser: Browser, sent: dict[str, str], said: str
) -> None:
    await sign_in(server, browser)
    before = await server.get("/oauth/authorizations")
    form = {"description": "laptop", "scope": "identity", "lasts": "365"} | sent
    page = await browser.send(await tokens_page(server, browser), FORM, **form)
    assert (page.status, f"{said} No token was made." in text(page)) == (422, True)
    if "scope" not in sent:
        assert 'value="identity" checked' in page.text
    if "lasts" not in sent:
        assert 'value="365" selected' in page.text
    assert [each["id"] for each in await server.get("/oauth/authorizations")] == [each["id"] for each in before]
