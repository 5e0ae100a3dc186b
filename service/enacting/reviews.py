"""What people do to review apps: the same plan decides that decides for webhooks, and refuses in their words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from service.domain import review_apps
from service.domain.decisions import (
    CreateReviewApp,
    Decision,
    Look,
    Nothing,
    Request,
    Subject,
    SubjectKind,
    Suspend,
    Wait,
)
from service.domain.deploys import from_nothing
from service.domain.errors import Refused, Transient
from service.domain.facts import FactKey, Head, PullRequest
from service.domain.model import ReviewApp, ReviewState
from service.domain.names import in_words
from service.domain.review_rules import ASKED, OVER
from service.domain.review_view import ReviewView
from service.enact import Committer, Transaction, enact
from service.enacting.approvals import approve
from service.enacting.finding import pipeline_or_refuse
from service.store import apps, facts, requests, reviews, views


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What GitHub has just said of a pull request or branch; `asked` is the number drawn before it was asked."""

    key: FactKey
    asked: int
    value: PullRequest | Head


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def create_review_app(
        self,
        *,
        pipeline_id: str,
        number: int | None,
        branch: str | None,
        answer: Answer | None = None,
        actor: str,
    ) -> ReviewApp:
        """Ask for the review app of a pull request or a branch, whatever the automatic rules say.

        With GitHub's `answer` of just now, one that is there is brought to where that is, whatever was known before.
        """
        ref = f"pr:{number}" if number is not None else f"branch:{branch}"

        def create(tx: Transaction) -> ReviewApp:
            _ask(tx, pipeline_id, ref, "create", answer)
            made = _newest(tx.conn, pipeline_id, ref)
            if made is None:
                raise Refused(f"There is nothing to make a review app of: {ref}.", code="not_found")
            return made

        return await self.commit(create, actor=actor)

    async def approve_review_app(self, *, review_id: str, pull: PullRequest, commit: str, actor: str) -> ReviewApp:
        """Let one commit of a fork's or bot's pull request run; `pull` was read from GitHub just now.

        Refused when `commit`, 7 to 40 digits, is not where the pull request is, naming where that is.
        """

        def allow(tx: Transaction) -> ReviewApp:
            review = reviews.get(tx.conn, review_id)
            if review is None or review.ref != f"pr:{pull.number}" or review.repository_id != pull.base_repository_id:
                raise Refused("Couldn't find that review app.", code="not_found")
            pipeline = pipeline_or_refuse(tx.conn, review.pipeline_id)
            approve(tx, pipeline=pipeline, pull=pull, word=commit, how="api")
            return _newest(tx.conn, review.pipeline_id, review.ref) or review

        return await self.commit(allow, actor=actor)

    async def destroy_review_app(self, *, review_id: str, actor: str) -> ReviewApp:
        """Take a review app away."""

        def destroy(tx: Transaction) -> ReviewApp:
            review = reviews.get(tx.conn, review_id)
            if review is None:
                raise Refused("Couldn't find that review app.", code="not_found")
            if review.state in OVER:  # its pull request may have another by now, in another repository even
                raise Refused(f"There is no review app for {in_words(review.ref)}.", code="not_found")
            _ask(tx, review.pipeline_id, review.ref, "destroy")
            return reviews.get(tx.conn, review_id) or review

        return await self.commit(destroy, actor=actor)

    async def rebuild_review_app(self, *, review_id: str, answer: Answer | None, actor: str) -> None:
        """Build where its pull request or branch is now from nothing, and deploy that; a suspended one is back then.

        Where it is now is what GitHub has just answered, whatever was known before; None where the pipeline has no
        repository to be asked for.
        """

        def rebuild(tx: Transaction) -> None:
            review = _there(tx.conn, review_id)
            pipeline = pipeline_or_refuse(tx.conn, review.pipeline_id)
            subject = Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")
            view = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, asked="create")
            if view is None:
                raise Refused("The pipeline's repository is not known any more; connect it again.")
            if answer is not None and answer.key.repository_id == view.repository.id:
                view = _informed(tx, view, subject, answer)
            decisions = review_apps.plan(view)
            enact(tx, subject, map(from_nothing, decisions))
            if not any(isinstance(each, Request | CreateReviewApp) for each in decisions):
                raise Refused(f"Not rebuilt: {'; '.join(_reasons(decisions))}.")
            tx.note("review app rebuild asked for", app_id=review.app_id, pipeline_id=pipeline.id, ref=review.ref)
            tx.ring([subject], cause=f"rebuild asked for by {tx.actor}")

        await self.commit(rebuild, actor=actor)

    async def suspend_review_app(self, *, review_id: str, actor: str) -> None:
        """Stop its processes and keep all else, pinned or not; a restart, a deploy or the next push brings it back."""

        def suspend(tx: Transaction) -> None:
            review = _there(tx.conn, review_id)
            app = apps.get(tx.conn, review.app_id) if review.app_id is not None else None
            if app is None or app.current_release_id is None:
                raise Refused("Nothing of it runs: there is nothing to suspend.")
            waiting = any(each.kind == Suspend.__name__ for each in requests.open_of(tx.conn, app.id))
            if review.state is ReviewState.SUSPENDED or waiting:
                return
            tx.request(app.id, Suspend(reason=ASKED), reason=ASKED, by_person=True)

        await self.commit(suspend, actor=actor)

    async def pin_review_app(self, *, review_id: str, pinned: bool, actor: str) -> ReviewApp:
        """Keep a review app however long it is idle, or no longer."""

        def pin(tx: Transaction) -> ReviewApp:
            review = _there(tx.conn, review_id)
            if review.pinned is pinned:
                return review
            changed = reviews.update(tx.conn, review=review, now=tx.now, pinned=pinned)
            done = "pinned" if pinned else "unpinned"
            tx.note(f"review app {done}", app_id=review.app_id, pipeline_id=review.pipeline_id, ref=review.ref)
            subject = Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")
            tx.ring([subject], cause=f"{done} by {tx.actor}")
            return changed

        return await self.commit(pin, actor=actor)


