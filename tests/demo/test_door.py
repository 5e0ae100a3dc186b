"""The simulated GitHub as a process of its own, steered through its control door."""

import asyncio
import json
import signal
import stat
import sys
from pathlib import Path

import aiohttp
import pytest

from service.demo.github_sim import DoorClient, DoorFailed

PROGRAM = """
import asyncio, pathlib, sys
from service.demo.github_sim import serve
asyncio.run(serve(port=0, data=pathlib.Path(sys.argv[1])))
"""


async def start(data: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(data), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith("Simulated GitHub is ready: http://127.0.0.1:")
    return process


async def stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_whole_pull_request_goes_through_the_door(tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    (sample / "bin").mkdir(parents=True)
    (sample / "bin" / "run").write_text("#!/bin/sh\n")
    (sample / "bin" / "run").chmod(0o755)
    process = await start(tmp_path / "data")
    try:
        file = tmp_path / "data" / "github.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        facts = json.loads(file.read_text())
        assert facts["api_url"] == facts["url"] + "/api/v3"
        assert Path(facts["private_key_file"]).read_text().startswith("-----BEGIN RSA PRIVATE KEY-----")
        async with aiohttp.ClientSession() as session:
            door = DoorClient(session, url=facts["url"], admin_token=facts["admin_token"])
            repo = await door.call("create_repo", full_name="acme/shop", directory=str(sample))
            assert repo["default_branch"] == "master"
            await door.call("push", repo="acme/shop", branch="topic", files={"index.html": "hello"})
            pull = await door.call("open_pull", repo="acme/shop", head="topic", title="Hello")
            await door.call("set_status", repo="acme/shop", sha=pull["head"]["sha"], state="success")
            run = await door.call("create_check_run", repo="acme/shop", sha=pull["head"]["sha"], name="test")
            assert run["status"] == "queued"
            await door.call("chaos", webhooks={"drop": 0.1}, answer={"kind": "html", "pattern": "/meta"})
            await door.call("chaos", calm=True)
            merged = await door.call("merge_pull", repo="acme/shop", number=pull["number"])
            assert await door.call("head", repo="acme/shop") == merged
            assert (await door.call("pull", repo="acme/shop", number=1))["merged"]
            assert (await door.call("reported", repo="acme/shop"))["check_runs"] == []
            assert await door.call("deliveries") == []
            for operation, arguments in (("explode", {}), ("pull", {"repo": "acme/none", "number": 1}),
                                         ("open_pull", {"nonsense": 1}), ("chaos", {"webhooks": {"x": 1}})):  # fmt: skip
                with pytest.raises(DoorFailed):
                    await door.call(operation, **arguments)
            headers = {"Authorization": f"Bearer {facts['admin_token']}"}
            for body in ("{'repo': 'acme/shop'}", "[1]", "7"):
                async with session.post(f"{facts['url']}/_sim/pull", data=body, headers=headers) as answer:
                    assert answer.status == 422
                    assert (await answer.json())["message"]
            stranger = DoorClient(session, url=facts["url"], admin_token="guess")
            with pytest.raises(DoorFailed, match="admin token"):
                await stranger.call("ping")
    finally:
        await stop(process)


async def test_after_a_restart_the_key_is_the_same_and_the_repositories_are_gone(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        process = await start(tmp_path)
        keys.append((tmp_path / "app.pem").read_text())
        assert list((tmp_path / "repositories").iterdir()) == []
        await stop(process)
    assert keys[0] == keys[1]
