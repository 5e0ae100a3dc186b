"""A button of our check was pressed: the presser's permission is looked up, then the same plans decide as always."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection

from service.domain import review_apps
from service.domain.decisions import Deploy, Subject, SubjectKind
from service.domain.deploys import from_nothing
from service.domain.errors import Refused
from service.domain.model import App, Pipeline, RepositoryId, RequestState, ReviewApp, ReviewState, Stage, Trust
from service.domain.report_approval import APPROVE
from service.domain.reports import DESTROY
from service.enact import Transaction, enact
from service.github.hints import CheckRunRequested, Hint
from service.store import activity, pipelines, repositories, requests, reviews, views
from workers.context import Context
from workers.jobs.again import branch_to_rebuild, is_head

MAY_PRESS: Final = frozenset({"admin", "write"})
_ENOUGH: Final = 16
"""So many digits of a payload's sha256 tell it from the others about one commit."""
_PRESSES: Final = 500
_AGAIN: Final = frozenset({"rebuild", "rerequest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """What was pressed, and what its presser may do in the repository now."""

    pressed: CheckRunRequested
    permission: str


async def permitted(context: Context, hint: Hint) -> list[Press]:
    """Look the pressers up; raises `Transient` when GitHub does not answer, so that no press is lost."""
    presses = []
    for pressed in hint.touched:
        if isinstance(pressed, CheckRunRequested) and pressed.identifier != APPROVE:
            allowed = await permission(context, pressed.repository_id, pressed.login)
            presses.append(Press(pressed=pressed, permission=allowed))
    return presses


async def permission(context: Context, repository_id: RepositoryId, login: str) -> str:
    """Look up what a person may do in a repository now; raises `Transient` when GitHub does not answer."""
    repository = await context.db.read(lambda conn: repositories.get(conn, repository_id))
    return await context.looks.permission(repository, login) if repository else "none"


def act(tx: Transaction, press: Press, *, our_app_id: int, payload: str) -> str:
    """Do what the button says, once for each `payload` (its sha256); returns what came of it, for people.

    The id of a delivery is not signed: who replays one may give it another. A press that did something changes the
    check, so that the next press of the same button says something else.
    """
    pressed = press.pressed
    if press.permission not in MAY_PRESS:
        return f"{pressed.login} may not press {pressed.identifier}: has the permission {press.permission}"
    payload = payload[:_ENOUGH]
    if any(each.data.get("payload") == payload for each in activity.listing(tx.conn, sha=pressed.sha, limit=_PRESSES)):
        return f"{pressed.login} pressed {pressed.identifier}: the same press was delivered before, under another id"
    tx.actor = f"github:{pressed.login}"
    done = [
        each for pipeline in pipelines_of(tx.conn, pressed) for each in _in_pipeline(tx, pipeline, pressed, our_app_id)
    ]
    if done:
        tx.note("button pressed", sha=pressed.sha, data={"button": pressed.identifier, "payload": payload})
    return f"{pressed.login} pressed {pressed.identifier}: {'; '.join(done) or 'nothing to do'}"


def pipelines_of(conn: Connection, pressed: CheckRunRequested) -> Iterator[Pipeline]:
    """The check's own pipeline; a suite, which carries no key of ours, stands for all of the repository's."""
    for pipeline in pipelines.of_repository(conn, pressed.repository_id):
        if pressed.external_id in {"", f"check:{pipeline.id}/{pressed.sha}"}:
            yield pipeline


def _in_pipeline(tx: Transaction, pipeline: Pipeline, pressed: CheckRunRequested, our_app_id: int) -> Iterator[str]:
    meant = _meant(tx.conn, pipeline, pressed)
    button = _button(pressed)
    if button == DESTROY and len(meant) > 1:
        tx.ring([Subject(SubjectKind.CHECK, f"{pipeline.id}/{pressed.sha}")], cause="a button that is out of date")
        names = ", ".join(each.ref for each in meant)
        yield f"nothing is destroyed: {names} are at {pressed.sha[:7]} by now; press again what the check shows then"
        return
    for review in meant:
        asked = _asked(button, review.state)
        if asked is not None:
            subject = Subject(SubjectKind.REVIEW_APP, f"{pipeline.id}/{review.ref}")
            yield _ask(tx, subject, asked, our_app_id, rebuild=pressed.identifier == "rebuild")
    for app, stage in pipelines.members(tx.conn, pipeline.id):
        if stage is not Stage.REVIEW and (branch := _branch_to_deploy(tx, app, stage, pressed)):
            work = Deploy(
                repository_id=pressed.repository_id,
                sha=pressed.sha,
                trust=Trust.OWN,
                branch=branch,
                rebuild=pressed.identifier == "rebuild",
            )
            if locked := tx.why_locked(app.id, work):
                yield locked
                continue
            tx.request(app.id, work, reason=f"{pressed.identifier} pressed", by_person=True)
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app.id)], cause=f"{pressed.identifier} pressed by {tx.actor}")
            yield f"deploy to {app.name}"


def _button(pressed: CheckRunRequested) -> str:
    return pressed.identifier.partition(":")[0]


def _meant(conn: Connection, pipeline: Pipeline, pressed: CheckRunRequested) -> list[ReviewApp]:
    """The review apps that a button is about: all at the commit, but of those to destroy the one that it names.

    GitHub does not tell from which of several pull requests at one commit a button was pressed.
    """
    found = reviews.of_commit(conn, pipeline_id=pipeline.id, sha=pressed.sha)
    if _button(pressed) != DESTROY:
        return found
    if number := pressed.identifier.partition(":")[2]:
        return [each for each in found if each.ref == f"pr:{number}"]
    there = [each for each in found if each.app_id is not None]  # that of a branch has no number to be named by
    return [each for each in there if not each.ref.startswith("pr:")] or there


def _asked(identifier: str, state: ReviewState) -> Literal["create", "destroy"] | None:
    match identifier:
        case _ if identifier == DESTROY:
            return "destroy"
        case "create" | "deploy_anyway":
            return "create"
        case "rebuild" | "rerequest" if state in {ReviewState.LIVE, ReviewState.FAILED, ReviewState.SUSPENDED}:
            return "create"
        case _:
            return None


def _ask(
    tx: Transaction, subject: Subject, asked: Literal["create", "destroy"], our_app_id: int, *, rebuild: bool
) -> str:
    view = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, our_app_id=our_app_id, asked=asked)
    if view is None:
        return "it is gone"
    try:
        decisions = review_apps.plan(view)
        enact(tx, subject, [from_nothing(each) for each in decisions] if rebuild else decisions)
    except Refused as refused:
        return refused.message
    tx.note(f"review app {asked} asked for", pipeline_id=view.pipeline.id, ref=view.ref)
    tx.ring([subject], cause=f"{asked} asked for by {tx.actor}")
    return f"{asked} the review app of {view.source}"


def _branch_to_deploy(tx: Transaction, app: App, stage: Stage, pressed: CheckRunRequested) -> str:
    """The branch from which the app gets this commit now; empty when the button does not concern the app."""
    if pressed.identifier == "deploy_anyway":
        stands = app.repository_id == pressed.repository_id and is_head(tx.conn, app, pressed.sha)
        return app.auto_deploy_branch if stands and not requests.open_of(tx.conn, app.id) else ""
    last = requests.last_deploy(tx.conn, app.id)
    again = pressed.identifier in _AGAIN and last is not None and last.sha == pressed.sha
    if not again or last is None or requests.open_of(tx.conn, app.id):
        return ""
    if last.state is RequestState.FAILED:
        return requests.branch_of(tx.conn, last.id)
    return branch_to_rebuild(tx.conn, app, stage, pressed.sha) if pressed.identifier == "rebuild" else ""
