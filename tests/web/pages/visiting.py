"""What people do on the dashboard before anything else."""

from typing import Any

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
