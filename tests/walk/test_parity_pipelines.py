"""Parity with Heroku, rows 1 to 3: couplings, where a promotion may go, and what it moves."""

import pytest

from tests.waiting import until
from tests.walk.acting import app_id, configured, coupled, current, deployed, output, promoted
from tests.walk.samples import page, quick
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIGRATING = 'release: echo "migrating $SHOW_NAME"; test "$SHOW_BREAK" != yes\n'


async def test_coupling_uniqueness(stage: Stage) -> None:
    first = await stage.pipeline("first")
    second = await stage.pipeline("second")

    body = {"app": first.staging, "pipeline": second.id, "stage": "production"}
    refused = await stage.api("POST", "/pipeline-couplings", body, status=422)
    assert first.name in refused["message"]
    assert first.staging in refused["message"]

    coupling = await stage.api("GET", f"/apps/{first.staging}/pipeline-couplings")
    moved = await stage.api("PATCH", f"/pipeline-couplings/{coupling['id']}", {"stage": "development"})
    assert (moved["id"], moved["stage"]) == (coupling["id"], "development")
    await stage.api("DELETE", f"/pipeline-couplings/{coupling['id']}")
    await stage.api("POST", "/pipeline-couplings", body)
    assert (await stage.api("GET", f"/apps/{first.staging}/pipeline-couplings"))["pipeline"]["id"] == second.id


async def test_downstream_rule_incl_empty_middle_stage(stage: Stage) -> None:
    pipeline = await stage.pipeline("middle")
    development = await coupled(stage, pipeline.id, f"{pipeline.name}-dev", "development")
    await deployed(stage, development)
    coupling = await stage.api("GET", f"/apps/{pipeline.staging}/pipeline-couplings")
    await stage.api("DELETE", f"/pipeline-couplings/{coupling['id']}")

    source = {"app": {"id": await app_id(stage, development)}}
    refused = await stage.api(
        "POST", "/pipeline-promotions", {"pipeline": {"id": pipeline.id}, "source": source}, status=422
    )

    assert refused["message"] == (f"Cannot promote from {development} as there are no downstream apps in staging stage")
    assert await stage.api("GET", f"/apps/{pipeline.production}/releases") == []
    source = {"app": {"id": await app_id(stage, pipeline.production)}}
    refused = await stage.api(
        "POST", "/pipeline-promotions", {"pipeline": {"id": pipeline.id}, "source": source}, status=422
    )
    assert refused["message"] == f"Cannot promote {pipeline.production} from 'production' stage"


async def test_to_any_stage(stage: Stage) -> None:
    pipeline = await stage.pipeline("any")
    development = await coupled(stage, pipeline.id, f"{pipeline.name}-dev", "development")
    await deployed(stage, pipeline.production)

    promotion, targets = await promoted(stage, pipeline.id, pipeline.production, to=[development, pipeline.staging])

    assert promotion["outcome"] == "completed"
    assert {name: target["status"] for name, target in targets.items()} == {
        development: "succeeded",
        pipeline.staging: "succeeded",
    }
    slugs = {(await current(stage, app))["slug"]["id"] for app in (pipeline.production, *targets)}
    assert len(slugs) == 1


async def test_self_promotion_refused_by_id_and_name(stage: Stage) -> None:
    pipeline = await stage.pipeline("self")
    own = await app_id(stage, pipeline.staging)
    for named in ({"id": own}, {"name": pipeline.staging}, {"id": pipeline.staging}):
        body = {"pipeline": {"id": pipeline.id}, "source": {"app": {"id": own}}, "targets": [{"app": named}]}
        refused = await stage.api("POST", "/pipeline-promotions", body, status=422)
        assert refused["message"] == f"Cannot promote {pipeline.staging} to itself"


