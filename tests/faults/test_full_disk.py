"""A disk without room for the database: nothing is accepted that cannot be kept, apps serve on, and room mends all."""

import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.steps import AFTER
from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage, staged

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]


@contextmanager
def small_disk(data: Path) -> Iterator[None]:
    """A disk of 24 MB for the database alone."""
    place = data / "database"
    place.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "towpath-test", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(place: Path) -> Iterator[None]:
    """No room for a single page more."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 512):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation on a small disk that asks GitHub every other second what it may have missed."""
    async with staged(runtimes, {"TOWPATH_AUDIT_SECONDS": "2"}, disk=small_disk) as running:
        yield running


async def test_a_push_on_a_full_disk_is_refused_and_deployed_once_there_is_room(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    app = pipeline.staging
    await stage.says(app, "first")
    await stage.deployments_are(pipeline, app, "success")

    with filled(stage.data / "database"):
        before = len(stage.github.deliveries)
        serial = itertools.count()

        async def refused() -> bool:
            # What fits into old pages of the database's log is kept, so it may be accepted.
            await stage.github.push(pipeline.repo, "topic", {"serial.txt": str(next(serial))})
            await stage.github.settled()
            return any(each.status_code >= 500 for each in stage.github.deliveries[before:])

        await until(refused, seconds=AFTER, what="a webhook refused")
        sha = await stage.github.push(pipeline.repo, "master", page("with room"))
        for _ in range(10):
            assert "first" in await stage.page(app)

    await stage.says(app, f"with room commit={sha} release=v2", seconds=AFTER)
    await stage.check_is(pipeline, sha, "success")
    await stage.deployments_are(pipeline, app, "inactive", "success")
