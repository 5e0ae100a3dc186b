"""Signing in with GitHub, as a browser does it against the simulated one; and everything that may come in between."""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from sqlalchemy import Connection
from yarl import URL

from service.github.manifest import SIGN_IN_BACK
from service.store import github_app, teams, users
from service.store.database import Database
from service.store.secrets import Vault
from service.web.pages.github_sign_in import allowed
from tests.github_contract.fixtures import GitHub, held_to_contract, octokit
from tests.store.fixtures import sqlite_template
from tests.store.making import NOW
from tests.web.api.people import Rows, restore, saved
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Clock
from tests.web.pages.visiting import app_of, sign_in, somebody
from tests.web.serving import Server, serving

__all__ = ["octokit", "sqlite_template"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOME, SIGN_IN, ACCOUNT = "Apps and pipelines", "Sign in", "Your account"
FOREIGN, OVER, AWAY = "This browser was not on its way back", "GitHub's code is over", "GitHub does not answer"
NOT_LINKED, WRONG_APP = "No account here is linked to yours on GitHub", "The GitHub App does not let people sign in"
COOKIE = "towpath_session"
Ending = Callable[[Server, Clock], Awaitable[None]]


@dataclass(kw_only=True)
class Place:
    """An installation with a GitHub App of its own, and the GitHub where that is."""

    server: Server
    github: GitHub
    clock: Clock
    rows: Rows
    secret: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(
    sqlite_template: Path,
    octokit: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Place]:
    home, clock = tmp_path_factory.mktemp("github-sign-in"), Clock()
    path = home / "towpath.db"
    path.write_bytes(sqlite_template.read_bytes())
    vault = Vault.open(home / "secret.keys", create=True)
    async with held_to_contract(home / "github") as github:
        database = await Database.open(f"sqlite:///{path}", clock=clock)
        await database.write(lambda conn: github_app.save(conn, vault, app_of(github), NOW))
        async with serving(database, vault, home, github=github) as server:
            rows = await database.read(saved)
            yield Place(server=server, github=github, clock=clock, rows=rows, secret=github.client_secret)
        await database.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server(place: Place) -> Server:
    place.clock.now = NOW
    await place.server.db.write(lambda conn: restore(conn, place.rows))
    return place.server


@pytest_asyncio.fixture(loop_scope="module")
async def github(place: Place, server: Server) -> GitHub:
    sim = place.github
    sim.chaos.calm()
    sim.set_visitor("octocat")
    sim.set_refusal(refuses=False)
    sim.app.callback_urls = [f"{server.url}{SIGN_IN_BACK}"]
    sim.client_secret, sim._ahead = place.secret, timedelta()
    return sim


async def account(server: Server, browser: Browser) -> Page:
    return await browser.get(f"{server.url}/dashboard/account")


async def linked(server: Server, browser: Browser, token: str = "") -> Page:
    """Signed in by a link, and back from linking the account that the visitor has on GitHub."""
    await sign_in(server, browser, token)
    return await browser.send(await account(server, browser), "/account/github")


async def signed_out(server: Server, browser: Browser) -> Page:
    return await browser.send(await browser.get(f"{server.url}/dashboard"), "/sign-out")


async def by_github(server: Server, browser: Browser, path: str = "/dashboard") -> Page:
    """The button, from a page for which one is not signed in."""
    return await browser.send(await browser.get(server.url + path), "/github/sign-in")


async def gone(server: Server, browser: Browser, **sent: str) -> str:
    """Press the button, and stop before going to GitHub; where that is."""
    headers = {name.replace("_", "-"): value for name, value in sent.items()}
    url = f"{server.url}/dashboard/github/sign-in"
    async with browser.session.post(url, data={"next": ""}, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]


async def on_its_way_back(server: Server, browser: Browser) -> str:
    """Go to GitHub, and stop before coming back; where it leads."""
    async with browser.session.get(await gone(server, browser), allow_redirects=False) as answer:
        return answer.headers["Location"]


def told(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def session_in(browser: Browser) -> str:
    return next((each.value for each in browser.session.cookie_jar if each.key == COOKIE), "")


async def deeds(server: Server) -> list[tuple[str, str]]:
    """What is on record, oldest first, with the account on GitHub that it says."""
    return [(each["action"], (each["data"] or {}).get("github", "")) for each in await server.get("/activity")]


async def test_who_has_linked_an_account_is_let_in_by_it(server: Server, github: GitHub, browser: Browser) -> None:
    token = await somebody(server, "ada")
    page = await linked(server, browser, token)
    assert (page.title, "From now on you can sign in with GitHub." in page.text) == (ACCOUNT, True)
    assert "<strong>octocat</strong> on GitHub lets you in" in page.text
    await signed_out(server, browser)
    page = await by_github(server, browser)
    assert (page.url, page.title) == (f"{server.url}/dashboard", HOME)
    assert "ada@example.com" in page.text
    assert github.keys.of_users == []  # each was given back
    kept = await deeds(server)
    assert ("github account linked", "octocat") in kept
    assert kept[-1] == ("signed in", "octocat")


async def test_one_goes_on_to_the_page_that_one_asked_for(server: Server, github: GitHub, browser: Browser) -> None:
    await linked(server, browser)
    await signed_out(server, browser)
    page = await by_github(server, browser, "/dashboard/why?q=acme%2Fshop")
    assert page.url == f"{server.url}/dashboard/why?q=acme/shop"


async def test_to_be_on_github_lets_nobody_in(server: Server, github: GitHub, browser: Browser) -> None:
    """Not even by the login that an administrator has said: the number counts, and who has proved it."""
    await somebody(server, "ada", github="octocat")
    page = await by_github(server, browser)
    assert (page.status, page.title) == (403, NOT_LINKED)
    assert "GitHub says that you are octocat." in page.text
    assert (session_in(browser), len(await server.get("/users"))) == ("", 2)


async def test_a_login_that_was_given_to_somebody_else_lets_them_in_nowhere(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    await linked(server, browser)
    await signed_out(server, browser)
    former = github.accounts.pop("octocat")
    former.login = "octavia"
    github.accounts["octavia"] = former
    try:
        assert (await by_github(server, another)).title == NOT_LINKED
        github.set_visitor("octavia")
        assert (await by_github(server, browser)).title == HOME
        assert "<strong>octavia</strong> on GitHub lets you in" in (await account(server, browser)).text
    finally:
        github.accounts.pop("octavia")


async def test_a_link_says_who_one_is_on_github_where_nobody_has(
    server: Server, github: GitHub, browser: Browser
) -> None:
    for name, said, known in (
        ("ada", {}, "octocat"),
        ("bob", {"github": "bobby"}, "bobby"),
        ("eve", {"admin": True}, None),
    ):
        await linked(server, browser, await somebody(server, name, **said))
        user = await server.db.read(lambda conn, name=name: users.find(conn, f"{name}@example.com"))
        assert user is not None
        assert (user.github_login, user.github_id is not None) == (known, known == "octocat")
        await browser.send(await account(server, browser), "/github/unlink")


async def test_an_account_on_github_lets_in_one_person(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    await linked(server, browser)
    page = await linked(server, another, await somebody(server, "ada"))
    assert (page.status, page.title) == (409, "This account on GitHub lets somebody else in")
    assert "No account on GitHub lets you in so far." in (await account(server, another)).text
    assert "admin@localhost" in (await by_github(server, browser, "/dashboard/sign-in")).text


async def test_what_was_unlinked_lets_in_nobody_and_ends_what_it_began(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    await linked(server, browser)
    assert (await by_github(server, another)).title == HOME
    page = await browser.send(await account(server, browser), "/github/unlink")
    assert (page.title, "Unlinked." in page.text) == (ACCOUNT, True)
    assert (await another.get(f"{server.url}/dashboard")).title == SIGN_IN
    assert (await by_github(server, another)).title == NOT_LINKED
    assert [each for each in await deeds(server) if each[0] == "github account unlinked"] == [
        ("github account unlinked", "octocat")
    ]


async def test_another_account_in_the_place_of_one_ends_what_that_one_began(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    browser.session.headers["X-Forwarded-For"] = another.session.headers["X-Forwarded-For"] = "198.51.100.10"
    await sign_in(server, browser)
    page = await account(server, browser)  # as it is shown while nobody is linked
    await browser.send(page, "/account/github")
    assert (await by_github(server, another)).title == HOME
    await browser.send(page, "/account/github")  # the same once more ends nothing
    assert (await another.get(f"{server.url}/dashboard")).title == HOME
    github.set_visitor("hubot")
    page = await browser.send(page, "/account/github")
    assert "<strong>hubot</strong> on GitHub lets you in" in page.text
    assert (await another.get(f"{server.url}/dashboard")).title == SIGN_IN
    assert (await browser.get(f"{server.url}/dashboard")).title == HOME
    assert ("github account unlinked", "octocat") in await deeds(server)


async def test_signing_in_ends_the_session_that_the_browser_had(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    await linked(server, browser)
    former = session_in(browser)
    page = await by_github(server, browser, "/dashboard/sign-in")
    assert (page.title, session_in(browser) != former) == (HOME, True)
    another.session.cookie_jar.update_cookies({COOKIE: former}, URL(server.url))
    assert (await another.get(f"{server.url}/dashboard")).title == SIGN_IN


async def test_where_one_is_led_back_to_is_the_public_address_whatever_is_asked(
    server: Server, github: GitHub, browser: Browser
) -> None:
    asked = told(await gone(server, browser, Host="evil.example", X_Forwarded_Host="evil.example"))
    assert asked["redirect_uri"] == f"{server.url}/dashboard/github/callback"
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert (len(asked["state"]) >= 43, "scope" in asked) == (True, False)


async def test_a_form_from_elsewhere_sends_nobody_to_github(server: Server, github: GitHub, browser: Browser) -> None:
    headers = {"Origin": "https://evil.example"}
    async with browser.session.post(f"{server.url}/dashboard/github/sign-in", data={}, headers=headers) as answer:
        assert answer.status == 403


@pytest.mark.parametrize(
    ("path", "to"),
    [
        pytest.param("/dashboard/apps/shop/logs", "/dashboard/apps/shop/logs", id="a page"),
        pytest.param("/dashboard/why?q=acme%2Fshop", "/dashboard/why?q=acme%2Fshop", id="a page with a question"),
        pytest.param("/dashboard/why?q=acme/shop", "/dashboard/why?q=acme/shop", id="a page about a repository"),
        pytest.param("", "/dashboard", id="nothing"),
        pytest.param("https://evil.example/dashboard", "/dashboard", id="another host"),
        pytest.param("//evil.example/dashboard", "/dashboard", id="another host by the same scheme"),
        pytest.param("/dashboard//evil.example", "/dashboard", id="an empty part"),
        pytest.param("/dashboard/../github/setup", "/dashboard", id="a climb"),
        pytest.param("/dashboard/%2e%2e/x", "/dashboard", id="a hidden climb"),
        pytest.param("/dashboard\\evil.example", "/dashboard", id="a backslash"),
        pytest.param("/dashboard.evil.example", "/dashboard", id="another name that begins so"),
        pytest.param("/dashboard/x\r\nSet-Cookie: a=b", "/dashboard", id="another header"),
        pytest.param("/apps", "/dashboard", id="the API"),
        pytest.param("/dashboard/" + "x" * 500, "/dashboard", id="more than an address holds"),
    ],
)
async def test_one_goes_on_to_nothing_but_pages_of_the_dashboard(path: str, to: str) -> None:
    assert allowed(path) == to


async def invited(server: Server, browser: Browser) -> str:
    """The link by which an administrator invites somebody to their team."""
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/teams/crew")
    page = await browser.send(page, "/invitations", email="new@example.com", role="viewer")
    return re.findall(r'<pre class="whole">(\S+/dashboard/invitations/\S+)</pre>', page.text)[0]


async def test_who_was_invited_comes_in_with_github_and_again(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    page = await another.send(await another.get(await invited(server, browser)), "/github")
    assert (page.status, page.title) == (200, "You are in")
    members = {each["email"]: each["role"] for each in await server.get("/teams/crew/members")}
    assert members["new@example.com"] == "viewer"
    await signed_out(server, another)
    page = await by_github(server, another)
    assert (page.title, "new@example.com" in page.text) == (HOME, True)


async def test_an_account_on_github_that_lets_somebody_in_accepts_no_invitation(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    await linked(server, browser)
    link = await invited(server, browser)
    page = await another.send(await another.get(link), "/github")
    assert (page.status, page.title) == (409, "This account on GitHub lets somebody else in")
    assert [each["email"] for each in await server.get("/users")] == ["admin@localhost"]
    assert (await another.get(link)).status == 200  # nothing was used up


async def taken_back(server: Server, _clock: Clock) -> None:
    await server.call("DELETE", "/teams/crew/invitations/new@example.com", expect=200)


async def made_anew(server: Server, _clock: Clock) -> None:
    def write(conn: Connection) -> None:
        team = teams.find(conn, "crew")
        (invitation,) = teams.invited(conn, team.id)
        teams.make_link(conn, invitation, by=invitation.invited_by, now=server.db.now())

    await server.db.write(write)


async def demoted(server: Server, _clock: Clock) -> None:
    token = await somebody(server, "eve", admin=True)
    who, sent = {"Authorization": f"Bearer {token}"}, {"admin": False}
    await server.call("PATCH", "/users/admin@localhost", sent, expect=200, **who)


async def over(_server: Server, clock: Clock) -> None:
    clock.pass_by(minutes=5)


ENDINGS = {
    "it is taken back": taken_back,
    "there is another link": made_anew,
    "who sent it administers nothing any more": demoted,
    "its week is over": over,
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
async def test_nobody_comes_in_by_an_invitation_when_on_the_way_to_github(
    server: Server, github: GitHub, place: Place, browser: Browser, another: Browser, end: Ending
) -> None:
    link = await invited(server, browser)
    place.clock.pass_by(days=6, hours=23, minutes=55)
    async with another.session.post(f"{link}/github", data={}, allow_redirects=False) as answer:
        asked = answer.headers["Location"]
    await end(server, place.clock)
    page = await another.get(asked)
    assert (page.status, page.title, session_in(another)) == (403, FOREIGN, "")
    known = await server.db.read(users.listing)
    assert "new@example.com" not in [each.email for each in known]


# What comes in between ------------------------------------------------------------------------------


async def test_whoever_presses_cancel_on_github_is_told_that_nothing_was_done(
    server: Server, github: GitHub, browser: Browser
) -> None:
    github.set_refusal(refuses=True)
    page = await by_github(server, browser)
    assert (page.status, page.title) == (403, "GitHub was not allowed to say who you are")
    page = await linked(server, browser)
    assert 'href="/dashboard/account">To your account' in page.text


async def test_what_github_brings_back_counts_once_and_in_its_own_browser(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    await linked(server, browser)
    await signed_out(server, browser)
    back = await on_its_way_back(server, browser)
    for _ in range(2):
        page = await another.get(back)
        assert (page.status, page.title, session_in(another)) == (403, FOREIGN, "")
        await gone(server, another)  # and once more as one that is on a way of its own
    assert (await browser.get(back)).title == HOME
    assert (await browser.get(back)).title == FOREIGN


async def test_a_state_of_ones_own_making_opens_nothing(server: Server, github: GitHub, browser: Browser) -> None:
    for changed in ({"state": "x" * 43}, {"state": ""}, {"state": "\ud800"}):
        back = await on_its_way_back(server, browser)
        query = urlencode({**told(back), **changed}, errors="surrogatepass")
        assert (await browser.get(f"{back.partition('?')[0]}?{query}")).title == FOREIGN


async def test_who_comes_back_without_having_gone_waits_for_no_writer(
    server: Server, github: GitHub, browser: Browser
) -> None:
    back = await on_its_way_back(server, browser)
    writer = sqlite3.connect(server.db.url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    try:
        page = await browser.get(f"{back.partition('?')[0]}?{urlencode({**told(back), 'state': 'x' * 43})}")
    finally:
        writer.close()
    assert page.title == FOREIGN


async def test_a_browser_has_ten_minutes_to_come_back(
    server: Server, github: GitHub, place: Place, browser: Browser
) -> None:
    await linked(server, browser)
    await signed_out(server, browser)
    back = await on_its_way_back(server, browser)
    place.clock.pass_by(minutes=10)
    assert (await browser.get(back)).title == FOREIGN
    back = await on_its_way_back(server, browser)
    place.clock.pass_by(minutes=9, seconds=59)
    assert (await browser.get(back)).title == HOME


async def test_a_code_that_is_over_leads_to_another_one(server: Server, github: GitHub, browser: Browser) -> None:
    back = await on_its_way_back(server, browser)
    github.advance(601)
    page = await browser.get(back)
    assert (page.status, page.title) == (410, OVER)


async def test_a_code_of_another_browser_is_no_good_in_this_one(
    server: Server, github: GitHub, browser: Browser, another: Browser
) -> None:
    """Somebody who got hold of a code has the victim's browser bring it, or brings it in their own."""
    await linked(server, browser)
    await signed_out(server, browser)
    theirs, own = await on_its_way_back(server, browser), await on_its_way_back(server, another)
    mixed = urlencode({"code": told(theirs)["code"], "state": told(own)["state"]})
    page = await another.get(f"{own.partition('?')[0]}?{mixed}")
    assert (page.status, page.title, session_in(another)) == (410, OVER, "")


AWAY_AT = {"the exchange of the code": "access_token", "the question who it is": "/user$"}


@pytest.mark.parametrize("pattern", AWAY_AT.values(), ids=AWAY_AT)
async def test_nothing_is_done_when_github_is_away_at(
    server: Server, github: GitHub, browser: Browser, pattern: str
) -> None:
    await linked(server, browser)
    await signed_out(server, browser)
    github.chaos.answer("error", pattern=pattern, status=503)
    page = await by_github(server, browser)
    assert (page.status, page.title, session_in(browser)) == (503, AWAY, "")
    assert github.keys.of_users == []
    github.chaos.calm()
    assert (await by_github(server, browser, "/dashboard/sign-in")).title == HOME


async def test_one_is_let_in_when_github_does_not_take_its_key_back_which_nobody_keeps(
    server: Server, github: GitHub, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    await linked(server, browser)
    await signed_out(server, browser)
    github.chaos.answer("error", pattern="/applications/", status=503)
    assert (await by_github(server, browser)).title == HOME
    (token,) = github.keys.of_users
    logged = capsys.readouterr().out
    assert ("sign-in token not given back" in logged, token in logged) == (True, False)
    with sqlite3.connect(server.db.url.removeprefix("sqlite:///")) as conn:
        everything = "\n".join(conn.iterdump())
    conn.close()
    assert not any(secret in everything for secret in (token, github.client_secret))
    github.keys.end_of_user(token)


async def test_an_app_that_is_another_than_ours_lets_nobody_in(
    server: Server, github: GitHub, browser: Browser
) -> None:
    github.client_secret = "another"
    page = await by_github(server, browser)
    assert (page.status, page.title) == (409, WRONG_APP)
    github.app.callback_urls = [f"{server.url}/elsewhere"]
    back = await on_its_way_back(server, browser)
    assert told(back)["error"] == "redirect_uri_mismatch"
    page = await browser.get(f"{server.url}{SIGN_IN_BACK}?{urlencode(told(back))}")
    assert (page.status, page.title) == (409, WRONG_APP)


async def test_what_is_linked_is_linked_in_the_session_that_asked_for_it(
    server: Server, github: GitHub, browser: Browser
) -> None:
    await sign_in(server, browser)
    page = await account(server, browser)
    action, sent = page.form("/account/github")
    async with browser.session.post(server.url + action, data=sent, allow_redirects=False) as answer:
        asked = answer.headers["Location"]
    async with browser.session.get(asked, allow_redirects=False) as answer:
        back = answer.headers["Location"]
    another = Browser()
    await sign_in(server, another, await somebody(server, "ada"))
    browser.session.cookie_jar.update_cookies({COOKIE: session_in(another)}, URL(server.url))
    page = await browser.get(back)
    assert (page.status, page.title) == (401, "You are not signed in here any more")
    assert "github account linked" not in [action for action, _ in await deeds(server)]
    await another.session.close()


async def test_no_page_of_others_keeps_anybody_from_coming_back(
    server: Server, github: GitHub, browser: Browser
) -> None:
    """It may lead a browser there as often as it likes, with what it has made up."""
    browser.session.headers["X-Forwarded-For"] = "198.51.100.8"
    await linked(server, browser)
    await signed_out(server, browser)
    back = await on_its_way_back(server, browser)
    for number in range(61):
        page = await browser.get(f"{server.url}{SIGN_IN_BACK}?code=x&state=guess{number}")
        assert (page.status, page.title) == (403, FOREIGN)
    assert (await browser.get(back)).title == HOME
    await signed_out(server, browser)
    assert (await by_github(server, browser)).title == HOME


async def test_whoever_goes_to_github_in_a_loop_has_to_wait(server: Server, github: GitHub, browser: Browser) -> None:
    for _ in range(60):
        await gone(server, browser, X_Forwarded_For="198.51.100.9")
    headers = {"X-Forwarded-For": "198.51.100.9"}
    async with browser.session.post(f"{server.url}/dashboard/github/sign-in", data={}, headers=headers) as answer:
        assert answer.status == 429
    await gone(server, browser)


async def test_the_page_may_send_its_form_to_github_and_to_nobody_else(
    server: Server, github: GitHub, browser: Browser
) -> None:
    page = await browser.get(f"{server.url}/dashboard")
    assert re.search(r"form-action ([^;]*);", page.headers["Content-Security-Policy"])[1] == f"'self' {github.url}"  # type: ignore[index]
