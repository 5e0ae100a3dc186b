"""Play the day, let it rest, compare, print; 0 only without an orphan, an untold report or a wrong commit."""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import structlog
from aiohttp import web

from service.demo import remains
from service.demo.github_sim import GitHubSim, running
from tests.day import trouble
from tests.day.people import Team
from tests.day.verdict import Verdict, judged
from tests.github_contract.fixtures import GitHub
from tests.walk.samples import quick
from tests.walk.stage import Stage, staged
from workers.builds.runtimes import ensure

PIPELINES = 4
PEOPLE = 10
REST_SECONDS = 600.0
"""So long it may take until all that was lost has been found again: polls of CI come after one, two and five minutes."""
SETTINGS = {"TOWPATH_LEASE_SECONDS": "10", "TOWPATH_AUDIT_SECONDS": "60"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def main(pulls: int, seed: int) -> int:
    """Play a day of so many pull requests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    calls: Counter[str] = Counter()
    place = Path(tempfile.mkdtemp(prefix="tp-day-", dir="/tmp"))
    place.chmod(0o755)
    try:
        await ensure(place)
        started = time.monotonic()

        def tell(what: str) -> None:
            print(f"{time.monotonic() - started:7.1f} s  {what}", flush=True)

        async with staged(place / "runtimes", SETTINGS, github=lambda data: _github(data, calls)) as stage:
            return await _day(stage, pulls, seed, calls, tell)
    finally:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


@asynccontextmanager
async def _github(data: Path, calls: Counter[str]) -> AsyncIterator[GitHub]:
    """The simulated GitHub, counting what it is asked."""

    @web.middleware
    async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if request.path.startswith("/api/v3/"):
            calls["reads" if request.method == "GET" else "writes"] += 1
            calls["unchanged (304)"] += answer.status == 304
        return answer

    sim = GitHubSim(data)
    async with running(sim, middlewares=[counting]):
        yield cast("GitHub", sim)


async def _day(stage: Stage, pulls: int, seed: int, calls: Counter[str], tell: Callable[[str], None]) -> int:
    dice = random.Random(seed)
    stage.github.chaos.dice.seed(seed)
    pipelines = [
        await stage.pipeline(
            "day",
            files=quick("day"),
            auto_deploy=True,
            wait_for_ci=True,
            review={"wait_for_ci": number % 2 == 1, "settle_seconds": 1.0},
        )
        for number in range(PIPELINES)
    ]
    team = Team(stage=stage, dice=dice, pipelines=pipelines)
    tell(f"{pulls} pull requests by {PEOPLE} people in {PIPELINES} pipelines; seed {seed}")
    trouble.begin(stage)
    ended = _progress(team, pulls)
    strikes = asyncio.ensure_future(trouble.strike(stage, progress=ended, tell=tell))
    shown = asyncio.ensure_future(_show(team, ended, tell))
    await team.work(pulls=pulls, people=PEOPLE)
    struck = await strikes
    shown.cancel()
    for pipeline in pipelines:
        await team.judge(pipeline, await team.push(pipeline, "master", 1), green=True)
    tell("the last commit is pushed")
    verdict = await _rest(team)
    tell("at rest" if verdict.good else f"not at rest after {REST_SECONDS:.0f} s")
    happened = trouble.seen(stage, struck)
    missing = trouble.missing(happened, pulls=pulls)
    _print({**happened, **await _counts(team, calls)}, verdict, missing)
    left = await _night(team)
    print(f"after the last pull request and app: {', '.join(left) or 'nothing left'}")
    return 0 if verdict.good and not missing and not left else 1


def _progress(team: Team, pulls: int) -> Callable[[], float]:
    return lambda: (len(team.open) + team.closed + team.merged) / pulls


async def _show(team: Team, progress: Callable[[], float], tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(30)
        tell(f"{progress():.0%} of the pull requests, {len(team.stage.github.sender.log)} deliveries")


async def _rest(team: Team) -> Verdict:
    """Look until all is well, or it has taken too long."""
    await team.stage.github.settled(seconds=REST_SECONDS)
    end = time.monotonic() + REST_SECONDS
    while True:
        verdict = await judged(team)
        if verdict.good or time.monotonic() > end:
            return verdict
        await asyncio.sleep(2)


async def _night(team: Team) -> list[str]:
    """Close and destroy everything, and look for what is left on the machine."""
    stage = team.stage
    for pipeline, number in team.open:
        stage.github.close_pull(pipeline.repo, number)
    for pipeline in team.pipelines:
        for app in (pipeline.staging, pipeline.production):
            await stage.api("DELETE", f"/apps/{app}")
    end = time.monotonic() + REST_SECONDS
    while left := [*await asyncio.to_thread(remains.of_apps, stage.data), *remains.unfinished_rows(stage.data)]:
        if time.monotonic() > end:
            break
        await asyncio.sleep(1)
    return left


async def _counts(team: Team, calls: Counter[str]) -> dict[str, object]:
    counts: dict[str, object] = {
        "merged, closed, left open": f"{team.merged}, {team.closed}, {len(team.open)}",
        "commits": sum(len(each) for each in team.commits.values()),
        "asked to be delivered again": sum(each.redelivery for each in team.stage.github.sender.log),
        "API reads of GitHub": calls["reads"],
        "  of them unchanged (304)": calls["unchanged (304)"],
        "API writes to GitHub": calls["writes"],
    }
    for state, count in await team.stage.rows("SELECT state, count(*) FROM deliveries GROUP BY state"):
        counts[f"  stored, {state}"] = count
    for what, query in {
        "builds": "SELECT count(*) FROM builds",
        "releases": "SELECT count(*) FROM releases",
        "deploys superseded": "SELECT count(*) FROM requests WHERE state = 'superseded'",
        "review apps made": "SELECT count(*) FROM review_apps WHERE app_id IS NOT NULL",
    }.items():
        ((counts[what],),) = await team.stage.rows(query)
    return counts


def _print(counts: dict[str, object], verdict: Verdict, missing: list[str]) -> None:
    print()
    for what, count in counts.items():
        print(f"  {what:<32} {count}")
    found = {
        "orphaned apps": verdict.orphans,
        "wrong shas": verdict.wrong,
        "pending reports": verdict.pending,
        "refused reports": verdict.refused,
        "trouble that did not come": missing,
    }
    for what, wrong in found.items():
        print(f"  {what:<32} {len(wrong)}")
        for each in wrong:
            print(f"    {each}")
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make day", description=__doc__)
    parser.add_argument("--pulls", type=int, default=200, help="how many pull requests (200)")
    parser.add_argument("--seed", type=int, default=1, help="another number is another day (1)")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.pulls, given.seed)))
