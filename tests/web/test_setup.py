"""Setting up our GitHub App by pages, as a browser sees them, against the simulated GitHub; and every page in between."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest

from service.github.manifest import EVENTS, PERMISSIONS
from service.store import github_app
from service.store.database import Database
from service.store.secrets import Vault
from tests.github_contract.fixtures import GitHub, github, octokit
from tests.store.fixtures import sqlite_database, sqlite_template
from tests.waiting import until
from tests.web.browsing import Browser, Page
from tests.web.serving import Server, serving

__all__ = ["github", "octokit", "sqlite_database", "sqlite_template"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    made = Browser()
    yield made
    await made.session.close()


@pytest.fixture
async def another() -> AsyncIterator[Browser]:
    made = Browser()
    yield made
    await made.session.close()


@pytest.fixture
async def server(github: GitHub, sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Server]:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, github=github) as running:
        yield running


async def link(server: Server, organization: str = "") -> str:
    """What `towpath github:setup` prints."""
    made, _ = await server.call("POST", "/github/setups", {"organization": organization}, expect=201)
    return made["url"]


async def to_github(server: Server, browser: Browser, organization: str = "") -> Page:
    """From the link to GitHub's own form."""
    going = await browser.press(await browser.get(await link(server, organization)), do="create")
    return await browser.press(going)


async def made(server: Server, browser: Browser, organization: str = "") -> Page:
    """From the link to the page that says that the App is there."""
    return await browser.press(await to_github(server, browser, organization))


async def code(form: Page, browser: Browser) -> str:
    """Press GitHub's button, and stop before following its answer, which is returned."""
    action = urljoin(form.url, "/_apps/create")
    async with browser.session.post(action, data=form.fields(), allow_redirects=False) as answer:
        return answer.headers["Location"]


async def installed(server: Server, browser: Browser, github: GitHub, *names: str) -> Page:
    """From the link to the page on which repository and pipeline are chosen."""
    for name in names:
        await github.create_repo(name, kind="User", installed=False, files={"index.html": "hello"})
    page = await made(server, browser)
    choose = await browser.get(f"{github.url}/apps/{github.app.slug}/installations/new")
    assert page.title == "Install the App"
    return await browser.press(choose, which="all")


async def test_from_the_link_to_a_connected_pipeline(server: Server, browser: Browser, github: GitHub) -> None:
    page = await installed(server, browser, github, "octocat/shop")
    assert (page.status, page.title) == (200, "Connect a pipeline")
    watching = await browser.press(page)
    assert watching.title == "Open a pull request now"
    assert f"{github.url}/octocat/shop/compare" in watching.text
    pipeline = await server.get("/pipelines/shop")
    assert (await server.get("/pipelines/shop/repository"))["full_name"] == "octocat/shop"
    config = await server.get("/pipelines/shop/review-app-config")
    assert (config["automatic_review_apps"], config["destroy_stale_apps"], config["wait_for_ci"]) == (
        True,
        False,
        False,
    )
    switches = await server.get("/apps/shop-staging/github")
    assert (switches["auto_deploy"], switches["wait_for_ci"], switches["branch"]) == (True, True, "master")
    couplings = await server.get(f"/pipelines/{pipeline['id']}/pipeline-couplings")
    assert sorted(each["stage"] for each in couplings) == ["production", "staging"]
    assert await on_record(server) == [
        *("github setup begun", "github setup pressed", "github app created", "pipeline created"),
        *("app created", "app added", "app created", "app added"),
        *("repository connected", "toggles changed", "auto-deploy switched"),
    ]


async def on_record(server: Server) -> list[str]:
    """What the activity log has, all of it by whoever asked for the link."""
    noted = await server.get("/activity")
    assert {each["actor"] for each in noted} == {"user:admin@localhost"}
    return [each["action"] for each in noted]


async def test_the_pages_say_what_is_asked_for_and_where_github_sends_to(server: Server, browser: Browser) -> None:
    page = await browser.get(await link(server, "acme"))
    text = html.unescape(page.text)
    assert f"{server.url}/github/webhooks" in text
    assert "Only an owner of acme can do this" in text
    assert "Deployments" in text
    for told in (*PERMISSIONS, *EVENTS):
        assert told.why in text
    assert all(event.name in text for event in EVENTS)


