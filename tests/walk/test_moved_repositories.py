"""A repository that is renamed, given away and archived while its apps run, told by webhooks or found by the audit."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    """An installation that asks GitHub every other second what it may have missed."""
    async with staged(runtimes, {"TOWPATH_AUDIT_SECONDS": "2"}) as running:
        yield running


async def shown(stage: Stage, pipeline: Pipeline, words: str) -> None:
    """Wait until the pipeline says so of its repository."""

    async def look() -> bool:
        return words in await stage.cli("pipelines:info", pipeline.name)

    await until(look, seconds=STEP_SECONDS, what=words)


@pytest.mark.parametrize("lost", [0.0, 1.0], ids=["told by webhooks", "found by the audit"])
async def test_apps_go_on_whatever_their_repository_is_called_and_whose_it_is(stage: Stage, lost: float) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    await github.push(repo, "topic", page("before"))
    pull = await github.open_pull(repo, "topic")
    app = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]
    await stage.check_is(pipeline, pull.head_sha, "success")

    former, owner = repo.full_name, stage.name("globex")
    github.install(owner)
    github.chaos.webhooks.drop = lost
    try:
        github.rename_repo(repo, f"{repo.name}-renamed")
        await github.create_repo(former, files={"page": "another repository by now"})
        second = await github.push(repo, "topic", page("renamed"))
        await stage.says(app, f"renamed commit={second}")
        await stage.check_is(pipeline, second, "success")
        await stage.deployments_are(pipeline, app, "inactive", "success")

        github.transfer_repo(repo, owner)
        await shown(stage, pipeline, f"{owner}/{repo.name}")
        merged = await github.merge_pull(repo, pull.number)
        await stage.says(pipeline.staging, f"renamed commit={merged}")
        await stage.says(app, "HTTP 404")
        await stage.deployments_are(pipeline, app, "inactive", "inactive")
        await stage.check_is(pipeline, merged, "success")
    finally:
        github.chaos.calm()
    impostor = github.reported(github.repository(former))
    assert (impostor["check_runs"], impostor["deployments"]) == ([], [])


async def test_an_archived_repository_keeps_its_apps_and_is_told_what_it_missed_once_it_is_open_again(
    stage: Stage,
) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await stage.says(pipeline.staging, "first")
    await github.push(repo, "topic", page("of a pull request"))
    pull = await github.open_pull(repo, "topic")
    app = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]
    await stage.check_is(pipeline, pull.head_sha, "success")
    github.set_archived(repo)
    await shown(stage, pipeline, "archived: GitHub takes no reports")
    await stage.cli("pipelines:promote", "-a", pipeline.staging)
    await stage.says(pipeline.production, "first")
    assert "of a pull request" in await stage.page(app)
    asked = "SELECT count(*) FROM reports WHERE repository_id = ? AND error LIKE '%archived%' AND NOT pending"

    async def refused() -> bool:
        [(count,)] = await stage.rows(asked, repo.id)
        return bool(count)

    await until(refused, seconds=STEP_SECONDS, what="GitHub refuses the report of an archived repository")
    assert stage.deployments(pipeline, pipeline.production) == []
    github.set_archived(repo, False)
    await stage.deployments_are(pipeline, pipeline.production, "success")


@pytest.mark.parametrize("lost", [0.0, 1.0], ids=["told by webhooks", "found by the audit"])
async def test_what_follows_the_default_branch_follows_it_to_its_new_name(stage: Stage, lost: float) -> None:
    pipeline = await stage.pipeline()
    github, repo = stage.github, pipeline.repo
    await stage.cli("deploy:auto", "on", "-a", pipeline.staging)
    await stage.cli("deploy:auto", "on", "-a", pipeline.production, "--branch", "master")
    await stage.says(pipeline.staging, "first")
    await stage.says(pipeline.production, "first")
    github.chaos.webhooks.drop = lost
    try:
        await github.rename_branch(repo, "master", "main")
        newest = await github.push(repo, "main", page("on main"))
        await stage.says(pipeline.staging, f"on main commit={newest}")
        assert "first" in await stage.page(pipeline.production)

        async def told() -> bool:
            return "there is no branch master now" in await stage.cli("apps:info", "-a", pipeline.production)

        await until(told, seconds=STEP_SECONDS, what="production says that its branch is gone")
        await stage.cli("deploy:auto", "on", "-a", pipeline.production, "--default-branch")
        await stage.says(pipeline.production, f"on main commit={newest}")
    finally:
        github.chaos.calm()
