"""The same walks without any webhook: with the App's switched off, and with nothing but a token."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from service.github.manifest import TOKEN_PERMISSIONS
from tests.attacks.canaries import kept
from tests.github_contract.fixtures import GitHub
from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Pipeline, Stage, staged
from tests.walk.test_pipeline import (
    test_a_merged_pull_request_reaches_staging_unbuilt_and_production_in_another_space_with_the_same_slug,
)
from tests.walk.test_pulled import PULL
from tests.walk.test_review_apps import test_a_pull_request_lives_from_opening_over_pushes_and_closing_to_reopening

__all__ = [
    "test_a_merged_pull_request_reaches_staging_unbuilt_and_production_in_another_space_with_the_same_slug",
    "test_a_pull_request_lives_from_opening_over_pushes_and_closing_to_reopening",
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation whose App has no active webhook: GitHub's log of deliveries is empty."""
    async with staged(runtimes, PULL) as running:
        running.github.webhook_url = ""
        running.github.sender.log.clear()
        yield running


async def test_with_nothing_but_a_token_of_the_printed_rights_a_private_repository_is_followed_to_production(
    runtimes: Path, octokit: Path
) -> None:
    """From the opening of a pull request over a merge queue and a pause to its close, to staging and a promotion."""

    def only_a_token(github: GitHub) -> dict[str, str]:
        no_app = {"TOWPATH_GITHUB_APP_ID": "", "TOWPATH_GITHUB_PRIVATE_KEY_FILE": ""}
        token = github.fine_grained_token("acme", {each.name: each.level for each in TOKEN_PERMISSIONS})
        return {**PULL, **no_app, "TOWPATH_GITHUB_TOKEN": token}

    async with staged(runtimes, only_a_token) as stage, kept(stage, partial(token_of, stage)):
        github = stage.github
        github.webhook_url = ""
        pipeline = await stage.pipeline(auto_deploy=True, private=True)
        await stage.says(pipeline.staging, "first")
        await github.push(pipeline.repo, "topic", page("found by asking"))
        pull = await github.open_pull(pipeline.repo, "topic")
        app = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]
        await until(lambda: _succeeded(stage, pipeline, pull.head_sha), what="a status says so", seconds=20)
        assert "has no webhook for Towpath" in await stage.cli_says("deliveries")
        ref = await github.enqueue(pipeline.repo, pull.number)
        tried = (await github.git.branches(pipeline.repo.id))[ref.removeprefix("refs/heads/")]
        await until(lambda: _succeeded(stage, pipeline, tried), what="the merge queue is answered", seconds=20)

        await stage.stop()
        merged = await github.merge_pull(pipeline.repo, pull.number)
        await stage.start()

        await stage.says(pipeline.staging, f"found by asking commit={merged}")
        await stage.says(app, "HTTP 404")
        await stage.cli("pipelines:promote", "-a", pipeline.staging)
        await stage.says(pipeline.production, f"found by asking commit={merged}")
        await until(lambda: stage.deployments(pipeline, pipeline.production) == ["success"], what="GitHub knows")
        assert await stage.rows("SELECT key, error FROM reports WHERE error != ''") == []


def token_of(stage: Stage) -> list[tuple[str, str]]:
    """A part in the middle: it may have been cut."""
    return [("token", stage.env["TOWPATH_GITHUB_TOKEN"].partition("_")[2][4:24])]


def _succeeded(stage: Stage, pipeline: Pipeline, sha: str) -> bool:
    shown = stage.github.repository(pipeline.repo).statuses
    return any(each.sha == sha and each.state == "success" for each in shown)