async def test_the_app_takes_effect_at_once_without_a_restart(server: Server, browser: Browser, github: GitHub) -> None:
    assert (server.identity.app_id, len(server.identity.webhook_secrets)) == (0, 1)
    await installed(server, browser, github, "octocat/shop")
    assert server.identity.app_id == github.app_id
    await github.settled()
    assert {(one.event, one.status_code) for one in github.deliveries if one.event == "installation"} == {
        ("installation", 202)
    }


async def test_the_secrets_are_kept_sealed_and_shown_nowhere(
    server: Server, browser: Browser, github: GitHub, tmp_path: Path
) -> None:
    seen = [await made(server, browser), await browser.get(f"{server.url}/github/setup/next")]
    stored = await server.db.read(lambda conn: github_app.get(conn, server.vault))
    assert stored is not None
    assert (stored.id, stored.private_key, stored.webhook_secret) == (
        *(github.app_id, github.private_key_pem, github.webhook_secret),
    )
    pem_line = github.private_key_pem.splitlines()[1]
    files = b"".join(path.read_bytes() for path in Path(urlsplit(server.db.url).path).parent.glob("*.db*"))
    for secret in (github.webhook_secret, pem_line, stored.client_secret):
        assert secret
        assert secret.encode() not in files
        assert not any(secret in page.text or secret in page.url for page in seen)
        assert secret not in repr(stored)


async def test_every_page_lets_a_browser_load_nothing_but_our_own_files(server: Server, browser: Browser) -> None:
    page = await browser.get(await link(server))
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert not re.search(
        r"<script(?! src=\"/static/)|<style|\sstyle=|\son\w+=|https?://(?!127\.0\.0\.1)\S+\.(js|css)", page.text
    )
    for name in ("setup.css", "setup.js"):
        assert (await browser.get(f"{server.url}/static/{name}")).status == 200
    assert (await browser.get(f"{server.url}/static/..%2Fbase.html")).status == 404


async def test_looking_at_a_link_uses_nothing_up(server: Server, browser: Browser, another: Browser) -> None:
    url = await link(server)
    for _ in range(2):
        assert (await another.get(url)).title == "Connect GitHub"
    assert (await browser.press(await browser.press(await browser.get(url), do="create"))).title == "Create GitHub App"


# Every page in between -----------------------------------------------------------------------------


async def test_a_link_that_was_never_given_out(server: Server, browser: Browser) -> None:
    page = await browser.get(f"{server.url}/github/setup/start/nonsense")
    assert (page.status, page.title) == (404, "This link is not one of ours")
    assert "towpath github:setup" in page.text


async def test_a_link_that_is_older_than_an_hour(server: Server, browser: Browser) -> None:
    url = await link(server)
    page = await browser.get(url)
    later = server.db.now() + timedelta(hours=1)
    server.db._clock = lambda: later
    assert (await browser.get(url)).title == "This link has expired"
    expired = await browser.press(page, do="create")
    assert (expired.status, expired.title) == (410, "This link has expired")


async def test_a_link_that_has_made_its_app_opens_only_in_that_browser(
    server: Server, browser: Browser, another: Browser
) -> None:
    url = await link(server)
    going = await browser.press(await browser.get(url), do="create")
    await browser.press(await browser.press(going))
    used = await another.get(url)
    assert (used.status, used.title) == (410, "This link has been used")
    assert (
        await another.press(Page(url=url, status=200, text=f'<form method="post" action="{url}">', headers={}))
    ).title == used.title
    assert (await browser.get(url)).title == "Install the App"


async def test_a_code_that_is_older_than_an_hour_leads_to_another_app(
    server: Server, browser: Browser, github: GitHub
) -> None:
    form = await to_github(server, browser)
    github.chaos.answer("error", pattern="conversions", status=503)
    waiting = await browser.press(form)
    assert (waiting.status, waiting.title) == (503, "GitHub does not answer")
    github.advance(3601)
    page = await browser.get(waiting.url)
    assert (page.status, page.title) == (410, "GitHub no longer gives out this App's keys")
    assert f'href="{github.url}/settings/apps"' in page.text
    github.advance(-3601)
    done = await browser.press(await browser.press(await browser.press(page)), name="towpath-2")
    assert done.title == "Install the App"
    assert server.identity.app_id == github.app_id
    pressed_twice = ["github setup begun", "github setup pressed", "github setup pressed", "github app created"]
    assert await on_record(server) == pressed_twice


