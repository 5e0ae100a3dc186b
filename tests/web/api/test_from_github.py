"""What Heroku's clients would ask GitHub, answered here: for whom, and about which repositories."""

from typing import Any

import pytest

from tests.web.serving import HEADS, Server

BASE, HEAD = HEADS["main"], HEADS["fix/cart"]


async def somebody(server: Server, login: str) -> str:
    """Make a user with that login at GitHub; returns the Authorization header."""
    made, _ = await server.call("POST", "/users", {"email": f"{login}@example.com", "github": login}, expect=201)
    return f"Bearer {made['access_token']['token']}"


async def test_a_repository_is_shown_with_its_number_and_default_branch(server: Server) -> None:
    shown = await server.get("/repos/acme/shop")
    assert shown == {"id": 42, "full_name": "acme/shop", "default_branch": "main", "archived": False}
    missing, _ = await server.call("GET", "/repos/acme/nothing", expect=422)
    assert missing["message"] == "Couldn't access that repo: acme/nothing"


async def test_two_commits_are_compared(server: Server) -> None:
    shown = await server.get(f"/repos/acme/shop/compare/{BASE}...{HEAD}")
    assert (shown["ahead_by"], shown["behind_by"]) == (1, 0)
    assert shown["commits"] == [
        {"sha": HEAD, "commit": {"message": "Add a cart", "author": {"name": "Octavia", "date": None}}}
    ]


@pytest.mark.parametrize(
    ("commits", "status", "says"),
    [
        ("main...fix", 422, "BASE...HEAD"),
        (BASE, 422, "BASE...HEAD"),
        (f"{BASE}..{HEAD}", 422, "BASE...HEAD"),
        (f"{BASE}...{'e' * 40}", 404, "does not show how aaaaaaa and eeeeeee of acme/shop differ"),
    ],
    ids=["branches", "one commit", "two dots", "a commit that GitHub does not know"],
)
async def test_what_cannot_be_compared_is_said(server: Server, commits: str, status: int, says: str) -> None:
    error, _ = await server.call("GET", f"/repos/acme/shop/compare/{commits}", expect=status)
    assert says in error["message"]


async def test_the_address_of_an_archive_is_one_that_builds_take(server: Server) -> None:
    await server.pipeline(staging="example")
    link = (await server.get("/github/repos/acme/shop/tarball/main"))["archive_link"]
    build, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"url": link}}, expect=201)
    assert build["source_blob"]["version"] == BASE
    missing, _ = await server.call("GET", "/github/repos/acme/shop/tarball/nowhere", expect=422)
    assert "neither a branch nor a commit" in missing["message"]


async def test_a_repository_is_for_those_who_see_a_pipeline_of_it_or_may_write_there(server: Server) -> None:
    await server.pipeline(staging="example")
    writer, reader = await somebody(server, "octavia"), await somebody(server, "reader")
    paths = ("/repos/acme/shop", f"/repos/acme/shop/compare/{BASE}...{HEAD}", "/github/repos/acme/shop/tarball/main")
    for path in paths:
        await server.call("GET", path, expect=200, Authorization=writer)
        error, _ = await server.call("GET", path, expect=403, Authorization=reader)
        assert "acme/shop" in error["message"]
    granted = {"user": "reader@example.com", "permissions": ["view"]}
    await server.call("POST", "/apps/example/collaborators", granted, expect=201)
    for path in paths:
        await server.call("GET", path, expect=200, Authorization=reader)


SWITCHES = {"enabled": True, "auto_deploy": True, "auto_destroy": True}


async def test_review_apps_are_switched_along_with_an_apps_deploys(server: Server) -> None:
    await server.pipeline(staging="example")
    body = {"auto_deploy": True, "wait_for_ci": True, "pull_requests": SWITCHES}
    changed, _ = await server.call("PATCH", "/apps/example/github", body, expect=200)
    assert (changed["auto_deploy"], changed["wait_for_ci"], changed["pull_requests"]) == (True, True, SWITCHES)
    config = await server.get("/pipelines/shop/review-app-config")
    assert (config["automatic_review_apps"], config["destroy_stale_apps"]) == (True, True)
    off = {"pull_requests": {"enabled": False}}
    changed, _ = await server.call("PATCH", "/apps/example/github", off, expect=200)
    assert (changed["auto_deploy"], changed["pull_requests"]["enabled"]) == (True, False)


@pytest.mark.parametrize(
    "wrong", [{"enabled": "yes"}, {"everything": True}, True], ids=["a word", "unknown", "a switch"]
)
async def test_switches_of_review_apps_that_are_none_are_named(server: Server, wrong: Any) -> None:
    await server.pipeline(staging="example")
    error, _ = await server.call("PATCH", "/apps/example/github", {"pull_requests": wrong}, expect=422)
    assert "pull_requests" in error["message"]


async def test_who_may_only_deploy_the_app_does_not_switch_its_pipelines_review_apps(server: Server) -> None:
    await server.pipeline(staging="example")
    deployer = await somebody(server, "octavia")
    granted = {"user": "octavia@example.com", "permissions": ["view", "deploy"]}
    await server.call("POST", "/apps/example/collaborators", granted, expect=201)
    body = {"auto_deploy": True, "pull_requests": SWITCHES}
    error, _ = await server.call("PATCH", "/apps/example/github", body, expect=403, Authorization=deployer)
    assert "manage" in error["message"]
    shown = await server.get("/apps/example/github")
    assert (shown["auto_deploy"], shown["pull_requests"]["auto_deploy"]) == (False, False)
