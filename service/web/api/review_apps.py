"""Review apps: list, look at, ask for one, destroy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web
from sqlalchemy import Connection

from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind, Head
from service.domain.model import Pipeline, Repository, ReviewApp, ReviewAppId, ReviewState, Trust
from service.enacting.reviews import Answer
from service.settings import Settings
from service.shown import review_outcome
from service.store import facts, leaving, people, pipelines, repositories, reviews
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import (
    Asked,
    app_in_path,
    find_app,
    find_pipeline,
    find_review,
    in_body,
    in_path,
    pipeline_in_path,
)
from service.web.api.loading import app_names
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, WebContext


def review_shape(
    it: ReviewApp,
    pipeline: Pipeline,
    names: Mapping[str, str],
    settings: Settings,
    *,
    creator: shapes.Json | None = None,
    trust: Trust | None = None,
) -> shapes.Json:
    """A review app; `names` are those of apps by their ids, and `trust` says whose code it runs, if that is known."""
    name = names.get(it.app_id or "")
    kind, _, named = it.ref.partition(":")
    return {
        "app": None if name is None else {"id": it.app_id, "name": name},
        "app_setup": None,
        # What waits has no commit yet, and its branch is not known but by what was asked for.
        "branch": it.branch or (named if kind == "branch" else ""),
        "created_at": shapes.moment(it.created_at),
        "creator": creator or {},
        "fork_repo": None,
        "id": it.id,
        "pipeline": {"id": it.pipeline_id, "name": pipeline.name},
        "pr_number": int(named) if kind == "pr" else None,
        **review_outcome(it.state, it.reason),
        "updated_at": shapes.moment(it.updated_at),
        "wait_for_ci": pipeline.toggles.wait_for_ci,
        "state": it.state.value,
        "reason": it.reason or None,
        "commit": it.sha if it.sha.strip("0") else None,
        "pinned": it.pinned,
        "trust": None if trust is None else trust.value,
        "deployed_at": shapes.moment(it.deployed_at),
        "web_url": None if name is None else shapes.web_url(settings, name, review=True),
    }


def _newest(listed: Sequence[ReviewApp]) -> list[ReviewApp]:
    """Only the newest generation of each pull request or branch, unless it is gone."""
    newest: dict[tuple[int, str], ReviewApp] = {}
    for review in listed:
        key = (review.repository_id, review.ref)
        if key not in newest or newest[key].generation < review.generation:
            newest[key] = review
    return [review for review in newest.values() if review.state is not ReviewState.DESTROYED]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """What is shown beside review apps: names and makers of apps, by the apps' ids, and whose code they run."""

    names: Mapping[str, str]
    creators: Mapping[str, shapes.Json]
    trusts: Mapping[ReviewAppId, Trust | None]

    def shape(self, it: ReviewApp, pipeline: Pipeline, settings: Settings) -> shapes.Json:
        """One of the review apps."""
        creator, trust = self.creators.get(it.app_id or ""), self.trusts.get(it.id)
        return review_shape(it, pipeline, self.names, settings, creator=creator, trust=trust)


def _beside(conn: Connection, listed: Sequence[ReviewApp], settings: Settings) -> _Beside:
    creators = _creators(conn, listed, settings)
    return _Beside(names=app_names(conn), creators=creators, trusts=leaving.trusts(conn, listed))


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/review-apps."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)

    def read(conn: Connection) -> tuple[Pipeline, list[ReviewApp], _Beside]:
        pipeline = find_pipeline(conn, identity)
        listed = _newest(reviews.of_pipeline(conn, pipeline.id))
        return pipeline, listed, _beside(conn, listed, context.settings)

    pipeline, listed, beside = await context.db.read(read)
    return answers.answer_list(
        request,
        listed,
        lambda it: beside.shape(it, pipeline, context.settings),
        created_at=lambda it: it.created_at,
        id=lambda it: it.id,
    )


async def answer_review(request: web.Request, review: ReviewApp, *, status: int = 200) -> web.Response:
    """Show one review app."""
    context = request.app[CONTEXT]

    def read(conn: Connection) -> tuple[Pipeline | None, _Beside]:
        return pipelines.get(conn, review.pipeline_id), _beside(conn, [review], context.settings)

    pipeline, beside = await context.db.read(read)
    if pipeline is None:
        raise not_found("review app")
    return answers.answer(request, beside.shape(review, pipeline, context.settings), status=status)


