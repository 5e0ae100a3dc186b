"""What people have an app do: deploy, config, rollback, retry, scale, restart. All of it goes through its queue."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from service.domain import promotion
from service.domain.decisions import (
    ChangeConfig,
    Deploy,
    ReleaseSlug,
    Restart,
    Rollback,
    Scale,
    Subject,
    SubjectKind,
)
from service.domain.errors import Refused
from service.domain.model import (
    App,
    QueuedRequest,
    Release,
    ReleaseState,
    Repository,
    RepositoryId,
    RequestState,
    Sha,
    Slug,
    Trust,
)
from service.enact import Committer, Transaction, app_or_refuse, check_config
from service.enacting import ended
from service.store import apps, builds, pipelines, promotion_views, releases, repositories, requests
from service.store.secrets import request_context


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def set_auto_deploy(
        self,
        *,
        app_id: str,
        enabled: bool,
        branch: str | None,
        wait_for_ci: bool | None,
        actor: str,
        follow_default: bool = False,
        resumes: bool = True,
    ) -> App:
        """Deploy a branch of the pipeline's repository automatically, or stop doing so.

        Where no branch is named, now or before, and with `follow_default`, it is the default branch whichever that is.
        An app that is held goes on, unless `resumes` says that nobody has asked for more than another branch or CI.
        """

        def change(tx: Transaction) -> App:
            app = app_or_refuse(tx.conn, app_id)
            repository = _repository_of(tx.conn, app)
            follows = follow_default or (not branch and (app.follows_default or not app.auto_deploy_branch))
            app = apps.update(
                tx.conn,
                app=app,
                now=tx.now,
                auto_deploy=enabled,
                auto_deploy_branch=repository.default_branch if follows else branch or app.auto_deploy_branch,
                follows_default=follows,
                wait_for_ci=app.wait_for_ci if wait_for_ci is None else wait_for_ci,
                repository_id=repository.id,
            )
            tx.note(
                "auto-deploy switched" if resumes else "auto-deploy changed",
                app_id=app_id,
                data={"enabled": enabled, "branch": app.auto_deploy_branch, "wait_for_ci": app.wait_for_ci},
            )
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause="auto-deploy switched")
            return app

        return await self.commit(change, actor=actor)

    async def deploy(
        self,
        *,
        app_id: str,
        repository_id: int,
        sha: str,
        branch: str,
        rebuild: bool = False,
        override_lock: bool = False,
        actor: str,
    ) -> QueuedRequest:
        """Deploy a commit by hand: CI is not asked, and the next push to an auto-deployed branch replaces it.

        Refused while the app is locked, unless a person goes past the lock.
        """

        def deploy(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            wanted = Deploy(
                repository_id=RepositoryId(repository_id),
                sha=Sha(sha),
                trust=Trust.OWN,
                branch=branch,
                rebuild=rebuild,
                past_locks=tx.go_past_locks(app_id, asked=override_lock),
            )
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause=f"deploy asked for by {tx.actor}")
            verb = "rebuild" if rebuild else "deploy"
            return tx.request(app_id, wanted, reason=f"{verb} of {branch or sha[:7]}", by_person=True)

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
        """Release a former release's slug and config again, even while the app is locked.

        What waits there for the other targets of its promotion gives way, which calls that promotion off.
        """

        def rollback(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            release = _release(tx.conn, app_id, release_id)
            if release.state is ReleaseState.EXPIRED:
                raise Refused(f"Cannot roll back to v{release.version}: it is expired, its slug is no longer kept.")
            if release.state is not ReleaseState.SUCCEEDED or release.slug_id is None:
                raise Refused(f"Cannot roll back to v{release.version}: it did not succeed or has no slug.")
            _give_way(tx, app_id)
            return roll_back(tx, release, keep_config=keep_config)

        return await self.commit(rollback, actor=actor)

    async def release_slug(
        self, *, app_id: str, slug_id: str, description: str, override_lock: bool = False, actor: str
    ) -> QueuedRequest:
        """Release a slug that the app has had, with its wanted config: that is what a retry is.

        Refused while the app is locked, unless a person goes past the lock.
        """

        def release(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            made = releases.of_slug(tx.conn, app_id, slug_id)
            former = next((each for each in made if each.state is not ReleaseState.EXPIRED), None)
            if former is None and made:
                raise Refused(f"Release v{made[0].version} is expired: its slug is no longer kept. Deploy again.")
            if former is None or former.slug_id is None:
                raise Refused("Couldn't find that slug.", code="not_found")
            wanted = ReleaseSlug(
                slug_id=former.slug_id,
                commit=former.commit,
                repository_id=former.repository_id,
                description=description or f"Retry of v{former.version}: {former.description}",
                # To try the newest code again is no step back: it does not hold automatic deploys up.
                branch=releases.branch_if_newest(tx.conn, app_id, former.slug_id),
                past_locks=tx.go_past_locks(app_id, asked=override_lock),
            )
            return tx.request(app_id, wanted, reason=wanted.description, by_person=True)

        return await self.commit(release, actor=actor)

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

    async def restart(self, *, app_id: str, process: str = "", actor: str) -> QueuedRequest:
        """Start the current release's processes anew, without a gap; or one of them, which the others stand in for.

        A type stands for all of its processes, one after the other. Where it is the only `web` there is none to stand
        in: then all are started anew.
        """

        def restart(tx: Transaction) -> QueuedRequest:
            app = app_or_refuse(tx.conn, app_id)
            _slug_of(tx.conn, app)
            is_only = process.partition(".")[0] == "web" and app.formation.get("web", 1) < 2
            alone = "" if is_only else process
            reason = f"restart of {alone}" if alone else "restart"
            return tx.request(app_id, Restart(process=alone), reason=reason, by_person=True)

        return await self.commit(restart, actor=actor)


def roll_back(tx: Transaction, release: Release, *, keep_config: bool = False) -> QueuedRequest:
    """Queue for its app that a former release is released again."""
    if not keep_config:
        # At once, so that a change asked for while the rollback waits builds on what it leads to.
        config = releases.config(tx.conn, tx.vault, release.id)
        apps.set_config(tx.conn, tx.vault, app_id=release.app_id, vars=config, now=tx.now)
    wanted = Rollback(release_id=release.id, version=release.version, keep_config=keep_config)
    return tx.request(release.app_id, wanted, reason=f"Rollback to v{release.version}", by_person=True)


def _give_way(tx: Transaction, app_id: str) -> None:
    """End what is prepared and only waits for others: it would hold everything behind it up for as long as they take.

    Once none is waited for, it is about to go live, and the rollback comes right behind it.
    """
    for request in requests.open_of(tx.conn, app_id):
        views = promotion_views.together(tx.conn, request.id)
        own = next((view.target for view in views if view.target.request_id == request.id), None)
        if own is None or not own.prepared or not promotion.awaited(views):
            continue
        requests.stop_running(tx.conn, app_id)  # first: whoever works at it has no say from here on
        outcome = f"rolled back by {tx.actor.removeprefix('user:')} while it waited for the others"
        ended.finish(tx, request, state=RequestState.CANCELLED, outcome=outcome)


def _release(conn: Connection, app_id: str, release_id: str) -> Release:
    found = releases.get(conn, release_id)
    if found is None or found.app_id != app_id:
        raise Refused("Couldn't find that release.", code="not_found")
    return found


def _repository_of(conn: Connection, app: App) -> Repository:
    """Where the app deploys from: its pipeline's; one that has left its pipeline goes on from where it did."""
    pipeline = pipelines.of_app(conn, app.id)
    repository_id = pipeline.repository_id if pipeline is not None else app.repository_id
    found = repositories.get(conn, repository_id) if repository_id is not None else None
    if found is None:
        raise Refused("Connect the app's pipeline to a repository first: towpath pipelines:connect -r ORG/REPO")
    return found


def _slug_of(conn: Connection, app: App) -> Slug:
    release = releases.get(conn, app.current_release_id) if app.current_release_id else None
    slug = builds.slug(conn, release.slug_id) if release and release.slug_id else None
    if slug is None:
        raise Refused(f"{app.name} has no release yet: deploy something first.")
    return slug
