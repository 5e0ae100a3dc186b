"""Who gets a review app, what is deployed, and what becomes of apps that nobody uses or may follow: through the doors."""

import asyncio
import json
import sqlite3
from typing import Any

import pytest

from tests.waiting import until
from tests.walk.samples import page, quick
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def waits(stage: Stage, pipeline: Pipeline, number: int, reason: str) -> Any:
    """Wait until a pull request is listed as waiting for that reason, on GitHub as well."""

    async def look() -> Any:
        found = await stage.review(pipeline, number)
        return found if found and (found["state"], found["reason"]) == ("waiting", reason) else None

    try:
        found = await until(look, seconds=STEP_SECONDS)
    except AssertionError:
        seen = await stage.review(pipeline, number)
        raise AssertionError(f"#{number} does not wait because {reason!r}: {seen}") from None
    await until(lambda: reason in title(stage, pipeline, found["commit"]), seconds=STEP_SECONDS, what=reason)
    assert reason in await stage.cli("reviewapps", "-p", pipeline.name)
    return found


def title(stage: Stage, pipeline: Pipeline, sha: str) -> str:
    """What our check on a commit says, once it is neutral."""
    found = stage.check(pipeline, sha)
    return str(found["output"]["title"]) if found is not None and found["conclusion"] == "neutral" else ""


async def live(stage: Stage, pipeline: Pipeline, number: int) -> str:
    """The name of a pull request's live review app."""
    return str((await stage.review_is(pipeline, number, "live"))["app"]["name"])


async def age(stage: Stage, pipeline: Pipeline, *, days: int) -> None:
    """Make the last deploys of a pipeline's review apps look older, and let it look at them again."""
    micros = days * 86_400_000_000

    def write() -> None:
        conn = sqlite3.connect(stage.data / "database/towpath.db", timeout=20)
        with conn:
            conn.execute(
                "UPDATE review_apps SET deployed_at = deployed_at - ? WHERE pipeline_id = ?", (micros, pipeline.id)
            )
        conn.close()

    await asyncio.to_thread(write)
    await stage.cli("pipelines:settings", "-p", pipeline.name, "destroy_stale=on", "--confirm", pipeline.name)


async def test_labels_and_base_branch_decide_who_gets_a_review_app_by_itself(stage: Stage) -> None:
    pipeline = await stage.pipeline("label")
    github, repo = stage.github, pipeline.repo
    await stage.cli("pipelines:settings", "-p", pipeline.name, "labels=Preview,demo", "base-branches=master,release/*")
    await github.push(repo, "next", page("next"))
    await github.push(repo, "topic", page("labeled"))
    pull = await github.open_pull(repo, "topic", base="next")
    await waits(stage, pipeline, pull.number, "it has none of the labels: Preview, demo")
    assert "none of the labels" in await stage.cli("why", str(pull.number))

    github.label_pull(repo, pull.number, "preview")
    await waits(stage, pipeline, pull.number, "it goes into next, not into: master, release/*")
    await github.edit_pull(repo, pull.number, base="master")
    app = await live(stage, pipeline, pull.number)

    github.unlabel_pull(repo, pull.number, "preview")
    sha = await github.push(repo, "topic", page("follows all the same"))
    await stage.says(app, f"follows all the same commit={sha} release=v2")

    await github.push(repo, "other", page("asked for"))
    other = await github.open_pull(repo, "other")
    await waits(stage, pipeline, other.number, "it has none of the labels: Preview, demo")
    await stage.cli("reviewapps:create", str(other.number), "-p", pipeline.name)
    assert "asked for" in await stage.page(await live(stage, pipeline, other.number))


async def test_review_apps_over_the_cap_queue_visibly_and_the_oldest_gets_the_place_of_one_that_leaves(
    stage: Stage,
) -> None:
    pipeline = await stage.pipeline("cap", review={"max_review_apps": 1})
    github, repo = stage.github, pipeline.repo
    pulls = []
    for number, branch in enumerate(("first", "second", "third")):
        await github.push(repo, branch, page(branch))
        pulls.append((await github.open_pull(repo, branch)).number)
        if number:
            reason = f"over the cap of 1 review app: number {number} in the queue"
            await waits(stage, pipeline, pulls[-1], reason)
            assert reason in await stage.cli("why", str(pulls[-1]))
        else:
            await live(stage, pipeline, pulls[0])

    github.close_pull(repo, pulls[0])

    assert "second" in await stage.page(await live(stage, pipeline, pulls[1]))
    await waits(stage, pipeline, pulls[2], "over the cap of 1 review app: number 1 in the queue")