async def test_a_github_that_does_not_answer_is_asked_again_with_the_same_code(
    server: Server, browser: Browser, github: GitHub
) -> None:
    form = await to_github(server, browser)
    github.chaos.answer("error", pattern="conversions", status=502)
    page = await browser.press(form)
    assert page.title == "GitHub does not answer"
    assert (
        await browser.get(urljoin(page.url, html.unescape(re.findall(r'class="button" href="(.*?)"', page.text)[0])))
    ).title == "Install the App"


async def test_a_github_that_does_not_answer_a_choice_is_asked_again_by_choosing_again(
    server: Server, browser: Browser, github: GitHub
) -> None:
    choose = await installed(server, browser, github, "octocat/shop")
    github.chaos.answer("error", pattern="GET .*/repos/octocat/shop", status=502)
    page = await browser.press(choose)
    assert (page.status, page.title) == (503, "GitHub does not answer")
    again = await browser.get(
        urljoin(page.url, html.unescape(re.findall(r'class="button" href="(.*?)"', page.text)[0]))
    )
    assert again.title == "Connect a pipeline"
    assert (await browser.press(again)).title == "Open a pull request now"


async def test_keys_that_were_lost_on_their_way_are_not_believed_to_be_there(
    server: Server, browser: Browser, github: GitHub
) -> None:
    form = await to_github(server, browser)
    github.chaos.answer("reset_after", pattern="conversions")
    page = await browser.press(form)
    assert page.title == "GitHub does not answer"
    assert (await browser.get(page.url)).title == "GitHub no longer gives out this App's keys"
    assert server.identity.app_id == 0


async def test_a_key_that_is_none_is_refused(server: Server, browser: Browser, github: GitHub) -> None:
    back = await code(await to_github(server, browser), browser)
    github.keys.private_key_pem = "no key"
    page = await browser.get(back)
    assert (page.status, page.title) == (422, "That did not work")
    assert "no RSA private key" in page.text
    assert await server.db.read(github_app.version) is None


async def test_coming_back_without_an_app(server: Server, browser: Browser) -> None:
    await to_github(server, browser)
    page = await browser.get(f"{server.url}/github/setup/created")
    assert (page.status, page.title) == (400, "Nothing was made")
    assert (await browser.press(await browser.press(page))).title == "Create GitHub App"


async def test_coming_back_to_the_link_says_that_nothing_was_made(server: Server, browser: Browser) -> None:
    url = await link(server, "acme")
    await browser.press(await browser.get(url), do="create")
    text = html.unescape((await browser.get(url)).text)
    assert "no App has come of it" in text
    assert "you are not an owner of acme" in text


async def test_another_browser_cannot_bring_the_code(
    server: Server, browser: Browser, another: Browser, github: GitHub
) -> None:
    back = await code(await to_github(server, browser), browser)
    page = await another.get(back)
    assert (page.status, page.title) == (403, "This browser has not begun a set-up")
    wrong = await browser.get(back.replace("state=", "state=x"))
    assert (wrong.status, wrong.title) == (403, "This browser has not begun a set-up")
    assert (await browser.get(back)).title == "Install the App"
    assert (await browser.get(back)).title == "Install the App"  # loaded once more


async def test_a_page_that_is_loaded_twice_at_once_makes_one_app_and_goes_on_in_both(
    server: Server, browser: Browser, github: GitHub
) -> None:
    back = await code(await to_github(server, browser), browser)
    github.chaos.answer("delay", pattern="conversions", seconds=0.3)
    pages = await asyncio.gather(browser.get(back), browser.get(back))
    assert [page.title for page in pages] == ["Install the App"] * 2
    assert server.identity.app_id == github.app_id


async def test_pressed_in_two_browsers_only_the_last_one_counts(
    server: Server, browser: Browser, another: Browser
) -> None:
    url = await link(server)
    first = await browser.press(await browser.press(await browser.get(url), do="create"))
    await another.press(await another.get(url), do="create")
    assert (await browser.press(first)).title == "This browser has not begun a set-up"


