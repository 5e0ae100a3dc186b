"""Code of forks and bots, from the webhooks to the engine: whose word lets it run, and what it is given."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from service.demo.simulator.state import Pull
from service.domain.decisions import Deploy, Destroy
from service.domain.errors import Refused, Transient
from service.domain.facts import FactKey, FactKind
from service.domain.model import FORKS, App, Pipeline, RequestState, ReviewApp, ReviewState, Sha, Stage, Toggles, Trust
from service.domain.review_rules import BOT, BY_PERSON, CLOSED, FORK, MOVED
from service.enact import Transaction
from service.enacting.approvals import Door, approve
from service.enacting.pipelines import PipelineVerbs
from service.github.hints import ApprovalAsked, Hint
from service.store import (
    activity,
    approvals,
    apps,
    build_configs,
    builds,
    deliveries,
    pipelines,
    releases,
    reports,
    reviews,
)
from service.store.deliveries import Inbox
from service.store.reports import Report
from service.store.tables import slugs
from tests.github.conftest import repository_of
from tests.workers.conftest import Yard
from workers.jobs import describe
from workers.jobs.approve import act, permitted
from workers.jobs.look import fresh, look
from workers.jobs.react import react
from workers.jobs.reconcile import reconcile
from workers.jobs.work import work
from workers.platforms.base import AppSpec

pytestmark = pytest.mark.usefixtures("without_runtimes")


@dataclass(kw_only=True)
class Street:
    """A pipeline to which strangers open pull requests. What GitHub sends lies in `post` until it is heard."""

    yard: Yard
    post: list[tuple[str, bytes]] = field(default_factory=list)
    heard: int = 0

    async def deliver(self, event: str, body: bytes) -> str:
        """Hear one delivery under a number of its own; returns what came of it."""
        self.heard += 1
        guid = f"delivery-{self.heard}"
        inbox = await Inbox.open(self.yard.db.url)
        await inbox.put(
            guid=guid,
            event=event,
            action="",
            repository_id=None,
            installation_id=None,
            body=body,
            received_at=self.yard.clock(),
        )
        await inbox.close()
        await react(self.yard.context, guid)
        (one,) = await self.yard.see(lambda conn: deliveries.listing(conn, 1))
        return one.verdict

    async def hear(self) -> list[str]:
        """Hear all that lies there and do what follows from it."""
        said = []
        while self.post:
            said.append(await self.deliver(*self.post.pop(0)))
        await self.rest()
        return said

    async def rest(self) -> None:
        """Do what was rung for, until nothing more is."""
        jobs: dict[str, Callable[..., Any]] = {"reconcile": reconcile, "look": look, "work": work}
        while rung := [ring for ring in self.yard.bell.rung if ring.job in jobs]:
            self.yard.bell.rung.clear()
            for ring in rung:
                await jobs[ring.job](self.yard.context, *ring.args)

    async def open(self, files: dict[str, str] | None = None, *, by: str = "eve") -> Pull:
        """A pull request from a fork of a user, heard."""
        sim = self.yard.edge.sim
        fork = await sim.fork("acme/shop", by)
        await sim.push(fork, "topic", files or {"page": f"by {by}"}, by=by)
        pull = await sim.open_pull("acme/shop", "topic", head_repo=fork, by=by)
        await self.hear()
        return pull

    async def push(self, pull: Pull, files: dict[str, str]) -> str:
        assert pull.head_repository is not None
        return await self.yard.edge.sim.push(pull.head_repository, "topic", files, by=pull.user.login)

    async def says(self, pull: Pull, body: str, *, by: str = "grace") -> str:
        """A comment, heard; returns what came of it."""
        self.yard.edge.sim.comment("acme/shop", pull.number, body, by=by)
        return (await self.hear())[-1]

    async def review(self, pull: Pull) -> ReviewApp:
        found = await self.yard.see(lambda conn: self._review(conn, pull))
        assert found is not None
        return found

    def _review(self, conn: Connection, pull: Pull) -> ReviewApp | None:
        ref = f"pr:{pull.number}"
        return reviews.latest(conn, pipeline_id=self.yard.pipeline.id, repository_id=self.yard.repository.id, ref=ref)

    async def approved(self, pull: Pull) -> list[tuple[str, str, str]]:
        """Commit, person and door of each approval."""
        of = {"pipeline_id": self.yard.pipeline.id, "repository_id": self.yard.repository.id, "number": pull.number}
        found = await self.yard.see(lambda conn: approvals.of_pull_request(conn, **of))  # type: ignore[arg-type]
        return [(each.sha, each.actor, each.how) for each in found]

    async def runs(self, pull: Pull) -> AppSpec | None:
        return self.yard.platform.running.get((await self.review(pull)).app_id or "")

    async def commit(self, pull: Pull) -> str:
        """Which commit of the pull request runs; empty when none does."""
        spec = await self.runs(pull)
        return "" if spec is None else spec.config["SOURCE_VERSION"]

    async def press(self, pull: Pull, *, by: str, sha: str = "") -> None:
        """Somebody presses Approve on the check of a commit, as our check shows it."""
        sha, sim = sha or pull.head_sha, self.yard.edge.sim
        run = await sim.create_check_run(
            "acme/shop",
            sha,
            "towpath/shop",
            app=sim.app,
            conclusion="neutral",
            external_id=f"check:{self.yard.pipeline.id}/{sha}",
            actions=[{"label": "Approve", "description": "it", "identifier": "approve"}],
        )
        await sim.press("acme/shop", run.id, "approve", by=by)

    async def toggle(self, **changes: Any) -> None:
        def change(conn: Connection) -> None:
            pipeline = pipelines.get(conn, self.yard.pipeline.id)
            assert pipeline is not None
            toggles = replace(pipeline.toggles, **changes)
            pipelines.update(conn, pipeline=pipeline, now=self.yard.clock(), toggles=toggles)

        await self.yard.db.write(change)


@pytest.fixture
async def street(yard: Yard) -> Street:
    made = Street(yard=yard)
    sim = yard.edge.sim
    sim.sender.watchers.append(lambda event, payload: made.post.append((event, json.dumps(payload).encode())))
    for login, level in (("grace", "write"), ("ada", "maintain"), ("tim", "triage"), ("ron", "read")):
        sim.add_collaborator("acme/shop", login, level)
    return made


async def test_a_comment_that_names_the_commit_lets_it_run_until_the_next_push(street: Street) -> None:
    pull = await street.open()
    first = pull.head_sha
    waits = await street.review(pull)
    assert (waits.state, waits.reason, waits.app_id) == (ReviewState.WAITING, FORK, None)

    assert "is approved" in await street.says(pull, f"/approve {first}\r\nlooks fine")

    assert await street.approved(pull) == [(first, "github:grace", "comment")]
    assert await street.commit(pull) == first
    assert (await street.review(pull)).state is ReviewState.LIVE
    second = await street.push(pull, {"page": "worse"})
    await street.hear()
    assert await street.commit(pull) == first
    waits = await street.review(pull)
    assert (waits.state, waits.reason, waits.sha) == (ReviewState.LIVE, FORK, second)
    check = await street.yard.check(second)
    assert (check.wanted["conclusion"], check.terminal) == ("neutral", True)
    assert check.wanted["actions"][0]["label"] == f"Approve {second[:7]}"
    assert (await street.yard.check(first)).wanted["conclusion"] == "success"

    await street.says(pull, f"/approve {second[:7]}")

    assert await street.commit(pull) == second
    assert [sha for sha, _, _ in await street.approved(pull)] == [first, second]


async def test_before_anything_of_a_fork_runs_one_line_in_a_comment_says_who_may_approve_it_and_how(
    street: Street,
) -> None:
    pull = await street.open()
    key = f"comment:{street.yard.repository.id}/{pull.number}"

    said = await street.yard.report(key)

    (line,) = said.wanted["body"].splitlines()[5:]
    assert said.terminal
    assert f"`/approve {pull.head_sha}`" in line
    assert "someone with write access" in line
    assert f"towpath reviewapps:approve {pull.number} -p shop --sha {pull.head_sha}" in line
    await street.says(pull, f"/approve {pull.head_sha}")
    assert "/approve" not in (await street.yard.report(key)).wanted["body"], "it was approved"
    await street.push(pull, {"page": "worse"})
    await street.hear()
    newest = (await street.review(pull)).sha
    assert f"`/approve {newest}`" in (await street.yard.report(key)).wanted["body"]


async def test_the_command_that_approves_names_its_pipeline_as_the_command_line_finds_it(street: Street) -> None:
    """Its check may be called otherwise, and another pipeline may have its name."""
    yard, key = street.yard, f"comment:{street.yard.repository.id}/1"
    first = yard.pipeline

    def second(tx: Transaction) -> Pipeline:
        made = pipelines.create(tx.conn, name=first.name, owner_id=None, owner_type=None, now=tx.now)
        change: dict[str, Any] = {"repository_id": yard.repository.id, "toggles": first.toggles}
        return pipelines.update(tx.conn, pipeline=made, now=tx.now, **change)

    other: list[Pipeline] = []
    await yard.do(lambda tx: other.append(second(tx)))
    pull = await street.open()
    assert named(await yard.report(key)) == {first.id, other[0].id}
    body = (await yard.report(key)).wanted["body"]
    assert f"in {first.name}-{other[0].id[:4]}: someone" in body, "it is shown as its check is called"
    assert f"-p {first.id} --sha" in (await yard.check(pull.head_sha)).wanted["summary"]

    await yard.do(lambda tx: pipelines.update(tx.conn, pipeline=first, now=tx.now, name="shop-web") and None)
    await yard.do(lambda tx: tx.show_comment(reviews.of_pull_request(tx.conn, yard.repository.id, "pr:1")[0]))
    await street.rest()
    assert named(await yard.report(key)) == {"shop-web", other[0].name}


def named(comment: Report) -> set[str]:
    """The pipelines that a comment's commands name."""
    return set(re.findall(r"towpath reviewapps:approve 1 -p (\S+) --sha", comment.wanted["body"]))