async def test_a_locked_pipeline_waits_for_its_lock_and_then_deploys_the_newest(stage: Stage) -> None:
    pipeline = await stage.pipeline("lock", automatic=False, auto_deploy=True)
    github, repo, staging = stage.github, pipeline.repo, pipeline.staging
    await stage.says(staging, "first")
    await stage.cli("lock", "-p", pipeline.name, "--reason", "sale", "--for", "1h")
    for text in ("second", "third"):
        sha = await github.push(repo, "master", page(text))
    await until(lambda: "locked by" in title(stage, pipeline, sha), seconds=STEP_SECONDS, what="the check says so")
    refused = await stage.cli_fails("pipelines:promote", "-a", staging)
    assert f"{pipeline.production} is locked by admin@localhost until " in refused
    assert "[waiting]  locked by admin@localhost" in await stage.cli("why", staging)
    await stage.cli("pipelines:promote", "-a", staging, "--override-lock")
    assert "first" in await stage.page(pipeline.production)
    assert "first" in await stage.page(staging)

    await stage.cli("unlock", "-p", pipeline.name)

    await stage.says(staging, f"third commit={sha} release=v2")
    await until(lambda: (stage.check(pipeline, sha) or {}).get("conclusion") == "success", seconds=STEP_SECONDS)


async def test_a_monorepo_has_one_pipeline_per_component_and_each_minds_its_own_paths(stage: Stage) -> None:
    files = {f"api/{name}": text for name, text in quick("api one").items()} | {"web/index.html": "web"}
    pipeline = await stage.pipeline("mono", files=files, auto_deploy=True)
    github, repo, staging = stage.github, pipeline.repo, pipeline.staging
    shown = await stage.cli("pipelines:settings", "-p", pipeline.name, "root-directory=/api/", "paths=api/**,!**/*.md")
    assert "api/**, !**/*.md" in shown
    first = await github.push(repo, "master", {"web/index.html": "web two"})
    await stage.says(staging, f"api one commit={first} release=v1")  # nothing was deployed before

    skipped = await github.push(repo, "master", {"web/index.html": "three", "api/README.md": "four"})
    reason = f"nothing changed in api/**, !**/*.md since {first[:7]}: not deployed"
    await until(lambda: reason in title(stage, pipeline, skipped), seconds=STEP_SECONDS, what=reason)
    assert f"{staging}: skipped" in title(stage, pipeline, skipped)
    assert reason in await stage.cli("why", staging)
    second = await github.push(repo, "master", {"api/server.py": page("api two")["server.py"]})
    await stage.says(staging, f"api two commit={second} release=v2")

    await github.push(repo, "topic", {"web/index.html": "five"})
    pull = await github.open_pull(repo, "topic")
    await waits(stage, pipeline, pull.number, "it changes nothing in: api/**, !**/*.md")
    await github.push(repo, "topic", {"api/server.py": page("api three")["server.py"]})
    app = await live(stage, pipeline, pull.number)
    assert "api three" in await stage.page(app)

    # Outside of the root directory the tree is the same: the slug that is there is released.
    await stage.cli("pipelines:settings", "-p", pipeline.name, "paths=")
    third = await github.push(repo, "master", {"web/index.html": "six"})
    await stage.says(staging, f"api two commit={third} release=v3")
    builds = await stage.rows(
        "SELECT b.sha, b.reused FROM builds b JOIN apps a ON a.id = b.app_id "
        "WHERE a.name = ? AND b.state = 'succeeded' ORDER BY b.created_at",
        staging,
    )
    assert builds == [(first, 0), (second, 0), (third, 1)]


