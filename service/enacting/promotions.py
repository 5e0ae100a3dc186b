"""Promotions: one release's slug, pinned when it is asked for, to other apps of the pipeline."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from service.domain import promotion
from service.domain.access import Person, for_promotion
from service.domain.decisions import ReleaseSlug
from service.domain.errors import Refused
from service.domain.model import AppId, AppState, PipelineId, Promotion, ReleaseId, RequestId, Trust
from service.enact import Committer, Transaction
from service.enacting.finding import pipeline_or_refuse
from service.store import builds, pipelines, promotions, releases
from service.store.sight import to_app


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def promote(
        self,
        *,
        pipeline_id: str,
        source_app_id: str,
        release_id: str | None,
        target_app_ids: Sequence[str] | None,
        all_or_nothing: bool = False,
        override_lock: bool = False,
        read_locks: Collection[str] | None = None,
        by: Person | None = None,
        actor: str,
    ) -> Promotion:
        """Release the source's slug, as it is now, in each target; refused to a person who may not do so to all.

        Refused as a whole while one of them is locked, unless a person goes past the locks: all there are, or only
        those that they have read, by `DeployLock.as_read` in `read_locks`. With `all_or_nothing` no
        target goes live before all can, and what is live goes back if one fails after all.
        """

        def promote(tx: Transaction) -> Promotion:
            request = promotion_request(tx.conn, pipeline_id, source_app_id, release_id, target_app_ids)
            resolved = promotion.resolve(request)
            if by is not None:
                _check_may(by, request, resolved)
            release = resolved.release
            assert release.slug_id is not None
            targets = _ask_each(tx, resolved, override_lock=override_lock, read=read_locks)
            promoted = promotions.create(
                tx.conn,
                pipeline_id=pipeline_id,
                source_app_id=source_app_id,
                source_release_id=release.id,
                slug_id=release.slug_id,
                actor=actor,
                targets=targets,
                all_or_nothing=all_or_nothing,
                now=tx.now,
            )
            tx.note(
                "promoted",
                pipeline_id=pipeline_id,
                app_id=source_app_id,
                sha=release.commit,
                data={"promotion": promoted.id, "targets": [target.name for target in resolved.targets]},
            )
            return promoted

        return await self.commit(promote, actor=actor)


def _ask_each(
    tx: Transaction, resolved: promotion.ResolvedPromotion, *, override_lock: bool, read: Collection[str] | None
) -> list[tuple[AppId, RequestId, ReleaseId | None]]:
    """Queue the slug in each target: in all, or in none if one of them is locked."""
    release = resolved.release
    assert release.slug_id is not None
    wanted = {
        target.id: ReleaseSlug(
            slug_id=release.slug_id,
            commit=release.commit,
            repository_id=release.repository_id,
            description=promotion.describe(resolved),
            past_locks=tx.go_past_locks(target.id, asked=override_lock, as_read=read),
        )
        for target in resolved.targets
    }
    if locked := [why for app_id, work in wanted.items() if (why := tx.why_locked(app_id, work))]:
        raise Refused("\n".join(locked), code="conflict")
    targets = []
    # In one order whoever asks: of two promotions to the same apps, the same one is first everywhere.
    for app_id, work in sorted(wanted.items()):
        queued = tx.request(app_id, work, reason=work.description, by_person=True)
        made = releases.of_request(tx.conn, queued.id)
        targets.append((app_id, queued.id, made.id if made else None))
    return targets


def _check_may(by: Person, request: promotion.PromotionRequest, resolved: promotion.ResolvedPromotion) -> None:
    stages = {member.app.id: member.stage for member in request.members}
    for target in resolved.targets:
        needed = for_promotion(stages[target.id])
        if needed not in to_app(by, target):
            where = stages[target.id].value
            raise Refused(
                f"You may not promote to {target.name}: it is in {where}, and that takes {needed}.", code="forbidden"
            )


def promotion_request(
    conn: Connection, pipeline_id: str, source_app_id: str, release_id: str | None, to: Sequence[str] | None
) -> promotion.PromotionRequest:
    """What a promotion that is asked for is decided by, read from the rows."""
    members = tuple(
        promotion.Member(app=app, stage=stage)
        for app, stage in pipelines.members(conn, PipelineId(pipeline_id))
        if app.state is not AppState.DESTROYING
    )
    source = next((member.app for member in members if member.app.id == source_app_id), None)
    pinned = release_id or (source.current_release_id if source else None)
    release = releases.get(conn, pinned) if pinned else None
    slug = builds.slug(conn, release.slug_id) if release and release.slug_id else None
    return promotion.PromotionRequest(
        pipeline=pipeline_or_refuse(conn, pipeline_id),
        members=members,
        source=source_app_id,
        to=None if to is None else tuple(to),
        release=release if release is not None and release.app_id == source_app_id else None,
        release_asked=release_id or "",
        slug_kept=release is None or release.slug_id is None or slug is not None,
        of_fork=slug is not None and slug.trust is Trust.FORK,
    )
