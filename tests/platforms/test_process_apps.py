"""Apps on the embedded platform: going live, replacing, failing, crashing, being removed; all with real processes."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.errors import Refused
from service.router.dial import Absent, dial
from tests.platforms.conftest import FENCE, Collected, Engine, Routes, fetch
from tests.waiting import until
from workers.platforms.base import Fence, Fenced, InstanceState, ProcessSpec, Unhealthy
from workers.platforms.process import files, indexes, levels
from workers.platforms.process.apps import Apps
from workers.platforms.process.host import Host, Paths, Timing
from workers.platforms.process.procs import Process
from workers.platforms.process.stopping import stop_all


async def states(engine: Engine) -> list[tuple[str, str, InstanceState]]:
    return sorted((one.release_id, one.process, one.state) for one in await engine.platform.observe())


async def only_release(engine: Engine, release: str) -> None:
    async def alone() -> bool:
        return {one.release_id for one in await engine.platform.observe()} == {release}

    await until(alone, what=f"only {release} runs")


def web(command: str) -> tuple[ProcessSpec, ...]:
    return (ProcessSpec(type="web", command=command, quantity=1),)


async def test_an_app_goes_live_and_answers_through_the_handed_over_socket(engine):
    routes = await engine.up(engine.spec(greeting="bonjour"))
    assert await routes.get() == "bonjour"
    assert await states(engine) == [("r1", "web.1", InstanceState.UP)]


async def test_the_new_release_replaces_the_old_and_no_request_is_lost(engine):
    routes = await engine.up(engine.spec("r1", greeting="one"))
    answers, stop = [], asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            answers.append(await routes.get())

    task = asyncio.create_task(client())
    second = engine.spec("r2", greeting="two")
    await engine.platform.apply(second, fence=FENCE, log=Collected(), go_live=routes.go_live)
    await only_release(engine, "r2")
    stop.set()
    await task
    assert set(answers) == {"one", "two"}
    assert answers == sorted(answers)


@pytest.mark.parametrize(
    ("command", "boot_seconds", "cause"),
    [
        ("echo no database; exit 7", 20.0, "web.1 exited with status 7\nno database"),
        ("echo waiting; exec sleep 100", 0.5, "web.1 did not listen on $PORT within 0.5 s\nwaiting"),
        ("exec no-such-program", 20.0, "web.1 exited with status 127"),
    ],
    ids=["exits at once", "never listens", "is not there"],
)
async def test_a_release_that_does_not_boot_says_why_and_the_old_one_serves_on(engine, command, boot_seconds, cause):
    routes = await engine.up(engine.spec("r1", greeting="old"))
    bad = engine.spec("r2", processes=web(command), boot_seconds=boot_seconds)
    with pytest.raises(Unhealthy) as failure:
        await engine.platform.apply(bad, fence=FENCE, log=Collected(), go_live=routes.go_live)
    assert str(failure.value).startswith(cause)
    assert await routes.get() == "old"
    assert await states(engine) == [("r1", "web.1", InstanceState.UP)]


async def test_a_process_that_listens_late_is_waited_for(engine):
    routes = await engine.up(engine.spec(processes=web("sleep 1; exec python3 app.py")))
    assert await routes.get() == "hello"


async def test_a_health_path_that_answers_500_is_unhealthy_and_named(engine):
    with pytest.raises(Unhealthy, match="did not answer GET /sick with 2xx or 3xx"):
        await engine.up(engine.spec(health_path="/sick", boot_seconds=1.5))
    assert await (await engine.up(engine.spec(health_path="/fine"))).get() == "hello"


async def test_a_worker_that_ends_at_once_is_unhealthy_and_one_that_stays_is_not(engine):
    worker = ProcessSpec(type="worker", command="exit 3", quantity=1)
    with pytest.raises(Unhealthy, match=r"worker\.1 exited with status 3"):
        await engine.up(engine.spec("r1", processes=(worker,)))
    await engine.up(engine.spec("r2", processes=(replace(worker, command="exec sleep 100"),)))
    assert await states(engine) == [("r2", "worker.1", InstanceState.UP)]


@pytest.mark.parametrize(
    "why", [Fenced("another worker"), Refused("nobody wants it any more")], ids=["fenced", "refused"]
)
async def test_when_go_live_fails_the_prepared_release_is_gone_and_the_old_one_serves(engine, why):
    routes = await engine.up(engine.spec("r1", greeting="old"))

    async def refuse(_) -> None:
        raise why

    with pytest.raises(type(why)):
        await engine.platform.apply(engine.spec("r2"), fence=FENCE, log=Collected(), go_live=refuse)
    await only_release(engine, "r1")
    assert await routes.get() == "old"


async def test_a_successor_adopts_what_its_dead_predecessor_had_prepared(engine):
    started = asyncio.Event()

    async def die(_) -> None:
        started.set()
        await asyncio.Event().wait()

    spec = engine.spec()
    first = asyncio.create_task(engine.platform.apply(spec, fence=FENCE, log=Collected(), go_live=die))
    await started.wait()
    before = await engine.platform.observe()
    routes = await engine.up(spec, fence=Fence(generation=1, token=2))
    after = await engine.platform.observe()
    assert [one.since for one in before] == [one.since for one in after]
    assert await routes.get() == "hello"
    first.cancel()
    await asyncio.wait({first})
    assert await routes.get() == "hello"


async def test_scaling_the_same_release_keeps_what_runs(engine):
    spec = engine.spec()
    await engine.up(spec)
    before = await engine.platform.observe()
    routes = await engine.up(replace(spec, processes=(replace(spec.processes[0], quantity=2),)))
    assert [one.process for one in routes.endpoints] == ["web.1", "web.2"]
    assert [await fetch(one) for one in routes.endpoints] == ["hello", "hello"]
    assert before[0] in await engine.platform.observe()
    await engine.up(spec)

    async def one_left() -> bool:
        return list(await engine.platform.observe()) == list(before)

    await until(one_left, what="web.2 is gone")


async def test_one_process_is_restarted_while_the_other_runs_on(engine):
    spec = engine.spec(processes=(ProcessSpec(type="web", command="exec python3 app.py", quantity=2),))
    routes = await engine.up(spec)
    shims = {one.process: one.since for one in await engine.platform.observe()}
    await engine.platform.restart(spec.app_id, "web.2", fence=FENCE)
    after = {one.process: one.since for one in await engine.platform.observe()}
    assert (after["web.1"], after["web.2"] > shims["web.2"]) == (shims["web.1"], True)
    assert [await fetch(each) for each in routes.endpoints] == ["hello", "hello"]
    with pytest.raises(Refused, match=r"web\.3 is none of the processes"):
        await engine.platform.restart(spec.app_id, "web.3", fence=FENCE)
    with pytest.raises(Fenced):
        await engine.platform.restart(spec.app_id, "web.1", fence=Fence(generation=1, token=0))


async def test_an_empty_formation_stops_everything_after_go_live(engine):
    await engine.up(engine.spec())
    routes = await engine.up(engine.spec("r2", processes=()))
    assert routes.endpoints == ()

    async def nothing() -> bool:
        return not await engine.platform.observe()

    await until(nothing)


async def test_a_lower_fence_is_refused_by_every_verb_also_after_the_runner_restarted(engine):
    old, new = Fence(generation=1, token=9), Fence(generation=2, token=1)
    spec = engine.spec()
    await engine.up(spec, fence=new)
    for restarted in (False, True):
        if restarted:
            await engine.restart()
        for attempt in (
            engine.up(engine.spec("r2"), fence=old),
            engine.platform.remove("app-1", fence=old),
            engine.platform.run("x", spec, "true", fence=old, log=Collected(), seconds=5),
        ):
            with pytest.raises(Fenced):
                await attempt
    await engine.platform.remove("app-1", fence=new)
    await engine.restart()
    with pytest.raises(Fenced):
        await engine.up(spec, fence=old)


async def test_remove_wins_over_a_release_that_is_still_booting(engine):
    booting = asyncio.create_task(engine.up(engine.spec(processes=web("exec sleep 100"))))

    async def started() -> bool:
        return bool(await engine.platform.observe())

    await until(started)
    await engine.platform.remove("app-1", fence=Fence(generation=2, token=1))
    assert not await engine.platform.observe()
    with pytest.raises(Exception, match=r"taken over|is at Fence"):
        await booting


async def test_the_router_is_told_that_a_booting_app_does_not_listen_yet(engine):
    booting = asyncio.create_task(engine.up(engine.spec(processes=web("exec sleep 100"))))
    (door,) = await until(lambda: list((engine.data / "run/i").glob("*/s")))
    with pytest.raises(Absent):
        await dial(f"unix:{door}", asyncio.Protocol, seconds=5)
    await engine.platform.remove("app-1", fence=FENCE)
    with pytest.raises(Absent):
        await dial(f"unix:{door}", asyncio.Protocol, seconds=5)
    await asyncio.gather(booting, return_exceptions=True)


async def test_apps_survive_a_killed_runner_and_the_next_one_takes_them_up(engine):
    routes = await engine.up(engine.spec())
    await engine.end(signal.SIGKILL)
    assert await routes.get() == "hello"
    await engine.start()
    assert await routes.get() == "hello"

    async def up() -> bool:
        return await states(engine) == [("r1", "web.1", InstanceState.UP)]

    await until(up)
    with pytest.raises(ConnectionResetError):
        await routes.get("/crash")
    await until(lambda: answers(routes), what="restarted by a runner that had not started it")


async def answers(routes: Routes) -> bool:
    try:
        return await routes.get() == "hello"
    except ConnectionError:
        return False


async def test_a_second_runner_on_the_same_data_is_refused_and_the_first_goes_on(engine):
    routes = await engine.up(engine.spec())
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.platforms.process.runner", "--data", str(engine.data)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await asyncio.wait_for(second.communicate(), 20)
    finally:
        if second.returncode is None:
            second.kill()
            await second.wait()
    assert second.returncode == 1
    assert f"a runner keeps the apps in {engine.data} already" in said.decode()
    assert await states(engine) == [("r1", "web.1", InstanceState.UP)]
    assert await routes.get() == "hello"


async def test_a_crash_is_restarted_and_counted_and_the_route_stays_true(engine):
    routes = await engine.up(engine.spec())
    with pytest.raises(ConnectionResetError):
        await routes.get("/crash")
    await until(lambda: answers(routes), what="answers again on the same endpoint")
    (one,) = await engine.platform.observe()
    assert (one.restarts, one.exit_code) == (1, 9)


async def test_an_app_that_crashes_again_and_again_is_crashed(engine):
    script = "if [ -e /proc/$PPID ] && [ $SECONDS -ge 0 ]; then sleep 0.5; exit 5; fi"
    await engine.up(engine.spec(processes=(ProcessSpec(type="worker", command=script, quantity=1),)))

    async def crashed() -> bool:
        return [one.state for one in await engine.platform.observe()] == [InstanceState.CRASHED]

    await until(crashed, seconds=60)
    (one,) = await engine.platform.observe()
    assert (one.restarts, one.exit_code) == (10, 5)


async def test_what_is_wanted_but_gone_is_started_by_the_next_runner_as_after_a_reboot(engine):
    routes = await engine.up(engine.spec())
    await engine.end()
    (directory,) = (engine.data / "run/i").iterdir()
    for name, (pid, _) in files.read_json(directory / "pids").items():
        if name != "egress":
            os.kill(pid, signal.SIGKILL)
    await until(lambda: engine.processes() == [])
    await engine.start()
    await until(lambda: answers(routes), what="the app is back")


async def test_a_killed_shim_takes_its_app_along_and_both_come_back(engine):
    routes = await engine.up(engine.spec())
    (directory,) = (engine.data / "run/i").iterdir()
    before = files.read_json(directory / "pids")
    os.kill(before["shim"][0], signal.SIGKILL)
    await until(lambda: (files.read_json(directory / "pids") or before)["shim"] != before["shim"])
    await until(lambda: answers(routes))
    assert not Process(*before["init"]).alive


ASKS_ITS_EGRESS = """
import http.server, os, urllib.error, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            proxied = urllib.request.ProxyHandler({"http": os.environ["HTTP_PROXY"]})
            urllib.request.build_opener(proxied).open("http://10.0.0.1/", timeout=10)
        except urllib.error.HTTPError as error:
            said = f"egress says {error.code}"
        except OSError as error:
            said = f"no egress: {error}"
        self.wfile.write(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + said.encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def test_an_app_gets_its_way_out_back_at_once_however_often_it_dies(engine):
    routes = await engine.up(engine.spec(slug_dir=engine.slug("asks", ASKS_ITS_EGRESS)))
    (directory,) = (engine.data / "run/i").iterdir()
    pids = files.read_json(directory / "pids")

    async def egress_answers() -> bool:
        return await routes.get() == "egress says 403"

    await until(egress_answers, what="the egress answers")
    for which in (-1, -1, 0, 1, 0, 0):
        killed = outlet(directory)[which]
        os.kill(killed, signal.SIGKILL)

        def whole(killed: int = killed) -> bool:
            return len(now := outlet(directory)) == 3 and killed not in now

        await until(whole, seconds=5.0, what="what lets it out is whole again")
        await until(egress_answers, seconds=5.0, what="the egress is back")
    os.kill(pids["shim"][0], signal.SIGKILL)
    gone = {*outlet(directory)}
    await until(lambda: gone.isdisjoint(outlet(directory)), what="nothing of it outlives its shim")


async def test_an_egress_holds_nothing_of_its_shims_but_where_it_complains(engine):
    """A lock, above all: it says that the shim lives."""
    await engine.up(engine.spec())
    (directory,) = (engine.data / "run/i").iterdir()
    await until(lambda: len(outlet(directory)) == 3, what="all of it has begun")
    for pid in outlet(directory):
        await until(lambda pid=pid: not any(name.endswith("/log") for name in open_files(pid)), what="it has set up")
        open_by_name = {name for name in open_files(pid) if not name.startswith("socket:")}
        assert open_by_name <= {"/dev/null", str(directory / "shim.err"), "anon_inode:[pidfd]"}


def open_files(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


def outlet(directory: Path) -> list[int]:
    """The processes outside of an app's network that let it out, by age: who watches, its second, and who serves."""
    found = []
    for place in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):
            process, threads = Process.of(int(place.name)), len([*(place / "task").iterdir()])
            ours = (place / "fd/2").readlink() == directory / "shim.err" and (place / "cwd").readlink() == Path("/")
            if process and ours:
                found.append((threads, process.start, process.pid))
    return [pid for *_, pid in sorted(found)]


async def test_remove_leaves_no_process_no_group_and_no_directory_and_gone_is_fine(engine):
    await engine.up(engine.spec(processes=web("sleep 1000 & exec python3 app.py")))
    await engine.run("true")
    assert engine.processes() != []
    mounts = len(Path("/proc/self/mounts").read_text().splitlines())
    await engine.platform.remove("app-1", fence=FENCE)
    assert engine.processes() == []
    assert [path.name for name in ("apps", "run/i", "run/x") for path in (engine.data / name).iterdir()] == []
    assert engine.groups() == []
    assert len(Path("/proc/self/mounts").read_text().splitlines()) == mounts
    await engine.platform.remove("app-1", fence=FENCE)
    await engine.platform.remove("never-seen", fence=FENCE)


async def test_sigterm_reaches_the_app_so_that_it_can_finish(engine):
    script = "trap 'echo finishing; exit 0' TERM; (exec python3 app.py) & while :; do wait; done"
    routes = await engine.up(engine.spec(processes=web(script)))
    await engine.up(engine.spec("r2"))
    await only_release(engine, "r2")
    lines = [line async for line in engine.platform.logs("app-1", follow=False, lines=100)]
    assert any(line.endswith("app[web.1]: finishing") for line in lines)
    assert routes.endpoints


async def test_a_release_that_ignores_sigterm_is_killed_after_its_time(engine):
    stubborn = web("trap '' TERM; python3 app.py & while :; do wait; done")
    await engine.up(engine.spec(processes=stubborn, stop_seconds=0.5))
    before = set(engine.processes())
    await engine.up(engine.spec("r2", stop_seconds=0.5))
    await only_release(engine, "r2")
    assert not before & set(engine.processes())


async def test_logs_are_stamped_named_and_followed(engine):
    routes = await engine.up(engine.spec(greeting="salut"))
    seen: list[str] = []

    async def follow() -> None:
        async for line in engine.platform.logs("app-1", follow=True, lines=10, process="web"):
            seen.append(line)  # noqa: PERF401  (the test looks at it meanwhile)

    task = asyncio.create_task(follow())
    await until(lambda: seen)
    assert seen[0].endswith("app[web.1]: starting salut")
    await routes.get("/later")
    await until(lambda: seen[-1].endswith("app[web.1]: served /later"))
    task.cancel()
    await asyncio.wait({task})
    assert [line async for line in engine.platform.logs("app-1", follow=False, lines=10, process="worker")] == []


async def test_when_go_live_fails_otherwise_what_is_prepared_waits_for_a_successor_and_then_ends(short_tmp, level):
    engine = Engine(data=short_tmp, spare=1.5)
    await engine.start()

    async def lose_the_database(_) -> None:
        raise ConnectionResetError

    try:
        routes = await engine.up(engine.spec("r1", greeting="old"))
        with pytest.raises(ConnectionResetError):
            await engine.platform.apply(engine.spec("r2"), fence=FENCE, log=Collected(), go_live=lose_the_database)
        assert {one.release_id for one in await engine.platform.observe()} == {"r1", "r2"}
        await only_release(engine, "r1")
        assert await routes.get() == "old"
    finally:
        await engine.end()
        await stop_all(engine.data)
    assert (engine.processes(), engine.groups()) == ([], [])


async def test_what_a_successor_prepared_again_is_not_ended_by_the_time_of_its_predecessor(short_tmp, level):
    engine = Engine(data=short_tmp, spare=4.0)
    await engine.start()
    begun = asyncio.get_running_loop().time()

    async def lose_the_database(_) -> None:
        raise ConnectionResetError

    async def take_long(_) -> None:
        await _passed(begun + engine.spare + 0.7)

    try:
        with pytest.raises(ConnectionResetError):
            await engine.platform.apply(engine.spec(), fence=FENCE, log=Collected(), go_live=lose_the_database)
        (before,) = await engine.platform.observe()
        await _passed(begun + 2.0)
        await engine.platform.apply(engine.spec(), fence=FENCE, log=Collected(), go_live=take_long)
        (after,) = await engine.platform.observe()
        assert (after.since, after.state) == (before.since, InstanceState.UP)
    finally:
        await engine.end()
        await stop_all(engine.data)


async def _passed(moment: float) -> None:
    loop = asyncio.get_running_loop()
    await until(lambda: loop.time() > moment, what="the moment has come")


async def test_a_live_app_that_cannot_be_started_for_a_while_is_tried_until_it_can(engine):
    routes = await engine.up(engine.spec())
    log = engine.data / "apps/app-1/log"
    log.rename(log.with_name("away"))
    log.touch()  # as a full disk: its log cannot be written
    with pytest.raises(ConnectionResetError):
        await routes.get("/crash")

    async def tried() -> bool:
        return any(one.restarts > 1 for one in await engine.platform.observe())

    await until(tried, what="tried more than once")
    log.unlink()
    log.with_name("away").rename(log)
    await until(lambda: answers(routes), what="the app is back")


async def test_a_removal_waits_for_a_start_under_way_and_leaves_nothing_of_it(short_tmp, level):
    """The start is held up where a slow disk would."""
    held, go = threading.Event(), threading.Event()

    class SlowHost(Host):
        def start_instance(self, *args, **kwargs) -> None:
            held.set()
            go.wait(20)
            super().start_instance(*args, **kwargs)

    engine = Engine(data=short_tmp)
    nothing = indexes.Indexes(hosts=frozenset(), env={}, ca_bundle=None)
    paths = Paths(data=short_tmp)
    host = SlowHost(paths, level=levels.probe(), cgroups=None, found=nothing, peers=frozenset())
    host.prepare()
    apps = Apps(host, Timing())
    booting = asyncio.create_task(apps.get("app-1").prepare(engine.spec(), FENCE, Collected().write))
    await until(held.is_set)
    removing = asyncio.create_task(apps.remove("app-1", Fence(generation=2, token=1), _nothing))
    await until(lambda: booting.done() or removing.done())
    go.set()
    await removing
    await asyncio.wait({booting})
    await asyncio.get_running_loop().shutdown_default_executor()
    assert engine.processes() == []
    assert list(paths.instances.iterdir()) == []


async def _nothing() -> None:
    pass


async def test_stopping_everything_takes_less_than_ten_seconds_and_the_next_start_brings_the_apps_back(engine):
    stubborn = web("trap '' TERM; python3 app.py & while :; do wait; done")
    await engine.up(engine.spec(app="stubborn", processes=stubborn))
    routes = await engine.up(engine.spec(app="willing"))
    await engine.end(signal.SIGTERM)
    async with asyncio.timeout(10):
        await stop_all(engine.data, seconds=1.0)
    assert (engine.processes(), engine.groups()) == ([], [])
    assert list((engine.data / "run/i").iterdir()) == []
    await engine.start()
    await until(lambda: answers(routes), what="the app is back at the same endpoint")


async def test_two_hundred_clients_at_once_are_all_answered(engine):
    routes = await engine.up(engine.spec())
    assert set(await asyncio.gather(*(routes.get() for _ in range(200)))) == {"hello"}
