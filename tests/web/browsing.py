"""A browser as far as pages without scripts need one: it keeps cookies, follows redirects and presses buttons."""

import html
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import aiohttp
from yarl import URL


@dataclass(kw_only=True)
class Page:
    """A page as it was answered, at the address where redirects ended."""

    url: str
    status: int
    text: str
    headers: Any

    @property
    def title(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.text, re.DOTALL)
        return html.unescape(found[1]) if found else self.text[:200]

    def fields(self) -> list[tuple[str, str]]:
        """What a form sends that nobody has touched: hidden and text fields, and what is checked."""
        found = []
        for tag in re.findall(r"<input(.*?)>", self.text, re.DOTALL):
            part = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
            if part["type"] in {"hidden", "text"} or re.search(r"\schecked\b", tag):
                found.append((part["name"], part.get("value", "on")))
        return found


@dataclass(kw_only=True)
class Browser:
    """Keeps cookies, follows redirects, presses buttons; stops where the test wants to look."""

    session: aiohttp.ClientSession = field(
        default_factory=lambda: aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    )

    async def get(self, url: str, **options: Any) -> Page:
        async with self.session.get(URL(url, encoded=True), **options) as answer:
            return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)

    async def press(self, page: Page, *, number: int = 0, drop: tuple[str, ...] = (), **fields: str) -> Page:
        """Press the button of the page's form; `drop` empties fields, `fields` fill them in."""
        action = html.unescape(re.findall(r'<form method="post" action="([^"]*)"', page.text)[number])
        sent = [pair for pair in page.fields() if pair[0] not in {*fields, *drop}] + list(fields.items())
        async with self.session.post(URL(urljoin(page.url, action), encoded=True), data=sent) as answer:
            return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)
