"""Heroku's own command line, unmodified, against an installation as users run it."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.github_contract.fixtures import octokit
from tests.heroku_cli.heroku import PROGRAM, Heroku, Watched, watching
from tests.walk.conftest import runtimes, stage
from tests.walk.stage import Stage

__all__ = ["heroku", "octokit", "runtimes", "stage", "watched"]


@pytest.fixture(scope="module")
def program() -> Path:
    """Where Heroku's command line is."""
    if PROGRAM.exists() and shutil.which("node"):
        return PROGRAM
    text = "Heroku's command line is not in build/heroku (needs Node; `make npm` installs it)"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Watched]:
    """The only way out of this machine that the command line is given: it leads nowhere, and writes down who knocked."""
    async with watching() as door:
        yield door


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def heroku(program: Path, stage: Stage, watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> Heroku:
    """The command line as a user has it who set HEROKU_HOST and HEROKU_API_KEY."""
    home = tmp_path_factory.mktemp("home")
    return Heroku.at(program, home=home, url=f"http://127.0.0.1:{stage.port}", token=stage.token, door=watched)
