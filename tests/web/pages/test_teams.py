"""A team on its page: who is in it as what, and inviting people by a link by which they make their account."""

import asyncio
import html
import re
import sqlite3

import pytest

from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOME, JOINED, OVER = "Apps and pipelines", "You are in", "This invitation has been used, taken back or has expired"
NEW = {"email": "new@example.com", "role": "member"}


def text(page: Page) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))


def link_in(page: Page) -> str:
    return re.findall(r'<pre class="whole">(\S+/dashboard/invitations/\S+)</pre>', page.text)[0]


async def crew(server: Server, browser: Browser, token: str = "", **roles: str) -> Page:
    """The page of a team of the administrator's, for whoever has the token."""
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    for name, role in roles.items():
        body = {"email": f"{name}@example.com", "role": role}
        await server.call("PUT", "/teams/crew/members", body, expect=200)
    await sign_in(server, browser, token)
    return await browser.get(f"{server.url}/dashboard/teams/crew")


async def invited(server: Server, browser: Browser, **sent: str) -> str:
    """The link that an administrator is given."""
    return link_in(await browser.send(await crew(server, browser), "/invitations", **{**NEW, **sent}))


async def roles(server: Server) -> dict[str, str]:
    return {each["email"]: each["role"] for each in await server.get("/teams/crew/members")}


async def test_who_was_invited_makes_their_account_and_is_in_the_team(
    server: Server, browser: Browser, another: Browser
) -> None:
    link = await invited(server, browser)
    page = await another.get(link)
    assert (page.status, page.title) == (200, "Join the team crew")
    assert "admin@localhost invites you to the team crew as member. Your account here will be new@example.com" in text(
        page
    )
    page = await another.press(page)
    assert (page.status, page.title, page.headers["Cache-Control"]) == (200, JOINED, "no-store")
    assert "new@example.com" in (await another.get(f"{server.url}/dashboard")).text
    assert await roles(server) == {"admin@localhost": "admin", "new@example.com": "member"}
    (token,) = re.findall(r'<pre class="whole">([\w-]+)</pre>', page.text)
    account, _ = await server.call("GET", "/account", Authorization=f"Bearer {token}", expect=200)
    assert (account["email"], account["admin"]) == ("new@example.com", False)
    told = [(each["action"], each["actor"]) for each in await server.get("/activity")]
    assert told[-5:] == [
        ("team invitation made", "user:admin@localhost"),
        ("team invitation accepted", "user:new@example.com"),
        ("user created", "user:new@example.com"),
        ("team member added", "user:new@example.com"),
        ("signed in", "user:new@example.com"),
    ]


async def test_who_is_signed_in_as_somebody_else_is_asked_before_that_ends(
    server: Server, browser: Browser, another: Browser
) -> None:
    link, token = await invited(server, browser), await somebody(server, "ada")
    early = await another.get(link)
    await sign_in(server, another, token)
    asked = await another.press(early)
    assert (asked.status, asked.title) == (409, "Join the team crew")
    ends = "You are signed in here as ada@example.com: joining ends that, and signs you in as new@example.com."
    assert ends in text(asked)
    assert "new@example.com" not in await roles(server)
    assert "ada@example.com" in (await another.get(f"{server.url}/dashboard")).text
    assert ends in text(await another.get(link))
    await sign_in(server, another)
    again = await another.press(asked)
    assert (again.status, "You are signed in here as admin@localhost" in text(again)) == (409, True)
    assert (await another.press(again)).title == JOINED


async def test_a_link_makes_one_account_however_many_press_at_once(
    server: Server, browser: Browser, another: Browser
) -> None:
    link = await invited(server, browser)
    third = Browser()
    asking = await another.get(link)
    pages = await asyncio.gather(another.press(asking), third.press(asking))
    assert sorted(page.title for page in pages) == sorted([JOINED, OVER])
    assert (await another.get(link)).status == 410
    await third.session.close()


async def test_looking_at_a_link_makes_nothing(server: Server, browser: Browser, another: Browser) -> None:
    link = await invited(server, browser)
    for _ in range(3):
        await another.get(link)
    assert list(await roles(server)) == ["admin@localhost"]


