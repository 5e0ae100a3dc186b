"""GitHub's deployments on the simulated GitHub, with the defaults that surprise."""

import pytest

from tests.github_contract.fixtures import GitHub

PATH = "/repos/acme/shop/deployments"
SAFE = {"auto_merge": False, "required_contexts": []}


@pytest.fixture
async def place(github: GitHub):
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    return repo, await github.head(repo), github.installation_token(repo)


async def deploy(github: GitHub, token: str, **body: object) -> int:
    reply = await github.ask("POST", PATH, token=token, json=SAFE | body)
    assert reply.status == 201, reply
    return reply.body["id"]


async def test_a_deployment_goes_through_its_states(github: GitHub, place) -> None:
    repo, sha, token = place
    payload = {"towpath": {"release": "v1"}}
    number = await deploy(github, token, ref=sha, environment="shop/web", transient_environment=True, payload=payload)
    for state in ("queued", "in_progress", "success"):
        body = {"state": state, "environment_url": "http://web.localhost", "log_url": "http://towpath/log"}
        reply = await github.ask("POST", f"{PATH}/{number}/statuses", token=token, json=body)
        assert reply.status == 201
    states = await github.ask("GET", f"{PATH}/{number}/statuses", token=token)
    assert [state["state"] for state in states.body] == ["success", "in_progress", "queued"]
    (made,) = github.reported(repo)["deployments"]
    assert (made["state"], made["payload"]) == ("success", payload)
    assert github.reported(repo)["environments"] == ["shop/web"]
    listed = await github.ask("GET", f"{PATH}?environment=shop/web&sha={sha}", token=token)
    assert [one["id"] for one in listed.body] == [number]
    assert (await github.ask("GET", f"{PATH}?environment=other", token=token)).body == []


async def test_without_required_contexts_named_all_must_be_green_and_skipped_is_not(github: GitHub, place) -> None:
    repo, sha, token = place
    await github.set_status(repo, sha, "pending", context="ci")
    await github.create_check_run(repo, sha, "optional", conclusion="skipped")
    reply = await github.ask("POST", PATH, token=token, json={"ref": sha, "auto_merge": False})
    assert reply.status == 409
    assert {one["context"]: one["state"] for one in reply.body["errors"][0]["contexts"]} == {
        "ci": "pending", "optional": "skipped",
    }  # fmt: skip
    assert (await github.ask("POST", PATH, token=token, json={"ref": sha, **SAFE})).status == 201


async def test_by_default_the_default_branch_is_merged_in_and_nothing_is_deployed(github: GitHub, place) -> None:
    repo, _, token = place
    head = await github.push(repo, "topic", {"b": "1"})
    await github.push(repo, "master", {"c": "1"})
    reply = await github.ask("POST", PATH, token=token, json={"ref": "topic"})
    assert reply.status == 202
    assert await github.head(repo, "topic") != head
    assert repo.deployments == {}


async def test_a_conflict_in_the_default_merge_is_409(github: GitHub, place) -> None:
    repo, _, token = place
    await github.push(repo, "topic", {"a": "2"})
    await github.push(repo, "master", {"a": "3"})
    assert (await github.ask("POST", PATH, token=token, json={"ref": "topic"})).status == 409


async def test_success_retires_earlier_ones_of_the_environment_but_not_transient_or_production(
    github: GitHub, place
) -> None:
    repo, sha, token = place
    kinds = ({"environment": "staging"}, {"environment": "review", "transient_environment": True}, {})
    for kind in kinds:
        for _ in range(2):
            number = await deploy(github, token, ref=sha, **kind)
            await github.ask("POST", f"{PATH}/{number}/statuses", token=token, json={"state": "success"})
    states = [(one.environment, one.state) for one in repo.deployments.values()]
    assert states == [
        ("staging", "inactive"), ("staging", "success"), ("review", "success"), ("review", "success"),
        ("production", "success"), ("production", "success"),
    ]  # fmt: skip


async def test_an_active_deployment_is_deleted_only_when_it_is_alone(github: GitHub, place) -> None:
    _, sha, token = place
    one = await deploy(github, token, ref=sha, environment="review")
    two = await deploy(github, token, ref=sha, environment="review")
    assert (await github.ask("DELETE", f"{PATH}/{one}", token=token)).status == 422
    await github.ask("POST", f"{PATH}/{one}/statuses", token=token, json={"state": "inactive"})
    assert (await github.ask("DELETE", f"{PATH}/{one}", token=token)).status == 204
    assert (await github.ask("DELETE", f"{PATH}/{two}", token=token)).status == 204
    assert (await github.ask("GET", f"{PATH}/{two}", token=token)).status == 404


async def test_long_descriptions_and_unknown_refs_are_refused(github: GitHub, place) -> None:
    _, sha, token = place
    long = {"ref": sha, "description": "x" * 141, **SAFE}
    assert (await github.ask("POST", PATH, token=token, json=long)).status == 422
    assert (await github.ask("POST", PATH, token=token, json={"ref": "gone", **SAFE})).status == 422
    number = await deploy(github, token, ref=sha)
    body = {"state": "success", "description": "x" * 141}
    assert (await github.ask("POST", f"{PATH}/{number}/statuses", token=token, json=body)).status == 422


async def test_deleting_an_environment_needs_administration(github: GitHub, place) -> None:
    repo, sha, token = place
    await deploy(github, token, ref=sha, environment="review")
    path = "/repos/acme/shop/environments/review"
    assert (await github.ask("DELETE", path, token=token)).status == 403
    admin = github.installation_token(repo, {"administration": "write"})
    assert (await github.ask("DELETE", path, token=admin)).status == 204
