"""What is done to a review app from its card: kept, stopped, built anew or taken away, each asked for once more."""

from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import ReviewApp
from service.domain.names import in_words
from service.enacting.reviews import Answer
from service.web import rights
from service.web.api.finding import Asked, find_review_of
from service.web.api.review_apps import ask_github, source_of
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.app_acts import Act, asking, do
from service.web.pages.app_head import ONE, Head, asked_in
from service.web.pages.signed_in import form_of


def _pin(conn: Connection, request: web.Request, head: Head) -> Act:
    name, on = head.app.name, not find_review_of(conn, asked_in(request)).pinned
    text = (
        "It is neither destroyed nor suspended for being idle. It goes with its pull request all the same."
        if on
        else "It is destroyed or suspended when it is idle for as long as the pipeline's settings say."
    )
    title = f"{'Pin' if on else 'Unpin'} {name}"
    return Act(path="pin", tab="settings", title=title, texts=(text,), do="on" if on else "off")


def _suspend(conn: Connection, request: web.Request, head: Head) -> Act:
    find_review_of(conn, asked_in(request))
    texts = (
        f"The dynos of {head.app.name} stop, and whoever opens it is told so. All else of it is kept, its data too.",
        "It is back when somebody resumes it, and with the next push.",
    )
    return Act(path="suspend", tab="resources", title=f"Suspend {head.app.name}", texts=texts)


def _rebuild(conn: Connection, request: web.Request, head: Head) -> Act:
    where = in_words(find_review_of(conn, asked_in(request)).ref)
    texts = (f"What {where} is at now is built from nothing, without former builds and caches, and deployed.",)
    return Act(path="rebuild", tab="deploy", title=f"Rebuild {head.app.name}", texts=texts)


def _destroy(conn: Connection, request: web.Request, head: Head) -> Act:
    where = in_words(find_review_of(conn, asked_in(request)).ref)
    texts = (
        "The app goes, with its add-ons and all that they hold.",
        f"The next push to {where} makes another one if that is automatic here, and a person can ask for one.",
    )
    return Act(path="destroy", tab="settings", title=f"Destroy {head.app.name}", texts=texts, ends_it=True)


async def _found(request: web.Request) -> ReviewApp:
    asked = asked_in(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_review_of(conn, asked))


async def pin(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/pin: keep it however long it is idle, or no longer."""
    review, on = await _found(request), (await form_of(request)).get("do") == "on"
    enactor, actor = request.app[CONTEXT].enactor, request[VISITOR].actor
    return await do(request, _pin, enactor.pin_review_app(review_id=review.id, pinned=on, actor=actor))


async def suspend(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/suspend."""
    review, enactor = await _found(request), request.app[CONTEXT].enactor
    return await do(request, _suspend, enactor.suspend_review_app(review_id=review.id, actor=request[VISITOR].actor))


async def rebuild(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/rebuild: GitHub is asked first what there is to build, for a webhook may be lost."""
    context, actor, review = request.app[CONTEXT], request[VISITOR].actor, await _found(request)

    async def ask() -> None:
        answer = await _answered(request, review)
        await context.enactor.rebuild_review_app(review_id=review.id, answer=answer, actor=actor)

    return await do(request, _rebuild, ask())


async def _answered(request: web.Request, review: ReviewApp) -> Answer | None:
    """Where the pull request or branch is now; refuses, to be read on the page, what is not there any more."""
    context = request.app[CONTEXT]
    asked = Asked(by=request[VISITOR].person, name=review.pipeline_id)
    _, repository = await context.db.read(lambda conn: source_of(conn, asked))
    if repository is None:
        return None
    kind, _, name = review.ref.partition(":")
    number = int(name) if kind == "pr" else None
    try:
        return await ask_github(context, repository, number=number, branch=name)
    except Refused as refused:
        raise Refused(f"Not rebuilt: {refused.message}") from None


async def destroy(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/destroy."""
    review, enactor = await _found(request), request.app[CONTEXT].enactor
    return await do(request, _destroy, enactor.destroy_review_app(review_id=review.id, actor=request[VISITOR].actor))


_OPERATED: Final = rights.page(rights.app(Permission.OPERATE))
_CHANGED: Final = rights.page(rights.REVIEWS)
ROUTES = [
    rights.get(f"{ONE}/pin", asking(_pin), _CHANGED),
    rights.post(f"{ONE}/pin", pin, _CHANGED),
    rights.get(f"{ONE}/suspend", asking(_suspend), _OPERATED),
    rights.post(f"{ONE}/suspend", suspend, _OPERATED),
    rights.get(f"{ONE}/rebuild", asking(_rebuild), _CHANGED),
    rights.post(f"{ONE}/rebuild", rebuild, _CHANGED),
    rights.get(f"{ONE}/destroy", asking(_destroy), _CHANGED),
    rights.post(f"{ONE}/destroy", destroy, _CHANGED),
]