async def test_whoever_is_no_owner_reads_on_github_and_here_that_an_owner_must_press(
    server: Server, browser: Browser, github: GitHub
) -> None:
    github.join("acme", github.visitor)
    github.join("acme", "ann", "admin")
    going = await browser.press(await browser.get(await link(server, "acme")), do="create")
    assert "not an owner of acme" in going.text
    assert (await browser.press(going)).status == 404


async def test_an_installation_that_an_owner_has_to_approve_is_waited_for(
    server: Server, browser: Browser, github: GitHub
) -> None:
    await github.create_repo("acme/shop", installed=False)
    await made(server, browser, "acme")
    github.join("acme", github.visitor)
    choose = await browser.get(f"{github.url}/apps/{github.app.slug}/installations/new")
    page = await browser.press(choose, which="all")
    assert page.title == "An owner has to press the button"
    assert 'http-equiv="refresh"' in page.text
    github.approve_install("acme")
    assert (await browser.get(page.url)).title == "Connect a pipeline"


async def test_github_leading_a_stranger_here_after_an_installation(server: Server, another: Browser) -> None:
    page = await another.get(f"{server.url}/github/setup/installed?installation_id=1&setup_action=install")
    assert (page.status, page.title) == (200, "GitHub has told Towpath")


async def test_an_installation_that_the_address_only_claims_is_not_believed(server: Server, browser: Browser) -> None:
    await made(server, browser)
    page = await browser.get(f"{server.url}/github/setup/installed?installation_id=77&setup_action=install")
    assert page.title == "Install the App"


async def test_a_suspended_installation_is_named(server: Server, browser: Browser, github: GitHub) -> None:
    await made(server, browser)
    github.suspend(github.install("octocat").id)
    page = await browser.get(f"{server.url}/github/setup/next")
    assert "suspended there" in page.text


async def test_an_app_that_was_deleted_on_github_is_said_to_be_gone(
    server: Server, browser: Browser, github: GitHub
) -> None:
    await made(server, browser)
    github.keys.renew(99)
    page = await browser.get(f"{server.url}/github/setup/next")
    assert (page.status, page.title) == (410, "GitHub no longer knows the App")


async def test_an_app_that_is_not_on_github_is_not_linked_to(server: Server, browser: Browser, github: GitHub) -> None:
    await made(server, browser)
    stored = await server.db.read(lambda conn: github_app.get(conn, server.vault))
    assert stored is not None
    elsewhere = replace(stored, html_url="https://evil.example/apps/x")
    await server.db.write(lambda conn: github_app.save(conn, server.vault, elsewhere, server.db.now()))
    await server.identity.refresh()
    page = await browser.get(f"{server.url}/github/setup/next")
    assert page.status == 422
    assert 'href="https://evil.example' not in page.text


async def test_a_second_run_offers_to_go_on_with_the_app_that_there_is(
    server: Server, browser: Browser, another: Browser, github: GitHub
) -> None:
    await installed(server, browser, github, "octocat/shop")
    page = await another.get(await link(server))
    assert "There is a GitHub App already" in page.text
    former = github.app_id
    assert (await another.press(page, do="use")).title == "Connect a pipeline"
    assert github.app_id == former
    assert (await on_record(server))[-2:] == ["github setup begun", "github setup goes on with the app that there is"]
    again = await another.get(await link(server))
    done = await another.press(await another.press(await another.press(again, number=1, do="create")), name="another")
    assert done.title == "Install the App"
    assert server.identity.app_id == github.app_id != former


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"name": "X"}, "Pipeline name must be", id="a name that no pipeline can have"),
        pytest.param({"name": ""}, "Pipeline name must be", id="no name"),
        pytest.param({"name": "there"}, "an app there already", id="an app has the name"),
        pytest.param({"repository": ""}, "Choose a repository", id="no repository"),
        pytest.param({"repository": "evil/thing"}, "not installed on evil/thing", id="a repository of others"),
        pytest.param({"repository": "shop"}, "ORG/REPO", id="no repository's name"),
        pytest.param({"pipeline": "nonsense"}, "no longer there", id="a pipeline that is not there"),
        pytest.param({"repository": "9" * 30}, "is not known here", id="a number that no repository has"),
    ],
)
async def test_a_choice_that_cannot_be_is_shown_with_its_reason_and_kept(
    server: Server, browser: Browser, github: GitHub, fields: dict[str, str], error: str
) -> None:
    await server.app("there")
    await github.create_repo("evil/thing", installed=False)
    page = await installed(server, browser, github, "octocat/shop")
    refused = await browser.press(page, **fields)
    assert refused.status == 422
    assert error in html.unescape(refused.text)
    assert await server.get("/pipelines") == []


