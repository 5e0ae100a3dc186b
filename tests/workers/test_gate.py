"""The CI gate as it lives: signals at GitHub, looks, plans, and what people are told meanwhile."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import Subject, SubjectKind
from service.domain.model import App, CiCounts, QueuedRequest, Toggles
from service.enact import Transaction
from service.enactor import Enactor
from service.github.events import parse
from service.github.looks import Looks
from service.store import activity, apps, pipelines, requests, subjects
from service.web.api import trail
from tests.workers.conftest import ADMINISTRATOR, Yard
from workers.jobs.loops import due
from workers.jobs.react import _take_in


@dataclass(frozen=True, kw_only=True)
class Gate:
    """An app that follows master and waits for CI, and the hand of whoever pushes."""

    yard: Yard
    app: App

    @property
    def subject(self) -> Subject:
        return Subject(SubjectKind.AUTO_DEPLOY, self.app.id)

    async def pushed(self) -> str:
        sha: str = await self.yard.edge.sim.push("acme/shop", "master", {"page": "new"})
        return sha

    async def told(self, event: str, **payload: Any) -> None:
        """A webhook of GitHub, and everything it rings for."""
        repository = {"id": self.yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
        hint = parse(event=event, payload={"repository": repository, **payload})

        def take(tx: Transaction) -> None:
            tx.ring(_take_in(tx, hint, told_at=tx.now), cause=event)

        await self.yard.do(take)
        await self.yard.calm()

    async def after(self, **time: float) -> None:
        """Let time go by, and do what is due then."""
        self.yard.clock.ahead += timedelta(**time)
        await due(self.yard.context)
        await self.yard.calm()

    async def reason(self) -> str:
        (found,) = await self.yard.see(lambda conn: subjects.verdicts(conn, [self.subject]))
        return found.reason

    async def queue(self) -> list[QueuedRequest]:
        return await self.yard.see(lambda conn: requests.open_of(conn, self.app.id))

    async def toggles(self, **changes: Any) -> None:
        def change(tx: Transaction) -> None:
            pipeline = pipelines.get(tx.conn, self.yard.pipeline.id)
            assert pipeline is not None
            pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, toggles=Toggles(**changes))

        await self.yard.do(change)


@pytest.fixture
async def gate(yard: Yard) -> Gate:
    app = await yard.app()
    change = {"auto_deploy": True, "auto_deploy_branch": "master", "wait_for_ci": True}
    await yard.do(lambda tx: apps.update(tx.conn, app=app, now=tx.now, repository_id=yard.repository.id, **change))
    return Gate(yard=yard, app=app)


async def test_one_green_status_right_after_a_push_is_not_yet_ci(gate: Gate) -> None:
    """A linter is done before the build system has begun."""
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    await gate.told("push", ref="refs/heads/master")
    await sim.set_status("acme/shop", sha, "success", context="lint")
    await gate.told("status", sha=sha, context="lint")
    await gate.after(seconds=11)
    assert "further statuses and checks" in await gate.reason()
    run = await sim.create_check_run("acme/shop", sha, "build", status="in_progress")
    await gate.after(seconds=31)
    assert await gate.reason() == "waiting for: build (ci)"
    assert await gate.queue() == []
    await sim.update_check_run("acme/shop", run.id, status="completed", conclusion="success")
    await gate.after(minutes=2)
    assert [each.sha for each in await gate.queue()] == [sha]


async def test_green_of_a_pull_request_is_not_that_of_the_branch_it_is_merged_into(gate: Gate) -> None:
    """A merge by fast-forward: what is run for the branch has yet to begin."""
    sim = gate.yard.edge.sim
    sha = await sim.push("acme/shop", "topic", {"page": "new"})
    await sim.create_check_run("acme/shop", sha, "build", conclusion="success")
    await gate.told("status", sha=sha, context="build")
    await gate.told("push", ref="refs/heads/master")
    gate.yard.clock.ahead += timedelta(hours=1)
    await sim.set_branch("acme/shop", "master", sha)
    await gate.told("push", ref="refs/heads/master")
    assert "further statuses and checks" in await gate.reason()
    assert await gate.queue() == []
    await gate.after(seconds=31)
    assert [each.sha for each in await gate.queue()] == [sha]


async def test_ci_that_ends_late_deploys_no_commit_that_the_branch_has_left_and_all_are_told_by_what(
    gate: Gate,
) -> None:
    sim, older = gate.yard.edge.sim, await gate.pushed()
    run = await sim.create_check_run("acme/shop", older, "build", status="in_progress")
    await gate.told("push", ref="refs/heads/master")
    assert "shop-prod: waiting" in (await gate.yard.check(older)).wanted["title"]
    newer = await sim.push("acme/shop", "master", {"page": "newer"})
    await sim.create_check_run("acme/shop", newer, "build", conclusion="success")
    await gate.told("push", ref="refs/heads/master")
    await gate.after(seconds=31)
    assert [each.sha for each in await gate.queue()] == [newer]
    await sim.update_check_run("acme/shop", run.id, status="completed", conclusion="success")
    await gate.told("status", sha=older, context="build")
    await gate.after(minutes=2)
    assert [each.sha for each in await gate.queue()] == [newer]
    reason = f"superseded by {newer[:7]}"
    check = (await gate.yard.check(older)).wanted
    assert (check["title"], check["conclusion"]) == (f"shop-prod: superseded ({reason})", "neutral")
    _, told = await gate.yard.see(lambda conn: trail.of(conn, older[:8], ADMINISTRATOR, gate.yard.clock()))
    assert any(reason in each.text for each in told)


async def test_a_failed_head_costs_nothing_once_its_time_is_over(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    await sim.create_check_run("acme/shop", sha, "build", conclusion="failure")
    await gate.told("push", ref="refs/heads/master")
    assert await gate.reason() == "CI failed: build (ci)"
    reads = []
    for _ in range(24):
        gate.yard.edge.lines.clear()
        await gate.after(minutes=5)
        reads.append(gate.yard.edge.requests("/check-runs"))
    assert sum(reads[:12]) in range(6, 13)
    assert sum(reads[13:]) == 0
    await sim.create_check_run("acme/shop", sha, "build", conclusion="success")
    await gate.told("status", sha=sha, context="build")
    assert [each.sha for each in await gate.queue()] == [sha]


async def test_polls_come_after_one_two_five_and_ten_minutes_and_cost_nothing_while_nothing_changes(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    await sim.create_check_run("acme/shop", sha, "build", status="in_progress")
    await gate.told("push", ref="refs/heads/master")
    polled = []
    remaining = gate.yard.context.github.quota(gate.yard.repository.installation_id)
    for half_minutes in range(1, 80):
        gate.yard.edge.lines.clear()
        await gate.after(seconds=30)
        if gate.yard.edge.requests("/check-runs"):
            polled.append(half_minutes / 2)
    assert polled == [1.0, 3.0, 8.0, 18.0, 28.0, 38.0]
    now = gate.yard.context.github.quota(gate.yard.repository.installation_id)
    assert remaining is not None
    assert now is not None
    assert now.remaining == remaining.remaining


async def test_a_person_deploys_anyway_and_it_is_on_record_who(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    await sim.create_check_run("acme/shop", sha, "build", conclusion="failure")
    await gate.told("push", ref="refs/heads/master")
    assert await gate.queue() == []
    verbs = Enactor(db=gate.yard.db, vault=gate.yard.context.vault, queue=gate.yard.bell)
    await verbs.deploy(
        app_id=gate.app.id,
        repository_id=gate.yard.repository.id,
        sha=sha,
        branch="master",
        actor="user:ada@acme.example",
    )
    assert [(each.sha, each.by_person) for each in await gate.queue()] == [(sha, True)]
    entries = await gate.yard.see(lambda conn: activity.listing(conn, sha=sha, limit=9))
    assert [(each.actor, each.data["reason"]) for each in entries if each.action == "requested"] == [
        ("user:ada@acme.example", "deploy of master")
    ]
    await gate.after(seconds=1)
    assert await gate.reason() == f"deploy of {sha[:7]} is under way, asked for by a person"


async def test_the_commit_that_waits_is_asked_about_by_a_part_of_its_sha(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    await sim.create_check_run("acme/shop", sha, "build", status="in_progress")
    await sim.set_status("acme/shop", sha, "pending", context="lint")
    await gate.told("push", ref="refs/heads/master")
    about, told = await gate.yard.see(lambda conn: trail.of(conn, sha[:8], ADMINISTRATOR, gate.yard.clock()))
    assert about == f"commit {sha[:7]}"
    assert "waiting for: lint, build (ci)" in [each.text.partition(" (because")[0] for each in told]
    shown = await gate.yard.check(sha)
    assert "waiting for: lint, build (ci)" in shown.wanted["title"]


async def test_only_what_the_branch_requires_is_waited_for_and_a_change_of_it_counts_at_once(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    sim.protect("acme/shop", "master", ["build"])
    await gate.toggles(ci_counts=CiCounts.PROTECTED)
    await sim.create_check_run("acme/shop", sha, "lint", conclusion="failure")
    await gate.told("push", ref="refs/heads/master")
    assert await gate.reason() == "waiting for: build"
    sim.protect("acme/shop", "master", ["e2e"], rules=True)
    await gate.told("branch_protection_rule")
    assert await gate.reason() == "waiting for: e2e, build"
    sim.protect("acme/shop", "master", [])
    sim.protect("acme/shop", "master", [], rules=True)
    await gate.told("repository_ruleset")
    assert await gate.reason() == "CI failed: lint (ci)"
    sim.protect("acme/shop", "master", ["build"])
    await sim.create_check_run("acme/shop", sha, "build", conclusion="success")
    await gate.told("branch_protection_rule")
    await gate.told("status", sha=sha, context="build")
    await gate.after(seconds=11)
    assert [each.sha for each in await gate.queue()] == [sha]


async def test_a_change_of_which_github_tells_nobody_counts_within_five_minutes(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    sim.protect("acme/shop", "master", ["build"])
    await gate.toggles(ci_counts=CiCounts.PROTECTED)
    await gate.told("push", ref="refs/heads/master")
    assert await gate.reason() == "waiting for: build"
    sim.protect("acme/shop", "master", ["build", "e2e"])
    await sim.create_check_run("acme/shop", sha, "build", conclusion="success")
    gate.yard.clock.ahead += timedelta(minutes=5, seconds=1)
    await gate.told("status", sha=sha, context="build")
    assert await gate.reason() == "waiting for: e2e"
    assert await gate.queue() == []


async def test_where_protection_may_not_be_read_everything_counts_and_people_are_told_why(gate: Gate) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    sim.protect("acme/shop", "master", ["build"])
    sim.chaos.answer("error", pattern=r"/repositories/\d+/branches/master", status=403)
    await gate.toggles(ci_counts=CiCounts.PROTECTED)
    await sim.create_check_run("acme/shop", sha, "lint", status="in_progress")
    await gate.told("push", ref="refs/heads/master")
    reason = await gate.reason()
    assert reason.startswith("waiting for: lint (ci); the protection of master is not shown (")
    assert reason.endswith("): every status and check counts")


async def test_what_a_token_may_not_read_is_said_and_is_no_error_that_keeps_the_gate_closed_for_ever(
    gate: Gate,
) -> None:
    sim, sha = gate.yard.edge.sim, await gate.pushed()
    sim.set_private("acme/shop")
    looks = Looks(github=gate.yard.edge.as_printed("acme"), now=gate.yard.clock)
    plain = Gate(yard=replace(gate.yard, context=replace(gate.yard.context, looks=looks)), app=gate.app)
    await sim.create_check_run("acme/shop", sha, "unseen", status="in_progress")
    await sim.set_status("acme/shop", sha, "pending", context="build")
    await plain.told("push", ref="refs/heads/master")
    assert await plain.reason() == "waiting for: build; GitHub shows this token no check runs, only statuses count"
    await sim.set_status("acme/shop", sha, "success", context="build")
    await plain.told("status", sha=sha, context="build")
    await plain.after(seconds=31)
    (deploy,) = await plain.queue()
    assert (deploy.sha, deploy.reason) == (
        sha,
        f"master is at {sha[:7]}; GitHub shows this token no check runs, only statuses count",
    )
