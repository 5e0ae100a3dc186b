"""One of two workers is killed amid a release command: when the other goes on, and whether anything was done twice."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.bench.pushes import at_rest
from tests.bench.rows import Row, alone, exactly
from tests.faults.steps import sleepy
from tests.waiting import until
from tests.walk.acting import deployed, output
from tests.walk.samples import PYTHON
from tests.walk.stage import Stage

ROUNDS = 5
LEASE = 3


async def takeover(stage: Stage, _place: Path) -> list[Row]:
    """Rows about taking over, with a lease shorter than by default, for time's sake."""
    usual = stage.env
    await stage.stop()
    stage.env = {**usual, "TOWPATH_LEASE_SECONDS": str(LEASE)}
    await stage.start()
    try:
        pipeline = await stage.pipeline("taken", files=sleepy("first", release=f"{PYTHON} -I nap.py"), automatic=False)
        app = pipeline.staging
        await deployed(stage, app)
        taken = []
        for _ in range(ROUNDS):
            with suppress(ProcessLookupError):  # it was the one that was killed
                async with stage.another_worker():
                    taken.append(await _killed(stage, app))
        listed = await stage.api("GET", f"/apps/{app}/releases")
        told = [await output(stage, each["id"]) for each in listed if each["status"] == "succeeded"]
    finally:
        await stage.stop()
        stage.env = usual
        await stage.start()
    twice = sum(each.count("taking a nap") > 1 for each in told)
    return [
        alone(f"worker killed -> its work goes on, lease {LEASE} s", taken, "s", most=LEASE + 1),
        exactly(f"  release commands that ran twice, of {len(told)}", twice, "", 0),
    ]


async def _killed(stage: Stage, app: str) -> float:
    """Seconds from the worker's end to its successor's hold on the app."""
    before = {each["id"] for each in await stage.api("GET", f"/apps/{app}/requests")}
    await stage.api("PATCH", f"/apps/{app}/config-vars", {"SHOW_TIME": str(time.time())})
    (request,) = [each["id"] for each in await stage.api("GET", f"/apps/{app}/requests") if each["id"] not in before]

    async def naps() -> bool:
        found = await stage.rows(
            "SELECT c.text FROM releases r JOIN log_chunks c ON c.log_id = r.log_id WHERE r.request_id = ?", request
        )
        return any("taking a nap" in text for (text,) in found)

    await until(naps, seconds=20, what="the release command runs")
    holder = await _holder(stage, request)
    assert holder is not None
    os.kill(int(holder.split(":")[1]), signal.SIGKILL)
    began = time.perf_counter()

    async def held_by_another() -> bool:
        return await _holder(stage, request) not in {holder, None}

    await until(held_by_another, seconds=LEASE + 20, what="another worker takes over")
    taken = time.perf_counter() - began
    await at_rest(stage)
    return taken


async def _holder(stage: Stage, request: str) -> str | None:
    """Who works on the request's app now."""
    query = "SELECT a.lease_holder FROM apps a JOIN requests r ON r.app_id = a.id WHERE r.id = ?"
    ((holder,),) = await stage.rows(query, request)
    return None if holder is None else str(holder)
