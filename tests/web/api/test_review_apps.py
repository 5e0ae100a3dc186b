"""Repositories, review apps and their settings, deliveries and activity on the wire."""

import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from service.domain.facts import FactKey, FactKind
from service.domain.model import ReviewState
from service.domain.toggles import DESCRIPTIONS
from service.store import apps, facts, repositories, reviews
from service.store.tables import deliveries, review_apps
from tests.domain.things import pull_request
from tests.web.serving import FORK, HEADS, SHOP, Server


async def test_a_pipeline_is_connected_shown_and_disconnected(server: Server) -> None:
    pipeline = await server.pipeline(connected=False)
    where = f"/pipelines/{pipeline['id']}/repository"
    await server.call("GET", where, expect=404)
    connected, _ = await server.call("POST", where, {"repository": "acme/shop"}, expect=201)
    assert connected["repository"]["id"] == 42
    assert (await server.get(f"/pipelines/{pipeline['id']}/repo"))["full_name"] == "acme/shop"
    await server.call("GET", f"/pipelines/{pipeline['id']}/repo/branches/fix/cart", expect=200)
    # Heroku's clients take 404 for "no such branch".
    await server.call("GET", f"/pipelines/{pipeline['id']}/repo/branches/nowhere", expect=404)
    await server.call("POST", where, {"repository": 42}, expect=201)
    await server.call("DELETE", where, expect=200)
    await server.call("GET", where, expect=404)


async def test_a_repository_that_cannot_be_read_is_refused(server: Server) -> None:
    await server.pipeline(connected=False)
    for repository in ("acme/secret", "no-slash", "a/b/c", 99):
        error, _ = await server.call("POST", "/pipelines/shop/repository", {"repository": repository}, expect=422)
        assert str(repository) in error["message"]


async def test_auto_deploy_is_switched_for_a_branch(server: Server) -> None:
    await server.pipeline(staging="example")
    assert (await server.get("/apps/example/github"))["auto_deploy"] is False
    body = {"auto_deploy": True, "branch": "main", "wait_for_ci": True}
    changed, _ = await server.call("PATCH", "/apps/example/github", body, expect=200)
    assert (changed["auto_deploy"], changed["branch"], changed["wait_for_ci"]) == (True, "main", True)
    await server.call("PATCH", "/apps/example/github", {"branch": "nowhere"}, expect=404)


async def test_review_apps_are_enabled_changed_and_disabled(server: Server) -> None:
    pipeline = await server.pipeline()
    where = f"/pipelines/{pipeline['id']}/review-app-config"
    await server.call("GET", where, expect=404)
    body = {"pipeline": pipeline["id"], "repo": "acme/shop", "automatic_review_apps": True, "stale_days": 3}
    config, _ = await server.call("POST", where, body, expect=201)
    assert (config["automatic_review_apps"], config["stale_days"], config["repo"]) == (True, 3, {"id": 42})
    changed, _ = await server.call(
        "PATCH", where, {"destroy_stale_apps": True, "wait_for_ci": True, "base_name": "shop"}, expect=200
    )
    assert (changed["destroy_stale_apps"], changed["wait_for_ci"], changed["base_name"]) == (True, True, "shop")
    assert changed["automatic_review_apps"] is True
    cleared, _ = await server.call("PATCH", where, {"base_name": None}, expect=200)
    assert cleared["base_name"] is None
    await server.call("DELETE", where, expect=200)
    await server.call("GET", where, expect=404)


async def test_the_rules_of_review_apps_are_part_of_their_settings(server: Server) -> None:
    await server.pipeline()
    where = "/pipelines/shop/review-app-config"
    body = {"labels": ["demo"], "base_branches": ["main", "/release/*"], "paths": ["api/"], "idle_action": "suspend"}
    config, _ = await server.call("POST", where, body, expect=201)
    kept = {"labels": ["demo"], "base_branches": ["main", "release/*"], "paths": ["api"], "idle_action": "suspend"}
    assert config | kept == config
    error, _ = await server.call("PATCH", where, {"paths": ["a", "../b"]}, expect=422)
    assert error["message"] == "paths: ../b: a pattern has no empty part, no . and no .."
    error, _ = await server.call("PATCH", where, {"idle_action": "sleep"}, expect=422)
    assert "idle_action" in error["message"]
    changed, _ = await server.call("PATCH", where, {"labels": []}, expect=200)
    assert (changed["labels"], changed["paths"]) == ([], ["api"])


