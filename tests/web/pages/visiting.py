"""What people do on the dashboard before anything else."""

from typing import Any

from service.demo.github_sim import GitHubSim
from service.store.github_app import GitHubApp
from tests.web.browsing import Browser, Page
from tests.web.serving import Server


async def link(server: Server, token: str = "") -> str:
    """What `towpath dashboard` prints to whoever has the token, the administrator's without."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    made, _ = await server.call("POST", "/account/sign-in-links", expect=201, **headers)
    return str(made["url"])


async def sign_in(server: Server, browser: Browser, token: str = "") -> Page:
    """From the link to the first page."""
    return await browser.press(await browser.get(await link(server, token)))


async def somebody(server: Server, name: str, **body: Any) -> str:
    """Another user's token."""
    made, _ = await server.call("POST", "/users", {"email": f"{name}@example.com", **body}, expect=201)
    return str(made["access_token"]["token"])


def app_of(github: GitHubSim) -> GitHubApp:
    """The App of a simulated GitHub, as the set-up's pages keep it."""
    return GitHubApp(
        id=github.app.id, slug=github.app.slug, name=github.app.name, html_url=f"{github.url}/apps/{github.app.slug}",
        private_key=github.private_key_pem, webhook_secret=github.webhook_secret,
        client_id=f"Iv23li{github.app.id}", client_secret=github.client_secret,
    )  # fmt: skip
