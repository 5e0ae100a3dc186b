"""What has arrived, what was decided and what was done: the pages that only tell, and what they are made of."""

import asyncio
import csv
import html
import io
import json
import re
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from sqlalchemy import Connection

from service.domain.decisions import Subject, SubjectKind
from service.store import activity, deliveries
from service.store.subjects import ring
from tests.store.making import NOW
from tests.web.api.people import Rows, restore, saved
from tests.web.browsing import Browser, Page
from tests.web.pages.conftest import Begun
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import HEADS, SHOP, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUSHED, PULLED, BROKEN, WAITING = (f"{n}0000000-0000-4000-8000-000000000000" for n in range(1, 5))


def text(page: Page) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))


def listed(page: Page) -> list[str]:
    """The ids of the deliveries that a page lists, in its order."""
    return re.findall(r", delivery ([\w-]+)</span>", page.text)


async def arrived(server: Server, guid: str, event: str, *, minutes: int = 0, body: bytes = b"{}", **of: Any) -> None:
    await server.inbox.put(
        guid=guid, event=event, action=of.pop("action", ""), repository_id=SHOP.id, installation_id=None, body=body,
        received_at=NOW - timedelta(minutes=minutes),
    )  # fmt: skip
    if of:
        await server.db.write(lambda conn: deliveries.finish(conn, guid=guid, now=NOW, **of))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(begun: Begun) -> tuple[str, Rows]:
    """An app that a push has rung, among other deliveries, and all rows that there are then."""
    server = begun.server
    await server.db.write(lambda conn: restore(conn, begun.rows))
    await server.pipeline(staging="shop-staging")
    app_id = str((await server.get("/apps/shop-staging"))["id"])
    verdict = f"rang auto_deploy {app_id}"
    body = b'{"ref": "refs/heads/main", "zen": "<b>\\ud83d\\ude80</b>"}'
    await arrived(server, PUSHED, "push", minutes=3, body=body, state="processed", verdict=verdict)
    await arrived(server, PULLED, "pull_request", action="labeled", minutes=2, state="ignored", verdict="not ours")
    await arrived(server, BROKEN, "push", minutes=1, body=b"no JSON \xff", state="failed", verdict="KeyError: 'ref'")
    await arrived(server, WAITING, "check_run", action="created")
    return app_id, await server.db.read(saved)


@pytest_asyncio.fixture(loop_scope="module")
async def app(server: Server, made: tuple[str, Rows]) -> str:
    app_id, rows = made
    await server.db.write(lambda conn: restore(conn, rows))
    return app_id


async def test_deliveries_are_listed_newest_first_with_what_came_of_them(
    server: Server, browser: Browser, app: str
) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/deliveries")
    assert listed(page) == [WAITING, BROKEN, PULLED, PUSHED]
    for said in ("rang auto_deploy shop-staging", "pull_request.labeled", "acme/shop", "KeyError: 'ref'", "3 min ago"):
        assert said in text(page)
    assert "Replay all that failed" not in page.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?state=failed", [BROKEN]),
        ("?event=push", [BROKEN, PUSHED]),
        ("?event=push&state=processed", [PUSHED]),
        (f"?before={BROKEN}", [PULLED, PUSHED]),
        ("?event=nothing", []),
    ],
)
async def test_deliveries_are_filtered(
    server: Server, browser: Browser, app: str, query: str, expected: list[str]
) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/deliveries{query}")
    assert (page.status, listed(page)) == (200, expected)
    assert ("None that fits" in page.text) == (not expected)


