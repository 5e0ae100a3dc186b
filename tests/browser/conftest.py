"""A real browser: Debian's Chromium, driven by Playwright. Without one the tests are skipped by name, but not in CI."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.github_contract.fixtures import github, octokit
from tests.store.fixtures import sqlite_database, sqlite_template
from tests.walk.conftest import runtimes

__all__ = ["github", "octokit", "runtimes", "sqlite_database", "sqlite_template"]

WAIT = 20_000
"""Milliseconds, for a machine that is busy; nothing waits longer than it has to."""


def chromium() -> str:
    """Where it is; skips, or fails in CI, when there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return found
    text = "Chromium is not installed: the pages are not tried in a browser (apt-get install chromium)"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    """One browser per test; each `new_page` is somebody else's."""
    program = chromium()
    async with async_playwright() as playwright:
        # As root it has no sandbox of its own; it opens nothing but our own pages here.
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        await browser.close()


@pytest.fixture
async def tab(chrome: Browser) -> AsyncIterator[Page]:
    """An empty tab, in which nothing may go wrong: no script error, and nothing that the policy had to block."""
    page = await chrome.new_page()
    page.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None
    )
    yield page
    assert wrong == []