async def test_a_pipeline_of_another_repository_is_not_taken_away_from_it(
    server: Server, browser: Browser, github: GitHub
) -> None:
    page = await browser.press(await installed(server, browser, github, "octocat/shop"))
    pipeline = await server.get("/pipelines/shop")
    await github.create_repo("octocat/other", kind="User", files={"a": "1"})
    page = await browser.get(f"{server.url}/github/setup/next")
    refused = await browser.press(page, repository="octocat/other", pipeline=pipeline["id"])
    assert "is connected to octocat/shop" in refused.text
    fine = await browser.press(refused, repository="octocat/shop", pipeline=pipeline["id"])
    assert fine.title == "Open a pull request now"


async def somebody(server: Server, name: str) -> str:
    """Another user's token."""
    body = {"email": f"{name}@example.com", "name": name}
    return str((await server.call("POST", "/users", body, expect=201))[0]["access_token"]["token"])


async def test_pipelines_of_others_are_neither_offered_nor_connected(
    server: Server, browser: Browser, github: GitHub
) -> None:
    token = await somebody(server, "ada")
    theirs, _ = await server.call(
        "POST", "/pipelines", {"name": "adas-own"}, expect=201, Authorization=f"Bearer {token}"
    )
    page = await installed(server, browser, github, "octocat/shop")
    assert "adas-own" not in page.text
    refused = await browser.press(page, pipeline=theirs["id"])
    assert (refused.status, "no longer there" in refused.text) == (422, True)
    for path in ("watch", "events"):
        seen = await browser.get(f"{server.url}/github/setup/{path}?pipeline={theirs['id']}")
        assert "adas-own" not in seen.text


async def test_whoever_is_known_on_github_connects_only_where_they_may_write(
    server: Server, browser: Browser, github: GitHub
) -> None:
    page = await installed(server, browser, github, "octocat/shop")
    await server.call("PATCH", "/users/admin@localhost", {"github": "stranger"}, expect=200)
    refused = await browser.press(page)
    assert "stranger has the permission none in octocat/shop" in html.unescape(refused.text)
    assert await server.get("/pipelines") == []
    await server.call("PATCH", "/users/admin@localhost", {"github": "octocat"}, expect=200)
    assert (await browser.press(refused)).title == "Open a pull request now"


async def test_pages_of_a_set_up_open_in_no_other_browser(server: Server, browser: Browser, another: Browser) -> None:
    await made(server, browser)
    for path in ("next", "watch", "events"):
        assert (await another.get(f"{server.url}/github/setup/{path}")).status == 403
    for path in ("again", "connect"):
        async with another.session.post(f"{server.url}/github/setup/{path}", data={"name": "x"}) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        pytest.param({"Sec-Fetch-Site": "same-site"}, True, id="one of the same site is not"),
        pytest.param({"Origin": "https://app.example.com"}, True, id="one at another address is not"),
        pytest.param({"Origin": "null"}, True, id="one without an address is not"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, False, id="our own is"),
    ],
)
async def test_a_form_counts_only_when_it_was_sent_from_a_page_that_is_ours(
    server: Server, browser: Browser, headers: dict[str, str], refused: bool
) -> None:
    await made(server, browser)
    url, form = f"{server.url}/github/setup/connect", {"repository": "shop", "pipeline": "new", "name": "shop"}
    async with browser.session.post(url, data=form, headers=headers) as answer:
        text = await answer.text()
    assert ("This browser has not begun" in text) is refused


