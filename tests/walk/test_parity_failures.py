"""Whatever a repository holds, a deploy ends, says why on GitHub and here, and what served before serves on."""

import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.waiting import until
from tests.walk.acting import current, deployed
from tests.walk.samples import page, quick
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOISE = bytes(range(256)) * 64
LATE = "import time\ntime.sleep(2)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A change to a good repository, and the words that must be told. `released`: it came as far as a release.

    `printed` is what the step said itself that failed.
    """

    files: dict[str, str | bytes | None]
    cause: str
    released: bool = False
    link: str = ""
    printed: str = ""


BAD = {
    "a build that fails": Bad(files={"package.json": "{ no JSON"}, cause="package.json"),
    "no Procfile and nothing that tells": Bad(files={"Procfile": None}, cause="No buildpack fits"),
    "no Procfile in a Python app": Bad(
        files={"Procfile": None, "requirements.txt": ""}, cause="add a Procfile that names a process"
    ),
    "a Procfile with only a release command": Bad(
        files={"Procfile": "release: true\n"}, cause="add a Procfile that names a process"
    ),
    "an empty Procfile": Bad(files={"Procfile": ""}, cause="add a Procfile that names a process"),
    "a Procfile that is a link": Bad(files={}, link="Procfile", cause="Procfile is a symbolic link"),
    "a Procfile of 64 MB": Bad(files={"Procfile": b"web: x\n" * (64 * 2**20 // 7)}, cause="Procfile is 64 MB"),
    "a binary Procfile": Bad(files={"Procfile": b"web: a\0b\n"}, cause="Procfile is a binary file"),
    "a Procfile that is not UTF-8": Bad(files={"Procfile": b"web: caf\xe9\n"}, cause="Procfile is not UTF-8"),
    "a Procfile line without a command": Bad(files={"Procfile": "web\n"}, cause="line 1: expected TYPE: COMMAND"),
    "an app.json that is a link": Bad(files={}, link="app.json", cause="app.json is a symbolic link"),
    "an app.json of 64 MB": Bad(files={"app.json": b" " * (64 * 2**20)}, cause="app.json is 64 MB"),
    "a binary app.json": Bad(files={"app.json": NOISE}, cause="app.json is not UTF-8"),
    "an app.json that is no JSON": Bad(files={"app.json": "{"}, cause="app.json"),
    "a release command that fails": Bad(
        files={"Procfile": quick("")["Procfile"] + "release: echo no table; exit 3\n"},
        cause="release command failed with exit code 3",
        released=True,
        printed="no table\n",
    ),
    "a web process that exits at once": Bad(
        files={"server.py": "raise SystemExit('no such table')\n"}, cause="web.1 exited with status 1", released=True
    ),
    "a web process that is not there": Bad(
        files={"Procfile": "web: ./no-such-program\n"}, cause="web.1 exited with status 127", released=True
    ),
    "a web process that never binds": Bad(
        files={"server.py": "import time\ntime.sleep(600)\n"},
        cause="web.1 did not listen on $PORT within",
        released=True,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation where a web process has six seconds to bind."""
    async with staged(runtimes, {"TOWPATH_BOOT_SECONDS": "6"}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(stage: Stage) -> Pipeline:
    """An app that serves a good release."""
    pipeline = await stage.pipeline("bad", automatic=False, files=quick("good"))
    await deployed(stage, pipeline.staging)
    await stage.says(pipeline.staging, "good")
    return pipeline


async def pushed(stage: Stage, pipeline: Pipeline, bad: Bad, branch: str) -> str:
    """Commit the change on a branch of its own."""
    master = await stage.github.head(pipeline.repo)
    await stage.github.set_branch(pipeline.repo, branch, master)
    sha = await stage.github.push(pipeline.repo, branch, bad.files | {"which.txt": branch})
    if bad.link:
        sha = await _linked(stage, pipeline, branch, sha, bad.link)
    return sha


async def _linked(stage: Stage, pipeline: Pipeline, branch: str, sha: str, name: str) -> str:
    """Make a file of the commit a symbolic link to /etc/passwd; the simulated GitHub writes plain files only."""
    git, number = stage.github.git, pipeline.repo.id
    blob = (await git.run(number, "hash-object", "-w", "--stdin", stdin=b"/etc/passwd")).decode().strip()
    entries = (await git.text(number, "ls-tree", sha)).splitlines()
    kept = [entry for entry in entries if entry.partition("\t")[2] != name]
    tree = await git.run(
        number, "mktree", stdin="".join(f"{line}\n" for line in [*kept, f"120000 blob {blob}\t{name}"]).encode()
    )
    made = await git.text(number, "commit-tree", tree.decode().strip(), "-p", sha, "-m", "A link")
    await stage.github.set_branch(pipeline.repo, branch, made)
    return made


@pytest.mark.parametrize("what", BAD)
async def test_ends_with_its_cause_while_the_old_release_serves_on(stage: Stage, serving: Pipeline, what: str) -> None:
    bad, app, branch = BAD[what], serving.staging, what.replace(" ", "-").lower()
    before = await current(stage, app)
    shown = len(stage.deployments(serving, app))
    sha = await pushed(stage, serving, bad, branch)

    done = await deployed(stage, app, branch, state="failed")

    assert bad.cause in done["reason"]
    check = await stage.check_is(serving, sha, "failure")
    assert bad.cause in check["output"]["title"] + check["output"]["summary"]
    assert bad.printed in check["output"]["summary"]
    assert bad.cause in str(await stage.api("GET", f"/apps/{app}/requests"))
    if bad.released:
        await until(lambda: stage.deployments(serving, app)[shown:] == ["failure"], seconds=STEP_SECONDS)
        assert bad.cause in stage.github.reported(serving.repo)["deployments"][-1]["statuses"][-1]["description"]
    else:
        assert len(stage.deployments(serving, app)) == shown
        assert (await stage.api("GET", f"/apps/{app}/builds/{done['id']}"))["status"] == "failed"
    assert bad.cause in await stage.cli("why", app)
    assert "success" in stage.deployments(serving, app)
    assert "good" in await stage.page(app)
    assert await current(stage, app) == before
    assert done["release"] is None or done["release"]["status"] == "failed"


async def test_the_command_line_tells_the_cause_and_fails(stage: Stage, serving: Pipeline) -> None:
    await stage.github.push(serving.repo, "told", {"Procfile": None})

    with pytest.raises(AssertionError, match="No buildpack fits"):
        await stage.cli("deploy", "told", "-a", serving.staging)


async def test_a_web_process_that_binds_late_is_waited_for(stage: Stage, serving: Pipeline) -> None:
    pipeline = await stage.pipeline(
        "late", automatic=False, files={**quick(""), "server.py": LATE + page("late")["server.py"]}
    )
    await deployed(stage, pipeline.staging)
    await stage.says(pipeline.staging, "late")


async def test_a_release_that_is_not_healthy_where_that_is_asked_gets_no_traffic(stage: Stage) -> None:
    sick = page("well")["server.py"].replace(
        "send_response(200)", 'send_response(500 if self.path == "/sick" else 200)'
    )
    pipeline = await stage.pipeline("health", automatic=False, files={**quick(""), "server.py": sick})
    app = pipeline.staging
    await stage.cli("pipelines:settings", "health_path=/fine", "-p", pipeline.name)
    await deployed(stage, app)
    await stage.says(app, "well commit=")
    await stage.cli("pipelines:settings", "health_path=/sick", "-p", pipeline.name)
    sha = await stage.github.push(pipeline.repo, "master", {"server.py": sick.replace("well", "ill")})

    done = await deployed(stage, app, state="failed")

    assert "web.1 did not answer GET /sick with 2xx or 3xx within 6 s" in done["reason"]
    await stage.check_is(pipeline, sha, "failure")
    assert (await stage.page(app)).startswith("well commit=")
    assert (await current(stage, app))["version"] == 1


async def test_an_app_json_is_not_needed(stage: Stage, serving: Pipeline) -> None:
    assert (
        "app.json"
        not in subprocess.run(
            ["git", "ls-tree", "-r", "--name-only", await stage.github.head(serving.repo)],
            cwd=stage.github.git.path(serving.repo.id),
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    )
    assert (await current(stage, serving.staging))["status"] == "succeeded"