def values(shown: Any) -> dict[str, Any]:
    return {each["name"]: each["value"] for each in shown["settings"]}


async def test_all_settings_of_a_pipeline_are_shown_with_what_they_mean_and_changed_by_name(server: Server) -> None:
    await server.pipeline()
    where = "/pipelines/shop/settings"
    shown = await server.get(where)
    assert {each["name"] for each in shown["settings"]} == {"root_directory", *DESCRIPTIONS}
    assert all(each["description"].endswith(".") for each in shown["settings"])
    body = {"root_directory": "/services/api/", "paths": ["services/api"], "destroy_stale": True, "review_apps": True}
    changed, _ = await server.call("PATCH", where, body, expect=200)
    assert values(changed) == values(shown) | body | {"root_directory": "services/api"}
    assert values(await server.get(where)) == values(changed)
    same, _ = await server.call("PATCH", where, {}, expect=200)
    assert same == changed
    (entry,) = [it for it in await server.get("/activity?pipeline=shop") if it["action"] == "toggles changed"]
    assert (entry["actor"], entry["data"]) == ("user:admin@localhost", body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"labels": ["a"], "root_directory": "../x"}, "root_directory: ../x leads out of the repository"),
        ({"labels": ["a"], "nonsense": 1}, "nonsense: there is no such setting; there are "),
        ({"labels": ["a"], "drafts": "on", "stale_days": 99}, "drafts: expected true or false\nstale_days: expected"),
        ({"labels": "a"}, "labels: expected a list of names"),
        ([], "valid dictionary"),
    ],
    ids=["a directory outside", "an unknown name", "two mistakes", "a text for a list", "no object"],
)
async def test_one_mistake_in_the_settings_changes_none_of_them(server: Server, body: Any, text: str) -> None:
    await server.pipeline()
    error, _ = await server.call("PATCH", "/pipelines/shop/settings", body, expect=422)
    assert text in error["message"]
    assert values(await server.get("/pipelines/shop/settings"))["labels"] == []


async def test_review_apps_need_a_repository_whichever_way_they_are_switched_on(server: Server) -> None:
    await server.pipeline(connected=False)
    error, _ = await server.call("PATCH", "/pipelines/shop/settings", {"review_apps": True}, expect=422)
    assert "pipelines:connect" in error["message"]
    await server.call("PATCH", "/pipelines/nowhere/settings", {"review_apps": True}, expect=404)


async def test_a_review_app_is_pinned_and_unpinned(server: Server) -> None:
    pipeline = await server.pipeline()
    review = await live_review(server, pipeline["id"])
    where = f"/review-apps/{review.id}"
    assert (await server.get(where))["pinned"] is False
    for pinned in (True, True, False):
        changed, _ = await server.call("PATCH", where, {"pinned": pinned}, expect=200)
        assert changed["pinned"] is pinned
    actions = [it["action"] for it in await server.get("/activity?pipeline=shop")]
    assert sorted(action for action in actions if "pinned" in action) == ["review app pinned", "review app unpinned"]
    for body in ({}, {"pinned": "yes"}, {"pinned": True, "state": "live"}):
        await server.call("PATCH", where, body, expect=422)
    await server.call("PATCH", "/review-apps/nowhere", {"pinned": True}, expect=404)

    def go(conn: Any) -> None:
        known = reviews.get(conn, review.id)
        assert known is not None
        reviews.update(conn, review=known, now=server.db.now(), state=ReviewState.DESTROYED, reason="gone")

    await server.db.write(go)
    await server.call("PATCH", where, {"pinned": True}, expect=404)


async def test_enabling_with_another_repository_is_refused(server: Server) -> None:
    pipeline = await server.pipeline()
    body = {"repo": "acme/other"}
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", body, expect=422)


