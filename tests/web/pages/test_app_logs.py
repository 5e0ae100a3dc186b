"""What builds, release phases and apps say, on the dashboard."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from service.domain.model import BuildState, RequestState
from service.store import builds, logs, requests
from service.store.tables import log_chunks, log_streams
from tests.store.making import NOW
from tests.waiting import until
from tests.web.api.people import Rows, restore, saved
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Begun
from tests.web.pages.visiting import sign_in
from tests.web.serving import FOLLOWED, HEADS, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

NASTY = "\x1b[31m<script>alert(1)</script>\x1b[0m \u202eflow\n10%\r100%\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(begun: Begun) -> Rows:
    """All rows that there are with an app in a pipeline."""
    await begun.server.db.write(lambda conn: restore(conn, begun.rows))
    await begun.server.pipeline("shop", staging="shop-staging")
    return await begun.server.db.read(saved)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(server: Server, made: Rows, browser: Browser) -> Server:
    await server.db.write(lambda conn: restore(conn, made))
    await sign_in(server, browser)
    return server


APP = "/dashboard/apps/shop-staging"


async def ordered(server: Server, branch: str = "main") -> str:
    """A build that waits; returns its id."""
    body = {"source_blob": {"version": branch}}
    return str((await server.call("POST", "/apps/shop-staging/builds", body, expect=201))[0]["id"])


class Worker:
    """Builds as slowly as the test wants."""

    def __init__(self, server: Server, build: str) -> None:
        self.server, self.build, self.log, self.said = server, build, "", 0

    async def begin(self) -> None:
        def write(conn: Any) -> None:
            self.log = logs.open_log(conn, NOW)
            request = requests.get(conn, self.build)
            assert request is not None
            made = builds.create(
                conn, app_id=request.app_id, request_id=self.build, repository_id=42, sha=HEADS["main"], log_id=self.log, now=NOW
            )  # fmt: skip
            self.made = made.id

        await self.server.db.write(write)

    async def say(self, text: str) -> None:
        self.said += 1
        row = {"log_id": self.log, "seq": self.said, "at": NOW, "text": text}
        await self.server.db.write(lambda conn: conn.execute(log_chunks.insert().values(row)))

    async def fail(self) -> None:
        def write(conn: Any) -> None:
            conn.execute(log_streams.update().where(log_streams.c.log_id == self.log).values(closed=True))
            builds.finish(
                conn, build_id=self.made, state=BuildState.FAILED, slug_id=None, error="no Procfile", reused=False, build_key="", now=NOW
            )  # fmt: skip
            requests.finish(conn, self.build, state=RequestState.FAILED, outcome="no Procfile", now=NOW)

        await self.server.db.write(write)


async def get(server: Server, browser: Browser, path: str) -> Page:
    return await browser.get(server.url + path)


def shown(page: Page) -> str:
    """What the log on the page says; the parser of a browser leaves out the first line end."""
    found = re.search(r'<pre class="log"[^>]*>\n?(.*?)</pre>', page.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


@asynccontextmanager
async def heard(server: Server, browser: Browser, path: str, **headers: str) -> AsyncIterator[list[str]]:
    """The lines of a stream as they come, `(over)` at its end."""
    lines: list[str] = []

    async def listen() -> None:
        async with browser.session.get(server.url + path, headers=headers) as stream:
            lines.append(f"{stream.status} {stream.content_type}")
            async for line in stream.content:
                lines.extend([line.decode().rstrip("\n")])
        lines.append("(over)")

    listening = asyncio.create_task(listen())
    await until(lambda: lines)
    yield lines
    listening.cancel()


async def test_a_build_that_is_over_shows_what_it_said_as_text(shop: Server, browser: Browser) -> None:
    build = await ordered(shop)
    await shop.work(output=NASTY)
    page = await get(shop, browser, f"{APP}/builds/{build}")
    assert shown(page) == "<script>alert(1)</script> flow\n100%\n"
    assert "<script>alert" not in page.text
    assert "data-events" not in page.text
    assert '<span class="said good">done</span>' in page.text
    whole = html.unescape(re.findall(r'href="([^"]+)">As text', page.text)[0])
    as_text = await get(shop, browser, whole)
    assert as_text.text == NASTY
    assert as_text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert as_text.headers["X-Content-Type-Options"] == "nosniff"


async def test_of_a_long_log_the_end_is_shown_and_the_way_to_all_of_it(shop: Server, browser: Browser) -> None:
    build = await ordered(shop)
    worker = Worker(shop, build)
    await worker.begin()
    for number in range(5):
        await worker.say(f"part {number}\n" + "x" * 999 + "\n" + ("y" * 999 + "\n") * 90)
    await worker.fail()
    page = await get(shop, browser, f"{APP}/builds/{build}")
    assert re.findall(r"part \d", shown(page)) == ["part 2", "part 3", "part 4"]
    assert "Only the end is shown" in page.text
    assert len(page.text) < 400_000


async def test_a_build_is_followed_from_where_the_page_ends_until_it_is_over(shop: Server, browser: Browser) -> None:
    build = await ordered(shop)
    page = await get(shop, browser, f"{APP}/builds/{build}")
    assert (shown(page), "It has said nothing yet." in page.text) == ("", True)
    worker = Worker(shop, build)
    await worker.begin()
    await worker.say("one\n")
    page = await get(shop, browser, f"{APP}/builds/{build}")
    assert shown(page) == "one\n"
    events = html.unescape(re.findall(r'data-events="([^"]+)"', page.text)[0])
    async with heard(shop, browser, events) as lines:
        await worker.say("\x1b[1mtwo\x1b[0m\nthree\n")
        await until(lambda: "data: three" in lines, what="what the build has said")
        assert "data: one" not in lines
        assert lines[lines.index("id: 2") : lines.index("id: 2") + 5] == [
            "id: 2",
            "data: two",
            "data: three",
            "data: ",
            "",
        ]
        await worker.fail()
        await until(lambda: lines[-1] == "(over)", what="the end")
        assert lines[-4:] == ["event: end", "data:", "", "(over)"]
    ended = await get(shop, browser, f"{APP}/builds/{build}")
    assert shown(ended) == "one\ntwo\nthree\n"
    assert '<p class="line bad" dir="auto">no Procfile</p>' in ended.text
    assert "data-events" not in ended.text


async def test_whoever_comes_back_is_told_what_they_have_missed_and_nothing_twice(
    shop: Server, browser: Browser
) -> None:
    build = await ordered(shop)
    worker = Worker(shop, build)
    await worker.begin()
    for text in ("one\n", "two\n", "three\n"):
        await worker.say(text)
    await worker.fail()
    headers = {"Last-Event-ID": "2"}
    async with heard(shop, browser, f"{APP}/builds/{build}/log?after=0", **headers) as lines:
        await until(lambda: lines[-1] == "(over)", what="the end")
        assert [line for line in lines if line.startswith(("id", "data: t", "data: o"))] == ["id: 3", "data: three"]
    async with heard(shop, browser, f"{APP}/builds/{build}/log?after=nonsense") as lines:
        await until(lambda: lines[-1] == "(over)", what="the end")
        assert lines.count("data: one") == 1


async def test_a_deploy_that_never_was_built_says_why(shop: Server, browser: Browser) -> None:
    build = await ordered(shop)
    await shop.call("DELETE", f"/apps/shop-staging/builds/{build}", expect=200)
    page = await get(shop, browser, f"{APP}/builds/{build}")
    assert page.status == 200
    assert '<span class="said quiet">cancelled</span>' in page.text
    assert "As text" not in page.text


async def test_a_release_phase_has_a_page_and_an_app_without_one_no_link_to_it(shop: Server, browser: Browser) -> None:
    await ordered(shop)
    await shop.work()
    assert "Release log" not in (await get(shop, browser, APP)).text
    await ordered(shop, "fix/cart")
    await shop.work(release_phase=True, fail="release")
    activity = await get(shop, browser, APP)
    path = re.findall(r'href="([^"]+)">Release log', activity.text)[0]
    page = await get(shop, browser, path)
    assert "Log of the release phase of v2" in page.text
    assert shown(page) == "migrating\n"
    assert "release command exited with 1" in page.text
    assert "data-events" not in page.text


@pytest.mark.parametrize("part", ["builds/nonsense", "builds/nonsense/log", "releases/v99", "releases/v99/log"])
async def test_what_is_not_there_is_not_found(shop: Server, browser: Browser, part: str) -> None:
    page = await get(shop, browser, f"{APP}/{part}")
    assert (page.status, page.title) == (404, "Not here")


async def test_what_an_app_says_is_shown_live_of_all_or_of_one_process(shop: Server, browser: Browser) -> None:
    await ordered(shop)
    await shop.work()
    page = await get(shop, browser, f"{APP}/logs")
    assert re.findall(r"\?process=(\w+)\"", page.text) == ["web", "worker"]
    events = re.findall(r'data-events="([^"]+)"', page.text)[0]
    async with heard(shop, browser, events) as lines:
        await until(lambda: lines[-1] == "(over)", what="the end")
        assert lines[0] == "200 text/event-stream"
        assert lines[1:4] == ["event: begin", "data:", ""]
        assert next(line for line in lines if "line" in line).endswith("app[web.1]: line 0 of [web.2]")
        assert sum("line" in line for line in lines) == 4
    one = await get(shop, browser, f"{APP}/logs?process=webhook")
    assert 'href="/dashboard/apps/shop-staging/logs?process=web"' in one.text
    events = re.findall(r'data-events="([^"]+)"', one.text)[0]
    async with heard(shop, browser, events) as lines:
        await until(lambda: lines[-1] == "(over)", what="the end")
        assert [line.partition("app")[2][:11] for line in lines if "line" in line] == ["[webhook.1]"]


async def test_a_page_that_nobody_looks_at_any_more_holds_no_log(shop: Server, browser: Browser) -> None:
    async with heard(shop, browser, f"{APP}/logs/lines?process=silent"):
        await until(lambda: FOLLOWED, what="somebody follows")
    await until(lambda: not FOLLOWED, what="nobody does any more")
