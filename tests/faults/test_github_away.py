"""A GitHub that answers badly at one step of a deploy: it is waited out, and the end is that of a day without it."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from service.demo.github_sim import Repository
from tests.faults.steps import AFTER
from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Pipeline, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS: dict[str, Callable[[Repository], str]] = {
    "look": lambda repo: rf"^GET .*/repositories/{repo.id}/git/ref/heads/master$",
    "fetch": lambda repo: rf"/{re.escape(repo.full_name)}\.git/",
    "report of a check": lambda repo: rf"^(POST|PATCH) .*/repositories/{repo.id}/check-runs",
    "report of a deployment": lambda repo: rf"^POST .*/repositories/{repo.id}/deployments",
}
"""Which requests belong to a step."""

BAD = {
    "502 twice": {"kind": "error", "status": 502, "times": 2},
    "401 although the token is good": {"kind": "error", "status": 401, "times": 1},
    "429 with retry-after": {"kind": "rate_limit", "retry_after": 1},
    "a secondary limit with retry-after": {"kind": "secondary_limit", "retry_after": 1},
    "a page of HTML with 200": {"kind": "html", "times": 2},
    "a broken connection": {"kind": "reset", "times": 2},
}
SLOW = 21.0
"""Longer than we wait for an answer."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation of its own: what GitHub limits is limited for all of it."""
    async with staged(runtimes) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(stage: Stage) -> Pipeline:
    """An app that follows its branch and serves."""
    made = await stage.pipeline("away", auto_deploy=True)
    await stage.says(made.staging, "first")
    return made


async def _comes(stage: Stage, pipeline: Pipeline, text: str) -> None:
    """A push is deployed once, and GitHub shows so."""
    github, app = stage.github, pipeline.staging
    former = [each["version"] for each in await stage.api("GET", f"/apps/{app}/releases")]
    sha = await github.push(pipeline.repo, "master", page(text))
    await stage.says(app, f"{text} commit={sha} release=v{len(former) + 1}", seconds=AFTER)
    await until(lambda: _shown(stage, pipeline, sha), seconds=AFTER, what="GitHub shows it")
    versions = [each["version"] for each in await stage.api("GET", f"/apps/{app}/releases")]
    assert sorted(versions) == list(range(1, len(former) + 2))


def _shown(stage: Stage, pipeline: Pipeline, sha: str) -> bool:
    check = stage.check(pipeline, sha)
    states = stage.deployments(pipeline, pipeline.staging)
    return (
        check is not None
        and check["conclusion"] == "success"
        and states[-1] == "success"
        and states.count("success") == 1
    )


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("step", STEPS)
async def test_a_deploy_comes_once_though_github_answers_a(
    step: str, bad: str, stage: Stage, pipeline: Pipeline
) -> None:
    stage.github.chaos.answer(pattern=STEPS[step](pipeline.repo), **BAD[bad])
    [rule] = stage.github.chaos.rules
    try:
        await _comes(stage, pipeline, f"{step} {bad}")
        assert rule.times == 0, "nobody asked"
    finally:
        stage.github.chaos.calm()


async def test_a_deploy_comes_once_though_github_answers_too_late(stage: Stage, pipeline: Pipeline) -> None:
    stage.github.chaos.answer("delay", pattern=STEPS["look"](pipeline.repo), seconds=SLOW)
    try:
        await _comes(stage, pipeline, "too late")
    finally:
        stage.github.chaos.calm()


async def test_a_deploy_comes_once_though_all_our_tokens_were_revoked(stage: Stage, pipeline: Pipeline) -> None:
    installation = stage.github.installation_of(pipeline.repo)
    assert installation is not None
    stage.github.keys.revoke_installation(installation)
    await _comes(stage, pipeline, "tokens revoked")
