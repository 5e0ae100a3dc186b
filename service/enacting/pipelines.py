"""What people do to a pipeline: make it, fill it, connect it, set its switches."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from service.domain import names, toggles
from service.domain.access import Owner, Person, check_production
from service.domain.decisions import Destroy, Subject, SubjectKind
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import Coupling, Pipeline, Repository, ReviewState, Stage, UserId
from service.domain.review_rules import AWAITS_APPROVAL, CLOSED, MOVED, OVER, check_told
from service.enact import Committer, Transaction, app_or_refuse
from service.enacting import moved
from service.enacting.finding import pipeline_or_refuse
from service.queue import look
from service.store import apps, connections, facts, leaving, pipelines, reports, repositories, requests, reviews, sight


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def create_pipeline(self, *, name: str, owner: Owner, actor: str) -> Pipeline:
        """Create an empty pipeline."""

        def create(tx: Transaction) -> Pipeline:
            names.check_pipeline_name(name)
            made = pipelines.create(tx.conn, name=name, owner_id=owner.id, owner_type=owner.type, now=tx.now)
            tx.note("pipeline created", pipeline_id=made.id)
            return made

        return await self.commit(create, actor=actor)

    async def rename_pipeline(self, *, pipeline_id: str, name: str, actor: str) -> Pipeline:
        """Give a pipeline another name. Names need not be unique.

        Its checks have the new one at once where they are waited for: a branch may require them by it from now on.
        """

        def rename(tx: Transaction) -> Pipeline:
            names.check_pipeline_name(name)
            pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
            renamed = pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, name=name)
            tx.note("pipeline renamed", pipeline_id=pipeline_id, data={"from": pipeline.name, "to": name})
            shown = reports.commits_under_way(tx.conn, pipeline_id)
            for review in reviews.of_pipeline(tx.conn, pipeline_id):
                if review.state not in OVER:
                    tx.show_review(review)
                elif review.reason != CLOSED:
                    shown.add(review.sha)
            begun = [Subject(SubjectKind.CHECK, f"{pipeline_id}/{sha}") for sha in sorted(shown)]
            heads = [Subject(SubjectKind.AUTO_DEPLOY, app.id) for app, _ in pipelines.members(tx.conn, pipeline_id)]
            tx.ring([*begun, *heads], cause="pipeline renamed")
            return renamed

        return await self.commit(rename, actor=actor)

    async def delete_pipeline(self, *, pipeline_id: str, by: Person, actor: str) -> None:
        """Take a pipeline away: its apps live on, except review apps, which must be gone first."""

        def delete(tx: Transaction) -> None:
            pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
            inside = pipelines.members(tx.conn, pipeline_id)
            for app, stage in inside:
                if stage is Stage.PRODUCTION:
                    check_production(sight.to_app(by, app), app.name)
            tx.note("pipeline deleted", pipeline_id=pipeline_id, data={"name": pipeline.name})
            pipelines.delete(tx.conn, pipeline_id)
            # What waits for a lock of the pipeline waits for nothing any more.
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app.id) for app, _ in inside], cause="pipeline deleted")

        await self.commit(delete, actor=actor)

    async def couple(self, *, app_id: str, pipeline_id: str, stage: Stage, actor: str) -> Coupling:
        """Put an app into a stage; refused when it is in a pipeline already."""

        def couple(tx: Transaction) -> Coupling:
            app_or_refuse(tx.conn, app_id)
            pipeline_or_refuse(tx.conn, pipeline_id)
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
            data = {"stage": stage.value, "from": coupling.stage.value}
            tx.note("app moved", app_id=moved.app_id, pipeline_id=moved.pipeline_id, data=data)
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, moved.app_id)], cause="app moved to another stage")
            return moved

        return await self.commit(move, actor=actor)

    async def uncouple(self, *, coupling_id: str, actor: str) -> Coupling:
        """Take an app out of its pipeline; the app lives on."""

        def uncouple(tx: Transaction) -> Coupling:
            coupling = _coupling(tx.conn, coupling_id)
            for request in requests.open_of(tx.conn, coupling.app_id):
                if request.sha is not None:
                    tx.show_commit(coupling.app_id, request.sha)
            pipelines.uncouple(tx.conn, coupling_id)
            data = {"stage": coupling.stage.value}
            tx.note("app removed", app_id=coupling.app_id, pipeline_id=coupling.pipeline_id, data=data)
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, coupling.app_id)], cause="app removed from pipeline")
            return coupling

        return await self.commit(uncouple, actor=actor)

    async def connect_repository(
        self,
        *,
        pipeline_id: str,
        repository: Repository,
        by: UserId | None = None,
        told: Collection[str] | None = None,
        actor: str,
    ) -> Pipeline:
        """Give a pipeline its source; of a former one, review apps are taken away and nothing is deployed any more.

        `by` is whose own right on GitHub it is done by, None where it is the installation's. Refused (`WouldGo`) when
        review apps go that whoever asks was not `told` of, by their names; None asks nothing.
        """

        def connect(tx: Transaction) -> Pipeline:
            pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
            moved.take(tx, repository)  # what else comes from it may follow its default branch
            repositories.remember(tx.conn, repository, tx.now)
            if pipeline.repository_id not in (None, repository.id):
                check_told(leaving.with_the_repository(tx.conn, pipeline), told)
                _drain(tx, pipeline, MOVED)
                _follow_no_more(tx, pipeline)
            pipeline = pipelines.update(
                tx.conn,
                pipeline=pipeline,
                now=tx.now,
                repository_id=repository.id,
                connected_by=by,
                right_lost="",
            )
            connections.looked_up(tx.conn, pipeline_id, tx.now)
            tx.note("repository connected", pipeline_id=pipeline_id, data={"repository": repository.full_name})
            _look_around(tx, pipeline)
            return pipeline

        return await self.commit(connect, actor=actor)

    async def disconnect_repository(self, *, pipeline_id: str, actor: str) -> None:
        """Take a pipeline's source away; refused while review apps live: nothing would tell of their end."""

        def disconnect(tx: Transaction) -> None:
            pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
            repository = repositories.get(tx.conn, pipeline.repository_id) if pipeline.repository_id else None
            if repository is None:
                raise Refused("Couldn't find that repository: the pipeline is not connected to one.", code="not_found")
            if reviews.live_count(tx.conn, pipeline.id):
                raise Refused(
                    f"Pipeline {pipeline.name} still has review apps; take them away first: "
                    f"towpath reviewapps:disable -p {pipeline.name}"
                )
            _drain(tx, pipeline, MOVED)
            _follow_no_more(tx, pipeline)
            pipelines.update(
                tx.conn, pipeline=pipeline, now=tx.now, repository_id=None, connected_by=None, right_lost=""
            )
            tx.note("repository disconnected", pipeline_id=pipeline.id, data={"repository": repository.full_name})

        await self.commit(disconnect, actor=actor)

    async def set_toggles(
        self, *, pipeline_id: str, changes: Mapping[str, Any], told: Collection[str] | None = None, actor: str
    ) -> Pipeline:
        """Change a pipeline's switches and its root directory; takes effect by reconciling at once.

        Refused (`WouldGo`) when review apps go by it that whoever asks was not `told` of, by their names; None asks
        nothing.
        """
        switches = {name: value for name, value in changes.items() if name != toggles.ROOT}

        def change(tx: Transaction) -> Pipeline:
            pipeline = pipeline_or_refuse(tx.conn, pipeline_id)
            wanted = toggles.change(pipeline.toggles, switches)
            root = toggles.root_directory(changes.get(toggles.ROOT, pipeline.root_directory))
            if wanted.review_apps and pipeline.repository_id is None:
                raise Refused("Connect the pipeline to a repository first: towpath pipelines:connect -r ORG/REPO")
            check_told(leaving.leaving(tx.conn, pipeline, wanted, now=tx.now), told)
            pipeline = pipelines.update(tx.conn, pipeline=pipeline, now=tx.now, toggles=wanted, root_directory=root)
            tx.note("toggles changed", pipeline_id=pipeline_id, data=dict(changes))
            _look_around(tx, pipeline)
            _show(tx, pipeline, changes)
            return pipeline

        return await self.commit(change, actor=actor)


