"""Whose code review apps run, and which of them a change of settings takes away."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from service.domain.facts import FactKey, FactKind
from service.domain.model import Pipeline, ReviewApp, ReviewAppId, ReviewState, Toggles, Trust
from service.domain.review_rules import OVER, goes_by, trust_of
from service.store import facts, reviews
from service.store.tables import apps


def trusts(conn: Connection, listed: Sequence[ReviewApp]) -> Mapping[ReviewAppId, Trust | None]:
    """Whose code those run that are not over, as their pull requests say; None of one that was not looked at yet."""
    asked = {it.id: _pull_request(it) for it in listed if it.state not in OVER}
    known = facts.load_all(conn, {key for key in asked.values() if key is not None})
    found: dict[ReviewAppId, Trust | None] = {}
    for review_id, key in asked.items():
        fact = known.get(key) if key is not None else None
        value = None if fact is None else fact.value
        found[review_id] = Trust.OWN if key is None else None if value is None else trust_of(value)
    return found


def _pull_request(review: ReviewApp) -> FactKey | None:
    """What is known of it; None for a branch, which is the repository's own."""
    kind, _, number = review.ref.partition(":")
    return FactKey(FactKind.PULL_REQUEST, review.repository_id, number) if kind == "pr" else None


def leaving(conn: Connection, pipeline: Pipeline, toggles: Toggles, *, now: datetime) -> list[str]:
    """The names of the review apps that a pipeline loses once these are its settings, in their order.

    What was to go before, by its date or by another setting, is not lost by the change.
    """
    listed = reviews.standing(conn, pipeline.id)
    whose = trusts(conn, listed)
    former = pipeline.toggles
    return _names(conn, [it for it in listed if goes_by(former, toggles, it, trust=whose.get(it.id), now=now)])


def with_the_repository(conn: Connection, pipeline: Pipeline) -> list[str]:
    """The names of the review apps that a pipeline loses when it leaves its repository: all there are."""
    there = [it for it in reviews.standing(conn, pipeline.id) if it.state not in {ReviewState.DESTROYING, *OVER}]
    return _names(conn, there)


def _names(conn: Connection, of: Sequence[ReviewApp]) -> list[str]:
    wanted = [it.app_id for it in of if it.app_id is not None]
    return sorted(conn.execute(select(apps.c.name).where(apps.c.id.in_(wanted))).scalars())
