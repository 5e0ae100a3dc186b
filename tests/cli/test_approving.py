"""Approving from the command line: the commit that was looked at, or none."""

import pytest

from tests.cli.conftest import Cli
from tests.web.api.test_approvals import SHA, waiting
from tests.web.serving import Server


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by answering"])
async def test_a_commit_is_approved(towpath: Cli, server: Server, by_name: bool) -> None:
    _, review = await waiting(server)
    if by_name:
        await towpath("reviewapps:approve", "11", "-p", "shop", "--sha", SHA, "--no-wait")
    else:
        asked = await towpath("reviewapps:approve", "#11", "-p", "shop", "--no-wait", stdin=f"{SHA[:7]}\n")
        assert f"#11 (fix/cart) is at {SHA}" in asked.err
    assert [it["sha"] for it in await server.get(f"/review-apps/{review}/approvals")] == [SHA]


async def test_what_is_not_approved_says_why_and_ends_in_failure(towpath: Cli, server: Server) -> None:
    _, review = await waiting(server)
    old = "d" * 40
    moved = await towpath("reviewapps:approve", "11", "-p", "shop", "--sha", old, code=1)
    assert SHA in moved.err
    assert old in moved.err
    silent = await towpath("reviewapps:approve", "11", "-p", "shop", code=2)
    assert "--sha SHA" in silent.err
    for words, text in (
        (["12", "--sha", SHA], "no review app for 12"),
        (["topic", "--sha", SHA], "not the number of a pull request"),
        (["11", "--sha", "main"], "7 to 40 digits"),
    ):
        refused = await towpath("reviewapps:approve", "-p", "shop", *words, code=1)
        assert text in refused.err
    assert await server.get(f"/review-apps/{review}/approvals") == []


async def test_the_config_of_forks_is_set_apart(towpath: Cli, server: Server) -> None:
    await server.pipeline()
    await towpath("config:set", "A=1", "B=2", "--fork", "-p", "shop")
    await towpath("config:unset", "A", "--fork", "-p", "shop")
    shown = await towpath("config", "--fork", "-p", "shop")
    assert "shop (forks) Config Vars" in shown.out
    assert (await towpath("config", "--fork", "-p", "shop", "--json")).json == {"B": "2"}
    assert (await towpath("config", "--stage", "review", "-p", "shop", "--json")).json == {}
    for words in (["-a", "shop"], ["--stage", "review", "-p", "shop"]):
        assert "--fork with a pipeline only" in (await towpath("config", "--fork", *words, code=2)).err


async def test_forks_are_switched_off_for_a_pipeline(towpath: Cli, server: Server) -> None:
    await server.pipeline()
    said = await towpath("reviewapps:enable", "-p", "shop", "--forks", "never")
    assert "never" in said.out
    assert (await server.get("/pipelines/shop/review-app-config"))["forks"] == "never"
    refused = await towpath("reviewapps:enable", "-p", "shop", "--forks", "always", code=1)
    assert "forks" in refused.err
