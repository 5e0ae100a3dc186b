"""What people do with builds: have packed sources built, cancel builds, and say which config vars they see."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from service.domain import build_config
from service.domain.decisions import DeployArchive, Subject, SubjectKind
from service.domain.deploys import BUILDS
from service.domain.errors import Refused
from service.domain.model import BuildState, QueuedRequest, RequestState
from service.enact import Committer, Transaction, app_or_refuse
from service.enacting import ended
from service.enacting.finding import pipeline_or_refuse
from service.queue import work
from service.store import build_configs, builds, generations, pipelines, requests
from service.store.secrets import request_context


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def deploy_archive(
        self, *, app_id: str, archive: DeployArchive, url: str, override_lock: bool = False, actor: str
    ) -> QueuedRequest:
        """Build and release a packed source; `url` is where it lies, empty when it was sent.

        Refused while the app is locked, unless a person goes past the lock, and in a review app, which follows its pull
        request.
        """

        def deploy(tx: Transaction) -> QueuedRequest:
            app = app_or_refuse(tx.conn, app_id)
            if app.is_review:
                raise Refused(f"{app.name} is a review app: it is built from its pull request or branch alone.")
            wanted = replace(archive, past_locks=tx.go_past_locks(app_id, asked=override_lock))
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app_id)], cause=f"deploy asked for by {tx.actor}")
            verb = "rebuild" if wanted.rebuild else "deploy"
            return tx.request(
                app_id,
                wanted,
                reason=f"{verb} of {wanted.version or wanted.shown}",
                by_person=True,
                sealed=tx.vault.seal(url.encode(), request_context(app_id)) if url else None,
            )

        return await self.commit(deploy, actor=actor)

    async def cancel_build(self, *, app_id: str, build_id: str, actor: str) -> QueuedRequest:
        """End a build that is not over, whoever works at it: it stops at its next step, and nothing of it is released.

        Refused for one that is over or is being released by now.
        """

        def cancel(tx: Transaction) -> QueuedRequest:
            app_or_refuse(tx.conn, app_id)
            request = _build_request(tx.conn, app_id, build_id)
            if request.state is RequestState.RUNNING:
                requests.stop_running(tx.conn, app_id)  # first: whoever works at it has no say from here on
            _check_not_over(tx.conn, request)
            generations.rest_no_longer(tx.conn, app_id)
            outcome = f"cancelled by {tx.actor.removeprefix('user:')}"
            ended.finish(tx, request, state=RequestState.CANCELLED, outcome=outcome)
            tx.rings.append(work(app_id))
            return request

        return await self.commit(cancel, actor=actor)

    async def set_app_build_config(self, *, app_id: str, names: Iterable[str], actor: str) -> tuple[str, ...]:
        """Name the config vars that builds of an app see; refused in a pipeline, where all apps build alike."""

        def change(tx: Transaction) -> tuple[str, ...]:
            app = app_or_refuse(tx.conn, app_id)
            coupling = pipelines.coupling_of(tx.conn, app_id)
            if coupling is not None:
                pipeline = pipeline_or_refuse(tx.conn, coupling.pipeline_id)
                raise Refused(
                    f"App {app.name} is in the pipeline {pipeline.name}: builds of all its apps see the same config "
                    f"vars. Name them with: towpath config:build NAME ... -p {pipeline.name}"
                )
            wanted = build_config.check(names)
            build_configs.set_of_app(tx.conn, app_id, wanted, tx.now)
            tx.note("build config changed", app_id=app_id, data={"names": list(wanted)})
            return wanted

        return await self.commit(change, actor=actor)

    async def set_pipeline_build_config(self, *, pipeline_id: str, names: Iterable[str], actor: str) -> tuple[str, ...]:
        """Name the config vars that builds of a pipeline's apps see."""

        def change(tx: Transaction) -> tuple[str, ...]:
            pipeline_or_refuse(tx.conn, pipeline_id)
            wanted = build_config.check(names)
            build_configs.set_of_pipeline(tx.conn, pipeline_id, wanted, tx.now)
            tx.note("build config changed", pipeline_id=pipeline_id, data={"names": list(wanted)})
            return wanted

        return await self.commit(change, actor=actor)


def _build_request(conn: Connection, app_id: str, build_id: str) -> QueuedRequest:
    """The request that a build goes by, or that led to it."""
    known = builds.get(conn, build_id)
    request = requests.get(conn, known.request_id if known else build_id)
    if request is None or request.app_id != app_id or request.kind not in BUILDS:
        raise Refused("Couldn't find that build.", code="not_found")
    return request


def _check_not_over(conn: Connection, request: QueuedRequest) -> None:
    if request.state is RequestState.CANCELLED:
        raise Refused(f"This build is {request.reason or 'cancelled'} already.")
    build = builds.of_request(conn, request.id)
    state = build.state if build is not None and build.state is not BuildState.PENDING else request.state
    if state in {BuildState.SUCCEEDED, RequestState.SUCCEEDED}:
        raise Refused("It is too late to cancel this build: it has succeeded. Go back with: towpath releases:rollback")
    if request.state not in requests.OPEN:
        raise Refused(f"It is too late to cancel this build: it is {request.state.value} ({request.reason}).")