async def live_review(server: Server, pipeline_id: str, number: int = 7) -> Any:
    """What a worker records when a review app has gone live."""
    now = server.db.now()

    def record(conn: Any) -> Any:
        space = apps.ensure_space(conn, name="common", driver="process", now=now)
        app = apps.create(
            conn, name=f"shop-pr-{number}", space_id=space.id, owner_id=None, is_review=True, now=now, pipeline_id=None
        )
        return reviews.create(
            conn, pipeline_id=pipeline_id, repository_id=SHOP.id, ref=f"pr:{number}", generation=1, app_id=app.id,
            state=ReviewState.LIVE, reason="", sha="b" * 40, branch="fix/cart", by_person=False, now=now,
        )  # fmt: skip

    return await server.db.write(record)


async def looked_at(server: Server, number: int, *, of_fork: bool) -> None:
    """What is known of a pull request once GitHub was asked."""
    value = pull_request(
        number=number,
        head_sha="b" * 40,
        head_repository_id=FORK if of_fork else SHOP.id,
        base_repository_id=SHOP.id,
    )
    key = FactKey(FactKind.PULL_REQUEST, SHOP.id, str(number))
    now = server.db.now()
    await server.db.write(
        lambda conn: facts.learn(conn, key, asked=facts.next_asked(conn), value=value, error="", etag="", now=now)
    )


@pytest.mark.parametrize("wanted", [{"pr_number": 7}, {"branch": "fix/cart"}], ids=["pull request", "branch"])
async def test_who_asks_for_one_that_is_there_gets_what_is_on_github_now(server: Server, wanted: Any) -> None:
    """However old it is what was known of that, and though a push has told already that there is something newer."""
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    review = await live_review(server, pipeline["id"])
    await looked_at(server, 7, of_fork=False)
    pull = FactKey(FactKind.PULL_REQUEST, SHOP.id, "7")

    def prepare(conn: Any) -> None:
        facts.mark_stale(conn, [pull], now=server.db.now())
        if "branch" in wanted:
            conn.execute(review_apps.update().where(review_apps.c.id == review.id).values(ref="branch:fix/cart"))

    await server.db.write(prepare)
    made, _ = await server.call("POST", "/review-apps", {"pipeline": pipeline["id"], **wanted}, expect=201)
    assert (made["id"], made["commit"]) == (review.id, HEADS["fix/cart"])
    (asked,) = await server.get("/apps/shop-pr-7/requests")
    assert (asked["kind"], asked["commit"], asked["state"]) == ("Deploy", HEADS["fix/cart"], "queued")


async def test_a_review_app_says_whose_code_it_runs_as_far_as_that_is_known(server: Server) -> None:
    pipeline = await server.pipeline()
    for number in (7, 9, 11):
        await live_review(server, pipeline["id"], number)
    await looked_at(server, 9, of_fork=False)
    await looked_at(server, 11, of_fork=True)
    listed = await server.get(f"/pipelines/{pipeline['id']}/review-apps")
    assert {it["pr_number"]: it["trust"] for it in listed} == {7: None, 9: "own", 11: "fork"}
    (of_fork,) = [it["id"] for it in listed if it["pr_number"] == 11]
    assert (await server.get(f"/review-apps/{of_fork}"))["trust"] == "fork"
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    of_branch, _ = await server.call("POST", "/review-apps", {"pipeline": "shop", "branch": "fix/cart"}, expect=201)
    assert of_branch["trust"] == "own"


async def test_review_apps_are_listed_shown_and_destroyed(server: Server) -> None:
    pipeline = await server.pipeline()
    review = await live_review(server, pipeline["id"])
    (listed,) = await server.get(f"/pipelines/{pipeline['id']}/review-apps")
    assert (listed["status"], listed["pr_number"], listed["app"]["name"]) == ("created", 7, "shop-pr-7")
    assert listed["web_url"].startswith("http://shop-pr-7.localhost:")
    assert (await server.get("/apps/shop-pr-7/review-app"))["id"] == review.id
    gone, _ = await server.call("DELETE", f"/review-apps/{review.id}", expect=200)
    assert gone["status"] == "deleting"
    error, _ = await server.call("DELETE", f"/pipelines/{pipeline['id']}", expect=422)
    assert "review apps" in error["message"]


