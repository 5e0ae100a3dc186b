"""What a delivery's verdict says when nothing came of it: people look there when they expected an app."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection

from service.domain.model import Pipeline
from service.store import pipelines
from tests.workers.conftest import Yard
from tests.workers.test_bad_input import verdicts

STRANGE = {"id": 4242, "full_name": "acme/strange", "default_branch": "main"}
SHA = "b" * 40
PULL = {
    "number": 7,
    "title": "Change",
    "state": "open",
    "draft": False,
    "user": {"login": "ada", "type": "User"},
    "labels": [],
    "head": {"ref": "topic", "sha": SHA, "repo": STRANGE},
    "base": {"ref": "main", "sha": "a" * 40, "repo": STRANGE},
    "merged_at": None,
    "updated_at": "2026-05-01T10:00:00Z",
}
NOT_CONNECTED = "matched no app: no pipeline is connected to the repository"
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a push to a repository that nobody connected": (
        "push",
        {"ref": "refs/heads/main", "after": SHA, "repository": STRANGE},
        NOT_CONNECTED,
    ),
    "a pull request of a repository that nobody connected": (
        "pull_request",
        {"action": "opened", "number": 7, "pull_request": PULL, "repository": STRANGE},
        NOT_CONNECTED,
    ),
    "a push to a branch that no app follows": (
        "push",
        {"ref": "refs/heads/feature/x", "after": SHA},
        "matched no app: no app deploys feature/x by itself",
    ),
    "a status of a commit that nobody waits with": (
        "status",
        {"sha": SHA, "context": "build", "state": "success"},
        f"matched no app: no review app and no branch that an app deploys is at {SHA[:7]}",
    ),
    "an installation without a connected repository": (
        "installation",
        {"action": "created", "installation": {"id": 77, "account": {"login": "other"}}, "repositories": []},
        "matched no app: no repository of the installation is connected to a pipeline",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_it_says_why_nothing_follows_from(yard: Yard, case: str) -> None:
    event, payload, says = CASES[case]
    shop = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
    body = json.dumps({"repository": shop, **payload}).encode()
    (receipt,) = await verdicts(yard, [("expected-more", event, body)])
    assert (receipt.state, receipt.verdict) == ("processed", says)


async def test_two_pipelines_of_one_name_answer_a_merge_queue_each_under_a_name_of_its_own(yard: Yard) -> None:
    def connect(conn: Connection) -> Pipeline:
        made = pipelines.create(conn, name="shop", owner_id="another", owner_type="user", now=yard.clock())
        return pipelines.update(conn, pipeline=made, now=yard.clock(), repository_id=yard.repository.id)

    other = await yard.db.write(connect)
    ref = "refs/heads/gh-readonly-queue/master/pr-1-aaaa"
    group = {"action": "checks_requested", "merge_group": {"head_sha": SHA, "head_ref": ref, "base_ref": "master"}}
    shop = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
    await verdicts(yard, [("queued", "merge_group", json.dumps({"repository": shop, **group}).encode())])
    shown = [(await yard.report(f"check:{each.id}/{SHA}")).wanted["name"] for each in (yard.pipeline, other)]
    assert shown == ["towpath/shop", f"towpath/shop-{other.id[:4]}"]


async def test_a_merge_queue_of_a_repository_that_is_only_deployed_from_says_so(yard: Yard) -> None:
    await yard.db.write(
        lambda conn: pipelines.update(conn, pipeline=yard.pipeline, now=yard.clock(), repository_id=None)
    )
    ref = "refs/heads/gh-readonly-queue/master/pr-1-aaaa"
    group = {"action": "checks_requested", "merge_group": {"head_sha": SHA, "head_ref": ref, "base_ref": "master"}}
    shop = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
    body = json.dumps({"repository": shop, **group}).encode()
    (receipt,) = await verdicts(yard, [("queued", "merge_group", body)])
    assert receipt.verdict == NOT_CONNECTED
