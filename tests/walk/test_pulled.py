"""The same walks where GitHub cannot reach us: every delivery fails, and is fetched from GitHub's log of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage, staged
from tests.walk.test_lost_events import test_doubled_and_shuffled_webhooks_change_nothing
from tests.walk.test_pipeline import (
    test_a_merged_pull_request_reaches_staging_unbuilt_and_production_in_another_space_with_the_same_slug,
    test_staging_waits_for_ci_and_deploys_only_what_is_green,
)
from tests.walk.test_review_apps import (
    test_a_pull_request_lives_from_opening_over_pushes_and_closing_to_reopening,
    test_a_review_app_that_waits_for_ci_comes_when_ci_is_green,
    test_closing_during_the_build_ends_it_and_leaves_nothing_unfinished,
)

__all__ = [
    "test_a_merged_pull_request_reaches_staging_unbuilt_and_production_in_another_space_with_the_same_slug",
    "test_a_pull_request_lives_from_opening_over_pushes_and_closing_to_reopening",
    "test_a_review_app_that_waits_for_ci_comes_when_ci_is_green",
    "test_closing_during_the_build_ends_it_and_leaves_nothing_unfinished",
    "test_doubled_and_shuffled_webhooks_change_nothing",
    "test_staging_waits_for_ci_and_deploys_only_what_is_green",
]

pytestmark = pytest.mark.asyncio(loop_scope="module")

PULL = {"TOWPATH_GITHUB_PULL": "on", "TOWPATH_PULL_SECONDS": "0.5"}
NOWHERE = "http://127.0.0.1:1/github/webhooks"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation that no webhook reaches."""
    async with staged(runtimes, PULL) as running:
        running.github.webhook_url = NOWHERE
        yield running


async def test_what_happened_while_it_was_off_is_taken_when_it_is_back(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    await github.push(repo, "old", page("old"))
    old = await github.open_pull(repo, "old")
    app = (await stage.review_is(pipeline, old.number, "live"))["app"]["name"]
    assert "deliveries are pulled from its API every 0.5 s" in stage.output.read_text()

    await stage.stop()
    before = len(github.deliveries)
    github.close_pull(repo, old.number)
    await github.push(repo, "new", page("new"))
    new = await github.open_pull(repo, "new")
    newest = await github.push(repo, "master", page("second"))
    await stage.start()

    await stage.says(pipeline.staging, f"second commit={newest}")
    await stage.says((await stage.review_is(pipeline, new.number, "live"))["app"]["name"], "new")
    await stage.says(app, "HTTP 404")
    meant = {one.guid for one in github.deliveries[before:] if one.event in {"push", "pull_request"}}
    assert len(meant) == 4
    await until(lambda: _taken(stage, meant), what="all that GitHub could not send is taken", seconds=20)


async def _taken(stage: Stage, meant: set[str]) -> bool:
    return meant <= {guid for (guid,) in await stage.rows("SELECT guid FROM deliveries")}
