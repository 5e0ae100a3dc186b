"""Who may do what to an app, and letting people in to it by clicking."""

import html
import re

import pytest

from tests.web.browsing import Browser, Page
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


def text(page: Page) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))


async def access(server: Server, browser: Browser, app: str = "shop") -> Page:
    return await browser.get(f"{server.url}/dashboard/apps/{app}/access")


async def let_in(server: Server, name: str, *may: str, app: str = "shop") -> str:
    token = await somebody(server, name)
    body = {"user": f"{name}@example.com", "permissions": list(may)}
    await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    return token


async def granted(server: Server) -> dict[str, list[str]]:
    """What the API says of those who were let in."""
    listed = await server.get("/apps/shop/collaborators")
    return {
        each["user"]["email"]: [one["name"] for one in each["permissions"]]
        for each in listed
        if each["role"] != "owner"
    }


async def test_somebody_is_let_in_changed_and_removed(server: Server, browser: Browser) -> None:
    await server.app("shop")
    await somebody(server, "ada")
    await sign_in(server, browser)
    page = await access(server, browser)
    assert "admin@localhost owner everything" in text(page)
    page = await browser.send(page, "/access", email=" Ada@example.com ")
    assert ("Let in." in text(page), "ada@example.com view, deploy, operate" in text(page)) == (True, True)
    assert await granted(server) == {"ada@example.com": ["view", "deploy", "operate"]}
    page = await browser.send(page, "/access/change", drop=("may",), may="promote")
    assert ("Changed." in text(page), "ada@example.com view, promote" in text(page)) == (True, True)
    page = await browser.send(page, "/access/remove")
    assert ("Removed." in text(page), await granted(server)) == (True, {})
    told = [each["action"] for each in await server.get("/activity?app=shop")]
    assert [each for each in told if each.startswith("access")] == ["access given", "access given", "access taken"]


WRONG = {
    "an address without an account": ({"email": "nobody@example.com"}, "there is no user nobody@example.com here"),
    "somebody who is in already": ({"email": "ada@example.com"}, "ada@example.com has access to shop already"),
    "the owner": ({"email": "admin@localhost"}, "shop is admin@localhost's own"),
    "no address": ({"email": ""}, "there is no user"),
    "a permission that there is not": ({"email": "bob@example.com", "may": "rule"}, "There is no such permission."),
}


@pytest.mark.parametrize(("sent", "said"), WRONG.values(), ids=WRONG)
async def test_nobody_is_let_in_by(server: Server, browser: Browser, sent: dict[str, str], said: str) -> None:
    await server.app("shop")
    await let_in(server, "ada", "view")
    await somebody(server, "bob")
    await sign_in(server, browser)
    page = await browser.send(await access(server, browser), "/access", **sent)
    assert (page.status, said in text(page)) == (422, True)
    assert f'id="email" name="email" value="{sent["email"]}"' in page.text
    assert await granted(server) == {"ada@example.com": ["view"]}


async def test_what_somebody_may_is_at_least_one_thing(server: Server, browser: Browser) -> None:
    await server.app("shop")
    await let_in(server, "ada", "view")
    await sign_in(server, browser)
    page = await browser.send(await access(server, browser), "/access/change", drop=("may",))
    assert (page.status, "To take everything back, remove them." in text(page)) == (422, True)
    assert await granted(server) == {"ada@example.com": ["view"]}


async def change(server: Server, browser: Browser, page: Page, *ticked: str) -> Page:
    """Send the form with these boxes ticked."""
    action, sent = page.form("/access/change")
    data = [pair for pair in sent if pair[0] != "may"] + [("may", each) for each in ticked]
    async with browser.session.post(server.url + action, data=data) as answer:
        return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)


