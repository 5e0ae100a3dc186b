"""Zero downtime: the table switches under load, endpoints go and come, the router drains."""

import asyncio
import os
import signal

import pytest
from aiohttp import web

from service.domain.errors import Transient
from service.router.server import serve
from service.settings import Settings
from tests.router.conftest import Got, Routes, live
from tests.waiting import until


def named(name: str):
    async def app(request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(text=f"{name}:{len(body)}")

    return app


async def test_requests_under_way_end_on_the_old_release_and_new_ones_go_to_the_new(town):
    release = asyncio.Event()

    async def old(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="old")

    before, after = await town.app(old), await town.app(named("new"))
    router = await town.start(live(before))
    under_way = asyncio.create_task(town.get())
    await until(lambda: before.handed)
    town.routes.set(live(after))
    await until(lambda: router._core.table.current.version == 2)
    assert (await town.get()).text == "new:0"
    release.set()
    assert (await under_way).text == "old"
    assert router.pool.idle(before.address) == 0
    assert router.pool.idle(after.address) == 1


async def test_idle_connections_to_a_removed_endpoint_are_closed(town):
    closed = asyncio.Event()

    async def app(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        closed.set()

    door = await town.raw(app)
    router = await town.start(live(door))
    await town.get()
    assert router.pool.idle(door.address) == 1
    town.routes.set()
    await asyncio.wait_for(closed.wait(), 5)
    assert (await town.get()).status == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_request_is_lost_while_releases_change_under_load(town, method):
    body = b"" if method == "GET" else b"hello"
    raw = b"%b / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: %d\r\n\r\n%b" % (method.encode(), len(body), body)
    doors = [await town.app(named("r0"))]
    await town.start(live(*doors))
    answers: list[tuple[int, str]] = []
    stop = asyncio.Event()

    async def client() -> None:
        reader, writer = await town.connect()
        while not stop.is_set():
            writer.write(raw)
            head = Got.parse(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10))
            text = await reader.readexactly(int(head.header("content-length") or 0))
            answers.append((head.status, text.decode()))

    clients = [asyncio.create_task(client()) for _ in range(8)]
    for number in range(1, 6):
        seen = len(answers)
        new = await town.app(named(f"r{number}"))
        town.routes.set(live(new))
        await until(lambda seen=seen: len(answers) > seen + 50)
        await until(lambda number=number: answers[-1][1].startswith(f"r{number}:"))
        await doors[-1].stop()  # the old instance goes
        doors.append(new)
    stop.set()
    await asyncio.gather(*clients)
    assert {status for status, _ in answers} == {200}
    assert {text.partition(":")[0] for _, text in answers} == {f"r{n}" for n in range(6)}
    assert len(town.served) == len(answers)


async def test_an_endpoint_that_has_gone_makes_the_router_look_at_once(town):
    old, new = await town.app(named("old")), await town.app(named("new"))
    router = await town.start(live(old))
    router._loops[0].cancel()  # nothing looks in the background: only the failure does
    await old.stop()
    town.routes.set(live(new))
    assert (await town.get()).text == "new:0"


async def test_a_request_waits_a_moment_for_the_endpoint_that_replaces_a_dead_one(town):
    old, new = await town.app(named("old")), await town.app(named("new"))
    await town.start(live(old))
    await old.stop()
    waiting = asyncio.create_task(town.get())
    answered, _ = await asyncio.wait({waiting}, timeout=0.2)
    assert not answered
    town.routes.set(live(new))
    assert (await waiting).text == "new:0"


async def test_one_dead_endpoint_of_two_costs_no_request(town):
    dead, alive = await town.app(named("dead")), await town.app(named("alive"))
    await town.start(live(dead, alive))
    await dead.stop()
    assert {(await town.get()).text for _ in range(6)} == {"alive:0"}


async def test_the_router_waits_for_the_database_at_its_start(town):
    class Away(Routes):
        failures = 2

        async def version(self) -> int:
            if self.failures:
                self.failures -= 1
                raise Transient("database away")
            return await super().version()

    town.routes = Away()
    await town.start(live(await town.app(named("a"))))
    assert (await town.get()).text == "a:0"


async def test_draining_ends_what_is_under_way_and_takes_nothing_new(town):
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="done")

    door = await town.app(slow)
    router = await town.start(live(door))
    idle_reader, idle_writer = await town.connect()
    idle_writer.write(b"GET / HTTP/1.1\r\nHost: typo.apps.test\r\n\r\n")
    await idle_reader.readuntil(b"\r\n\r\n")
    reader, writer = await town.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    await until(lambda: door.handed)
    port = router.port
    draining = asyncio.create_task(router.drain(grace=10))
    assert await asyncio.wait_for(idle_reader.read(), 5) != b""  # the page's body, then the end
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert not draining.done()
    release.set()
    answer = Got.parse(await asyncio.wait_for(reader.read(), 5))
    assert (answer.text, answer.header("connection")) == ("done", "close")
    await asyncio.wait_for(draining, 5)


async def test_draining_does_not_wait_for_another_request_after_an_answer_that_had_begun_before(town):
    release = asyncio.Event()

    async def app(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"begun")
        await release.wait()
        return answer

    router = await town.start(live(await town.app(app)))
    reader, writer = await town.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"begun"), 5)
    draining = asyncio.create_task(router.drain(grace=60))
    await until(lambda: router._core.draining)
    release.set()
    assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"0\r\n\r\n")
    await asyncio.wait_for(draining, 5)


async def test_draining_is_over_after_the_grace_time(town):
    async def stuck(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    door = await town.app(stuck)
    router = await town.start(live(door))
    _, writer = await town.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n")
    await until(lambda: door.handed)
    await asyncio.wait_for(router.drain(grace=0.1), 5)
    await asyncio.wait_for(router.close(), 5)
    assert not router.connections


async def test_serve_ends_on_sigterm(short_tmp):
    routes = Routes()
    running = asyncio.create_task(
        serve(settings=Settings(data=short_tmp), load=routes.load, version=routes.version, host="127.0.0.1", port=0)
    )
    await until(lambda: routes.asked > 1)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 5)


async def test_serve_ends_on_sigterm_though_it_still_waits_for_its_database(short_tmp):
    class Away(Routes):
        async def version(self) -> int:
            await super().version()
            raise Transient("the database is away")

    routes = Away()
    running = asyncio.create_task(
        serve(settings=Settings(data=short_tmp), load=routes.load, version=routes.version, host="127.0.0.1", port=0)
    )
    await until(lambda: routes.asked)
    os.kill(os.getpid(), signal.SIGTERM)
    ended, _ = await asyncio.wait({running}, timeout=5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ended


async def test_serve_fails_loudly_when_the_table_breaks_the_watcher(short_tmp):
    class Broken(Routes):
        async def version(self) -> int:
            if self.asked:
                raise KeyError("a bug")
            return await super().version()

    routes = Broken()
    with pytest.raises(KeyError):
        await serve(
            settings=Settings(data=short_tmp), load=routes.load, version=routes.version, host="127.0.0.1", port=0
        )


async def test_an_app_that_has_just_gone_live_is_served_before_the_table_is_read_by_itself(town):
    shop = await town.app(named("shop"))
    await town.start()
    town.routes.set(live(shop))
    assert (await town.get()).text == "shop:0"