async def test_where_comments_are_off_or_forks_never_run_none_says_how_to_approve(street: Street) -> None:
    await street.toggle(comment=False)
    pull = await street.open()
    await street.toggle(comment=True, forks="never")
    other = await street.open(by="eva")
    for number in (pull.number, other.number):
        key = f"comment:{street.yard.repository.id}/{number}"
        assert await street.yard.see(lambda conn, key=key: reports.get(conn, key)) is None


@pytest.mark.parametrize(
    ("login", "permission"),
    [
        pytest.param("ron", "read", id="somebody who may read"),
        pytest.param("tim", "read", id="somebody who may triage"),
        pytest.param("eve", "read", id="the author, who may read"),
        pytest.param("nobody", "read", id="anybody, in a public repository"),
    ],
)
async def test_who_may_not_write_approves_nothing_by_comment_or_button(
    street: Street, login: str, permission: str
) -> None:
    pull = await street.open()
    verdict = await street.says(pull, f"/approve {pull.head_sha}", by=login)
    assert verdict.startswith(f"{login} may not approve {pull.head_sha} of #1: has the permission {permission}")
    await street.press(pull, by=login)
    await street.hear()
    assert await street.approved(pull) == []
    assert await street.runs(pull) is None


async def test_an_author_with_write_access_is_still_a_fork_and_may_approve_like_others(street: Street) -> None:
    pull = await street.open(by="ada")
    assert (await street.review(pull)).reason == FORK
    await street.says(pull, f"/approve {pull.head_sha}", by="ada")
    assert await street.commit(pull) == pull.head_sha


