"""End what has lasted too long: whatever was lost, every state comes to its end."""

from datetime import timedelta
from typing import Final

import structlog

from service.domain.decisions import Destroy
from service.domain.lifecycle import advance, limit
from service.domain.model import QueuedRequest, RequestState, ReviewApp
from service.domain.one_offs import OneOff, OneOffState
from service.enact import Transaction
from service.enacting.ended import ring_plan
from service.store import clock, one_offs, promotions, reports, requests, reviews
from service.store import overdue as late
from service.store.endings import end_with_request
from workers.context import Context
from workers.jobs import settle
from workers.jobs.describe import subject_of
from workers.jobs.locked import end_expired

log = structlog.get_logger()

DESCRIBED_AGAIN: Final = timedelta(minutes=5)
"""What GitHub shows as under way is described anew after so long: it may have ended without anybody's saying so."""


async def overdue(context: Context) -> None:
    """Look for what is overdue and end it by the signal that its lifecycle names."""
    await context.commit(_end_all)


def mind_clock(tx: Transaction) -> None:
    """Put right what waits for a clock that was set back, or would end because of one that was set on."""
    step = clock.keep(tx.conn, uptime=clock.uptime(), now=tx.now)
    if step:
        log.warning("clock was set", seconds=round(step.total_seconds()))


def _end_all(tx: Transaction) -> None:
    mind_clock(tx)
    end_expired(tx)
    for request in late.of_requests(tx.conn, tx.now):
        _end_request(tx, request)
    for request in late.left_behind(tx.conn):
        end_with_request(tx.conn, request.id, state=request.state, outcome=request.reason, now=tx.now)
        tx.show_end(request)
        ring_plan(tx, request.app_id)
    tx.ring(promotions.unsettled_wholes(tx.conn), cause="unfinished")
    for review in late.of_reviews(tx.conn, tx.now):
        _end_review(tx, review)
    for one_off in late.of_one_offs(tx.conn, tx.now):
        _end_one_off(tx, one_off)
    for app_id in late.undestroyed(tx.conn, tx.now):
        log.warning("destroy asked for again", app=app_id)
        reason = "its destroy was lost"
        tx.request(app_id, Destroy(ordered=True, reason=reason), reason=reason, by_person=False)
    tx.ring(map(subject_of, reports.lasting(tx.conn, before=tx.now - DESCRIBED_AGAIN)), cause="unfinished for long")


def _end_request(tx: Transaction, request: QueuedRequest) -> None:
    log.warning("request overdue", request=request.id, state=request.state.value)
    did = "waited" if request.state is RequestState.QUEUED else "ran"
    if request.state is RequestState.RUNNING:
        requests.stop_running(tx.conn, request.app_id)
    settle.fail(tx, request, f"{did} for too long and was given up")


def _end_review(tx: Transaction, review: ReviewApp) -> None:
    allowed = limit(review.state)
    assert allowed is not None
    log.warning("review app overdue", review=review.id, state=review.state.value)
    after = advance(review.state, allowed.signal)
    reviews.update(tx.conn, review=review, now=tx.now, state=after, reason=f"{review.state.value} for too long")
    tx.show_review(review)


def _end_one_off(tx: Transaction, one_off: OneOff) -> None:
    log.warning("one-off dyno overdue", app=one_off.app_id, dyno=one_off.name, state=one_off.state.value)
    waited = one_off.state is OneOffState.STARTING
    reason = "no worker started it in time" if waited else "nobody knows how it ended"
    one_offs.finish(tx.conn, one_off, state=OneOffState.FAILED, exit_code=None, reason=reason, now=tx.now)
