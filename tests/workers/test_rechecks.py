"""The right of whoever connected a repository, looked up again with the audit: what is believed, and what waits then."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.demo.simulator.state import Pull
from service.domain.decisions import Subject, SubjectKind
from service.domain.model import App, Pipeline, ReviewState, Stage, UserId
from service.enact import Transaction
from service.enactor import Enactor
from service.store import activity, apps, pipelines, requests, reviews, subjects, users
from service.store.users import User
from tests.workers.conftest import Yard
from tests.workers.test_building import head
from tests.workers.test_survey import audited
from workers.jobs import loops

ADA = "ada"
LOST = "waiting for: somebody with write or admin in acme/shop to connect it, for ada, who did, has the permission"


async def person(yard: Yard, login: str | None) -> User:
    """A user who is somebody on GitHub, or nobody known."""

    def make(tx: Transaction) -> User:
        made = users.create(tx.conn, email=f"{login or 'nobody'}@acme.example", now=tx.now)
        return users.update(tx.conn, made.id, now=tx.now, github_login=login) if login else made

    return await yard.do(make)


async def connected(yard: Yard, *, login: str | None = ADA, permission: str = "write") -> UserId:
    """The pipeline is connected by somebody's own right, which they have then."""
    user = await person(yard, login)
    if login:
        yard.edge.sim.add_collaborator("acme/shop", login, permission)
    enactor = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    await enactor.connect_repository(
        pipeline_id=yard.pipeline.id,
        repository=yard.repository,
        by=user.id if login else None,
        actor="user:ada@acme.example",
    )
    return user.id


async def later(yard: Yard) -> Pipeline:
    """The pipeline after an audit, an hour later."""
    yard.clock.ahead += timedelta(hours=1)
    await audited(yard)
    await yard.calm()
    found = await yard.see(lambda conn: pipelines.get(conn, yard.pipeline.id))
    assert found is not None
    return found


async def staging(yard: Yard) -> App:
    app = await yard.app("shop-staging", Stage.STAGING)
    branch = yard.repository.default_branch
    return await yard.do(
        lambda tx: apps.update(
            tx.conn, app=app, now=tx.now, auto_deploy=True, auto_deploy_branch=branch, repository_id=yard.repository.id
        )
    )


async def reason(yard: Yard, app: App) -> str:
    found = await yard.see(lambda conn: subjects.verdicts(conn, [Subject(SubjectKind.AUTO_DEPLOY, app.id)]))
    return found[0].reason


