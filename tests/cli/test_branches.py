"""Review apps that people make and take away from the command line; and what was approved of a fork."""

import asyncio
from typing import Any

import pytest

from service.cli import following
from service.domain.model import ReviewState
from service.store import apps, pipelines, reviews, spaces
from tests.cli.conftest import Inside
from tests.waiting import until
from tests.web.api.test_approvals import SHA, waiting
from tests.web.serving import SHOP, Server


async def goes_live(server: Server, pipeline_id: str) -> None:
    """What a worker records of the review app that is asked for."""

    def appear(conn: Any) -> bool:
        found = reviews.of_pipeline(conn, pipeline_id)
        for review in found:
            now = server.db.now()
            space = spaces.ensure(conn, name="common", driver="process", now=now)
            app = apps.create(conn, name="shop-br-cart", space_id=space.id, owner_id=None, is_review=True, now=now)
            pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline_id, stage=pipelines.Stage.REVIEW, now=now)
            begun = reviews.update(conn, review=review, now=now, app_id=app.id, state=ReviewState.CREATING, reason="")
            reviews.update(conn, review=begun, now=now, state=ReviewState.LIVE)
        return bool(found)

    await until(lambda: server.db.write(appear), what="a review app is asked for")


async def test_the_review_app_of_a_branch_is_made_followed_and_taken_away(
    inside: Inside, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    created = inside("reviewapps:create", "fix/cart", "-p", "shop")
    done, _ = await asyncio.gather(created, goes_live(server, pipeline["id"]))
    assert done.out.startswith(
        "Creating review app for fix/cart in shop... done\nshop-br-cart is live: http://shop-br-"
    )
    assert "fix/cart  shop-br-cart  live" in (await inside("reviewapps", "-p", "shop")).out
    gone = await inside("reviewapps:destroy", "fix/cart", "-p", "shop", "--confirm", "shop-br-cart")
    assert gone.out == "Destroying review app shop-br-cart... done\n"
    (request,) = await server.get("/apps/shop-br-cart/requests")
    assert request["kind"] == "Destroy"
    (review,) = await server.get(f"/pipelines/{pipeline['id']}/review-apps")
    assert review["state"] == "destroying"


async def test_a_branch_is_not_taken_for_the_pull_requests_that_come_from_one_of_its_name(
    inside: Inside, server: Server
) -> None:
    pipeline, forked = await waiting(server)
    where = f"/pipelines/{pipeline['id']}/review-apps"
    only = await inside("reviewapps:pin", "fix/cart", "-p", "shop", "--json")
    assert only.json["id"] == forked

    def another(conn: Any) -> str:
        made = reviews.create(
            conn, pipeline_id=pipeline["id"], repository_id=SHOP.id, ref="pr:7", generation=1, app_id=None,
            state=ReviewState.WAITING, reason="", sha=SHA, branch="fix/cart", by_person=False, now=server.db.now(),
        )  # fmt: skip
        return made.id

    other = await server.db.write(another)
    unclear = await inside("reviewapps:destroy", "fix/cart", "-p", "shop", "-c", "#7", code=2)
    assert "Which one? #7 and #11 come from a branch fix/cart: name the pull request." in unclear.err
    own, _ = await server.call("POST", "/review-apps", {"pipeline": pipeline["id"], "branch": "fix/cart"}, expect=201)
    await inside("reviewapps:destroy", "fix/cart", "-p", "shop", "-c", "fix/cart")
    states = {it["id"]: it["state"] for it in await server.get(where)}
    assert states == {forked: "waiting", other: "waiting", own["id"]: "skipped"}


async def test_a_review_app_is_asked_for_without_waiting(inside: Inside, server: Server) -> None:
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    asked = await inside("reviewapps:create", "--branch", "fix/cart", "-p", "shop", "--no-wait", "--json")
    assert (asked.json["branch"], asked.json["pr_number"]) == ("fix/cart", None)
    assert [it["id"] for it in await server.get(f"/pipelines/{pipeline['id']}/review-apps")] == [asked.json["id"]]


async def test_what_was_approved_is_listed_with_by_whom(inside: Inside, server: Server) -> None:
    await waiting(server)
    assert (await inside("reviewapps:approvals", "11", "-p", "shop")).out == "No commit of #11 was approved.\n"
    await inside("reviewapps:approve", "11", "-p", "shop", "--sha", SHA, "--no-wait")
    header, row = (await inside("reviewapps:approvals", "#11", "-p", "shop")).out.splitlines()
    assert header.split() == ["commit", "by", "how", "when", "head"]
    assert row.split()[:3] == [SHA[:7], "user:admin@localhost", "api"]
    assert row.endswith("now")
    assert [it["sha"] for it in (await inside("reviewapps:approvals", "11", "-p", "shop", "--json")).json] == [SHA]
    assert "no review app for 12" in (await inside("reviewapps:approvals", "12", "-p", "shop", code=1)).err
