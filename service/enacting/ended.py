"""What follows from the end of a request, whoever ends it: all of it in the transaction that ends it."""

from dataclasses import replace

from service.domain.decisions import Subject, SubjectKind
from service.domain.deploys import DEPLOY
from service.domain.lifecycle import Signal, advance
from service.domain.model import App, QueuedRequest, RequestState, ReviewState
from service.domain.review_rules import LOST
from service.enact import Transaction
from service.store import apps, requests, reviews
from service.store.endings import end_with_request


def finish(tx: Transaction, request: QueuedRequest, *, state: RequestState, outcome: str) -> None:
    """Bring request, build, release, promotion target and review app to what the end means; whoever had the request.

    One that is over already stays as it is.
    """
    if not requests.finish(tx.conn, request.id, state=state, outcome=outcome, now=tx.now):
        return
    end_with_request(tx.conn, request.id, state=state, outcome=outcome, now=tx.now)
    app = apps.get(tx.conn, request.app_id)
    if app is not None and app.is_review and request.kind == DEPLOY:
        _settle_review(tx, app, state, outcome)
    elif app is not None and app.is_review and state is RequestState.FAILED:
        _stay_suspended(tx, app, outcome)
    tx.show_end(replace(request, state=state, reason=outcome))
    ring_plan(tx, request.app_id)


def _settle_review(tx: Transaction, app: App, state: RequestState, outcome: str) -> None:
    review = reviews.of_app(tx.conn, app.id)
    if review is None or review.state in (ReviewState.DESTROYING, ReviewState.DESTROYED):
        return
    match state:
        case RequestState.SUCCEEDED:
            after = advance(review.state, Signal.SUCCEED)
            reviews.update(tx.conn, review=review, now=tx.now, state=after, reason="", deployed_at=tx.now)
        case RequestState.FAILED:
            # What served before serves on: only an app that never came up has failed.
            after = advance(review.state, Signal.FAIL)
            # By this reason it is known later that access to the repository is all that it needs.
            rests = after is ReviewState.SUSPENDED and LOST in review.reason
            reason = review.reason if rests else outcome
            reviews.update(tx.conn, review=review, now=tx.now, state=after, reason=reason)
        case RequestState.CANCELLED:
            after = advance(review.state, Signal.CANCEL)
            reviews.update(tx.conn, review=review, now=tx.now, state=after, reason=outcome)
        case _:
            pass


def _stay_suspended(tx: Transaction, app: App, outcome: str) -> None:
    """What could not be started anew is not tried again and again: a push or a person does."""
    review = reviews.of_app(tx.conn, app.id)
    if review is not None and review.state is ReviewState.SUSPENDED:
        reviews.update(tx.conn, review=review, now=tx.now, reason=outcome)


def ring_plan(tx: Transaction, app_id: str) -> None:
    """Let the plan that watches the app look again."""
    review = reviews.of_app(tx.conn, app_id)
    if review is not None:
        tx.ring([Subject(SubjectKind.REVIEW_APP, f"{review.pipeline_id}/{review.ref}")], cause="app changed")
    else:
        tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause="app changed")