async def test_the_button_approves_the_commit_that_it_is_on(street: Street) -> None:
    pull = await street.open()
    await street.press(pull, by="grace")
    await street.hear()
    assert await street.approved(pull) == [(pull.head_sha, "github:grace", "check")]
    assert await street.commit(pull) == pull.head_sha


@pytest.mark.parametrize("door", ["comment", "check"])
async def test_a_push_between_approval_and_its_processing_leaves_the_older_commit_approved_and_runs_nothing(
    street: Street, door: str
) -> None:
    pull = await street.open()
    first = pull.head_sha
    if door == "comment":
        street.yard.edge.sim.comment("acme/shop", pull.number, f"/approve {first}", by="grace")
    else:
        await street.press(pull, by="grace")
    second = await street.push(pull, {"page": "something else"})
    assert second != first

    said = " ".join(await street.hear())

    assert f"{first} of #1 is approved, and not deployed: it is at {second} by now" in said
    assert await street.approved(pull) == [(first, "github:grace", door)]
    assert await street.runs(pull) is None
    assert "sandboxed" not in street.yard.platform.calls
    waits = await street.review(pull)
    assert (waits.state, waits.reason, waits.sha) == (ReviewState.WAITING, FORK, second)


async def test_a_push_during_the_build_does_not_keep_what_was_approved_from_going_live(street: Street) -> None:
    pull = await street.open()
    first = pull.head_sha
    street.yard.edge.sim.comment("acme/shop", pull.number, f"/approve {first}", by="grace")
    while street.post:
        await street.deliver(*street.post.pop(0))
    await street.push(pull, {"page": "too late"})
    await street.hear()
    assert await street.commit(pull) == first


async def test_until_github_tells_who_it_is_nothing_is_approved_and_the_delivery_waits(street: Street) -> None:
    pull = await street.open()
    chaos = street.yard.edge.sim.chaos
    chaos.answer("error", pattern="/collaborators/", status=502)
    street.yard.edge.sim.comment("acme/shop", pull.number, f"/approve {pull.head_sha}", by="grace")
    event, body = street.post.pop()
    with pytest.raises(Transient):
        await street.deliver(event, body)
    assert await street.approved(pull) == []
    (waiting,) = await street.yard.see(lambda conn: deliveries.listing(conn, 1))
    assert waiting.state == "received"
    chaos.calm()
    await react(street.yard.context, waiting.guid)
    await street.rest()
    assert await street.commit(pull) == pull.head_sha


