"""Statuses and checks on the simulated GitHub, with GitHub's limits."""

import pytest

from tests.github_contract.fixtures import GitHub


@pytest.fixture
async def place(github: GitHub):
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    return repo, await github.head(repo), github.installation_token(repo)


async def test_the_newest_status_of_each_context_counts(github: GitHub, place) -> None:
    repo, sha, token = place
    await github.set_status(repo, sha, "failure", context="CI")
    await github.set_status(repo, sha, "success", context="ci")
    await github.set_status(repo, sha, "pending", context="lint")
    reply = await github.ask("GET", f"/repos/acme/shop/commits/{sha}/status", token=token)
    assert (reply.body["state"], reply.body["total_count"]) == ("pending", 2)
    await github.set_status(repo, sha, "error", context="lint")
    assert (await github.ask("GET", "/repos/acme/shop/commits/master/status", token=token)).body["state"] == "failure"
    every = await github.ask("GET", f"/repos/acme/shop/commits/{sha}/statuses", token=token)
    assert len(every.body) == 4


async def test_no_status_at_all_is_pending_with_a_count_of_zero(github: GitHub, place) -> None:
    _, sha, token = place
    reply = await github.ask("GET", f"/repos/acme/shop/commits/{sha}/status", token=token)
    assert (reply.body["state"], reply.body["total_count"]) == ("pending", 0)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"state": "success", "description": "x" * 141}, id="a description of 141 characters"),
        pytest.param({"state": "success", "target_url": "javascript:1"}, id="a link that is not http"),
    ],
)
async def test_a_status_is_refused_for(github: GitHub, place, body) -> None:
    _, sha, token = place
    assert (await github.ask("POST", f"/repos/acme/shop/statuses/{sha}", token=token, json=body)).status == 422


async def test_a_status_with_a_state_that_is_none_breaks_the_contract(github: GitHub, place) -> None:
    _, sha, token = place
    with github.expected_violations() as broken:
        reply = await github.ask("POST", f"/repos/acme/shop/statuses/{sha}", token=token, json={"state": "great"})
    assert reply.status == 422
    assert "great" in broken[0]


async def test_a_commit_and_context_take_a_thousand_statuses(github: GitHub, place) -> None:
    repo, sha, token = place
    first = await github.set_status(repo, sha, "pending", context="towpath")
    repo.statuses += [first] * 999
    path = f"/repos/acme/shop/statuses/{sha}"
    full = await github.ask("POST", path, token=token, json={"state": "success", "context": "Towpath"})
    other = await github.ask("POST", path, token=token, json={"state": "success", "context": "other"})
    assert (full.status, other.status) == (422, 201)


async def test_a_status_on_an_unknown_commit_is_refused(github: GitHub, place) -> None:
    token = place[2]
    path = f"/repos/acme/shop/statuses/{'1' * 40}"
    assert (await github.ask("POST", path, token=token, json={"state": "success"})).status == 422


async def test_a_check_run_goes_from_queued_to_completed(github: GitHub, place) -> None:
    repo, sha, token = place
    body = {"name": "towpath/shop", "head_sha": sha, "external_id": "k1", "status": "in_progress"}
    made = await github.ask("POST", "/repos/acme/shop/check-runs", token=token, json=body)
    assert made.status == 201
    path = f"/repos/acme/shop/check-runs/{made.body['id']}"
    change = {
        "status": "completed", "conclusion": "success", "output": {"title": "Live", "summary": "It runs"},
        "actions": [{"label": "Rebuild", "description": "Build again", "identifier": "rebuild"}],
    }  # fmt: skip
    assert (await github.ask("PATCH", path, token=token, json=change)).body["conclusion"] == "success"
    assert (await github.ask("GET", path, token=token)).body["output"]["title"] == "Live"
    (run,) = github.reported(repo)["check_runs"]
    assert (run["external_id"], run["actions"][0]["identifier"]) == ("k1", "rebuild")


