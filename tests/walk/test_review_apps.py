"""A pull request's life, from its webhook to what GitHub and a browser see."""

import pytest

from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_pull_request_gets_a_review_app_that_github_shows(stage: Stage) -> None:
    pipeline = await stage.pipeline()
    await stage.github.push(pipeline.repo, "topic", page("from the pull request"))
    pull = await stage.github.open_pull(pipeline.repo, "topic", title="Change")

    review = await stage.review_is(pipeline, pull.number, "live")

    assert review["app"]["name"].endswith(f"-pr-{pull.number}")
    assert f"from the pull request commit={pull.head_sha}" in await stage.page(review["app"]["name"])
    await stage.check_is(pipeline, pull.head_sha, "success")
    await stage.deployments_are(pipeline, review["app"]["name"], "success")
    assert await until(lambda: stage.github.reported(pipeline.repo)["deployments"][0]["statuses"])