async def test_a_link_is_over_after_a_week_when_taken_back_or_when_there_is_another(
    server: Server, clock: Clock, browser: Browser, another: Browser
) -> None:
    former = await invited(server, browser)
    page = await browser.send(await browser.get(f"{server.url}/dashboard/teams/crew"), "/invitations", **NEW)
    link = link_in(page)
    assert (await another.get(former)).title == OVER
    clock.pass_by(days=6, hours=23)
    asking = await another.get(link)
    assert asking.status == 200
    clock.pass_by(hours=1)
    assert ((await another.get(link)).title, (await another.press(asking)).title) == (OVER, OVER)
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/teams/crew")
    assert "new@example.com member expired" in text(page)
    link = link_in(await browser.send(page, "/invitations", **NEW))
    page = await browser.send(await browser.get(f"{server.url}/dashboard/teams/crew"), "/revoke")
    assert "Taken back" in text(page)
    assert (await another.get(link)).title == OVER
    again = await browser.send(page, "/invitations", **NEW)
    assert link_in(again) != link


async def test_of_a_link_only_a_digest_is_kept(server: Server, browser: Browser) -> None:
    secret = (await invited(server, browser)).rpartition("/")[2]
    assert len(secret) > 40
    with sqlite3.connect(server.db.url.removeprefix("sqlite:///")) as conn:
        assert secret not in "\n".join(conn.iterdump())
    conn.close()


async def test_the_link_of_an_administrator_who_is_one_no_longer_opens_nothing(
    server: Server, browser: Browser, another: Browser
) -> None:
    token = await somebody(server, "eve", admin=True)
    page = await crew(server, browser, token, eve="admin")
    link = link_in(await browser.send(page, "/invitations", **NEW))
    asking = await another.get(link)
    assert asking.status == 200
    await server.call("PATCH", "/users/eve@example.com", {"admin": False}, expect=200)
    assert ((await another.get(link)).title, (await another.press(asking)).title) == (OVER, OVER)


async def test_an_admin_of_a_team_only_has_an_administrator_make_the_account(server: Server, browser: Browser) -> None:
    page = await crew(server, browser, await somebody(server, "ada"), ada="admin")
    page = await browser.send(page, "/invitations", **NEW)
    assert ("Invited." in text(page), "/dashboard/invitations/" in page.text) == (True, False)
    assert "new@example.com member none" in text(page)
    await server.call("POST", "/users", {"email": "new@example.com"}, expect=201)
    assert (await roles(server))["new@example.com"] == "member"


WRONG = {
    "what is no address": ({"email": "new"}, "is not an address"),
    "a role that there is not": ({"role": "king"}, "There is no role"),
    "somebody who has an account": ({"email": "admin@localhost"}, "admin@localhost has an account already"),
}


@pytest.mark.parametrize(("sent", "said"), WRONG.values(), ids=WRONG)
async def test_nobody_is_invited_by(server: Server, browser: Browser, sent: dict[str, str], said: str) -> None:
    page = await browser.send(await crew(server, browser), "/invitations", **{**NEW, **sent})
    assert page.status == 422
    (wrong,) = re.findall(r'id="invite-wrong" role="alert">([^<]*)', page.text)
    assert said in wrong
    assert await server.get("/teams/crew/invitations") == []


async def test_members_are_added_changed_and_removed(server: Server, browser: Browser) -> None:
    await somebody(server, "ada")
    page = await crew(server, browser)
    # The first form is the row of the administrator, who is the only admin.
    refused = await browser.send(page, "/members", role="viewer")
    assert (refused.status, "admin" in text(refused)) == (422, True)
    page = await browser.send(page, "/members", email="ada@example.com", role="viewer")
    assert ("Saved." in text(page), await roles(server)) == (
        True,
        {"ada@example.com": "viewer", "admin@localhost": "admin"},
    )
    page = await browser.send(page, "/members", role="admin")
    assert (await roles(server))["ada@example.com"] == "admin"
    page = await browser.send(page, "/members/remove")
    assert ("Removed." in text(page), list(await roles(server))) == (True, ["admin@localhost"])
    told = [each["action"] for each in await server.get("/activity")]
    assert [each for each in told if each.startswith("team member")] == [
        "team member set",
        "team member set",
        "team member removed",
    ]