async def test_until_github_tells_where_the_pull_request_is_nothing_is_approved(street: Street) -> None:
    pull = await street.open()
    street.yard.edge.sim.chaos.answer("error", pattern="/pulls/", status=500)
    street.yard.edge.sim.comment("acme/shop", pull.number, f"/approve {pull.head_sha}", by="grace")
    with pytest.raises(Transient):
        await street.deliver(*street.post.pop())
    assert await street.approved(pull) == []


async def test_a_commit_of_another_pull_request_is_not_approved_here(street: Street) -> None:
    pull, other = await street.open(), await street.open(by="mallory")
    verdict = await street.says(pull, f"/approve {other.head_sha}")
    assert f"#1 is at {pull.head_sha} now, not at {other.head_sha}" in verdict
    assert await street.approved(pull) == await street.approved(other) == []


async def test_an_approval_holds_for_its_own_pull_request_only(street: Street) -> None:
    pull = await street.open()
    twin = await street.yard.edge.sim.open_pull("acme/shop", "topic", head_repo=pull.head_repository, by="eve")
    assert twin.head_sha == pull.head_sha
    await street.hear()
    await street.says(pull, f"/approve {pull.head_sha}")
    street.yard.edge.sim.label_pull("acme/shop", twin.number, "look again")
    await street.hear()
    assert (await street.review(twin)).reason == FORK
    assert await street.runs(twin) is None


async def test_an_approval_heard_again_under_another_number_brings_nothing_about(street: Street) -> None:
    pull, yard = await street.open(), street.yard
    yard.edge.sim.comment("acme/shop", pull.number, f"/approve {pull.head_sha}", by="grace")
    event, body = street.post[-1]
    await street.hear()
    calls = list(yard.platform.calls)

    async def again() -> str:
        verdict = await street.deliver(event, body)
        await street.rest()
        return verdict

    yard.edge.sim.add_collaborator("acme/shop", "grace", "read")
    assert "may not approve" in await again()
    yard.edge.sim.add_collaborator("acme/shop", "grace", "write")
    assert "was approved before" in await again()
    assert yard.platform.calls == calls
    await taken_away(street, pull)
    assert "was approved before" in await again()
    assert await street.runs(pull) is None
    await street.push(pull, {"page": "another"})
    await street.hear()
    assert f"is at {pull.head_sha} now" in await again()
    assert await street.runs(pull) is None
    assert len(await street.approved(pull)) == 1
    noted = await yard.see(lambda conn: activity.listing(conn, ref="pr:1", limit=99))
    assert [each.action for each in noted].count("commit approved") == 1


async def taken_away(street: Street, pull: Pull) -> None:
    """A person takes the review app away."""
    app_id = (await street.review(pull)).app_id or ""
    await street.yard.do(
        lambda tx: tx.request(app_id, Destroy(ordered=True, reason=BY_PERSON), reason=BY_PERSON, by_person=True)
    )
    await street.rest()
    assert (await street.review(pull)).state is ReviewState.DESTROYED


async def test_to_approve_anew_brings_an_app_back_that_was_taken_away_and_deploys_no_other_twice(
    street: Street,
) -> None:
    pull, yard = await street.open(), street.yard
    await street.says(pull, f"/approve {pull.head_sha}")
    fact = FactKey(FactKind.PULL_REQUEST, yard.repository.id, str(pull.number))

    async def approve_anew() -> None:
        known = await fresh(yard.context, fact)
        await yard.do(
            lambda tx: approve(tx, pipeline=yard.pipeline, pull=known.value, word=pull.head_sha[:9], how="api")
        )
        await street.rest()

    calls = list(yard.platform.calls)
    await approve_anew()
    assert yard.platform.calls == calls
    await taken_away(street, pull)
    assert await street.runs(pull) is None
    await approve_anew()
    assert await street.commit(pull) == pull.head_sha