async def test_a_filter_that_there_is_not_is_refused(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/deliveries?state=lost")
    assert (page.status, "received, processed, ignored, failed" in page.text) == (422, True)
    assert "Nothing has arrived yet" in (await browser.get(f"{server.url}/dashboard/deliveries")).text
    assert (await browser.get(f"{server.url}/dashboard/deliveries?before=x")).status == 404


async def test_many_deliveries_are_read_page_by_page(server: Server, browser: Browser) -> None:
    for number in range(60):  # ten at each moment
        await arrived(server, f"delivery-{number:03}", "push", minutes=number // 10)
    await sign_in(server, browser)
    first = await browser.get(f"{server.url}/dashboard/deliveries?event=push")
    (older,) = re.findall(r'<a href="([^"]+)">Older ones</a>', first.text)
    second = await browser.get(server.url + html.unescape(older))
    assert (len(listed(first)), len(listed(second))) == (50, 10)
    assert len({*listed(first), *listed(second)}) == 60
    assert "Older ones" not in second.text


async def test_one_delivery_shows_what_was_decided_and_its_payload(server: Server, browser: Browser, app: str) -> None:
    await server.db.write(lambda conn: ring(conn, [Subject(SubjectKind.AUTO_DEPLOY, app)], cause="push", now=NOW))
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/deliveries/{PUSHED}")
    for said in ("rang auto_deploy shop-staging", "auto deploy shop-staging", "not yet", '"zen": "<b>🚀</b>"'):
        assert said in text(page)
    assert "&lt;b&gt;🚀" in page.text
    assert (
        "no JSON \N{REPLACEMENT CHARACTER}" in (await browser.get(f"{server.url}/dashboard/deliveries/{BROKEN}")).text
    )
    assert "It rang nothing" in (await browser.get(f"{server.url}/dashboard/deliveries/{PULLED}")).text
    waiting = await browser.get(f"{server.url}/dashboard/deliveries/{WAITING}")
    assert ">Replay</button>" not in waiting.text
    assert (await browser.get(f"{server.url}/dashboard/deliveries/unknown")).title == "Not here"


async def test_a_delivery_is_replayed_by_a_click_and_so_are_all_that_failed(
    server: Server, browser: Browser, app: str
) -> None:
    await sign_in(server, browser)
    page = await browser.send(await browser.get(f"{server.url}/dashboard/deliveries/{PULLED}"), "/replay")
    assert "It is processed once more" in page.text
    assert "is processed again, as user:admin@localhost asked" in text(page)
    page = await browser.get(f"{server.url}/dashboard/deliveries?state=failed")
    page = await browser.send(page, "/delivery-replays")
    assert "1 delivery is processed once more." in page.text
    states = {each["id"]: each["state"] for each in await server.get("/deliveries")}
    assert states == {PUSHED: "processed", PULLED: "received", BROKEN: "received", WAITING: "received"}


async def test_only_administrators_have_a_way_to_deliveries(server: Server, browser: Browser) -> None:
    page = await sign_in(server, browser, await somebody(server, "ada"))
    assert 'href="/dashboard/deliveries"' not in page.text
    page = await browser.get(f"{server.url}/dashboard/deliveries")
    assert (page.status, page.title) == (403, "Not allowed")
    assert "It takes an administrator of this installation." in page.text


async def test_why_tells_the_trail_of_an_app_and_a_commit(server: Server, browser: Browser, app: str) -> None:
    await server.call("POST", "/apps/shop-staging/builds", {"source_blob": {"version": "main"}}, expect=201)
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/why")
    assert (page.status, "Commit, pull request or app" in page.text) == (200, True)
    for question, about in (("shop-staging", "App shop-staging"), (HEADS["main"][:9], "Commit aaaaaaa")):
        page = await browser.get(f"{server.url}/dashboard/why?q={question}")
        assert f"{about}, oldest first" in page.text
        assert "shop-staging queued deploy aaaaaaa" in text(page)
    page = await browser.get(f"{server.url}/dashboard/why?q=%23999")
    assert "Nothing on record" in page.text


async def test_a_question_that_cannot_be_answered_says_what_can_be_asked(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/why?q=%3Cb%3Enowhere")
    assert page.status == 422
    assert "Couldn't find an app <b>nowhere; ask for a commit" in text(page) or "&lt;b&gt;nowhere; ask" in page.text
    assert "<b>nowhere" not in page.text


async def test_the_log_tells_who_did_what_and_is_filtered(server: Server, browser: Browser, app: str) -> None:
    token = await somebody(server, "ada")
    await server.call("POST", "/apps", {"name": "adas"}, expect=201, Authorization=f"Bearer {token}")
    await server.call("PATCH", "/apps/shop-staging", {"maintenance": True}, expect=200)
    await sign_in(server, browser)

    async def log(query: str = "") -> Page:
        return await browser.get(f"{server.url}/dashboard/activity{query}")

    page = text(await log())
    assert "shop-staging maintenance switched (maintenance True) admin@localhost" in page
    assert "app created ada@example.com" not in page  # an administrator sees what is nobody's, not what is somebody's
    of_app = text(await log("?app=shop-staging"))
    assert "maintenance switched" in of_app
    assert "pipeline created" not in of_app
    assert "pipeline created" in text(await log("?pipeline=shop"))
    assert "None that fits" in (await log("?by=nobody")).text
    assert "maintenance switched" in text(await log("?by=ADMIN@"))
    refused = await log("?app=adas")
    assert (refused.status, "Couldn't find that app." in text(refused)) == (422, True)
    await sign_in(server, browser, token)
    own = text(await log())
    assert ("adas app created ada@example.com" in own, "shop-staging maintenance" in own) == (True, False)


async def test_a_long_log_is_read_page_by_page(server: Server, browser: Browser) -> None:
    def write(conn: Any) -> None:
        for number in range(120):
            activity.record(conn, now=NOW, actor="user:admin@localhost", action="noted", data={"number": number})

    await server.db.write(write)
    await sign_in(server, browser)
    page, found = await browser.get(f"{server.url}/dashboard/activity?by=admin"), list[str]()
    while True:
        found += re.findall(r"noted \(number (\d+)\)", page.text)
        older = re.findall(r'<a href="([^"]+)">Older ones</a>', page.text)
        if not older:
            break
        page = await browser.get(server.url + html.unescape(older[0]))
    assert found == [str(number) for number in reversed(range(120))]


async def test_the_log_is_taken_away_as_a_table_or_as_json(server: Server, browser: Browser, app: str) -> None:
    def write(conn: Any) -> None:
        for number in range(1200):
            data = {"number": number, "said": '=cmd|"x"'}
            activity.record(conn, now=NOW, actor="user:admin@localhost", action="noted", app_id=app, data=data)
        activity.record(conn, now=NOW, actor="github:eve", action="=1+1", app_id=app)

    await server.db.write(write)
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/activity?app=shop-staging&by=ADMIN")
    paths = [html.unescape(each) for each in re.findall(r'href="(/dashboard/activity\.[^"]+)"', page.text)]
    table, lines = [await browser.get(server.url + path) for path in paths]
    assert table.headers["Content-Disposition"] == "attachment; filename=activity.csv"
    head, *rows = csv.reader(io.StringIO(table.text, newline=""))
    assert head == ["id", "at", "actor", "action", "about", "commit", "ref", "text"]
    told = [each[-1] for each in rows if each[3] == "noted"]
    assert told == [f'noted (number {number}, said =cmd|"x")' for number in reversed(range(1200))]
    assert {each[4] for each in rows} == {"shop-staging"}
    assert {each[2] for each in rows} == {"user:admin@localhost"}  # what the filter shows, and no more
    found = [json.loads(each) for each in lines.text.splitlines()]
    assert [str(each["id"]) for each in found] == [each[0] for each in rows]
    assert (found[0]["data"]["number"], found[0]["app"]) == (1199, {"id": app})
    marked = await browser.get(f"{server.url}/dashboard/activity.csv?by=eve")
    assert [each[3] for each in csv.reader(io.StringIO(marked.text))][1:] == ["'=1+1"]  # a text, and no formula


async def test_of_the_log_one_takes_away_what_one_sees(server: Server, browser: Browser, app: str) -> None:
    token = await somebody(server, "ada")
    await server.call("POST", "/apps", {"name": "adas"}, expect=201, Authorization=f"Bearer {token}")
    await sign_in(server, browser, token)
    page = await browser.get(f"{server.url}/dashboard/activity.csv")
    assert ("adas" in page.text, "shop-staging" in page.text) == (True, False)
    for ending in ("csv", "jsonl"):
        refused = await browser.get(f"{server.url}/dashboard/activity.{ending}?app=shop-staging")
        assert (refused.status, refused.title) == (404, "Not here")


async def test_what_cannot_be_read_to_its_end_is_seen_not_to_be_whole(
    server: Server, browser: Browser, app: str
) -> None:
    def fill(conn: Connection) -> None:
        for _ in range(600):  # more than fits in between
            activity.record(conn, now=NOW, actor="system", action="noted", app_id=app, data={"said": "x" * 20_000})

    await server.db.write(fill)
    await sign_in(server, browser)
    url = f"{server.url}/dashboard/activity.jsonl?app=shop-staging"
    async with asyncio.timeout(60), browser.session.get(url) as answer:
        assert answer.status == 200
        await server.call("PATCH", "/apps/shop-staging", {"name": "renamed"}, expect=200)
        came = bytearray()

        async def read() -> None:
            while chunk := await answer.content.readany():
                came.extend(chunk)

        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
            await read()
    assert b"<html" not in came
    assert json.loads(came.partition(b"\n")[0])["action"]


async def test_it_says_what_it_is_made_of_and_whose_trademark_heroku_is(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/about")
    assert (page.status, page.title) == (200, "About Towpath")
    assert "Heroku is a trademark of Salesforce, Inc. Towpath is independent" in page.text
    rows = re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td><td>([^<]+)</td>', page.text)
    found = {name.lower(): said for name, _, said in rows}
    assert found["sqlalchemy"] == "MIT"
    assert {"aiohttp", "arq", "jinja2", "cffi"} <= set(found)
    assert "pytest" not in found
    assert "towpath" not in found
