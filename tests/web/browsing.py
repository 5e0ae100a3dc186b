"""A browser as far as pages without scripts need one: it keeps cookies, follows redirects and presses buttons."""

import html
import re
from collections.abc import Iterator
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

    def form(self, action: str) -> tuple[str, list[tuple[str, str]]]:
        """Where the form whose address ends so is sent, and what it sends when nobody has touched it."""
        for tag, inside in re.findall(r"<form\s([^>]*)>(.*?)</form>", self.text, re.DOTALL):
            of_form = _attributes(tag)
            if of_form["action"].partition("#")[0].endswith(action):
                beside = re.findall(rf'<input [^>]*form="{of_form.get("id", "-")}"[^>]*>', self.text)
                return of_form["action"], list(_sent("".join([inside, *beside])))
        raise AssertionError(f"no form is sent to {action}: {self.title}")


def _attributes(tag: str) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}


def _sent(inside: str) -> Iterator[tuple[str, str]]:
    for tag in re.findall(r"<input(.*?)>", inside, re.DOTALL):
        part = _attributes(tag)
        if part["type"] not in {"checkbox", "radio"} or re.search(r"\schecked\b", tag):
            yield part["name"], part.get("value", "on")
    for tag, text in re.findall(r"<textarea(.*?)>\n?(.*?)</textarea>", inside, re.DOTALL):
        yield _attributes(tag)["name"], html.unescape(text)
    for tag, options in re.findall(r"<select(.*?)>(.*?)</select>", inside, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
        assert chosen is not None
        yield _attributes(tag)["name"], html.unescape(chosen[1])


@dataclass(kw_only=True)
class Browser:
    """Keeps cookies, follows redirects, presses buttons; stops where the test wants to look."""

    session: aiohttp.ClientSession = field(
        default_factory=lambda: aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    )

    async def get(self, url: str, **options: Any) -> Page:
        async with self.session.get(URL(url, encoded=True), **options) as answer:
            return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)

    async def send(self, page: Page, where: str, /, *, drop: tuple[str, ...] = (), **fields: str) -> Page:
        """Send the page's form whose address ends so; `drop` unchecks boxes, `fields` fill fields in."""
        action, untouched = page.form(where)
        sent = [pair for pair in untouched if pair[0] not in {*fields, *drop}] + list(fields.items())
        async with self.session.post(URL(urljoin(page.url, action), encoded=True), data=sent) as answer:
            return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)

    async def press(self, page: Page, *, number: int = 0, drop: tuple[str, ...] = (), **fields: str) -> Page:
        """Press the button of the page's form; `drop` empties fields, `fields` fill them in."""
        action = html.unescape(re.findall(r'<form method="post" action="([^"]*)"', page.text)[number])
        sent = [pair for pair in page.fields() if pair[0] not in {*fields, *drop}] + list(fields.items())
        async with self.session.post(URL(urljoin(page.url, action), encoded=True), data=sent) as answer:
            return Page(url=str(answer.url), status=answer.status, text=await answer.text(), headers=answer.headers)
