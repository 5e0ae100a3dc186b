"""A promotion that is all or nothing: no target goes live before all can, and none once another one has failed.

A target whose release command has passed is prepared. It hands its app back and is taken up again until the others are
so far: whoever runs for long holds up neither a worker nor a lease, and who dies here has lost nothing. What went live
before another one failed is put back by the promotion's own plan (`service/enacting/undoing.py`).
"""

from typing import Final

from sqlalchemy import Connection

from service.domain import promotion
from service.domain.errors import Refused
from service.domain.promotion import TargetView
from service.enact import Transaction
from service.queue import work
from service.store import promotion_views, promotions, requests
from service.store.requests import TakenWork
from workers.context import Context
from workers.jobs import fenced

PAUSE: Final = 1.0
STEP: Final = "waits for the others"
"""What people see of a request whose target is prepared."""


class Waits(Exception):
    """Others are not so far yet, by the names of their apps."""


def check(conn: Connection, taken: TakenWork) -> None:
    """Raise `Refused` once another target has failed, and `Waits` while this one is prepared and others are not.

    Asked in the transaction that makes it live, it leaves no moment for a failure to be overlooked in.
    """
    views = promotion_views.together(conn, taken.request.id)
    own = _own(views, taken)
    if own is None:
        return
    if why := promotion.called_off(views, own.target):
        raise Refused(why)
    if own.target.prepared and (others := promotion.awaited(views)):
        raise Waits(", ".join(others))


async def join(context: Context, taken: TakenWork) -> None:
    """Be prepared, and go on once all are; raises as `check` does."""

    def prepare(tx: Transaction) -> tuple[str, ...]:
        views = promotion_views.together(tx.conn, taken.request.id)
        own = _own(views, taken)
        if own is None or own.target.prepared:
            return ()
        if why := promotion.called_off(views, own.target):
            raise Refused(why)
        promotions.prepare(tx.conn, own.target.id)
        views = promotion_views.together(tx.conn, taken.request.id)
        others = promotion.awaited(views)
        if others:
            requests.set_step(tx.conn, taken.request.id, step=STEP, now=tx.now)
        else:
            resting = [view.target.app_id for view in views if view.target.id != own.target.id]
            promotions.wake(tx.conn, resting)
            tx.rings.extend(map(work, resting))
        return others

    if others := await fenced.commit(context, taken, prepare):
        raise Waits(", ".join(others))


def _own(views: list[TargetView], taken: TakenWork) -> TargetView | None:
    return next((view for view in views if view.target.request_id == taken.request.id), None)
