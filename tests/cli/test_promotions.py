"""Promotions that are looked at later, of older releases and without waiting; and how a release that fails ends."""

from typing import Any

import pytest

from service.cli import following
from tests.cli.conftest import Inside
from tests.web.serving import HEADS, Server


@pytest.fixture
def here(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """The command line in this process, which looks again soon."""
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    return inside


async def deployed(server: Server, *branches: str) -> None:
    """A staging app that these were deployed to one after the other, with an app downstream."""
    await server.pipeline(staging="example-staging", production="example")
    for branch in branches:
        await server.call("POST", "/apps/example-staging/builds", {"source_blob": {"version": branch}}, expect=201)
        await server.work()


async def test_the_release_that_is_named_is_promoted_and_not_the_newest(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    await deployed(server, "main", "fix/cart")
    done = await here("pipelines:promote", "-a", "example-staging", "--release", "v1")
    assert done.out == "Promoting example-staging to example (production)... done, v1\n"
    assert [it["commit"] for it in await server.get("/apps/example/releases")] == [HEADS["main"]]
    await here("pipelines:promote", "-a", "example-staging", "--release", "2")
    assert (await server.get("/apps/example/releases/2"))["commit"] == HEADS["fix/cart"]


async def test_a_promotion_is_not_waited_for_and_looked_at_later(here: Inside, server: Server) -> None:
    await deployed(server, "main")
    assert (await here("pipelines:promotions", "shop")).out == (
        "Nothing was promoted in shop yet. Promote: towpath pipelines:promote -a APP\n"
    )
    asked = await here("pipelines:promote", "-a", "example-staging", "--no-wait")
    (made,) = await server.get("/pipelines/shop/pipeline-promotions")
    assert asked.out == f"Promotion {made['id']} is on its way to: example\n"
    assert made["status"] == "pending"
    pending = await here("pipelines:promotions", "-a", "example")
    assert pending.out.startswith("=== shop Promotions\n\nwhen")
    assert pending.out.splitlines()[-1].split()[2:] == ["example-staging", "v1", "example", "v1", "pending"]
    await server.work()
    over = await here("pipelines:promotions")
    assert over.out.splitlines()[-1].split()[2:] == ["example-staging", "v1", "example", "v1", "succeeded"]


async def test_promotions_are_listed_newest_first_with_what_became_of_each_target(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    await deployed(server, "main")
    await server.app("example-admin")
    body = {"app": "example-admin", "pipeline": "shop", "stage": "production"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)
    await here("pipelines:promote", "-a", "example-staging", "--to", "example-admin")
    worker["fail"] = "release"
    await here("pipelines:promote", "-a", "example-staging", code=5)
    listed = (await here("pipelines:promotions", "shop")).out.splitlines()[3:]
    told = [" ".join(line.split()) for line in listed]
    assert told[0].endswith(" example-staging v1 example v1 failed release command exited with 1")
    assert told[1] == "example-admin v2 failed release command exited with 1"
    assert told[2].endswith(" example-staging v1 example-admin v1 succeeded")
    told = (await here("pipelines:promotions", "shop", "-n", "1", "--json")).json
    assert [(it["source"]["app"]["name"], it["source"]["release"]["version"]) for it in told] == [
        ("example-staging", 1)
    ]
    assert [(it["app"]["name"], it["release"]["version"], it["status"]) for it in told[0]["targets"]] == [
        ("example", 1, "failed"),
        ("example-admin", 2, "failed"),
    ]
    await here("pipelines:remove", "-a", "example-staging")
    assert "example-staging v1" in (await here("pipelines:promotions", "shop")).out
    for app in ("example", "example-admin"):
        await here("pipelines:remove", "-a", app)
    assert (await here("pipelines:info", "shop")).out.endswith(
        "\n\nNo app is in it. Add one: towpath pipelines:add shop -a APP -s STAGE\n"
    )


async def test_a_release_that_fails_ends_with_4_whatever_asked_for_it(
    here: Inside, server: Server, worker: dict[str, Any]
) -> None:
    await deployed(server, "main", "fix/cart")
    worker["fail"] = "release"
    for number, words in enumerate(
        (["releases:rollback", "v1"], ["config:set", "A=1"], ["config:unset", "A"], ["releases:retry", "v2"]), start=3
    ):
        failed = await here(*words, "-a", "example-staging", code=4)
        assert failed.out.endswith("... failed\n"), words
        assert failed.err.endswith(
            f"Release v{number} of example-staging failed: release command exited with 1. The former release still serves.\n"
        ), words
