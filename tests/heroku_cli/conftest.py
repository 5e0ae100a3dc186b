"""Heroku's own command line, unmodified, against an installation as users run it."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.cli.heroku.front import Front, fronting
from service.cli.heroku.surroundings import furnish, surroundings
from service.cli.profile import Profile
from tests.github_contract.fixtures import octokit
from tests.heroku_cli.heroku import PROGRAM, SOCKETS, Heroku, Watched, watching
from tests.walk.conftest import runtimes, stage
from tests.walk.stage import Stage

__all__ = ["front", "heroku", "octokit", "over", "runtimes", "sockets", "stage", "watched"]


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


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is written down to which addresses the command line behind the front has opened sockets."""
    return tmp_path_factory.mktemp("sockets") / "opened"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    """The front of `towpath heroku`, for as long as the module's tests run."""
    profile = Profile(url=f"http://localhost:{stage.port}", token=stage.token)
    async with fronting(profile, place=tmp_path_factory.mktemp("front")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def over(
    program: Path, stage: Stage, front: Front, sockets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Heroku:
    """The command line behind the front, over TLS, in a clone of a repository; its sockets are watched."""
    home, clone = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("clone")
    profile = Profile(url=f"http://localhost:{stage.port}", token=stage.token)
    furnish(home, profile=profile, front=front)
    path = f"{program.parents[2] / '.bin'}:{os.environ['PATH']}"  # git asks `heroku` for the token
    env = surroundings({"PATH": path}, profile=profile, front=front, home=home)
    watching_it = {"NODE_OPTIONS": f"--require {SOCKETS}", "SOCKETS_FILE": str(sockets)}
    heroku = Heroku(program=program, env={**env, **watching_it, "NO_COLOR": "1", "BROWSER": "/bin/true"}, cwd=clone)
    await heroku.git("init", "--quiet", "--initial-branch", "main")
    await heroku.git("commit", "--quiet", "--allow-empty", "--message", "First")
    return heroku
