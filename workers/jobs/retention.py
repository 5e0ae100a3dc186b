"""Let go of old releases, and of the slugs, output, mirrors and parts of dead builds that nothing leads to any more."""

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection

from service.domain.model import NO_REPOSITORY
from service.enact import Transaction
from service.store import apps, builds, forgetting, repositories, retention, sources
from workers.builds.builder import sweep, work_name
from workers.builds.source import Origin
from workers.context import Context

log = structlog.get_logger()

KEEP_DAYS: Final = timedelta(days=30)
KEEP_RELEASES: Final = 20
LOGS: Final = 50
"""Streams deleted at once: each may hold eight million characters."""
ROWS: Final = 500
"""Rows of other tables deleted at once."""
JUST_WRITTEN: Final = timedelta(hours=1)
"""A build's slug is a file before it is a row, and so is a source that is sent."""
HALF_MADE: Final = timedelta(days=1)
"""A repository takes a moment to make: what is of yesterday belongs to a process that was killed meanwhile."""


async def in_parts(context: Context, delete: Callable[[Transaction], int], *, most: int) -> int:
    """Delete until less than `most` was left to: writers take turns, and webhooks are not to wait for all of it."""
    deleted = last = await context.commit(delete)
    while last >= most:
        last = await context.commit(delete)
        deleted += last
    return deleted


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
    before = context.db.now() - KEEP_DAYS
    await in_parts(context, lambda tx: retention.drop_logs(tx.conn, before=before, most=LOGS), most=LOGS)
    await _forget(context, before)
    await _let_sources_go(context)
    # Listed before the apps are: who begins to push meanwhile keeps what is pushed.
    pushed_to = await asyncio.to_thread(context.source.pushes.apps)
    gone = await context.db.read(lambda conn: {app.id for app in apps.gone_among(conn, pushed_to)})
    await context.source.pushes.drop(gone)
    await context.source.pushes.drop_half_made(older_than=HALF_MADE)
    listed_at = time.time()
    used = await context.db.read(_mirrored)
    for mirror in await context.source.keep({*used, *pushed_to - gone}, listed_at=listed_at):
        log.info("mirror deleted", mirror=mirror)


def _mirrored(conn: Connection) -> set[Origin]:
    """Where that comes from which is built or may be; what was sent is taken in again by each build of it."""
    return {*repositories.in_use(conn), *([NO_REPOSITORY] if builds.sent_is_pending(conn) else [])}


async def _let_sources_go(context: Context) -> None:
    """What was sent goes once nothing can be built of it any more, and so does what was sent by halves."""
    kept = await context.commit(lambda tx: sources.forget(tx.conn, before=tx.now - sources.KEPT_FOR))
    await asyncio.to_thread(_delete_others, context.settings.sources_dir, kept)


def _delete_others(directory: Path, kept: Collection[str]) -> None:
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.name not in kept and time.time() - path.lstat().st_mtime > JUST_WRITTEN.total_seconds():
            path.unlink(missing_ok=True)


async def _forget(context: Context, before: datetime) -> None:
    """Delete what is over. Releases come before their requests, which they hold; they show as expired for a while."""
    await context.commit(lambda tx: forgetting.secrets(tx.conn))
    for delete, since in (
        (forgetting.releases_of_gone, before - KEEP_DAYS),
        (forgetting.finished_requests, before),
        (forgetting.finished_reports, before),
    ):
        gone = await in_parts(context, partial(_of, delete, since), most=ROWS)
        if gone:
            log.info("forgotten", what=delete.__name__, rows=gone)


def _of(delete: Callable[..., int], before: datetime, tx: Transaction) -> int:
    return delete(tx.conn, before=before, most=ROWS)