async def test_to_destroy_what_is_gone_takes_nothing_away_that_came_after_it(server: Server) -> None:
    pipeline = await server.pipeline()

    def gone(conn: Any) -> Any:
        return reviews.create(
            conn, pipeline_id=pipeline["id"], repository_id=SHOP.id, ref="pr:7", generation=0, app_id=None,
            state=ReviewState.DESTROYED, reason="gone", sha="a" * 40, branch="fix/cart", by_person=False,
            now=server.db.now(),
        )  # fmt: skip

    old, new = await server.db.write(gone), await live_review(server, pipeline["id"])
    await server.call("DELETE", f"/review-apps/{old.id}", expect=404)
    assert (await server.get(f"/review-apps/{new.id}"))["status"] == "created"


async def test_a_review_app_is_asked_for_by_the_number_of_its_pull_request(server: Server) -> None:
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    made, _ = await server.call("POST", "/review-apps", {"pipeline": "shop", "pr_number": 9}, expect=201)
    assert (made["status"], made["pr_number"]) == ("pending", 9)
    assert (await server.get(f"/review-apps/{made['id']}"))["id"] == made["id"]
    await server.call("POST", "/review-apps", {"pipeline": "shop"}, expect=422)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [({"pr_number": 99}, "#99"), ({"branch": "nowhere"}, "nowhere"), ({"branch": "a" * 40}, "a" * 40)],
    ids=["no such pull request", "no such branch", "a commit, which is no branch"],
)
async def test_a_review_app_of_what_is_not_there_is_refused_and_not_waited_for(
    server: Server, wanted: dict[str, Any], named: str
) -> None:
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    error, _ = await server.call("POST", "/review-apps", {"pipeline": "shop", **wanted}, expect=404)
    assert named in error["message"]
    assert await server.get(f"/pipelines/{pipeline['id']}/review-apps") == []


async def test_a_branch_without_a_pull_request_is_named_while_its_review_app_waits(server: Server) -> None:
    pipeline = await server.pipeline()
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    made, _ = await server.call("POST", "/review-apps", {"pipeline": "shop", "branch": "fix/cart"}, expect=201)
    assert (made["branch"], made["pr_number"], made["status"]) == ("fix/cart", None, "pending")


async def test_deliveries_are_listed_newest_first_and_shown_with_their_payload(server: Server) -> None:
    for number in range(3):
        body = b'{"zen": "Design for failure."}'
        await server.inbox.put(
            guid=f"{number}-0000-4000-8000", event="ping", action="", repository_id=None, installation_id=None, body=body,
            received_at=server.db.now(),
        )  # fmt: skip
    listed, _ = await server.call("GET", "/deliveries", Range="received_at ..; order=desc,max=2", expect=206)
    assert [it["id"][0] for it in listed] == ["2", "1"]
    shown = await server.get(f"/deliveries/{listed[0]['id']}")
    assert (shown["payload"], shown["state"]) == ({"zen": "Design for failure."}, "received")
    await server.call("GET", "/deliveries/unknown", expect=404)


@pytest.mark.parametrize(
    "body",
    [b'{"title": "half an emoji \\ud83d"}', b'{"repository": {"id": 1%s}}' % (b"0" * 400)],
    ids=["half a character", "a huge number"],
)
async def test_whatever_was_signed_is_taken_and_shown_as_it_was_sent(server: Server, body: bytes) -> None:
    signature = "sha256=" + hmac.digest(b"secret", body, "sha256").hex()
    guid = "11111111-0000-4000-8000-000000000000"
    await server.call(
        "POST", "/github/webhooks", body, expect=202, Authorization="", X_GitHub_Event="pull_request",
        X_GitHub_Delivery=guid, X_Hub_Signature_256=signature,
    )  # fmt: skip
    shown, _ = await server.call("GET", f"/deliveries/{guid}", expect=200)
    assert shown["payload"] == json.loads(body)


