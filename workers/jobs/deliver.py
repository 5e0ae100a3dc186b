"""Tell an outbound webhook what it is to be told: one delivery after the other, in the order of what happened.

A worker that dies between an attempt and the note of it leaves the delivery to another, which sends it once more under
the same id: receivers know by it what they have already.
"""

from functools import partial
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection

from service.domain.errors import Refused
from service.event_body import Teller
from service.queue import deliver as ring
from service.store import outbound, webhooks
from service.store.database import new_id
from service.store.outbound import Attempt, Order
from service.store.webhooks import AUTHORIZATION, SECRET
from workers.context import Context
from workers.jobs.lanes import alone
from workers.webhooks import Answered, Letter, send

log = structlog.get_logger()

TURN: Final = 10
"""How many deliveries one webhook may have made before others get its place."""


async def deliver(context: Context, webhook_id: str) -> None:
    """Make every delivery of a webhook that is due, unless another worker does."""
    done = await alone(context, f"webhook:{webhook_id}", partial(_tell_all, context, webhook_id))
    # Whoever was rung for something that came after our last look found the lane taken.
    if done and await context.db.read(partial(_is_due, context, webhook_id)):
        await context.queue.ring([ring(webhook_id)])


def _is_due(context: Context, webhook_id: str, conn: Connection) -> bool:
    return outbound.next_of(conn, webhook_id, now=context.db.now()) is not None


async def _tell_all(context: Context, webhook_id: str) -> bool:
    """Make what is due, so many at a time: behind one whose receiver never answers others wait for their turn."""
    for _ in range(TURN):
        order = await context.db.read(lambda conn: outbound.next_of(conn, webhook_id, now=context.db.now()))
        if order is None:
            break
        attempt = await _attempt(context, order)
        await context.db.write(partial(_note, order, attempt, context))
        if not attempt.succeeded:
            log.info("webhook not delivered", webhook=webhook_id, delivery=order.outbound.id, error=attempt.error)
    await context.db.write(lambda conn: outbound.rest(conn, webhook_id))
    return True


def _note(order: Order, attempt: Attempt, context: Context, conn: Connection) -> None:
    outbound.note(conn, order, attempt, now=context.db.now())


async def _attempt(context: Context, order: Order) -> Attempt:
    attempt_id, teller = new_id(), Teller(settings=context.settings, vault=context.vault)
    try:
        kept = context.vault.unseal_vars(order.sealed, webhooks.context(order.outbound.webhook_id))
    except Refused as refused:  # its key is not in the file any more: to be told, and to be tried when it is back
        answered = Answered(code=None, error="secret_unreadable", text=refused.message)
    else:
        letter = Letter(
            url=order.url,
            body=msgspec.json.encode(teller.body(order, attempt_id=attempt_id)),
            delivery_id=order.outbound.id,
            secret=kept[SECRET],
            authorization=kept.get(AUTHORIZATION),
        )
        answered = await send(letter, context.settings.webhook_reach)
    at = context.db.now()
    return Attempt(id=attempt_id, at=at, code=answered.code, error=answered.error, text=answered.text)
