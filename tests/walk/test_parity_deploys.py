"""Parity with Heroku, rows 4 and 5: pushes to the followed branch, with CI and without, a deploy by hand, and git push."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from tests.walk.acting import current, deployed, pushable
from tests.walk.samples import page, quick
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage
from tests.web.git.pushing import Clone

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def builds(stage: Stage, app: str) -> list[tuple[str, str]]:
    """The commits an app was deployed from, oldest first, and how each ended."""
    listed = await stage.api("GET", f"/apps/{app}/builds")
    return [(each["source_blob"]["version"], each["status"]) for each in reversed(listed)]


async def why(stage: Stage, app: str, text: str) -> None:
    """Wait until an app says that it waits, and for what."""
    seen: Any = None

    async def look() -> bool:
        nonlocal seen
        rows = await stage.rows(
            "SELECT s.reason FROM subjects s JOIN apps a ON a.id = s.key WHERE s.kind = 'auto_deploy' AND a.name = ?",
            app,
        )
        seen = rows[0][0] if rows else None
        return seen is not None and text in seen

    try:
        await until(look, seconds=STEP_SECONDS)
    except AssertionError:
        raise AssertionError(f"{app} does not say {text!r} but {seen!r}") from None


async def told(stage: Stage, pipeline: Pipeline, sha: str, text: str) -> None:
    """Wait until our check says on GitHub, without blocking anybody, why nothing is deployed."""

    def look() -> bool:
        check = stage.check(pipeline, sha)
        return check is not None and text in check["output"]["title"]

    await until(look, seconds=STEP_SECONDS, what=f"{text} on {sha[:7]}")
    assert stage.check(pipeline, sha)["conclusion"] == "neutral"


async def waiting(stage: Stage, base: str, *, gate: float = 3600.0) -> Pipeline:
    """A pipeline whose staging app follows master and waits for CI, with a team's minutes as seconds."""
    seconds = {"settle_seconds": 0.5, "gate_seconds": gate}
    return await stage.pipeline(base, automatic=False, auto_deploy=True, wait_for_ci=True, review=seconds)


async def test_push_gives_one_build(stage: Stage) -> None:
    pipeline = await stage.pipeline("push", automatic=False, auto_deploy=True)
    await stage.says(pipeline.staging, "first")
    await stage.github.push(pipeline.repo, "elsewhere", page("on another branch"))

    sha = await stage.github.push(pipeline.repo, "master", page("pushed"))

    await stage.says(pipeline.staging, f"pushed commit={sha}")
    await stage.check_is(pipeline, sha, "success")
    await stage.github.settled()
    assert [each for each in await builds(stage, pipeline.staging) if each[0] == sha] == [(sha, "succeeded")]
    assert len(await builds(stage, pipeline.staging)) == 2
    assert "elsewhere" not in str(await stage.api("GET", f"/apps/{pipeline.staging}/requests"))


async def test_wait_for_ci_pending_failure_re_run_all_success_and_late_status(stage: Stage) -> None:
    pipeline = await waiting(stage, "gate")
    github, repo, app = stage.github, pipeline.repo, pipeline.staging
    sha = await github.push(repo, "master", page("gated"))
    await github.set_status(repo, sha, "pending", context="lint")
    run = await github.create_check_run(repo, sha, "test", status="in_progress")
    await why(stage, app, "waiting for: ")

    await github.set_status(repo, sha, "success", context="lint")
    await why(stage, app, "waiting for: test")
    await github.update_check_run(repo, run.id, status="completed", conclusion="failure")
    await why(stage, app, "CI failed: test")
    await told(stage, pipeline, sha, "CI failed: test")
    assert await builds(stage, app) == []

    again = await github.create_check_run(repo, sha, "test", status="in_progress")
    await why(stage, app, "waiting for: test")
    await github.update_check_run(repo, again.id, status="completed", conclusion="success")
    await stage.says(app, f"gated commit={sha}")
    await stage.check_is(pipeline, sha, "success")

    await github.set_status(repo, sha, "failure", context="late")
    await github.settled()
    await why(stage, app, f"{sha[:7]} is deployed")
    assert await builds(stage, app) == [(sha, "succeeded")]
    assert "gated" in await stage.page(app)


