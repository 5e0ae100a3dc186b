"""A pull request's life, from its webhooks to what GitHub and a browser see."""

import asyncio

import pytest

from service.demo import remains
from tests.waiting import until
from tests.walk.samples import page, quick, slow
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREDESTROY = {"scripts": {"pr-predestroy": "echo 'predestroy was here'"}}


async def test_a_pull_request_lives_from_opening_over_pushes_and_closing_to_reopening(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=quick("first", app_json=PREDESTROY))
    github, repo = stage.github, pipeline.repo
    await github.push(repo, "topic", page("from the pull request"))
    pull = await github.open_pull(repo, "topic", title="Change")

    review = await stage.review_is(pipeline, pull.number, "live")
    app = review["app"]["name"]
    assert app.endswith(f"-pr-{pull.number}")
    assert f"from the pull request commit={pull.head_sha} release=v1" in await stage.page(app)
    await stage.check_is(pipeline, pull.head_sha, "success")
    await stage.deployments_are(pipeline, app, "success")

    second = await github.push(repo, "topic", page("second thought"))
    await stage.says(app, f"second thought commit={second} release=v2")
    await stage.check_is(pipeline, second, "success")
    await stage.deployments_are(pipeline, app, "inactive", "success")

    app_id = review["app"]["id"]
    github.close_pull(repo, pull.number)
    await stage.says(app, "HTTP 404")
    await until(lambda: _is_gone(stage, app), what="the app is gone")
    await stage.deployments_are(pipeline, app, "inactive", "inactive")
    assert await stage.review(pipeline, pull.number) is None
    [(exit_code,)] = await stage.rows("SELECT exit_code FROM commands WHERE app_id = ? AND step = 'predestroy'", app_id)
    assert exit_code == 0
    refused = await stage.api("POST", "/apps", {"name": app}, status=422)
    assert "message" in refused

    await github.reopen_pull(repo, pull.number)
    await stage.says(app, f"second thought commit={second} release=v1")
    again = await stage.review_is(pipeline, pull.number, "live")
    assert again["app"]["name"] == app
    assert again["app"]["id"] != app_id
    await stage.check_is(pipeline, second, "success")
    await stage.deployments_are(pipeline, app, "inactive", "inactive", "success")


async def _is_gone(stage: Stage, app: str) -> bool:
    return app not in {each["name"] for each in await stage.api("GET", "/apps")}


async def test_a_pull_request_of_a_fork_is_listed_and_says_why_it_waits(stage: Stage) -> None:
    pipeline = await stage.pipeline()
    fork = await stage.github.fork(pipeline.repo, "stranger")
    await stage.github.push(fork, "evil", page("mine all mine"))
    pull = await stage.github.open_pull(pipeline.repo, "evil", head_repo=fork, by="stranger")

    review = await stage.review_is(pipeline, pull.number, "waiting")

    assert "fork" in review["reason"]
    assert "approval" in review["reason"]
    assert review["app"] is None
    check = await stage.check_is(pipeline, pull.head_sha, "neutral")
    assert "fork" in f"{check['output']['title']} {check['output']['summary']}"
    refused = await stage.api("POST", "/review-apps", {"pipeline": pipeline.id, "pr_number": pull.number}, status=422)
    assert "fork" in refused["message"]


async def test_without_automatic_creation_a_pull_request_is_listed_until_a_person_creates_its_app(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    await stage.github.push(pipeline.repo, "topic", page("asked for"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    review = await stage.review_is(pipeline, pull.number, "waiting")
    assert review["app"] is None
    assert "automatic" in review["reason"]
    await stage.check_is(pipeline, pull.head_sha, "neutral")

    await stage.api("POST", "/review-apps", {"pipeline": pipeline.id, "pr_number": pull.number})

    review = await stage.review_is(pipeline, pull.number, "live")
    await stage.says(review["app"]["name"], "asked for")
    await stage.check_is(pipeline, pull.head_sha, "success")


async def test_a_review_app_that_waits_for_ci_comes_when_ci_is_green(stage: Stage) -> None:
    pipeline = await stage.pipeline(review={"wait_for_ci": True, "settle_seconds": 0.5})
    await stage.github.push(pipeline.repo, "topic", page("green"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    await stage.github.set_status(pipeline.repo, pull.head_sha, "pending", context="test")
    review = await stage.review_is(pipeline, pull.number, "waiting")
    assert review["app"] is None

    await stage.github.set_status(pipeline.repo, pull.head_sha, "success", context="test")

    review = await stage.review_is(pipeline, pull.number, "live")
    await stage.says(review["app"]["name"], "green")
    await stage.check_is(pipeline, pull.head_sha, "success")


async def test_a_build_that_fails_is_told_on_github_and_the_next_push_mends_it(stage: Stage) -> None:
    pipeline = await stage.pipeline()
    broken = await stage.github.push(pipeline.repo, "topic", {"package.json": "{ this is no JSON"})
    pull = await stage.github.open_pull(pipeline.repo, "topic")

    await stage.check_is(pipeline, broken, "failure")

    assert (await stage.review_is(pipeline, pull.number, "failed"))["reason"]
    mended = await stage.github.push(pipeline.repo, "topic", {"package.json": None, **page("mended")})
    review = await stage.review_is(pipeline, pull.number, "live")
    await stage.says(review["app"]["name"], f"mended commit={mended}")
    await stage.check_is(pipeline, mended, "success")
    await stage.check_is(pipeline, broken, "failure")


async def test_an_app_that_does_not_come_up_fails_and_what_served_before_serves_on(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=quick("first"))
    await stage.github.push(pipeline.repo, "topic", page("good"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    app = (await stage.review_is(pipeline, pull.number, "live"))["app"]["name"]

    broken = await stage.github.push(pipeline.repo, "topic", {"server.py": "raise SystemExit('broken on purpose')"})

    await stage.check_is(pipeline, broken, "failure")
    assert "good" in await stage.page(app)
    await stage.deployments_are(pipeline, app, "success", "failure")


async def test_closing_during_the_build_ends_it_and_leaves_nothing_unfinished(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=slow("slow", seconds=20))
    await stage.github.push(pipeline.repo, "topic", page("slower"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    review = await stage.review_is(pipeline, pull.number, "creating")
    app, app_id = review["app"]["name"], review["app"]["id"]
    await until(lambda: _step_of(stage, app_id, "build"), what="the build goes", seconds=20)

    stage.github.close_pull(pipeline.repo, pull.number)

    await until(lambda: _is_gone(stage, app), what="the app is gone", seconds=15)
    assert await stage.rows("SELECT state FROM builds WHERE app_id = ?", app_id) == [("cancelled",)]
    assert await stage.rows("SELECT id FROM releases WHERE app_id = ?", app_id) == []
    await until(lambda: (stage.check(pipeline, pull.head_sha) or {}).get("status") == "completed", what="an end")
    await until(lambda: asyncio.to_thread(_no_builds, stage), what="no build goes on", seconds=15)


def _no_builds(stage: Stage) -> bool:
    return not remains.processes(stage.data / "work/builds")


async def _step_of(stage: Stage, app_id: str, step: str) -> bool:
    return bool(await stage.rows("SELECT id FROM requests WHERE app_id = ? AND step = ?", app_id, step))