OLD_PAGE = {
    "a right that was given meanwhile stays": (
        ("view",), ("view", "deploy"), ("view", "operate"), ["view", "deploy", "operate"],
    ),
    "a right that was taken meanwhile stays taken": (("view", "deploy"), ("view",), ("view", "deploy", "operate"), ["view", "operate"]),
    "what is taken here is taken": (("view", "deploy"), ("view", "deploy", "operate"), ("view",), ["view", "operate"]),
    "the right to promote is not given back": (("view", "promote"), ("view",), ("view", "promote", "deploy"), ["view", "deploy"]),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "meanwhile", "ticked", "left"), OLD_PAGE.values(), ids=OLD_PAGE)
async def test_an_old_page_changes_what_was_changed_on_it_and_nothing_else(
    server: Server, browser: Browser, shown: tuple[str, ...], meanwhile: tuple[str, ...], ticked: tuple[str, ...],
    left: list[str],
) -> None:  # fmt: skip
    await server.app("shop")
    await let_in(server, "ada", *shown)
    await sign_in(server, browser)
    page = await access(server, browser)
    body = {"permissions": list(meanwhile)}
    await server.call("PATCH", "/apps/shop/collaborators/ada@example.com", body, expect=200)
    assert (await change(server, browser, page, *ticked)).status == 200
    assert await granted(server) == {"ada@example.com": left}


async def test_what_an_old_page_leaves_nobody_with_is_refused_and_asked_about_as_it_was(
    server: Server, browser: Browser
) -> None:
    await server.app("shop")
    await let_in(server, "ada", "view", "deploy")
    await sign_in(server, browser)
    page = await access(server, browser)
    await server.call("PATCH", "/apps/shop/collaborators/ada@example.com", {"permissions": ["view"]}, expect=200)
    refused = await change(server, browser, page, "deploy")
    assert (refused.status, "To take everything back, remove them." in text(refused)) == (422, True)
    assert await granted(server) == {"ada@example.com": ["view"]}
    nothing = await change(server, browser, page)
    await server.call(
        "PATCH", "/apps/shop/collaborators/ada@example.com", {"permissions": ["view", "operate"]}, expect=200
    )
    await change(server, browser, nothing, "view", "deploy")  # of which the page had never shown that they may operate
    assert await granted(server) == {"ada@example.com": ["view", "operate"]}


async def test_a_form_about_somebody_who_was_removed_meanwhile_does_nothing(server: Server, browser: Browser) -> None:
    await server.app("shop")
    await let_in(server, "ada", "view")
    await sign_in(server, browser)
    page = await access(server, browser)
    await server.call("DELETE", "/apps/shop/collaborators/ada@example.com", expect=200)
    for where in ("/access/change", "/access/remove"):
        answered = await browser.send(page, where)
        assert (answered.status, "not any more. Nothing was changed." in text(answered)) == (422, True), where
    assert await granted(server) == {}


async def test_of_a_teams_app_the_members_roles_are_shown_to_its_members(
    server: Server, browser: Browser, another: Browser
) -> None:
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    await somebody(server, "vic")
    await server.call("PUT", "/teams/crew/members", {"email": "vic@example.com", "role": "viewer"}, expect=200)
    await server.call("POST", "/apps", {"name": "shop", "team": "crew"}, expect=201)
    token = await let_in(server, "gus", "view", "deploy")
    await sign_in(server, browser)
    page = text(await access(server, browser))
    assert "admin@localhost admin of crew everything" in page
    assert "vic@example.com viewer of crew view" in page
    await sign_in(server, another, token)
    page = text(await access(server, another))
    assert "It belongs to the team crew, whose members you do not see." in page
    assert "vic@example.com" not in page


async def test_who_may_not_say_who_may_sees_how_it_is_and_can_leave(server: Server, browser: Browser) -> None:
    await server.app("shop")
    await let_in(server, "ada", "view")
    await sign_in(server, browser, await let_in(server, "gus", "view", "deploy"))
    page = await access(server, browser)
    assert "takes manage on it" in text(page)
    assert ("Let somebody in" in page.text, "/access/change" in page.text) == (False, False)
    assert ("Give up your access" in page.text, page.text.count("/access/remove")) == (True, 1)
    page = await browser.send(page, "/access/remove")
    assert page.url == f"{server.url}/dashboard"
    assert await granted(server) == {"ada@example.com": ["view"]}