async def test_a_deploy_of_a_forks_commit_that_nobody_approved_is_refused_however_it_came_into_the_queue(
    street: Street,
) -> None:
    pull = await street.open()
    await street.says(pull, f"/approve {pull.head_sha}")
    second = Sha(await street.push(pull, {"page": "sneaked in"}))
    await street.hear()
    review, commit = await street.review(pull), await street.commit(pull)
    for trust_of_it, text in ((Trust.FORK, "is not approved"), (Trust.OWN, "comes from a fork")):
        wanted = Deploy(
            repository_id=street.yard.repository.id,
            sha=second,
            trust=trust_of_it,
            branch="topic",
            pull_request=pull.number,
        )
        asked = await street.yard.do(
            lambda tx, wanted=wanted: tx.request(review.app_id or "", wanted, reason="sneaked in", by_person=True)
        )
        await street.rest()
        done = await street.yard.request(asked.id)
        assert (done.state, text in done.reason) == (RequestState.FAILED, True)
    assert await street.commit(pull) == commit != second


async def test_a_comment_counts_as_it_was_first_written_and_only_from_people(street: Street) -> None:
    pull, sim = await street.open(), street.yard.edge.sim
    harmless = sim.comment("acme/shop", pull.number, "nice", by="grace")
    sim.edit_comment("acme/shop", harmless.id, f"/approve {pull.head_sha}")
    sim.account("helper[bot]", "Bot")
    sim.add_collaborator("acme/shop", "helper[bot]", "write")
    sim.comment("acme/shop", pull.number, f"/approve {pull.head_sha}", by="helper[bot]")
    sim.comment("acme/shop", pull.number, f"/approve {pull.head_sha}", app=sim.app)
    assert await street.hear() == [
        "a comment without a command",
        "issue_comment.edited: a comment counts once, as it was first written",
        "what a program writes is no command",
        "what a program writes is no command",
    ]
    assert await street.approved(pull) == []


async def test_a_pipeline_that_is_deleted_meanwhile_leaves_nothing_to_approve(street: Street) -> None:
    pull = await street.open()
    hint = Hint(
        touched=(
            ApprovalAsked(
                repository_id=street.yard.repository.id, number=pull.number, commit=pull.head_sha, login="grace"
            ),
        )
    )
    (asked,) = await permitted(street.yard.context, hint)
    await street.yard.db.write(lambda conn: pipelines.delete(conn, street.yard.pipeline.id))
    assert "is gone" in await street.yard.do(lambda tx: act(tx, asked, our_app_id=1))


async def test_a_bare_command_is_told_how_to_name_the_commit(street: Street) -> None:
    pull = await street.open()
    assert "7 to 40 digits" in await street.says(pull, "/approve")
    assert f"`/approve {pull.head_sha}`" in (await street.yard.check(pull.head_sha)).wanted["summary"]
    assert await street.approved(pull) == []


@pytest.mark.parametrize("door", ["comment", "api"])
async def test_a_commit_that_was_made_to_begin_like_one_seen_before_is_approved_by_its_whole_name_only(
    street: Street, door: Door
) -> None:
    pull, yard = await street.open(), street.yard
    seen = f"{pull.head_sha[:7]}{'0' * 33}"
    shown = await yard.check(pull.head_sha)
    await yard.do(
        lambda tx: reports.put(
            tx.conn,
            key=f"check:{yard.pipeline.id}/{seen}",
            kind="check",
            repository_id=shown.repository_id,
            installation_id=shown.installation_id,
            wanted=dict(shown.wanted),
            terminal=True,
            now=tx.now,
        )
    )
    known = await fresh(yard.context, FactKey(FactKind.PULL_REQUEST, yard.repository.id, str(pull.number)))

    async def say(word: str) -> Sha:
        return (await yard.do(lambda tx: approve(tx, pipeline=yard.pipeline, pull=known.value, word=word, how=door)))[0]

    with pytest.raises(Refused, match="several commits of #1: write all 40 digits"):
        await say(pull.head_sha[:7])
    assert await street.approved(pull) == []
    assert await say(pull.head_sha) == pull.head_sha


async def test_a_bot_with_a_branch_of_ours_waits_like_a_fork_and_runs_like_one(street: Street) -> None:
    sim = street.yard.edge.sim
    sim.account("dependabot[bot]", "Bot")
    await sim.push("acme/shop", "dependabot/npm/left-pad", {"page": "newer"}, by="dependabot[bot]")
    pull = await sim.open_pull("acme/shop", "dependabot/npm/left-pad", by="dependabot[bot]")
    await street.hear()
    assert (await street.review(pull)).reason == BOT
    await street.says(pull, f"/approve {pull.head_sha}")
    assert await street.commit(pull) == pull.head_sha
    assert await trust(street, pull) is Trust.FORK


async def trust(street: Street, pull: Pull) -> Trust:
    """Whose code the engine was told that the app of the pull request is."""
    spec = await street.runs(pull)
    assert spec is not None
    return Trust(spec.slug_dir.parent.name)


