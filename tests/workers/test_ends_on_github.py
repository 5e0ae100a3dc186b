"""GitHub is told the end of everything that it was told the beginning of, whatever ends it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from service.domain.access import Owner
from service.domain.decisions import Deploy, SetReview, Subject, SubjectKind
from service.domain.model import (
    App,
    QueuedRequest,
    Repository,
    RepositoryId,
    RequestState,
    ReviewState,
    Sha,
    Stage,
    Trust,
)
from service.enact import enact
from service.enactor import Enactor
from service.store import apps, logs, pipelines, releases, reports, requests, reviews, subjects
from service.store.tables import review_apps as review_rows
from tests.workers.conftest import Yard
from workers.jobs.overdue import overdue
from workers.jobs.report import report

OLD, NEW = Sha("a" * 40), Sha("b" * 40)


def as_person(yard: Yard) -> Yard:
    """The yard of a worker that shows commit statuses, as who is no App does."""
    return replace(yard, context=replace(yard.context, github=yard.edge.as_person("acme")))


async def deploy(yard: Yard, app: App, sha: Sha) -> QueuedRequest:
    """What a push to the followed branch asks for."""
    work = Deploy(repository_id=yard.repository.id, sha=sha, trust=Trust.OWN, branch="main")
    queued = await yard.do(lambda tx: tx.request(app.id, work, reason="pushed", by_person=False))
    await yard.calm()
    return queued


async def another_repository(yard: Yard) -> Repository:
    other = await yard.edge.sim.create_repo("acme/other", files={"page": "1"}, default_branch="main")
    return replace(yard.repository, id=RepositoryId(other.id), full_name="acme/other")


async def moved_to(yard: Yard, repository: Repository) -> None:
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await verbs.connect_repository(pipeline_id=yard.pipeline.id, repository=repository, actor="user:ada")
    await yard.calm()


async def waiting(yard: Yard) -> tuple[App, QueuedRequest]:
    """An app with a deploy that waits, which GitHub shows."""
    app = await yard.app("shop-staging", Stage.STAGING)
    queued = await deploy(yard, app, OLD)
    assert (await yard.check(OLD)).wanted["status"] == "queued"
    return app, queued


def end_of(report: reports.Report) -> tuple[Any, Any]:
    return report.wanted["status"], report.wanted["conclusion"]


async def test_a_deploy_that_a_newer_one_replaced_while_it_waited(yard: Yard) -> None:
    app, queued = await waiting(yard)
    await deploy(yard, app, NEW)
    assert (await yard.request(queued.id)).state is RequestState.SUPERSEDED
    old = await yard.check(OLD)
    assert end_of(old) == ("completed", "neutral")
    assert f"superseded by {NEW[:7]}" in old.wanted["title"]
    assert (await yard.check(NEW)).wanted["status"] == "queued"


async def test_a_commit_that_the_pull_request_left_before_its_review_app_was_made(yard: Yard) -> None:
    review = await yard.review(state=ReviewState.CREATING, sha=OLD)
    await yard.do(lambda tx: tx.show_review(review))
    await yard.calm()
    assert (await yard.check(OLD)).wanted["status"] == "in_progress"
    moved = SetReview(
        pipeline_id=review.pipeline_id,
        repository_id=review.repository_id,
        ref=review.ref,
        state=review.state,
        sha=NEW,
        branch=review.branch,
        reason="the pull request moved on",
    )
    subject = Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")
    await yard.do(lambda tx: enact(tx, subject, [moved]))
    await yard.calm()
    assert end_of(await yard.check(OLD))[0] == "completed"


async def test_a_deploy_that_was_shown_as_a_status_before_there_was_a_github_app(yard: Yard) -> None:
    app = await yard.app("shop-staging", Stage.STAGING)
    await deploy(as_person(yard), app, OLD)
    key = f"status:{yard.pipeline.id}/{OLD}"
    assert (await yard.report(key)).wanted["state"] == "pending"
    await deploy(yard, app, NEW)
    assert end_of(await yard.check(OLD)) == ("completed", "neutral")
    assert (await yard.report(key)).terminal
    assert await yard.see(lambda conn: reports.get(conn, f"status:{yard.pipeline.id}/{NEW}")) is None


async def test_a_deploy_whose_app_is_destroyed(yard: Yard) -> None:
    app, queued = await waiting(yard)
    await yard.destroy(app.id)
    await yard.calm()
    assert (await yard.request(queued.id)).state is RequestState.CANCELLED
    assert end_of(await yard.check(OLD)) == ("completed", "neutral")


async def test_a_deploy_whose_app_left_the_pipeline(yard: Yard) -> None:
    app, _ = await waiting(yard)
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    coupling = await yard.see(lambda conn: pipelines.coupling_of(conn, app.id))
    assert coupling is not None
    await verbs.uncouple(coupling_id=coupling.id, actor="user:ada")
    await yard.calm()
    assert end_of(await yard.check(OLD)) == ("completed", "neutral")


async def test_a_deploy_whose_pipeline_is_deleted(yard: Yard) -> None:
    await waiting(yard)
    await yard.db.write(lambda conn: pipelines.delete(conn, yard.pipeline.id))
    yard.clock.ahead += timedelta(minutes=10)
    await overdue(yard.context)
    await yard.calm()
    ended = await yard.check(OLD)
    assert end_of(ended) == ("completed", "neutral")
    assert ended.wanted["name"] == "towpath/shop"


async def test_what_work_in_progress_shows_is_left_as_it_is(yard: Yard) -> None:
    await waiting(yard)
    before = await yard.check(OLD)
    yard.clock.ahead += timedelta(minutes=10)
    await overdue(yard.context)
    await yard.calm()
    assert await yard.check(OLD) == before


async def test_the_check_of_a_former_repository_stays_with_it(yard: Yard) -> None:
    app, queued = await waiting(yard)
    await moved_to(yard, await another_repository(yard))
    await deploy(yard, app, NEW)
    assert (await yard.request(queued.id)).state is RequestState.SUPERSEDED
    old = await yard.check(OLD)
    assert old.repository_id == yard.repository.id
    assert end_of(old) == ("completed", "neutral")


@pytest.mark.parametrize("leave", ["for another", "for none"])
async def test_what_a_pipeline_leaves_is_deployed_by_itself_no_more(leave: str, yard: Yard) -> None:
    app = await yard.app("shop-staging", Stage.STAGING)
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await verbs.set_auto_deploy(app_id=app.id, enabled=True, branch="main", wait_for_ci=False, actor="user:ada")
    await yard.calm()
    if leave == "for another":
        found = await another_repository(yard)
        await verbs.connect_repository(pipeline_id=yard.pipeline.id, repository=found, actor="user:ada")
    else:
        await verbs.disconnect_repository(pipeline_id=yard.pipeline.id, actor="user:ada")
    await yard.calm()
    left = await yard.see(lambda conn: apps.get(conn, app.id))
    assert left is not None
    assert not left.auto_deploy
    (said,) = await yard.see(lambda conn: subjects.verdicts(conn, [Subject(SubjectKind.AUTO_DEPLOY, app.id)]))
    assert said.reason == "automatic deploys are off"


async def test_a_release_that_was_left_behind(yard: Yard) -> None:
    app, queued = await waiting(yard)

    def begin(tx):
        return releases.create(
            tx.conn,
            app_id=app.id,
            request_id=queued.id,
            slug_id=None,
            commit=OLD,
            repository_id=RepositoryId(yard.repository.id),
            description="Deploy",
            actor="",
            log_id=logs.open_log(tx.conn, tx.now),
            now=tx.now,
        )

    made = await yard.do(begin)
    await yard.do(lambda tx: tx.ring([Subject(SubjectKind.GITHUB_DEPLOYMENT, made.id)], cause="test"))
    await yard.calm()
    assert (await yard.report(f"github_deployment:{made.id}")).wanted["state"] == "queued"

    def lose(conn: Connection) -> None:
        requests.finish(conn, queued.id, state=RequestState.FAILED, outcome="lost", now=yard.clock())

    await yard.db.write(lose)
    await overdue(yard.context)
    await yard.calm()
    assert (await yard.report(f"github_deployment:{made.id}")).wanted["state"] == "failure"


async def renamed(yard: Yard, name: str) -> None:
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await verbs.rename_pipeline(pipeline_id=yard.pipeline.id, name=name, actor="user:ada")
    await yard.calm()


async def on_github(yard: Yard) -> dict[str, str]:
    """What the repository shows of the newest commit, once everything is reported: states by context."""
    await report(yard.context)
    return {each["context"]: each["state"] for each in yard.edge.sim.reported("acme/shop")["statuses"]}


async def test_a_status_under_the_former_name_of_a_pipeline_ends_and_the_new_one_is_shown(yard: Yard) -> None:
    plain, sha = as_person(yard), Sha(await yard.edge.sim.head("acme/shop"))
    app = await plain.app("shop-staging", Stage.STAGING)
    queued = await deploy(plain, app, sha)
    assert await on_github(plain) == {"towpath/shop": "pending"}
    await renamed(plain, "web")
    assert await on_github(plain) == dict.fromkeys(["towpath/shop", "towpath/web"], "pending")
    await renamed(plain, "shop")
    await renamed(plain, "market")
    assert await on_github(plain) == dict.fromkeys(["towpath/shop", "towpath/web", "towpath/market"], "pending")
    await deploy(plain, app, NEW)
    assert (await plain.request(queued.id)).state is RequestState.SUPERSEDED
    assert await on_github(plain) == dict.fromkeys(["towpath/shop", "towpath/web", "towpath/market"], "success")


async def test_a_status_under_a_former_name_ends_with_its_pipeline(yard: Yard) -> None:
    plain, sha = as_person(yard), Sha(await yard.edge.sim.head("acme/shop"))
    app = await plain.app("shop-staging", Stage.STAGING)
    await deploy(plain, app, sha)
    assert await on_github(plain) == {"towpath/shop": "pending"}
    await renamed(plain, "web")
    await plain.db.write(lambda conn: pipelines.delete(conn, yard.pipeline.id))
    plain.clock.ahead += timedelta(minutes=10)
    await overdue(plain.context)
    await plain.calm()
    assert await on_github(plain) == dict.fromkeys(["towpath/shop", "towpath/web"], "success")


async def test_what_nobody_has_seen_under_the_former_name_is_shown_under_the_new_one_alone(yard: Yard) -> None:
    plain, sha = as_person(yard), Sha(await yard.edge.sim.head("acme/shop"))
    app = await plain.app("shop-staging", Stage.STAGING)
    await deploy(plain, app, sha)
    await renamed(plain, "web")
    assert await on_github(plain) == {"towpath/web": "pending"}


async def test_a_renamed_pipeline_s_check_is_waited_for_by_its_new_name_at_once(yard: Yard) -> None:
    sha = Sha(await yard.edge.sim.head("acme/shop"))
    review = await yard.review(state=ReviewState.CREATING, sha=sha)
    await yard.do(lambda tx: tx.show_review(review))
    await yard.calm()
    await report(yard.context)
    await renamed(yard, "web")
    await report(yard.context)
    assert [each["name"] for each in yard.edge.sim.reported("acme/shop")["check_runs"]] == ["towpath/web"]


async def test_what_is_over_of_an_open_pull_request_is_shown_under_the_new_name_too(yard: Yard) -> None:
    plain, sha = as_person(yard), Sha(await yard.edge.sim.head("acme/shop"))
    review = await plain.review(state=ReviewState.DESTROYED, sha=sha, reason="idle for 5 days")
    await plain.do(lambda tx: tx.show_review(review))
    await plain.calm()
    assert await on_github(plain) == {"towpath/shop": "success"}
    await renamed(plain, "web")
    assert await on_github(plain) == dict.fromkeys(["towpath/shop", "towpath/web"], "success")


async def test_a_pipeline_that_comes_back_goes_on_with_the_check_it_had_there(yard: Yard) -> None:
    sha = Sha(await yard.edge.sim.head("acme/shop"))
    review = await yard.review(state=ReviewState.CREATING, sha=sha)
    copied = await another_repository(yard)
    await yard.do(lambda tx: tx.show_review(review))
    await yard.calm()
    await report(yard.context)
    first = await yard.check(sha)
    for place in (copied, yard.repository):
        await moved_to(yard, place)
        await yard.db.write(
            lambda conn, place=place: conn.execute(review_rows.update().values(repository_id=place.id))  # type: ignore[misc]
        )
        await yard.do(lambda tx: tx.show_review(review))
        await yard.calm()
    back = await yard.check(sha)
    assert (back.repository_id, back.github_id) == (yard.repository.id, first.github_id)


async def test_a_check_whose_making_had_no_answer_is_found_by_the_renamed_pipeline(yard: Yard) -> None:
    sha = Sha(await yard.edge.sim.head("acme/shop"))
    app = await yard.app("shop-staging", Stage.STAGING)
    await deploy(yard, app, sha)
    yard.edge.sim.chaos.answer("reset_after", pattern="/check-runs")
    await report(yard.context)
    assert (await yard.check(sha)).attempted
    await renamed(yard, "web")
    yard.clock.ahead += timedelta(minutes=10)
    await report(yard.context)
    assert [each["name"] for each in yard.edge.sim.reported("acme/shop")["check_runs"]] == ["towpath/web"]


async def test_the_check_of_a_former_repository_takes_no_other_pipeline_s_name(yard: Yard) -> None:
    app, _ = await waiting(yard)
    found = await another_repository(yard)
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await verbs.connect_repository(pipeline_id=yard.pipeline.id, repository=found, actor="user:ada")
    await renamed(yard, "web")
    another = await verbs.create_pipeline(name="web", owner=Owner(type="user", id="ada"), actor="user:ada")
    await verbs.connect_repository(pipeline_id=another.id, repository=yard.repository, actor="user:ada")
    await deploy(yard, app, NEW)
    old = await yard.check(OLD)
    assert end_of(old) == ("completed", "neutral")
    assert old.wanted["name"] == "towpath/shop"


async def test_a_deployment_stays_in_the_environment_that_it_was_made_in(yard: Yard) -> None:
    app = await yard.app("shop-staging", Stage.STAGING)
    release = await yard.released(app, await yard.slug())
    subject = Subject(SubjectKind.GITHUB_DEPLOYMENT, release.id)
    await yard.do(lambda tx: tx.ring([subject], cause="released"))
    await yard.calm()
    await renamed(yard, "web")
    await yard.released(app, await yard.slug("newer"))
    await yard.do(lambda tx: tx.ring([subject], cause="superseded"))
    await yard.calm()
    shown = await yard.report(f"github_deployment:{release.id}")
    assert (shown.wanted["environment"], shown.wanted["state"]) == ("shop/shop-staging", "inactive")


@pytest.mark.parametrize("by_app", [True, False], ids=["as check run", "as status"])
async def test_a_commit_that_is_in_the_next_repository_too_is_shown_there_and_ends_in_the_former(
    by_app: bool, yard: Yard
) -> None:
    kind, ours = ("check", yard) if by_app else ("status", as_person(yard))
    key = f"{kind}:{yard.pipeline.id}/{OLD}"
    app = await ours.app("shop-staging", Stage.STAGING)
    await deploy(ours, app, OLD)
    await ours.db.write(lambda conn: reports.begin(conn, lane=yard.repository.installation_id, now=yard.clock()))
    found = await another_repository(yard)
    await moved_to(ours, found)
    review = await ours.do(
        lambda tx: reviews.create(
            tx.conn,
            pipeline_id=yard.pipeline.id,
            repository_id=found.id,
            ref="pr:1",
            generation=1,
            app_id=None,
            state=ReviewState.CREATING,
            reason="",
            sha=OLD,
            branch="topic",
            by_person=False,
            now=tx.now,
        )
    )
    await ours.do(lambda tx: tx.show_review(review))
    await ours.calm()
    there = await ours.report(key)
    assert (there.repository_id, there.terminal) == (found.id, False)
    (former,) = await ours.see(lambda conn: reports.formers(conn, f"{yard.pipeline.id}/{OLD}", kind=kind))
    assert (former.repository_id, former.external_key) == (yard.repository.id, key)
    await ours.do(
        lambda tx: enact(
            tx,
            Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/pr:1"),
            [
                SetReview(
                    pipeline_id=review.pipeline_id,
                    repository_id=found.id,
                    ref=review.ref,
                    state=ReviewState.DESTROYED,
                    sha=OLD,
                    branch="topic",
                    reason="closed",
                )
            ],
        )
    )
    await deploy(ours, app, NEW)
    ended = await ours.report(former.key)
    assert ended.terminal
    assert "shop-staging" not in str(ended.wanted), "what is done elsewhere is told to nobody here"
    assert ended.repository_id == yard.repository.id
    assert (await ours.report(key)).terminal
