"""Approving a commit of a fork through the API and the config of forks."""

from typing import Any

from service.domain.model import FORKS, ReviewState
from service.store import approvals, pipelines, reviews
from tests.web.serving import FORKED, HEADS, SHOP, Server

SHA = HEADS["fix/cart"]


async def waiting(server: Server, number: int = FORKED) -> tuple[Any, str]:
    """A pipeline and its review app that waits, as a worker notes it for a pull request of a fork."""
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)

    def record(conn: Any) -> str:
        made = reviews.create(
            conn, pipeline_id=pipeline["id"], repository_id=SHOP.id, ref=f"pr:{number}", generation=1, app_id=None,
            state=ReviewState.WAITING, reason="fork", sha=SHA, branch="fix/cart", by_person=False, now=server.db.now(),
        )  # fmt: skip
        return made.id

    return pipeline, await server.db.write(record)


async def test_a_commit_is_approved_by_its_name_and_the_approval_says_by_whom(server: Server) -> None:
    _, review = await waiting(server)
    where = f"/review-apps/{review}/approvals"
    answered, _ = await server.call("POST", where, {"sha": SHA[:7]}, expect=201)
    assert answered["pr_number"] == FORKED
    (listed,) = await server.get(where)
    assert (listed["sha"], listed["by"], listed["how"]) == (SHA, "user:admin@localhost", "api")
    await server.call("POST", where, {"sha": SHA}, expect=201)
    assert len(await server.get(where)) == 1
    activity = await server.get("/activity?pipeline=shop")
    assert [it["action"] for it in activity].count("commit approved") == 1


async def test_a_head_that_has_moved_is_refused_and_both_commits_are_named(server: Server) -> None:
    pipeline, review = await waiting(server)
    old = "d" * 40
    error, _ = await server.call("POST", f"/review-apps/{review}/approvals", {"sha": old}, expect=422)
    assert SHA in error["message"]
    assert old in error["message"]
    found = await server.db.read(
        lambda conn: approvals.shas(conn, pipeline_id=pipeline["id"], repository_id=SHOP.id, number=FORKED)
    )
    assert found == frozenset()


async def test_what_names_no_commit_is_refused(server: Server) -> None:
    _, review = await waiting(server)
    for sha in ("main", "abc", SHA.upper(), f"{SHA}0", "", None):
        error, _ = await server.call("POST", f"/review-apps/{review}/approvals", {"sha": sha}, expect=422)
        assert error["message"].startswith("sha: "), error
    await server.call("POST", "/review-apps/unknown/approvals", {"sha": SHA}, expect=404)
    await server.call("GET", "/review-apps/unknown/approvals", expect=404)


async def test_a_pull_request_of_our_own_branch_needs_no_approval(server: Server) -> None:
    _, review = await waiting(server, 7)
    error, _ = await server.call("POST", f"/review-apps/{review}/approvals", {"sha": SHA}, expect=422)
    assert "needs no approval" in error["message"]


async def test_where_forks_never_run_nothing_is_approved(server: Server) -> None:
    _, review = await waiting(server)
    await server.call("PATCH", "/pipelines/shop/review-app-config", {"forks": "never"}, expect=200)
    error, _ = await server.call("POST", f"/review-apps/{review}/approvals", {"sha": SHA}, expect=422)
    assert "--forks approve" in error["message"]
    await server.call("PATCH", "/pipelines/shop/review-app-config", {"forks": "always"}, expect=422)


async def test_the_config_of_forks_is_kept_apart_from_that_of_stages(server: Server) -> None:
    pipeline = await server.pipeline()
    await server.call("PATCH", "/pipelines/shop/stage/review/config-vars", {"OURS": "1"}, expect=200)
    assert await server.get("/pipelines/shop/forks/config-vars") == {}
    changed, _ = await server.call("PATCH", "/pipelines/shop/forks/config-vars", {"A": "1", "B": "2"}, expect=200)
    assert changed == {"A": "1", "B": "2"}
    await server.call("PATCH", "/pipelines/shop/forks/config-vars", {"A": None}, expect=200)
    assert await server.get("/pipelines/shop/forks/config-vars") == {"B": "2"}
    assert await server.get("/pipelines/shop/stage/review/config-vars") == {"OURS": "1"}
    kept = await server.db.read(lambda conn: pipelines.stage_config(conn, server.vault, pipeline["id"], FORKS))
    assert kept == {"B": "2"}


async def test_approvals_go_with_their_pipeline(server: Server) -> None:
    pipeline, review = await waiting(server)
    await server.call("POST", f"/review-apps/{review}/approvals", {"sha": SHA}, expect=201)
    await server.call("DELETE", f"/pipelines/{pipeline['id']}", expect=200)
    found = await server.db.read(
        lambda conn: approvals.shas(conn, pipeline_id=pipeline["id"], repository_id=SHOP.id, number=FORKED)
    )
    assert found == frozenset()
