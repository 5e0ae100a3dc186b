"""Bring GitHub to what the outbox says: newest wins per object, terminal states first, one lane per installation."""

import asyncio
from datetime import timedelta

import structlog

from service.domain.errors import Refused, Transient
from service.store import leases, reports, repositories
from service.store.leases import LeaseTerms
from service.store.reports import Report
from workers.context import Context

log = structlog.get_logger()

BATCH = 50
MAX_ATTEMPTS = 30


async def report(context: Context) -> None:
    """Write every pending report that is due; lanes of different installations run side by side."""
    while True:
        pending = await context.db.read(lambda conn: reports.pending(conn, now=context.db.now(), limit=BATCH))
        lanes: dict[int, list[Report]] = {}
        for each in pending:
            lanes.setdefault(each.installation_id, []).append(each)
        worked = await asyncio.gather(*(_lane(context, lane, entries) for lane, entries in lanes.items()))
        if not any(worked):
            return


async def _lane(context: Context, lane: int, entries: list[Report]) -> bool:
    """Work one installation's reports one by one; False when another worker has the lane or GitHub said wait."""
    name = f"report:{lane}"
    terms = LeaseTerms(holder=f"{context.terms.holder}/{id(asyncio.current_task())}", seconds=context.terms.seconds)
    if not await context.db.write(lambda conn: leases.take(conn, name, terms=terms)):
        return False
    try:
        for entry in entries:
            if not await context.db.write(lambda conn: leases.take(conn, name, terms=terms)):
                return False
            if not await _write(context, entry):
                return False
    finally:
        await asyncio.shield(context.db.write(lambda conn: leases.give_back(conn, name, holder=terms.holder)))
    return True


async def _write(context: Context, entry: Report) -> bool:
    """Show one object as wanted; False when GitHub wants no more for now."""
    repository = await context.db.read(lambda conn: repositories.get(conn, entry.repository_id))
    if repository is None:
        return await _failed(context, entry, "the repository is not known", final=True)
    await context.db.write(lambda conn: reports.attempting(conn, entry.key))
    try:
        github_id = await context.writes.write(entry, repository)
    except Refused as refused:
        return await _failed(context, entry, refused.message, final=True)
    except Transient as error:
        final = entry.attempts + 1 >= MAX_ATTEMPTS
        await _failed(context, entry, error.message, final=final, retry_after=error.retry_after)
        return False
    await context.db.write(
        lambda conn: reports.shown(
            conn, key=entry.key, digest=entry.wanted_digest, github_id=github_id, now=context.db.now()
        )
    )
    return True


async def _failed(
    context: Context, entry: Report, error: str, *, final: bool, retry_after: float | None = None
) -> bool:
    wait = max(retry_after or 0.0, min(2.0**entry.attempts, 300.0))
    retry_at = context.db.now() + timedelta(seconds=wait)
    await context.db.write(
        lambda conn: reports.failed(
            conn,
            key=entry.key,
            digest=entry.wanted_digest,
            error=error,
            retry_at=None if final else retry_at,
            final=final,
            now=context.db.now(),
        )
    )
    log.warning("report not shown", report=entry.key, error=error, final=final)
    return True