async def test_what_arrives_is_listed_as_it_does(server: Server, browser: Browser, github: GitHub) -> None:
    watching = await browser.press(await installed(server, browser, github, "octocat/shop"))
    await github.settled()
    pipeline = dict(parse_qsl(urlsplit(watching.url).query))["pipeline"]
    url = f"{server.url}/github/setup/events?pipeline={pipeline}"
    seen: list[dict[str, Any]] = []

    async def listen() -> None:
        async with browser.session.get(url) as stream:
            async for line in stream.content:
                seen.extend([json.loads(line[6:])] if line.startswith(b"data: ") else [])

    listening = asyncio.create_task(listen())
    await until(lambda: seen)
    await github.push("octocat/shop", "topic", {"index.html": "more"})
    await github.open_pull("octocat/shop", "topic", title="<script>alert(1)</script>")
    await until(lambda: any(it["event"] == "pull_request" for it in seen[-1]["deliveries"]), what="the pull request")
    listening.cancel()
    newest = {f"{it['event']}.{it['action']}": it["repository"] for it in seen[-1]["deliveries"]}
    assert newest["pull_request.opened"] == "octocat/shop"
    assert "<script>alert" not in (await browser.get(watching.url)).text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"github_url": "https://github.com"}, "this machine's own address", id="localhost"),
        pytest.param(
            {"github_url": "https://github.com", "public_url": "http://10.0.0.5"}, "private network", id="private"
        ),
    ],
)
async def test_an_address_that_github_cannot_reach_is_refused_before_anything_is_made(
    github: GitHub, sqlite_database: Database, tmp_path: Path, browser: Browser, changes: dict[str, str], said: str
) -> None:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, github_pull="off", **changes) as running:
        answer, _ = await running.call("POST", "/github/setups", {}, expect=201)
        assert said in answer["unreachable"]
        url = running.url + urlsplit(answer["url"]).path
        page = await browser.get(url)
        assert "GitHub cannot reach this Towpath" in page.text
        assert "TOWPATH_PUBLIC_URL" in page.text
        form = Page(url=url, status=200, text=f'<form method="post" action="{url}">', headers={})
        assert "GitHub cannot reach this Towpath" in (await browser.press(form, do="create")).text


async def test_where_github_cannot_reach_its_events_are_fetched_and_its_webhook_leads_nowhere(
    sqlite_database: Database, tmp_path: Path, browser: Browser
) -> None:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, public_url="http://localhost:5080") as running:
        answer, _ = await running.call("POST", "/github/setups", {}, expect=201)
        assert answer["unreachable"] is None
        page = await browser.get(running.url + urlsplit(answer["url"]).path)
        assert "Towpath fetches the events from GitHub every" in html.unescape(page.text)
        going = await browser.press(page, do="create")
        sent = json.loads(dict(going.fields())["manifest"])
        assert sent["hook_attributes"] == {"url": "https://towpath.invalid/github/webhooks", "active": True}
        assert sent["redirect_url"] == "http://localhost:5080/github/setup/created"


async def test_an_app_of_the_environment_goes_before_one_that_is_set_up(
    github: GitHub, sqlite_database: Database, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_text(github.private_key_pem)
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    stored = github_app.GitHubApp(
        id=99, slug="x", name="x", html_url="x", private_key=github.private_key_pem, webhook_secret="stored"
    )
    await sqlite_database.write(lambda conn: github_app.save(conn, vault, stored, sqlite_database.now()))
    given = {"github_app_id": str(github.app_id), "github_private_key_file": key}
    async with serving(sqlite_database, vault, tmp_path, github=github, **given) as running:
        assert running.identity.app_id == github.app_id
        assert running.identity.webhook_secrets == ("secret",)
        refused, _ = await running.call("POST", "/github/setups", {}, expect=422)
        assert "TOWPATH_GITHUB_APP_ID" in refused["message"]
    async with serving(sqlite_database, vault, tmp_path, github=github) as running:
        assert running.identity.app_id == 99
        assert running.identity.webhook_secrets == ("secret", "stored")


async def test_another_process_takes_up_the_app_by_itself(
    server: Server, browser: Browser, github: GitHub, tmp_path: Path
) -> None:
    async with serving(server.db, server.vault, tmp_path, github=github) as other:
        following = asyncio.create_task(other.identity.follow())
        await made(server, browser)
        await until(lambda: other.identity.app_id == github.app_id, what="the App in another process")
        assert github.webhook_secret in other.identity.webhook_secrets
        following.cancel()


async def test_a_link_for_what_is_no_organization_is_refused(server: Server) -> None:
    for name in ("a/b", "-x", "x" * 40, "ac me"):
        refused, _ = await server.call("POST", "/github/setups", {"organization": name}, expect=422)
        assert "not the name of an organization" in refused["message"]
