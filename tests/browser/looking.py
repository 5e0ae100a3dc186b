"""What is looked at on every page: that it fits, and that everybody can read it; and pictures of it if they are wanted."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Page

SHOTS = os.environ.get("TOWPATH_TEST_SHOTS", "")
"""A directory for pictures of every page, wide and narrow, light and dark (`make screenshots`); none are taken without."""


async def look(tab: Page, name: str) -> None:
    """Check that the page fits a phone, and take its pictures if they are wanted."""
    for width in (390, 1280):
        await tab.set_viewport_size({"width": width, "height": 900})
        wider = await tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{name} is {wider} pixels wider than a window of {width}"
        for scheme in ("light", "dark") if SHOTS else ():
            await tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await tab.screenshot(path=Path(SHOTS) / f"{name}-{width}-{scheme}.png", full_page=True)


AXE = Path(__file__).parents[2] / "build/npm/node_modules/axe-core/axe.min.js"
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_OF_COLORS = ("color-contrast", "link-in-text-block")
"""What the scheme of colors changes; all else is the same in either, and takes most of the time."""


def axe() -> str:
    """What looks whether a page is for everybody; skips, or fails in CI, where there is none."""
    if AXE.exists():
        return AXE.read_text()
    text = "axe-core is not in build/npm (needs Node; `make test` installs it)"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


async def for_everybody(tab: Page, source: str, name: str) -> None:
    """Check a page by the rules of WCAG AA, light and dark."""
    await tab.evaluate(source)
    for scheme, rules, least in (("light", _RULES, 5), ("dark", _OF_COLORS, 0)):
        await tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = await tab.evaluate("rules => axe.run(document, {runOnly: rules})", list(rules))
        wrong = [
            f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']]}"
            for each in found["violations"]
        ]
        assert wrong == [], f"{name}, {scheme}"
        assert len(found["passes"]) > least