def _drain(tx: Transaction, pipeline: Pipeline, reason: str) -> None:
    """Take away what there is, and let what only waits see that it waits in vain: no survey rings for it any more."""
    for review in reviews.of_pipeline(tx.conn, pipeline.id):
        if review.state is ReviewState.WAITING:
            tx.show_review(review)
        if review.app_id is not None and review.state not in (ReviewState.DESTROYING, ReviewState.DESTROYED):
            tx.request(review.app_id, Destroy(ordered=True, reason=reason), reason=reason, by_person=False)


def _follow_no_more(tx: Transaction, pipeline: Pipeline) -> None:
    """Let no app deploy by itself what the pipeline is about to have nothing to do with any more."""
    for app, _ in pipelines.members(tx.conn, pipeline.id):
        if app.auto_deploy:
            apps.update(tx.conn, app=app, now=tx.now, auto_deploy=False)
            tx.note("auto-deploy switched", app_id=app.id, data={"enabled": False, "reason": MOVED})
            tx.ring([Subject(SubjectKind.AUTO_DEPLOY, app.id)], cause="the pipeline's repository changed")


def _show(tx: Transaction, pipeline: Pipeline, changes: Mapping[str, Any]) -> None:
    """Let GitHub show at once what a switch changes in words alone: no plan decides otherwise by it."""
    for review in reviews.of_pipeline(tx.conn, pipeline.id):
        if "comment" in changes and review.state not in OVER:
            tx.show_comment(review)
        if "approval_blocks" in changes and review.reason in AWAITS_APPROVAL:
            tx.show_review(review)


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


def _coupling(conn: Connection, coupling_id: str) -> Coupling:
    found = pipelines.coupling(conn, coupling_id)
    if found is None:
        raise Refused("Couldn't find that pipeline coupling.", code="not_found")
    return found
