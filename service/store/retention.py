"""How long releases, slugs and output are kept: 30 days, or 20 releases, or as long as anything uses them."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, Select, and_, or_, select

from service.domain.lifecycle import Signal, can
from service.domain.model import AppState, ReleaseState, Trust
from service.store.requests import OPEN
from service.store.tables import (
    apps,
    build_keys,
    builds,
    log_chunks,
    log_positions,
    log_streams,
    promotions,
    releases,
    requests,
    slugs,
)
from service.store.tables import promotion_targets as targets


def expire(conn: Connection, *, before: datetime, keep: int, now: datetime) -> int:
    """Expire what is older than `before`, not among its app's last `keep` and not in use; returns how many."""
    ended = releases.c.state.in_([state for state in ReleaseState if can(state, Signal.EXPIRE)])
    # An app's versions have no gaps.
    among_last = and_(apps.c.state != AppState.GONE, releases.c.version > apps.c.last_release_version - keep)
    old = (
        select(releases.c.id)
        .join(apps, apps.c.id == releases.c.app_id)
        .where(ended, releases.c.created_at < before, ~among_last)
    )
    unused = or_(releases.c.slug_id.is_(None), releases.c.slug_id.not_in(_in_use()))
    expired = conn.execute(
        releases.update().where(releases.c.id.in_(old), unused).values(state=ReleaseState.EXPIRED, updated_at=now)
    )
    return expired.rowcount


def drop_keys(conn: Connection, *, before: datetime) -> int:
    """Let no build find a slug any more that is kept for nothing else; returns how many keys went."""
    dropped = conn.execute(
        build_keys.delete().where(
            build_keys.c.created_at < before,
            build_keys.c.slug_id.not_in(_of_releases()),
            build_keys.c.slug_id.not_in(_of_open_work()),
        )
    )
    return dropped.rowcount


def unneeded(conn: Connection, stored: Iterable[tuple[Trust, str]]) -> list[tuple[Trust, str]]:
    """Of the slugs stored as files, those that no release, no build and no work can lead to."""
    needed = select(slugs.c.trust, slugs.c.sha256).where(
        or_(
            slugs.c.id.in_(select(build_keys.c.slug_id)),
            slugs.c.id.in_(_of_releases()),
            slugs.c.id.in_(_of_open_work()),
        )
    )
    known: Collection[tuple[str, str]] = {(row.trust, row.sha256) for row in conn.execute(needed)}
    return [each for each in stored if (each[0].value, each[1]) not in known]


def drop_logs(conn: Connection, *, before: datetime, most: int) -> int:
    """Delete output from before then that no release has any more, `most` streams at a time; returns how many."""
    kept = releases.c.state != ReleaseState.EXPIRED
    of_release = select(releases.c.id).where(releases.c.log_id == log_streams.c.log_id, kept)
    of_build = (
        select(builds.c.id)
        .join(releases, releases.c.request_id == builds.c.request_id)
        .where(builds.c.log_id == log_streams.c.log_id, kept)
    )
    old = select(log_streams.c.log_id).where(
        log_streams.c.created_at < before, ~of_release.exists(), ~of_build.exists()
    )
    dropped = list(conn.execute(old.order_by(log_streams.c.created_at).limit(most)).scalars())
    for table in (log_chunks, log_positions, log_streams):
        conn.execute(table.delete().where(table.c.log_id.in_(dropped)))
    return len(dropped)


def _in_use() -> Select[tuple[str]]:
    """The slugs that apps serve, wherever they were promoted to."""
    current = select(releases.c.slug_id).join(apps, apps.c.current_release_id == releases.c.id)
    return current.where(apps.c.state != AppState.GONE, releases.c.slug_id.is_not(None))


def _of_releases() -> Select[tuple[str]]:
    return select(releases.c.slug_id).where(releases.c.state != ReleaseState.EXPIRED, releases.c.slug_id.is_not(None))


def _of_open_work() -> Select[tuple[str]]:
    """The slugs of builds and promotions whose release is still to come."""
    built = (
        select(builds.c.slug_id)
        .join(requests, requests.c.id == builds.c.request_id)
        .where(requests.c.state.in_(OPEN), builds.c.slug_id.is_not(None))
    )
    promoted = (
        select(promotions.c.slug_id)
        .join(targets, targets.c.promotion_id == promotions.c.id)
        .join(requests, requests.c.id == targets.c.request_id)
        .where(requests.c.state.in_(OPEN))
    )
    return select(built.union(promoted).subquery().c.slug_id)
