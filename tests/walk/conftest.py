"""One installation per test module: starting one takes longer than most walks. Each test has its own pipeline in it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.github_contract.fixtures import octokit
from tests.walk.stage import Stage, staged
from workers.builds.runtimes import ensure

__all__ = ["octokit", "runtimes", "stage"]


@pytest.fixture(scope="session")
def runtimes() -> Iterator[Path]:
    """The managed interpreters, made once for all installations of this session."""
    place = Path(tempfile.mkdtemp(prefix="tp-runtimes-", dir="/tmp"))
    place.chmod(0o755)
    asyncio.run(ensure(place))
    yield place / "runtimes"
    shutil.rmtree(place, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """A running installation; a module that uses it has `pytestmark = pytest.mark.asyncio(loop_scope="module")`."""
    async with staged(runtimes) as running:
        yield running
