"""Making and installing a GitHub App on the simulated GitHub, by the pages a person sees."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from service.github.manifest import manifest
from tests.github_contract.fixtures import GitHub

OURS = "http://127.0.0.1:9"


class Browser:
    """Posts the forms it is shown; follows nothing."""

    def __init__(self, github: GitHub) -> None:
        self.github = github

    async def post(self, path: str, *fields: tuple[str, str]) -> tuple[int, str]:
        """Post a form; returns (status, where it leads or what it says)."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.github.url + path, data=list(fields), allow_redirects=False) as answer,
        ):
            return answer.status, answer.headers.get("Location") or await answer.text()

    async def create(self, *, owner: str = "", name: str = "", **changes: Any) -> tuple[int, str]:
        """Make an App from a manifest: the page first, then its button."""
        text = json.dumps(manifest(url=OURS, name="towpath-test", hook_url=f"{OURS}/github/webhooks") | changes)
        where = f"/organizations/{owner}/settings/apps/new" if owner else "/settings/apps/new"
        status, page = await self.post(f"{where}?state=s1", ("manifest", text))
        if status != 200:
            return status, page
        hidden = {
            "manifest": text,
            "state": "s1",
            "owner": owner or self.github.visitor,
            "name": name or "towpath-test",
        }
        return await self.post("/_apps/create", *hidden.items())


@pytest.fixture
def browser(github: GitHub) -> Browser:
    return Browser(github)


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_an_app_made_from_a_manifest_gives_its_secrets_for_the_code_once(
    github: GitHub, browser: Browser
) -> None:
    status, back = await browser.create()
    assert status == 302
    assert back.startswith(f"{OURS}/github/setup/created?")
    assert query(back)["state"] == "s1"
    path = f"/app-manifests/{query(back)['code']}/conversions"
    reply = await github.ask("POST", path)
    assert (reply.status, reply.body["slug"], reply.body["pem"]) == (201, "towpath-test", github.private_key_pem)
    assert reply.body["webhook_secret"] == github.webhook_secret
    assert github.webhook_url == f"{OURS}/github/webhooks"
    assert (await github.ask("POST", path)).status == 404
    assert (await github.ask("GET", "/app", token=github.app_jwt())).body["id"] == reply.body["id"]


async def test_the_code_dies_after_an_hour(github: GitHub, browser: Browser) -> None:
    code = query((await browser.create())[1])["code"]
    github.advance(3601)
    assert (await github.ask("POST", f"/app-manifests/{code}/conversions")).status == 404


async def test_whoever_does_not_own_the_organization_sees_no_form(github: GitHub, browser: Browser) -> None:
    github.join("acme", "ann", "admin")
    github.join("acme", github.visitor)
    assert (await browser.create(owner="acme"))[0] == 404
    github.set_visitor("ann")
    assert (await browser.create(owner="acme"))[0] == 302


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"hook_attributes": {"active": False}}, "&quot;url&quot; wasn", id="a hook without an address"),
        pytest.param({"default_events": ["installation"]}, "events unsupported: installation", id="what all are sent"),
        pytest.param(
            {"default_permissions": {"pull_requests": "write"}, "default_events": ["issue_comment"]},
            "not supported by permissions: issue_comment", id="comments without the permission for issues",
        ),
        pytest.param({"default_permissions": {"shoes": "read"}}, "not included in the list", id="no such permission"),
        pytest.param({"redirect_url": "towpath"}, "redirect_url must be a valid URL", id="no address"),
    ],
)  # fmt: skip
async def test_a_manifest_that_github_would_refuse_is_refused(browser: Browser, changes: Any, error: str) -> None:
    status, page = await browser.create(**changes)
    assert status == 422
    assert error in page


async def test_a_name_that_is_taken_or_too_long_is_refused(github: GitHub, browser: Browser) -> None:
    github.taken_names.add("towpath-test")
    assert "already in use" in (await browser.create())[1]
    assert "too long" in (await browser.create(name="x" * 35))[1]


async def test_installing_tells_the_app_and_leads_to_its_setup_page(github: GitHub, browser: Browser) -> None:
    await github.create_repo("octocat/shop", kind="User", installed=False, files={"a": "1"})
    other = await github.create_repo("octocat/other", kind="User", installed=False, files={"a": "1"})
    await browser.create()
    async with aiohttp.ClientSession() as session:
        page = await (await session.get(f"{github.url}/apps/towpath-test/installations/new")).text()
    (shop,) = re.findall(r'value="(\d+)"> octocat/shop', page)
    _, back = await browser.post("/_apps/install", ("which", "selected"), ("repository", shop), ("state", "s2"))
    (installed,) = github.installations.values()
    wanted = {"installation_id": str(installed.id), "setup_action": "install", "state": "s2"}
    assert query(back) == wanted
    assert installed.repository_ids == {int(shop)}
    _, back = await browser.post("/_apps/install", ("which", "selected"), ("repository", str(other.id)))
    assert query(back)["setup_action"] == "update"
    await github.settled()
    assert [f"{one.event}.{one.action}" for one in github.deliveries if one.event.startswith("installation")] == [
        "installation.created",
        "installation_repositories.added",
        "installation_repositories.removed",
    ]


async def test_a_member_can_only_ask_an_owner_to_install(github: GitHub, browser: Browser) -> None:
    repo = await github.create_repo("acme/shop", installed=False)
    await browser.create(owner="acme")
    github.join("acme", github.visitor)
    _, back = await browser.post("/_apps/install", ("which", "selected"), ("repository", str(repo.id)))
    assert query(back) == {"setup_action": "request"}
    assert github.installation_of(repo) is None
    assert github.approve_install("acme").covers(repo)


async def test_a_repository_s_own_hook_is_pinged_and_says_what_became_of_it(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", installed=False)
    token = github.personal_token("acme")
    config = {"url": f"{OURS}/github/webhooks", "content_type": "json", "secret": "s"}
    made = await github.ask("POST", "/repos/acme/shop/hooks", token=token, json={"config": config, "events": ["push"]})
    assert (made.status, made.body["last_response"]["status"]) == (201, "unused")
    await github.settled()
    assert (await github.ask("POST", f"/repos/acme/shop/hooks/{made.body['id']}/pings", token=token)).status == 204
    await github.settled()
    (listed,) = (await github.ask("GET", "/repos/acme/shop/hooks", token=token)).body
    assert listed["last_response"]["message"] == "failed to connect to host"
    assert listed["config"]["secret"] == "********"
    await github.push(repo, "master", {"a": "1"})
    await github.settled()
    assert [one.event for one in github.deliveries] == ["ping", "ping", "push"]
