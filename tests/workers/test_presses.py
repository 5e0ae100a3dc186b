"""Buttons of our check, as deliveries: pressed twice, replayed, and pressed while GitHub is away."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import Deploy, Subject, SubjectKind
from service.domain.errors import Transient
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import App, QueuedRequest, RequestState, ReviewApp, ReviewState, Sha, Stage, Trust
from service.enact import Transaction
from service.store import activity, apps, deliveries, facts, pipelines, requests, reviews
from service.store.deliveries import Inbox
from tests.workers.conftest import Yard
from workers.jobs.react import react


async def delivered(yard: Yard, guid: str, payload: dict[str, Any], event: str = "check_run") -> str:
    """A delivery from its arrival to its verdict."""
    inbox = await Inbox.open(yard.db.url)
    body = json.dumps(payload).encode()
    await inbox.put(
        guid=guid,
        event=event,
        action="requested_action",
        repository_id=yard.repository.id,
        installation_id=None,
        body=body,
        received_at=yard.clock(),
    )
    await inbox.close()
    await react(yard.context, guid)
    found = await yard.see(lambda conn: deliveries.get(conn, guid))
    assert found is not None
    return found.verdict


def press_of(yard: Yard, identifier: str, sha: str, completed_at: str = "2026-05-01T10:00:00Z") -> dict[str, Any]:
    """GitHub's words for a press, as far as they matter."""
    app = {"id": yard.edge.sim.app_id, "name": "Towpath"}
    return {
        "action": "requested_action",
        "requested_action": {"identifier": identifier},
        "check_run": {
            "id": 1,
            "head_sha": sha,
            "external_id": f"check:{yard.pipeline.id}/{sha}",
            "completed_at": completed_at,
            "app": app,
        },
        "repository": {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"},
        "sender": {"login": "grace"},
    }


async def test_a_press_that_is_replayed_under_another_id_does_nothing_again(yard: Yard) -> None:
    review = await yard.review()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    payload = press_of(yard, "rebuild", review.sha)
    await yard.do(
        lambda tx: facts.mark_stale(tx.conn, [FactKey(FactKind.PULL_REQUEST, yard.repository.id, "1")], now=tx.now)
    )
    assert "create the review app of pull request #1" in await delivered(yard, "first", payload)
    yard.clock.ahead += timedelta(days=30)
    assert "was delivered before" in await delivered(yard, "replayed", payload)
    later = press_of(yard, "rebuild", review.sha, completed_at="2026-05-01T10:05:00Z")
    assert "create the review app of pull request #1" in await delivered(yard, "pressed-again", later)


async def test_of_two_pull_requests_at_one_commit_the_app_that_the_button_names_is_destroyed(yard: Yard) -> None:
    first, second = await yard.review("pr:1"), await yard.review("pr:2")
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")

    async def named() -> tuple[str, str]:
        await yard.do(lambda tx: tx.ring([Subject(SubjectKind.CHECK, f"{yard.pipeline.id}/{first.sha}")], cause="test"))
        await yard.calm()
        action = (await yard.check(first.sha)).wanted["actions"][-1]
        return action["identifier"], action["description"]

    async def queued(review: ReviewApp) -> list[str]:
        return [each.kind for each in await yard.see(lambda conn: requests.open_of(conn, review.app_id or ""))]

    said = await delivered(yard, "out-of-date", press_of(yard, "destroy", first.sha))
    assert "nothing is destroyed: " in said
    assert (await queued(first), await queued(second)) == ([], [])
    identifier, description = await named()
    assert identifier in {"destroy:1", "destroy:2"}
    shown, other = (first, second) if identifier == "destroy:1" else (second, first)
    assert description == f"Take shop-{shown.ref.replace(':', '-')} away"
    await delivered(yard, "press", press_of(yard, identifier, first.sha, completed_at="2026-05-01T10:01:00Z"))
    assert (await queued(shown), await queued(other)) == (["Destroy"], [])
    assert (await named())[0] == f"destroy:{other.ref.removeprefix('pr:')}"


async def test_a_press_that_was_not_allowed_may_be_made_again_by_who_is_allowed_by_then(yard: Yard) -> None:
    review = await yard.review()
    payload = press_of(yard, "destroy", review.sha)
    yard.edge.sim.add_collaborator("acme/shop", "grace", "read")
    assert "may not press" in await delivered(yard, "first", payload)
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    assert "destroy the review app of pull request #1" in await delivered(yard, "second", payload)


async def test_a_press_is_tried_ever_more_seldom_while_github_is_away_and_is_never_lost(yard: Yard) -> None:
    review = await yard.review()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    yard.edge.sim.chaos.outage = True
    with pytest.raises(Transient):
        await delivered(yard, "press", press_of(yard, "destroy", review.sha))
    tried = []
    for second in range(0, 7200, 2):
        yard.clock.ahead += timedelta(seconds=2)
        if await yard.see(lambda conn: deliveries.open_guids(conn, limit=9, now=yard.clock())):
            tried.append(second)
            with pytest.raises(Transient):
                await react(yard.context, "press")
    assert len(tried) in range(20, 50)
    yard.edge.sim.chaos.calm()
    await react(yard.context, "press")
    assert await yard.see(lambda conn: deliveries.open_guids(conn, limit=9)) == []
    (queued,) = await yard.see(lambda conn: requests.open_of(conn, review.app_id or ""))
    assert queued.kind == "Destroy"


async def test_a_review_app_that_ci_keeps_back_is_made_anyway_and_it_is_on_record_who_pressed(yard: Yard) -> None:
    sim = yard.edge.sim
    sim.add_collaborator("acme/shop", "grace", "write")
    sha = await sim.push("acme/shop", "topic", {"page": "new"})
    pull = await sim.open_pull("acme/shop", "topic", by="ann")
    await sim.create_check_run("acme/shop", sha, "build", conclusion="failure")

    def wait_for_ci(tx) -> None:
        toggles = replace(yard.pipeline.toggles, wait_for_ci=True)
        pipelines.update(tx.conn, pipeline=yard.pipeline, now=tx.now, toggles=toggles)
        tx.ring([Subject(SubjectKind.REVIEW_APP, f"{yard.pipeline.id}/pr:{pull.number}")], cause="test")

    async def review() -> ReviewApp:
        (found,) = await yard.see(lambda conn: reviews.of_pipeline(conn, yard.pipeline.id))
        return found

    await yard.do(wait_for_ci)
    await yard.calm()
    assert ((await review()).state, (await review()).reason) == (ReviewState.WAITING, "CI failed: build (ci)")
    shown = await yard.check(sha)
    assert [each["label"] for each in shown.wanted["actions"]] == ["Deploy anyway"]
    await delivered(yard, "press", press_of(yard, "deploy_anyway", sha))
    assert (await review()).state is ReviewState.CREATING
    entries = await yard.see(lambda conn: activity.listing(conn, sha=sha, limit=9))
    assert ("github:grace", "button pressed") in [(each.actor, each.action) for each in entries]


HEAD, NEWER = Sha("a" * 40), Sha("b" * 40)


async def staging(yard: Yard, ended: RequestState, stage: Stage = Stage.STAGING) -> App:
    """An app that follows main and was deployed with its head, which serves if that went well."""
    app = await yard.app("shop-staging", stage)

    def follow(tx: Transaction) -> QueuedRequest:
        change = {"auto_deploy": True, "auto_deploy_branch": "main", "repository_id": yard.repository.id}
        apps.update(tx.conn, app=app, now=tx.now, **change)
        work = Deploy(repository_id=yard.repository.id, sha=HEAD, trust=Trust.OWN, branch="main")
        return tx.request(app.id, work, reason="pushed", by_person=False)

    asked = await yard.do(follow)
    await at_head(yard, HEAD)
    if ended is RequestState.SUCCEEDED:
        await yard.released(app, await yard.slug())
    await yard.do(lambda tx: requests.finish(tx.conn, asked.id, state=ended, outcome="", now=tx.now))
    await yard.calm()
    return app


async def at_head(yard: Yard, sha: Sha) -> None:
    def learn(tx: Transaction) -> None:
        key = FactKey(FactKind.HEAD, yard.repository.id, "main")
        asked = facts.next_asked(tx.conn)
        facts.learn(tx.conn, key, asked=asked, value=Head(branch="main", sha=sha), error="", etag="", now=tx.now)

    await yard.do(learn)


async def buttons(yard: Yard) -> list[str]:
    """Those of the head's check, as GitHub is to show them."""
    await yard.do(lambda tx: tx.ring([Subject(SubjectKind.CHECK, f"{yard.pipeline.id}/{HEAD}")], cause="test"))
    await yard.calm()
    return [each["identifier"] for each in (await yard.check(HEAD)).wanted["actions"]]


async def queued(yard: Yard, app: App) -> list[tuple[str, str | None, bool]]:
    found = await yard.see(lambda conn: requests.open_of(conn, app.id))
    return [(each.kind, each.sha, each.by_person) for each in found]


@pytest.mark.parametrize("ended", [RequestState.SUCCEEDED, RequestState.FAILED], ids=lambda each: str(each.value))
async def test_staging_is_built_again_by_who_may_write_and_once_however_often_the_button_is_pressed(
    yard: Yard, ended: RequestState
) -> None:
    app = await staging(yard, ended)
    assert await buttons(yard) == ["rebuild"]
    yard.edge.sim.add_collaborator("acme/shop", "grace", "read")
    assert "may not press" in await delivered(yard, "reader", press_of(yard, "rebuild", HEAD))
    assert await queued(yard, app) == []
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    said = await delivered(yard, "first", press_of(yard, "rebuild", HEAD, completed_at="2026-05-01T10:01:00Z"))
    assert "deploy to shop-staging" in said
    await delivered(yard, "second", press_of(yard, "rebuild", HEAD, completed_at="2026-05-01T10:02:00Z"))
    assert await queued(yard, app) == [("Deploy", HEAD, True)]
    assert await yard.see(lambda conn: requests.branch_of(conn, requests.open_of(conn, app.id)[0].id)) == "main"


async def test_what_the_branch_has_left_or_a_rollback_replaced_is_not_built_again_by_a_button(yard: Yard) -> None:
    app = await staging(yard, RequestState.SUCCEEDED)
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    await at_head(yard, NEWER)
    assert await buttons(yard) == []
    assert "nothing to do" in await delivered(yard, "stale", press_of(yard, "rebuild", HEAD))
    await at_head(yard, HEAD)
    assert await buttons(yard) == ["rebuild"]

    def roll_back(tx: Transaction) -> None:
        now = apps.get(tx.conn, app.id)
        assert now is not None
        apps.update(tx.conn, app=now, now=tx.now, current_release_id=None)

    await yard.do(roll_back)
    assert await buttons(yard) == []
    later = press_of(yard, "rebuild", HEAD, completed_at="2026-05-01T10:01:00Z")
    assert "nothing to do" in await delivered(yard, "replaced", later)
    assert await queued(yard, app) == []


async def test_a_re_run_of_all_checks_leaves_a_live_staging_alone_and_production_has_no_button(yard: Yard) -> None:
    app = await staging(yard, RequestState.SUCCEEDED)
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    await delivered(yard, "re-run", press_of(yard, "rerequest", HEAD))
    assert await queued(yard, app) == []
    (coupling,) = await yard.see(lambda conn: pipelines.couplings(conn, yard.pipeline.id))
    await yard.do(lambda tx: pipelines.move(tx.conn, coupling=coupling, stage=Stage.PRODUCTION, now=tx.now))
    assert await buttons(yard) == []
    await delivered(yard, "press", press_of(yard, "rebuild", HEAD, completed_at="2026-05-01T10:01:00Z"))
    assert await queued(yard, app) == []
