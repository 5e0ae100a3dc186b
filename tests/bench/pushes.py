"""From a push, a promotion or a merge to what answers, with an app that needs nothing: what is left is Towpath's own."""

import asyncio
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from tests.bench.processes import free_port, seconds
from tests.bench.rows import Row, alone, exactly
from tests.waiting import until
from tests.walk.acting import deployed, promoted
from tests.walk.samples import page
from tests.walk.stage import Pipeline, Stage

ROUNDS = 5
SLOW = 120.0


async def pushes(stage: Stage, place: Path) -> list[Row]:
    """Rows about a small app."""
    python = stage.data / "work/runtimes/python/bin/python3"
    (place / "server.py").write_text(page("boot")["server.py"])
    pipeline = await stage.pipeline("bench", automatic=True, auto_deploy=True)
    await deployed(stage, pipeline.staging)
    await promoted(stage, pipeline.id, pipeline.staging)
    pushed, promotions, boots = [], [], []
    for number in range(ROUNDS):
        boots.append(await boot(stage, [str(python), "-I", "server.py"], place))
        text = f"round-{number}"
        pushed.append(await seconds(lambda text=text: _push(stage, pipeline, text)) - boots[-1])  # type: ignore[misc]
        await at_rest(stage)
        promotions.append(await seconds(lambda text=text: promote(stage, pipeline, text)) - boots[-1])  # type: ignore[misc]
        await at_rest(stage)
    return [
        alone("push -> serving, without the app's boot", pushed, "s", most=1.0),
        alone("promote -> serving, without the app's boot", promotions, "s"),
        exactly("merge of an up-to-date pull request -> staging, builds", await _merge(stage, pipeline), "", 0),
    ]


async def _push(stage: Stage, pipeline: Pipeline, text: str) -> None:
    await stage.github.push(pipeline.repo, "master", page(text))
    await stage.says(pipeline.staging, text)


async def promote(stage: Stage, pipeline: Pipeline, text: str) -> None:
    """Promote staging and wait until production answers with the text."""
    body = {"pipeline": {"id": pipeline.id}, "source": {"app": {"name": pipeline.staging}}}
    await stage.api("POST", "/pipeline-promotions", body)
    await stage.says(pipeline.production, text, seconds=SLOW)


async def _merge(stage: Stage, pipeline: Pipeline) -> int:
    """How many builds it takes; the pull request's own is over before."""
    await stage.github.push(pipeline.repo, "topic", page("merged"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    await stage.review_is(pipeline, pull.number, "live")
    await at_rest(stage)
    query = "SELECT count(*) FROM builds WHERE NOT reused"
    ((before,),) = await stage.rows(query)
    await stage.github.merge_pull(pipeline.repo, pull.number)
    await stage.says(pipeline.staging, "merged")
    await at_rest(stage)
    ((after,),) = await stage.rows(query)
    return int(after) - int(before)


async def at_rest(stage: Stage) -> None:
    """Wait until the apps' queues are empty."""

    async def look() -> bool:
        return not await stage.rows("SELECT 1 FROM requests WHERE state IN ('queued', 'running') LIMIT 1")

    await until(look, seconds=SLOW, what="every app is at rest")


async def boot(stage: Stage, argv: Sequence[str], place: Path, env: Mapping[str, str] | None = None) -> float:
    """Seconds that an app takes by itself, outside of any sandbox, until it answers on `$PORT`."""
    port = free_port()
    command = [each.replace("$PORT", str(port)) for each in argv]
    process: subprocess.Popen[bytes] | None = None

    async def answers() -> bool:
        try:
            async with stage.http.get(f"http://127.0.0.1:{port}/") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def start() -> None:
        nonlocal process
        given = {"PATH": os.environ["PATH"], "PORT": str(port), **(env or {})}
        process = subprocess.Popen(
            command, cwd=place, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        await until(answers, seconds=SLOW, what="the app alone")

    try:
        return await seconds(start)
    finally:
        if process is not None:
            process.terminate()
            await asyncio.to_thread(process.wait)
