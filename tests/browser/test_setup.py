"""Setting up GitHub by clicking, from the printed address to the review app of the first pull request."""

from functools import partial
from pathlib import Path

from playwright.async_api import Page, expect

from service.store.database import Database
from service.store.secrets import Vault
from tests.attacks.canaries import kept
from tests.browser.looking import look
from tests.github_contract.fixtures import GitHub
from tests.walk.samples import quick
from tests.walk.stage import Stage, staged
from tests.web.serving import serving

NO_APP = dict.fromkeys(("TOWPATH_GITHUB_APP_ID", "TOWPATH_GITHUB_PRIVATE_KEY_FILE", "TOWPATH_GITHUB_WEBHOOK_SECRET"), "")  # fmt: skip


async def test_by_clicking_from_the_link_to_the_review_app_of_a_pull_request(
    tab: Page, runtimes: Path, octokit: Path
) -> None:
    async with staged(runtimes, NO_APP) as stage, kept(stage, partial(secrets_of, stage)):
        github = stage.github
        for name in ("octocat/shop", "octocat/website"):
            await github.create_repo(name, kind="User", installed=False, files=quick("first"))
        await tab.goto((await stage.cli("github:setup")).strip())
        await expect(tab.get_by_role("heading", name="Connect GitHub")).to_be_visible()
        await look(tab, "1-start")
        await tab.get_by_role("button", name="Create the GitHub App").click()
        await tab.wait_for_url(f"{github.url}/settings/apps/new*")
        await tab.get_by_label("GitHub App name").fill("towpath-octocat")
        await tab.get_by_role("button", name="Create GitHub App for octocat").click()
        await expect(tab.get_by_role("heading", name="Install the App")).to_be_visible()
        await look(tab, "2-install")
        await tab.get_by_role("link", name="Choose repositories on GitHub").click()
        await tab.get_by_label("octocat/shop").check()
        await tab.get_by_label("octocat/website").check()
        await tab.get_by_role("button", name="Install").click()
        await expect(tab.get_by_role("heading", name="Connect a pipeline")).to_be_visible()
        await tab.get_by_label("octocat/shop").check()
        await tab.get_by_label("Its name").fill("shop")
        await look(tab, "3-connect")
        await tab.get_by_role("button", name="Connect", exact=True).click()
        await expect(tab.get_by_role("heading", name="Open a pull request now")).to_be_visible()
        await expect(tab.get_by_text("Listening.")).to_be_visible()

        await github.push("octocat/shop", "topic", quick("reviewed"))
        pull = await github.open_pull("octocat/shop", "topic", title="<b>Say hello</b>")
        review = tab.locator("#review-apps")
        await expect(review.get_by_text("live", exact=True)).to_be_visible(timeout=30_000)
        await expect(tab.locator("#deliveries")).to_contain_text("pull_request.opened")
        await look(tab, "4-watch")
        link = await review.get_by_role("link").get_attribute("href")
        assert link is not None
        assert f"pr-{pull.number}.localhost" in link
        runs = github.reported("octocat/shop")["check_runs"]
        assert [each["name"] for each in runs if each["head_sha"] == pull.head_sha] == ["towpath/shop"]
        await tab.goto(f"http://localhost:{stage.port}/github/setup/created")
        await expect(tab.get_by_role("heading", name="Connect a pipeline")).to_be_visible()
        assert "GitHub: not connected yet" in stage.output.read_text()
        await stage.stop()
        await stage.start()
        assert f"GitHub: App towpath-octocat ({github.app_id}), set up by" in stage.output.read_text()
        await github.push("octocat/shop", "topic", quick("again"))
        await stage.says(link.partition("//")[2].partition(".")[0], "again")


def secrets_of(stage: Stage) -> list[tuple[str, str]]:
    """Those of the App that was set up, and its tokens, each by a part in the middle: they may have been cut."""
    github, tokens = stage.github, list(stage.github.keys._issued)
    assert tokens
    return [
        *(("key of the App", line) for line in github.private_key_pem.splitlines()[1:-2]),
        ("webhook secret", github.webhook_secret),
        *(("GitHub token", token.split("_", 2)[2][10:60]) for token in tokens),
    ]


async def test_pages_in_between_fit_a_phone_too(
    tab: Page, github: GitHub, sqlite_database: Database, tmp_path: Path
) -> None:
    vault = Vault.open(tmp_path / "secret.keys", create=True)
    async with serving(sqlite_database, vault, tmp_path, github=github) as server:
        made, _ = await server.call("POST", "/github/setups", {"organization": "acme"}, expect=201)
        await in_between(tab, github, server.url, made["url"])


async def in_between(tab: Page, github: GitHub, base: str, link: str) -> None:
    await tab.goto(f"{link}x")
    await expect(tab.get_by_role("heading", name="This link is not one of ours")).to_be_visible()
    await look(tab, "unknown")
    await tab.goto(link)
    await look(tab, "start-org")
    await tab.get_by_role("button", name="Create the GitHub App").click()
    await tab.wait_for_url(f"{github.url}/organizations/acme/settings/apps/new*")
    await tab.goto(link)
    await expect(tab.get_by_text("no App has come of it")).to_be_visible()
    await look(tab, "start-again")
    await tab.goto(f"{base}/github/setup/created")
    await expect(tab.get_by_role("heading", name="Nothing was made")).to_be_visible()
    await look(tab, "cancelled")
    await tab.get_by_role("button", name="Go to GitHub once more").click()
    github.chaos.answer("error", pattern="conversions", status=503)
    await tab.get_by_role("button", name="Create GitHub App for acme").click()
    await expect(tab.get_by_role("heading", name="GitHub does not answer")).to_be_visible()
    await look(tab, "away")
    github.manifest_codes.clear()
    await tab.get_by_role("link", name="Try again").click()
    await expect(tab.get_by_role("heading", name="GitHub no longer gives out")).to_be_visible()
    await look(tab, "code-gone")
    await tab.get_by_role("button", name="Go to GitHub once more").click()
    await tab.get_by_label("GitHub App name").fill("towpath-acme-2")
    await tab.get_by_role("button", name="Create GitHub App for acme").click()
    github.join("acme", github.visitor)
    await tab.get_by_role("link", name="Choose repositories on GitHub").click()
    await tab.get_by_role("button", name="Request").click()
    await expect(tab.get_by_role("heading", name="An owner has to press the button")).to_be_visible()
    await look(tab, "request")
    github.approve_install("acme")
    await expect(tab.get_by_role("heading", name="Connect a pipeline")).to_be_visible()
