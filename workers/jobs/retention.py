"""Let go of what dead builds left, of old releases, and then of the slugs that nothing leads to any more."""

from datetime import timedelta
from typing import Final

import structlog

from service.enact import Transaction
from service.store import builds, retention
from workers.builds.builder import sweep, work_name
from workers.context import Context

log = structlog.get_logger()

KEEP_DAYS: Final = timedelta(days=30)
KEEP_RELEASES: Final = 20
JUST_WRITTEN: Final = timedelta(hours=1)
"""A build's slug is a file before it is a row."""


async def retain(context: Context) -> None:
    """Delete files first, then expire: a deploy that found a slug a moment ago has until the next round to say so."""
    alive = await context.db.read(lambda conn: {work_name(each) for each in builds.pending(conn)})
    await sweep(context.workshop, alive=alive)
    stored = await context.slugs.stored(older_than=JUST_WRITTEN)
    for trust, sha256 in await context.db.read(lambda conn: retention.unneeded(conn, stored)):
        await context.slugs.delete(trust, sha256)
        log.info("slug deleted", sha256=sha256, trust=trust.value)

    def expire(tx: Transaction) -> tuple[int, int]:
        before = tx.now - KEEP_DAYS
        expired = retention.expire(tx.conn, before=before, keep=KEEP_RELEASES, now=tx.now)
        return expired, retention.drop_keys(tx.conn, before=before)

    expired, dropped = await context.commit(expire)
    if expired or dropped:
        log.info("releases expired", releases=expired, build_keys=dropped)
