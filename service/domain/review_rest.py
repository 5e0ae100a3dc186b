"""Review apps that nobody uses, or whose repository is out of reach: they rest, come back, or go.

Nobody ordered any of it, so what cannot be undone is rationed: one wrong inference must not sweep a pipeline empty.
Suspending is not rationed. It keeps everything.
"""

from datetime import datetime, timedelta
from typing import Final

from service.domain.decisions import Decision, Destroy, Nothing, Request, Restart, SetReview, Suspend, Wait
from service.domain.deploys import is_leaving
from service.domain.model import App, IdleAction, ReviewApp, ReviewState
from service.domain.review_rules import CONFIRM, ENDS, LOST, LOST_FOR, STALE, announced_at, brakes, stale_at
from service.domain.review_view import ReviewView

BACK: Final = "access to the repository is back"
_BRAKE: Final = timedelta(minutes=10)
_SUSPEND: Final = Suspend.__name__
_RESTART: Final = Restart.__name__


def idle(view: ReviewView, done: str) -> tuple[Decision, ...]:
    """Up to date: nothing but time can change that, if stale apps are not to run on."""
    review, app = view.review, view.app
    if review is None or app is None or view.queue:
        return (Nothing(reason=done),)
    ends = stale_at(review, view.pipeline.toggles)
    if review.state is ReviewState.SUSPENDED and (ends is None or _suspends(view)):
        return (Nothing(reason=f"suspended ({review.reason}); the next push or a person brings it back"),)
    if ends is None:
        return (*_called_off(view, review), Nothing(reason=done))
    if view.now < ends:
        return _announced(view, review, app, ends, done)
    return _stale(view, review, app, done)


def _announced(view: ReviewView, review: ReviewApp, app: App, ends: datetime, done: str) -> tuple[Decision, ...]:
    """Say in time what becomes of it: whoever still needs it can push, or pin it."""
    settings = view.pipeline.toggles
    begins = announced_at(ends, settings)
    rests = _suspends(view) and app.current_release_id is None
    if view.now < begins or review.state is not ReviewState.LIVE or rests:
        return (*_called_off(view, review), Wait(reason=done, until=begins if view.now < begins else ends))
    become = "suspended" if _suspends(view) else "destroyed"
    which = view.ref.partition(":")[2]
    text = (
        f"{ENDS} {become} at {ends:%Y-%m-%d %H:%M} UTC ({STALE} {settings.stale_days} days), "
        f"unless something is pushed or: towpath reviewapps:pin {which} -p {view.pipeline.name}"
    )
    shown = () if review.reason == text else (_noted(view, review, text),)
    return (*shown, Wait(reason=done, until=ends))


def _suspends(view: ReviewView) -> bool:
    return view.pipeline.toggles.idle_action is IdleAction.SUSPEND


def _stale(view: ReviewView, review: ReviewApp, app: App, done: str) -> tuple[Decision, ...]:
    reason = f"{STALE} {view.pipeline.toggles.stale_days} days"
    if not _suspends(view):
        return _inferred(view, review, app, reason)
    if app.current_release_id is None:
        return (Nothing(reason=f"{done}; nothing of it runs"),)
    return (Request(app_id=app.id, work=Suspend(reason=reason), reason=reason),)


def without_access(view: ReviewView) -> tuple[Decision, ...]:
    """Stop at once what GitHub no longer lets us follow, and take it away when access stays lost."""
    review, app = view.review, view.app
    reason = f"waiting for: access to {view.repository.full_name}"
    if review is None or app is None or not view.has_app or is_leaving(view.queue):
        return (Wait(reason=reason),)
    ends = (view.repository.lost_at or view.now) + LOST_FOR
    if view.now >= ends:
        return _inferred(view, review, app, LOST)
    waits = Wait(reason=reason, until=ends)
    rests = review.state is ReviewState.SUSPENDED or any(each.kind == _SUSPEND for each in view.queue)
    if rests or app.current_release_id is None:
        return (waits,)
    return (waits, Request(app_id=app.id, work=Suspend(reason=LOST), reason=LOST))


def access_is_back(view: ReviewView) -> tuple[Decision, ...]:
    """Start anew what was stopped for want of access; empty when nothing was, or it is being done."""
    review, app = view.review, view.app
    if review is None or app is None or view.asked or review.state is not ReviewState.SUSPENDED:
        return ()
    if LOST not in review.reason or is_leaving(view.queue) or any(each.kind == _RESTART for each in view.queue):
        return ()
    return (Request(app_id=app.id, work=Restart(), reason=BACK),)


def _inferred(view: ReviewView, review: ReviewApp, app: App, reason: str) -> tuple[Decision, ...]:
    """Take it away unless too many went in this hour: then a person has to say so, or more time to pass."""
    staying = view.live_review_apps - view.leaving_review_apps
    if not brakes(live=staying, inferred_this_hour=view.inferred_this_hour):
        return (Request(app_id=app.id, work=Destroy(ordered=False, reason=reason), reason=reason),)
    which = view.ref.partition(":")[2]
    text = f"{CONFIRM} ({reason}) by: towpath reviewapps:destroy {which} -p {view.pipeline.name}"
    shown = () if review.reason == text else (_noted(view, review, text),)
    return (*shown, Wait(reason=text, until=view.now + _BRAKE))


def _called_off(view: ReviewView, review: ReviewApp) -> tuple[SetReview, ...]:
    """What was about to go or to rest is to stay after all: pinned, deployed to, or no longer stale by the settings."""
    return (_noted(view, review, ""),) if review.reason.startswith((CONFIRM, ENDS)) else ()


def _noted(view: ReviewView, review: ReviewApp, reason: str) -> SetReview:
    return SetReview(
        pipeline_id=view.pipeline.id,
        repository_id=view.repository.id,
        ref=view.ref,
        state=review.state,
        sha=review.sha,
        branch=review.branch,
        reason=reason,
        by_person=review.by_person,
    )
