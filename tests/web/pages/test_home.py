"""The dashboard's first page."""

import re

import pytest

from tests.web.browsing import Browser
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def deployed(server: Server, app: str, branch: str = "main") -> None:
    await server.call("POST", f"/apps/{app}/builds", {"source_blob": {"version": branch}}, expect=201)
    await server.work()


async def test_whoever_sees_nothing_is_told_how_to_begin(server: Server, browser: Browser) -> None:
    page = await sign_in(server, browser)
    assert "Nothing here yet" in page.text
    assert "towpath pipelines:setup NAME ORG/REPO" in page.text


async def test_apps_of_a_pipeline_are_below_it_and_nowhere_else(server: Server, browser: Browser) -> None:
    pipeline = await server.pipeline(staging="shop-staging", production="shop")
    await server.app("alone")
    text = (await sign_in(server, browser)).text
    assert f'href="/dashboard/pipelines/{pipeline["id"]}">shop</a>' in text
    assert "acme/shop" in text
    of_pipeline, _, standing_alone = text.partition("Apps in no pipeline")
    names = [re.findall(r">([\w-]+)</a>", part) for part in (of_pipeline, standing_alone)]
    assert names[0].count("shop-staging") == 1
    assert names[1] == ["alone"]
    assert "Nothing here yet" not in text


async def test_it_says_how_apps_stand_and_when_production_runs_other_code(server: Server, browser: Browser) -> None:
    await server.pipeline(staging="shop-staging", production="shop")
    text = (await sign_in(server, browser)).text
    assert text.count("nothing deployed") == 2
    await deployed(server, "shop-staging")
    await deployed(server, "shop", "fix/cart")
    text = (await browser.get(f"{server.url}/dashboard")).text
    assert text.count('<span class="said good">live</span>') == 2
    assert "v1 <code>aaaaaaa</code>" in text
    assert "production runs other code than staging" in text
    await deployed(server, "shop")
    text = (await browser.get(f"{server.url}/dashboard")).text
    assert "production runs other code" not in text


async def test_of_a_pipeline_only_the_apps_are_listed_that_one_sees(server: Server, browser: Browser) -> None:
    await server.pipeline(staging="shop-staging", production="shop-live")
    token = await somebody(server, "ada")
    body = {"user": "ada@example.com", "permissions": ["view"]}
    await server.call("POST", "/apps/shop-staging/collaborators", body, expect=201)
    text = (await sign_in(server, browser, token)).text
    assert "shop-staging" in text
    assert "shop-live" not in text