async def test_wait_for_ci_with_no_status_at_all_deploys_nothing(stage: Stage) -> None:
    pipeline = await waiting(stage, "none", gate=3.0)
    sha = await stage.github.push(pipeline.repo, "master", page("unseen by CI"))

    await why(stage, pipeline.staging, "waiting for: a first status or check")
    await why(stage, pipeline.staging, "no CI found")

    await told(stage, pipeline, sha, "no CI found")
    assert await builds(stage, pipeline.staging) == []


async def test_newer_push_supersedes_the_one_that_waits(stage: Stage) -> None:
    pipeline = await waiting(stage, "newer")
    github, repo, app = stage.github, pipeline.repo, pipeline.staging
    older = await github.push(repo, "master", page("older"))
    await github.set_status(repo, older, "pending", context="test")
    await why(stage, app, "waiting for: test")
    newer = await github.push(repo, "master", page("newer"))
    await github.set_status(repo, newer, "pending", context="test")

    await github.set_status(repo, older, "success", context="test")
    await github.set_status(repo, newer, "success", context="test")

    await stage.says(app, f"newer commit={newer}")
    assert await builds(stage, app) == [(newer, "succeeded")]
    await told(stage, pipeline, older, f"superseded by {newer[:7]}")


async def test_manual_branch_deploy_ignores_ci_and_is_overwritten_by_the_next_push(stage: Stage) -> None:
    pipeline = await waiting(stage, "manual")
    github, repo, app = stage.github, pipeline.repo, pipeline.staging
    red = await github.push(repo, "topic", page("by hand"))
    await github.set_status(repo, red, "failure", context="test")

    done = await deployed(stage, app, "topic")

    assert (done["commit"], done["by_person"]) == (red, True)
    await stage.says(app, f"by hand commit={red}")
    sha = await github.push(repo, "master", page("by itself"))
    await github.set_status(repo, sha, "success", context="test")
    await stage.says(app, f"by itself commit={sha}")
    assert (await current(stage, app))["commit"] == sha


async def test_a_deploy_of_an_explicit_commit_holds_until_a_person_resumes(stage: Stage) -> None:
    pipeline = await stage.pipeline("held", automatic=False, auto_deploy=True)
    github, repo, app = stage.github, pipeline.repo, pipeline.staging
    former = await github.head(repo)
    await stage.says(app, "first")
    await github.push(repo, "master", page("second"))
    await stage.says(app, "second")
    await deployed(stage, app, former)
    newest = await github.push(repo, "master", page("kept back"))
    await why(stage, app, "held at v3")
    await stage.says(app, f"first commit={former} release=v3")

    await stage.api("PATCH", f"/apps/{app}/github", {"auto_deploy": True})

    await stage.says(app, f"kept back commit={newest}")


async def test_git_push_goes_live_and_the_next_one_too(stage: Stage, tmp_path: Path) -> None:
    app, clone = await pushable(stage, tmp_path, quick("first") | {"release.py": "print('migrated')"})
    await clone.commit(
        {"Procfile": quick("")["Procfile"] + "release: /opt/towpath/runtimes/python/bin/python3 release.py\n"}
    )
    said = await clone.says("push", "towpath", "main")
    assert said.code == 0, said.text
    assert said.remote.index("Building on the") < said.remote.index("migrated") < said.remote.index("deploy... done.")
    await stage.says(app, "first")
    sha = await clone.commit(page("second") | {"noise": os.urandom(2 << 20)})
    # Larger than git sends in one piece.
    said = await clone.says("push", "towpath", "main")
    assert said.code == 0, said.text
    await stage.says(app, f"second commit={sha} release=v2")  # the router looks for new routes now and then
    other = Clone(path=tmp_path / "other")
    url = await clone.git("remote", "get-url", "towpath")
    await clone.git("clone", "--quiet", url, str(other.path))
    assert await other.head() == sha
    if os.geteuid() == 0:
        kept = [each for each in (stage.data / "pushes").rglob("*") if each.lstat().st_uid]
        assert kept == [], "what the web process keeps stays root's on disk"
