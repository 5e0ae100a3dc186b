"""GitHub is told the end of everything that it was told the beginning of, whatever ends it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from service.domain.decisions import Deploy, SetReview, Subject, SubjectKind
from service.domain.model import App, QueuedRequest, RepositoryId, RequestState, ReviewState, Sha, Stage, Trust
from service.enact import enact
from service.enactor import Enactor
from service.store import apps, logs, pipelines, releases, reports, requests, subjects
from tests.workers.conftest import Yard
from workers.jobs.overdue import overdue

OLD, NEW = Sha("a" * 40), Sha("b" * 40)


async def deploy(yard: Yard, app: App, sha: Sha) -> QueuedRequest:
    """What a push to the followed branch asks for."""
    work = Deploy(repository_id=yard.repository.id, sha=sha, trust=Trust.OWN, branch="main")
    queued = await yard.do(lambda tx: tx.request(app.id, work, reason="pushed", by_person=False))
    await yard.calm()
    return queued


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
    before = replace(yard, context=replace(yard.context, github=yard.edge.as_person("acme")))
    await deploy(before, app, OLD)
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
    other = await yard.edge.sim.create_repo("acme/other", files={"page": "1"}, default_branch="main")
    found = replace(yard.repository, id=RepositoryId(other.id), full_name="acme/other")
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await verbs.connect_repository(pipeline_id=yard.pipeline.id, repository=found, actor="user:ada")
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
        other = await yard.edge.sim.create_repo("acme/other", files={"page": "1"}, default_branch="main")
        found = replace(yard.repository, id=RepositoryId(other.id), full_name="acme/other")
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