async def test_an_idle_review_app_is_suspended_and_the_next_push_brings_it_back_under_its_name(stage: Stage) -> None:
    pipeline = await stage.pipeline("idle", review={"idle_action": "suspend", "stale_days": 1})
    github, repo = stage.github, pipeline.repo
    await github.push(repo, "topic", page("awake"))
    await github.push(repo, "pinned", page("pinned"))
    pull, kept = [await github.open_pull(repo, branch) for branch in ("topic", "pinned")]
    app, pinned = await live(stage, pipeline, pull.number), await live(stage, pipeline, kept.number)
    await stage.cli("reviewapps:pin", str(kept.number), "-p", pipeline.name)

    await age(stage, pipeline, days=2)

    review = await stage.review_is(pipeline, pull.number, "suspended")
    await until(lambda: _says(stage, app, "is suspended"), seconds=STEP_SECONDS, what="the page of a suspended app")
    await stage.deployments_are(pipeline, app, "inactive")
    check = await stage.check_is(pipeline, pull.head_sha, "neutral")
    assert "suspended (no deploy for 1 days)" in check["output"]["title"]
    listed = await stage.cli("reviewapps", "-p", pipeline.name)
    assert "no deploy for 1 days" in listed
    assert "live, pinned" in listed
    assert "pinned commit" in await stage.page(pinned)

    sha = await github.push(repo, "topic", page("awake again"))
    await stage.says(app, f"awake again commit={sha} release=v2")
    again = await stage.review_is(pipeline, pull.number, "live")
    assert again["app"] == review["app"]
    await stage.deployments_are(pipeline, app, "inactive", "success")

    await age(stage, pipeline, days=2)
    await stage.review_is(pipeline, pull.number, "suspended")
    assert "is live" in await stage.cli("reviewapps:create", str(pull.number), "-p", pipeline.name)
    assert f"awake again commit={sha} release=v3" in await stage.page(app)

    await age(stage, pipeline, days=2)
    await stage.review_is(pipeline, pull.number, "suspended")
    github.close_pull(repo, pull.number)
    await stage.says(app, "HTTP 404")
    await stage.cli("reviewapps:unpin", str(kept.number), "-p", pipeline.name)
    await stage.review_is(pipeline, kept.number, "suspended")
    actions = [each["action"] for each in await stage.api("GET", f"/activity?pipeline={pipeline.id}")]
    assert {"review app pinned", "review app unpinned", "toggles changed"} <= set(actions)


async def _says(stage: Stage, app: str, text: str) -> bool:
    """Whether the router's own page for an app has the text."""
    headers = {"Host": f"{app}.localhost:{stage.port}"}
    async with stage.http.get(f"http://127.0.0.1:{stage.port}/", headers=headers) as answer:
        return answer.status == 503 and text in await answer.text()


async def test_more_idle_apps_than_may_go_in_an_hour_wait_for_a_person(stage: Stage) -> None:
    pipeline = await stage.pipeline("many", review={"stale_days": 1})
    github, repo = stage.github, pipeline.repo
    pulls = []
    for number in range(4):
        await github.push(repo, f"topic-{number}", page("one of many"))
        pulls.append(await github.open_pull(repo, f"topic-{number}"))
    apps = [await live(stage, pipeline, pull.number) for pull in pulls]

    await age(stage, pipeline, days=2)

    async def left() -> Any:
        listed = await stage.api("GET", f"/pipelines/{pipeline.id}/review-apps")
        return listed if len(listed) == 1 and str(listed[0]["reason"]).startswith("destroy pending") else None

    (review,) = await until(left, seconds=STEP_SECONDS, what="three are gone and one is asked about")
    how = f"towpath reviewapps:destroy {review['pr_number']} -p {pipeline.name}"
    assert review["reason"] == f"destroy pending: confirm (no deploy for 1 days) by: {how}"
    assert review["state"] == "live"
    assert review["reason"] in await stage.cli("reviewapps", "-p", pipeline.name)
    assert "one of many" in await stage.page(review["app"]["name"])

    await stage.cli(*how.split()[1:], "--confirm", review["app"]["name"])

    for app in apps:
        await stage.says(app, "HTTP 404")

    async def none_left() -> bool:
        return await stage.api("GET", f"/pipelines/{pipeline.id}/review-apps") == []

    await until(none_left, seconds=STEP_SECONDS, what="all of them are gone")


async def test_apps_rest_while_access_to_their_repository_is_lost_and_come_back_with_it(stage: Stage) -> None:
    pipeline = await stage.pipeline("lost", auto_deploy=True)
    github, repo = stage.github, pipeline.repo
    await github.push(repo, "topic", page("reached"))
    pull = await github.open_pull(repo, "topic")
    app = await live(stage, pipeline, pull.number)
    await github.push(repo, "master", page("on staging"))
    await stage.says(pipeline.staging, "on staging")
    installation = github.installation_of(github.repository(repo))
    assert installation is not None

    github.remove_from(installation.id, repo)

    review = await stage.review_is(pipeline, pull.number, "suspended")
    assert review["reason"] == "access to the repository was lost"
    await until(lambda: _says(stage, app, "is suspended"), seconds=STEP_SECONDS, what="the page of a suspended app")
    assert "on staging" in await stage.page(pipeline.staging)
    assert "access to the repository was lost" in json.dumps(await stage.api("GET", f"/apps/{app}/requests"))

    github.add_to(installation.id, repo)

    await stage.says(app, "reached")
    await stage.review_is(pipeline, pull.number, "live")
    await stage.deployments_are(pipeline, app, "success")
    await stage.check_is(pipeline, pull.head_sha, "success")
