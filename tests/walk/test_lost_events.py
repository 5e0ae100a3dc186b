"""Webhooks that are lost, doubled or out of order, and a GitHub that is away: the end is the same."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation that asks GitHub every other second what it may have missed."""
    async with staged(runtimes, {"TOWPATH_AUDIT_SECONDS": "2"}) as running:
        yield running


async def test_an_audit_finds_what_no_webhook_told(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    github.chaos.webhooks.drop = 1.0
    try:
        await github.push(repo, "topic", page("untold"))
        pull = await github.open_pull(repo, "topic")
        review = await stage.review_is(pipeline, pull.number, "live")
        app = review["app"]["name"]
        second = await github.push(repo, "topic", page("still untold"))
        await stage.says(app, f"still untold commit={second}")
        merged = await github.merge_pull(repo, pull.number)
        await stage.says(pipeline.staging, f"still untold commit={merged}")
        await stage.says(app, "HTTP 404")
        await stage.deployments_are(pipeline, app, "inactive", "inactive")
        await until(lambda: _limit_is_told(stage), what="what is left of GitHub's limit")
    finally:
        github.chaos.calm()


async def _limit_is_told(stage: Stage) -> bool:
    headers = {"Authorization": f"Bearer {stage.token}"}
    async with stage.http.get(f"http://127.0.0.1:{stage.port}/metrics", headers=headers) as answer:
        assert answer.status == 200
        return re.search(r'\ntowpath_github_requests_left\{installation="\d+"\} \d+\n', await answer.text()) is not None


async def test_doubled_and_shuffled_webhooks_change_nothing(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    github.chaos.webhooks.duplicate = 1.0
    github.chaos.webhooks.reorder = 4
    try:
        await github.push(repo, "topic", page("one"))
        pull = await github.open_pull(repo, "topic")
        newest = await github.push(repo, "topic", page("two"))
        github.close_pull(repo, pull.number)
        await github.reopen_pull(repo, pull.number)
        merged = await github.push(repo, "master", page("three"))
        github.chaos.calm()
        await github.settled()
    finally:
        github.chaos.calm()

    review = await stage.review_is(pipeline, pull.number, "live")
    await stage.says(review["app"]["name"], f"two commit={newest}")
    await stage.says(pipeline.staging, f"three commit={merged}")
    await stage.check_is(pipeline, newest, "success")
    await until(lambda: stage.deployments(pipeline, review["app"]["name"])[-1:] == ["success"], seconds=20)
    assert stage.deployments(pipeline, review["app"]["name"]).count("success") == 1
    versions = [each["version"] for each in await stage.api("GET", f"/apps/{pipeline.staging}/releases")]
    assert sorted(versions) == [1, 2]


async def test_what_github_refuses_to_hear_it_is_told_later(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    github.chaos.answer("error", pattern=r"^(POST|PATCH) .*/(check-runs|deployments|statuses)", times=None, status=502)
    await github.push(repo, "topic", page("told later"))
    pull = await github.open_pull(repo, "topic")
    review = await stage.review_is(pipeline, pull.number, "live")
    app = review["app"]["name"]
    await stage.says(app, "told later")
    assert stage.check(pipeline, pull.head_sha) is None

    github.chaos.calm()

    await stage.check_is(pipeline, pull.head_sha, "success")
    await stage.deployments_are(pipeline, app, "success")


async def test_an_answer_that_is_lost_makes_no_second_check_or_deployment(stage: Stage) -> None:
    pipeline = await stage.pipeline()
    github, repo = stage.github, pipeline.repo
    for kind in ("check-runs", "deployments"):
        github.chaos.answer("reset_after", pattern=rf"^POST .*/{kind}$", times=1)
    await github.push(repo, "topic", page("told once"))
    pull = await github.open_pull(repo, "topic")

    review = await stage.review_is(pipeline, pull.number, "live")

    await stage.check_is(pipeline, pull.head_sha, "success")
    await stage.deployments_are(pipeline, review["app"]["name"], "success")
    github.chaos.calm()


async def test_an_outage_of_github_destroys_nothing_and_the_push_after_it_is_deployed(stage: Stage) -> None:
    pipeline = await stage.pipeline()
    github, repo = stage.github, pipeline.repo
    await github.push(repo, "topic", page("before"))
    pull = await github.open_pull(repo, "topic")
    app = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]
    await stage.check_is(pipeline, pull.head_sha, "success")
    failed = "SELECT count(*) FROM facts WHERE repository_id = ? AND attempts > 0"

    github.chaos.outage = True
    sha = await github.push(repo, "topic", page("after"))
    await until(lambda: _counted(stage, failed, repo.id), what="a look fails", seconds=20)
    assert "before" in await stage.page(app)
    github.chaos.calm()

    await stage.says(app, f"after commit={sha}")
    await stage.check_is(pipeline, sha, "success")


async def _counted(stage: Stage, sql: str, *values: object) -> bool:
    [(count,)] = await stage.rows(sql, *values)
    return bool(count)