LEADS_TO_IT = ("", "/account", "/new/app", "/new/pipeline", "/pipelines/{pipeline}/add", "/pipelines/{pipeline}/access")


@pytest.mark.parametrize("path", LEADS_TO_IT)
async def test_a_team_can_be_made_from_where_an_owner_is_chosen(
    server: Server, browser: Browser, pipeline: str, path: str
) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard{path.format(pipeline=pipeline)}")
    assert 'href="/dashboard/new/team"' in page.text


async def test_whoever_makes_a_team_is_its_admin_and_can_choose_it_as_an_owner(
    server: Server, browser: Browser
) -> None:
    await sign_in(server, browser, await somebody(server, "ada"))
    page = await browser.get(f"{server.url}/dashboard/new/team")
    made = await browser.send(page, "/new/team", name=" red-team ")
    assert (made.url.partition("?")[0], made.title) == (f"{server.url}/dashboard/teams/red-team", "Team red-team")
    assert "The team is there, and you are its admin." in text(made)
    assert re.search(r'<th scope="row">ada@example.com</th>.*?value="admin" selected', made.text, re.DOTALL)
    assert "The team red-team" in text(await browser.get(f"{server.url}/dashboard/new/app"))
    assert 'href="/dashboard/teams/red-team"' in (await browser.get(f"{server.url}/dashboard/account")).text
    told = (await server.get("/activity"))[-1]
    assert (told["action"], told["actor"]) == ("team created", "user:ada@example.com")


NO_NAMES = {
    "taken": ("crew", "crew"),
    "too short": ("ab", "has 3 to 30 lower-case letters"),
    "none": ("", "has 3 to 30 lower-case letters"),
    "not a name": ("<b>No</b>", "has 3 to 30 lower-case letters"),
}


@pytest.mark.parametrize(("name", "said"), NO_NAMES.values(), ids=NO_NAMES)
async def test_a_team_that_cannot_be_made_says_why_where_its_name_is(
    server: Server, browser: Browser, name: str, said: str
) -> None:
    await crew(server, browser)
    page = await browser.send(await browser.get(f"{server.url}/dashboard/new/team"), "/new/team", name=name)
    wrong = re.findall(r'<p class="wrong" id="name-wrong">(.*?)</p>', page.text)
    assert (page.status, len(wrong), said in wrong[0]) == (422, 1, True), wrong
    assert f'value="{html.escape(name)}"' in page.text
    assert [each["name"] for each in await server.get("/teams")] == ["crew"]


async def test_who_is_no_admin_sees_who_is_there_and_can_leave(server: Server, browser: Browser) -> None:
    page = await crew(server, browser, await somebody(server, "vic"), vic="viewer")
    assert ("admin@localhost Admin admin" in text(page), "Make a link" in page.text) == (True, False)
    assert (page.text.count("/members/remove"), "Invited" in page.text) == (1, False)
    page = await browser.send(page, "/members/remove")
    assert page.url == f"{server.url}/dashboard/account"
    assert await roles(server) == {"admin@localhost": "admin"}
    assert (await browser.get(f"{server.url}/dashboard/teams/crew")).status == 404


async def test_no_page_of_others_uses_up_what_somebody_may_try(server: Server, browser: Browser) -> None:
    elsewhere, ada = {"Sec-Fetch-Site": "cross-site"}, {"X-Forwarded-For": "198.51.100.78"}
    for number in range(61):
        for where in ("invitations", "sign-in"):
            url = f"{server.url}/dashboard/{where}/guess{number}"
            assert (await browser.get(url, headers=ada | elsewhere)).status == 410
    assert (await browser.get(f"{server.url}/dashboard/sign-in/guess", headers=ada)).status == 410


async def test_whoever_tries_many_links_has_to_wait(server: Server, browser: Browser) -> None:
    mallory = {"X-Forwarded-For": "198.51.100.77"}
    for number in range(60):
        assert (await browser.get(f"{server.url}/dashboard/invitations/guess{number}", headers=mallory)).status == 410
    assert (await browser.get(f"{server.url}/dashboard/invitations/guess", headers=mallory)).status == 429