BUTTON = {"label": "x" * 20, "description": "x" * 40, "identifier": "x" * 20}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"status": "completed"}, id="completed without a conclusion"),
        pytest.param({"conclusion": "stale", "status": "completed"}, id="a conclusion that is GitHub's own"),
        pytest.param({"actions": [BUTTON] * 4}, id="a fourth button"),
        pytest.param({"actions": [BUTTON | {"label": "x" * 21}]}, id="a label of 21 characters"),
        pytest.param({"actions": [BUTTON | {"description": "x" * 41}]}, id="a description of 41 characters"),
        pytest.param({"actions": [BUTTON | {"identifier": "x" * 21}]}, id="an identifier of 21 characters"),
        pytest.param({"output": {"title": "x", "summary": "x" * 65536}}, id="a summary of 65,536 characters"),
        pytest.param({"output": {"title": "x", "summary": "", "text": "x" * 65536}}, id="a text of 65,536 characters"),
        pytest.param({"output": {"title": "x"}}, id="an output without a summary"),
        pytest.param(
            {"output": {"title": "x", "summary": "", "annotations": [{"path": "a"}] * 51}}, id="51 annotations"
        ),
    ],
)
async def test_a_check_run_is_refused_for(github: GitHub, place, body) -> None:
    _, sha, token = place
    start = {"name": "towpath/shop", "head_sha": sha}
    with github.expected_violations():
        reply = await github.ask("POST", "/repos/acme/shop/check-runs", token=token, json=start | body)
        made = await github.ask("POST", "/repos/acme/shop/check-runs", token=token, json=start)
        change = await github.ask("PATCH", f"/repos/acme/shop/check-runs/{made.body['id']}", token=token, json=body)
    assert (reply.status, change.status) == (422, 422)


async def test_a_check_run_takes_texts_as_long_as_they_may_be(github: GitHub, place) -> None:
    _, sha, token = place
    body = {"name": "towpath/shop", "head_sha": sha, "actions": [BUTTON] * 3}
    body |= {"output": {"title": "x", "summary": "x" * 65535, "text": "x" * 65535}}
    assert (await github.ask("POST", "/repos/acme/shop/check-runs", token=token, json=body)).status == 201


async def test_a_reset_check_run_has_no_conclusion(github: GitHub, place) -> None:
    repo, sha, token = place
    run = await github.create_check_run(repo, sha, app=github.app, conclusion="success")
    path = f"/repos/acme/shop/check-runs/{run.id}"
    again = await github.ask("PATCH", path, token=token, json={"status": "in_progress"})
    assert (again.body["status"], again.body["conclusion"]) == ("in_progress", None)


async def test_another_apps_check_run_cannot_be_changed(github: GitHub, place) -> None:
    repo, sha, token = place
    run = await github.create_check_run(repo, sha, app="ci")
    path = f"/repos/acme/shop/check-runs/{run.id}"
    assert (await github.ask("PATCH", path, token=token, json={"name": "mine"})).status == 403


async def test_of_check_runs_with_one_name_the_latest_is_listed(github: GitHub, place) -> None:
    repo, sha, token = place
    await github.create_check_run(repo, sha, "test", conclusion="failure")
    await github.create_check_run(repo, sha, "test", conclusion="success")
    await github.create_check_run(repo, sha, "test", app="other", conclusion="neutral")
    path = f"/repos/acme/shop/commits/{sha}/check-runs"
    latest = await github.ask("GET", path, token=token)
    every = await github.ask("GET", f"{path}?filter=all", token=token)
    of_ci = await github.ask("GET", f"{path}?app_id={github.other_app('ci').id}", token=token)
    assert {run["conclusion"] for run in latest.body["check_runs"]} == {"success", "neutral"}
    assert (every.body["total_count"], of_ci.body["total_count"]) == (3, 1)


async def test_every_push_makes_a_suite_of_our_own_that_stays_empty(github: GitHub, place) -> None:
    repo, sha, token = place
    await github.suite(repo, sha, "idle-app")
    reply = await github.ask("GET", f"/repos/acme/shop/commits/{sha}/check-suites", token=token)
    facts = {(suite["app"]["slug"], suite["status"], suite["latest_check_runs_count"])
             for suite in reply.body["check_suites"]}  # fmt: skip
    assert facts == {("towpath", "queued", 0), ("idle-app", "queued", 0)}


async def test_a_suite_is_complete_when_its_runs_are_and_as_bad_as_the_worst(github: GitHub, place) -> None:
    repo, sha, _ = place
    one = await github.create_check_run(repo, sha, "one", status="in_progress")
    two = await github.create_check_run(repo, sha, "two")
    await github.update_check_run(repo, one.id, conclusion="failure")
    assert (one.suite.status, one.suite.conclusion) == ("queued", None)
    await github.update_check_run(repo, two.id, conclusion="success")
    assert (one.suite.status, one.suite.conclusion) == ("completed", "failure")
