"""Many pages that look at one thing."""

import asyncio

import pytest

from service.domain.errors import Transient
from service.web.pages import watching
from service.web.pages.watching import Watches
from tests.waiting import until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.01)


class Thing:
    """What is read, and how often it was."""

    def __init__(self) -> None:
        self.digest: str | Exception = "one"
        self.reads = 0

    async def read(self, _what: str) -> str:
        self.reads += 1
        if isinstance(self.digest, Exception):
            raise self.digest
        return self.digest


async def test_everybody_who_looks_is_told_by_one_look_and_nobody_costs_nothing() -> None:
    thing = Thing()
    watches = Watches(thing.read)
    async with watches.watching("a") as first, watches.watching("a") as second:
        assert first is second
        assert await first.other_than("", 5) == "one"
        waiting = [asyncio.create_task(each.other_than("one", 5)) for each in (first, second)]
        thing.digest = "two"
        assert await asyncio.gather(*waiting) == ["two", "two"]
        task = first.task
    assert task is not None
    await until(task.done)
    before = thing.reads
    async with watches.watching("a") as again:
        assert again is not first
        await until(lambda: thing.reads > before)


async def test_trouble_is_waited_out() -> None:
    thing = Thing()
    thing.digest = Transient("away")
    async with Watches(thing.read).watching("a") as watch:
        await until(lambda: thing.reads > 2)
        assert watch.digest == ""
        thing.digest = "one"
        assert await watch.other_than("", 5) == "one"


async def test_without_news_one_waits_no_longer_than_one_wants() -> None:
    thing = Thing()
    async with Watches(thing.read).watching("a") as watch:
        await watch.other_than("", 5)
        assert await watch.other_than("one", 0.05) == "one"
