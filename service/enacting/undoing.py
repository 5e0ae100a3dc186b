"""Promotions taken back: by a person, or because one of the targets failed that is all or nothing with the others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import assert_never

from service.domain import promotion
from service.domain.access import Permission, Person, for_promotion
from service.domain.decisions import Rollback
from service.domain.errors import Refused
from service.domain.model import QueuedRequest, Release
from service.domain.promotion import Finish, PutBack, WayBack
from service.enact import Committer, Transaction
from service.enacting.releases import roll_back
from service.store import apps, pipelines, promotion_views, promotions, releases
from service.store.sight import to_app


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What became of a target: it goes back by a request and its release, or the way says why it does not."""

    way: WayBack
    request: QueuedRequest | None = None
    release: Release | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def undo_promotion(
        self, *, promotion_id: str, target_app_ids: Collection[str] | None, by: Person, actor: str
    ) -> tuple[Undone, ...]:
        """Release in each target, or in those named, what it ran before the promotion: a rollback, also in a lock.

        Refused when none of them can go back, and to a person who may not roll all of them back.
        """

        def undo(tx: Transaction) -> tuple[Undone, ...]:
            made = promotions.get(tx.conn, promotion_id)
            if made is None:
                raise Refused("Couldn't find that pipeline promotion.", code="not_found")
            views = promotion_views.of_promotion(tx.conn, promotion_id)
            if target_app_ids is not None:
                views = [view for view in views if view.target.app_id in target_app_ids]
            _check_may(tx, by, [view.target.app_id for view in views])
            ways = promotion.undo(views)
            if not any(way.to for way in ways):
                reasons = "\n".join(f"{way.view.app_name} stays as it is: {way.why}" for way in ways)
                raise Refused(reasons or "The promotion has none of these targets.", code="conflict")
            tx.note(
                "promotion undone",
                pipeline_id=made.pipeline_id,
                app_id=made.source_app_id,
                data={"promotion": made.id, "targets": [way.view.app_name for way in ways if way.to is not None]},
            )
            return tuple(_go_back(tx, way) for way in ways)

        return await self.commit(undo, actor=actor)


def settle(tx: Transaction, promotion_id: str) -> tuple[str, str]:
    """Do what is to be done about a promotion that is all or nothing; returns (outcome, reason)."""
    made = promotions.get(tx.conn, promotion_id)
    if made is None or not made.all_or_nothing:
        return "nothing", "its targets end each by itself"
    steps = promotion.settle(promotion_views.of_promotion(tx.conn, promotion_id))
    for step in steps:
        match step:
            case PutBack(target=target, to=to, reason=reason):
                wanted = Rollback(release_id=to.id, version=to.version)
                queued = tx.request(target.app_id, wanted, reason=reason, by_person=False)
                promotions.goes_back(tx.conn, target_id=target.id, request_id=queued.id)
            case Finish(target=target, state=state, error=error):
                promotions.finish_target(tx.conn, target_id=target.id, state=state, error=error, now=tx.now)
            case _:
                assert_never(step)
    if any(isinstance(step, PutBack) for step in steps):
        return "requested", "a target failed: those that are live go back"
    return ("settled", "it is over") if steps else ("waiting", "its targets are on their way")


def _go_back(tx: Transaction, way: WayBack) -> Undone:
    if way.to is None:
        return Undone(way=way)
    queued = roll_back(tx, way.to)
    return Undone(way=way, request=queued, release=releases.of_request(tx.conn, queued.id))


def _check_may(tx: Transaction, by: Person, app_ids: Sequence[str]) -> None:
    """Refuse whoever may neither promote to one of the apps nor roll it back."""
    for app_id in app_ids:
        app, coupling = apps.get(tx.conn, app_id), pipelines.coupling_of(tx.conn, app_id)
        if app is None:
            continue
        enough = {Permission.DEPLOY, Permission.OPERATE}
        if coupling is not None:
            enough.add(for_promotion(coupling.stage))
        if not enough & to_app(by, app):
            wanted = " or ".join(each.value for each in Permission if each in enough)
            raise Refused(f"You may not roll back {app.name}: that takes {wanted}.", code="forbidden")