async def test_a_deleted_fork_is_a_fork_and_its_approved_commit_still_runs(street: Street) -> None:
    pull = await street.open()
    assert pull.head_repository is not None
    street.yard.edge.sim.delete_repo(pull.head_repository)
    await street.hear()
    with street.yard.edge.sim.expected_violations():
        await street.says(pull, f"/approve {pull.head_sha}")
    assert await street.commit(pull) == pull.head_sha
    assert await trust(street, pull) is Trust.FORK


async def test_another_base_branch_neither_approves_a_commit_nor_takes_the_approval_away(street: Street) -> None:
    sim = street.yard.edge.sim
    await sim.push("acme/shop", "release", {"release": "1"})
    pull, other = await street.open(), await street.open(by="mallory")
    await street.says(pull, f"/approve {pull.head_sha}")
    for each in (pull, other):
        await sim.edit_pull("acme/shop", each.number, base="release")
    await street.hear()
    assert await street.commit(pull) == pull.head_sha
    assert await street.runs(other) is None


async def test_an_approver_who_may_write_no_more_takes_nothing_back_and_approves_no_more(street: Street) -> None:
    pull = await street.open()
    first = pull.head_sha
    await street.says(pull, f"/approve {first}")
    street.yard.edge.sim.add_collaborator("acme/shop", "grace", "read")
    await street.push(pull, {"page": "next"})
    await street.hear()
    await street.says(pull, f"/approve {pull.head_sha}")
    assert await street.commit(pull) == first


async def test_where_forks_never_run_an_approval_is_refused_and_what_ran_goes(street: Street) -> None:
    pull, other = await street.open(), await street.open(by="mallory")
    await street.says(pull, f"/approve {pull.head_sha}")
    await street.toggle(forks="never")
    assert "--forks approve" in await street.says(other, f"/approve {other.head_sha}")
    street.yard.edge.sim.label_pull("acme/shop", pull.number, "look")
    await street.hear()
    assert await street.runs(pull) is None
    assert (await street.review(other)).state is ReviewState.WAITING


