"""The main story once more, with everything in PostgreSQL."""

from pathlib import Path

from tests.store.fixtures import postgresql_server, postgresql_template, postgresql_url
from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage, staged

__all__ = ["postgresql_server", "postgresql_template", "postgresql_url"]


async def test_the_story_from_pull_request_to_production_on_postgresql(
    runtimes: Path,
    octokit: Path,
    postgresql_url: str,
) -> None:
    async with staged(runtimes, {"TOWPATH_DATABASE_URL": postgresql_url}) as stage:
        pipeline = await stage.pipeline(auto_deploy=True)
        github, repo = stage.github, pipeline.repo
        await stage.says(pipeline.staging, "first")
        await github.push(repo, "topic", page("in review"))
        pull = await github.open_pull(repo, "topic")
        app = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]
        await stage.says(app, "in review")
        await stage.check_is(pipeline, pull.head_sha, "success")
        second = await github.push(repo, "topic", page("second thought"))
        await stage.says(app, f"second thought commit={second}")

        await stage.kill("worker")
        merged = await github.merge_pull(repo, pull.number)

        await stage.says(pipeline.staging, f"second thought commit={merged}")
        await stage.says(app, "HTTP 404")
        await stage.cli("pipelines:promote", "-a", pipeline.staging)
        await stage.says(pipeline.production, f"second thought commit={merged}")
        await stage.deployments_are(pipeline, app, "inactive", "inactive")
        await stage.deployments_are(pipeline, pipeline.staging, "inactive", "success")
        await stage.deployments_are(pipeline, pipeline.production, "success")
        await until(lambda: _gone(stage, app), what="the review app is gone")
        assert not (stage.data / "database/towpath.db").exists()


async def _gone(stage: Stage, app: str) -> bool:
    return app not in {each["name"] for each in await stage.api("GET", "/apps")}
