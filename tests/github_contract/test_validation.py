"""The contract's guard itself: what breaks the contract is noticed, what GitHub really does is not."""

import json
from pathlib import Path

from aiohttp import web

from service.demo.github_sim import running
from tests.github_contract.fixtures import GitHub
from tests.github_contract.validation import SLICES, Violations, rest_validation


async def test_an_operation_that_nobody_described_is_a_violation(github: GitHub) -> None:
    with github.expected_violations() as broken:
        reply = await github.ask("GET", "/repos/acme/shop/keys", token="x")
    assert (reply.status, reply.body["message"]) == (404, "Not Found")
    assert "no such operation" in broken[0]


async def test_a_request_with_a_wrong_type_is_a_violation(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    body = {"ref": "master", "auto_merge": False, "required_contexts": "none"}
    with github.expected_violations() as broken:
        await github.ask("POST", "/repos/acme/shop/deployments", token=github.installation_token(repo), json=body)
    assert "required_contexts" in broken[0]


async def test_an_answer_with_a_missing_field_is_a_violation(tmp_path: Path) -> None:
    violations = Violations()

    @web.middleware
    async def forget(request: web.Request, handler) -> web.StreamResponse:
        response = await handler(request)
        body = json.loads(response.text)
        del body["resources"]
        return web.json_response(body)

    sim = GitHub(tmp_path / "github")
    guard = rest_validation(violations, name_of=str)
    async with running(sim, middlewares=[guard, forget]):
        await sim.ask("GET", "/rate_limit")
    assert len(violations.found) == 1
    assert "resources" in violations.found[0]


async def test_errors_that_any_operation_may_answer_are_no_violations(github: GitHub) -> None:
    await github.create_repo("acme/shop", private=True)
    assert (await github.ask("GET", "/repos/acme/shop/commits/x/check-runs")).status == 401
    stranger = github.personal_token("eve")
    assert (await github.ask("GET", "/repos/acme/shop/commits/x/check-runs", token=stranger)).status == 404


def test_every_operation_of_the_slice_is_answered_by_the_simulated_github(tmp_path: Path) -> None:
    from service.demo.simulator import (
        rest_app,
        rest_deliveries,
        rest_deployments,
        rest_git,
        rest_hooks,
        rest_pulls,
        rest_repositories,
        rest_signals,
    )

    modules = (rest_app, rest_deployments, rest_git, rest_hooks, rest_pulls, rest_repositories, rest_signals)
    modules = (*modules, rest_deliveries)
    routes = {(route.method, shape(route.path)) for module in modules for route in module.ROUTES}
    described = {
        (method.upper(), shape(path))
        for one in SLICES
        for path, methods in json.loads(one.read_text())["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert routes == described


def shape(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


async def test_a_labeled_pull_request_is_listed_as_githubs_description_has_it(github: GitHub) -> None:
    repo = await github.create_repo("acme/shop", files={"a": "1"})
    await github.push(repo, "topic", {"a": "2"})
    pull = await github.open_pull(repo, "topic")
    github.label_pull(repo, pull.number, "review-app")
    listed = await github.ask("GET", "/repos/acme/shop/pulls", token=github.installation_token(repo))
    assert [each["name"] for each in listed.body[0]["labels"]] == ["review-app"]