async def test_a_verdict_names_pipelines_and_apps_as_people_know_them(server: Server) -> None:
    pipeline = await server.pipeline()
    body, guid = b"{}", "0-0000-4000-8000"
    await server.inbox.put(
        guid=guid, event="ping", action="", repository_id=None, installation_id=None, body=body,
        received_at=server.db.now(),
    )  # fmt: skip
    verdict = f"rang review_app {pipeline['id']}/pr:7"
    await server.db.write(lambda conn: conn.execute(deliveries.update().values(verdict=verdict)))
    assert (await server.get("/deliveries"))[0]["verdict"] == "rang review_app shop/pr:7"


async def test_a_signed_webhook_reaches_the_deliveries(server: Server) -> None:
    body = b'{"action": "opened"}'
    signature = "sha256=" + hmac.digest(b"secret", body, "sha256").hex()
    await server.call(
        "POST", "/github/webhooks", body, expect=202, Authorization="", X_GitHub_Event="pull_request",
        X_GitHub_Delivery="11111111-0000-4000-8000-000000000000", X_Hub_Signature_256=signature,
    )  # fmt: skip
    assert [it["event"] for it in await server.get("/deliveries")] == ["pull_request"]


async def test_the_activity_names_who_did_what(server: Server) -> None:
    pipeline = await server.pipeline(production="example")
    entries = await server.get(f"/activity?pipeline={pipeline['id']}")
    assert {it["action"] for it in entries} >= {"pipeline created", "app added", "repository connected"}
    assert {it["actor"] for it in entries} == {"user:admin@localhost"}
    assert len(await server.get("/activity?app=example")) >= 2
    await server.call("GET", "/activity?app=nobody", expect=404)


async def test_every_setting_of_review_apps_is_kept_as_sent(server: Server) -> None:
    await server.pipeline()
    settings = {
        "automatic_review_apps": True,
        "wait_for_ci": True,
        "destroy_stale_apps": True,
        "stale_days": 30,
        "base_name": "shop",
        "max_review_apps": 5,
        "drafts": False,
        "ci_counts": "required",
        "forks": "never",
        "approval_blocks": True,
        "required_contexts": ["build", "test"],
        "ignored_contexts": ["slow"],
        "deploy_without_ci": True,
        "settle_seconds": 5.0,
        "gate_seconds": 60.0,
    }
    await server.call("POST", "/pipelines/shop/review-app-config", settings, expect=201)
    shown = await server.get("/pipelines/shop/review-app-config")
    assert {name: shown[name] for name in settings} == settings


async def test_a_repository_says_that_it_is_archived_and_what_keeps_github_from_showing_it(server: Server) -> None:
    await server.pipeline()

    def change(conn: Any) -> None:
        now, key = server.db.now(), FactKey(FactKind.REPOSITORY, SHOP.id, "")
        repositories.see(conn, replace(SHOP, archived=True), now)
        asked, error = facts.next_asked(conn), "GitHub does not show acme/shop: Not Found"
        facts.learn(conn, key, asked=asked, value=None, error=error, etag="", now=now)

    shown = (await server.get("/pipelines/shop/repository"))["repository"]
    assert (shown["archived"], shown["problem"]) == (False, None)
    await server.db.write(change)
    shown = (await server.get("/pipelines/shop/repository"))["repository"]
    assert (shown["archived"], shown["problem"]) == (True, "GitHub does not show acme/shop: Not Found")


async def test_an_app_follows_the_default_branch_until_another_is_named_and_again_when_asked(server: Server) -> None:
    await server.pipeline(staging="example")

    async def follow(**body: Any) -> tuple[str, bool]:
        changed, _ = await server.call("PATCH", "/apps/example/github", {"auto_deploy": True, **body}, expect=200)
        return changed["branch"], changed["follows_default_branch"]

    assert await follow() == ("main", True)
    assert await follow(branch="fix/cart") == ("fix/cart", False)
    assert await follow(wait_for_ci=True) == ("fix/cart", False)
    assert await follow(follow_default_branch=True) == ("main", True)
    assert await follow(branch="main") == ("main", False)
    both = {"branch": "main", "follow_default_branch": True}
    refused, _ = await server.call("PATCH", "/apps/example/github", both, expect=422)
    assert "not both" in refused["message"]