def _creators(conn: Connection, listed: Sequence[ReviewApp], settings: Settings) -> Mapping[str, shapes.Json]:
    """Whoever had the apps of review apps made, by the ids of the apps."""
    made_by = reviews.made_by(conn, [it.app_id for it in listed if it.app_id is not None])
    known = people.known(conn, made_by.values())
    return {app_id: shapes.user_of(actor, settings, known) for app_id, actor in made_by.items()}


async def info(request: web.Request) -> web.Response:
    """GET /review-apps/REVIEW_APP."""
    review_id = in_path(request, "review")
    return await answer_review(request, await request.app[CONTEXT].db.read(lambda conn: find_review(conn, review_id)))


async def of_app(request: web.Request) -> web.Response:
    """GET /apps/APP/review-app."""
    identity = app_in_path(request)
    review = await request.app[CONTEXT].db.read(lambda conn: reviews.of_app(conn, find_app(conn, identity).id))
    if review is None:
        raise not_found("review app")
    return await answer_review(request, review)


async def create(request: web.Request) -> web.Response:
    """POST /review-apps: for a pull request or a branch, whatever the automatic rules say."""
    context = request.app[CONTEXT]
    body = await bodies.parse(request, bodies.CreateReviewApp)
    if body.branch is None and body.pr_number is None:
        raise Refused("pr_number: is required when there is no branch")
    pipeline, repository = await context.db.read(lambda conn: source_of(conn, in_body(request, body.pipeline)))
    answer = None
    if repository is not None:
        answer = await ask_github(context, repository, number=body.pr_number, branch=body.branch or "")
    made = await context.enactor.create_review_app(
        pipeline_id=pipeline.id, number=body.pr_number, branch=body.branch, answer=answer, actor=request[CALLER].actor
    )
    return await answer_review(request, made, status=201)


def source_of(conn: Connection, asked: Asked) -> tuple[Pipeline, Repository | None]:
    """The pipeline and what its review apps are made of, for whoever may have them made."""
    pipeline = find_pipeline(conn, asked, *rights.REVIEWS.permissions)
    return pipeline, None if pipeline.repository_id is None else repositories.get(conn, pipeline.repository_id)


async def ask_github(context: WebContext, repository: Repository, *, number: int | None, branch: str) -> Answer:
    """Where a pull request, or without its number a branch, is now.

    A person waits meanwhile: what is not there is refused at once, where a plan would wait for it for ever.
    """
    asked = await context.db.write(facts.next_asked)
    if number is not None:
        key = FactKey(FactKind.PULL_REQUEST, repository.id, str(number))
        pull = await context.lookup.pull_request(repository, number)
        return Answer(key=key, asked=asked, value=pull)
    sha = await context.lookup.branch(repository, branch)
    key = FactKey(FactKind.HEAD, repository.id, branch)
    return Answer(key=key, asked=asked, value=Head(branch=branch, sha=sha))


async def destroy(request: web.Request) -> web.Response:
    """DELETE /review-apps/REVIEW_APP."""
    context, review_id = request.app[CONTEXT], in_path(request, "review")
    review = await context.db.read(lambda conn: find_review(conn, review_id))
    return await answer_review(
        request, await context.enactor.destroy_review_app(review_id=review.id, actor=request[CALLER].actor)
    )


async def change(request: web.Request) -> web.Response:
    """PATCH /review-apps/REVIEW_APP: whether it is kept however long it is idle."""
    context, review_id = request.app[CONTEXT], in_path(request, "review")
    body = await bodies.parse(request, bodies.ChangeReviewApp)
    review = await context.db.read(lambda conn: find_review(conn, review_id))
    changed = await context.enactor.pin_review_app(review_id=review.id, pinned=body.pinned, actor=request[CALLER].actor)
    return await answer_review(request, changed)


ROUTES = [
    rights.post("/review-apps", create, rights.BODY),
    rights.get("/review-apps/{review}", info, rights.pipeline()),
    rights.patch("/review-apps/{review}", change, rights.REVIEWS),
    rights.delete("/review-apps/{review}", destroy, rights.REVIEWS),
    rights.get("/apps/{app}/review-app", of_app, rights.app()),
    rights.get("/pipelines/{pipeline}/review-apps", of_pipeline, rights.pipeline()),
]