async def test_promote_slug_id_identical_config_byte_identical_failing_target_keeps_its_old_release(
    stage: Stage,
) -> None:
    """One target succeeds, one fails: the same slug, the target's own config, and nobody else is touched."""
    pipeline = await stage.pipeline("move", files={**quick("moved"), "Procfile": quick("")["Procfile"] + MIGRATING})
    good, bad = pipeline.production, await coupled(stage, pipeline.id, f"{pipeline.name}-prod2", "production")
    bystander = await coupled(stage, pipeline.id, f"{pipeline.name}-dev", "development")
    await configured(stage, good, SHOW_NAME="good")
    await configured(stage, bad, SHOW_NAME="bad")
    await deployed(stage, pipeline.staging)
    await promoted(stage, pipeline.id, pipeline.staging)
    former = await current(stage, bad)
    await configured(stage, bad, SHOW_BREAK="yes", state="failed")
    configs = {app: await stage.api("GET", f"/apps/{app}/config-vars") for app in (good, bad)}
    versions = {app: (await stage.api("GET", f"/apps/{app}/releases/current"))["version"] for app in (good,)}
    sha = await stage.github.push(pipeline.repo, "master", page("moved on"))
    await deployed(stage, pipeline.staging)

    promotion, targets = await promoted(stage, pipeline.id, pipeline.staging)

    assert (promotion["status"], promotion["outcome"], promotion["failed_targets"]) == ("completed", "partial", 1)
    assert (targets[good]["status"], targets[good]["error_message"]) == ("succeeded", None)
    assert targets[bad]["status"] == "failed"
    assert "release command failed" in targets[bad]["error_message"]
    moved = await current(stage, good)
    assert moved["slug"]["id"] == (await current(stage, pipeline.staging))["slug"]["id"]
    assert moved["version"] == versions[good] + 1
    assert moved["id"] == targets[good]["release"]["id"]
    assert "migrating good" in await output(stage, moved["id"])
    assert "migrating bad" in await output(stage, targets[bad]["release"]["id"])
    await stage.says(good, f"moved on commit={sha}")
    assert (await current(stage, bad))["id"] == former["id"]
    assert "moved commit=" in await stage.page(bad)
    assert configs == {app: await stage.api("GET", f"/apps/{app}/config-vars") for app in (good, bad)}
    assert await stage.api("GET", f"/apps/{bystander}/releases") == []
    assert await stage.rows("SELECT count(*) FROM builds b JOIN apps a ON a.id = b.app_id WHERE a.name = ?", good) == [
        (0,)
    ]
    await until(lambda: stage.deployments(pipeline, good)[-1:] == ["success"], what="a deployment that succeeded")
    await until(lambda: stage.deployments(pipeline, bad)[-1:] == ["failure"], what="a deployment that failed")


async def test_promote_a_given_older_release(stage: Stage) -> None:
    pipeline = await stage.pipeline("older", files=quick("the old one"))
    old = await deployed(stage, pipeline.staging)
    await stage.github.push(pipeline.repo, "master", page("the new one"))
    await deployed(stage, pipeline.staging)

    promotion, targets = await promoted(stage, pipeline.id, pipeline.staging, release=old["release"]["id"])

    assert promotion["source"]["release"]["id"] == old["release"]["id"]
    assert targets[pipeline.production]["status"] == "succeeded"
    await stage.says(pipeline.production, "the old one")
    assert "v1" in (await current(stage, pipeline.production))["description"]


async def test_all_or_nothing_keeps_to_it_although_the_worker_is_killed_while_one_waits_for_the_other(
    stage: Stage,
) -> None:
    """The one that is ready first goes live only with the other, and each release command runs once."""
    release = 'release: echo "migrating $SHOW_NAME"; sleep "${SHOW_SECONDS:-0}"; test "$SHOW_BREAK" != yes\n'
    pipeline = await stage.pipeline("whole", files={**quick("old"), "Procfile": quick("")["Procfile"] + release})
    fast, slow = pipeline.production, await coupled(stage, pipeline.id, f"{pipeline.name}-prod2", "production")
    await configured(stage, fast, SHOW_NAME="fast")
    await configured(stage, slow, SHOW_NAME="slow", SHOW_SECONDS="0")
    await deployed(stage, pipeline.staging)
    await promoted(stage, pipeline.id, pipeline.staging)
    await configured(stage, slow, SHOW_BREAK="yes", SHOW_SECONDS="3", state="failed")
    sha = await stage.github.push(pipeline.repo, "master", page("new"), message="Say new")
    await deployed(stage, pipeline.staging)
    diffs = await stage.api("GET", f"/apps/{pipeline.staging}/pipeline-diffs")
    assert [each["app"]["name"] for each in diffs] == [fast, slow]
    for apart in diffs:
        assert (apart["relation"], apart["ahead_by"], apart["behind_by"]) == ("ahead", 1, 0)
        assert [(each["sha"], each["message"]) for each in apart["commits"]] == [(sha, "Say new")]

    async def killed() -> None:
        async def waits() -> bool:
            asked = await stage.api("GET", f"/apps/{fast}/requests")
            newest = asked[-1]
            return (await stage.api("GET", f"/requests/{newest['id']}"))["step"] == "waits for the others"

        await until(waits, seconds=20, what="one waits for the other")
        await stage.kill("worker")

    promotion, targets = await promoted(stage, pipeline.id, pipeline.staging, all_or_nothing=True, meanwhile=killed)

    assert (promotion["outcome"], promotion["failed_targets"]) == ("failed", 2)
    assert targets[fast]["error_message"] == (f"not released: the promotion failed on {slow}, and it is all or nothing")
    assert "release command failed" in targets[slow]["error_message"]
    assert (await output(stage, targets[fast]["release"]["id"])).count("migrating fast") == 1
    assert [await stage.page(app) for app in (fast, slow)] == [await stage.says(app, "old") for app in (fast, slow)]

    await configured(stage, slow, SHOW_BREAK=None, SHOW_SECONDS="0")
    promotion, _ = await promoted(stage, pipeline.id, pipeline.staging, all_or_nothing=True)
    assert promotion["outcome"] == "completed"
    assert [(await stage.page(app)).startswith("new") for app in (fast, slow)] == [True, True]
