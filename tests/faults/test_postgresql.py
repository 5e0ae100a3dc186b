"""A PostgreSQL that is restarted while something is under way: what was done stays, the rest is done once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from tests.faults.steps import AFTER, STEPS
from tests.store.fixtures import postgresql_server, postgresql_template, postgresql_url, restart_postgresql
from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage, staged

__all__ = ["postgresql_server", "postgresql_template", "postgresql_url"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def database_url(postgresql_server: Any, postgresql_template: str) -> str:
    """The template itself is nobody else's while this module runs."""
    name = f"faults_{postgresql_template.rpartition('_')[2]}"

    async def copy() -> None:
        connection = await asyncpg.connect(postgresql_server.render_as_string(hide_password=False))
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
        await connection.close()

    asyncio.run(copy())
    return str(postgresql_server.set(database=name).render_as_string(hide_password=False))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path, database_url: str) -> AsyncIterator[Stage]:
    """An installation whose database is PostgreSQL."""
    async with staged(runtimes, {"TOWPATH_DATABASE_URL": database_url}) as running:
        yield running


CASES = [(step, "immediate") for step in STEPS] + [(step, "fast") for step in ("a build", "a release phase")]


@pytest.mark.parametrize(("step", "how"), CASES)
async def test_the_effect_comes_once_when_the_database_is_restarted_in(
    step: str, how: str, stage: Stage, database_url: str
) -> None:
    right = await STEPS[step](stage)
    await asyncio.to_thread(restart_postgresql, database_url, how=how)
    await right()


async def test_a_push_while_the_database_is_restarted_is_deployed(stage: Stage, database_url: str) -> None:
    pipeline = await stage.pipeline("fault", auto_deploy=True)
    await stage.says(pipeline.staging, "first")

    restarting = asyncio.create_task(asyncio.to_thread(restart_postgresql, database_url, how="fast"))
    sha = await stage.github.push(pipeline.repo, "master", page("meanwhile"))
    await restarting
    await stage.github.settled()
    lost = [each for each in stage.github.deliveries if each.status_code >= 500 and each.event == "push"]
    for delivery in lost:  # as its operator does; the audit would find it, too
        stage.github.sender.redeliver(delivery.id)

    await stage.says(pipeline.staging, f"meanwhile commit={sha}", seconds=AFTER)
    await stage.check_is(pipeline, sha, "success")


async def test_every_part_that_is_told_to_stop_ends_though_the_database_stands_still(
    stage: Stage, database_url: str
) -> None:
    async with _standing_still(database_url):
        pids = [stage.pid(part) for part in ("worker", "web", "router")]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        await until(lambda: not any(map(_runs, pids)), seconds=10, what="all of them have ended")


@asynccontextmanager
async def _standing_still(url: str) -> AsyncIterator[None]:
    """The server and everybody in it who serves that database: nobody is refused, and nobody is answered."""
    if os.environ.get("TOWPATH_TEST_DATABASE_URL"):
        pytest.skip("the server of TOWPATH_TEST_DATABASE_URL is not ours to stop")
    connection = await asyncpg.connect(url)
    sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    serving = [row["pid"] for row in await connection.fetch(sql)]
    await connection.close()
    first = (Path(str(make_url(url).query["host"])) / "data/postmaster.pid").read_text().splitlines()[0]
    pids = [int(first), *serving]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
