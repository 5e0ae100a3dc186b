"""Approving single commits of forks and bots, and what was approved."""

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import Repository, ReviewApp
from service.settings import Settings
from service.store import approvals, people, repositories
from service.store.approvals import Approval
from service.store.people import People
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import Asked, find_review, in_path
from service.web.api.on_github import check_on_github
from service.web.api.review_apps import answer_review
from service.web.keys import CALLER, CONTEXT


def _shape(it: Approval, known: People, settings: Settings) -> shapes.Json:
    return {
        "created_at": shapes.moment(it.created_at),
        "sha": it.sha,
        "user": shapes.user_of(it.actor, settings, known),
        "by": it.actor,
        "how": it.how,
    }


def _number(review: ReviewApp) -> int:
    kind, _, number = review.ref.partition(":")
    if kind != "pr":
        raise Refused(f"{review.ref} is a branch of the repository: it needs no approval.")
    return int(number)


async def listing(request: web.Request) -> web.Response:
    """GET /review-apps/REVIEW_APP/approvals: of its pull request, whatever generation of it."""
    context, asked = request.app[CONTEXT], in_path(request, "review")

    def read(conn: Connection) -> tuple[list[Approval], People]:
        review = find_review(conn, asked)
        listed = approvals.of_pull_request(
            conn, pipeline_id=review.pipeline_id, repository_id=review.repository_id, number=_number(review)
        )
        return listed, people.known(conn, {it.actor for it in listed})

    listed, known = await context.db.read(read)
    return answers.answer_list(
        request,
        listed,
        lambda it: _shape(it, known, context.settings),
        created_at=lambda it: it.created_at,
        sha=lambda it: it.sha,
    )


async def approve(request: web.Request) -> web.Response:
    """POST /review-apps/REVIEW_APP/approvals: refused when the pull request is not, or no longer, at that commit."""
    context, asked = request.app[CONTEXT], in_path(request, "review")
    body = await bodies.parse(request, bodies.Approve)
    review, repository = await context.db.read(lambda conn: _found(conn, asked))
    if repository is None:
        raise Refused("The pipeline's repository is not known any more; connect it again.")
    await check_on_github(context, request[CALLER].user, repository)
    pull = await context.lookup.pull_request(repository, _number(review))
    approved = await context.enactor.approve_review_app(
        review_id=review.id, pull=pull, commit=body.sha, actor=request[CALLER].actor
    )
    return await answer_review(request, approved, status=201)


def _found(conn: Connection, asked: Asked) -> tuple[ReviewApp, Repository | None]:
    review = find_review(conn, asked)
    return review, repositories.get(conn, review.repository_id)


ROUTES = [
    rights.post("/review-apps/{review}/approvals", approve, rights.pipeline(Permission.DEPLOY)),
    rights.get("/review-apps/{review}/approvals", listing, rights.pipeline()),
]