async def test_that_waiting_commits_block_is_shown_at_once_and_no_longer_as_well(street: Street) -> None:
    pull, yard = await street.open(), street.yard
    verbs = PipelineVerbs(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    for blocks, conclusion in ((True, "action_required"), (False, "neutral")):
        await verbs.set_toggles(pipeline_id=yard.pipeline.id, changes={"approval_blocks": blocks}, actor="user:ada")
        await street.rest()
        assert (await yard.check(pull.head_sha)).wanted["conclusion"] == conclusion


@pytest.mark.parametrize("leave", ["for another", "for none"])
async def test_what_waits_when_its_pipeline_leaves_the_repository_waits_no_longer(leave: str, street: Street) -> None:
    pull, yard = await street.open(), street.yard
    sim = yard.edge.sim
    verbs = PipelineVerbs(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    if leave == "for another":
        other = repository_of(sim, await sim.create_repo("acme/other", files={"Procfile": "web: ./serve"}))
        await verbs.connect_repository(pipeline_id=yard.pipeline.id, repository=other, actor="user:ada")
    else:
        await verbs.disconnect_repository(pipeline_id=yard.pipeline.id, actor="user:ada")
    await street.rest()
    waited = await street.review(pull)
    assert (waited.state, waited.reason) == (ReviewState.SKIPPED, MOVED)


async def test_a_stranger_who_opens_a_pull_request_at_our_commit_hides_nothing_of_our_check(street: Street) -> None:
    yard, sha = street.yard, "a" * 40
    await yard.review("pr:1", state=ReviewState.FAILED, reason="the build failed", sha=sha)
    later = yard.clock() + timedelta(minutes=1)
    await yard.review("pr:2", state=ReviewState.WAITING, reason=FORK, with_app=False, sha=sha, at=later)
    await yard.do(
        lambda tx: describe.check(tx, f"{yard.pipeline.id}/{sha}", yard.context.settings, by_app=True),
    )
    check = await yard.check(sha)
    assert (check.wanted["conclusion"], "the build failed" in check.wanted["summary"]) == ("failure", True)
    comments = {key for kind, key in yard.bell.heard("reconcile") if kind == "comment"}
    assert comments == {f"{yard.repository.id}/1", f"{yard.repository.id}/2"}


async def test_no_comment_begins_or_changes_on_a_pull_request_whose_app_is_gone(street: Street) -> None:
    yard = street.yard
    verbs = PipelineVerbs(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await yard.review("pr:1", state=ReviewState.DESTROYED, reason=CLOSED)
    key = f"{yard.repository.id}/1"
    said = await yard.do(lambda tx: describe.comment(tx, key, yard.context.settings))
    assert said == "no pipeline has something to say in a comment"
    assert await yard.see(lambda conn: reports.get(conn, f"comment:{key}")) is None
    await verbs.set_toggles(pipeline_id=yard.pipeline.id, changes={"comment": False}, actor="user:ada")
    assert "comment" not in {kind for kind, _ in yard.bell.heard("reconcile")}


# What it is given -------------------------------------------------------------------------------------

MANIFEST = {
    "env": {"FROM_FILE": "file", "MADE": {"generator": "secret"}},
    "scripts": {"postdeploy": "echo hello", "pr-predestroy": "echo goodbye"},
}


async def configure(street: Street) -> None:
    yard, of = street.yard, {"pipeline_id": street.yard.pipeline.id, "now": street.yard.clock()}

    def write(conn: Connection) -> None:
        for stage, value in ((Stage.REVIEW, "ours"), (FORKS, "theirs"), (Stage.PRODUCTION, "production")):
            variables = {f"FOR_{str(stage).upper()}": value, "SAME": value}
            pipelines.set_stage_config(conn, yard.context.vault, stage=stage, variables=variables, **of)  # type: ignore[arg-type]

    await yard.db.write(write)


async def test_approved_code_gets_the_config_of_forks_and_no_other(street: Street) -> None:
    await configure(street)
    pull = await street.open({"app.json": json.dumps(MANIFEST)})
    await street.says(pull, f"/approve {pull.head_sha}")
    spec = await street.runs(pull)
    assert spec is not None
    given = {name: value for name, value in spec.config.items() if not name.startswith("HEROKU_")}
    made = given.pop("MADE")
    assert len(made) == 64
    assert given == {"FOR_FORK": "theirs", "SAME": "theirs", "FROM_FILE": "file", "SOURCE_VERSION": pull.head_sha}


async def test_a_build_of_a_fork_sees_what_is_named_for_builds_as_forks_have_it_and_never_ours(street: Street) -> None:
    await configure(street)
    names = ("SAME", "FOR_REVIEW", "FOR_PRODUCTION")
    await street.yard.do(lambda tx: build_configs.set_of_pipeline(tx.conn, street.yard.pipeline.id, names, tx.now))
    pull = await street.open()
    await street.says(pull, f"/approve {pull.head_sha}")
    assert street.yard.platform.told == [{"SAME": "theirs"}]


async def test_our_own_code_in_the_app_of_a_fork_leaves_no_config_of_ours_to_what_follows(street: Street) -> None:
    await configure(street)
    pull = await street.open()
    await street.says(pull, f"/approve {pull.head_sha}")
    review, branch = await street.review(pull), street.yard.repository.default_branch
    ours = Sha(await street.yard.edge.sim.push("acme/shop", branch, {"page": "ours"}))
    await street.hear()
    wanted = Deploy(repository_id=street.yard.repository.id, sha=ours, trust=Trust.OWN, branch=branch)
    asked = await street.yard.do(
        lambda tx: tx.request(review.app_id or "", wanted, reason="deploy of main", by_person=True)
    )
    await street.rest()
    assert (await street.yard.request(asked.id)).state is RequestState.SUCCEEDED
    second = await street.push(pull, {"page": "prints its environment"})
    await street.says(pull, f"/approve {second}")
    spec = await street.runs(pull)
    assert spec is not None
    assert (spec.config["SOURCE_VERSION"], spec.config["SAME"]) == (second, "theirs")
    assert "FOR_REVIEW" not in spec.config


async def test_a_slug_that_another_pull_request_runs_otherwise_is_refused_each_time(street: Street) -> None:
    yard, same = street.yard, {"page": "the same files"}
    pull, twin = await street.open(same), await street.open(same, by="mallory")
    await street.says(pull, f"/approve {pull.head_sha}")
    await yard.db.write(lambda conn: conn.execute(slugs.update().values(process_types='{"web": "./of-another"}')))
    await street.says(twin, f"/approve {twin.head_sha}")
    app_id = (await street.review(twin)).app_id or ""
    wanted = Deploy(
        repository_id=yard.repository.id,
        sha=twin.head_sha,
        trust=Trust.FORK,
        branch="topic",
        pull_request=twin.number,
    )
    again = await yard.do(lambda tx: tx.request(app_id, wanted, reason="once more", by_person=True))
    await street.rest()
    assert "other process types" in (await yard.request(again.id)).reason
    assert await street.runs(twin) is None


async def test_without_a_config_of_forks_approved_code_gets_none_and_says_what_it_lacks(street: Street) -> None:
    pull = await street.open({"app.json": json.dumps({"env": {"NEEDED": {"required": True}}})})
    await street.says(pull, f"/approve {pull.head_sha}")
    failed = await street.review(pull)
    assert failed.state is ReviewState.FAILED
    assert 'config var "NEEDED" is required: set it for the forks of the pipeline' in failed.reason


async def test_scripts_of_a_fork_run_as_its_app_from_what_was_approved(street: Street) -> None:
    pull = await street.open({"app.json": json.dumps(MANIFEST)})
    await street.says(pull, f"/approve {pull.head_sha}")
    review = await street.review(pull)
    assert any(name.startswith("postdeploy-") for name in street.yard.platform.exit_codes)
    street.yard.edge.sim.close_pull("acme/shop", pull.number)
    await street.hear()
    assert (await street.review(pull)).state is ReviewState.DESTROYED
    assert f"predestroy-{review.app_id}" in street.yard.platform.exit_codes


async def test_objects_slugs_and_caches_of_forks_are_kept_apart_from_ours_and_from_one_another(street: Street) -> None:
    yard, sim = street.yard, street.yard.edge.sim
    same = {"page": "the same files"}
    pull, twin = await street.open(same), await street.open(same, by="mallory")
    for each in (pull, twin):
        await street.says(each, f"/approve {each.head_sha}")
    assert yard.platform.calls.count("sandboxed") == 2
    data = yard.context.workshop.data
    assert not (data / "slugs/own").exists()
    assert not (data / "caches/own").exists()
    assert len(list((data / "caches/fork").iterdir())) == 2
    assert [path.name for path in (data / "mirrors").glob("*.git")] == [f"{yard.repository.id}-forks.git"]

    app = await yard.app("shop-staging", Stage.STAGING)
    await follow(yard, app)
    merged = await sim.merge_pull("acme/shop", pull.number)
    await street.hear()

    assert yard.platform.calls.count("sandboxed") == 3
    spec = yard.platform.running[app.id]
    assert spec.config["SOURCE_VERSION"] == merged
    assert Trust(spec.slug_dir.parent.name) is Trust.OWN
    served = await yard.see(lambda conn: apps.get(conn, app.id))
    assert served is not None
    release = await yard.see(lambda conn: releases.get(conn, served.current_release_id or ""))
    assert release is not None
    slug = await yard.see(lambda conn: builds.slug(conn, release.slug_id or ""))
    assert slug is not None
    assert slug.trust is Trust.OWN


async def follow(yard: Yard, app: App) -> None:
    """Have an app follow the default branch."""
    await yard.do(
        lambda tx: apps.update(
            tx.conn,
            app=app,
            now=tx.now,
            auto_deploy=True,
            auto_deploy_branch=yard.repository.default_branch,
            repository_id=yard.repository.id,
        )
    )


async def test_a_commit_of_a_fork_is_ours_once_a_branch_of_ours_has_it(street: Street) -> None:
    yard, sim = street.yard, street.yard.edge.sim
    pull = await street.open()
    await street.says(pull, f"/approve {pull.head_sha}")
    app = await yard.app("shop-staging", Stage.STAGING)
    await follow(yard, app)
    branch = yard.repository.default_branch
    await sim.set_branch("acme/shop", branch, pull.head_sha)
    await street.hear()
    spec = yard.platform.running[app.id]
    assert (spec.config["SOURCE_VERSION"], Trust(spec.slug_dir.parent.name)) == (pull.head_sha, Trust.OWN)


async def test_below_full_isolation_an_approved_commit_is_refused_with_the_reason_for_all_to_see(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "code of forks runs only at isolation level full; this machine has user: no root"

    async def refused(*_: Any, **__: Any) -> int:
        raise Refused(reason)

    monkeypatch.setattr(street.yard.platform, "sandboxed", refused)
    pull = await street.open()
    await street.says(pull, f"/approve {pull.head_sha}")
    failed = await street.review(pull)
    assert (failed.state, failed.reason) == (ReviewState.FAILED, reason)
    check = await street.yard.check(pull.head_sha)
    assert check.wanted["conclusion"] == "failure"
    assert reason in check.wanted["summary"]


async def test_an_approval_older_than_the_fact_it_needs_is_acted_on_when_that_is_read_again(street: Street) -> None:
    pull = await street.open()
    street.yard.clock.ahead += timedelta(hours=3)
    await street.says(pull, f"/approve {pull.head_sha}")
    assert await street.commit(pull) == pull.head_sha


def test_forks_are_approved_unless_a_pipeline_says_otherwise() -> None:
    assert Toggles().forks == "approve"