async def test_without_the_right_nothing_is_deployed_by_itself_until_it_is_back(yard: Yard) -> None:
    await connected(yard)
    app = await staging(yard)
    await later(yard)
    (first,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    await head(yard, {"page": "newer"})
    yard.edge.sim.add_collaborator("acme/shop", ADA, "read")
    pipeline = await later(yard)
    assert pipeline.right_lost == "ada, who did, has the permission read"
    assert await reason(yard, app) == f"{LOST} read by now: towpath pipelines:connect shop -r acme/shop"
    assert [each.id for each in await yard.see(lambda conn: requests.open_of(conn, app.id))] == [first.id]
    yard.edge.sim.add_collaborator("acme/shop", ADA, "write")
    assert (await later(yard)).right_lost == ""
    assert len(await yard.see(lambda conn: requests.open_of(conn, app.id))) == 1
    assert (await yard.see(lambda conn: requests.open_of(conn, app.id)))[0].id != first.id
    noted = await yard.see(lambda conn: activity.listing(conn, pipeline_id=yard.pipeline.id, limit=99))
    said = [it.action for it in noted if it.action.startswith("right of")]
    assert said == ["right of who connected it is back", "right of who connected it lost"]


async def opened(yard: Yard, branch: str) -> Pull:
    await yard.edge.sim.push("acme/shop", branch, {"page": branch})
    return await yard.edge.sim.open_pull("acme/shop", branch)


async def test_review_apps_stay_as_they_are_and_none_is_made(yard: Yard) -> None:
    await connected(yard)
    first = await opened(yard, "topic")
    await later(yard)
    known = await yard.see(lambda conn: reviews.of_ref(conn, pipeline_id=yard.pipeline.id, ref=f"pr:{first.number}"))
    assert [each.state for each in known] == [ReviewState.CREATING]
    yard.edge.sim.add_collaborator("acme/shop", ADA, "read")
    second = await opened(yard, "other")
    await later(yard)
    waiting = await yard.see(lambda conn: reviews.of_ref(conn, pipeline_id=yard.pipeline.id, ref=f"pr:{second.number}"))
    assert [(each.state, each.reason.startswith(LOST), each.app_id) for each in waiting] == [
        (ReviewState.WAITING, True, None)
    ]
    again = await yard.see(lambda conn: reviews.of_ref(conn, pipeline_id=yard.pipeline.id, ref=f"pr:{first.number}"))
    assert [each.app_id for each in again] == [known[0].app_id]


PROVES_NOTHING: dict[str, Callable[[Yard], object]] = {
    "a page that is not there": lambda yard: yard.edge.sim.chaos.answer(
        "error", pattern="/permission$", status=404, times=None
    ),
    "a refusal": lambda yard: yard.edge.sim.chaos.answer("error", pattern="/permission$", status=403, times=None),
    "a server in trouble": lambda yard: yard.edge.sim.chaos.answer(
        "error", pattern="/permission$", status=502, times=None
    ),
    "a page for people": lambda yard: yard.edge.sim.chaos.answer("html", pattern="/permission$", times=None),
    "no answer": lambda yard: setattr(yard.edge.sim.chaos, "outage", True),
}


@pytest.mark.parametrize("case", PROVES_NOTHING)
async def test_what_proves_nothing_changes_nothing(yard: Yard, case: str) -> None:
    await connected(yard)
    yard.edge.sim.add_collaborator("acme/shop", ADA, "read")
    PROVES_NOTHING[case](yard)
    yard.clock.ahead += timedelta(hours=1)
    await loops.audit(yard.context)
    pipeline = await yard.see(lambda conn: pipelines.get(conn, yard.pipeline.id))
    assert pipeline is not None
    assert pipeline.right_lost == ""
    yard.edge.sim.chaos.outage = False
    yard.edge.sim.chaos.calm()
    assert (await later(yard)).right_lost == "ada, who did, has the permission read"


async def test_a_login_that_is_somebody_elses_by_now_says_nothing_of_who_had_it(yard: Yard) -> None:
    user_id = await connected(yard)
    yard.edge.sim.add_collaborator("acme/shop", ADA, "read")
    await yard.do(lambda tx: users.update(tx.conn, user_id, now=tx.now, github_id=987654321))
    assert (await later(yard)).right_lost == ""


async def test_nobody_is_looked_up_who_did_not_connect_it_by_a_right_of_their_own(yard: Yard) -> None:
    await connected(yard, login=None)
    await later(yard)
    assert yard.edge.requests("/permission") == 0


async def test_it_is_looked_up_once_an_hour_and_while_it_is_lost_each_time(yard: Yard) -> None:
    await connected(yard)
    before = yard.edge.requests("/permission")
    await audited(yard)
    await audited(yard)
    assert yard.edge.requests("/permission") == before
    yard.edge.sim.add_collaborator("acme/shop", ADA, "read")
    await later(yard)
    asked = yard.edge.requests("/permission")
    await audited(yard)
    assert yard.edge.requests("/permission") == asked + 1


async def test_who_has_the_right_connects_it_again_and_all_goes_on(yard: Yard) -> None:
    await connected(yard)
    app = await staging(yard)
    yard.edge.sim.add_collaborator("acme/shop", ADA, "read")
    assert (await later(yard)).right_lost
    grace = await person(yard, "grace")
    yard.edge.sim.add_collaborator("acme/shop", "grace", "admin")
    enactor = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    pipeline = await enactor.connect_repository(
        pipeline_id=yard.pipeline.id, repository=yard.repository, by=grace.id, actor="user:grace@acme.example"
    )
    assert (pipeline.connected_by, pipeline.right_lost) == (grace.id, "")
    await yard.calm()
    assert len(await yard.see(lambda conn: requests.open_of(conn, app.id))) == 1
    assert (await later(yard)).right_lost == ""
