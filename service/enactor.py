"""What people ask for through the API: each verb is one transaction, then rings."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from service.domain import names, promotion, review_apps, toggles
from service.domain.decisions import (
    ChangeConfig,
    Deploy,
    Destroy,
    ReleaseSlug,
    Restart,
    Rollback,
    Scale,
    Subject,
    SubjectKind,
)
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import (
    App,
    Coupling,
    Pipeline,
    PipelineId,
    Promotion,
    QueuedRequest,
    Release,
    ReleaseState,
    Repository,
    RepositoryId,
    ReviewApp,
    ReviewState,
    Sha,
    Stage,
    Trust,
    UserId,
)
from service.domain.review_rules import MOVED
from service.enact import Committer, Transaction, app_or_refuse, check_config, enact
from service.queue import look
from service.store import (
    apps,
    builds,
    facts,
    pipelines,
    promotions,
    releases,
    repositories,
    reviews,
    routes,
    spaces,
    views,
)
from service.store.secrets import request_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Enactor(Committer):
    """The verbs. `actor` is who asks, as `user:EMAIL`."""

    async def create_app(self, *, name: str | None, space: str | None, user_id: UserId | None, actor: str) -> App:
        """Create an app in a space (`common` unless named), with a made-up name when none is given."""

        def create(tx: Transaction) -> App:
            chosen = name or _made_up_name()
            names.check_app_name(chosen)
            found = {each.name: each for each in spaces.listing(tx.conn)}
            if (space or "common") not in found:
                raise Refused(f"Couldn't find the space {space}; there are: {', '.join(sorted(found))}.")
            home = found[space or "common"]
            app = apps.create(tx.conn, name=chosen, space_id=home.id, owner_id=user_id, is_review=False, now=tx.now)
            tx.note("app created", app_id=app.id)
            return app

        return await self.commit(create, actor=actor)

    async def change_app(
        self, *, app_id: str, name: str | None = None, maintenance: bool | None = None, actor: str
    ) -> App:
        """Rename an app or switch its maintenance page."""

        def change(tx: Transaction) -> App:
            app = app_or_refuse(tx.conn, app_id)
            if name is not None and name != app.name:
                names.check_app_name(name)
                app = apps.rename(tx.conn, app=app, name=name, now=tx.now)
                tx.note("app renamed", app_id=app_id, data={"name": name})
            if maintenance is not None and maintenance != app.maintenance:
                app = apps.update(tx.conn, app=app, now=tx.now, maintenance=maintenance)
                tx.note("maintenance switched", app_id=app_id, data={"maintenance": maintenance})
            routes.refresh(tx.conn, app_id=app_id)
            return app

        changed = await self.commit(change, actor=actor)
        await self.queue.routes_changed()
        return changed

    async def destroy_app(self, *, app_id: str, actor: str) -> None:
        """Queue the app's end; everything before it is cancelled."""
        await self.commit(lambda tx: _destroy(tx, app_id), actor=actor)

    async def create_pipeline(self, *, name: str, user_id: UserId | None, actor: str) -> Pipeline:
        """Create an empty pipeline owned by the caller."""

        def create(tx: Transaction) -> Pipeline:
            names.check_pipeline_name(name)
            made = pipelines.create(
                tx.conn, name=name, owner_id=user_id, owner_type="user" if user_id else None, now=tx.now
            )
            tx.note("pipeline created", pipeline_id=made.id)
            return made

        return await self.commit(create, actor=actor)

    async def couple(self, *, app_id: str, pipeline_id: str, stage: Stage, actor: str) -> Coupling:
        """Put an app into a stage; refused when it is in a pipeline already."""

        def couple(tx: Transaction) -> Coupling:
            app_or_refuse(tx.conn, app_id)
            made = pipelines.couple(tx.conn, app_id=app_id, pipeline_id=pipeline_id, stage=stage, now=tx.now)
            tx.note("app added", app_id=app_id, pipeline_id=pipeline_id, data={"stage": stage.value})
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause="app added to pipeline")
            return made

        return await self.commit(couple, actor=actor)

    async def move(self, *, coupling_id: str, stage: Stage, actor: str) -> Coupling:
        """Move an app to another stage of its pipeline."""

        def move(tx: Transaction) -> Coupling:
            coupling = _coupling(tx.conn, coupling_id)
            moved = pipelines.move(tx.conn, coupling=coupling, stage=stage, now=tx.now)
            tx.note("app moved", app_id=moved.app_id, pipeline_id=moved.pipeline_id, data={"stage": stage.value})
            return moved

        return await self.commit(move, actor=actor)

    async def uncouple(self, *, coupling_id: str, actor: str) -> Coupling:
        """Take an app out of its pipeline; the app lives on."""

        def uncouple(tx: Transaction) -> Coupling:
            coupling = _coupling(tx.conn, coupling_id)
            pipelines.uncouple(tx.conn, coupling_id)
            tx.note("app removed", app_id=coupling.app_id, pipeline_id=coupling.pipeline_id)
            return coupling

        return await self.commit(uncouple, actor=actor)

    async def connect_repository(self, *, pipeline_id: str, repository: Repository, actor: str) -> Pipeline:
        """Give a pipeline its source; review apps of a former one are taken away first."""

        def connect(tx: Transaction) -> Pipeline:
            pipeline = _pipeline(tx.conn, pipeline_id)
            repositories.remember(tx.conn, repository, tx.now)
            if pipeline.repository_id not in (None, repository.id):
                _drain(tx, pipeline, MOVED)
            pipeline = pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, repository_id=repository.id)
            tx.note("repository connected", pipeline_id=pipeline_id, data={"repository": repository.full_name})
            _look_around(tx, pipeline)
            return pipeline

        return await self.commit(connect, actor=actor)

    async def set_toggles(self, *, pipeline_id: str, changes: Mapping[str, Any], actor: str) -> Pipeline:
        """Change a pipeline's switches; takes effect by reconciling at once."""

        def change(tx: Transaction) -> Pipeline:
            pipeline = _pipeline(tx.conn, pipeline_id)
            wanted = toggles.change(pipeline.toggles, changes)
            if wanted.review_apps and pipeline.repository_id is None:
                raise Refused("Connect the pipeline to a repository first: towpath pipelines:connect -r ORG/REPO")
            pipeline = pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, toggles=wanted)
            tx.note("toggles changed", pipeline_id=pipeline_id, data=dict(changes))
            _look_around(tx, pipeline)
            return pipeline

        return await self.commit(change, actor=actor)

    async def set_auto_deploy(
        self, *, app_id: str, enabled: bool, branch: str | None, wait_for_ci: bool | None, actor: str
    ) -> App:
        """Deploy a branch of the pipeline's repository automatically, or stop doing so."""

        def change(tx: Transaction) -> App:
            app = app_or_refuse(tx.conn, app_id)
            repository = _repository_of(tx.conn, app_id)
            app = apps.update(
                tx.conn,
                app=app,
                now=tx.now,
                auto_deploy=enabled,
                auto_deploy_branch=(branch or app.auto_deploy_branch or repository.default_branch),
                wait_for_ci=app.wait_for_ci if wait_for_ci is None else wait_for_ci,
                repository_id=repository.id,
            )
            tx.note(
                "auto-deploy switched",
                app_id=app_id,
                data={"enabled": enabled, "branch": app.auto_deploy_branch, "wait_for_ci": app.wait_for_ci},
            )
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause="auto-deploy switched")
            return app

        return await self.commit(change, actor=actor)

    async def deploy(self, *, app_id: str, repository_id: int, sha: str, branch: str, actor: str) -> QueuedRequest:
        """Deploy a commit by hand: CI is not asked, and the next push to an auto-deployed branch replaces it."""

        def deploy(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            wanted = Deploy(repository_id=RepositoryId(repository_id), sha=Sha(sha), trust=Trust.OWN, branch=branch)
            return tx.request(app_id, wanted, reason=f"deploy of {branch or sha[:7]}", by_person=True)

        return await self.commit(deploy, actor=actor)

    async def change_config(self, *, app_id: str, changes: Mapping[str, str | None], actor: str) -> QueuedRequest:
        """Set and unset config vars and release the result."""

        def change(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            check_config(changes)
            wanted = apps.config(tx.conn, tx.vault, app_id)
            given = {key: value for key, value in changes.items() if value is not None}
            unset = tuple(sorted(key for key, value in changes.items() if value is None))
            merged = {key: value for key, value in (wanted | given).items() if key not in unset}
            apps.set_config(tx.conn, tx.vault, app_id=app_id, vars=merged, now=tx.now)
            words = ([f"Set {', '.join(sorted(given))}"] if given else []) + (
                [f"Unset {', '.join(unset)}"] if unset else []
            )
            return tx.request(
                app_id,
                ChangeConfig(set_keys=tuple(sorted(given)), unset_keys=unset),
                reason=f"{'; '.join(words)} config vars",
                by_person=True,
                sealed=tx.vault.seal_vars(merged, request_context(app_id)),
            )

        return await self.commit(change, actor=actor)

    async def rollback(self, *, app_id: str, release_id: str, keep_config: bool, actor: str) -> QueuedRequest:
        """Release a former release's slug and config again."""

        def rollback(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            release = _release(tx.conn, app_id, release_id)
            if release.state is not ReleaseState.SUCCEEDED or release.slug_id is None:
                raise Refused(f"Cannot roll back to v{release.version}: it did not succeed or has no slug.")
            wanted = Rollback(release_id=release.id, version=release.version, keep_config=keep_config)
            return tx.request(app_id, wanted, reason=f"Rollback to v{release.version}", by_person=True)

        return await self.commit(rollback, actor=actor)

    async def scale(self, *, app_id: str, formation: Mapping[str, int], actor: str) -> QueuedRequest:
        """Set how many processes of each type run."""

        def scale(tx: Transaction) -> QueuedRequest:
            app = app_or_refuse(tx.conn, app_id)
            slug = _slug_of(tx.conn, app)
            for kind, quantity in formation.items():
                if kind not in slug.process_types:
                    known = ", ".join(sorted(slug.process_types)) or "none"
                    raise Refused(f"Couldn't find that process type ({kind}); the app has: {known}.", code="not_found")
                if not 0 <= quantity <= 100:
                    raise Refused(f"The quantity of {kind} must be between 0 and 100.")
            return tx.request(app_id, Scale(formation=dict(formation)), reason="scale", by_person=True)

        return await self.commit(scale, actor=actor)

    async def restart(self, *, app_id: str, actor: str) -> QueuedRequest:
        """Start the current release's processes anew, without a gap."""

        def restart(tx: Transaction) -> QueuedRequest:
            _slug_of(tx.conn, app_or_refuse(tx.conn, app_id))
            return tx.request(app_id, Restart(), reason="restart", by_person=True)

        return await self.commit(restart, actor=actor)

    async def promote(
        self,
        *,
        pipeline_id: str,
        source_app_id: str,
        release_id: str | None,
        target_app_ids: Sequence[str] | None,
        actor: str,
    ) -> Promotion:
        """Release the source's slug, as it is now, in each target."""

        def promote(tx: Transaction) -> Promotion:
            resolved = promotion.resolve(
                _promotion_request(tx.conn, pipeline_id, source_app_id, release_id, target_app_ids)
            )
            source, release = resolved.source, resolved.release
            assert release.slug_id is not None
            targets = []
            for target in resolved.targets:
                wanted = ReleaseSlug(
                    slug_id=release.slug_id,
                    commit=release.commit,
                    repository_id=release.repository_id,
                    description=f"Promote {source.name} v{release.version}"
                    + (f" {release.commit[:8]}" if release.commit else ""),
                )
                queued = tx.request(target.id, wanted, reason=wanted.description, by_person=True)
                targets.append((target.id, queued.id))
            made = promotions.create(
                tx.conn,
                pipeline_id=pipeline_id,
                source_app_id=source_app_id,
                source_release_id=release.id,
                slug_id=release.slug_id,
                actor=actor,
                targets=targets,
                now=tx.now,
            )
            tx.note(
                "promoted",
                pipeline_id=pipeline_id,
                app_id=source_app_id,
                sha=release.commit,
                data={"promotion": made.id, "targets": [target.name for target in resolved.targets]},
            )
            return made

        return await self.commit(promote, actor=actor)

    async def create_review_app(
        self, *, pipeline_id: str, number: int | None, branch: str | None, actor: str
    ) -> ReviewApp:
        """Ask for the review app of a pull request or a branch, whatever the automatic rules say."""
        ref = f"pr:{number}" if number is not None else f"branch:{branch}"

        def create(tx: Transaction) -> ReviewApp:
            _ask(tx, pipeline_id, ref, "create")
            made = _newest(tx.conn, pipeline_id, ref)
            if made is None:
                raise Refused(f"There is nothing to make a review app of: {ref}.", code="not_found")
            return made

        return await self.commit(create, actor=actor)

    async def destroy_review_app(self, *, review_id: str, actor: str) -> ReviewApp:
        """Take a review app away."""

        def destroy(tx: Transaction) -> ReviewApp:
            review = reviews.get(tx.conn, review_id)
            if review is None:
                raise Refused("Couldn't find that review app.", code="not_found")
            _ask(tx, review.pipeline_id, review.ref, "destroy")
            return reviews.get(tx.conn, review_id) or review

        return await self.commit(destroy, actor=actor)


def _ask(tx: Transaction, pipeline_id: str, ref: str, asked: Literal["create", "destroy"]) -> None:
    """Let the same plan decide that decides for webhooks; it refuses in the user's words."""
    pipeline = _pipeline(tx.conn, pipeline_id)
    if pipeline.repository_id is None:
        raise Refused("The pipeline has no repository: towpath pipelines:connect -r ORG/REPO")
    subject = Subject(SubjectKind.REVIEW_APP, f"{pipeline_id}/{ref}")
    view = views.review_view(tx.conn, subject_key=subject.key, now=tx.now, asked=asked)
    if view is None:
        raise Refused("The pipeline's repository is not known any more; connect it again.")
    enact(tx, subject, review_apps.plan(view))
    tx.note(f"review app {asked} asked for", pipeline_id=pipeline_id, ref=ref)
    tx.ring([subject], cause=f"{asked} asked for by {tx.actor}")


def _newest(conn: Connection, pipeline_id: str, ref: str) -> ReviewApp | None:
    found = reviews.of_ref(conn, pipeline_id=pipeline_id, ref=ref)
    return max(found, key=lambda each: each.generation, default=None)


def _destroy(tx: Transaction, app_id: str) -> None:
    app_or_refuse(tx.conn, app_id)
    reason = f"destroyed by {tx.actor}"
    tx.request(app_id, Destroy(ordered=True, reason=reason), reason=reason, by_person=True)
    review = reviews.of_app(tx.conn, app_id)
    if review is not None:
        reviews.update(tx.conn, review=review, now=tx.now, state=ReviewState.DESTROYING, reason=reason)


def _drain(tx: Transaction, pipeline: Pipeline, reason: str) -> None:
    for review in reviews.of_pipeline(tx.conn, pipeline.id):
        if review.app_id is not None and review.state not in (ReviewState.DESTROYING, ReviewState.DESTROYED):
            tx.request(review.app_id, Destroy(ordered=True, reason=reason), reason=reason, by_person=False)
            reviews.update(tx.conn, review=review, now=tx.now, state=ReviewState.DESTROYING, reason=reason)


def _look_around(tx: Transaction, pipeline: Pipeline) -> None:
    """Learn which pull requests are open now: those opened before the switch count too."""
    if pipeline.repository_id is None:
        return
    subject = Subject(SubjectKind.REPOSITORY, str(pipeline.repository_id))
    key = FactKey(FactKind.OPEN_PULL_REQUESTS, pipeline.repository_id, "")
    facts.mark_stale(tx.conn, [key], now=tx.now)
    facts.want(tx.conn, key, waiter=subject, now=tx.now)
    tx.rings.append(look(key))
    tx.ring([subject], cause="pipeline changed")


def _made_up_name() -> str:
    """Make a name as Heroku does: two words and a number that nobody has to remember."""
    first = secrets.choice(("calm", "clear", "deep", "green", "quiet", "slow", "still", "wide"))
    second = secrets.choice(("barge", "bank", "canal", "heron", "lock", "reed", "river", "willow"))
    return f"{first}-{second}-{secrets.randbelow(90000) + 10000}"


def _pipeline(conn: Connection, pipeline_id: str) -> Pipeline:
    found = pipelines.get(conn, pipeline_id)
    if found is None:
        raise Refused("Couldn't find that pipeline.", code="not_found")
    return found


def _coupling(conn: Connection, coupling_id: str) -> Coupling:
    found = pipelines.coupling(conn, coupling_id)
    if found is None:
        raise Refused("Couldn't find that pipeline coupling.", code="not_found")
    return found


def _release(conn: Connection, app_id: str, release_id: str) -> Release:
    found = releases.get(conn, release_id)
    if found is None or found.app_id != app_id:
        raise Refused("Couldn't find that release.", code="not_found")
    return found


def _repository_of(conn: Connection, app_id: str) -> Repository:
    coupling = pipelines.coupling_of(conn, app_id)
    pipeline = pipelines.get(conn, coupling.pipeline_id) if coupling else None
    found = repositories.get(conn, pipeline.repository_id) if pipeline and pipeline.repository_id else None
    if found is None:
        raise Refused("Connect the app's pipeline to a repository first: towpath pipelines:connect -r ORG/REPO")
    return found


def _slug_of(conn: Connection, app: App) -> Any:
    release = releases.get(conn, app.current_release_id) if app.current_release_id else None
    slug = builds.slug(conn, release.slug_id) if release and release.slug_id else None
    if slug is None:
        raise Refused(f"{app.name} has no release yet: deploy something first.")
    return slug


def _promotion_request(
    conn: Connection, pipeline_id: str, source_app_id: str, release_id: str | None, to: Sequence[str] | None
) -> promotion.PromotionRequest:
    members = tuple(
        promotion.Member(app=app, stage=stage) for app, stage in pipelines.members(conn, PipelineId(pipeline_id))
    )
    source = next((member.app for member in members if member.app.id == source_app_id), None)
    pinned = release_id or (source.current_release_id if source else None)
    release = releases.get(conn, pinned) if pinned else None
    return promotion.PromotionRequest(
        pipeline=_pipeline(conn, pipeline_id),
        members=members,
        source=source_app_id,
        to=None if to is None else tuple(to),
        release=release if release is not None and release.app_id == source_app_id else None,
        release_asked=release_id or "",
        slug_kept=release is None or release.slug_id is None or builds.slug(conn, release.slug_id) is not None,
    )
