"""What only a whole installation shows: the ready file, logs as they are written, and Ctrl-C."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.waiting import until
from tests.walk.acting import deployed
from tests.walk.conftest import octokit, runtimes, stage
from tests.walk.samples import quick
from tests.walk.stage import Stage

__all__ = ["octokit", "runtimes", "stage"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def following(stage: Stage, *args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "logs", *args),
        env={"PATH": os.environ["PATH"], "TOWPATH_DATA": str(stage.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_ready_file_is_for_its_owner_and_says_how_to_reach_us(stage: Stage) -> None:
    place = stage.data / "ready.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    ready = json.loads(place.read_text())
    assert set(ready) == {"url", "apps_url", "webhook_url", "webhook_secret", "api_token", "pids"}
    assert set(ready["pids"]) >= {"up", "redis", "runner", "worker", "web", "router"}
    assert all(Path(f"/proc/{pid}").exists() for pid in ready["pids"].values())


async def test_the_ready_file_names_the_process_that_took_the_place_of_a_dead_one(stage: Stage) -> None:
    await stage.kill("web")

    def named() -> bool:
        ready = json.loads((stage.data / "ready.json").read_text())
        return bool(ready["pids"]["web"] == stage.pid("web"))

    async def answers() -> bool:
        async with stage.http.get(f"http://127.0.0.1:{stage.port}/readyz") as answer:
            return answer.status == 200

    await until(named, what="the new web process is named")
    await until(answers, what="the new web process answers")


async def test_a_browser_is_told_what_this_is(stage: Stage) -> None:
    for path, status, said in (("/", 200, "towpath help"), ("/dashboard", 401, "towpath dashboard")):
        async with stage.http.get(f"http://127.0.0.1:{stage.port}{path}") as answer:
            assert (answer.status, answer.content_type) == (status, "text/html")
            assert said in await answer.text()


async def test_logs_show_what_an_app_wrote_and_follow_it_until_ctrl_c(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    await deployed(stage, pipeline.staging)
    await stage.page(pipeline.staging)
    shown = await stage.cli("logs", "-a", pipeline.staging)
    assert "app[web.1]: serving first" in shown

    async with following(stage, "-a", pipeline.staging, "--tail") as process:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert b"serving first" in await process.stdout.readline()
            await stage.cli("ps:restart", "-a", pipeline.staging)
            while b"serving first" not in (line := await process.stdout.readline()):
                assert line, "the log ended by itself"
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, err) == (130, b"")


async def test_logs_are_kept_over_a_restart_of_the_app_and_of_everything(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    app = pipeline.staging
    await deployed(stage, app)
    await stage.says(app, "first")
    await stage.cli("ps:restart", "-a", app)
    assert (await stage.cli("logs", "-a", app)).count("serving first") == 2
    await stage.stop()
    await stage.start()
    await stage.says(app, "first", seconds=60)
    assert (await stage.cli("logs", "-a", app)).count("serving first") == 3


async def test_logs_of_a_process_that_never_was_say_so(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    await deployed(stage, pipeline.staging)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "logs", "-a", pipeline.staging, "-d", "web.9"),
        env={"PATH": os.environ["PATH"], "TOWPATH_DATA": str(stage.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"web.9" in err


STUBBORN = """
import os, signal, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"on and on")
            time.sleep(0.1)
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def test_up_ends_within_ten_seconds_though_an_app_ignores_it_and_clients_hold_on(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=quick("stubborn") | {"server.py": STUBBORN}, automatic=False)
    await deployed(stage, pipeline.staging)
    headers = {"Host": f"{pipeline.staging}.localhost:{stage.port}"}
    async with (
        stage.http.get(f"http://127.0.0.1:{stage.port}/", headers=headers) as answer,
        following(stage, "-a", pipeline.staging, "--tail"),
    ):
        assert await answer.content.readexactly(9) == b"on and on"
        begun = asyncio.get_running_loop().time()
        await stage.stop()
        assert asyncio.get_running_loop().time() - begun < 10
    assert stage.remains() == []
    await stage.start()


async def test_up_starts_again_after_a_kill_and_after_ctrl_c_with_the_same_token(stage: Stage) -> None:
    token, former = stage.token, stage.pid("web")
    await stage.stop(signal.SIGKILL)
    await stage.start()
    await until(lambda: stage.pid("web") != former, what="a web process of the new up")
    assert not Path(f"/proc/{former}").exists()
    assert stage.token == token
    await asyncio.wait_for(stage.stop(signal.SIGINT), 10)
    assert not (stage.data / "ready.json").exists()
    assert [each for each in stage.remains() if each.startswith("process")] == []
    # The reader of logs that went away above is nothing to complain of.
    assert "Traceback" not in (stage.data / "log/web.log").read_text()
    await stage.start()
    assert stage.token == token
