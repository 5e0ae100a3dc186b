"""Plans see what the rows say, in a constant number of statements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event

from service.domain.decisions import ReleaseSlug
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import (
    App,
    PipelineId,
    QueuedRequest,
    ReleaseState,
    RepositoryId,
    RequestState,
    ReviewState,
    Sha,
    SlugId,
    Stage,
)
from service.domain.review_rules import OVER_CAP
from service.store import activity, apps, facts, pipelines, releases, repositories, requests, reviews, views
from service.store.database import Database
from tests.store.making import NOW, REPOSITORY, make_app, make_pipeline, make_request, make_review

SHA = Sha("b" * 40)


@contextmanager
def counted(conn: Connection) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(conn, "before_cursor_execute", note)
    yield statements
    event.remove(conn, "before_cursor_execute", note)


def statements_of(view: Callable[[Connection], object]) -> Callable[[Connection], int]:
    def run(conn: Connection) -> int:
        with counted(conn) as statements:
            view(conn)
        return len(statements)

    return run


@pytest.fixture
async def pipeline(database: Database) -> PipelineId:
    return await database.write(lambda conn: make_pipeline(conn, repository=REPOSITORY))


@pytest.fixture
async def app(database: Database, pipeline: PipelineId) -> App:
    def make(conn: Connection) -> App:
        made = make_app(conn)
        pipelines.couple(conn, app_id=made.id, pipeline_id=pipeline, stage=Stage.STAGING, now=NOW)
        return apps.update(conn, app=made, now=NOW, auto_deploy=True, repository_id=REPOSITORY.id)

    return await database.write(make)


def know_head(conn: Connection) -> None:
    facts.learn(
        conn,
        FactKey(FactKind.HEAD, REPOSITORY.id, "main"),
        asked=facts.next_asked(conn),
        value=Head(branch="main", sha=SHA),
        error="",
        etag="",
        now=NOW,
    )


def end(conn: Connection, request: QueuedRequest, state: RequestState = RequestState.SUCCEEDED) -> None:
    requests.finish(conn, request.id, state=state, outcome="", now=NOW)


async def test_a_pull_request_without_review_app_is_seen_with_its_name(
    database: Database, pipeline: PipelineId
) -> None:
    view = await database.read(lambda conn: views.review_view(conn, subject_key=f"{pipeline}/pr:12", now=NOW))
    assert view is not None
    assert (view.number, view.review, view.app, view.pull_request, view.queue) == (12, None, None, None, ())
    assert view.name == f"shop-{pipeline[:4]}-pr-12"


async def test_a_subject_of_a_pipeline_that_is_gone_has_no_view(database: Database) -> None:
    assert await database.read(lambda conn: views.review_view(conn, subject_key="none/pr:1", now=NOW)) is None
    assert await database.read(lambda conn: views.auto_deploy_view(conn, subject_key="none", now=NOW)) is None


async def test_a_review_app_of_a_former_source_is_seen_until_it_is_gone(
    database: Database, pipeline: PipelineId
) -> None:
    def former(conn: Connection) -> None:
        repositories.remember(conn, replace(REPOSITORY, id=RepositoryId(8), full_name="acme/old"), NOW)
        make_review(conn, pipeline, repository_id=RepositoryId(8), state=ReviewState.LIVE, app_id="x")
        make_review(conn, pipeline, state=ReviewState.WAITING)

    await database.write(former)
    view = await database.read(lambda conn: views.review_view(conn, subject_key=f"{pipeline}/pr:1", now=NOW))
    assert view is not None
    assert view.repository.full_name == "acme/old"


async def test_those_that_wait_longer_for_a_place_are_counted(database: Database, pipeline: PipelineId) -> None:
    def wait(conn: Connection) -> None:
        for number, minutes in ((1, 0), (2, 1), (3, 2)):
            at = NOW + timedelta(minutes=minutes)
            make_review(conn, pipeline, ref=f"pr:{number}", reason=f"{OVER_CAP} of 1", at=at)
        make_review(conn, pipeline, ref="pr:4", reason="drafts get none")

    await database.write(wait)
    ahead = []
    for number in (1, 3, 5):
        key = f"{pipeline}/pr:{number}"
        view = await database.read(lambda conn, key=key: views.review_view(conn, subject_key=key, now=NOW))
        assert view is not None
        ahead.append(view.waiting_ahead)
    assert ahead == [0, 2, 3]


async def test_those_that_wait_since_the_same_moment_have_places_one_after_the_other(
    database: Database, pipeline: PipelineId
) -> None:
    def wait(conn: Connection) -> None:
        for number in (1, 2, 3):
            make_review(conn, pipeline, ref=f"pr:{number}", reason=f"{OVER_CAP} of 1")

    await database.write(wait)
    listed = await database.read(lambda conn: reviews.waiting(conn, pipeline_id=pipeline, reason=OVER_CAP))
    ahead = []
    for each in listed:
        key = f"{pipeline}/{each.ref}"
        view = await database.read(lambda conn, key=key: views.review_view(conn, subject_key=key, now=NOW))
        assert view is not None
        ahead.append(view.waiting_ahead)
    assert ahead == [0, 1, 2]


async def test_an_auto_deployed_app_follows_the_default_branch_unless_told_otherwise(
    database: Database, app: App
) -> None:
    await database.write(know_head)
    view = await database.read(lambda conn: views.auto_deploy_view(conn, subject_key=app.id, now=NOW))
    assert view is not None
    assert view.head is not None
    assert (view.branch, view.head.value, view.stage, view.held) == (
        "main",
        Head(branch="main", sha=SHA),
        Stage.STAGING,
        "",
    )


async def test_the_plan_sees_the_queue_and_the_last_deploys(database: Database, app: App) -> None:
    by_person = await database.write(lambda conn: make_request(conn, app.id, sha="c" * 40))
    await database.write(lambda conn: end(conn, by_person))
    own = await database.write(lambda conn: make_request(conn, app.id, sha=SHA, by_person=False))
    view = await database.read(lambda conn: views.auto_deploy_view(conn, subject_key=app.id, now=NOW))
    assert view is not None
    assert view.last_deploy is not None
    assert (view.queue, view.last_deploy.id, view.last_auto_deploy) == ((own,), by_person.id, own)


def promote_into(conn: Connection, app_id: str) -> None:
    work = ReleaseSlug(slug_id=SlugId("s"), commit=None, repository_id=None, description="Promote")
    queued = requests.add(conn, app_id=app_id, work=work, actor="test", reason="", by_person=True, now=NOW)
    release(conn, app_id, queued)


def release(conn: Connection, app_id: str, queued: QueuedRequest) -> None:
    made = releases.create(
        conn,
        app_id=app_id,
        request_id=queued.id,
        slug_id=None,
        commit=None,
        repository_id=None,
        description="",
        actor="test",
        log_id="",
        now=NOW,
    )
    releases.finish(conn, release_id=made.id, state=ReleaseState.SUCCEEDED, error="", now=NOW)
    end(conn, queued)


async def test_a_promotion_into_the_app_holds_it_until_a_person_resumes(database: Database, app: App) -> None:
    await database.write(lambda conn: promote_into(conn, app.id))
    assert await database.read(lambda conn: views.held(conn, app.id)) == "held at v1"
    later = NOW + timedelta(seconds=1)
    await database.write(
        lambda conn: activity.record(conn, now=later, actor="user:a", action=views.RESUMED, app_id=app.id)
    )
    assert await database.read(lambda conn: views.held(conn, app.id)) == ""


async def test_a_deploy_of_a_branch_ends_a_hold_and_one_of_a_bare_commit_sets_it(database: Database, app: App) -> None:
    seen = []
    for branch in ("", "main", ""):
        queued = await database.write(lambda conn, branch=branch: make_request(conn, app.id, sha=SHA, branch=branch))
        await database.write(lambda conn, queued=queued: release(conn, app.id, queued))
        seen.append(await database.read(lambda conn: views.held(conn, app.id)))
    assert seen == ["held at v1", "", "held at v3"]


async def test_what_is_to_hold_an_app_holds_it_before_it_is_done_and_no_more_once_it_failed(
    database: Database, app: App
) -> None:
    queued = await database.write(lambda conn: make_request(conn, app.id, sha=SHA, branch=""))
    assert await database.read(lambda conn: views.held(conn, app.id)) == f"held at {SHA[:7]}"
    await database.write(
        lambda conn: requests.finish(conn, queued.id, state=RequestState.FAILED, outcome="no Procfile", now=NOW)
    )
    assert await database.read(lambda conn: views.held(conn, app.id)) == ""


async def test_views_take_as_many_statements_however_much_there_is(
    database: Database, pipeline: PipelineId, app: App
) -> None:
    await database.write(know_head)

    def fill(conn: Connection) -> None:
        for number in range(2, 30):
            make_review(conn, pipeline, ref=f"pr:{number}", reason=f"{OVER_CAP} of 1")
            make_request(conn, app.id)

    review = statements_of(lambda conn: views.review_view(conn, subject_key=f"{pipeline}/pr:1", now=NOW))
    auto = statements_of(lambda conn: views.auto_deploy_view(conn, subject_key=app.id, now=NOW))
    await database.write(lambda conn: make_review(conn, pipeline))
    await database.write(lambda conn: make_request(conn, app.id, sha=SHA))
    before = await database.read(review), await database.read(auto)
    await database.write(fill)
    assert (await database.read(review), await database.read(auto)) == before
    assert max(before) <= 14
