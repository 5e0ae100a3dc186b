"""A pull request's life, from its webhooks to what GitHub and a browser see."""

import asyncio
import json
import os

import pytest

from service.demo import remains
from tests.waiting import until
from tests.walk.samples import page, quick, slow
from tests.walk.stage import STEP_SECONDS, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
needs_full = pytest.mark.skipif(os.geteuid() != 0, reason="code of forks runs at isolation level full only, as root")

PREDESTROY = {"scripts": {"pr-predestroy": "echo 'predestroy was here'"}}
CANARY = "canary-of-our-own-2b7d1f"
NOSY = {
    "package.json": json.dumps({"name": "nosy", "version": "1.0.0", "scripts": {"heroku-postbuild": "env"}}),
    "app.json": json.dumps({"scripts": {"postdeploy": "env", "pr-predestroy": "env"}}),
}


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


@needs_full
async def test_a_strangers_pull_request_runs_commit_by_commit_as_people_with_write_access_say(stage: Stage) -> None:
    pipeline, github = await stage.pipeline(files=quick("first")), stage.github
    repo = pipeline.repo
    github.add_collaborator(repo, "grace", "write")
    await stage.api("PATCH", f"/pipelines/{pipeline.id}/stage/review/config-vars", {"SHOW_OURS": CANARY})
    await stage.cli("config:set", "SHOW_FORK=for-strangers", "--fork", "-p", pipeline.name)
    fork = await github.fork(repo, "stranger")
    first = await github.push(fork, "topic", {**page("from afar"), **NOSY}, by="stranger")
    pull = await github.open_pull(repo, "topic", head_repo=fork, by="stranger")

    check = await stage.check_is(pipeline, first, "neutral")
    assert [each["label"] for each in check["actions"]] == [f"Approve {first[:7]}"]
    assert f"`/approve {first}`" in check["output"]["summary"]
    await github.press(repo, check["id"], "approve", by="stranger")
    refused = await stage.cli_fails("reviewapps:approve", str(pull.number), "-p", pipeline.name, "--sha", "0" * 40)
    assert first in refused
    assert "0" * 40 in refused
    await until(lambda: _said(stage, "stranger may not approve"), seconds=STEP_SECONDS, what="the refusal")
    assert (await stage.review(pipeline, pull.number))["app"] is None
    assert github.reported(repo)["deployments"] == []
    asked = {"pipeline": pipeline.id, "pr_number": pull.number}
    assert "approval" in (await stage.api("POST", "/review-apps", asked, status=422))["message"]

    await stage.cli("reviewapps:approve", str(pull.number), "-p", pipeline.name, "--sha", first)

    review = await stage.review_is(pipeline, pull.number, "live")
    app = review["app"]["name"]
    shown = await stage.page(app)
    assert f"from afar commit={first}" in shown
    assert "SHOW_FORK=for-strangers" in shown
    assert "SHOW_OURS" not in shown
    await stage.check_is(pipeline, first, "success")

    second = await github.push(fork, "topic", page("worse"), by="stranger")
    check = await stage.check_is(pipeline, second, "neutral")
    assert f"from afar commit={first}" in await stage.page(app)
    github.comment(repo, pull.number, "/approve", by="grace")
    github.comment(repo, pull.number, f"/approve {second}", by="stranger")
    github.comment(repo, pull.number, f"/approve {second}\r\nI have read it.", by="grace")
    await stage.says(app, f"worse commit={second}")
    await stage.check_is(pipeline, second, "success")

    github.close_pull(repo, pull.number)
    await until(lambda: _is_gone(stage, app), seconds=STEP_SECONDS, what="the app is gone")
    rows = await stage.rows("SELECT exit_code, step FROM commands WHERE app_id = ?", review["app"]["id"])
    assert sorted(rows, key=str) == [(0, "postdeploy"), (0, "predestroy")]
    outputs = "".join(text for (text,) in await stage.rows("SELECT text FROM log_chunks ORDER BY log_id, seq"))
    assert "SHOW_FORK" in outputs
    for secret in (CANARY, "SHOW_OURS", "ghs_", stage.token, github.webhook_secret):
        assert secret not in outputs


async def _said(stage: Stage, words: str) -> bool:
    return any(words in each["verdict"] for each in await stage.api("GET", "/deliveries"))


@needs_full
async def test_a_button_pressed_by_somebody_who_may_write_runs_the_commit_that_it_is_on(stage: Stage) -> None:
    pipeline, github = await stage.pipeline(files=quick("first")), stage.github
    github.add_collaborator(pipeline.repo, "ada", "maintain")
    fork = await github.fork(pipeline.repo, "passer-by")
    sha = await github.push(fork, "topic", page("by button"), by="passer-by")
    pull = await github.open_pull(pipeline.repo, "topic", head_repo=fork, by="passer-by")
    check = await stage.check_is(pipeline, sha, "neutral")

    await github.press(pipeline.repo, check["id"], "approve", by="ada")

    review = await stage.review_is(pipeline, pull.number, "live")
    await stage.says(review["app"]["name"], f"by button commit={sha}")
    (approval,) = await stage.api("GET", f"/review-apps/{review['id']}/approvals")
    assert (approval["sha"], approval["by"], approval["how"]) == (sha, "github:ada", "check")
    promoted = await stage.cli_fails("pipelines:promote", "-a", review["app"]["name"], "--to", pipeline.production)
    assert "merge it" in promoted


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


async def test_a_merge_queue_is_answered_at_once_and_what_it_tries_is_not_deployed(stage: Stage) -> None:
    pipeline = await stage.pipeline(auto_deploy=True)
    await stage.says(pipeline.staging, "first")
    await stage.github.push(pipeline.repo, "topic", page("queued"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    await stage.review_is(pipeline, pull.number, "live")

    ref = await stage.github.enqueue(pipeline.repo, pull.number)

    tried = (await stage.github.git.branches(pipeline.repo.id))[ref.removeprefix("refs/heads/")]
    check = await stage.check_is(pipeline, tried, "neutral")
    assert "Nothing to do" in check["output"]["title"]
    assert "first" in await stage.page(pipeline.staging)
    assert tried not in str(await stage.api("GET", f"/apps/{pipeline.staging}/requests"))