def _reasons(decisions: Iterable[Decision]) -> Iterator[str]:
    """Why they come to nothing now."""
    for each in decisions:
        match each:
            case Nothing() | Wait():
                yield each.reason
            case Look():
                yield each.why
            case _:
                pass


def _there(conn: Connection, review_id: str) -> ReviewApp:
    review = reviews.get(conn, review_id)
    if review is None or review.state in OVER:
        raise Refused("Couldn't find that review app.", code="not_found")
    return review


def _ask(
    tx: Transaction, pipeline_id: str, ref: str, asked: Literal["create", "destroy"], answer: Answer | None = None
) -> None:
    """Let the same plan decide that decides for webhooks; it refuses in the user's words."""
    pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
    if pipeline.repository_id is None:
        raise Refused("The pipeline has no repository: towpath pipelines:connect -r ORG/REPO")
    subject = Subject(SubjectKind.REVIEW_APP, f"{pipeline_id}/{ref}")
    view = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, asked=asked)
    if view is None:
        raise Refused("The pipeline's repository is not known any more; connect it again.")
    if answer is not None and view.has_app:
        view = _informed(tx, view, subject, answer)
    enact(tx, subject, review_apps.plan(view))
    tx.note(f"review app {asked} asked for", pipeline_id=pipeline_id, ref=ref)
    tx.ring([subject], cause=f"{asked} asked for by {tx.actor}")


def _informed(tx: Transaction, view: ReviewView, subject: Subject, answer: Answer) -> ReviewView:
    """The same with what GitHub has just said: an app that is there has no place to keep a wish until it is known."""
    waiting = facts.learn(tx.conn, answer.key, asked=answer.asked, value=answer.value, error="", etag="", now=tx.now)
    tx.ring(waiting, cause="GitHub was asked")
    known = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, asked="create") or view
    fact = known.pull_request if known.number is not None else known.head
    if fact is None or fact.stale:
        raise Transient(f"Something newer is just arriving for {known.source}; try again")
    return known


def _newest(conn: Connection, pipeline_id: str, ref: str) -> ReviewApp | None:
    found = reviews.of_ref(conn, pipeline_id=pipeline_id, ref=ref)
    return max(found, key=lambda each: each.generation, default=None)
