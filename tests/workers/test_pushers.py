"""Whom a deploy goes back to that nobody asked for there and then: who had asked before, who approved, or who pushed."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from service.domain.decisions import Deploy, Destroy, Request, Subject, SubjectKind, Work
from service.domain.model import AppId, Sha, Trust
from service.enact import enact
from service.store import approvals, apps, requests, tables
from service.store.approvals import Approval
from tests.workers.conftest import Yard
from tests.workers.test_presses import delivered
from workers.jobs import loops

PUSHED, OTHER, APPROVED = Sha("a" * 40), Sha("b" * 40), Sha("c" * 40)


def event_of(yard: Yard, **more: Any) -> dict[str, Any]:
    repository = {"id": yard.repository.id, "full_name": "acme/shop", "default_branch": "master"}
    return {"repository": repository, "sender": {"login": "grace"}} | more


def push_of(yard: Yard, sha: str, ref: str = "refs/heads/master", **more: Any) -> dict[str, Any]:
    return event_of(yard, ref=ref, after=sha, **more)


def pull_of(yard: Yard, action: str, login: str) -> dict[str, Any]:
    side = {"sha": PUSHED, "ref": "topic", "repo": {"id": yard.repository.id}}
    pull = {"number": 7, "state": "open", "title": "A cart", "user": {"login": "octavia"}, "head": side, "base": side}
    times = {"updated_at": "2026-05-01T10:00:00Z"}
    return event_of(yard, action=action, pull_request=pull | times, sender={"login": login})


async def actors_of(yard: Yard, app_id: str) -> list[str]:
    of_app = select(tables.requests.c.actor).where(tables.requests.c.app_id == app_id).order_by(tables.requests.c.seq)
    return await yard.see(lambda conn: list(conn.execute(of_app).scalars()))


async def test_a_deploy_by_itself_is_of_whoever_it_goes_back_to(yard: Yard) -> None:
    await delivered(yard, "pushed", push_of(yard, PUSHED), "push")
    await delivered(yard, "deleted", push_of(yard, "0" * 40, "refs/heads/gone"), "push")
    await delivered(yard, "opened", pull_of(yard, "opened", "octavia"), "pull_request")
    await delivered(yard, "labeled", pull_of(yard, "labeled", "linus"), "pull_request")
    allowed = Approval(
        pipeline_id=yard.pipeline.id, repository_id=yard.repository.id, number=8, sha=APPROVED, actor="github:ada",
        how="comment", created_at=yard.clock(),
    )  # fmt: skip
    await yard.do(lambda tx: approvals.add(tx.conn, allowed))
    for ref in ("pr:7", "branch:topic"):
        asked = {"pipeline_id": yard.pipeline.id, "ref": ref}
        await yard.do(lambda tx, asked=asked: tx.note("review app create asked for", **asked))

    def deploy(sha: Sha, branch: str = "master", number: int | None = None, trust: Trust = Trust.OWN) -> Deploy:
        return Deploy(repository_id=yard.repository.id, sha=sha, trust=trust, branch=branch, pull_request=number)

    rows: dict[str, tuple[Work, str, bool, str]] = {
        "of who pushed the commit to the branch": (deploy(PUSHED), "", False, "github:grace"),
        "of nobody where another commit was pushed": (deploy(OTHER), "", False, "towpath"),
        "of nobody where it was pushed to another branch": (deploy(PUSHED, "develop"), "", False, "towpath"),
        "of nobody where the branch was deleted": (deploy(Sha("0" * 40), "gone"), "", False, "towpath"),
        "of who opened the pull request": (deploy(PUSHED, "topic", 7), "pr:7", False, "github:octavia"),
        "of who asked for the review app": (deploy(PUSHED, "topic", 7), "pr:7", True, "user:ada@acme.example"),
        "of who asked for one of a branch": (deploy(OTHER, "topic"), "branch:topic", True, "user:ada@acme.example"),
        "of who pushed to the branch of a review app": (deploy(PUSHED), "branch:master", False, "github:grace"),
        "of who approved the fork's commit": (deploy(APPROVED, "x", 8, Trust.FORK), "pr:8", False, "github:ada"),
        "of nobody where it is no deploy": (Destroy(ordered=True, reason=""), "pr:7", False, "towpath"),
    }
    found = {}
    for number, (sentence, (work, ref, by_person, _)) in enumerate(rows.items()):
        app = await yard.app(f"shop-{number}")
        key = f"{yard.pipeline.id}/{ref}" if ref else app.id
        subject = Subject(SubjectKind.REVIEW_APP if ref else SubjectKind.AUTO_DEPLOY, key)
        decision = Request(app_id=AppId(app.id), work=work, reason="", by_person=by_person)
        await yard.context.commit(lambda tx, subject=subject, decision=decision: enact(tx, subject, [decision]))
        (found[sentence],) = await actors_of(yard, app.id)
    assert found == {sentence: row[-1] for sentence, row in rows.items()}


async def test_a_push_is_deployed_as_its_pushers_and_who_pushed_is_forgotten_in_time(yard: Yard) -> None:
    app = await yard.app()
    change = {"auto_deploy": True, "auto_deploy_branch": "master", "repository_id": yard.repository.id}
    await yard.do(lambda tx: apps.update(tx.conn, app=app, now=tx.now, **change))
    sha = await yard.edge.sim.head("acme/shop")
    for guid in ("pushed", "pushed again under another id"):
        await delivered(yard, guid, push_of(yard, sha), "push")
    await yard.calm()
    (queued,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    assert (queued.sha, queued.by_person) == (sha, False)
    assert await actors_of(yard, app.id) == ["github:grace"]
    yard.clock.ahead = timedelta(days=400)
    await loops.keep_house(yard.context)
    assert await yard.see(lambda conn: conn.execute(select(func.count()).select_from(tables.pushers)).scalar()) == 0
