"""Host names: which app they mean, and how the table follows the database."""

import asyncio

import pytest

from service.domain.errors import Transient
from service.router.table import Hosts, LiveTable, Place, Route, RouteTable
from tests.waiting import until

SHOP = Route(app_id="1", app_name="shop", state="live")
REVIEW = Route(app_id="2", app_name="shop-pr-7", state="live", review=True)
TABLE = RouteTable(version=1, routes={"shop": SHOP, "shop-pr-7": REVIEW})
APART = Hosts.of(apps_domain="apps.example", review_domain="review.test:5080", url="https://towpath.apps.example")
LOCAL = Hosts.of(apps_domain="localhost", review_domain="localhost", url="http://localhost:5080")


@pytest.mark.parametrize(
    ("hosts", "host", "meant"),
    [
        (APART, "shop.apps.example", SHOP),
        (APART, "SHOP.Apps.Example.:443", SHOP),
        (APART, "shop-pr-7.review.test:5080", REVIEW),
        (APART, "shop-pr-7.apps.example", Place.NOWHERE),
        (APART, "shop.review.test", Place.NOWHERE),
        (APART, "a.shop.apps.example", Place.NOWHERE),
        (APART, "apps.example", Place.NOWHERE),
        (APART, "towpath.apps.example", Place.WEB),
        (APART, "10.1.2.3:5080", Place.WEB),
        (APART, "[fe80::1]", Place.WEB),
        (APART, "localhost", Place.WEB),
        (LOCAL, "shop.localhost:5080", SHOP),
        (LOCAL, "shop-pr-7.localhost", REVIEW),
        (LOCAL, "localhost:5080", Place.WEB),
        (LOCAL, "nothing.localhost", Place.NOWHERE),
        (LOCAL, "", Place.NOWHERE),
    ],
)
def test_a_host_name_means(hosts, host, meant):
    assert hosts.find(host, TABLE) == meant


async def test_the_table_is_read_only_when_its_version_has_changed():
    loads = 0
    version = 1

    async def load() -> RouteTable:
        nonlocal loads
        loads += 1
        return RouteTable(version=version)

    async def current() -> int:
        return version

    table = LiveTable(load=load, version=current)
    await table.refresh()
    await table.refresh()
    assert loads == 1
    version = 2
    await table.refresh()
    assert (loads, table.current.version) == (2, 2)


async def test_requests_that_fail_together_ask_the_database_together():
    asked = 0

    async def load() -> RouteTable:
        return RouteTable(version=1)

    async def current() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return 1

    table = LiveTable(load=load, version=current)
    await asyncio.gather(*(table.refresh() for _ in range(50)))
    assert asked <= 2


async def test_the_last_table_serves_while_the_database_is_away():
    working = True
    changes: list[int] = []
    asked: list[int] = []

    async def load() -> RouteTable:
        return TABLE

    async def current() -> int:
        if not working:
            asked.append(len(asked))
            raise Transient("database away")
        return 1

    table = LiveTable(load=load, version=current)
    table.on_change = lambda new: changes.append(new.version)
    await table.refresh()
    working = False
    watch = asyncio.create_task(table.watch(seconds=0.001))
    await until(lambda: len(asked) > 3 or watch.done())
    assert not watch.done()
    assert table.current is TABLE
    assert changes == [1]
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
